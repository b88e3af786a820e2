"""How long a server waits for what (one wait at a time), without a clock.

Some waits begin in a call that is not told the time: the one for the next request begins when the caller ends an
answer. Such a wait starts from the last time known and is *loose*: when it seems to be over, it begins once more, from
a time that is certain. So it never ends too early, and at most one timer call is spent on it.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._limits import HttpLimits

__all__ = ["Patience", "Wait"]


class Wait(enum.Enum):
    """What is awaited."""

    HEAD = "the rest of a request's head"
    BODY = "more of a request's body"
    REQUEST = "another request on a kept connection"


class Patience:
    """The one deadline of an HTTP/1.1 connection."""

    __slots__ = ("_deadline", "_is_loose", "_seconds", "_wait")

    def __init__(self, limits: HttpLimits) -> None:
        """Wait for nothing yet."""
        self._seconds = {
            Wait.HEAD: limits.head_timeout_seconds,
            Wait.BODY: limits.idle_timeout_seconds,
            Wait.REQUEST: limits.idle_timeout_seconds,
        }
        self._wait: Wait | None = None
        self._deadline: float | None = None
        self._is_loose = False

    @property
    def wait(self) -> Wait | None:
        """What is awaited, if anything."""
        return self._wait

    @property
    def deadline(self) -> float | None:
        """When patience ends, in monotonic seconds."""
        return self._deadline

    def start(self, wait: Wait, now: float, *, loose: bool = False) -> None:
        """Wait for something from `now` on, instead of what was awaited before."""
        self._wait = wait
        self._deadline = now + self._seconds[wait]
        self._is_loose = loose

    def stop(self) -> None:
        """Wait for nothing."""
        self._wait = self._deadline = None

    def expire(self, now: float) -> Wait | None:
        """Return what was awaited for too long, and stop waiting for it; None while there is patience."""
        wait = self._wait
        if wait is None or self._deadline is None or now < self._deadline:
            return None
        if self._is_loose:
            self.start(wait, now)
            return None
        self.stop()
        return wait
