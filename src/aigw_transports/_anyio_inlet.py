"""Reading from a stream of anyio in the callbacks of asyncio's loop, without a task that waits for it.

`receive()` of such a stream makes the loop watch the socket, wait, and watch it no more: two system calls and the turn
of a task for each read, which is more than all else that a small message costs. Here the loop goes on watching until it
is told to stop, and what it reads is handed on at once. Under trio there are no callbacks, and TLS has to be undone
first: there a task receives.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from anyio.abc import ByteStream

__all__ = ["READ_BYTES", "Inlet", "Reader", "tap"]

READ_BYTES = 64 * 1024
"""How much is read at a time."""


class Reader(Protocol):
    """Who is told what a stream brings."""

    def receive(self, data: bytes) -> None:
        """Take bytes of the peer."""
        ...

    def receive_eof(self) -> None:
        """Take the end of the peer's bytes."""
        ...

    def receive_loss(self) -> None:
        """Take the end of the connection."""
        ...


class _Inner(Protocol):
    """What is asked of the protocol that anyio gives to its transports."""

    read_queue: deque[bytes]
    is_at_eof: bool

    def eof_received(self) -> bool | None: ...
    def pause_writing(self) -> None: ...
    def resume_writing(self) -> None: ...
    def connection_lost(self, exc: Exception | None) -> None: ...


class Inlet(asyncio.BufferedProtocol):
    """Takes the place of a stream's protocol, which goes on to hear what the stream's other methods wait for."""

    __slots__ = ("_buffer", "_enabled", "_inner", "_loop", "_over", "_reader", "_resting", "_rests", "_transport")

    def __init__(self, transport: asyncio.Transport, inner: _Inner, reader: Reader, buffer: memoryview) -> None:
        """Read nothing yet. `buffer`, for one read, is shared by all links of a loop, since it is emptied at once."""
        self._transport = transport
        self._inner = inner
        self._reader: Reader | None = reader
        self._buffer = buffer
        self._loop = asyncio.get_running_loop()
        self._rests = not isinstance(self._loop, asyncio.BaseEventLoop)
        self._enabled = False
        self._resting = False  # uvloop reads on and on: after a full read, until the others had their turn
        self._over = False
        transport.pause_reading()
        transport.set_protocol(self)

    def set_reading(self, enabled: bool) -> None:
        """Start reading, or stop."""
        self._enabled = enabled
        if enabled and (self._inner.read_queue or self._inner.is_at_eof):  # it came before there was an inlet
            self._loop.call_soon(self._hand_on)
        else:
            self._update()

    def stop(self) -> None:
        """Tell the reader nothing any more."""
        self._reader = None

    # -- what the transport tells

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the buffer for one read."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Hand on what was read."""
        if self._rests and nbytes == len(self._buffer):
            self._resting = True
            self._transport.pause_reading()
            self._loop.call_soon(self._read_on)
        if self._reader is not None:
            self._reader.receive(self._buffer[:nbytes].tobytes())

    def eof_received(self) -> bool:
        """Pass it on; the transport stays open."""
        self._over = True
        self._inner.eof_received()
        if self._reader is not None:
            self._reader.receive_eof()
        return True

    def pause_writing(self) -> None:
        """Pass it on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass it on."""
        self._over = True
        self._inner.connection_lost(exc)
        if self._reader is not None:
            self._reader.receive_loss()

    def _hand_on(self) -> None:
        queue = self._inner.read_queue
        while queue and self._enabled and self._reader is not None:
            self._reader.receive(queue.popleft())
        if self._inner.is_at_eof and not queue and not self._over:
            self.eof_received()
        self._update()

    def _read_on(self) -> None:
        self._resting = False
        self._update()

    def _update(self) -> None:
        if self._over or self._transport.is_closing():
            return  # asyncio would tell the end again
        if self._enabled and not self._resting:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()


def tap(stream: ByteStream, reader: Reader, buffer: memoryview) -> Inlet | None:
    """Put an inlet on a stream; None when it has no transport of asyncio's, so that `receive()` has to be called."""
    transport: asyncio.Transport | None = getattr(stream, "_transport", None)
    if transport is None or transport.is_closing():
        return None
    inner = cast("_Inner", transport.get_protocol())
    return Inlet(transport, inner, reader, buffer) if isinstance(getattr(inner, "read_queue", None), deque) else None
