"""One link of the anyio driver: a task that owns a stream, sends what has to wait, and closes.

The methods of the first group are the driver's ports and never wait. What is sent goes to the kernel at once while it
takes everything, so that only a link that is held up has something for its task to do; and where the loop can hand on
what it reads, no task reads. The link tells the driver what happens through `feed`, and tells it nothing any more once
it is closing.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import TYPE_CHECKING

import anyio
from anyio.abc import SocketAttribute

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, BytesSent, PeerClosed
from aigw_proto.conductor import FLUSH_SECONDS

from ._anyio_inlet import READ_BYTES, Inlet, tap
from ._anyio_outlet import Outlet
from ._anyio_tls import SecureStream
from ._backlog import JOIN_BYTES, SLICE_BYTES, Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from anyio.abc import ByteStream

    from aigw_proto._inputs import Input
    from aigw_proto._kinds import LinkId

__all__ = ["CLOSE_NOTIFY_SECONDS", "Link", "hold_back"]

CLOSE_NOTIFY_SECONDS = 1.0
"""How long a closed TLS link waits for the peer's close_notify; ours is sent at once."""
_BROKEN = (OSError, anyio.BrokenResourceError, anyio.BusyResourceError, anyio.ClosedResourceError)
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: frees what the kernel still held for the peer, too


class Link:
    """The state of one link and its tasks."""

    __slots__ = (
        "_broken", "_buffer", "_ending", "_feed", "_handed_bytes", "_inlet", "_outlet", "_queue", "_reading",
        "_reported_bytes", "_told_end", "_work", "closing", "link", "scope",
    )  # fmt: skip

    def __init__(self, link: LinkId, feed: Callable[[Input], None], buffer: memoryview) -> None:
        """Prepare a link that is not open yet; `scope` is for the task that opens and runs it.

        `buffer`, of `READ_BYTES`, is shared by all links of a driver.
        """
        self.link = link
        self.scope = anyio.CancelScope()
        self.closing = False
        self._feed = feed
        self._buffer = buffer
        self._inlet: Inlet | None = None
        self._outlet: Outlet | SecureStream | None = None
        self._queue = Backlog()  # empty while the kernel takes everything
        self._handed_bytes = 0  # of the block that it has not taken whole
        self._reported_bytes = 0
        self._ending = False
        self._broken = False
        self._told_end = False
        self._work = anyio.Event()
        self._reading = anyio.Event()
        self._reading.set()

    def send(self, chunks: list[bytes]) -> int:
        """Hand chunks to the kernel; return how many bytes of this link it has not taken."""
        if self._broken or self._outlet is None:
            return 0  # the engine is about to hear of it
        size = sum(map(len, chunks))
        if self._handed_bytes:
            self._queue.extend(chunks)
        elif size <= JOIN_BYTES or (len(chunks) == 1 and size <= SLICE_BYTES):
            self._hand(self._outlet, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        else:
            self._queue.extend(chunks)
            self._pump(self._outlet)
        if not self._handed_bytes:
            return 0
        self._work.set()
        self._reported_bytes = self._unsent_bytes()
        return self._reported_bytes

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading; a read under way is still fed."""
        if self._inlet is not None:
            self._inlet.set_reading(enabled)
        elif enabled:
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
        if how is CloseHow.ABORT or self._outlet is None:
            self.scope.cancel()
        else:
            self.scope.deadline = anyio.current_time() + FLUSH_SECONDS
            self._work.set()

    async def run(self, stream: ByteStream, birth: Input) -> None:
        """Report `birth`, then move bytes until the link is closed; closes the stream whatever happens."""
        in_order = False
        hold_back(stream)
        try:
            self._outlet = outlet = stream if isinstance(stream, SecureStream) else Outlet(stream)
            self._inlet = tap(stream, self, self._buffer)
            self.set_reading(True)
            if not self.closing:  # a connect may succeed in the moment in which it is withdrawn
                self._feed(birth)
            async with anyio.create_task_group() as tasks:
                if self._inlet is None:
                    tasks.start_soon(self._read, stream)
                await self._write(stream, outlet)
                tasks.cancel_scope.cancel()
            if isinstance(stream, SecureStream) and not self._broken:
                with anyio.move_on_after(CLOSE_NOTIFY_SECONDS):
                    await _say_farewell(stream)
            in_order = True
        finally:
            if self._inlet is not None:
                self._inlet.stop()
            if not in_order:
                _reset_on_close(stream)
            await anyio.aclose_forcefully(stream)

    async def _read(self, stream: ByteStream) -> None:
        while not self.closing:
            if not self._reading.is_set():
                await self._reading.wait()
                continue
            try:
                data = await stream.receive(READ_BYTES)
            except anyio.EndOfStream:
                self.receive_eof()
                return
            except _BROKEN:
                self.receive_loss()
                return
            self.receive(data)

    def receive(self, data: bytes) -> None:
        """See `Reader`."""
        if not self.closing:
            self._feed(BytesReceived(self.link, data))

    def receive_eof(self) -> None:
        """See `Reader`."""
        self._tell_end(clean=True)

    def receive_loss(self) -> None:
        """See `Reader`."""
        self._break()

    async def _write(self, stream: ByteStream, outlet: Outlet | SecureStream) -> None:
        """Send what has to wait, until the link is closing and nothing is left."""
        while self._handed_bytes or not self.closing:
            if self._handed_bytes:
                try:
                    await outlet.flush()
                except _BROKEN:
                    self._break()
                self._handed_bytes = 0
                self._pump(outlet)
                self._tell_unsent(self._unsent_bytes())
            elif self._ending:
                self._ending = False
                await self._send_eof(stream)
            else:
                await self._work.wait()
                self._work = anyio.Event()

    def _pump(self, outlet: Outlet | SecureStream) -> None:
        while self._queue and not self._handed_bytes:
            self._hand(outlet, self._queue.next_block())

    def _hand(self, outlet: Outlet | SecureStream, block: bytes) -> None:
        try:
            if not outlet.send_now(block):
                self._handed_bytes = len(block)
        except OSError:
            self._break()

    def _unsent_bytes(self) -> int:
        return self._queue.size_bytes + self._handed_bytes

    async def _send_eof(self, stream: ByteStream) -> None:
        if self._broken:
            return
        try:
            await stream.send_eof()
        except _BROKEN:
            self._break()

    def _break(self) -> None:
        """Note that nothing can be sent or read any more, and tell the engine what it does not know."""
        self._broken = True
        self._handed_bytes = 0
        self._queue.clear()
        if self._told_end:  # and it is told once; but nothing waits any more
            self._tell_unsent(0)
        else:
            self._tell_end(clean=False)
        self._reported_bytes = 0

    def _tell_end(self, *, clean: bool) -> None:
        if not self.closing and not self._told_end:
            self._told_end = True
            self._feed(PeerClosed(self.link, clean))

    def _tell_unsent(self, unsent: int) -> None:
        if unsent < self._reported_bytes and not self.closing:
            self._reported_bytes = unsent
            self._feed(BytesSent(self.link, unsent))


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
    if transport is not None:
        transport.pause_reading()
        if hasattr(transport, "max_size"):  # of one recv; other loops have their own bounds
            vars(transport)["max_size"] = READ_BYTES


def _reset_on_close(stream: ByteStream) -> None:
    raw = stream.extra(SocketAttribute.raw_socket, None)  # noqa: S610 - not a database
    if raw is not None:
        with contextlib.suppress(OSError, ValueError):  # it may be gone already; uvloop says ValueError then
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
