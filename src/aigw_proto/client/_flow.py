"""Flow control of the client, as arithmetic: what the program has not consumed, what the kernel has not taken.

Both directions are a level with hysteresis: above high water stop, below low water go on.

Reading stops for all requests when one program leaves one stream unread, so a program could wait for ever: it does not
go on with the first stream before the second request is answered, and the answer is not read before the first stream
is. Such a knot is cut: when reading has been stopped for `stall_timeout_seconds` without anything being consumed, while
somebody has consumed all there was and waits for more, the fullest request is given up, until there is room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from ._limits import ClientLimits

__all__ = ["Flow"]


class Flow:
    """Levels of one connection, with the share of each ticket."""

    __slots__ = ("_held_bytes", "_limits", "_shares", "_since", "reading", "sending")

    def __init__(self, limits: ClientLimits) -> None:
        """Start with nothing held: read and send."""
        self._limits = limits
        self._held_bytes = 0
        self._shares: dict[int, int] = {}
        self._since = 0.0
        self.reading = True
        """The gateway may be read."""
        self.sending = True
        """The API layer may give new requests."""

    def delivered(self, ticket: int, size: int, now: float) -> None:
        """Note that `size` bytes went to the program."""
        self._held_bytes += size
        self._shares[ticket] = self._shares.get(ticket, 0) + size
        if self.reading and self._held_bytes > self._limits.high_water_bytes:
            self.reading = False
            self._since = now

    def consumed(self, sizes: Mapping[int, int], now: float) -> None:
        """Note that the program took that many bytes of each ticket."""
        for ticket, size in sizes.items():
            self._take(ticket, size)
        self._since = now

    def forget(self, ticket: int) -> None:
        """Note that nothing of a ticket is held any more."""
        self._take(ticket, self._shares.get(ticket, 0))

    def next_stall(self) -> float | None:
        """Return when the connection will have stalled, or None while it is read."""
        timeout = self._limits.stall_timeout_seconds
        return None if self.reading or timeout is None else self._since + timeout

    def give_up(self, waiting: Collection[int], now: float) -> int | None:
        """Name the ticket to give up, if the connection has stalled at `now`; call until it returns None.

        `waiting` are the requests under way. What a named ticket holds counts no longer.
        """
        stalled = self.next_stall()
        if stalled is None or stalled > now:
            return None
        if all(ticket in self._shares for ticket in waiting):
            self._since = now  # nobody waits for more than there is: the program is slow, which is its right
            return None
        fullest = max(self._shares, key=self._shares.__getitem__)
        self.forget(fullest)
        return fullest

    def unsent(self, size: int) -> None:
        """Note that the driver holds `size` bytes that the kernel has not taken."""
        if size > self._limits.sending_high_water_bytes:
            self.sending = False
        elif size <= self._limits.sending_low_water_bytes:
            self.sending = True

    def _take(self, ticket: int, size: int) -> None:
        share = self._shares.get(ticket, 0)
        if size < share:
            self._shares[ticket] = share - size
            self._held_bytes -= size
        elif share:
            del self._shares[ticket]
            self._held_bytes -= share
        if self._held_bytes <= self._limits.low_water_bytes:
            self.reading = True
