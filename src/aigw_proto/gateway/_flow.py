"""Back-pressure as arithmetic on unsent bytes.

A gauge counts what one link still has to send: what the driver reported as backlog plus what the turn under way has
queued. Above the high mark the gauge is shut and whoever feeds the link stops pulling from its machines; at or below
the low mark it opens again. Two marks instead of one, so that a link near its limit does not flap at every frame.
"""

from __future__ import annotations

from collections import deque

from .._limits import UNLIMITED

__all__ = ["Gauge", "Portions"]

_PORTION_BYTES = 4 * 1024  # as fragments without content, 700 frames: a millisecond or two


class Gauge:
    """Unsent bytes of one link against its water marks."""

    __slots__ = ("_backlog", "_high", "_low", "queued", "shut")

    def __init__(self, *, high_bytes: int, low_bytes: int) -> None:
        """Start empty and open."""
        self._high = min(high_bytes, UNLIMITED)
        self._low = min(low_bytes, self._high)  # else it would open while it has to be shut
        self._backlog = 0
        self.queued = 0
        self.shut = False

    @property
    def level(self) -> int:
        """Unsent bytes: the driver's backlog and this turn's output."""
        return self._backlog + self.queued

    def add(self, count: int) -> None:
        """Add bytes that this turn sends."""
        self.queued += count
        level = self._backlog + self.queued
        if level > self._high:
            self.shut = True

    def hand_over(self) -> None:
        """End the turn: the driver has this turn's bytes now and reports those that it could not pass on."""
        self.queued = 0
        if self.shut and self._backlog <= self._low:
            self.shut = False

    def report(self, unsent: int) -> bool:
        """Take the driver's backlog; return whether it shrank."""
        shrank = unsent < self._backlog
        self._backlog = unsent
        level = unsent + self.queued
        if level > self._high:
            self.shut = True
        elif level <= self._low:
            self.shut = False
        return shrank


class Portions:
    """Received bytes, handed on a little at a time.

    A machine that is given a read of 64 KiB may have ten thousand frames to look at before it has anything to say;
    given a portion, it comes back soon enough for others to have their turn.
    """

    __slots__ = ("_front", "_offset", "_waiting")

    def __init__(self) -> None:
        """Start empty."""
        self._waiting: deque[bytes] = deque()
        self._front = b""
        self._offset = 0

    def append(self, data: bytes) -> None:
        """Store bytes; nothing is copied."""
        self._waiting.append(data)

    def take(self) -> bytes:
        """Move out the next portion; empty when there is none."""
        if self._offset >= len(self._front):
            if not self._waiting:
                return b""
            self._front, self._offset = self._waiting.popleft(), 0
        start, self._offset = self._offset, self._offset + _PORTION_BYTES
        portion = self._front[start : self._offset]
        if self._offset >= len(self._front):
            self._front = b""  # an idle connection must not hold on to its last read
        return portion

    def clear(self) -> None:
        """Forget everything."""
        self._waiting.clear()
        self._front = b""
