"""The owner thread of the sync driver: whatever happens is told to it, and done in it, one thing after the other.

Other threads only wait: for bytes, for room, for connections, for names. What they found out they post, and the owner
does it. So nothing that belongs to an engine needs a lock.

Names of the standard library are looked up when they are used: gevent puts its own in their place.
"""

from __future__ import annotations

import errno
import heapq
import itertools
import os
import queue
import threading
import time
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Owner", "Timer"]

ArgumentT = TypeVar("ArgumentT")
_LEAST_SECONDS = 0.000_001  # not 0: that would not let the other threads run, and they may have something to post
_MOST_SECONDS = 3600.0  # the system's clocks take no more than some years


class Timer:
    """Something that is to be done later."""

    __slots__ = ("work",)

    def __init__(self, work: Callable[[], object]) -> None:
        """Use `Owner.call_later()`."""
        self.work: Callable[[], object] | None = work

    def cancel(self) -> None:
        """See that it is not done."""
        self.work = None


class Owner:
    """What is posted and what is due. All but `post()` is for the owner thread, which calls `step()` in a loop."""

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self._inbox: queue.SimpleQueue[tuple[Callable[[Any], object], object]] = queue.SimpleQueue()
        self._timers: list[tuple[float, int, Timer]] = []
        self._numbers = itertools.count()
        self._threads: set[threading.Thread] = set()

    @property
    def thread_count(self) -> int:
        """How many threads that were started here have not ended."""
        return len(self._threads)

    def post(self, work: Callable[[ArgumentT], object], argument: ArgumentT) -> None:
        """Have `work(argument)` done, soon. From any thread, and from a signal handler."""
        self._inbox.put((work, argument))

    def call_later(self, seconds: float, work: Callable[[], object]) -> Timer:
        """Have `work()` done after so many seconds."""
        timer = Timer(work)
        heapq.heappush(self._timers, (time.monotonic() + seconds, next(self._numbers), timer))
        return timer

    def start(self, name: str, body: Callable[[], object], ended: Callable[[], object]) -> None:
        """Run `body()` in a thread of its own; when that has ended, `ended()` is called here.

        Raises OSError when there cannot be another thread. An exception of `body`, which is a bug, comes out of
        `step()`. The threads are daemons: a program that ends while its driver runs is not held up.
        """

        def run() -> None:
            try:
                body()
            except Exception as error:  # noqa: BLE001 - whatever it is, the owner raises it
                self.post(_raise, error)
            finally:
                self.post(self._reap, (thread, ended))

        thread = threading.Thread(target=run, name=f"aigw-{name}", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from None
        self._threads.add(thread)

    def step(self, deadline: float) -> None:
        """Wait until something is there to do, or `deadline` (monotonic seconds) has passed, and do what is there.

        With a deadline in the past, others get their chance to post, and what they post is done.
        """
        if self._timers:
            deadline = min(deadline, self._timers[0][0])
        inbox = self._inbox
        try:
            seconds = min(max(deadline - time.monotonic(), _LEAST_SECONDS), _MOST_SECONDS)
            work, argument = inbox.get(timeout=seconds)
        except queue.Empty:
            pass
        else:
            work(argument)
            for _ in range(inbox.qsize()):  # what comes meanwhile waits for its turn, as timers do
                work, argument = inbox.get_nowait()
                work(argument)
        while self._timers and self._timers[0][0] <= time.monotonic():
            timer = heapq.heappop(self._timers)[2]
            if timer.work is not None:
                timer.work()

    def finish(self) -> None:
        """Do what was posted too late for another step, all of it, and raise what the first of it raised."""
        failures: list[Exception] = []
        while not self._inbox.empty():
            work, argument = self._inbox.get_nowait()
            try:
                work(argument)
            except Exception as error:  # noqa: BLE001 - somebody may be waiting for what comes behind it
                failures.append(error)
        if failures:
            raise failures[0]

    def _reap(self, ending: tuple[threading.Thread, Callable[[], object]]) -> None:
        thread, ended = ending
        thread.join()  # it has nothing left to do
        self._threads.discard(thread)
        ended()


def _raise(error: Exception) -> None:
    raise error
