"""The anyio driver: an engine on real sockets, under asyncio or trio.

Every link is one task that owns its stream (`Link`), one more task holds the one timer, and one per listener accepts.
All run in one task group, so nothing outlives `Driver.run()`.

The driver decides nothing. What it knows beyond moving bytes are two bounds that nobody else can keep, because
`CloseLink` is the last that an engine says of a link: `FLUSH_SECONDS` and `CLOSE_NOTIFY_SECONDS`.
"""

from __future__ import annotations

import errno
import logging
import math
from typing import TYPE_CHECKING, Generic, TypeVar

import anyio

from aigw_proto._effects import CloseHow, Connect, Deliver, Journal, Log, LogLevel
from aigw_proto._inputs import ConnectFailed, Input, LinkAccepted, LinkConnected
from aigw_proto.conductor import FLUSH_SECONDS, Conductor

from ._anyio_accept import bound_address, peer_name
from ._anyio_connect import negotiated_protocol, open_stream
from ._anyio_link import CLOSE_NOTIFY_SECONDS, Link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import ByteStream, Listener, TaskGroup, TaskStatus

    from aigw_proto._kinds import Engine, LinkId

__all__ = ["CLOSE_NOTIFY_SECONDS", "FLUSH_SECONDS", "Driver", "log_to_standard_library", "serve"]

InputT = TypeVar("InputT")
_ACCEPT_PAUSE_SECONDS = 0.1  # when the process is out of file descriptors: until others are closed
_PASSING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPERM, errno.EPROTO}
    | {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EOPNOTSUPP}
)
"""What accept(2) says of one connection, or for a while, and not of the listener."""


def log_to_standard_library(effect: Log) -> None:
    """Write a `Log` effect to the standard library's logger `aigw`."""
    details = " ".join(f"{name}={value}" for name, value in effect.details.items())
    logging.getLogger("aigw").log(effect.level, "%s %s", effect.message, details, exc_info=effect.exception)


