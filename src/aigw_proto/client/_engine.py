"""The client engine of the universal API: one WebSocket to a gateway, many requests on it.

The connection itself is a `Line`. A request lives in the `RequestTable` and only while the line is open; whatever ends
the connection gives every request its `ConnectionLost`.

Flow control couples all requests of the connection. The protocol has no window per request, so there are three things
to do about a program that leaves a stream unread: keep everything (unbounded), end the slow request (loses data), or
stop reading (delays the others). This engine stops reading: above `high_water_bytes` of delivered but unconsumed bytes,
all tickets together, the gateway is no longer read, and it resumes below `low_water_bytes`. TCP passes the pause on to
the gateway, which stops reading its providers and gives a socket up that stays stuck. A program that leaves a stream
unread while it waits for another request of the same connection would wait for ever: see `_flow` for how that ends.

In the other direction `SendingAllowed(False)` asks the API layer to hold new requests back while much is unsent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import CloseCode, LocalProtocolError
from .._inputs import ShutdownRequested
from ..envelopes import EnvelopeFault, ErrorCode, parse_server_message, print_cancel, print_create
from ..ws import BinaryMessage, TextMessage
from ._inputs import CancelRequest, ClientInput, CreateRequest
from ._items import ConnectionLost, ConnectionNotice, FrameReceived, RequestNotSent, StreamBroken
from ._line import CLOSED_HERE, Line, Stage
from ._requests import Orphan, RequestTable, Violation

if TYPE_CHECKING:
    from .._effects import Effect
    from .._entropy import RandomBytes
    from .._limits import HttpLimits, WebSocketLimits
    from ._limits import ClientLimits

__all__ = ["ClientEngine"]

_GIVEN_UP = "left unread for too long while other requests of the connection waited"


class ClientEngine:
    """One connection to one gateway; an `Engine[ClientInput]`. See the inputs and items for what goes in and out."""

    def __init__(
        self,
        *,
        random_bytes: RandomBytes,
        limits: ClientLimits | None = None,
        http: HttpLimits | None = None,
        websocket: WebSocketLimits | None = None,
        deliver_frames: bool = False,
    ) -> None:
        """Create an engine that waits for `OpenConnection`. `random_bytes` feeds masks, the handshake key and ids."""
        self._line = Line(self, random_bytes=random_bytes, limits=limits, http=http, websocket=websocket)
        self._outlet = self._line.outlet
        self._deliver_frames = deliver_frames
        self._requests = RequestTable(self._line.limits, self._line.entropy.take(8).hex())
        self._lost: ConnectionLost | None = None
        self._grace_until: float | None = None  # requests may finish after ShutdownRequested

    @property
    def dropped_frames(self) -> int:
        """Frames so far that came for cancelled or unknown requests."""
        return self._requests.dropped_frames

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._requests)

    # -- Engine ---------------------------------------------------------------------------------------------------

    def handle(self, event: ClientInput, now: float) -> None:
        """Take one input. LocalProtocolError for a caller's mistake, RuntimeError when the last turn is not drained."""
        self._line.begin(now)
        match event:
            case CreateRequest():
                self._on_create(event)
            case CancelRequest():
                self._outlet.flow.forget(event.ticket)
                self._cancel(event.ticket)
            case ShutdownRequested():
                self._on_shutdown(event)
            case _:
                self._line.take(event)
        self._end_turn()

    def handle_timeout(self, now: float) -> None:
        """Let time pass: deadlines, keep-alive, and work left over from a long turn."""
        self._line.begin(now)
        self._line.expire()
        if self._grace_until is not None and self._grace_until <= now:
            self._line.close(CloseCode.NORMAL_CLOSURE, "")
        while (expired := self._requests.expire(now)) is not None:
            self._outlet.answer(expired.ticket, expired.item, now)
            self._send(print_cancel(expired.event_id))
        while (ticket := self._outlet.flow.give_up(self._requests.tickets, now)) is not None:
            if self._cancel(ticket):
                self._outlet.answer(ticket, StreamBroken(None, _GIVEN_UP), now)
        self._end_turn()

    def next_timeout(self) -> float | None:
        """Return the earliest deadline; the time of the last call when work remains; None when there is nothing."""
        if self._line.work_left:
            return self._line.now
        stall = self._outlet.flow.next_stall() if self._outlet.waiting else None
        deadlines = (self._line.next_timeout(), self._grace_until, self._requests.next_deadline(), stall)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn; None when it is drained."""
        return self._line.poll()

    def _end_turn(self) -> None:
        self._line.pump()
        if self._line.shutting_down and not self._requests:
            self._line.close(CloseCode.NORMAL_CLOSURE, "")
        self._line.settle()

    # -- inputs ---------------------------------------------------------------------------------------------------

    def _on_create(self, event: CreateRequest) -> None:
        self._line.check_opened()
        if not event.steps:
            raise LocalProtocolError("a request needs at least one step")
        self._requests.claim(event.ticket)
        now = self._line.now
        if self._lost is not None or self._line.shutting_down:
            self._outlet.answer(event.ticket, self._lost or CLOSED_HERE, now)
            return
        event_id = self._requests.fresh_id() if event.event_id is None else event.event_id
        refusal = self._requests.add(event.ticket, event_id, now, event.timeout_seconds)
        if refusal is None:
            self._send(print_create(event_id, event.steps))
        else:
            self._outlet.answer(event.ticket, RequestNotSent(refusal), now)

    def _cancel(self, ticket: int) -> bool:
        event_id = self._requests.cancel(ticket)
        if event_id is not None:
            self._send(print_cancel(event_id))
        return event_id is not None

    def _on_shutdown(self, event: ShutdownRequested) -> None:
        if self._line.stage is Stage.OPEN and event.grace_seconds > 0:
            self._line.shutting_down = True
            self._grace_until = self._line.now + event.grace_seconds
        else:
            self._line.take(event)

    def _send(self, chunks: list[bytes]) -> None:
        session = self._line.sending_session()
        if session is not None:
            session.send_text(chunks)

    # -- LineOwner ------------------------------------------------------------------------------------------------

    def receive_message(self, message: TextMessage | BinaryMessage) -> None:
        """See `LineOwner`."""
        if isinstance(message, BinaryMessage):
            self._line.reject("a binary message, but this protocol is text", CloseCode.UNSUPPORTED_DATA)
            return
        text = message.data
        if self._deliver_frames:
            self._outlet.deliver(FrameReceived(text))
        frame = parse_server_message(text)
        if isinstance(frame, EnvelopeFault):
            if frame.code == ErrorCode.UNKNOWN_TYPE:  # an extension of this gateway, perhaps
                self._outlet.deliver(ConnectionNotice(frame.message, text))
            else:
                self._line.reject(frame.message)
            return
        result = self._requests.receive(frame)
        if isinstance(result, tuple):
            self._outlet.answer(*result, self._line.now)
        elif isinstance(result, Violation):
            self._line.reject(result.reason)
        elif isinstance(result, Orphan):
            self._outlet.deliver(ConnectionNotice(result.reason, text))

    def receive_end(self, lost: ConnectionLost) -> None:
        """See `LineOwner`: every request under way gets its `ConnectionLost`."""
        self._lost = lost
        self._grace_until = None
        for ticket in self._requests.clear():
            self._outlet.answer(ticket, lost, self._line.now)
