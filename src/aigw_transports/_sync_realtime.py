"""The realtime client in threads: `connect_realtime()`, messages by `for` and `receive()`, `send()`, `close()`.

A session is a `RealtimeClientEngine` in a `Driver`, held open by `hold()`. Nothing here knows what the messages mean.
"""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

from aigw_proto import client as core

from ._client_errors import ConnectionLost, lost_connection
from ._client_requests import ended_in_order, message_to_send, open_request
from ._sync_connection import GONE, Connection, Mailbox, Tally, hold
from ._sync_driver import Driver
from ._sync_wait import check_timeout

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping, Sequence
    from typing import Self

    from aigw_proto._effects import Deliver, TlsPolicy
    from aigw_proto._limits import WebSocketLimits
    from aigw_proto.http import Headers
    from aigw_proto.ws import DeflatePolicy

__all__ = ["RealtimeConnection", "connect_realtime"]


class _Sending:
    """A message on its way to the engine, until it is there or somebody has lost patience: whoever is first."""

    __slots__ = ("_claim", "answer", "message")

    def __init__(self, message: core.SendMessage) -> None:
        self.message = message
        self.answer: Mailbox[core.ConnectionLost | None] = Mailbox()
        self._claim = [True]

    def claim(self) -> bool:
        """Return True to the first who asks."""
        try:
            return self._claim.pop()
        except IndexError:
            return False


class _Session:
    """What came and was not taken yet, and how it ended."""

    __slots__ = ("connection", "ended", "lost", "mailbox", "tally")

    def __init__(self) -> None:
        self.connection: Connection[core.RealtimeInput] = Connection()
        self.mailbox: Mailbox[core.MessageReceived | core.ConnectionLost] = Mailbox()
        self.tally = Tally(core.CONNECTION_TICKET)
        self.lost: core.ConnectionLost | None = None
        self.ended = threading.Event()
        self.connection.follow(self.tally)

    # -- in the owner thread

    def deliver(self, effect: Deliver) -> None:
        """Take a `Deliver` effect of the engine."""
        item = cast("core.RealtimeItem", effect.item)
        if isinstance(item, core.MessageReceived):
            self.mailbox.put(item)
            return
        self.connection.take(item)
        if isinstance(item, core.ConnectionLost):
            self._end(item)

    def send(self, sending: _Sending) -> None:
        """Give a message to the engine, if it is still wanted."""
        if sending.claim():
            self.connection.feed(sending.message)
            sending.answer.put(None)

    def abandon(self) -> None:
        """Tell whoever still waits that it is over; the driver has ended."""
        lost = self.connection.abandon()
        if self.lost is None:
            self._end(lost)

    def _end(self, lost: core.ConnectionLost) -> None:
        self.lost = lost
        self.mailbox.put(lost)  # the last, and it stays there
        self.ended.set()


