"""AWS event streams: bytes of `application/vnd.amazon.eventstream` to messages.

A message is a prelude of twelve bytes (total length, length of the headers, checksum of these eight bytes), the
headers, the payload, and a checksum of all before it. Numbers are big-endian, checksums are CRC-32 (IEEE 802.3). The
prelude has a checksum of its own so that a broken length is noticed before it is believed, and a message is
collected only after its length was checked against the limit.
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, TypeAlias

from .._kinds import Signal, record
from .._limits import MIB
from ._inbox import Inbox

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["EventStreamDecoder", "EventStreamEvent", "EventStreamFailed", "EventStreamHeader", "EventStreamMessage"]

EventStreamHeader: TypeAlias = str | int | bytes | bool
"""Integers of every width and timestamps (milliseconds since 1970) are `int`, UUIDs are sixteen `bytes`."""

_MAX_MESSAGE_BYTES = 16 * MIB  # as one server-sent event
_PRELUDE = struct.Struct(">III")
_CHECKSUM = struct.Struct(">I")
_LENGTH = struct.Struct(">H")
_OVERHEAD = _PRELUDE.size + _CHECKSUM.size

_TRUE, _FALSE, _BYTES, _STRING, _UUID = 0, 1, 6, 7, 9
_INTEGERS = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8}  # signed, so many bytes wide by type; 8 is a timestamp
_UUID_BYTES = 16


@record
class EventStreamMessage:
    """One message, its checksums found right."""

    headers: Mapping[str, EventStreamHeader]
    payload: bytes


@record
class EventStreamFailed:
    """The stream breaks the format or the limit, or ends within a message; terminal."""

    reason: str


EventStreamEvent: TypeAlias = EventStreamMessage | EventStreamFailed


class EventStreamDecoder:
    """One event stream; a `Machine[EventStreamEvent]` without deadlines and output."""

    __slots__ = ("_ended", "_eof", "_inbox", "_max_message_bytes", "_message", "_needed_bytes")

    def __init__(self, *, max_message_bytes: int = _MAX_MESSAGE_BYTES) -> None:
        """Start at the beginning of a stream. The limit counts a whole message, its frame included."""
        self._inbox = Inbox()
        self._max_message_bytes = max_message_bytes
        self._message = bytearray()  # the message under way, from its first byte
        self._needed_bytes = _PRELUDE.size
        self._eof = False
        self._ended = False

    def receive_data(self, data: bytes, now: float) -> None:  # noqa: ARG002 - the interface of machines
        """Store bytes; parses nothing. Ignored after the end and after `EventStreamFailed`."""
        if data and not self._eof and not self._ended:
            self._inbox.append(data)

    def receive_eof(self, now: float) -> None:  # noqa: ARG002 - the interface of machines
        """Note the end of the stream; idempotent."""
        self._eof = True

    def data_to_send(self) -> list[bytes]:
        """Return nothing: a decoder never answers."""
        return []

    def next_timeout(self) -> float | None:
        """Return None: a decoder has no deadlines."""
        return None

    def handle_timeout(self, now: float) -> None:
        """Do nothing."""

    def next_event(self) -> EventStreamEvent | Signal:
        """Return the next message, or `Signal.NEED_DATA`. Never raises."""
        message = self._message
        while True:
            while len(message) < self._needed_bytes:
                piece = self._inbox.take(self._needed_bytes - len(message))
                if not piece:
                    if self._eof and message:
                        return self._fail("the stream ended within a message")
                    return Signal.NEED_DATA
                message += piece
            if len(message) > _PRELUDE.size:
                return self._finish()
            if (failure := self._read_prelude()) is not None:
                return failure

    def _read_prelude(self) -> EventStreamFailed | None:
        total, headers, checksum = _PRELUDE.unpack(self._message)
        if zlib.crc32(self._message[: _PRELUDE.size - _CHECKSUM.size]) != checksum:
            return self._fail("the checksum of a prelude is wrong")
        if total < _OVERHEAD + headers:
            return self._fail("a message is shorter than its headers")
        if total > self._max_message_bytes:
            return self._fail(f"a message is longer than {self._max_message_bytes} bytes")
        self._needed_bytes = total
        return None

    def _finish(self) -> EventStreamEvent:
        message = bytes(self._message)
        body_end = len(message) - _CHECKSUM.size
        headers_end = _PRELUDE.size + _PRELUDE.unpack_from(message)[1]
        if zlib.crc32(message[:body_end]) != _CHECKSUM.unpack_from(message, body_end)[0]:
            return self._fail("the checksum of a message is wrong")
        headers = _read_headers(message[_PRELUDE.size : headers_end])
        if headers is None:
            return self._fail("the headers of a message are malformed")
        self._message.clear()
        self._needed_bytes = _PRELUDE.size
        return EventStreamMessage(headers, message[headers_end:body_end])

    def _fail(self, reason: str) -> EventStreamFailed:
        self._ended = True
        self._inbox.clear()
        self._message.clear()
        self._needed_bytes = _PRELUDE.size
        return EventStreamFailed(reason)


def _read_headers(block: bytes) -> dict[str, EventStreamHeader] | None:
    """Read a header block; None when it is malformed, a name occurs twice, or text is not UTF-8."""
    headers: dict[str, EventStreamHeader] = {}
    position = 0
    try:
        while position < len(block):
            name, position = _take(block, position + 1, block[position])
            kind = block[position]
            value, position = _read_value(kind, block, position + 1)
            key = name.decode()
            if not key or key in headers:
                return None
            headers[key] = value
    except (IndexError, struct.error, ValueError):
        return None
    return headers


def _read_value(kind: int, block: bytes, position: int) -> tuple[EventStreamHeader, int]:
    """Return the value at `position` and where the next header begins. Raises for what is malformed."""
    if kind in (_TRUE, _FALSE):
        return kind == _TRUE, position
    if kind in (_BYTES, _STRING):
        (length,) = _LENGTH.unpack_from(block, position)
        data, position = _take(block, position + _LENGTH.size, length)
        return (data.decode() if kind == _STRING else data), position
    if kind == _UUID:
        return _take(block, position, _UUID_BYTES)
    if kind not in _INTEGERS:
        raise ValueError(kind)
    data, position = _take(block, position, _INTEGERS[kind])
    return int.from_bytes(data, "big", signed=True), position


def _take(block: bytes, position: int, length: int) -> tuple[bytes, int]:
    end = position + length
    if end > len(block):
        raise IndexError(end)
    return block[position:end], end
