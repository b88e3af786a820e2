"""Waiting in a thread: how long, and for sockets, until another thread wakes it."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["READABLE", "WRITABLE", "Alarm", "check_timeout"]

READABLE = select.POLLIN
WRITABLE = select.POLLOUT
_MOST_SECONDS = 1e9  # 30 years; the system's clocks take no more than some hundred


def check_timeout(timeout: float | None) -> float | None:
    """Return a program's timeout in seconds, or None when there is no limit, which is so for more than 30 years, too.

    Raises TypeError for what is no number, and ValueError for less than 0 and for NaN.
    """
    if timeout is None:
        return None
    if not isinstance(timeout, int | float):  # pyright: ignore[reportUnnecessaryIsInstance] - programs may have no types
        raise TypeError(f"timeout: expected seconds or None, got {type(timeout).__name__}")
    if not timeout >= 0:
        raise ValueError(f"timeout: expected 0 seconds or more, got {timeout}")
    return None if timeout > _MOST_SECONDS else timeout


class Alarm:
    """Wakes the one thread that waits with it; it can be rung once, and stays so."""

    __slots__ = ("_far", "_near", "rung")

    def __init__(self) -> None:
        """Make one. Raises OSError when there are too many open files."""
        self._near, self._far = socket.socketpair()
        self.rung = False

    def ring(self) -> None:
        """Wake the thread, now or as soon as it waits. From any thread."""
        self.rung = True
        self._far.close()

    def wait(self, sockets: Iterable[socket.socket], events: int, seconds: float | None = None) -> set[int]:
        """Wait until a socket is ready or has failed; return the numbers of those that are.

        That is none when the alarm was rung or the time has passed.
        """
        poll = select.poll()
        for each in sockets:
            poll.register(each.fileno(), events)
        poll.register(self._near.fileno(), READABLE)
        ready = {number for number, _ in poll.poll(None if seconds is None else seconds * 1000.0)}
        return set() if self.rung else ready

    def close(self) -> None:
        """Free it. Not while a thread waits."""
        self._near.close()
        self._far.close()
