"""A driver on trio, without anyio: `python trio_driver.py [--port P]`.

Each link is a task that reads and one that writes, in one nursery with the timer and the listeners. It speaks TLS to
providers, keeps back-pressure both ways and passes `aigw_proto.testing.check_driver`.
"""

from __future__ import annotations

import contextlib
import functools
import math
import signal
import socket
import struct
import time
from collections.abc import Callable
from typing import TypeAlias

import trio
from example_gateway import GRACE_SECONDS, announce, make_engine, port_argument

from aigw_proto import (
    CloseHow,
    Connect,
    Engine,
    Input,
    LinkAccepted,
    LinkConnected,
    LinkId,
    ShutdownRequested,
)
from aigw_transports.parts import (
    FLUSH_SECONDS,
    Backlog,
    BaseDriver,
    Reporter,
    client_context,
    not_opened,
    not_secured,
    readable_address,
)

READ_BYTES = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)
BROKEN = (trio.BrokenResourceError, trio.ClosedResourceError)


Stream: TypeAlias = "trio.SocketStream | trio.SSLStream[trio.SocketStream]"


class Link(Reporter):
    """One link, and its two tasks. What is sent waits here until the writing task has handed it to the kernel."""

    def __init__(self, link: LinkId, feed: Callable[[Input], None]) -> None:
        """Wait for `run()`; `scope` is for the task that calls it."""
        super().__init__(link, feed)
        self.scope = trio.CancelScope()
        self._open = False
        self._backlog = Backlog()
        self._block_bytes = 0  # on their way to the kernel
        self._ending = False
        self._work = trio.Event()
        self._readable = trio.Event()
        self._readable.set()

    # -- the engine wants

    def send(self, chunks: list[bytes]) -> int:
        """Send chunks; return how much of all waits."""
        if self.broken:
            return 0
        self._backlog.extend(chunks)
        self._work.set()
        return self.note_unsent(self._backlog.size_bytes + self._block_bytes)

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading."""
        if enabled:
            self._readable.set()
        else:
            self._readable = trio.Event()

    def end_sending(self) -> None:
        """End the sending direction behind what waits."""
        self._ending = True
        self._work.set()

    def close(self, how: CloseHow) -> None:
        """Close, when all is sent or at once."""
        self.closing = True
        self._work.set()
        if how is CloseHow.ABORT or not self._open:
            self.scope.cancel()
        self.scope.deadline = trio.current_time() + FLUSH_SECONDS

    # -- the tasks

    async def run(self, tcp: trio.SocketStream, stream: Stream, birth: Input) -> None:
        """Tell of the link, then move bytes until it is closed: in order, or with a reset when it is cancelled."""
        in_order = False
        try:
            self._open = True
            self.report(birth)
            async with trio.open_nursery() as tasks:
                tasks.start_soon(self._read, stream)
                await self._write(stream)
                tasks.cancel_scope.cancel()
            await stream.aclose()
            in_order = True
        finally:
            if not in_order:
                with contextlib.suppress(OSError):
                    tcp.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            await trio.aclose_forcefully(tcp)

    async def _read(self, stream: Stream) -> None:
        while not self.ended:
            await self._readable.wait()
            try:
                self.report_data(bytes(await stream.receive_some(READ_BYTES)))
            except BROKEN:
                self._break()

    async def _write(self, stream: Stream) -> None:
        while self._backlog or self._ending or not self.closing:
            try:
                if self._backlog:
                    block = self._backlog.next_block()
                    self._block_bytes = len(block)
                    await stream.send_all(block)
                    self._block_bytes = 0
                    self.report_unsent(self._backlog.size_bytes)
                elif self._ending:
                    self._ending = False
                    if isinstance(stream, trio.SocketStream):  # TLS has no half-close
                        await stream.send_eof()
                else:
                    await self._work.wait()
                    self._work = trio.Event()
            except BROKEN:
                self._break()

    def _break(self) -> None:
        self._block_bytes = 0
        self._ending = False
        self._backlog.clear()
        self.report_loss()


class TrioDriver(BaseDriver[Input, Link]):
    """Runs one engine: `listen()` if it serves, then `run()`."""

    def __init__(self, engine: Engine[Input]) -> None:
        """Join the engine to this driver."""
        super().__init__(engine, time.monotonic, None, None, None)
        self._listeners: list[trio.SocketListener] = []
        self._tasks: trio.Nursery | None = None
        self._ended = trio.Event()
        self._deadline = math.inf
        self._timer = trio.CancelScope()

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Accept connections; return the address. Raises OSError."""
        self._listeners += await trio.open_tcp_listeners(port, host=host)
        bound_host, bound_port = self._listeners[-1].socket.getsockname()[:2]
        return bound_host, bound_port

    async def run(self) -> None:
        """Run until the engine has drained and all that it sent is gone. Raises what the engine raises."""
        self._begin()
        async with trio.open_nursery() as self._tasks, trio.open_nursery() as services:
            services.start_soon(self._keep_time)
            if self._listeners:
                serve = functools.partial(trio.serve_listeners, handler_nursery=self._tasks)
                services.start_soon(serve, self._accept, self._listeners)
            self._wake()
            await self._ended.wait()
            services.cancel_scope.cancel()
        if self._error is not None:
            raise self._error

    def _give_up(self) -> None:
        self._ended.set()
        for link in self._links.values():
            link.scope.cancel()

    async def _accept(self, stream: trio.SocketStream) -> None:
        link = self._add(self._conductor.new_link())
        with link.scope:
            peer = ("unknown", 0)
            with contextlib.suppress(OSError):  # it may have gone already
                peer = stream.socket.getpeername()[:2]
            await link.run(stream, stream, LinkAccepted(link.link, readable_address(peer)))

    async def _open(self, link: Link, effect: Connect) -> None:
        with link.scope:
            try:
                tcp = await trio.open_tcp_stream(effect.host, effect.port)
            except (OSError, ValueError, OverflowError) as error:
                self._fail_to_open(link, not_opened(effect, error))
                return
            stream: Stream = tcp
            alpn = None
            if effect.tls is not None:
                try:
                    stream = trio.SSLStream(tcp, client_context(effect.tls, effect.alpn), server_hostname=effect.host)
                    await stream.do_handshake()
                except (OSError, ValueError, trio.BrokenResourceError) as error:
                    await trio.aclose_forcefully(tcp)
                    self._fail_to_open(link, not_secured(effect, error.__cause__ or error))
                    return
                except trio.Cancelled:
                    await trio.aclose_forcefully(tcp)
                    raise
                alpn = stream.selected_alpn_protocol()
            await link.run(tcp, stream, LinkConnected(link.link, alpn))

    def _fail_to_open(self, link: Link, failed: Input) -> None:
        if not link.closing:
            del self._links[link.link]
            self._feed(failed)

    def _add(self, number: LinkId) -> Link:
        link = self._links[number] = Link(number, self._feed)
        return link

    async def _keep_time(self) -> None:
        while True:
            with trio.CancelScope(deadline=self._trio_time(self._deadline)) as self._timer:
                await trio.sleep_forever()
            if self._deadline <= time.monotonic():
                self._deadline = math.inf
                self._wake()

    def _trio_time(self, deadline: float) -> float:
        return trio.current_time() + deadline - time.monotonic()

    # -- the ports that are not about a link that is open

    def connect(self, effect: Connect) -> None:
        """Open a link to a provider."""
        assert self._tasks is not None
        self._tasks.start_soon(self._open, self._add(effect.link), effect)

    def arm(self, deadline: float | None) -> None:
        """Set the one timer."""
        self._deadline = math.inf if deadline is None else deadline
        self._timer.deadline = min(self._timer.deadline, self._trio_time(self._deadline))

    def drained(self) -> None:
        """Stop: the engine has ended."""
        self._ended.set()


async def main(port: int) -> None:
    """Serve the gateway until SIGTERM."""
    driver = TrioDriver(make_engine())
    announce(*await driver.listen("127.0.0.1", port))
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with trio.open_nursery() as tasks:
            tasks.start_soon(driver.run)
            await anext(signals)
            driver.feed(ShutdownRequested(GRACE_SECONDS))


if __name__ == "__main__":
    trio.run(main, port_argument())
