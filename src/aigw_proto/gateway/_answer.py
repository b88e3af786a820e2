"""How a provider's answer is delivered: as one document, or event by event.

The content type decides, with one look at the first bytes where providers are known to lie: a JSON document under an
event-stream type would otherwise vanish (no line of it is an event), and an event stream under a JSON type would be
held back to its end. Whatever the payload is, it goes into the frame byte for byte if it is JSON, else as a string,
and as base64 if it is not even text.
"""

from __future__ import annotations

import binascii
import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

from .._kinds import Signal, record
from .._limits import GatewayLimits, SseLimits
from ..envelopes import is_json, json_string
from ..http._eventstream import EventStreamDecoder, EventStreamMessage
from ..http._ndjson import JsonLine, NdjsonDecoder
from ..http._sse import ServerSentEvent, SseDecoder

__all__ = ["AnswerStream", "Form", "StreamFailed", "StreamItem", "WholeAnswer", "form_of", "media_type", "whole_answer"]

_NDJSON_TYPES = frozenset(
    {
        "application/x-ndjson",
        "application/ndjson",
        "application/stream+json",
        "application/jsonl",
        "application/x-jsonl",
    }
)
_DONE = b"[DONE]"
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")  # how an event stream begins, and no JSON document
_PEEK_BYTES = 256  # of white space at most, before the content shows what it is


class Form(enum.Enum):
    """How content is delivered."""

    WHOLE = "one frame"
    EVENTS = "text/event-stream (WHATWG HTML section 9.2)"
    LINES = "one JSON document a line"
    BINARY_EVENTS = "application/vnd.amazon.eventstream"


@dataclass
class StreamItem:
    """One payload for a frame, already JSON. `event` is the name that the provider gave it, if any."""

    __slots__ = ("event", "payload", "size_bytes")

    payload: Final[bytes]
    event: Final[bytes | None]
    size_bytes: Final[int]


@record
class StreamFailed:
    """The provider's stream broke its own format or a limit."""

    reason: str


@record
class WholeAnswer:
    """A payload for a frame, already JSON, and how it was encoded if it could not be kept as it was."""

    payload: bytes
    encoding: str | None


_Decoder: TypeAlias = SseDecoder | NdjsonDecoder | EventStreamDecoder


def media_type(content_type: str) -> str:
    """Return the lower-case type without parameters (RFC 9110 section 8.3.1)."""
    return content_type.partition(";")[0].strip().lower()


def form_of(kind: str, start: bytes | bytearray, *, complete: bool) -> Form | None:
    """Decide by media type and the first bytes of the content; None while they may still mean either.

    `complete` says that `start` is all there is. The answer does not depend on how the content was cut.
    """
    if kind in _NDJSON_TYPES:
        return Form.LINES
    if kind == "application/vnd.amazon.eventstream":
        return Form.BINARY_EVENTS
    if kind not in ("text/event-stream", "application/json", ""):
        return Form.WHOLE
    peek = bytes(start[:_PEEK_BYTES])
    head = peek.lstrip(b"\xef\xbb\xbf \t\r\n")
    undecided = not complete and len(start) < _PEEK_BYTES
    if kind == "text/event-stream":
        if head:
            return Form.WHOLE if head[:1] in (b"{", b"[") else Form.EVENTS
        return None if undecided else Form.EVENTS
    if head.startswith(_FIELDS):
        return Form.EVENTS
    may_be_field = any(field.startswith(head) for field in _FIELDS)
    return None if may_be_field and undecided else Form.WHOLE


def whole_answer(body: bytes) -> WholeAnswer:
    """Turn a whole body into a frame's payload. An empty body is the empty string."""
    if is_json(body):
        return WholeAnswer(body, None)
    try:
        body.decode()
    except UnicodeDecodeError:
        return WholeAnswer(b'"' + binascii.b2a_base64(body, newline=False) + b'"', "base64")
    return WholeAnswer(json_string(body), None)


class AnswerStream:
    """The events of one streamed answer, whatever carries them."""

    __slots__ = ("_decoder", "_forward_done", "_now", "event_key")

    def __init__(self, form: Form, *, sse: SseLimits, limits: GatewayLimits, forward_done: bool = False) -> None:
        """Choose the decoder of `form`, which is not WHOLE. `forward_done` keeps the closing `[DONE]` as an item.

        `event_key` is the metadata key for the names of events: the two formats that have them name them differently.
        """
        self._forward_done = forward_done
        self.event_key = "eventType" if form is Form.BINARY_EVENTS else "event"
        self._now = 0.0  # decoders have no deadlines: the request that owns them has
        self._decoder: _Decoder
        if form is Form.EVENTS:
            self._decoder = SseDecoder(limits=sse, deliver_unterminated=True)
        elif form is Form.LINES:
            self._decoder = NdjsonDecoder(max_line_bytes=limits.max_response_bytes)
        else:
            self._decoder = EventStreamDecoder(max_message_bytes=limits.max_response_bytes)

    def receive_data(self, data: bytes) -> None:
        """Store content."""
        self._decoder.receive_data(data, self._now)

    def receive_eof(self) -> None:
        """Note that the content is complete."""
        self._decoder.receive_eof(self._now)

    def next_item(self) -> StreamItem | StreamFailed | None:
        """Return the next payload, or None when more content is needed."""
        while True:
            event = self._decoder.next_event()
            if isinstance(event, ServerSentEvent):
                data = event.data
                if data == _DONE and not self._forward_done:
                    continue  # the end of the stream has its own frame
                return StreamItem(_payload(data), event.event or None, len(data))
            if isinstance(event, Signal):
                return None
            if isinstance(event, JsonLine):
                return StreamItem(_payload(event.data), None, len(event.data))
            if isinstance(event, EventStreamMessage):
                return _binary_event(event)
            return StreamFailed(event.reason)


def _payload(data: bytes) -> bytes:
    return data if is_json(data) else json_string(data)


def _binary_event(event: EventStreamMessage) -> StreamItem:
    name = event.headers.get(":event-type") or event.headers.get(":exception-type")
    answer = whole_answer(event.payload)
    return StreamItem(answer.payload, name.encode() if isinstance(name, str) else None, len(event.payload))
