"""A socket of the sync driver, and its threads: one reads, and one waits for room once the kernel has taken its fill.

All methods belong to the owner thread. It sends by itself, for as long as the kernel takes everything at once, and the
second thread is started when that is over for the first time. That one moves no bytes: what waits is the owner's, and
nobody else's, so it can be counted and dropped at any time.

The reading thread may be two reads ahead of the owner. What it has read when reading stops is held until it goes on.

A thread that reads is woken by ending the receiving direction, which the peer does not notice. Ending the sending
direction, which would wake the other thread, it would notice, as an orderly end, before the reset that is meant; so
that thread has an alarm.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import struct
from collections import deque
from typing import TYPE_CHECKING, Protocol

from ._sync_wait import WRITABLE, Alarm

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._sync_owner import Owner

__all__ = ["READ_BYTES", "SocketStream", "Stream", "User", "set_up"]

READ_BYTES = 64 * 1024
"""How much is read at a time."""
_READS_AHEAD = 2  # one would make the thread wait for the owner after each read
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: frees what the kernel still held for the peer, too


class User(Protocol):
    """Who is told what a stream brings, in the owner thread."""

    def receive(self, data: bytes) -> None:
        """Take bytes of the peer."""
        ...

    def receive_eof(self) -> None:
        """Note that the peer sends nothing more."""
        ...

    def receive_loss(self, error: Exception | None) -> None:
        """Note that nothing can be sent or read any more, and nothing waits."""
        ...

    def progress(self) -> None:
        """Note that the kernel has taken some of what waited, or all."""
        ...


class Stream(Protocol):
    """What a link sends on and reads from."""

    @property
    def waiting_bytes(self) -> int:
        """How much of what was written the kernel has not taken."""
        ...

    def begin(self, user: User) -> None:
        """Begin to read. Raises OSError when there cannot be another thread; the stream is closed then."""
        ...

    def write(self, data: bytes) -> None:
        """Send, or let it wait."""
        ...

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading."""
        ...

    def end_sending(self) -> None:
        """End the sending direction. Not while something waits."""
        ...

    def close(self) -> None:
        """Close in order; nothing is told any more, and what waits is dropped."""
        ...

    def reset(self) -> None:
        """Close with a reset."""
        ...


