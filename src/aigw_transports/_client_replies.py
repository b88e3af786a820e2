"""What a program gives to a gateway client and gets from it: queries, replies, chunks."""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import msgspec

from aigw_proto._kinds import record
from aigw_proto.envelopes import Metadata, StepSettings, is_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Chunk", "JsonValue", "Query", "Reply", "Step", "decode_json", "encode_query"]

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"
"""A decoded JSON value."""

Query: TypeAlias = "bytes | Mapping[str, object] | Sequence[object] | str | int | float | bool | None"
"""The body of a request: any value that JSON can express, dataclasses and `msgspec` structs within it included; or
ready JSON as `bytes`, which reaches the provider byte for byte."""

T = TypeVar("T")


class _Payload:
    """JSON as it came, decoded when asked for."""

    __slots__ = ("_decoded", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        """The JSON text, byte for byte as it stood in the frame."""
        self._decoded: JsonValue | msgspec.UnsetType = msgspec.UNSET

    @property
    def response(self) -> JsonValue:
        """The JSON value, decoded on first use. For typed access see `decode()`."""
        decoded = self._decoded
        if decoded is msgspec.UNSET:
            decoded = self._decoded = decode_json(self.raw)
        return decoded

    def decode(self, kind: type[T]) -> T:
        """Return the JSON value as a dataclass, `msgspec.Struct`, `TypedDict` or other type that msgspec knows.

        Raises `msgspec.ValidationError` when the value does not fit.
        """
        return msgspec.json.decode(self.raw, type=kind)


class Reply(_Payload):
    """A whole answer."""

    __slots__ = ("metadata",)

    def __init__(self, metadata: Metadata, raw: bytes) -> None:
        """Keep the parts."""
        super().__init__(raw)
        self.metadata = metadata
        """What the gateway says about the answer: log id, step, status, content type, cache status."""

    @property
    def content(self) -> bytes:
        """The provider's body as bytes: audio and images come as base64 in the frame, JSON is `raw`."""
        if self.metadata.encoding == "base64":
            try:
                return base64.b64decode(self.decode(str), validate=True)
            except (msgspec.ValidationError, binascii.Error):
                return self.raw
        return self.raw

    def __repr__(self) -> str:
        return f"Reply(raw={self.raw!r}, metadata={self.metadata!r})"


class Chunk(_Payload):
    """One chunk of a streamed answer."""

    __slots__ = ("event",)

    def __init__(self, raw: bytes, event: str | None) -> None:
        """Keep the parts."""
        super().__init__(raw)
        self.event = event
        """The name that the provider gave its event (Anthropic: `content_block_delta`), if the gateway forwards it."""

    def __repr__(self) -> str:
        return f"Chunk(raw={self.raw!r}, event={self.event!r})"


@record
class Step:
    """One of several fallback steps, for `create_steps()` and `stream_steps()`.

    The fields are those of `create()`; times are in seconds, and None leaves the choice to the gateway.
    """

    provider: str
    endpoint: str
    query: Query
    headers: Mapping[str, str] | None = None
    settings: StepSettings | None = None


def decode_json(raw: bytes) -> JsonValue:
    """Decode JSON text from a frame."""
    try:
        return cast("JsonValue", msgspec.json.decode(raw))
    except msgspec.DecodeError:
        # Half of a surrogate pair, as JavaScript writes it when it cuts a string: msgspec refuses, JSON allows it.
        return cast("JsonValue", json.loads(raw))


def encode_query(query: Query) -> bytes:
    """Return JSON text. Raises ValueError for bytes that are not JSON, TypeError for values that JSON lacks."""
    if isinstance(query, bytes):
        if not is_json(query):
            raise ValueError("query: the bytes given are not one valid JSON value")
        return query
    return msgspec.json.encode(query)
