"""Calls of many tasks on one client engine: tickets, mailboxes, and what the engine wants to know about them.

What the engine delivers is put into the mailbox of the call that it answers; the call's task takes it from there and
reports it as consumed. A task that lets go of a call that is not over cancels it.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar, cast

import anyio

from aigw_proto import client as core
from aigw_proto._errors import CloseCode

from ._client_errors import failed_request, failed_to_open

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._effects import Deliver
    from aigw_proto.envelopes import Step

__all__ = ["Call", "Calls", "Runner"]

_REPORT_BYTES = 64 * 1024  # consumed bytes are reported in batches: a turn of the engine for each chunk would be waste
_log = logging.getLogger("aigw.client")

ItemT = TypeVar("ItemT")


class Runner(Protocol):
    """What runs the engine: a driver, as far as calls need it."""

    @property
    def running(self) -> bool:
        """Whether `feed()` may be called."""
        ...

    def feed(self, event: core.ClientInput) -> None:
        """Give the engine an input."""
        ...


class _Mailbox(Generic[ItemT]):
    """Items for one waiting task."""

    __slots__ = ("_arrival", "items")

    def __init__(self) -> None:
        self.items: deque[ItemT] = deque()
        self._arrival: anyio.Event | None = None

    def put(self, item: ItemT) -> None:
        self.items.append(item)
        if self._arrival is not None:
            self._arrival.set()

    async def get(self) -> ItemT:
        while not self.items:
            self._arrival = anyio.Event()
            await self._arrival.wait()
        return self.items.popleft()


class Call:
    """One request under way."""

    __slots__ = ("_calls", "_mailbox", "_ticket", "over")

    def __init__(self, calls: Calls, ticket: int, mailbox: _Mailbox[core.RequestItem]) -> None:
        """Use `Calls.start()`."""
        self._calls = calls
        self._ticket = ticket
        self._mailbox = mailbox
        self.over = False
        """The terminal item was taken."""

    async def next(self) -> core.RequestItem:
        """Wait for the next item. Not after the terminal one."""
        item = await self._mailbox.get()
        self._calls.report(self._ticket, core.held_bytes(item))
        self.over = not isinstance(item, core.StreamStarted | core.ChunkReceived)
        return item

    def release(self) -> None:
        """Let go: cancels the request if it is not over, and forgets what was not taken. Idempotent."""
        self._calls.release(self._ticket, over=self.over)
        self.over = True


class Calls:
    """All calls of one connection."""

    def __init__(self, on_frame: Callable[[str], None] | None) -> None:
        """Begin without a driver; `attach()` one before anything else."""
        self._on_frame = on_frame
        self._runner: Runner | None = None
        self._opening: _Mailbox[core.Opened | core.OpenRefused | core.OpenFailed] = _Mailbox()
        self._mailboxes: dict[int, _Mailbox[core.RequestItem]] = {}
        self._newest_ticket = core.CONNECTION_TICKET
        self._lost: core.ConnectionLost | None = None
        self._go_on: anyio.Event | None = None  # there while new requests have to wait
        self._taken: dict[int, int] = {}  # bytes of each ticket, not reported yet
        self._taken_bytes = 0
        self._report_bytes = _REPORT_BYTES

    def __len__(self) -> int:
        return len(self._mailboxes)

    def attach(self, runner: Runner) -> None:
        """Say what runs the engine whose `Deliver` effects come to `deliver()`."""
        self._runner = runner

    async def open(self, request: core.OpenConnection) -> core.Opened:
        """Connect. Raises ConnectionFailed or HandshakeRefused."""
        self._feed(request)
        item = await self._opening.get()
        if isinstance(item, core.Opened):
            return item
        raise failed_to_open(item)

    def close(self) -> None:
        """Start the closing handshake; calls under way end with ConnectionLost."""
        self._feed(core.CloseConnection())
        self._end(core.ConnectionLost(CloseCode.NORMAL_CLOSURE, "closed by this side", clean=True))

    async def start(self, steps: tuple[Step, ...], event_id: str | None, timeout_seconds: float | None) -> Call:
        """Send a request; waits while too much is unsent. Raises ConnectionLost when the connection has ended."""
        while self._go_on is not None:
            await self._go_on.wait()
        if self._lost is not None:
            raise failed_request(self._lost)
        self._newest_ticket += 1
        ticket = self._newest_ticket
        mailbox = self._mailboxes[ticket] = _Mailbox()
        self._feed(core.CreateRequest(ticket, steps, event_id, timeout_seconds))
        return Call(self, ticket, mailbox)

    def report(self, ticket: int, size: int) -> None:
        """Note that items of that size were taken."""
        self._taken[ticket] = self._taken.get(ticket, 0) + size
        self._taken_bytes += size
        if self._taken_bytes >= self._report_bytes:
            self._flush_report()

    def _flush_report(self) -> None:
        if self._taken:
            sizes, self._taken, self._taken_bytes = self._taken, {}, 0
            self._feed(core.Consumed(sizes))

    def release(self, ticket: int, *, over: bool) -> None:
        """Forget a call; the engine is told when it is not over."""
        if self._mailboxes.pop(ticket, None) is not None and not over:
            self._feed(core.CancelRequest(ticket))

    def deliver(self, effect: Deliver) -> None:
        """Take a `Deliver` effect of the engine."""
        item = cast("core.ClientItem", effect.item)
        if effect.ticket != core.CONNECTION_TICKET:
            mailbox = self._mailboxes.get(effect.ticket)
            if mailbox is not None:
                mailbox.put(cast("core.RequestItem", item))
            return
        match cast("core.ConnectionItem", item):
            case core.FrameReceived(frame):
                if self._on_frame is not None:
                    self._on_frame(frame)
            case core.SendingAllowed(allowed):
                self._allow_sending(allowed=allowed)
            case core.ReadingPaused(paused):
                # What was taken may be all the engine waits for, and it cannot know. Fed back, so it is the next turn.
                self._report_bytes = 1 if paused else _REPORT_BYTES
                self._flush_report()
            case core.ConnectionNotice(reason, frame):
                _log.warning("%s: %.500s", reason, frame)
            case core.ConnectionLost() as lost:
                self._end(lost)
            case opening:
                self._opening.put(opening)

    def _end(self, lost: core.ConnectionLost) -> None:
        if self._lost is None:
            self._lost = lost
        self._allow_sending(allowed=True)

    def _allow_sending(self, *, allowed: bool) -> None:
        if self._go_on is not None:
            self._go_on.set()
        self._go_on = None if allowed else anyio.Event()

    def _feed(self, event: core.ClientInput) -> None:
        if self._runner is not None and self._runner.running:
            self._runner.feed(event)