class SocketStream:
    """A stream that is a socket. `gone` is called when it is closed and its threads have ended."""

    __slots__ = (
        "_alarm", "_credit", "_gone", "_held", "_lost", "_name", "_over", "_owner", "_reading", "_room", "_socket",
        "_threads", "_user", "_waiting", "waiting_bytes",
    )  # fmt: skip

    def __init__(self, owner: Owner, connected: socket.socket, gone: Callable[[SocketStream], object]) -> None:
        """Take over a socket that blocks; see `set_up()`."""
        self._owner = owner
        self._socket = connected
        self._name = connected.fileno()
        self._gone = gone
        self._user: User | None = None
        self._credit: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True allows a read, False ends the thread
        self._reading = True
        self._held: deque[bytes | OSError] = deque()  # read, but not told yet
        self._room: queue.SimpleQueue[bool] = queue.SimpleQueue()  # True asks for a look, False ends the thread
        self._alarm: Alarm | None = None
        self._waiting: deque[memoryview] = deque()
        self.waiting_bytes = 0
        self._threads = 0
        self._lost = False
        self._over = False

    def begin(self, user: User) -> None:
        """See `Stream`."""
        self._user = user
        for _ in range(_READS_AHEAD):
            self._credit.put(True)
        try:
            self._start(f"reader-{self._name}", self._read)
        except OSError:
            self.close()
            raise

    def write(self, data: bytes) -> None:
        """See `Stream`."""
        if self._lost or self._over:
            return
        view = memoryview(data)
        if not self._waiting:
            view = view[self._send(view) :]
        if view:
            self._waiting.append(view)
            self.waiting_bytes += len(view)
            if len(self._waiting) == 1:
                self._await_room()

    def set_reading(self, enabled: bool) -> None:
        """See `Stream`. What is held is told at once, as far as nobody stops it again."""
        self._reading = enabled
        while self._held and self._reading:
            self._tell(self._held.popleft())

    def end_sending(self) -> None:
        """See `Stream`."""
        with contextlib.suppress(OSError):  # broken, which reading or writing will find out
            self._socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """See `Stream`."""
        self._end(socket.SHUT_RDWR)

    def reset(self) -> None:
        """See `Stream`."""
        if not self._over:
            with contextlib.suppress(OSError):  # it may be gone already
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._end(socket.SHUT_RD)

    # -- the threads

    def _read(self) -> None:
        while self._credit.get():
            try:
                data = self._socket.recv(READ_BYTES)
            except OSError as error:
                self._owner.post(self._take, error)
                return
            self._owner.post(self._take, data)
            if not data:
                return

    def _wait_for_room(self) -> None:
        while self._room.get():
            if self._alarm is not None and self._alarm.wait((self._socket,), WRITABLE):
                self._owner.post(self._pump, None)

    # -- what they post

    def _take(self, outcome: bytes | OSError) -> None:
        if self._reading:
            self._tell(outcome)
        else:
            self._held.append(outcome)

    def _pump(self, _: None) -> None:
        before = self.waiting_bytes
        while self._waiting:
            first = self._waiting[0]
            sent = self._send(first)
            if not self._waiting:  # broken
                return
            self.waiting_bytes -= sent
            if sent < len(first):
                self._waiting[0] = first[sent:]
                self._await_room()
                break
            self._waiting.popleft()
        if self._user is not None and self.waiting_bytes < before:
            self._user.progress()

    def _thread_ended(self) -> None:
        self._threads -= 1
        self._finish()

    # --

    def _start(self, name: str, body: Callable[[], object]) -> None:
        self._owner.start(name, body, self._thread_ended)
        self._threads += 1

    def _tell(self, outcome: bytes | OSError) -> None:
        if self._over or self._lost or self._user is None:
            return
        if isinstance(outcome, OSError):
            self._lose(outcome)
        elif outcome:
            self._credit.put(True)  # ahead of what follows from these bytes, so that the thread reads on meanwhile
            self._user.receive(outcome)
        else:
            self._user.receive_eof()

    def _send(self, data: memoryview) -> int:
        """Return how much the kernel has taken. All, when the connection is broken."""
        try:
            # Not send(): that of gevent minds no flags, and would wait.
            return self._socket.sendmsg((data,), (), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0
        except OSError as error:
            self._lose(error)
            return len(data)

    def _await_room(self) -> None:
        if self._alarm is None:
            try:
                self._alarm = Alarm()
                self._start(f"writer-{self._name}", self._wait_for_room)
            except OSError as error:  # no more open files, or threads
                self._lose(error)
                return
        self._room.put(True)

    def _lose(self, error: Exception) -> None:
        self._lost = True
        self._held.clear()
        self._waiting.clear()
        self.waiting_bytes = 0
        if self._user is not None and not self._over:
            self._user.receive_loss(error)

    def _end(self, how: int) -> None:
        if self._over:
            return
        self._over = True
        self._held.clear()
        self._waiting.clear()
        self.waiting_bytes = 0
        with contextlib.suppress(OSError):  # it may be gone already
            self._socket.shutdown(how)
        self._credit.put(False)
        self._room.put(False)
        if self._alarm is not None:
            self._alarm.ring()
        self._finish()

    def _finish(self) -> None:
        if self._over and not self._threads:
            self._socket.close()
            if self._alarm is not None:
                self._alarm.close()
            self._gone(self)


def set_up(connected: socket.socket) -> None:
    """Make a new socket fit for a stream. Raises OSError when it has broken already."""
    connected.setblocking(True)
    if connected.family in (socket.AF_INET, socket.AF_INET6):
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
