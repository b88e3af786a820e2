"""The anyio driver: an engine on real sockets, under asyncio or trio.

Every link is one task that owns its stream (`Link`), one more task holds the one timer, and one per listener accepts.
All run in one task group, so nothing outlives `Driver.run()`.

The driver decides nothing. What it knows beyond moving bytes are two bounds that nobody else can keep, because
`CloseLink` is the last that an engine says of a link: `FLUSH_SECONDS` and `CLOSE_NOTIFY_SECONDS`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeVar

import anyio

from aigw_proto._effects import Connect, Deliver, Log, LogLevel
from aigw_proto._inputs import ConnectFailed, Input, LinkAccepted, LinkConnected
from aigw_proto.conductor import FLUSH_SECONDS

from ._accepting import ACCEPT_PAUSE_SECONDS, is_passing
from ._anyio_accept import bound_address, peer_name
from ._anyio_connect import negotiated_protocol, open_stream
from ._anyio_inlet import READ_BYTES
from ._anyio_link import CLOSE_NOTIFY_SECONDS, Link
from ._driver import BaseDriver, log_to_standard_library

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anyio.abc import ByteStream, Listener, TaskGroup, TaskStatus

    from aigw_proto._kinds import Engine, LinkId

__all__ = ["CLOSE_NOTIFY_SECONDS", "FLUSH_SECONDS", "Driver", "log_to_standard_library", "serve"]

InputT = TypeVar("InputT")


class Driver(BaseDriver[InputT, Link]):
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
        super().__init__(engine, anyio.current_time, journal, log, deliver)
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._tasks: TaskGroup | None = None
        self._timer = anyio.CancelScope()
        self._deadline = math.inf
        self._ended = anyio.Event()

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
        self._begin()
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
            self._wake()
            for listener in listeners:
                tasks.start_soon(self._listen, listener)
            tasks.start_soon(self._keep_time)
            task_status.started(self)
            await self._ended.wait()
            tasks.cancel_scope.cancel()

    def _give_up(self) -> None:
        if self._tasks is not None:
            self._tasks.cancel_scope.cancel()

    # -- tasks

    async def _keep_time(self) -> None:
        while True:
            with anyio.CancelScope(deadline=self._deadline) as self._timer:
                await anyio.sleep_forever()
            if self._deadline <= anyio.current_time():
                self._deadline = math.inf
                self._wake()

    async def _listen(self, listener: Listener[ByteStream]) -> None:
        while True:
            try:
                await listener.serve(self._accept, self._tasks)
            except (OSError, anyio.BrokenResourceError) as error:
                cause = error if isinstance(error, OSError) else error.__cause__  # anyio wraps it under trio
                if not isinstance(cause, OSError) or not is_passing(cause):
                    raise
                self._log(Log(LogLevel.WARNING, "cannot accept a connection", {"error": str(cause)}))
                await anyio.sleep(ACCEPT_PAUSE_SECONDS)

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
        link = self._links[number] = Link(number, self._feed, self._buffer)
        return link

    # -- ports

    def connect(self, effect: Connect) -> None:
        """See `Ports`."""
        if self._tasks is not None:
            self._tasks.start_soon(self._open, self._new_link(effect.link), effect)

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
