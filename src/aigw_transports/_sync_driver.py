"""The sync driver: an engine on blocking sockets and threads, without an event loop.

The thread that calls `run()` is the owner: it alone touches the engine, the links and TLS, and it does what the other
threads have found out. Those wait, one for each thing to wait for: each link's bytes, its room to send if that has run
out, each listener, each connect. See `Owner` and `SocketStream`.

Like every driver it decides nothing. `FLUSH_SECONDS` and `CLOSE_NOTIFY_SECONDS` are bounds that nobody else can keep.
"""

from __future__ import annotations

import functools
import math
import socket
import time
from typing import TYPE_CHECKING, TypeVar

from aigw_proto._effects import Connect, Deliver, Log, TlsPolicy
from aigw_proto._inputs import ConnectFailed, Input, LinkAccepted, LinkConnected
from aigw_proto.conductor import FLUSH_SECONDS

from ._connect_errors import not_opened, not_secured
from ._driver import BaseDriver, log_to_standard_library
from ._sync_accept import Acceptor, bound_address, listen
from ._sync_connect import Attempt
from ._sync_link import Link
from ._sync_owner import Owner
from ._sync_stream import SocketStream, Stream, set_up
from ._sync_tls import CLOSE_NOTIFY_SECONDS, SecureStream
from ._tls import client_context
from ._tls_session import TlsSession

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from aigw_proto._kinds import Engine

__all__ = ["CLOSE_NOTIFY_SECONDS", "FLUSH_SECONDS", "Driver", "listen", "log_to_standard_library", "serve"]

InputT = TypeVar("InputT")


