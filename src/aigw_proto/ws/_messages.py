"""The client's end of a link whose WebSocket somebody else has framed: whole messages on one side, bytes on the other.

An engine takes the bytes of links and does all else itself: admission, limits, fairness, the closing handshake. A web
framework has done the framing when it hands a WebSocket over. `MessageSocket` stands between them. Towards the engine
it plays the client: it writes the upgrade request that the framework has read, frames what the framework receives, and
reads the answer and the frames that come back. So to the engine such a link is a link like any other.

    opening  --UpgradeAccepted-->  open  --Closed-->  over
             --UpgradeRefused--------------------->  over
    either   --receive_disconnect() of a client that left without a word-->  over, without an event

No wire is in between, so the mask keys are zero, which RFC 6455 section 5.3 forbids where there is one; nothing is
compressed; and the engine's pings are answered here, since the framework asks after its client itself.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeAlias

from .._entropy import Entropy
from .._errors import CloseCode, LocalProtocolError
from .._kinds import Signal
from .._limits import HttpLimits, WebSocketLimits
from ..http._events import Headers, StreamEnded
from ._close import is_sendable_code
from ._events import BinaryMessage, Closed, Failed, TextMessage, WebSocketEvent
from ._handshake import OURS, UpgradeAccepted, UpgradeOffer, UpgradeRefused, new_key
from ._opening import Opening, OpeningEvent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._connection import WSConnection

__all__ = ["MessageEvent", "MessageSocket"]

MessageEvent: TypeAlias = UpgradeAccepted | UpgradeRefused | TextMessage | BinaryMessage | Closed

_NO_HOST = b"localhost"  # what a request without a Host goes to; HTTP/1.1 wants one (RFC 9112 section 3.2)
_SWITCHING = 101
_UNAVAILABLE = 503
_BAD_REQUEST = 400


class MessageSocket:
    """One WebSocket that a framework serves and an engine answers; a `Machine[MessageEvent]`.

    `receive_data()`, `receive_eof()` and `data_to_send()` face the engine, with the bytes of a link that the driver has
    accepted; `receive_text()`, `receive_binary()`, `receive_disconnect()` and `next_event()` face the framework. After
    every call look at `data_to_send()`, `ended` and `next_timeout()`.

    * The first event is `UpgradeAccepted`, or `UpgradeRefused`, which is the last. `headers` are without those of the
      handshake and of the connection, which the framework writes itself.
    * `Closed` is the last event otherwise. Its code is one to close the client's WebSocket with: 1000 where the engine
      said none, 1011 where its link broke.
    * `ended`: whether the client's direction is over, so that `PeerClosed(link, clean=True)` is to be fed behind
      `data_to_send()`; only to be read.
    """

    __slots__ = ("_limits", "_machine", "_now", "_output", "_refused", "ended")

    def __init__(
        self,
        *,
        now: float,
        target: bytes,
        headers: Headers,
        subprotocols: Sequence[str] = (),
        limits: WebSocketLimits = WebSocketLimits(),  # noqa: B008 - records are never changed
        http_limits: HttpLimits = HttpLimits(),  # noqa: B008 - likewise
    ) -> None:
        """Queue the upgrade request at `now` (monotonic seconds).

        `target` is the path with its query, in the form of the wire. `headers` are the client's, in which those of the
        handshake are passed over; the framework has read the `subprotocols` out of them. A request that cannot be
        written is refused with 400, not raised: it is the client's. `limits.max_message_bytes` bounds one message to
        the client, `http_limits.head_timeout_seconds` how long the engine's answer is awaited.
        """
        self._now = now
        self._limits = dataclasses.replace(limits, ping_interval_seconds=None)
        self._output: list[bytes] = []
        self.ended = False
        self._refused: UpgradeRefused | None = None
        self._machine: Opening | WSConnection | None = None
        # Not all frameworks take away the white space around values, which is no part of them (RFC 9110 section 5.5).
        fields = [(name, value.strip(b" \t")) for name, value in headers]
        hosts = [value for name, value in fields if name.lower() == b"host"]
        try:
            self._machine = Opening.client(
                now=now,
                host=hosts[0] if hosts else _NO_HOST,
                target=target,
                key=new_key(Entropy(bytes)),
                subprotocols=subprotocols,
                headers=[(name, value) for name, value in fields if name.lower() not in OURS],
                limits=http_limits,
            )
        except LocalProtocolError as error:
            self._refused = UpgradeRefused(_BAD_REQUEST, [], str(error))

    # The engine's side

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes from the engine. Ignored when all is over."""
        self._now = now
        if self._machine is not None:
            self._machine.receive_data(data, now)

    def receive_eof(self, now: float) -> None:
        """Note that the engine sends no more: it ended its direction, or closed the link."""
        self._now = now
        if self._machine is not None:
            self._machine.receive_eof(now)

    def data_to_send(self) -> list[bytes]:
        """Move out what goes to the engine as `BytesReceived`."""
        output, self._output = self._output, []
        return output if self._machine is None else output + self._machine.data_to_send()

    def next_timeout(self) -> float | None:
        """Return the deadline of the engine's answer to a request or a Close, in monotonic seconds, or None."""
        return None if self._machine is None else self._machine.next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        self._now = now
        if self._machine is not None:
            self._machine.handle_timeout(now)

    # The framework's side

    def receive_text(self, data: str | bytes) -> None:
        """Take a text message of the client; `bytes` must be UTF-8. Ignored once either side has closed.

        Raises LocalProtocolError before `UpgradeAccepted`, and for a `str` that has no UTF-8 form.
        """
        connection = self._open_connection()
        if connection is not None:
            connection.send_text(data)

    def receive_binary(self, data: bytes) -> None:
        """Take a binary message of the client. Raises and ignores as `receive_text()` does."""
        connection = self._open_connection()
        if connection is not None:
            connection.send_binary(data)

    def receive_disconnect(self, code: int | None = None, reason: str = "", *, now: float) -> None:
        """Note that the client has gone; idempotent, and ignored once the engine has closed.

        `code` is that of the client's Close, None or 1005 for a Close without one. With a code that no Close carries,
        such as 1006, the client was lost, and so is the link. After a Close go on as before until `ended`, so that the
        engine can finish; what `next_event()` returns meanwhile has nobody to go to.
        """
        if code is None or code == CloseCode.NO_STATUS_RECEIVED:
            code, reason = None, ""
        machine = self._machine
        if machine is None or isinstance(machine, Opening) or not (code is None or is_sendable_code(code)):
            self._end()
        elif machine.can_send:
            machine.send_close(code, reason, now=now)

    def next_event(self) -> MessageEvent | Signal:
        """Return the next thing that the client's WebSocket has to be told, or `Signal.NEED_DATA`."""
        if self._refused is not None:
            refused, self._refused = self._refused, None
            self._end()
            return refused
        outcome: MessageEvent | Signal | None
        while self._machine is not None:
            if isinstance(self._machine, Opening):
                event = self._machine.next_event()
                outcome = event if isinstance(event, Signal) else self._take_opening(self._machine, event)
            else:
                message = self._machine.next_event()
                outcome = message if isinstance(message, Signal) else self._take_message(message)
            if outcome is not None:
                return outcome
        return Signal.NEED_DATA

    # Between them

    def _open_connection(self) -> WSConnection | None:
        if isinstance(self._machine, Opening) or self._refused is not None:
            raise LocalProtocolError("the WebSocket is not open yet")
        return self._machine if self._machine is not None and self._machine.can_send else None

    def _take_opening(self, opening: Opening, event: OpeningEvent) -> UpgradeAccepted | UpgradeRefused:
        if isinstance(event, UpgradeAccepted):
            opening.next_event()  # SWITCHED
            self._output += opening.data_to_send()
            self._machine = opening.connection(now=self._now, limits=self._limits, entropy=Entropy(bytes))
            return UpgradeAccepted(event.subprotocol, None, _passed_on(event.headers))
        self._end()
        if isinstance(event, UpgradeRefused) and event.status != _SWITCHING:
            return UpgradeRefused(event.status, _passed_on(event.headers), event.reason, event.body)
        reason = "the link was closed" if isinstance(event, StreamEnded | UpgradeOffer) else event.reason
        return UpgradeRefused(_UNAVAILABLE, [], reason)

    def _take_message(self, event: WebSocketEvent) -> MessageEvent | None:
        if isinstance(event, TextMessage | BinaryMessage):
            return event
        if isinstance(event, Closed | Failed):
            self._end()
            clean = isinstance(event, Closed) and event.clean
            return Closed(_closing_code(event.code), event.reason, clean)
        return None  # a ping, which has its pong already

    def _end(self) -> None:
        if self._machine is not None:
            self._output += self._machine.data_to_send()
            self._machine = None
        self.ended = True


def _passed_on(headers: Headers) -> Headers:
    return [(name, value) for name, value in headers if name.lower() not in OURS]


def _closing_code(code: int) -> int:
    if code == CloseCode.NO_STATUS_RECEIVED:
        return int(CloseCode.NORMAL_CLOSURE)
    return code if is_sendable_code(code) else int(CloseCode.INTERNAL_ERROR)
