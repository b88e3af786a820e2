"""fal: requests over a WebSocket (any model), and the realtime API (a path that ends in `/realtime`, msgpack)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Final, cast

import msgspec

from ..ws import UpgradeOffer
from ._replies import Document, json_document
from ._request import MockRequest, as_text, decode_object, reply_words
from ._speech import sound
from ._talk import Act, Say, Talk, say_json

__all__ = ["RealtimeTalk", "RequestTalk", "print_error"]

_IMAGE_BYTES: Final = 1024


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as fal prints it."""
    del request
    return json_document({"detail": message}, status)


def _output(fields: Mapping[str, object], chunks: int | None) -> dict[str, object]:
    prompt = as_text(fields.get("prompt")) or as_text(fields.get("input"))
    return {"output": "".join(reply_words(prompt, chunks)), "prompt": prompt[: 64 * 1024], "seed": 7}


class RequestTalk(Talk):
    """A model's HTTP endpoint on a WebSocket: start, body and end of each answer are messages."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin a session."""
        del offer
        self._number = request.number
        self._chunks = request.chunks
        self._requests = count(1)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take the body of a request."""
        fields = decode_object(message)
        status, body = 200, _output(fields or {}, self._chunks)
        if fields is None:
            status, body = 422, {"detail": [{"loc": ["body"], "msg": "JSON decode error", "type": "json_invalid"}]}
        name = f"00000000-0000-4000-8000-{self._number:06d}{next(self._requests) % 1_000_000:06d}"
        head = {"request_id": name, "status": status}
        return (
            say_json({"type": "start", **head, "headers": {"content-type": "application/json"}}),
            say_json(body),
            say_json({"type": "end", **head, "time_to_first_byte_seconds": 0.1}),
        )


class RealtimeTalk(Talk):
    """The realtime API: objects in msgpack in both directions, or in JSON when the client speaks it."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin a session."""
        del offer
        self._chunks = request.chunks

    def greet(self) -> Iterable[Act]:
        """Return the message about the session that clients leave out."""
        return (say_json({"type": "x-fal-message", "action": "metadata", "metadata": {}}),)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take an input."""
        fields = decode_object(message) if isinstance(message, str) else _unpack(message)
        if fields is None:
            kind = "JSON" if isinstance(message, str) else "msgpack"
            reason = f"Could not decode the message as an object in {kind}"
            return (say_json({"type": "x-fal-error", "error": "INVALID_REQUEST", "reason": reason}),)
        output = _output(fields, self._chunks)
        if isinstance(message, str):
            return (say_json(output),)
        image = {"content": sound(_IMAGE_BYTES), "content_type": "image/jpeg", "width": 16, "height": 16}
        return (Say(msgspec.msgpack.encode(output | {"images": [image]}), text=False),)


def _unpack(message: bytes) -> Mapping[str, object] | None:
    try:
        value: object = msgspec.msgpack.decode(message)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, ValueError):
        return None
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in cast("dict[object, object]", value)):
        return None
    return cast("Mapping[str, object]", value)
