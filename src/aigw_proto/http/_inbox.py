"""Received bytes that wait to be parsed: kept as they came, cut only where something ends.

Two ways of reading share one store. `take` hands out what is there, for bodies. `take_until` waits for a block that
ends with a pattern (a line, a head); the incomplete part moves to a buffer of its own, is searched once and is
bounded, so a block that arrives byte by byte costs the same as one that arrives whole.
"""

from __future__ import annotations

import re
from collections import deque

__all__ = ["BLANK_LINE", "LINE", "BlockTooLong", "Inbox"]

BLANK_LINE = re.compile(rb"\n\r?\n")
"""The end of a head. A bare LF counts as a line ending (RFC 9112 section 2.2)."""

LINE = re.compile(rb"\n")

_OVERLAP = 2  # a pattern is at most three bytes long, so two bytes already searched can begin a match


class BlockTooLong(Exception):  # noqa: N818 - a condition that the caller turns into an event, not an error
    """A block did not end within its limit."""


class Inbox:
    """A queue of byte chunks with a position in the first."""

    __slots__ = ("_chunks", "_front", "_offset", "_partial")

    def __init__(self) -> None:
        """Start empty."""
        self._chunks: deque[bytes] = deque()
        self._front = b""
        self._offset = 0
        self._partial = bytearray()

    def __bool__(self) -> bool:
        return self._offset < len(self._front) or bool(self._partial) or bool(self._chunks)

    @property
    def partial(self) -> bytearray:
        """The beginning of a block that `take_until` has not seen the end of. Read only."""
        return self._partial

    def append(self, data: bytes) -> None:
        """Store bytes; nothing is copied."""
        self._chunks.append(data)

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._front, self._offset = b"", 0
        self._partial = bytearray()

    def take_all(self) -> bytes:
        """Move out everything, joined."""
        parts = [bytes(self._partial), self._front[self._offset :], *self._chunks]
        self.clear()
        return b"".join(parts)

    def take(self, limit: int) -> bytes:
        """Move out up to `limit` bytes of the first chunk; empty when there are none. Not within a block."""
        if not self._advance():
            return b""
        front, start = self._front, self._offset
        if start == 0 and len(front) <= limit:
            self._front = b""
            return front
        piece = front[start : start + limit]
        self._offset = start + len(piece)
        return piece

    def take_until(self, end: re.Pattern[bytes], limit: int) -> bytes | None:
        """Move out a block up to and with the first match of `end`; None while it is incomplete.

        Raises `BlockTooLong` as soon as it is certain that the block is longer than `limit` bytes.
        """
        while self._advance():
            front, start = self._front, self._offset
            partial = self._partial
            stop = start + min(limit - len(partial), len(front) - start)  # no limit is too large to be added
            if not partial:
                # A whole block in one chunk is the usual case: one slice, no copy into the buffer.
                if (match := end.search(front, start, stop)) is not None:
                    self._offset = match.end()
                    return front[start : self._offset]
                partial += front[start:stop]
                self._front = b""
            else:
                searched = max(0, len(partial) - _OVERLAP)
                partial += front[start:stop]
                self._offset = stop
                if (match := end.search(partial, searched)) is not None:
                    self._offset -= len(partial) - match.end()
                    self._partial = bytearray()
                    return bytes(partial[: match.end()])
            if len(partial) >= limit:
                raise BlockTooLong
        return None

    def take_line(self, limit: int) -> bytes | None:
        """Move out what `take_until(LINE, limit)` would; the usual line, whole in one chunk, costs no pattern."""
        if not self._partial and self._advance():
            start = self._offset
            end = self._front.find(b"\n", start, start + min(limit, len(self._front) - start))
            if end >= 0:
                self._offset = end + 1
                return self._front[start : end + 1]
        return self.take_until(LINE, limit)

    def _advance(self) -> bool:
        """Make the first chunk one with unread bytes; false when there is none."""
        while self._offset >= len(self._front):
            if not self._chunks:
                self._front, self._offset = b"", 0
                return False
            self._front, self._offset = self._chunks.popleft(), 0
        return True
