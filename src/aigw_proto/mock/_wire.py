"""The bytes of one link in both directions, whatever is spoken on it: stores with bounds, deadlines, and the end.

What came is kept until it is asked for; beyond a bound the link is not read. What was made is handed to the driver once
in a turn. Above the high-water mark of unsent bytes the link is blocked, and nothing more should be made for it; a peer
that then takes nothing for too long is stuck.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Iterable

from .._effects import CloseHow, CloseLink, Effect, EndSending, Journal, SendBytes, SetReading
from .._kinds import LinkId
from .._timers import TimerTable
from ._limits import MockLimits

__all__ = ["Expiry", "Wire"]


class Expiry(enum.Enum):
    """Which deadline of a wire has passed."""

    STUCK = "the peer takes no bytes"
    LINGER = "the peer had its time to read what was sent last"


class Wire:
    """One link's input, output and end; owned by `MockLink`, used by what speaks on the link."""

    def __init__(self, link: LinkId, limits: MockLimits) -> None:
        """Begin with a link that is read and has sent nothing."""
        self.link = link
        self.limits = limits
        self.eof = False
        """Whether the peer sends no more."""
        self.ready = False
        """Whether only the turn's budget stopped the link."""
        self.torn = False
        """Whether every byte is sent in a turn of its own."""
        self.blocked = False
        """Whether the driver holds so much that nothing more should be made."""
        self.lingering = False
        """Whether input is only read so that what was sent last arrives."""
        self.closed: CloseHow | None = None
        """How the link was given up: its last effects are waiting, and nothing else happens on it."""
        self._timers: TimerTable[Expiry] = TimerTable()
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._inbox_offset = 0
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._outbox_offset = 0
        self._unsent = 0
        self._reading = True
        self._journal: list[Journal] = []
        self._asked: list[Effect] = []

    # --- input -------------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether input waits to be taken."""
        return bool(self._inbox)

    def receive(self, data: bytes) -> None:
        """Store bytes from the peer; a wire that lingers forgets them."""
        if self.lingering:
            return
        self._inbox.append(data)
        self._inbox_bytes += len(data)
        if self._inbox_bytes > self.limits.max_pipelined_bytes:
            self._set_reading(False)

    def take(self, most: int | None = None) -> bytes:
        """Move out the next bytes that came, at most `most`; empty when none wait."""
        if not self._inbox:
            return b""
        start = self._inbox_offset
        data = self._inbox[0][start:] if most is None else self._inbox[0][start : start + most]
        self._inbox_offset += len(data)
        if self._inbox_offset == len(self._inbox[0]):
            self._inbox.popleft()
            self._inbox_offset = 0
        self._inbox_bytes -= len(data)
        if not self._inbox:
            self._set_reading(True)
        return data

    def put_back(self, data: bytes) -> None:
        """Return bytes that belong to what is spoken next; they are the first to be taken."""
        if self._inbox_offset:
            self._inbox[0] = self._inbox[0][self._inbox_offset :]
            self._inbox_offset = 0
        if data:
            self._inbox.appendleft(data)
            self._inbox_bytes += len(data)

    # --- output ------------------------------------------------------------------------------------------------------

    @property
    def unflushed(self) -> bool:
        """Whether the outbox has bytes for the driver."""
        return bool(self._outbox)

    @property
    def unsent(self) -> int:
        """Bytes that the driver reported as not sent."""
        return self._unsent

    @property
    def room(self) -> int:
        """Bytes that may be made before the link reaches its high-water mark."""
        return self.limits.high_water_bytes - self._unsent - self._outbox_bytes

    def send(self, chunks: Iterable[bytes]) -> int:
        """Put bytes into the outbox, in order; return how many."""
        count = 0
        for chunk in chunks:
            if chunk:
                self._outbox.append(chunk)
                count += len(chunk)
        self._outbox_bytes += count
        return count

    def sent(self, unsent: int, now: float) -> None:
        """Note how many bytes the driver still holds."""
        progress = unsent < self._unsent
        self._unsent = unsent
        if unsent >= self.limits.high_water_bytes:
            self.blocked = True
        elif unsent <= self.limits.low_water_bytes:
            self.blocked = False
            self._timers.disarm(Expiry.STUCK)
        if self.blocked and (progress or self._timers.deadline(Expiry.STUCK) is None):
            self._timers.arm(Expiry.STUCK, now + self.limits.stuck_timeout_seconds)

    def journal(self, entry: object) -> None:
        """Write a record into the log at the end of this turn."""
        self._journal.append(Journal(entry))

    # --- the end -----------------------------------------------------------------------------------------------------

    def close(self, how: CloseHow) -> None:
        """Give the link up; the first time counts."""
        if self.closed is None:
            self.closed = how
            self._timers.clear()
            self._forget_input()

    def linger(self, now: float) -> None:
        """End sending, then read and forget for a while: closing over unread bytes resets the stream, output and all.

        A peer that has ended itself is closed at once.
        """
        if self.eof:
            self.close(CloseHow.FLUSH)
            return
        self.lingering = True
        self.torn = False  # what is in the outbox has to be sent before the end is
        self._forget_input()
        self._set_reading(True)
        self._asked.append(EndSending(self.link))
        self._timers.arm(Expiry.LINGER, now + self.limits.linger_timeout_seconds)

    def _forget_input(self) -> None:
        self._inbox.clear()
        self._inbox_bytes = self._inbox_offset = 0

    # --- time --------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None."""
        return self._timers.earliest

    def handle_timeout(self, now: float) -> Expiry | None:
        """Let time pass; return a deadline that has passed, once."""
        return self._timers.expire(now)

    # --- effects -----------------------------------------------------------------------------------------------------

    def take_effects(self) -> list[Effect]:
        """Move out what this turn asks of the driver, in the order in which it has to happen."""
        effects: list[Effect] = []
        chunks = self._take_output()
        if chunks and self.closed is not CloseHow.ABORT:
            effects.append(SendBytes(self.link, chunks))
        if self.closed is None:
            effects += self._asked
        self._asked.clear()
        effects += self._journal
        self._journal.clear()
        if self.closed is not None:
            effects.append(CloseLink(self.link, self.closed))
        return effects

    def _take_output(self) -> list[bytes]:
        outbox = self._outbox
        if self.torn and self.closed is None and outbox:
            at = self._outbox_offset
            byte = outbox[0][at : at + 1]
            self._outbox_bytes -= 1
            self._outbox_offset = at + 1
            if self._outbox_offset == len(outbox[0]):
                outbox.popleft()
                self._outbox_offset = 0
            return [byte]
        chunks = list(outbox)
        outbox.clear()
        if self._outbox_offset:
            chunks[0] = chunks[0][self._outbox_offset :]
        self._outbox_bytes = self._outbox_offset = 0
        return chunks

    def _set_reading(self, enabled: bool) -> None:
        if self._reading is not enabled:
            self._reading = enabled
            self._asked.append(SetReading(self.link, enabled))
