"""Server-sent events: bytes of a `text/event-stream` to events (WHATWG HTML, "Server-sent events").

Two observations keep this small and fast. CR, LF and CRLF all end a line and none of them can be part of one, so each
chunk is rewritten to LF as it is opened (a CR at its end ends the line at once; a LF that begins the next chunk is then
the second half of that ending and is dropped). And the unfinished last line of a chunk moves to a buffer that only new
bytes are searched for, so that a line costs the same however it was cut.

Data stays raw bytes: what providers send is JSON that goes on to somebody else, and decoding it here would only have
to be undone.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final, TypeAlias

from .._kinds import Signal, record
from .._limits import UNLIMITED, SseLimits

__all__ = ["ServerSentEvent", "SseDecoder", "SseEvent", "SseFailed"]

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_FEED = 0x0A
_SPACE = 0x20
_MAX_RETRY_DIGITS = 18  # thirty million years in milliseconds


@dataclass
class ServerSentEvent:
    """One event. `event` is its type, empty for the default type ("message").

    `event_id` is the stream's last event id, None as long as there was none. `retry_milliseconds` is the reconnection
    time that the stream asked for since the event before, or None.
    """

    __slots__ = ("data", "event", "event_id", "retry_milliseconds")

    data: Final[bytes]
    event: Final[bytes]
    event_id: Final[bytes | None]
    retry_milliseconds: Final[int | None]


@record
class SseFailed:
    """A line or an event is longer than its limit; terminal."""

    reason: str


SseEvent: TypeAlias = ServerSentEvent | SseFailed


class SseDecoder:
    """One event stream; a `Machine[SseEvent]` without deadlines and output.

    An event is returned as soon as the blank line that ends it began to arrive. A block without data is no event. After
    `receive_eof()` the block that was not ended is discarded, as the standard says, or returned when
    `deliver_unterminated` is set: some providers leave the last blank line out.
    """

    __slots__ = (
        "_after_cr",
        "_buffer",
        "_chunks",
        "_data",
        "_deliver_unterminated",
        "_eof",
        "_event",
        "_event_id",
        "_failed",
        "_max_event_bytes",
        "_max_line_bytes",
        "_more_data",
        "_partial",
        "_position",
        "_retry",
        "_short_line_bytes",
        "_start",
    )

    def __init__(self, *, limits: SseLimits | None = None, deliver_unterminated: bool = False) -> None:
        """Start at the beginning of a stream."""
        limits = limits or SseLimits()
        self._max_line_bytes = min(limits.max_line_bytes, UNLIMITED)
        self._max_event_bytes = min(limits.max_event_bytes, UNLIMITED)
        self._short_line_bytes = min(self._max_line_bytes, self._max_event_bytes)
        self._deliver_unterminated = deliver_unterminated
        self._chunks: deque[bytes] = deque()
        self._buffer = b""
        self._position: int = 0
        self._partial = bytearray()
        self._start: bytes | None = b""  # the first bytes while they may still become a byte order mark
        self._after_cr = False
        self._eof = False
        self._failed = False
        # The block under way. Nearly all events have one data line; only further ones need a buffer to join in.
        self._data: bytes | None = None
        self._more_data = bytearray()
        self._event = b""
        self._event_id: bytes | None = None
        self._retry: int | None = None

    def receive_data(self, data: bytes, now: float) -> None:  # noqa: ARG002 - the interface of machines
        """Store bytes; parses nothing. Ignored after the end and after `SseFailed`."""
        if data and not self._eof and not self._failed:
            self._chunks.append(data)

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

    def next_event(self) -> SseEvent | Signal:
        """Return the next event, or `Signal.NEED_DATA`. Never raises."""
        while True:
            buffer, start = self._buffer, self._position
            end = buffer.find(b"\n", start)
            if end < 0:
                if (outcome := self._open_chunk()) is not None:
                    return outcome
                continue
            self._position = end + 1
            if (
                self._partial
                or self._data is not None
                or not buffer.startswith(b"data:", start)
                or end - start > self._short_line_bytes
            ):
                if (event := self._read_line(buffer[start:end])) is not None:
                    return event
                continue
            # The first data line of a block, whole in this chunk: nearly every line of a real stream is one.
            self._data = buffer[start + (6 if buffer[start + 5] == _SPACE else 5) : end]
            if end + 1 < len(buffer) and buffer[end + 1] == _LINE_FEED:
                self._position = end + 2
                return self._make_event()

    def _open_chunk(self) -> SseEvent | Signal | None:
        """Put the unfinished line aside and open the next chunk; None when there is one to go on with."""
        rest = len(self._buffer) - self._position
        if rest:
            if len(self._partial) + rest > self._max_line_bytes:
                return self._fail_line()
            self._partial += self._buffer[self._position :] if self._position else self._buffer
        self._buffer, self._position = b"", 0
        if not self._chunks:
            return self._end_of_input()
        chunk = self._chunks.popleft()
        if self._start is not None:
            chunk = self._start + chunk
            if len(chunk) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(chunk):
                self._start = chunk
                return None
            self._start = None
            chunk = chunk.removeprefix(_BYTE_ORDER_MARK)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk[0] == _LINE_FEED:
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._buffer = chunk
        return None

    def _end_of_input(self) -> SseEvent | Signal:
        if not self._eof or self._failed or not self._deliver_unterminated:
            return Signal.NEED_DATA
        if self._start:
            self._partial += self._start
            self._start = None
        if self._partial:
            line, self._partial = bytes(self._partial), bytearray()
            if (failure := self._read_field(line)) is not None:
                return failure
        return self._dispatch() or Signal.NEED_DATA

    def _read_line(self, line: bytes) -> SseEvent | None:
        """Take a line, or the end of the one whose beginning was put aside."""
        if len(self._partial) + len(line) > self._max_line_bytes:
            return self._fail_line()
        if self._partial:
            self._partial += line
            line, self._partial = bytes(self._partial), bytearray()
        return self._read_field(line) if line else self._dispatch()

    def _read_field(self, line: bytes) -> SseFailed | None:
        """Take one line that is not blank; a comment begins with a colon, so its field name is empty."""
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if name == b"data":
            return self._add_data(value)
        if name == b"event":
            self._event = value
        elif name == b"id":
            if b"\0" not in value:
                self._event_id = value
        elif name == b"retry" and value.isdigit() and len(value) <= _MAX_RETRY_DIGITS:
            self._retry = int(value)
        return None

    def _add_data(self, value: bytes) -> SseFailed | None:
        total = len(value) if self._data is None else len(self._data) + len(self._more_data) + 1 + len(value)
        if total > self._max_event_bytes:
            return self._fail(f"an event is longer than {self._max_event_bytes} bytes")
        if self._data is None:
            self._data = value
        else:
            self._more_data += b"\n"
            self._more_data += value
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        """End the block at a blank line."""
        if self._data is None:
            self._event = b""
            return None
        return self._make_event()

    def _make_event(self) -> ServerSentEvent:
        data = self._data or b""
        if self._more_data:
            data += self._more_data
            self._more_data = bytearray()
        event = ServerSentEvent(data, self._event, self._event_id, self._retry)
        self._data, self._event, self._retry = None, b"", None
        return event

    def _fail_line(self) -> SseFailed:
        return self._fail(f"a line is longer than {self._max_line_bytes} bytes")

    def _fail(self, reason: str) -> SseFailed:
        self._failed = True
        self._chunks.clear()
        self._buffer, self._position = b"", 0
        self._partial, self._more_data, self._data = bytearray(), bytearray(), None
        return SseFailed(reason)
