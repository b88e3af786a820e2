"""The realtime client on anyio: `connect_realtime()`, messages by `async for` and `receive()`, `send()`, `close()`.

A session is a `RealtimeClientEngine` in a `Driver`, held open by `hold()`. Nothing here knows what the messages mean.
"""

from __future__ import annotations

import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import anyio
import anyio.lowlevel

from aigw_proto import client as core
from aigw_proto._effects import Deliver
from aigw_proto._errors import CloseCode

from ._anyio_connection import Connection, Mailbox, hold
from ._anyio_driver import Driver
from ._client_errors import ConnectionLost, lost_connection
from ._client_requests import ended_in_order, message_to_send, open_request

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping, Sequence
    from typing import Self

    from aigw_proto._effects import TlsPolicy
    from aigw_proto._limits import WebSocketLimits
    from aigw_proto.http import Headers
    from aigw_proto.ws import DeflatePolicy

__all__ = ["RealtimeConnection", "connect_realtime"]


class _Session:
    """What came and was not taken yet, and how it ended."""

    __slots__ = ("connection", "ended", "lost", "mailbox")

    def __init__(self) -> None:
        self.connection: Connection[core.RealtimeInput] = Connection()
        self.mailbox: Mailbox[core.MessageReceived | core.ConnectionLost] = Mailbox()
        self.lost: core.ConnectionLost | None = None
        self.ended = anyio.Event()

    def deliver(self, effect: Deliver) -> None:
        """Take a `Deliver` effect of the engine."""
        item = cast("core.RealtimeItem", effect.item)
        if isinstance(item, core.MessageReceived):
            self.mailbox.put(item)
            return
        self.connection.take(item)
        if isinstance(item, core.ConnectionLost):
            self.lost = item
            self.mailbox.put(item)  # the last, and it stays there
            self.ended.set()

    def abandon(self) -> None:
        """Tell whoever still waits that it is over, if the engine had no time to."""
        if self.lost is None:
            code, by = CloseCode.ABNORMAL_CLOSURE, core.ClosedBy.PROGRAM
            lost = core.ConnectionLost(code, "reset by this side", clean=False, closed_by=by)
            self.deliver(Deliver(core.CONNECTION_TICKET, lost))


class RealtimeConnection:
    """An open realtime session; `connect_realtime()` makes it.

    Any number of tasks may send while one receives. Messages have to be taken: when 16 MiB of them wait, the gateway is
    not read any more, and a side that is not read for a minute or so gives the other up.
    """

    __slots__ = ("_receiving", "_session", "headers", "subprotocol")

    def __init__(self, session: _Session, opened: core.Opened) -> None:
        """Use `connect_realtime()`."""
        self._session = session
        self._receiving = False
        self.headers: Headers = opened.headers
        """Header fields of the gateway's 101 response."""
        self.subprotocol: str | None = opened.subprotocol
        """The subprotocol that was chosen, None when none was."""

    @property
    def close_code(self) -> int | None:
        """The code of the other side's Close: 1005 when it had none, 1006 when there was none. None while it is open.

        When the client itself gave the session up, the code that it said, such as 1009 for a message too big.
        """
        return None if self._session.lost is None else self._session.lost.code

    @property
    def close_reason(self) -> str | None:
        """The reason that goes with `close_code`, or None while it is open."""
        return None if self._session.lost is None else self._session.lost.reason

    @property
    def closed_by(self) -> core.ClosedBy | None:
        """Who ended the session, or None while it is open."""
        return None if self._session.lost is None else self._session.lost.closed_by

    async def send(self, message: str | bytes | bytearray | memoryview) -> None:
        """Send one message: a `str` as text, bytes as binary. Waits while too much is unsent.

        A `send()` that is cancelled has sent nothing. Raises `ConnectionLost` when the session has ended or is closing,
        and LocalProtocolError for text that has no UTF-8 form. A message that was sent just before the end may not
        have arrived.
        """
        sending = message_to_send(message)
        await anyio.lowlevel.checkpoint()
        await self._session.connection.room()
        self._session.connection.feed(sending)

    async def receive(self) -> str | bytes:
        """Return the next message: text as `str`, binary as `bytes`. Cancelling loses none.

        Raises `ConnectionLost` after the last one, whatever ended the session, and again whenever it is called. Raises
        RuntimeError when another task is receiving.
        """
        if self._receiving:
            raise RuntimeError("another task is receiving: only one can, or nobody would know the order")
        self._receiving = True
        mailbox = self._session.mailbox
        try:
            await anyio.lowlevel.checkpoint()
            item = await mailbox.get()
        finally:
            self._receiving = False
        if isinstance(item, core.ConnectionLost):
            mailbox.put(item)
            raise lost_connection(item)
        self._session.connection.report(core.CONNECTION_TICKET, core.held_bytes(item))
        return item.data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str | bytes:
        """Return the next message; ends when the session was closed in order, raises ConnectionLost otherwise.

        In order means by this program, or by the other side with 1000, 1001 or without a code.
        """
        try:
            return await self.receive()
        except ConnectionLost as lost:
            if ended_in_order(lost):
                raise StopAsyncIteration from None
            raise

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Say Close and wait for the other side's, 10 s at most by default. Does nothing once the session has ended.

        Messages that came before can still be received, later ones are discarded. A reason beyond 123 bytes of UTF-8
        is cut. Raises LocalProtocolError for a code that no Close may carry, such as 1005 and 1006.
        """
        core.check_close(code)
        self._session.connection.close(code, reason)
        await self._session.ended.wait()


@asynccontextmanager
async def connect_realtime(
    url: str,
    *,
    token: str | None = None,
    token_form: core.TokenForm = core.TokenForm.HEADER,
    headers: Mapping[str, str] | None = None,
    subprotocols: Sequence[str] = (),
    compression: DeflatePolicy | None = None,
    tls: TlsPolicy | None = None,
    limits: core.ClientLimits | None = None,
    websocket: WebSocketLimits | None = None,
) -> AsyncGenerator[RealtimeConnection, None]:
    """Open a realtime session at `ws://HOST[:PORT]/v1/ACCOUNT/GATEWAY/PROVIDER[/PATH][?QUERY]`, or `wss://`.

    `token` is the gateway token, sent as header, or as subprotocol with `TokenForm.SUBPROTOCOL`. `headers` and
    `subprotocols` are added to the upgrade request; the provider's key goes into either, as the provider wants it.
    `compression` offers permessage-deflate. `tls` names additional roots. `limits` bound opening and what waits;
    `websocket` bounds messages, keep-alive and the closing handshake.

    Leaving the block closes with code 1000 and waits for the closing handshake, like `RealtimeConnection.close()`.
    Exceptions leave the block as they are, never wrapped in a group. Nothing is repeated by itself: `ConnectionLost`
    says why it ended, and what a new session needs to know is the program's affair.

    Raises ValueError for a bad URL, LocalProtocolError for a token, header or subprotocol that cannot be sent,
    `ConnectionFailed`, and `HandshakeRefused` with status and body, which may be the provider's.
    """
    request = open_request(
        url, token=token, token_form=token_form, headers=headers, subprotocols=subprotocols, compression=compression,
        tls=tls,
    )  # fmt: skip
    session = _Session()
    engine = core.RealtimeClientEngine(random_bytes=os.urandom, limits=limits, websocket=websocket)
    driver: Driver[core.RealtimeInput] = Driver(engine, deliver=session.deliver)
    session.connection.attach(driver)
    try:
        async with hold(driver, session.connection, request) as opened:
            yield RealtimeConnection(session, opened)
    finally:
        session.abandon()