class RealtimeConnection:
    """An open realtime session; `connect_realtime()` makes it.

    Any number of threads may send while one receives. Messages have to be taken: when 16 MiB of them wait, the gateway
    is not read any more, and a side that is not read for a minute or so gives the other up.
    """

    __slots__ = ("_receiving", "_session", "headers", "subprotocol")

    def __init__(self, session: _Session, opened: core.Opened) -> None:
        """Use `connect_realtime()`."""
        self._session = session
        self._receiving = threading.Lock()
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

    def send(self, message: str | bytes | bytearray | memoryview, *, timeout: float | None = None) -> None:
        """Send one message: a `str` as text, bytes as binary. Waits while too much is unsent, for `timeout` seconds.

        A `send()` that raises TimeoutError, or is interrupted while it waits, has sent nothing, and the session goes
        on. Raises `ConnectionLost` when the session has ended or is closing, and LocalProtocolError for text that has
        no UTF-8 form. A message that was sent just before the end may not have arrived.
        """
        sending = _Sending(message_to_send(message))
        timeout = check_timeout(timeout)
        connection = self._session.connection
        connection.request(sending, lambda: self._session.send(sending), sending.answer.put)
        try:
            lost = sending.answer.get(timeout)
        except BaseException as error:
            connection.post(connection.withdraw, sending)
            if sending.claim() or not isinstance(error, TimeoutError):
                raise
            lost = None  # it was sent in this very moment
        if lost is not None:
            raise lost_connection(lost)

    def receive(self, *, timeout: float | None = None) -> str | bytes:
        """Return the next message: text as `str`, binary as `bytes`.

        Raises TimeoutError when none came within `timeout` seconds; none is lost, and the session goes on. Raises
        `ConnectionLost` after the last one, whatever ended the session, and again whenever it is called. Raises
        RuntimeError when another thread is receiving.
        """
        timeout = check_timeout(timeout)
        if not self._receiving.acquire(blocking=False):
            raise RuntimeError("another thread is receiving: only one can, or nobody would know the order")
        mailbox = self._session.mailbox
        try:
            if self._session.lost is None and not self._session.connection.is_alive:
                mailbox.put(GONE)
            item = mailbox.get(timeout)
            if isinstance(item, core.ConnectionLost):
                mailbox.put(item)
                raise lost_connection(item)
            self._session.connection.report(self._session.tally, core.held_bytes(item))
        finally:
            self._receiving.release()
        return item.data

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str | bytes:
        """Return the next message; ends when the session was closed in order, raises ConnectionLost otherwise.

        In order means by this program, or by the other side with 1000, 1001 or without a code.
        """
        try:
            return self.receive()
        except ConnectionLost as lost:
            if ended_in_order(lost):
                raise StopIteration from None
            raise

    def close(self, code: int = 1000, reason: str = "", *, timeout: float | None = None) -> None:
        """Say Close and wait for the other side's, 10 s at most by default. Does nothing once the session has ended.

        Messages that came before can still be received, later ones are discarded. A reason beyond 123 bytes of UTF-8
        is cut. Raises LocalProtocolError for a code that no Close may carry, such as 1005 and 1006, and TimeoutError
        when the other side's Close did not come within `timeout` seconds; it is waited for all the same.
        """
        core.check_close(code)
        timeout = check_timeout(timeout)
        self._session.connection.close(code, reason)
        if self._session.connection.is_alive and not self._session.ended.wait(timeout):
            raise TimeoutError(f"the other side did not close within {timeout:g} s")


@contextmanager
def connect_realtime(
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
    timeout: float | None = None,
) -> Generator[RealtimeConnection, None, None]:
    """Open a realtime session at `ws://HOST[:PORT]/v1/ACCOUNT/GATEWAY/PROVIDER[/PATH][?QUERY]`, or `wss://`.

    `token` is the gateway token, sent as header, or as subprotocol with `TokenForm.SUBPROTOCOL`. `headers` and
    `subprotocols` are added to the upgrade request; the provider's key goes into either, as the provider wants it.
    `compression` offers permessage-deflate. `tls` names additional roots. `limits` bound opening and what waits;
    `websocket` bounds messages, keep-alive and the closing handshake. `timeout` is in seconds, for opening; without it,
    that ends by `limits`.

    Leaving the block closes with code 1000 and waits for the closing handshake, like `RealtimeConnection.close()`. The
    threads of the session end with it; they are daemons. Nothing is repeated by itself: `ConnectionLost` says why it
    ended, and what a new session needs to know is the program's affair.

    Raises ValueError for a bad URL or timeout, LocalProtocolError for a token, header or subprotocol that cannot be
    sent, `ConnectionFailed`, `HandshakeRefused` with status and body, which may be the provider's, and TimeoutError.
    """
    timeout = check_timeout(timeout)
    request = open_request(
        url, token=token, token_form=token_form, headers=headers, subprotocols=subprotocols, compression=compression,
        tls=tls,
    )  # fmt: skip
    session = _Session()
    engine = core.RealtimeClientEngine(random_bytes=os.urandom, limits=limits, websocket=websocket)
    driver: Driver[core.RealtimeInput] = Driver(engine, deliver=session.deliver)
    session.connection.attach(driver)
    with hold(driver, session.connection, request, timeout, session.abandon) as opened:
        yield RealtimeConnection(session, opened)
