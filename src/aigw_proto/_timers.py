"""A table of named deadlines. No clock: whoever owns the table says what time it is."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Generic, TypeVar

__all__ = ["TimerTable"]

NameT = TypeVar("NameT", bound=enum.Enum)


class TimerTable(Generic[NameT]):
    """Deadlines of one machine, at most one per name; meant for the handful of names a machine has.

    `earliest()` is a level: ask after every change. With so few entries a scan beats a heap, and nothing has to be
    cancelled.
    """

    __slots__ = ("_deadlines", "armed")

    def __init__(self) -> None:
        """Create a table with nothing armed.

        `armed` is false as long as that is so, for those who ask after every message; nobody else writes to it.
        """
        self._deadlines: dict[NameT, float] = {}
        self.armed: Mapping[NameT, float] = self._deadlines

    def arm(self, name: NameT, deadline: float) -> None:
        """Set the deadline of `name` in monotonic seconds, replacing an earlier one."""
        self._deadlines[name] = deadline

    def disarm(self, name: NameT) -> None:
        """Forget the deadline of `name`, if it has one."""
        self._deadlines.pop(name, None)

    def clear(self) -> None:
        """Forget all deadlines."""
        self._deadlines.clear()

    def deadline(self, name: NameT) -> float | None:
        """Return the deadline of `name`, or None when it is not armed."""
        return self._deadlines.get(name)

    def earliest(self) -> float | None:
        """Return the earliest deadline, or None when nothing is armed."""
        deadlines = self._deadlines
        return min(deadlines.values()) if deadlines else None

    def expire(self, now: float) -> NameT | None:
        """Disarm and return the earliest name whose deadline is at or before `now`; None when there is none.

        Call until it returns None: the effects of one deadline may disarm the next.
        """
        due = min(self._deadlines, key=self._deadlines.__getitem__, default=None)
        if due is None or self._deadlines[due] > now:
            return None
        del self._deadlines[due]
        return due
