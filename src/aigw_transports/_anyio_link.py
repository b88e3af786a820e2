"""One link of the anyio driver: a task that owns a stream, writes what is queued, and closes; and a child that reads.

The methods of the first group are the driver's ports and never wait. The link tells the driver what happens through
`feed`, and tells it nothing any more once it is closing.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, BytesSent, PeerClosed
from aigw_proto.conductor import FLUSH_SECONDS

from ._anyio_tls import SecureStream
from ._backlog import Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import ByteStream

    from aigw_proto._inputs import Input
    from aigw_proto._kinds import LinkId

__all__ = ["CLOSE_NOTIFY_SECONDS", "Link", "hold_back"]

CLOSE_NOTIFY_SECONDS = 1.0
"""How long a closed TLS link waits for the peer's close_notify; ours is sent at once."""
_READ_BYTES = 64 * 1024
_BROKEN = (OSError, anyio.BrokenResourceError, anyio.BusyResourceError, anyio.ClosedResourceError)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: frees what the kernel still held for the peer, too


class Link:
    """The state of one link and its tasks."""

    __slots__ = (
        "_broken", "_ending", "_feed", "_open", "_queue", "_reading", "_told_end", "_unsent_bytes", "_work",
        "closing", "link", "scope",
    )  # fmt: skip

    def __init__(self, link: LinkId, feed: Callable[[Input], None]) -> None:
        """Prepare a link that is not open yet; `scope` is for the task that opens and runs it."""
        self.link = link
        self.scope = anyio.CancelScope()
        self.closing = False
        self._feed = feed
        self._open = False
        self._queue = Backlog()
        self._unsent_bytes = 0
        self._ending = False
        self._broken = False
        self._told_end = False
        self._work = anyio.Event()
        self._reading = anyio.Event()
        self._reading.set()

    def send(self, chunks: list[bytes]) -> int:
        """Queue chunks; return how many bytes are queued: none goes to the kernel before the turns are over."""
        if not self._broken:
            self._queue.extend(chunks)
            self._unsent_bytes += sum(map(len, chunks))
            self._work.set()
        return self._unsent_bytes

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading; a read under way is still fed."""
        if enabled:
            self._reading.set()
        else:
            self._reading = anyio.Event()

    def end_sending(self) -> None:
        """End the sending direction behind what is queued."""
        self._ending = True
        self._work.set()

    def close(self, how: CloseHow) -> None:
        """Feed nothing any more, and close: at once, or when everything queued is sent."""
        self.closing = True
        if how is CloseHow.ABORT or not self._open:
            self.scope.cancel()
        else:
            self.scope.deadline = anyio.current_time() + FLUSH_SECONDS
            self._work.set()

    async def run(self, stream: ByteStream, birth: Input) -> None:
        """Report `birth`, then move bytes until the link is closed; closes the stream whatever happens."""
        in_order = False
        hold_back(stream)
        try:
            self._open = True
            if not self.closing:  # a connect may succeed in the moment in which it is withdrawn
                self._feed(birth)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, stream)
                await self._write(stream)
                tasks.cancel_scope.cancel()
            if isinstance(stream, SecureStream) and not self._broken:
                with anyio.move_on_after(CLOSE_NOTIFY_SECONDS):
                    await _say_farewell(stream)
            in_order = True
        finally:
            if not in_order:
                _reset_on_close(stream)
            await anyio.aclose_forcefully(stream)

    async def _read(self, stream: ByteStream) -> None:
        while not self.closing:
            if not self._reading.is_set():
                await self._reading.wait()
                continue
            try:
                data = await stream.receive(_READ_BYTES)
            except anyio.EndOfStream:
                self._tell_end(clean=True)
                return
            except _BROKEN:
                self._break()
                return
            if not self.closing:
                self._feed(BytesReceived(self.link, data))

    async def _write(self, stream: ByteStream) -> None:
        """Write until the link is closing and nothing is queued."""
        while self._queue or not self.closing:
            if self._queue:
                block = self._queue.next_block()
                try:
                    await stream.send(block)
                except _BROKEN:
                    self._break()
                if not self._broken:
                    self._unsent_bytes -= len(block)
                    self._tell_unsent()
            elif self._ending:
                self._ending = False
                await self._send_eof(stream)
            else:
                await self._work.wait()
                self._work = anyio.Event()

    async def _send_eof(self, stream: ByteStream) -> None:
        if self._broken:
            return
        try:
            await stream.send_eof()
        except _BROKEN:
            self._break()

    def _break(self) -> None:
        """Note that nothing can be sent or read any more, and tell the engine what it does not know."""
        unsent, self._unsent_bytes = self._unsent_bytes, 0
        self._broken = True
        self._queue.clear()
        if not self._told_end:
            self._tell_end(clean=False)
        elif unsent:
            self._tell_unsent()  # the end was told before and is told once; but nothing waits any more

    def _tell_end(self, *, clean: bool) -> None:
        if not self.closing and not self._told_end:
            self._told_end = True
            self._feed(PeerClosed(self.link, clean))

    def _tell_unsent(self) -> None:
        if not self.closing:
            self._feed(BytesSent(self.link, self._unsent_bytes))


async def _say_farewell(stream: SecureStream) -> None:
    """Send close_notify, so that the peer knows that nothing was cut off, and discard what comes until the peer's."""
    with contextlib.suppress(*_BROKEN, anyio.EndOfStream):  # the peer may be gone already
        await stream.send_eof()
        while True:
            await stream.receive()


def hold_back(stream: ByteStream) -> None:
    """Stop an accepted asyncio transport from reading until `receive()` asks for it, and from reading much at a time.

    anyio pauses a transport after each `receive()` that had to wait, and those that it connects, but not those that it
    accepts: a peer that sends fast enough from its first byte on would be read without bound. And asyncio reads four
    times what is asked for; the rest of it would wait in memory for as long as the link is not read.
    """
    inner = stream.transport if isinstance(stream, SecureStream) else stream
    transport = getattr(inner, "_transport", None)
    if isinstance(transport, asyncio.ReadTransport):
        transport.pause_reading()
        if hasattr(transport, "max_size"):  # of one recv; other loops have their own bounds
            vars(transport)["max_size"] = _READ_BYTES


def _reset_on_close(stream: ByteStream) -> None:
    raw = stream.extra(SocketAttribute.raw_socket, None)  # noqa: S610 - not a database
    if raw is not None:
        with contextlib.suppress(OSError):  # the connection may be gone already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
