"""Waiting for sockets in a thread that another thread can wake."""

from __future__ import annotations

import select
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["READABLE", "WRITABLE", "Alarm"]

READABLE = select.POLLIN
WRITABLE = select.POLLOUT


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
