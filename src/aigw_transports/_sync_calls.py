"""Calls of many threads on one client engine: tickets, mailboxes, and what the engine wants to know about them.

What the engine delivers is put into the mailbox of the call that it answers; the call's thread takes it from there. A
thread that lets go of a call that is not over cancels it.
"""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, cast

from aigw_proto import client as core

from ._client_errors import RequestTimedOut
from ._client_notices import NoticeLog
from ._sync_connection import GONE, Connection, Mailbox, Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._effects import Deliver
    from aigw_proto.envelopes import Step

__all__ = ["Call", "Calls"]


class Call:
    """One request under way. It belongs to one thread at a time."""

    __slots__ = ("_calls", "_deadline", "_timeout_seconds", "mailbox", "over", "released", "tally")

    def __init__(self, calls: Calls, timeout_seconds: float | None) -> None:
        """Use `Calls.start()`."""
        self._calls = calls
        self._timeout_seconds = timeout_seconds
        self._deadline = None if timeout_seconds is None else time.monotonic() + timeout_seconds
        self.mailbox: Mailbox[core.RequestItem] = Mailbox()
        self.tally = Tally(core.CONNECTION_TICKET)  # until it is sent, and has a ticket of its own
        self.over = False
        """The terminal item was taken."""
        self.released = False
        """Nobody waits for it any more."""

    def next(self) -> core.RequestItem:
        """Wait for the next item. Not after the terminal one. Raises RequestTimedOut.

        The engine keeps the time, too, and tells the gateway; but only from when there was room to send the request.
        When nobody runs the engine, as in a child process, it is ConnectionLost, behind what has come before.
        """
        connection = self._calls.connection
        if not connection.is_alive:
            self.mailbox.put(connection.lost or GONE)
        if self._deadline is None or self._timeout_seconds is None:
            item = self.mailbox.get()
        else:
            try:
                item = self.mailbox.get(self._deadline - time.monotonic())
            except TimeoutError:
                raise RequestTimedOut(self._timeout_seconds) from None
        connection.report(self.tally, core.held_bytes(item))
        self.over = is_terminal(item)
        return item

    def release(self) -> None:
        """Let go: cancels the request if it is not over, and forgets what was not taken. Idempotent."""
        if not self.released:
            self.released = True
            self._calls.release(self)


class Calls:
    """All calls of one connection."""

    def __init__(self, on_frame: Callable[[str], None] | None) -> None:
        """Begin with nothing under way; the driver's `Deliver` effects go to `deliver()`."""
        self.connection: Connection[core.ClientInput] = Connection()
        self._on_frame = on_frame
        self._log = NoticeLog()
        self._open: set[Call] = set()  # of the threads; the rest is the owner's
        self._calls: dict[int, Call] = {}
        self._newest_ticket = core.CONNECTION_TICKET

    def __len__(self) -> int:
        return len(self._open)

    def start(self, steps: tuple[Step, ...], event_id: str | None, timeout_seconds: float | None) -> Call:
        """Send a request, as soon as not too much is unsent. That the connection has ended is its first item then."""
        call = Call(self, timeout_seconds)
        self._open.add(call)
        send = functools.partial(self._send, call, steps, event_id, timeout_seconds)
        self.connection.request(call, send, call.mailbox.put)
        return call

    def release(self, call: Call) -> None:
        """Forget a call; the engine is told when it is not over."""
        self._open.discard(call)
        self.connection.post(self._release, call)

    # -- in the owner thread

    def _send(self, call: Call, steps: tuple[Step, ...], event_id: str | None, timeout_seconds: float | None) -> None:
        if call.released:
            return
        self._newest_ticket += 1
        call.tally.ticket = ticket = self._newest_ticket
        self._calls[ticket] = call
        self.connection.follow(call.tally)
        self.connection.feed(core.CreateRequest(ticket, steps, event_id, timeout_seconds))

    def _release(self, call: Call) -> None:
        self.connection.withdraw(call)
        if call.tally.ticket != core.CONNECTION_TICKET:
            self.connection.forget(call.tally)
            if self._calls.pop(call.tally.ticket, None) is not None:
                self.connection.feed(core.CancelRequest(call.tally.ticket))

    def deliver(self, effect: Deliver) -> None:
        """Take a `Deliver` effect of the engine."""
        item = cast("core.ClientItem", effect.item)
        if effect.ticket != core.CONNECTION_TICKET:
            request_item = cast("core.RequestItem", item)
            ends = is_terminal(request_item)
            call = self._calls.pop(effect.ticket, None) if ends else self._calls.get(effect.ticket)
            if call is not None:
                call.mailbox.put(request_item)
            return
        match cast("core.ConnectionItem", item):
            case core.FrameReceived(frame):
                if self._on_frame is not None:
                    self._on_frame(frame)
            case core.ConnectionNotice() as notice:
                self._log(notice)
            case other:
                self.connection.take(other)

    def abandon(self) -> None:
        """Tell whoever still waits that it is over; the driver has ended."""
        lost = self.connection.abandon()
        for call in self._calls.values():
            call.mailbox.put(lost)
        self._calls.clear()


def is_terminal(item: core.RequestItem) -> bool:
    """Say whether nothing comes behind an item."""
    return not isinstance(item, core.StreamStarted | core.ChunkReceived)
