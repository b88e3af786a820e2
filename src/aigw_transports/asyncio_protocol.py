"""The asyncio driver: an engine on `asyncio.Protocol`, without streams and without a task for each link.

What a socket brings is fed to the engine in the callback of the loop, and what the engine sends goes to the kernel in
the same call, so that a relayed message costs one pass through the loop. Runs on any loop of POSIX systems that has
transports and readers; uvloop is the fast one.

Like every driver it decides nothing. `FLUSH_SECONDS` and `CLOSE_NOTIFY_SECONDS` are bounds that nobody else can keep.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from aigw_proto._effects import Connect, Deliver, Log, TlsPolicy
from aigw_proto._inputs import Input, LinkAccepted, LinkConnected
from aigw_proto.conductor import FLUSH_SECONDS

from ._asyncio_accept import Acceptor, bound_address, listen
from ._asyncio_connect import attach, open_socket
from ._asyncio_link import READ_BYTES, Link, Owner
from ._asyncio_messages import MessageLink
from ._asyncio_tls import CLOSE_NOTIFY_SECONDS, SecureTransport
from ._connect_errors import not_opened, not_secured
from ._driver import BaseDriver, log_to_standard_library
from ._tls import client_context

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Coroutine, Sequence

    from anyio.abc import TaskStatus

    from aigw_proto._kinds import Engine
    from aigw_proto.ws import MessageSocket

__all__ = [
    "CLOSE_NOTIFY_SECONDS",
    "FLUSH_SECONDS",
    "Driver",
    "MessageLink",
    "listen",
    "log_to_standard_library",
    "serve",
]

InputT = TypeVar("InputT")
_EARLY_SECONDS = 0.001  # uvloop's timers count whole milliseconds, from the beginning of the loop's pass


class Driver(BaseDriver[InputT, Link]):
    """Runs one engine on sockets. Create it, then `run()` it once; `feed()` works while it runs.

    `InputT` is what the engine takes beside the inputs of the world, which only an embedding program feeds.
    """

    loop: asyncio.AbstractEventLoop

    def __init__(
        self,
        engine: Engine[InputT | Input],
        *,
        journal: Callable[[object], None] | None = None,
        log: Callable[[Log], None] | None = None,
        deliver: Callable[[Deliver], None] | None = None,
    ) -> None:
        """Join `engine` to its sinks: `journal` takes the entry of each `Journal`, the others take the effects.

        A sink must not block and not raise. Without `log`, lines go to the standard library's logger `aigw`.
        """
        # What a loop calls its time, but uvloop's stands still during a pass.
        super().__init__(engine, time.monotonic, journal, log, deliver)
        self.feed_link = self._conductor.feed
        self.failed = self._fail
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.reads_on = False
        self._sockets: set[Owner] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._timer_deadline = math.inf
        self._ended = asyncio.Event()
        self._gone = asyncio.Event()

    async def run(
        self,
        listeners: Sequence[socket.socket] = (),
        *,
        tls: ssl.SSLContext | None = None,
        task_status: TaskStatus[Driver[InputT]] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run until the engine has `Drained`; `task_status.started()` is called when it is running.

        Takes the listeners over, which `listen()` gives, and closes them; with `tls` they accept TLS only. An exception
        of the engine or a sink ends everything and comes out of here. Cancelling resets every open link.
        """
        self._begin()
        self.loop = asyncio.get_running_loop()
        self.reads_on = not isinstance(self.loop, asyncio.BaseEventLoop)
        acceptors: list[Acceptor] = []
        drained = False
        try:
            self._addresses = tuple(bound_address(listener) for listener in listeners)
            self._wake()
            acceptors.extend(Acceptor(self, listener, tls) for listener in listeners)
            task_status.started(self)
            await self._ended.wait()
            drained = self._error is None
        finally:
            self._conductor.stop()
            for acceptor in acceptors:
                acceptor.close()
            for listener in listeners:
                listener.close()
            if self._timer is not None:
                self._timer.cancel()
            for link in list(self._links.values()):  # a correct engine has closed them all
                link.reset()
            await self._wait_for_the_last(patient=drained)
        if self._error is not None:
            raise self._error

    async def _wait_for_the_last(self, *, patient: bool) -> None:
        """Wait until all sockets are closed; those being flushed may take their time when `patient`."""
        cancelled: asyncio.CancelledError | None = None
        while self._sockets or self._tasks:
            if not patient:
                for owner in list(self._sockets):
                    owner.reset()
            self._gone.clear()
            try:
                await self._gone.wait()
            except asyncio.CancelledError as error:  # anyio cancels again and again
                cancelled, patient = error, False
        if cancelled is not None:
            raise cancelled

    def _give_up(self) -> None:
        self._ended.set()

    # -- what links, transports and acceptors want; see `Host`

    def opened(self, owner: Owner) -> None:
        """See `Home`."""
        self._sockets.add(owner)

    def lost(self, owner: Owner) -> None:
        """See `Home`."""
        self._sockets.discard(owner)
        self._gone.set()

    def accept(self, peer: str) -> Link:
        """Return the protocol for a connection from `peer` that something else accepts, while the driver runs.

        For transports of any kind, such as those of `loop.create_unix_server()`. `peer` is for people to read.
        """
        number = self._conductor.new_link()
        link = Link(self, number, LinkAccepted(number, peer))
        if self._conductor.ended:
            link.reset()
        else:
            self._links[number] = link
        return link

    def accept_messages(self, peer: str, socket: MessageSocket) -> MessageLink:
        """Serve a WebSocket that a framework has framed, from `peer`. RuntimeError when `run()` has not begun.

        When the engine has drained, it is refused with 503.
        """
        if not self._begun:
            raise RuntimeError("the driver is not running")
        return MessageLink(self, peer, socket)

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """See `Host`."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)
        return task

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._gone.set()
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):  # a bug, which run() raises
            self._fail(error)

    # -- connecting

    async def _open(self, link: Link, effect: Connect) -> None:
        try:
            opened = await open_socket(effect.host, effect.port)
        except (OSError, ValueError, OverflowError, ExceptionGroup) as error:
            self._not_opened(link, not_opened(effect, error))
            return
        link.withdraw = None  # to cancel uvloop when it makes a transport is to lose that without a word
        protocol = link if effect.tls is None else self._secure(link, effect, effect.tls)
        if link.closing or protocol is None:
            opened.close()
        else:
            await attach(opened, protocol)

    def _secure(self, link: Link, effect: Connect, policy: TlsPolicy) -> SecureTransport | None:
        def make_link(alpn: str | None) -> Link:
            link.birth = LinkConnected(effect.link, alpn)
            return link

        def failed(error: Exception | None) -> None:
            self._not_opened(link, not_secured(effect, error or ConnectionAbortedError()))

        try:
            context = client_context(policy, effect.alpn)
            secure = SecureTransport(self, context, effect.host, make_link, failed)
        except (OSError, ValueError) as error:  # a file without certificates; a name that is no server's
            failed(error)
            return None
        link.withdraw = secure.abort
        return secure

    def _not_opened(self, link: Link, failed: Input) -> None:
        if not link.closing:
            del self._links[link.link]
            self._feed(failed)

    # -- ports

    def connect(self, effect: Connect) -> None:
        """See `Ports`."""
        link = self._links[effect.link] = Link(self, effect.link, LinkConnected(effect.link))
        link.withdraw = self.start(self._open(link, effect)).cancel

    def drained(self) -> None:
        """See `Ports`."""
        self._ended.set()

    def arm(self, deadline: float | None) -> None:
        """See `Ports`. A timer that is set too early fires for nothing, which is cheaper than moving it each turn."""
        self._deadline = math.inf if deadline is None else deadline
        if self._deadline < self._timer_deadline:
            self._set_timer(self._deadline - time.monotonic())

    def _set_timer(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_deadline = self._deadline
        self._timer = self.loop.call_later(max(0.0, seconds), self._keep_time)

    def _keep_time(self) -> None:
        self._timer, self._timer_deadline = None, math.inf
        early = self._deadline - time.monotonic()
        if early <= 0:
            self._deadline = math.inf
            self._wake()
        elif early < math.inf:
            self._set_timer(max(early, _EARLY_SECONDS))


async def serve(
    engine: Engine[InputT | Input],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    tls: ssl.SSLContext | None = None,
    journal: Callable[[object], None] | None = None,
    log: Callable[[Log], None] | None = None,
    deliver: Callable[[Deliver], None] | None = None,
    task_status: TaskStatus[Driver[InputT]] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Listen at `host:port` (0 picks a free port) and run `engine` until it has drained.

    With `driver = await task_group.start(functools.partial(serve, engine, port=0))` the caller gets the `Driver`, which
    knows the bound `addresses` and takes `feed(ShutdownRequested(…))`. Raises OSError when the address cannot be bound.
    """
    driver: Driver[InputT] = Driver(engine, journal=journal, log=log, deliver=deliver)
    await driver.run(await listen(host, port), tls=tls, task_status=task_status)
