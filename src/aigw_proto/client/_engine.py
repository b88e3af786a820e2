"""The client engine: one WebSocket to a gateway, many requests on it.

States, and who moves them:

    NEW         OpenConnection -> CONNECTING
    CONNECTING  LinkConnected -> HANDSHAKE            ConnectFailed, open deadline, close -> ENDED
    HANDSHAKE   Opened -> OPEN                        refused, failed, open deadline, close -> LINGERING or ENDED
    OPEN        ConnectionLost of the session -> LINGERING
    LINGERING   end of the peer's stream, linger deadline -> ENDED

A request lives in the `RequestTable` and only while the engine is OPEN; whatever ends OPEN gives every request its
`ConnectionLost`. LINGERING reads and discards, so that the gateway gets to see our last bytes instead of a reset.

Flow control couples all requests of the connection. The protocol has no window per request, so there are three things
to do about a program that leaves a stream unread: keep everything (unbounded), end the slow request (loses data), or
stop reading (delays the others). This engine stops reading: above `high_water_bytes` of delivered but unconsumed bytes,
all tickets together, the gateway is no longer read, and it resumes below `low_water_bytes`. TCP passes the pause on to
the gateway, which stops reading its providers and gives a socket up that stays stuck. A program that leaves a stream
unread while it waits for another request of the same connection would wait for ever: see `_flow` for how that ends.

In the other direction `SendingAllowed(False)` asks the API layer to hold new requests back while much is unsent.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, ClassVar

from .._effects import (
    CloseHow,
    CloseLink,
    Connect,
    Drained,
    Effect,
    EndSending,
    SetReading,
    TlsPolicy,
)
from .._entropy import Entropy, RandomBytes
from .._errors import CloseCode, LocalProtocolError
from .._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from .._kinds import LinkId, Signal
from .._limits import HttpLimits, WebSocketLimits
from .._timers import TimerTable
from ..envelopes import EnvelopeFault, ErrorCode, parse_server_message, print_cancel, print_create
from ..ws import TextMessage
from ._inputs import (
    CancelRequest,
    ClientInput,
    CloseConnection,
    Consumed,
    CreateRequest,
    OpenConnection,
)
from ._items import (
    ConnectionLost,
    ConnectionNotice,
    FrameReceived,
    Opened,
    OpenFailed,
    OpenRefused,
    RequestNotSent,
    StreamBroken,
)
from ._limits import ClientLimits
from ._outlet import Outlet
from ._requests import Orphan, RequestTable, Violation
from ._session import Session
from ._upgrade import check_open

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["ClientEngine"]

_LINK = LinkId(1)
_GIVEN_UP = "left unread for too long while other requests of the connection waited"
_CLOSED_HERE = ConnectionLost(CloseCode.NORMAL_CLOSURE, "closed by this side", clean=True)


class _Stage(enum.Enum):
    NEW = "nothing asked yet"
    CONNECTING = "waiting for the TCP or TLS connection"
    HANDSHAKE = "waiting for the answer to the upgrade"
    OPEN = "requests run"
    LINGERING = "over; reading until the peer has seen it"
    ENDED = "nothing is open"


_BEFORE_OPEN = (_Stage.NEW, _Stage.CONNECTING, _Stage.HANDSHAKE)


class _Timer(enum.Enum):
    OPEN = "connection and handshake"
    GRACE = "requests that may finish after ShutdownRequested"
    LINGER = "discarding after the end"


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
        self._entropy = Entropy(random_bytes)
        self._limits = limits or ClientLimits()
        self._http = http or HttpLimits()
        self._websocket = websocket or WebSocketLimits()
        self._deliver_frames = deliver_frames
        self._stage = _Stage.NEW
        self._timers: TimerTable[_Timer] = TimerTable()
        self._requests = RequestTable(self._limits, self._entropy.take(8).hex())
        self._outlet = Outlet(_LINK, self._limits)
        self._open: OpenConnection | None = None
        self._session: Session | None = None
        self._lost: ConnectionLost | None = None
        self._now = 0.0
        self._closing = False
        self._shutting_down = False
        self._pressing = False  # this turn has a message to send
        self._work_left = False

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
        self._begin(now)
        self._HANDLERS[type(event)](self, event)
        self._end_turn()

    def handle_timeout(self, now: float) -> None:
        """Let time pass: deadlines, keep-alive, and work left over from a long turn."""
        self._begin(now)
        while (timer := self._timers.expire(now)) is not None:
            self._EXPIRED[timer](self)
        while (expired := self._requests.expire(now)) is not None:
            self._outlet.answer(expired.ticket, expired.item, self._now)
            self._send(print_cancel(expired.event_id))
        while (ticket := self._outlet.flow.give_up(self._requests.tickets, now)) is not None:
            if self._cancel(ticket):
                self._outlet.answer(ticket, StreamBroken(None, _GIVEN_UP), now)
        if self._session is not None:
            self._session.handle_timeout(now)
        self._end_turn()

    def next_timeout(self) -> float | None:
        """Return the earliest deadline; the time of the last call when work remains; None when there is nothing."""
        if self._work_left:
            return self._now
        session = self._session.next_timeout() if self._session is not None else None
        stall = self._outlet.flow.next_stall() if self._outlet.paused else None
        deadlines = (self._timers.earliest(), self._requests.next_deadline(), session, stall)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn; None when it is drained."""
        effects = self._outlet.effects
        return effects.popleft() if effects else None

    def _begin(self, now: float) -> None:
        if self._outlet.effects:
            raise RuntimeError("poll() the effects of the turn before until it returns None")
        self._now = now
        self._work_left = False
        self._pressing = False

    def _end_turn(self) -> None:
        self._pump()
        if self._shutting_down and self._stage is _Stage.OPEN and not self._requests:
            self._start_close(CloseCode.NORMAL_CLOSURE, "")
        if self._session is not None:
            self._outlet.set_reading(self._session, self._now, closing=self._closing)
            self._outlet.flush(self._session, pressing=self._pressing or self._closing)

    # -- inputs of the API layer ----------------------------------------------------------------------------------

    def _on_open(self, event: OpenConnection) -> None:
        if self._stage is not _Stage.NEW:
            raise LocalProtocolError("this engine has been used: one engine is one connection")
        check_open(event)
        self._open = event
        self._stage = _Stage.CONNECTING
        self._timers.arm(_Timer.OPEN, self._now + self._limits.open_timeout_seconds)
        url = event.url
        tls = (event.tls or TlsPolicy()) if url.secure else None
        self._outlet.effects.append(Connect(_LINK, url.host, url.port, tls, ("http/1.1",) if url.secure else ()))

    def _on_create(self, event: CreateRequest) -> None:
        if self._stage in _BEFORE_OPEN:
            raise LocalProtocolError("the connection is not open yet: wait for Opened")
        if not event.steps:
            raise LocalProtocolError("a request needs at least one step")
        self._requests.claim(event.ticket)
        if self._lost is not None or self._shutting_down:
            self._outlet.answer(event.ticket, self._lost or _CLOSED_HERE, self._now)
            return
        event_id = self._requests.fresh_id() if event.event_id is None else event.event_id
        refusal = self._requests.add(event.ticket, event_id, self._now, event.timeout_seconds)
        if refusal is None:
            self._send(print_create(event_id, event.steps))
        else:
            self._outlet.answer(event.ticket, RequestNotSent(refusal), self._now)

    def _on_cancel(self, event: CancelRequest) -> None:
        self._outlet.flow.forget(event.ticket)
        self._cancel(event.ticket)

    def _cancel(self, ticket: int) -> bool:
        event_id = self._requests.cancel(ticket)
        if event_id is not None:
            self._send(print_cancel(event_id))
        return event_id is not None

    def _on_consumed(self, event: Consumed) -> None:
        self._outlet.flow.consumed(event.sizes, self._now)

    def _on_close(self, event: CloseConnection) -> None:
        was_shutting_down, self._shutting_down = self._shutting_down, True
        if self._stage is _Stage.OPEN:
            self._start_close(event.code, event.reason)
        elif self._stage in _BEFORE_OPEN:
            self._abandon("closed by this side before the handshake was over")
        elif self._stage is _Stage.ENDED and not was_shutting_down:
            self._outlet.effects.append(Drained())

    def _on_shutdown(self, event: ShutdownRequested) -> None:
        if self._stage is _Stage.OPEN and event.grace_seconds > 0:
            self._shutting_down = True
            self._timers.arm(_Timer.GRACE, self._now + event.grace_seconds)
        else:
            self._on_close(CloseConnection())

    # -- inputs of the driver -------------------------------------------------------------------------------------

    def _on_connected(self, _event: LinkConnected) -> None:
        if self._stage is _Stage.CONNECTING and self._open is not None:
            self._stage = _Stage.HANDSHAKE
            self._session = Session(
                self._open,
                now=self._now,
                entropy=self._entropy,
                http=self._http,
                websocket=self._websocket,
                open_timeout_seconds=self._limits.open_timeout_seconds,
            )

    def _on_connect_failed(self, event: ConnectFailed) -> None:
        if self._stage is _Stage.CONNECTING:
            self._outlet.deliver(OpenFailed(event.detail or event.failure.value, event.failure))
            self._enter_ended()

    def _on_bytes(self, event: BytesReceived) -> None:
        if self._session is not None:
            self._session.receive_data(event.data, self._now)

    def _on_peer_closed(self, event: PeerClosed) -> None:
        self._outlet.peer_gone = CloseHow.FLUSH if event.clean else CloseHow.ABORT
        if self._stage is _Stage.LINGERING:
            self._close_link(self._outlet.peer_gone)
        elif self._session is not None:
            self._session.receive_eof(self._now)

    def _on_bytes_sent(self, event: BytesSent) -> None:
        if self._stage is _Stage.OPEN:
            self._outlet.unsent(event.unsent)

    def _on_accepted(self, event: LinkAccepted) -> None:
        raise LocalProtocolError(f"a client accepts no connections (link {event.link})")

    # -- what the session reports ---------------------------------------------------------------------------------

    def _pump(self) -> None:
        budget = self._limits.turn_messages
        while self._session is not None and (self._outlet.flow.reading or self._closing):
            if not budget:
                self._work_left = True
                return
            budget -= 1
            event = self._session.next_event()
            if isinstance(event, TextMessage):
                self._on_frame(event.data, self._session)
            elif isinstance(event, Signal):
                return
            else:
                self._on_session(event)

    def _on_session(self, event: Opened | OpenRefused | OpenFailed | ConnectionLost) -> None:
        if isinstance(event, ConnectionLost):
            self._lose(event)
            return
        self._timers.disarm(_Timer.OPEN)
        self._outlet.deliver(event)
        if isinstance(event, Opened):
            self._stage = _Stage.OPEN
        else:
            self._close_link(CloseHow.FLUSH)

    def _on_frame(self, text: str, session: Session) -> None:
        if self._closing:
            return
        if self._deliver_frames:
            self._outlet.deliver(FrameReceived(text))
        frame = parse_server_message(text)
        if isinstance(frame, EnvelopeFault):
            if frame.code == ErrorCode.UNKNOWN_TYPE:  # an extension of this gateway, perhaps
                self._outlet.deliver(ConnectionNotice(frame.message, text))
            else:
                session.reject(frame.message)
            return
        result = self._requests.receive(frame)
        if isinstance(result, tuple):
            self._outlet.answer(*result, self._now)
        elif isinstance(result, Violation):
            session.reject(result.reason)
        elif isinstance(result, Orphan):
            self._outlet.deliver(ConnectionNotice(result.reason, text))

    # -- ends -----------------------------------------------------------------------------------------------------

    def _start_close(self, code: int, reason: str) -> None:
        """Say Close; the requests end now, the connection when the gateway has said it too."""
        if self._closing or self._session is None:
            return
        self._session.close(code, reason, now=self._now)
        self._closing = True
        self._timers.disarm(_Timer.GRACE)
        self._end_requests(_CLOSED_HERE)

    def _lose(self, lost: ConnectionLost) -> None:
        self._lost = lost
        self._timers.clear()
        self._end_requests(lost)
        self._outlet.deliver(lost)
        self._flush()
        self._session = None
        if self._outlet.peer_gone is not None:
            self._close_link(self._outlet.peer_gone)
            return
        self._stage = _Stage.LINGERING
        self._timers.arm(_Timer.LINGER, self._now + self._limits.linger_timeout_seconds)
        if self._outlet.paused:
            self._outlet.effects.append(SetReading(_LINK, enabled=True))
        self._outlet.effects.append(EndSending(_LINK))

    def _end_requests(self, lost: ConnectionLost) -> None:
        for ticket in self._requests.clear():
            self._outlet.answer(ticket, lost, self._now)

    def _on_open_timeout(self) -> None:
        self._abandon(f"no answer to the handshake within {self._limits.open_timeout_seconds:g} s")

    def _on_grace_timeout(self) -> None:
        self._start_close(CloseCode.NORMAL_CLOSURE, "")

    def _on_linger_timeout(self) -> None:
        self._close_link(CloseHow.ABORT)

    def _abandon(self, reason: str) -> None:
        """Give up before the connection is open."""
        self._outlet.deliver(OpenFailed(reason))
        if self._stage is _Stage.NEW:
            self._enter_ended()
        else:
            self._close_link(CloseHow.ABORT)

    def _close_link(self, how: CloseHow) -> None:
        self._flush()
        self._outlet.effects.append(CloseLink(_LINK, how))
        self._enter_ended()

    def _enter_ended(self) -> None:
        self._stage = _Stage.ENDED
        self._session = None
        self._timers.clear()
        if self._shutting_down:
            self._outlet.effects.append(Drained())

    # -- effects --------------------------------------------------------------------------------------------------

    def _send(self, chunks: list[bytes]) -> None:
        if self._session is not None and not self._closing:
            self._session.send(chunks)
            self._pressing = True

    def _flush(self) -> None:
        if self._session is not None:
            self._outlet.flush(self._session)

    _HANDLERS: ClassVar[Mapping[type, Callable[..., None]]] = {
        OpenConnection: _on_open,
        CreateRequest: _on_create,
        CancelRequest: _on_cancel,
        Consumed: _on_consumed,
        CloseConnection: _on_close,
        ShutdownRequested: _on_shutdown,
        LinkAccepted: _on_accepted,
        LinkConnected: _on_connected,
        ConnectFailed: _on_connect_failed,
        BytesReceived: _on_bytes,
        BytesSent: _on_bytes_sent,
        PeerClosed: _on_peer_closed,
    }

    _EXPIRED: ClassVar[Mapping[_Timer, Callable[..., None]]] = {
        _Timer.OPEN: _on_open_timeout,
        _Timer.GRACE: _on_grace_timeout,
        _Timer.LINGER: _on_linger_timeout,
    }
