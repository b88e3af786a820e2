"""One connection of a client on anyio, whatever is on it: opening, the room to send, taking account, the end.

`Connection` stands between the tasks of a program and the engine: it gives inputs, and takes the items that concern the
connection itself. `hold()` keeps it open for a block.

The driver runs in a task of its own, shielded, because a program that is cancelled still has something to say: Close.
It gets `FAREWELL_SECONDS` for that; then the connection is reset, which ends what is under way at the gateway too.
"""

from __future__ import annotations

from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar, cast

import anyio

from aigw_proto import client as core

from ._client_errors import failed_request, failed_to_open

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from anyio.abc import TaskStatus

    from ._anyio_driver import Driver

__all__ = ["FAREWELL_SECONDS", "Connection", "Mailbox", "Runner", "hold"]

FAREWELL_SECONDS = 1.0
"""How long a cancelled program waits for the closing handshake before it resets the connection."""
_REPORT_BYTES = 64 * 1024  # consumed bytes are reported in batches: a turn of the engine for each chunk would be waste

ItemT = TypeVar("ItemT")
InputT = TypeVar("InputT")
DriverInputT = TypeVar("DriverInputT")
InputT_contra = TypeVar("InputT_contra", contravariant=True)
_Own: TypeAlias = core.OpenConnection | core.Consumed | core.CloseConnection
_OpeningItem: TypeAlias = core.Opened | core.OpenRefused | core.OpenFailed


class Runner(Protocol[InputT_contra]):
    """What runs the engine: a driver, as far as a connection needs it."""

    @property
    def running(self) -> bool:
        """Whether `feed()` may be called."""
        ...

    def feed(self, event: InputT_contra) -> None:
        """Give the engine an input."""
        ...


class Mailbox(Generic[ItemT]):
    """Items for one waiting task."""

    __slots__ = ("_arrival", "items")

    def __init__(self) -> None:
        """Begin empty."""
        self.items: deque[ItemT] = deque()
        self._arrival: anyio.Event | None = None

    def put(self, item: ItemT) -> None:
        """Add an item and wake the task."""
        self.items.append(item)
        if self._arrival is not None:
            self._arrival.set()

    async def get(self) -> ItemT:
        """Wait for an item and take it. Cancelling loses none."""
        while not self.items:
            self._arrival = anyio.Event()
            await self._arrival.wait()
        return self.items.popleft()


class Connection(Generic[InputT]):
    """One connection; `InputT` is what its engine takes beside the inputs that every connection needs."""

    def __init__(self) -> None:
        """Begin without a driver; `attach()` one before anything else."""
        self.lost: core.ConnectionLost | None = None
        """Why nothing can be sent any more; the gateway's own words as soon as they are known."""
        self._runner: Runner[InputT | _Own] | None = None
        self._opening: Mailbox[_OpeningItem] = Mailbox()
        self._go_on: anyio.Event | None = None  # there while senders have to wait
        self._taken: dict[int, int] = {}  # bytes of each ticket, not reported yet
        self._taken_bytes = 0
        self._report_bytes = _REPORT_BYTES

    def attach(self, runner: Runner[InputT | _Own]) -> None:
        """Say what runs the engine."""
        self._runner = runner

    def feed(self, event: InputT | _Own) -> None:
        """Give the engine an input, as long as it runs."""
        if self._runner is not None and self._runner.running:
            self._runner.feed(event)

    async def open(self, request: core.OpenConnection) -> core.Opened:
        """Connect. Raises ConnectionFailed or HandshakeRefused."""
        self.feed(request)
        item = await self._opening.get()
        if isinstance(item, core.Opened):
            return item
        raise failed_to_open(item)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake, or do nothing when the connection has ended. From now on nothing can be sent."""
        self.feed(core.CloseConnection(code, reason))
        if self.lost is None:
            self.lost = core.ConnectionLost(code, "closed by this side", clean=True, closed_by=core.ClosedBy.PROGRAM)
        self._allow_sending(allowed=True)

    async def room(self) -> None:
        """Wait while too much is unsent. Raises ConnectionLost when the connection has ended."""
        while self._go_on is not None:
            await self._go_on.wait()
        if self.lost is not None:
            raise failed_request(self.lost)

    def report(self, ticket: int, size: int) -> None:
        """Note that items of that size were taken."""
        self._taken[ticket] = self._taken.get(ticket, 0) + size
        self._taken_bytes += size
        if self._taken_bytes >= self._report_bytes:
            self._flush_report()

    def take(self, item: _OpeningItem | core.SendingAllowed | core.ReadingPaused | core.ConnectionLost) -> None:
        """Take what the engine says of the connection itself."""
        match item:
            case core.SendingAllowed(allowed):
                self._allow_sending(allowed=allowed)
            case core.ReadingPaused(paused):
                # What was taken may be all the engine waits for, and it cannot know. Fed back, so it is the next turn.
                self._report_bytes = 1 if paused else _REPORT_BYTES
                self._flush_report()
            case core.ConnectionLost():
                self.lost = item
                self._allow_sending(allowed=True)
            case _:
                self._opening.put(item)

    def _flush_report(self) -> None:
        if self._taken:
            sizes, self._taken, self._taken_bytes = self._taken, {}, 0
            self.feed(core.Consumed(sizes))

    def _allow_sending(self, *, allowed: bool) -> None:
        if self._go_on is not None:
            self._go_on.set()
        self._go_on = None if allowed else anyio.Event()


@asynccontextmanager
async def hold(
    driver: Driver[DriverInputT], connection: Connection[InputT], request: core.OpenConnection
) -> AsyncGenerator[core.Opened, None]:
    """Run `driver`, which is attached to the connection, and open it for a block; say Close behind it, and wait.

    Exceptions leave the block as they are, never wrapped in a group. Raises ConnectionFailed and HandshakeRefused.
    """
    shield, finished = anyio.CancelScope(shield=True), anyio.Event()
    failure: Exception | None = None
    try:
        async with anyio.create_task_group() as tasks:
            await tasks.start(_run, driver, shield, finished)
            try:
                try:
                    yield await connection.open(request)
                except Exception as error:  # noqa: BLE001 - raised again outside of the task group, which would wrap it
                    failure = error
                connection.close()
                await finished.wait()
            except BaseException:
                connection.close()
                with anyio.move_on_after(FAREWELL_SECONDS, shield=True):
                    await finished.wait()
                raise
            finally:
                shield.cancel()
    except BaseExceptionGroup as group:
        raise _only(group) from failure
    if failure is not None:
        raise failure


async def _run(
    driver: Driver[InputT],
    shield: anyio.CancelScope,
    finished: anyio.Event,
    *,
    task_status: TaskStatus[Driver[InputT]],
) -> None:
    try:
        with shield:
            await driver.run(task_status=task_status)
    finally:
        finished.set()


def _only(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the one exception in a group, or the group when it holds several."""
    members: list[BaseException] = list(group.exceptions)
    if len(members) > 1:
        return group
    inner = members[0]
    return _only(cast("BaseExceptionGroup[BaseException]", inner)) if isinstance(inner, BaseExceptionGroup) else inner
