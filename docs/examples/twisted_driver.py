"""A driver on Twisted: `python twisted_driver.py [--port P]`.

It keeps back-pressure both ways, as a push producer and with one, and passes `aigw_proto.testing.check_driver`. It has
no TLS, since that of Twisted needs pyOpenSSL: with it, `connect()` would wrap its endpoint with `wrapClientTLS()`.
Twisted's types leave out most of what transports and reactors do, so these are `Any` here.
"""
# ruff: noqa: N802 - Twisted calls its methods so

from __future__ import annotations

import os
import signal
import socket
import time
from typing import Any

from example_gateway import GRACE_SECONDS, announce, make_engine, port_argument
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.selectreactor import SelectReactor
from twisted.python.failure import Failure
from zope.interface import classImplements  # type: ignore[import-untyped]  # because it has no types

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
from aigw_transports.parts import FLUSH_SECONDS, Backlog, BaseDriver, Reporter, not_opened, readable_address


class Link(Reporter, Protocol):
    """One link. The transport takes blocks until it asks for a pause; what comes then waits here."""

    def __init__(self, driver: TwistedDriver, link: LinkId) -> None:
        """Wait for `makeConnection()`; before that, closing cancels `connecting`."""
        super().__init__(link, driver.tell)
        self.driver = driver
        self.connecting: Any = None
        self.wire: Any = None  # the transport
        self.full = False
        self.ending = False
        self.backlog = Backlog()
        self.block_bytes = 0  # that the transport holds while it is full
        self.flushing: Any = None

    # -- Twisted says

    def makeConnection(self, transport: Any) -> None:
        """Begin: tell the engine of the link."""
        self.wire = transport
        self.wire.registerProducer(self, True)
        self.driver.busy.add(self)
        if self.closing:
            self.wire.abortConnection()
        elif self.connecting is None:
            peer = self.wire.getPeer()
            self.report(LinkAccepted(self.link, readable_address((peer.host, peer.port))))
        else:
            self.report(LinkConnected(self.link))

    def dataReceived(self, data: bytes) -> None:
        """Tell what the peer sends."""
        self.report_data(data)

    def readConnectionLost(self) -> None:
        """Tell that the peer has ended its direction."""
        self.report_data(b"")

    def writeConnectionLost(self) -> None:
        """Do nothing: our direction has ended as it was told to."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell what the engine does not know yet."""
        del reason  # whatever it was, the stream is broken
        if self.flushing is not None:
            self.flushing.cancel()
        self.report_loss()
        self.driver.rest(self)

    def pauseProducing(self) -> None:
        """Hold back what comes: the transport is full."""
        self.full = True

    def resumeProducing(self) -> None:
        """Go on with what waits: the transport is empty."""
        if self.full and not self.broken:
            self.full = False
            self.pump()
            self.report_unsent(self.unsent_bytes())
            self.finish()

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost, which is told elsewhere."""

    # -- the engine wants

    def send(self, chunks: list[bytes]) -> int:
        """Send chunks; return how much of all waits."""
        if self.broken:
            return 0
        self.backlog.extend(chunks)
        self.pump()
        return self.note_unsent(self.unsent_bytes())

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading."""
        if not self.ended and not self.broken:
            (self.wire.resumeProducing if enabled else self.wire.pauseProducing)()

    def end_sending(self) -> None:
        """End the sending direction behind what waits."""
        self.ending = True
        self.finish()

    def close(self, how: CloseHow) -> None:
        """Close, when all is sent or at once."""
        self.closing = True
        if self.wire is None:
            if self.connecting is not None:
                self.connecting.cancel()
        elif how is CloseHow.ABORT:
            self.wire.abortConnection()  # which resets
        elif not self.broken:
            self.flushing = self.driver.reactor.callLater(FLUSH_SECONDS, self.wire.abortConnection)
            self.finish()

    def pump(self) -> None:
        """Hand blocks to the transport until it is full."""
        while self.backlog and not self.full:
            block = self.backlog.next_block()
            self.block_bytes = len(block)
            self.wire.write(block)

    def finish(self) -> None:
        """Do what had to wait until all was sent."""
        if self.full or self.broken:
            return
        if self.closing:
            self.wire.unregisterProducer()
            self.wire.loseConnection()
        elif self.ending:
            self.wire.loseWriteConnection()
        self.ending = False

    def unsent_bytes(self) -> int:
        """Return how much waits; what a transport holds that is not full counts as sent."""
        return self.backlog.size_bytes + self.block_bytes if self.full else 0


