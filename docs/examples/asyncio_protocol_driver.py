"""A driver on plain `asyncio.Protocol`, written to be read: `python asyncio_protocol_driver.py [--port P]`.

It speaks TLS to providers, keeps back-pressure both ways and passes `aigw_proto.testing.check_driver`. What it has not
got of `aigw_transports.asyncio_protocol.Driver` is mostly what makes that one fast. It reads 256 KiB at a time, and
tells the engine of progress only when all is sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import signal
import socket
import ssl
import struct
import time
from typing import cast

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
    BaseDriver,
    Reporter,
    client_context,
    not_opened,
    not_secured,
    readable_address,
)

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Link(Reporter, asyncio.Protocol):
    """One link: what the transport says goes to the engine, what the engine wants goes to the transport."""

    transport: asyncio.Transport

    def __init__(self, driver: AsyncioDriver, link: LinkId) -> None:
        """Wait for `connection_made()`; before that, closing cancels `connecting`."""
        super().__init__(link, driver.tell)
        self.driver = driver
        self.connecting: asyncio.Task[None] | None = None
        self.flushing: asyncio.TimerHandle | None = None

    # -- the transport says

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin: tell the engine of the link."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(high=0)  # resume_writing() comes when all is sent
        self.driver.open_links.add(self)
        if self.closing:
            self.transport.abort()
        elif self.connecting is None:
            peer = transport.get_extra_info("peername") or ("unknown", 0)  # it may have gone already
            self.report(LinkAccepted(self.link, readable_address(peer[:2])))
        else:
            self.connecting = None
            tls = transport.get_extra_info("ssl_object")
            self.report(LinkConnected(self.link, None if tls is None else tls.selected_alpn_protocol()))

    def data_received(self, data: bytes) -> None:
        """Tell what the peer sends."""
        self.report_data(data)

    def eof_received(self) -> bool:
        """Tell that the peer has ended its direction."""
        self.report_data(b"")
        return self.transport.can_write_eof()  # stay open for the answer, where that is possible

    def resume_writing(self) -> None:
        """Tell that nothing waits any more."""
        self.report_unsent(0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what the engine does not know yet."""
        del exc  # whatever it was, the stream is broken
        if self.flushing is not None:
            self.flushing.cancel()
        self.report_loss()
        self.driver.lost(self)

    # -- the engine wants

    def send(self, chunks: list[bytes]) -> int:
        """Send chunks; return how much of all waits."""
        if self.transport.is_closing():
            return 0
        self.transport.write(b"".join(chunks))
        return self.note_unsent(self.transport.get_write_buffer_size())

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading."""
        if not self.ended and not self.transport.is_closing():
            (self.transport.resume_reading if enabled else self.transport.pause_reading)()

    def end_sending(self) -> None:
        """End the sending direction behind what waits."""
        if self.transport.can_write_eof() and not self.transport.is_closing():
            with contextlib.suppress(OSError):  # reset by the peer, as is about to be seen
                self.transport.write_eof()

    def close(self, how: CloseHow) -> None:
        """Close, when all is sent or at once."""
        self.closing = True
        if self.connecting is not None:
            self.connecting.cancel()
        elif how is CloseHow.ABORT:
            with contextlib.suppress(OSError):
                self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.transport.abort()
        else:
            self.transport.close()  # when all is sent
            self.flushing = self.driver.loop.call_later(FLUSH_SECONDS, self.transport.abort)


class AsyncioDriver(BaseDriver[Input, Link]):
    """Runs one engine: `listen()` if it serves, then `run()`."""

    def __init__(self, engine: Engine[Input]) -> None:
        """Join the engine to this driver, within a running loop."""
        super().__init__(engine, time.monotonic, None, None, None)
        self.loop = asyncio.get_running_loop()
        self.tell = self._feed
        self.open_links: set[Link] = set()
        self._connecting: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._timer: asyncio.TimerHandle | None = None
        self._ended = asyncio.Event()
        self._gone = asyncio.Event()

    async def listen(self, host: str, port: int) -> tuple[str, int]:
        """Accept connections; return the address. Raises OSError."""
        server = await self.loop.create_server(lambda: self._add(self._conductor.new_link()), host, port)
        self._servers.append(server)
        bound_host, bound_port = server.sockets[0].getsockname()[:2]
        return bound_host, bound_port

    async def run(self) -> None:
        """Run until the engine has drained and all that it sent is gone. Raises what the engine raises."""
        self._begin()
        self._wake()
        await self._ended.wait()
        for server in self._servers:
            server.close()
        if self._timer is not None:
            self._timer.cancel()
        for link in list(self._links.values()):  # none, unless the engine has failed
            link.close(CloseHow.ABORT)
        while self.open_links or self._connecting:
            self._gone.clear()
            await self._gone.wait()
        if self._error is not None:
            raise self._error

    def lost(self, link: Link) -> None:
        """Note that a socket is closed."""
        self.open_links.discard(link)
        self._gone.set()

    def _add(self, number: LinkId) -> Link:
        link = self._links[number] = Link(self, number)
        return link

    def _give_up(self) -> None:
        self._ended.set()

    # -- the ports that are not about a link that is open

    def connect(self, effect: Connect) -> None:
        """Open a link to a provider."""
        link = self._add(effect.link)
        link.connecting = self.loop.create_task(self._open(link, effect))
        self._connecting.add(link.connecting)
        link.connecting.add_done_callback(self._opened)

    async def _open(self, link: Link, effect: Connect) -> None:
        try:
            tls = None if effect.tls is None else client_context(effect.tls, effect.alpn)
            await self.loop.create_connection(
                lambda: link, effect.host, effect.port, ssl=tls, happy_eyeballs_delay=0.25
            )
        except (OSError, ValueError, OverflowError) as error:
            if not link.closing:
                del self._links[link.link]
                self.tell((not_secured if isinstance(error, ssl.SSLError) else not_opened)(effect, error))

    def _opened(self, connecting: asyncio.Task[None]) -> None:
        self._connecting.discard(connecting)
        self._gone.set()

    def arm(self, deadline: float | None) -> None:
        """Set the one timer."""
        if self._timer is not None:
            self._timer.cancel()
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._timer = None if wait is None else self.loop.call_later(wait, self._wake)

    def drained(self) -> None:
        """Stop: the engine has ended."""
        self._ended.set()


async def main(port: int) -> None:
    """Serve the gateway until SIGTERM."""
    driver = AsyncioDriver(make_engine())
    announce(*await driver.listen("127.0.0.1", port))
    stop = functools.partial(driver.feed, ShutdownRequested(GRACE_SECONDS))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    await driver.run()


if __name__ == "__main__":
    asyncio.run(main(port_argument()))
