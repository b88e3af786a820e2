"""The virtual time of the memory world: a queue of what happens next, and one source of chance."""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

__all__ = ["Schedule", "Wakeup"]


class Wakeup:
    """A callback in the schedule; `cancel()` it and it never runs."""

    __slots__ = ("_callback",)

    def __init__(self, callback: Callable[[], None] | None) -> None:
        self._callback = callback

    @property
    def is_wanted(self) -> bool:
        """It was neither cancelled nor run."""
        return self._callback is not None

    def cancel(self) -> None:
        """Forget the callback. Harmless when it has run."""
        self._callback = None

    def take(self) -> Callable[[], None] | None:
        """Return the callback for its one run; None when cancelled."""
        callback, self._callback = self._callback, None
        return callback


class Schedule:
    """Virtual time: callbacks in order of time, then of scheduling. The clock jumps from one to the next."""

    def __init__(self, random_source: random.Random) -> None:
        self.now = 0.0
        self.random = random_source
        self._heap: list[tuple[float, int, Wakeup]] = []
        self._ready: deque[Wakeup] = deque()  # what was due at once: behind what is due in the heap, for it came later
        self._count = 0

    def at(self, time: float, callback: Callable[[], None]) -> Wakeup:
        """Run `callback` at `time`, or now when that has passed; never before what is already due."""
        wakeup = Wakeup(callback)
        if time <= self.now:
            self._ready.append(wakeup)
        else:
            self._count += 1
            heapq.heappush(self._heap, (time, self._count, wakeup))
        return wakeup

    def after(self, seconds: float, callback: Callable[[], None]) -> Wakeup:
        """Run `callback` in `seconds`."""
        return self.at(self.now + seconds, callback)

    def step(self, latest: float) -> bool:
        """Run the next callback that is due by `latest`; False when there is none."""
        heap, ready = self._heap, self._ready
        while True:
            if ready and not (heap and heap[0][0] <= self.now):
                if self.now > latest:
                    return False
                wakeup = ready.popleft()
            elif heap and heap[0][0] <= latest:
                time, _, wakeup = heapq.heappop(heap)
                if time > self.now and wakeup.is_wanted:  # else it is late, because the clock has jumped
                    self.now = time
            else:
                return False
            callback = wakeup.take()
            if callback is not None:
                callback()
                return True

    def chance(self, probability: float) -> bool:
        """Draw whether something of that probability happens."""
        return probability > 0 and self.random.random() < probability