classImplements(Link, IHalfCloseableProtocol)


class TwistedDriver(BaseDriver[Input, Link]):
    """Runs one engine on a reactor: `listen()` if it serves, then `start()`."""

    def __init__(self, engine: Engine[Input], reactor: SelectReactor) -> None:
        """Join the engine to this driver."""
        super().__init__(engine, time.monotonic, None, None, None)
        self.reactor: Any = reactor
        self.tell = self._feed
        self.busy: set[Link] = set()  # being opened, open or being flushed
        self._listening: list[Any] = []
        self._timer: Any = None
        self._done: Deferred[None] = Deferred()

    def listen(self, host: str, port: int) -> tuple[str, int]:
        """Accept connections; return the address. Raises CannotListenError."""
        factory = Factory.forProtocol(lambda: self._add(self._conductor.new_link()))
        self._listening.append(self.reactor.listenTCP(port, factory, interface=host))
        address = self._listening[-1].getHost()
        return address.host, address.port

    def start(self) -> Deferred[None]:
        """Begin; what is returned fires when the engine has drained and all that it sent is gone, or when it failed."""
        self._begin()
        self._wake()
        return self._done

    def rest(self, link: Link) -> None:
        """Note that there is nothing more to do for a link."""
        self.busy.discard(link)
        self._end_if_all_rest()

    def _end_if_all_rest(self) -> None:
        if self._conductor.ended and not self.busy and not self._done.called:
            if self._error is None:
                self._done.callback(None)
            else:
                self._done.errback(self._error)

    def _add(self, number: LinkId) -> Link:
        link = self._links[number] = Link(self, number)
        return link

    def _give_up(self) -> None:
        for link in list(self._links.values()):
            link.close(CloseHow.ABORT)
        self.drained()

    # -- the ports that are not about a link that is open

    def connect(self, effect: Connect) -> None:
        """Open a link to a provider."""
        link = self._add(effect.link)
        if effect.tls is not None:
            del self._links[effect.link]
            self._feed(ConnectFailed(effect.link, ConnectFailure.TLS, "this driver has no TLS"))
            return
        self.busy.add(link)
        endpoint: Any = HostnameEndpoint(self.reactor, effect.host, effect.port)
        link.connecting = endpoint.connect(Factory.forProtocol(lambda: link))
        link.connecting.addErrback(self._not_connected, link, effect)

    def _not_connected(self, failure: Any, link: Link, effect: Connect) -> None:
        error: Any = failure.value
        if isinstance(error, DNSLookupError | ValueError):
            error = socket.gaierror(socket.EAI_NONAME, str(error))
        elif isinstance(number := getattr(error, "osError", None), int):  # of a ConnectError
            error = OSError(number, os.strerror(number))
        self.busy.discard(link)
        if not link.closing:
            del self._links[effect.link]
            self._feed(not_opened(effect, error))
        self._end_if_all_rest()

    def arm(self, deadline: float | None) -> None:
        """Set the one timer."""
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if deadline is not None:
            self._timer = self.reactor.callLater(max(0.0, deadline - time.monotonic()), self._wake)

    def drained(self) -> None:
        """Stop: the engine has ended."""
        for port in self._listening:
            port.stopListening()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._end_if_all_rest()


def main(port: int) -> None:
    """Serve the gateway until SIGTERM."""
    reactor: Any = SelectReactor()
    driver = TwistedDriver(make_engine(), reactor)
    announce(*driver.listen("127.0.0.1", port))
    problems: list[Any] = []

    def stop(*_: object) -> None:
        reactor.callFromThread(driver.feed, ShutdownRequested(GRACE_SECONDS))

    def start() -> None:
        driver.start().addErrback(problems.append).addBoth(lambda _: reactor.stop())

    signal.signal(signal.SIGTERM, stop)
    reactor.callWhenRunning(start)
    reactor.run(installSignalHandlers=False)
    if problems:
        raise problems[0].value


if __name__ == "__main__":
    main(port_argument())
