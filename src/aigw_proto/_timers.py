"""A table of named deadlines. No clock: whoever owns the table says what time it is."""

from __future__ import annotations

import enum
from typing import Generic, TypeVar

__all__ = ["TimerTable"]

NameT = TypeVar("NameT", bound=enum.Enum)


class TimerTable(Generic[NameT]):
    """Deadlines of one machine, at most one per name; meant for the handful of names a machine has.

    `earliest` is a level: look at it after every change. It is None when nothing is armed, and nobody else sets it.
    With so few entries a scan beats a heap, and nothing has to be cancelled.
    """

    __slots__ = ("_deadlines", "earliest")

    def __init__(self) -> None:
        """Create a table with nothing armed."""
        self._deadlines: dict[NameT, float] = {}
        self.earliest: float | None = None

    def arm(self, name: NameT, deadline: float) -> None:
        """Set the deadline of `name` in monotonic seconds, replacing an earlier one."""
        self._deadlines[name] = deadline
        self.earliest = min(self._deadlines.values())

    def disarm(self, name: NameT) -> None:
        """Forget the deadline of `name`, if it has one."""
        if self._deadlines.pop(name, None) is not None:
            self.earliest = min(self._deadlines.values(), default=None)

    def clear(self) -> None:
        """Forget all deadlines."""
        self._deadlines.clear()
        self.earliest = None

    def deadline(self, name: NameT) -> float | None:
        """Return the deadline of `name`, or None when it is not armed."""
        return self._deadlines.get(name)

    def expire(self, now: float) -> NameT | None:
        """Disarm and return the earliest name whose deadline is at or before `now`; None when there is none.

        Call until it returns None: the effects of one deadline may disarm the next.
        """
        if self.earliest is None or self.earliest > now:
            return None
        due = min(self._deadlines, key=self._deadlines.__getitem__)
        self.disarm(due)
        return due