class Driver(BaseDriver[InputT, Link]):
    """Runs one engine on sockets. Create it, then `run()` it once; `feed()` works while it runs, from any thread.

    `InputT` is what the engine takes beside the inputs of the world, which only an embedding program feeds.
    """

    def __init__(
        self,
        engine: Engine[InputT | Input],
        *,
        journal: Callable[[object], None] | None = None,
        log: Callable[[Log], None] | None = None,
        deliver: Callable[[Deliver], None] | None = None,
    ) -> None:
        """Join `engine` to its sinks: `journal` takes the entry of each `Journal`, the others take the effects.

        All are called in the thread of `run()`. A sink must not block and not raise. Without `log`, lines go to the
        standard library's logger `aigw`.
        """
        super().__init__(engine, time.monotonic, journal, log, deliver)
        self.owner = Owner()
        self._streams: set[SocketStream] = set()
        self._attempts: set[Attempt] = set()
        self._deadline = math.inf
        self._ended = False
        self._stopped = False

    def run(
        self,
        listeners: Sequence[socket.socket] = (),
        *,
        tls: ssl.SSLContext | None = None,
        started: Callable[[Driver[InputT]], object] | None = None,
    ) -> None:
        """Run in this thread until the engine has `Drained`; `started` is called when it is running.

        Takes the listeners over, which `listen()` gives, and closes them; with `tls` they accept TLS only. An exception
        of the engine or a sink ends everything and comes out of here; KeyboardInterrupt resets every open link. No
        thread is left behind: a name lookup that is under way at the end is waited for, as nothing can stop it. Only
        behind `stop()`, an exception or KeyboardInterrupt it is not: its thread, a daemon, ends by itself.
        """
        self._begin()
        acceptors: list[Acceptor] = []
        try:
            self._addresses = tuple(bound_address(listener) for listener in listeners)
            self._wake()
            acceptors.extend(Acceptor(self, listener, tls) for listener in listeners)
            if started is not None:
                started(self)
            while not self._ended:
                self.owner.step(self._deadline)
                if self._deadline <= time.monotonic():
                    self._deadline = math.inf
                    self._wake()
        except BaseException:
            self._stopped = True
            raise
        finally:
            self._conductor.stop()
            for acceptor in acceptors:
                acceptor.close()
            for listener in listeners[len(acceptors) :]:
                listener.close()
            for link in list(self._links.values()):  # a correct engine has closed them all
                link.reset()
            self._wait_for_the_last()
        if self._error is not None:
            raise self._error

    def feed(self, event: InputT | Input) -> None:
        """Give the engine an input of its own kind, or a `ShutdownRequested`, from any thread or a signal handler.

        Raises RuntimeError when not `running`. What is fed in the moment of the end is dropped.
        """
        if not self.running:
            raise RuntimeError("the driver is not running")
        self.owner.post(self._feed, event)

    def feed_here(self, event: InputT | Input) -> None:
        """As `feed()`, but only in the thread of `run()`, and at once; dropped when the engine has ended."""
        self._feed(event)

    def stop(self) -> None:
        """Reset every open link and end `run()`, without regard to the engine. From any thread or a signal handler.

        Also when `run()` is ending already, and waits for what is being flushed or for the lookup of a name.
        """
        self.owner.post(self._stop, None)

    def _stop(self, _: None) -> None:
        self._conductor.stop()
        self._ended = self._stopped = True

    def _give_up(self) -> None:
        self._ended = self._stopped = True

    def _wait_for_the_last(self) -> None:
        """Wait until all threads have ended and all sockets are closed; what is being flushed takes its time."""
        try:
            while self._is_held_up():
                for stream in list(self._streams) if self._stopped else ():
                    stream.reset()
                if self._is_held_up():
                    self.owner.step(math.inf)
        except BaseException:
            if not self._stopped:
                self._stopped = True
                self._wait_for_the_last()
            raise
        finally:
            self.owner.finish()

    def _is_held_up(self) -> bool:
        """Say whether there is something to wait for. Once stopped, that is not what nobody can end."""
        endless = sum(attempt.looking_up for attempt in self._attempts) if self._stopped else 0
        return bool(self._streams) or self.owner.thread_count > endless

    # -- what acceptors want; see `Host`

    def stream(self, connected: socket.socket) -> SocketStream:
        """See `Host`."""
        stream = SocketStream(self.owner, connected, self._streams.discard)
        self._streams.add(stream)
        return stream

    def accept(self, peer: str, stream: Stream) -> Link:
        """See `Host`."""
        number = self._conductor.new_link()
        link = self._links[number] = Link(self.owner, number, self._feed)
        try:
            link.begin(stream, LinkAccepted(number, peer))
        except OSError:
            del self._links[number]
            raise
        return link

    # -- connecting

    def _open(self, link: Link, effect: Connect, attempt: Attempt) -> None:
        """Connect; in a thread of its own."""
        try:
            opened = attempt.open()
        except (OSError, ValueError, OverflowError, ExceptionGroup) as error:
            self.owner.post(functools.partial(self._not_opened, link), not_opened(effect, error))
        else:
            self.owner.post(functools.partial(self._opened, link, effect), opened)
        finally:
            attempt.close()  # here: nobody may be left in the owner thread to do it

    def _opened(self, link: Link, effect: Connect, opened: socket.socket) -> None:
        if link.closing:
            opened.close()
            return
        try:
            set_up(opened)
        except OSError as error:  # it has broken already
            opened.close()
            self._not_opened(link, not_opened(effect, error))
            return
        stream = self.stream(opened)
        try:
            if effect.tls is None:
                link.begin(stream, LinkConnected(link.link))
            else:
                self._secure(link, effect, effect.tls, stream)
        except OSError as error:  # of the system, which has no more threads
            self._not_opened(link, not_opened(effect, error))

    def _secure(self, link: Link, effect: Connect, policy: TlsPolicy, stream: SocketStream) -> None:
        def opened(alpn: str | None) -> Link:
            link.begin(secure, LinkConnected(link.link, alpn))
            return link

        def failed(error: Exception | None) -> None:
            self._not_opened(link, not_secured(effect, error or ConnectionAbortedError()))

        try:
            session = TlsSession(client_context(policy, effect.alpn), effect.host)
        except (OSError, ValueError) as error:  # a file without certificates; a name that is no server's
            stream.close()
            failed(error)
            return
        secure = SecureStream(self.owner, stream, session, opened, failed)
        link.withdraw = secure.close
        secure.handshake()

    def _not_opened(self, link: Link, failed: ConnectFailed) -> None:
        if not link.closing:
            del self._links[link.link]
            self._feed(failed)

    # -- ports

    def connect(self, effect: Connect) -> None:
        """See `Ports`."""
        link = self._links[effect.link] = Link(self.owner, effect.link, self._feed)
        try:
            attempt = Attempt(effect.host, effect.port)
        except OSError as error:
            self._not_opened(link, not_opened(effect, error))
            return
        try:
            self.owner.start(
                f"connect-{link.link}",
                lambda: self._open(link, effect, attempt),
                lambda: self._attempts.discard(attempt),
            )
        except OSError as error:
            attempt.close()
            self._not_opened(link, not_opened(effect, error))
        else:
            self._attempts.add(attempt)
            link.withdraw = attempt.withdraw

    def drained(self) -> None:
        """See `Ports`."""
        self._ended = True

    def arm(self, deadline: float | None) -> None:
        """See `Ports`."""
        self._deadline = math.inf if deadline is None else deadline


def serve(
    engine: Engine[InputT | Input],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    journal: Callable[[object], None] | None = None,
    log: Callable[[Log], None] | None = None,
    deliver: Callable[[Deliver], None] | None = None,
    started: Callable[[Driver[InputT]], object] | None = None,
) -> None:
    """Listen at `host:port` (0 picks a free port) and run `engine` in this thread until it has drained.

    `started` gets the `Driver` when it is running, which knows the bound `addresses` and takes
    `feed(ShutdownRequested(…))` from any thread. Raises OSError when the address cannot be bound.
    """
    driver: Driver[InputT] = Driver(engine, journal=journal, log=log, deliver=deliver)
    driver.run(listen(host, port), tls=tls, started=started)
