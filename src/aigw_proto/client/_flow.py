"""Flow control of the client, as arithmetic: what the program has not consumed, what the kernel has not taken.

Both directions are a level with hysteresis: above high water stop, below low water go on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._limits import ClientLimits

__all__ = ["Flow"]


class Flow:
    """Levels of one connection."""

    __slots__ = ("_held_bytes", "_limits", "reading", "sending")

    def __init__(self, limits: ClientLimits) -> None:
        """Start with nothing held: read and send."""
        self._limits = limits
        self._held_bytes = 0
        self.reading = True
        """The gateway may be read."""
        self.sending = True
        """The API layer may give new requests."""

    def delivered(self, size: int) -> None:
        """Note that `size` bytes went to the program."""
        self._held_bytes += size
        if self._held_bytes > self._limits.high_water_bytes:
            self.reading = False

    def consumed(self, size: int) -> None:
        """Note that the program took `size` bytes."""
        self._held_bytes = max(0, self._held_bytes - size)
        if self._held_bytes <= self._limits.low_water_bytes:
            self.reading = True

    def unsent(self, size: int) -> None:
        """Note that the driver holds `size` bytes that the kernel has not taken."""
        if size > self._limits.sending_high_water_bytes:
            self.sending = False
        elif size <= self._limits.sending_low_water_bytes:
            self.sending = True
