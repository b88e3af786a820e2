"""A link of the asyncio driver whose WebSocket a framework has framed: `MessageSocket` in the place of a socket.

To the link it is a transport like any other. What the engine writes waits in the machine until the framework pulls it,
up to `HELD_BYTES` as in a kernel's buffer, and beyond that in the link, which reports it to the engine. What the
framework receives is fed in pieces as small as reads, and no longer than the engine reads; whoever brings more waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from typing import TYPE_CHECKING, cast

from aigw_proto._errors import CloseCode
from aigw_proto._kinds import Signal
from aigw_proto.ws import BinaryMessage, Closed, MessageSocket, TextMessage, UpgradeAccepted, UpgradeRefused

from ._asyncio_link import READ_BYTES

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from aigw_proto.ws import MessageEvent

    from ._asyncio_accept import Host

__all__ = ["HELD_BYTES", "MessageLink"]

HELD_BYTES = 64 * 1024
"""What the engine may write before the framework has pulled it."""


class MessageTransport(asyncio.Transport):
    """What the link sees: the methods of a transport. The others are for `MessageLink`, and none of them waits."""

    def __init__(self, host: Host, peer: str, machine: MessageSocket) -> None:
        """Report a link from `peer` to the engine, and begin with what `machine` has to send."""
        super().__init__()
        self.left = False  # the framework takes no more events
        self.news = asyncio.Event()  # there may be an event
        self.room = asyncio.Event()  # all was fed
        self._machine = machine
        self._loop = host.loop
        self._held_bytes = 0
        self._blocked = False
        self._paused = False
        self._resting = False
        self._outgoing: deque[bytes] = deque()
        self._told_end = False
        self._closing = False
        self._timer: asyncio.TimerHandle | None = None
        self._link = host.accept(peer)
        self._link.connection_made(self)
        self.push()

    # -- for the link

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes of the engine."""
        if self._machine.ended or self._closing:
            return  # there is nobody left to read them
        self._machine.receive_data(bytes(data), time.monotonic())
        self._held_bytes += len(data)
        if self._held_bytes > HELD_BYTES and not self._blocked:
            self._blocked = True
            self._link.pause_writing()
        self._wake()

    def write_eof(self) -> None:
        """Take the end of what the engine sends."""
        self._machine.receive_eof(time.monotonic())
        self._wake()

    def get_write_buffer_size(self) -> int:
        """Return how much the framework has not pulled."""
        return self._held_bytes

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Keep to `HELD_BYTES`: below it a framework is not slow."""

    def pause_reading(self) -> None:
        """Feed nothing until further notice."""
        self._paused = True

    def resume_reading(self) -> None:
        """Go on with what waits."""
        if self._paused:
            self._paused = False
            self._loop.call_soon(self.push)

    def is_closing(self) -> bool:
        """Return whether it was closed."""
        return self._closing

    def close(self) -> None:
        """End both directions. What is held can still be pulled."""
        if not self._closing:
            self._closing = True
            self._outgoing.clear()
            self.room.set()
            self.write_eof()
            self._loop.call_soon(self._lose)

    def abort(self) -> None:
        """See `close()`."""
        self.close()

    # -- for the framework

    def pull(self) -> MessageEvent | None:
        """Return the next event, or None when the engine has to say more first."""
        while isinstance(event := self._machine.next_event(), Signal):
            self._held_bytes = 0
            if not self._blocked:
                break
            self._blocked = False
            self._link.resume_writing()
        self.push()
        return None if isinstance(event, Signal) else event

    def push(self) -> None:
        """Feed the engine what it takes; the rest follows by itself."""
        if self._resting:
            return
        while not self._closing:
            if not self._outgoing:
                self._outgoing.extend(self._machine.data_to_send())
            if not self._outgoing:
                break
            if self._paused:
                return
            first = self._outgoing.popleft()
            self._link.data_received(first[:READ_BYTES])
            if len(first) > READ_BYTES:  # then others have their turn
                self._outgoing.appendleft(first[READ_BYTES:])
                self._resting = True
                self._loop.call_soon(self._push_on)
                return
        self.room.set()
        if self._machine.ended and not self._told_end and not self._closing:
            self._told_end = True
            self._link.eof_received()

    def leave(self, code: int | None, reason: str) -> None:
        """Note that the client has gone, and see the link to its end without anybody who pulls."""
        self.left = True
        self._machine.receive_disconnect(code, reason, now=time.monotonic())
        self._wake()

    def expire(self) -> None:
        """Let time pass. Timers of uvloop may be early; then it is let pass again."""
        self._timer = None
        self._machine.handle_timeout(time.monotonic())
        self._wake()

    def _wake(self) -> None:
        self.news.set()
        if self.left:
            self._loop.call_soon(self._discard)

    def _discard(self) -> None:
        while self.pull() is not None:
            pass
        deadline = self._machine.next_timeout()
        if deadline is not None and self._timer is None:
            self._timer = self._loop.call_later(max(0.0, deadline - time.monotonic()), self.expire)

    def _push_on(self) -> None:
        self._resting = False
        self.push()

    def _lose(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._link.connection_lost(None)


class MessageLink:
    """One WebSocket of a framework, served by the engine of a driver; a context manager, made by `accept_messages()`.

    First await `opening()`. Then bring what the framework receives with `receive_text()` and `receive_binary()`, and
    pass on what the iteration gives, each in a task of its own, until either side closes: the iteration ends, and
    `closed` says how, or None when it was the client. Leaving the context is the same as losing the client.
    """

    def __init__(self, host: Host, peer: str, socket: MessageSocket) -> None:
        """Use `Driver.accept_messages()`."""
        self._socket = socket
        self._transport = MessageTransport(host, peer, socket)
        self._closed: Closed | None = None

    @property
    def closed(self) -> Closed | None:
        """What to close the client's WebSocket with, once the iteration has ended; None when the client has gone."""
        return self._closed

    async def opening(self) -> UpgradeAccepted | UpgradeRefused:
        """Wait for the engine's answer; after a refusal all is over. Await it once, first."""
        event = await self._next()
        if event is None:
            return UpgradeRefused(503, [], "the client has gone")
        return cast("UpgradeAccepted | UpgradeRefused", event)  # which the first event is

    def __aiter__(self) -> Self:
        """Iterate over the engine's messages until one side closes."""
        return self

    async def __anext__(self) -> TextMessage | BinaryMessage:
        """Wait for the engine's next message. Not to take it is what slows the engine down."""
        event = await self._next()
        if isinstance(event, Closed):
            self._closed = event
        if not isinstance(event, TextMessage | BinaryMessage):
            raise StopAsyncIteration
        return event

    async def receive_text(self, data: str | bytes) -> None:
        """Bring a text message of the client; waits as long as the engine does not read. See `MessageSocket`."""
        self._socket.receive_text(data)
        await self._make_room()

    async def receive_binary(self, data: bytes) -> None:
        """Bring a binary message of the client; likewise."""
        self._socket.receive_binary(data)
        await self._make_room()

    def receive_disconnect(self, code: int | None = None, reason: str = "") -> None:
        """Tell that the client has gone, with the code of its Close (see `MessageSocket`); ends the iteration."""
        self._transport.leave(code, reason)

    async def __aenter__(self) -> Self:
        """Begin; `opening()` comes next."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the link if it has not ended: the client is lost."""
        if not self._transport.left:
            self._transport.leave(CloseCode.ABNORMAL_CLOSURE, "")

    async def _next(self) -> MessageEvent | None:
        transport = self._transport
        while not transport.left:
            transport.news.clear()
            event = transport.pull()
            if event is not None:
                return event
            if self._socket.ended:
                break
            deadline = self._socket.next_timeout()
            if deadline is None:
                await transport.news.wait()
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(deadline - time.monotonic()):
                    await transport.news.wait()
            transport.expire()
        return None

    async def _make_room(self) -> None:
        self._transport.room.clear()
        self._transport.push()
        await self._transport.room.wait()