class Driver(Generic[InputT]):
    """Runs one engine on sockets. Create it, then `run()` it once; `feed()` works while it runs.

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

        A sink must not block and not raise. Without `log`, lines go to the standard library's logger `aigw`.
        """
        self._journal = journal
        self._log = log or log_to_standard_library
        self._deliver = deliver
        self._conductor: Conductor[InputT | Input] = Conductor(engine, self, anyio.current_time)
        self._links: dict[LinkId, Link] = {}
        self._addresses: tuple[tuple[str, int], ...] = ()
        self._tasks: TaskGroup | None = None
        self._timer = anyio.CancelScope()
        self._deadline = math.inf
        self._ended = anyio.Event()
        self._error: Exception | None = None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each listener, as bound."""
        return self._addresses

    @property
    def running(self) -> bool:
        """True while the engine takes inputs: from the start of `run()` until it drained, failed or was cancelled."""
        return self._tasks is not None and not self._conductor.ended

    def feed(self, event: InputT | Input) -> None:
        """Give the engine an input of its own kind, or a `ShutdownRequested`; RuntimeError when not `running`."""
        if not self.running:
            raise RuntimeError("the driver is not running")
        self._feed(event)

    async def run(
        self,
        listeners: Sequence[Listener[ByteStream]] = (),
        *,
        task_status: TaskStatus[Driver[InputT]] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Run until the engine has `Drained`; with `task_group.start` it reports itself when it is running.

        Takes the listeners over and closes them. An exception of the engine or a sink ends everything and comes out of
        here. Cancelling resets every open link.
        """
        if self._tasks is not None or self._conductor.ended:
            raise RuntimeError("a driver runs once")
        try:
            async with anyio.create_task_group() as self._tasks:
                try:
                    await self._run_until_drained(listeners, task_status)
                finally:
                    for listener in listeners:
                        await anyio.aclose_forcefully(listener)
                for link in self._links.values():  # a correct engine has closed them all; links being flushed go on
                    link.scope.cancel()
        finally:
            self._conductor.stop()
        if self._error is not None:
            raise self._error

    async def _run_until_drained(
        self, listeners: Sequence[Listener[ByteStream]], task_status: TaskStatus[Driver[InputT]]
    ) -> None:
        self._addresses = tuple(bound_address(listener) for listener in listeners)
        async with anyio.create_task_group() as tasks:
            self._run_turns(self._conductor.start)
            for listener in listeners:
                tasks.start_soon(self._listen, listener)
            tasks.start_soon(self._keep_time)
            task_status.started(self)
            await self._ended.wait()
            tasks.cancel_scope.cancel()

    def _feed(self, event: InputT | Input) -> None:
        self._run_turns(lambda: self._conductor.feed(event))

    def _run_turns(self, turns: Callable[[], None]) -> None:
        try:
            turns()
        except Exception as error:  # noqa: BLE001 - whatever it is, run() raises it once all links are closed
            self._error = self._error or error
            if self._tasks is not None:
                self._tasks.cancel_scope.cancel()

    # -- tasks

    async def _keep_time(self) -> None:
        while True:
            with anyio.CancelScope(deadline=self._deadline) as self._timer:
                await anyio.sleep_forever()
            if self._deadline <= anyio.current_time():
                self._deadline = math.inf
                self._run_turns(self._conductor.wake)

    async def _listen(self, listener: Listener[ByteStream]) -> None:
        while True:
            try:
                await listener.serve(self._accept, self._tasks)
            except (OSError, anyio.BrokenResourceError) as error:
                cause = error if isinstance(error, OSError) else error.__cause__  # anyio wraps it under trio
                if not isinstance(cause, OSError) or cause.errno not in _PASSING:
                    raise
                self._log(Log(LogLevel.WARNING, "cannot accept a connection", {"error": str(cause)}))
                await anyio.sleep(_ACCEPT_PAUSE_SECONDS)

    async def _accept(self, stream: ByteStream) -> None:
        if self._conductor.ended:
            await anyio.aclose_forcefully(stream)
            return
        link = self._new_link(self._conductor.new_link())
        with link.scope:
            await link.run(stream, LinkAccepted(link.link, peer_name(stream)))

    async def _open(self, link: Link, effect: Connect) -> None:
        with link.scope:
            outcome = await open_stream(effect)
            if not isinstance(outcome, ConnectFailed):
                await link.run(outcome, LinkConnected(link.link, negotiated_protocol(outcome)))
            elif not link.closing:
                del self._links[link.link]
                self._feed(outcome)

    def _new_link(self, number: LinkId) -> Link:
        link = self._links[number] = Link(number, self._feed)
        return link

    # -- ports

    def connect(self, effect: Connect) -> None:
        """See `Ports`."""
        if self._tasks is not None:
            self._tasks.start_soon(self._open, self._new_link(effect.link), effect)

    def send(self, link: LinkId, chunks: list[bytes]) -> int:
        """See `Ports`."""
        return self._links[link].send(chunks)

    def set_reading(self, link: LinkId, enabled: bool) -> None:
        """See `Ports`."""
        self._links[link].set_reading(enabled)

    def end_sending(self, link: LinkId) -> None:
        """See `Ports`."""
        self._links[link].end_sending()

    def close(self, link: LinkId, how: CloseHow) -> None:
        """See `Ports`."""
        self._links.pop(link).close(how)

    def journal(self, effect: Journal) -> None:
        """See `Ports`."""
        if self._journal is not None:
            self._journal(effect.entry)

    def log(self, effect: Log) -> None:
        """See `Ports`."""
        self._log(effect)

    def deliver(self, effect: Deliver) -> None:
        """See `Ports`."""
        if self._deliver is not None:
            self._deliver(effect)

    def drained(self) -> None:
        """See `Ports`."""
        self._ended.set()

    def arm(self, deadline: float | None) -> None:
        """See `Ports`. A timer that is set too early fires for nothing, which is cheaper than moving it each turn."""
        self._deadline = math.inf if deadline is None else deadline
        if self._deadline < self._timer.deadline:
            self._timer.deadline = self._deadline


async def serve(
    engine: Engine[InputT | Input],
    *,
    host: str = "127.0.0.1",
    port: int = 0,
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
    listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    await driver.run(listener.listeners, task_status=task_status)
