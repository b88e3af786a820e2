"""Calls of many tasks on one client engine: tickets, mailboxes, and what the engine wants to know about them.

What the engine delivers is put into the mailbox of the call that it answers; the call's task takes it from there and
reports it as consumed. A task that lets go of a call that is not over cancels it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aigw_proto import client as core

from ._anyio_connection import Connection, Mailbox
from ._client_notices import NoticeLog

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._effects import Deliver
    from aigw_proto.envelopes import Step

__all__ = ["Call", "Calls"]


class Call:
    """One request under way."""

    __slots__ = ("_calls", "_mailbox", "_ticket", "over")

    def __init__(self, calls: Calls, ticket: int, mailbox: Mailbox[core.RequestItem]) -> None:
        """Use `Calls.start()`."""
        self._calls = calls
        self._ticket = ticket
        self._mailbox = mailbox
        self.over = False
        """The terminal item was taken."""

    async def next(self) -> core.RequestItem:
        """Wait for the next item. Not after the terminal one."""
        item = await self._mailbox.get()
        self._calls.connection.report(self._ticket, core.held_bytes(item))
        self.over = not isinstance(item, core.StreamStarted | core.ChunkReceived)
        return item

    def release(self) -> None:
        """Let go: cancels the request if it is not over, and forgets what was not taken. Idempotent."""
        self._calls.release(self._ticket, over=self.over)
        self.over = True


class Calls:
    """All calls of one connection."""

    def __init__(self, on_frame: Callable[[str], None] | None) -> None:
        """Begin with nothing under way; the driver's `Deliver` effects go to `deliver()`."""
        self.connection: Connection[core.ClientInput] = Connection()
        self._on_frame = on_frame
        self._log = NoticeLog()
        self._mailboxes: dict[int, Mailbox[core.RequestItem]] = {}
        self._newest_ticket = core.CONNECTION_TICKET

    def __len__(self) -> int:
        return len(self._mailboxes)

    async def start(self, steps: tuple[Step, ...], event_id: str | None, timeout_seconds: float | None) -> Call:
        """Send a request; waits while too much is unsent. Raises ConnectionLost when the connection has ended."""
        await self.connection.room()
        self._newest_ticket += 1
        ticket = self._newest_ticket
        mailbox = self._mailboxes[ticket] = Mailbox()
        self.connection.feed(core.CreateRequest(ticket, steps, event_id, timeout_seconds))
        return Call(self, ticket, mailbox)

    def release(self, ticket: int, *, over: bool) -> None:
        """Forget a call; the engine is told when it is not over."""
        if self._mailboxes.pop(ticket, None) is not None and not over:
            self.connection.feed(core.CancelRequest(ticket))

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
            case core.ConnectionNotice() as notice:
                self._log(notice)
            case other:
                self.connection.take(other)
