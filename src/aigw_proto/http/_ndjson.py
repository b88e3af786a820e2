"""Newline-delimited JSON: bytes of `application/x-ndjson` and its kin to lines.

A stream is JSON values, each in a line of its own; inside JSON a line feed can only be written as an escape, so lines
are found without parsing. The last line need not end. What a line holds is not looked at: it goes on to somebody else.
"""

from __future__ import annotations

from typing import TypeAlias

from .._kinds import Signal, record
from .._limits import MIB
from ._inbox import LINE, BlockTooLong, Inbox

__all__ = ["JsonLine", "NdjsonDecoder", "NdjsonEvent", "NdjsonFailed"]

_MAX_LINE_BYTES = 16 * MIB  # as one line of a server-sent event
_WHITE_SPACE = b" \t\r\n"  # RFC 8259 section 2; a bare carriage return counts as blank


@record
class JsonLine:
    """One line that is not blank, without its line ending and the white space around it."""

    data: bytes


@record
class NdjsonFailed:
    """A line is longer than its limit; terminal."""

    reason: str


NdjsonEvent: TypeAlias = JsonLine | NdjsonFailed


class NdjsonDecoder:
    """One stream of lines; a `Machine[NdjsonEvent]` without deadlines and output."""

    __slots__ = ("_eof", "_failed", "_inbox", "_max_line_bytes")

    def __init__(self, *, max_line_bytes: int = _MAX_LINE_BYTES) -> None:
        """Start at the beginning of a stream. The limit counts the line ending."""
        self._inbox = Inbox()
        self._max_line_bytes = max_line_bytes
        self._eof = False
        self._failed = False

    def receive_data(self, data: bytes, now: float) -> None:  # noqa: ARG002 - the interface of machines
        """Store bytes; parses nothing. Ignored after the end and after `NdjsonFailed`."""
        if data and not self._eof and not self._failed:
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

    def next_event(self) -> NdjsonEvent | Signal:
        """Return the next line, or `Signal.NEED_DATA`. Never raises."""
        while True:
            try:
                line = self._inbox.take_until(LINE, self._max_line_bytes)
            except BlockTooLong:
                self._inbox.clear()
                self._failed = True
                return NdjsonFailed(f"a line is longer than {self._max_line_bytes} bytes")
            if line is None:
                if not self._eof or not self._inbox:
                    return Signal.NEED_DATA
                line = self._inbox.take_all()
            if data := line.strip(_WHITE_SPACE):
                return JsonLine(data)
