"""A driver on Tornado's IOLoop: `python tornado_driver.py [--port P]`.

It keeps back-pressure both ways and passes `aigw_proto.testing.check_driver`. It moves bytes itself: an `IOStream`
closes as soon as its peer has ended its direction, so that no answer could follow. The TLS of Tornado is that of
`IOStream`, so there is none here. Tornado runs on asyncio: the driver for asyncio runs in its programs too, with TLS.
"""

from __future__ import annotations

import asyncio
import functools
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from example_gateway import GRACE_SECONDS, announce, make_engine, port_argument
from tornado.ioloop import IOLoop
from tornado.locks import Event
from tornado.netutil import Resolver, add_accept_handler, bind_sockets

from aigw_proto import (
    CloseHow,
    Connect,
    ConnectFailed,
    ConnectFailure,
    Engine,
    Input,
    LinkAccepted,
    LinkConnected,
    LinkId,
    ShutdownRequested,
)
from aigw_transports.parts import FLUSH_SECONDS, BaseDriver, Reporter, not_opened, readable_address

READ_BYTES = 64 * 1024
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Link(Reporter):
    """One link: a socket that does not block, and what it has not taken."""

    def __init__(self, driver: TornadoDriver, link: LinkId) -> None:
        """Wait for `begin()`; before that, closing cancels `connecting`."""
        super().__init__(link, driver.tell)
        self.driver = driver
        self.connecting: asyncio.Task[None] | None = None
        self.socket: socket.socket | None = None
        self.queue: deque[memoryview] = deque()
        self.unsent_bytes = 0
        self.reading = True
        self.ending = False
        self.flushing: object = None

    def begin(self, opened: socket.socket, birth: Input) -> None:
        """Tell the engine of the link and watch its socket."""
        opened.setblocking(False)
        self.socket = opened
        self.driver.busy.add(self)
        self.driver.loop.add_handler(opened, self._handle, IOLoop.READ)
        self.report(birth)

    # -- the loop says

    def _handle(self, sock: socket.socket, events: int) -> None:
        if events & IOLoop.WRITE and self.queue:
            self._flush(sock)
            self.report_unsent(self.unsent_bytes)
        if events & ~IOLoop.WRITE and self._reads():
            self._read(sock)

    def _reads(self) -> bool:
        return self.reading and not self.ended and not self.closing

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._break()
            return
        self.report_data(data)
        if self.ended:
            self._watch()

    def _flush(self, sock: socket.socket) -> None:
        try:
            while self.queue:
                sent = sock.send(self.queue[0])
                self.unsent_bytes -= sent
                self.queue[0] = self.queue[0][sent:]
                if not self.queue[0]:
                    self.queue.popleft()
            if self.ending:
                self.ending = False
                sock.shutdown(socket.SHUT_WR)
        except BlockingIOError:
            pass
        except OSError:
            self._break()
        if self.closing and not self.queue:
            self._drop()
        else:
            self._watch()

    def _break(self) -> None:
        self.queue.clear()
        self.unsent_bytes = 0
        self.report_loss()

    def _watch(self) -> None:
        if self.socket is not None:
            events = (IOLoop.READ if self._reads() else 0) | (IOLoop.WRITE if self.queue else 0)
            self.driver.loop.update_handler(self.socket, events)

    def _drop(self, *, reset: bool = False) -> None:
        if self.socket is not None:
            self.driver.loop.remove_handler(self.socket)
            if reset:
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            self.socket.close()
            self.socket = None
        if self.flushing is not None:
            self.driver.loop.remove_timeout(self.flushing)
        self.driver.rest(self)

    # -- the engine wants

    def send(self, chunks: list[bytes]) -> int:
        """Send chunks; return how much of all waits."""
        if self.socket is None or self.broken:
            return 0
        waits = bool(self.queue)
        self.queue.extend(map(memoryview, chunks))
        self.unsent_bytes += sum(map(len, chunks))
        if not waits:
            self._flush(self.socket)
        return self.note_unsent(self.unsent_bytes)

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading."""
        self.reading = enabled
        self._watch()

    def end_sending(self) -> None:
        """End the sending direction behind what waits."""
        self.ending = True
        if self.socket is not None and not self.queue and not self.broken:
            self._flush(self.socket)

    def close(self, how: CloseHow) -> None:
        """Close, when all is sent or at once."""
        self.closing = True
        if self.socket is None and self.connecting is not None:
            self.connecting.cancel()
        elif how is CloseHow.ABORT or not self.queue:
            self._drop(reset=how is CloseHow.ABORT)
        else:
            self.flushing = self.driver.call_later(FLUSH_SECONDS, functools.partial(self._drop, reset=True))
            self._watch()


class TornadoDriver(BaseDriver[Input, Link]):
    """Runs one engine: `listen()` if it serves, then `run()`."""

    def __init__(self, engine: Engine[Input]) -> None:
        """Join the engine to this driver, on the current loop."""
        super().__init__(engine, time.monotonic, None, None, None)
        self.loop = IOLoop.current()
        self.tell = self._feed
        self.busy: set[Link] = set()  # being opened, open or being flushed
        self._listeners: list[tuple[socket.socket, Callable[[], None]]] = []
        self._timer: object = None
        self._ended = Event()
        self._rested = Event()

    def listen(self, host: str, port: int) -> tuple[str, int]:
        """Accept connections; return the address. Raises OSError."""
        for listener in bind_sockets(port, host):
            self._listeners.append((listener, add_accept_handler(listener, self._accept)))
        bound_host, bound_port = self._listeners[0][0].getsockname()[:2]
        return bound_host, bound_port

    async def run(self) -> None:
        """Run until the engine has drained and all that it sent is gone. Raises what the engine raises."""
        self._begin()
        self._wake()
        await self._ended.wait()
        for listener, stop in self._listeners:
            stop()
            listener.close()
        self.arm(None)
        for link in list(self._links.values()):  # none, unless the engine has failed
            link.close(CloseHow.ABORT)
        while self.busy:
            self._rested.clear()
            await self._rested.wait()
        if self._error is not None:
            raise self._error

    def rest(self, link: Link) -> None:
        """Note that there is nothing more to do for a link."""
        self.busy.discard(link)
        self._rested.set()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """Call after some time, unless what is returned goes to `loop.remove_timeout()`."""
        loop: Any = self.loop  # whose type says too little of callbacks
        timeout: object = loop.call_later(seconds, callback)
        return timeout

    def _accept(self, opened: socket.socket, address: tuple[str, int]) -> None:
        link = self._add(self._conductor.new_link())
        link.begin(opened, LinkAccepted(link.link, readable_address(address[:2])))

    def _add(self, number: LinkId) -> Link:
        link = self._links[number] = Link(self, number)
        self.busy.add(link)
        return link

    def _give_up(self) -> None:
        self._ended.set()

    # -- the ports that are not about a link that is open

    def connect(self, effect: Connect) -> None:
        """Open a link to a provider."""
        if effect.tls is not None:
            self._feed(ConnectFailed(effect.link, ConnectFailure.TLS, "this driver has no TLS"))
            return
        link = self._add(effect.link)
        link.connecting = asyncio.ensure_future(self._open(link, effect))
        link.connecting.add_done_callback(lambda _: self._end_connecting(link))

    async def _open(self, link: Link, effect: Connect) -> None:
        try:
            opened = await open_socket(effect.host, effect.port)
        except (OSError, ValueError, OverflowError) as error:
            del self._links[effect.link]
            self._feed(not_opened(effect, error))
        else:
            link.begin(opened, LinkConnected(effect.link))

    def _end_connecting(self, link: Link) -> None:
        if link.socket is None:  # failed or withdrawn
            self.rest(link)

    def arm(self, deadline: float | None) -> None:
        """Set the one timer."""
        if self._timer is not None:
            self.loop.remove_timeout(self._timer)
        wait = None if deadline is None else max(0.0, deadline - time.monotonic())
        self._timer = None if wait is None else self.call_later(wait, self._wake)

    def drained(self) -> None:
        """Stop: the engine has ended."""
        self._ended.set()


async def open_socket(host: str, port: int) -> socket.socket:
    """Connect to the first address of a name that takes it. Raises OSError, and UnicodeError for what is no name."""
    problem = OSError("the name has no address")
    for family, address in await Resolver().resolve(host, port):
        opened = socket.socket(family)
        opened.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(opened, address)
        except OSError as error:
            opened.close()
            problem = error
        except asyncio.CancelledError:
            opened.close()
            raise
        else:
            return opened
    raise problem


async def main(port: int) -> None:
    """Serve the gateway until SIGTERM."""
    driver = TornadoDriver(make_engine())
    announce(*driver.listen("127.0.0.1", port))
    stop = functools.partial(driver.feed, ShutdownRequested(GRACE_SECONDS))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    await driver.run()


if __name__ == "__main__":
    asyncio.run(main(port_argument()))
