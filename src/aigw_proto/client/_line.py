"""The one link of a client engine, from `Connect` to `CloseLink`.

States, and who moves them:

    NEW         OpenConnection -> CONNECTING
    CONNECTING  LinkConnected -> HANDSHAKE            ConnectFailed, open deadline, close -> ENDED
    HANDSHAKE   Opened -> OPEN                        refused, failed, open deadline, close -> LINGERING or ENDED
    OPEN        ConnectionLost of the session -> LINGERING
    LINGERING   end of the peer's stream, linger deadline -> ENDED

LINGERING reads and discards, so that the gateway gets to see our last bytes instead of a reset.

A turn takes so many messages and no more. Whoever sends small ones fills a read with more than that, so more bytes that
come on top of undecoded ones stop reading until all are decoded: what waits here stays below a few reads.

The engine that owns the line brackets each turn by `begin()` and `pump()`, `settle()`, and hears of messages and of the
end through `LineOwner`. All effects of both go through `outlet`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, ClassVar, Protocol

from .._effects import CloseHow, CloseLink, Connect, Drained, EndSending, SetReading, TlsPolicy
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
from ..ws import BinaryMessage, TextMessage, is_sendable_code
from ._inputs import CloseConnection, Consumed, OpenConnection
from ._items import ClosedBy, ConnectionLost, Opened, OpenFailed, OpenRefused
from ._limits import ClientLimits
from ._outlet import Outlet
from ._session import Session
from ._upgrade import check_open

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._effects import Effect
    from .._inputs import Input

__all__ = ["CLOSED_HERE", "Line", "LineOwner", "Stage", "check_close"]

_LINK = LinkId(1)
CLOSED_HERE = ConnectionLost(CloseCode.NORMAL_CLOSURE, "closed by this side", clean=True, closed_by=ClosedBy.PROGRAM)
"""What whoever still waits is told while this side closes."""


def check_close(code: int) -> None:
    """Raise LocalProtocolError for a code that `CloseConnection` cannot send."""
    if not is_sendable_code(code):
        raise LocalProtocolError(f"close code {code}: a Close may carry 1000 and its like, or 3000 to 4999")


class Stage(enum.Enum):
    """Where a line stands."""

    NEW = "nothing asked yet"
    CONNECTING = "waiting for the TCP or TLS connection"
    HANDSHAKE = "waiting for the answer to the upgrade"
    OPEN = "messages flow"
    LINGERING = "over; reading until the peer has seen it"
    ENDED = "nothing is open"


_BEFORE_OPEN = (Stage.NEW, Stage.CONNECTING, Stage.HANDSHAKE)


class _Timer(enum.Enum):
    OPEN = "connection and handshake"
    LINGER = "discarding after the end"


class LineOwner(Protocol):
    """The engine, as far as its line needs it."""

    def receive_message(self, message: TextMessage | BinaryMessage, /) -> None:
        """Take a message of the gateway. None comes once this side has begun to close."""
        ...

    def receive_end(self, lost: ConnectionLost, /) -> None:
        """Learn that this side begins to close, or that the connection is over: nothing can be asked any more."""
        ...


class Line:
    """One connection to one gateway; takes every input that is not its engine's own."""

    def __init__(
        self,
        owner: LineOwner,
        *,
        random_bytes: RandomBytes,
        limits: ClientLimits | None,
        http: HttpLimits | None,
        websocket: WebSocketLimits | None,
    ) -> None:
        """Wait for `OpenConnection`. `random_bytes` feeds masks and the handshake key."""
        self.entropy = Entropy(random_bytes)
        self.limits = limits or ClientLimits()
        self.outlet = Outlet(_LINK, self.limits)
        self.now = 0.0
        self.session: Session | None = None
        """From the connected link to the end of the connection."""
        self.shutting_down = False
        """This side was asked to close, now or when all requests have ended."""
        self._owner = owner
        self._http = http or HttpLimits()
        self._websocket = websocket or WebSocketLimits()
        self._stage = Stage.NEW
        self._timers: TimerTable[_Timer] = TimerTable()
        self._open: OpenConnection | None = None
        self._closing = False
        self._behind = False  # the session may have more to report
        self._piling = False  # this turn has brought bytes on top of what waited
        self._pressing = False  # this turn has a message to send

    @property
    def stage(self) -> Stage:
        """Where the line stands."""
        return self._stage

    @property
    def work_left(self) -> bool:
        """Whether messages wait for the next turn, and for nothing else."""
        return self._behind and self.session is not None and (self.outlet.flow.reading or self._closing)

    # -- a turn ---------------------------------------------------------------------------------------------------

    def begin(self, now: float) -> None:
        """Begin a turn. Raises RuntimeError when the one before is not drained."""
        if self.outlet.effects:
            raise RuntimeError("poll() the effects of the turn before until it returns None")
        self.now = now
        self._piling = False
        self._pressing = False

    def take(self, event: Input | OpenConnection | Consumed | CloseConnection) -> None:
        """Take an input. LocalProtocolError for a caller's mistake."""
        self._HANDLERS[type(event)](self, event)

    def expire(self) -> None:
        """Let time pass."""
        while (timer := self._timers.expire(self.now)) is not None:
            self._EXPIRED[timer](self)
        if self.session is not None:
            self.session.handle_timeout(self.now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline; the time of the last call when work remains; None when there is nothing."""
        if self.work_left:
            return self.now
        session = self.session.next_timeout() if self.session is not None else None
        if session is not None:
            session = max(session, self.now)  # a Close met late, after a pause, is due as of when its bytes came
        deadlines = (self._timers.earliest, session)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def pump(self) -> None:
        """Take what the session reports, as much as a turn may hold and the program has room for."""
        budget = self.limits.turn_messages
        while budget and self.session is not None and (self.outlet.flow.reading or self._closing):
            budget -= 1
            self._behind = True
            event = self.session.next_event()
            if isinstance(event, TextMessage | BinaryMessage):
                if not self._closing:
                    self._owner.receive_message(event)
            elif isinstance(event, Signal):
                self._behind = False
                return
            else:
                self._on_session(event)

    def settle(self) -> None:
        """End a turn: bring reading in line with what is held, and send."""
        session = self.session
        if session is not None:
            self.outlet.set_reading(session, self.now, closing=self._closing, behind=self._behind, piling=self._piling)
            # The answer to a Close presses too; after our own only pongs are left to send.
            self.outlet.flush(session, pressing=self._pressing or not (session.is_open or self._closing))

    def poll(self) -> Effect | None:
        """Move out the next effect of the turn; None when it is drained."""
        effects = self.outlet.effects
        return effects.popleft() if effects else None

    # -- for the engine -------------------------------------------------------------------------------------------

    def check_opened(self) -> None:
        """Raise LocalProtocolError before `Opened`."""
        if self._stage in _BEFORE_OPEN:
            raise LocalProtocolError("the connection is not open yet: wait for Opened")

    def sending_session(self) -> Session | None:
        """Return the session for a message to send in this turn; None when there is none or this side closes."""
        if self._closing:
            return None
        self._pressing = True
        return self.session

    def close(self, code: int, reason: str) -> None:
        """Say Close, if it is open and nobody has; it ends when the gateway has said it too."""
        if self._stage is not Stage.OPEN or self._closing or self.session is None:
            return
        self.session.close(code, reason, now=self.now)
        self._closing = self._pressing = True
        self._owner.receive_end(CLOSED_HERE)

    def reject(self, reason: str, code: CloseCode = CloseCode.PROTOCOL_ERROR) -> None:
        """End the connection because of what the gateway sent."""
        if self.session is not None:
            self.session.reject(reason, code)

    # -- inputs ---------------------------------------------------------------------------------------------------

    def _on_open(self, event: OpenConnection) -> None:
        if self._stage is not Stage.NEW:
            raise LocalProtocolError("this engine has been used: one engine is one connection")
        check_open(event)
        self._open = event
        self._stage = Stage.CONNECTING
        self._timers.arm(_Timer.OPEN, self.now + self.limits.open_timeout_seconds)
        url = event.url
        tls = (event.tls or TlsPolicy()) if url.secure else None
        self.outlet.effects.append(Connect(_LINK, url.host, url.port, tls, ("http/1.1",) if url.secure else ()))

    def _on_consumed(self, event: Consumed) -> None:
        self.outlet.flow.consumed(event.sizes, self.now)

    def _on_close(self, event: CloseConnection) -> None:
        check_close(event.code)
        was_shutting_down, self.shutting_down = self.shutting_down, True
        self.close(event.code, event.reason)
        if self._stage in _BEFORE_OPEN:
            self._abandon("closed by this side before the handshake was over")
        elif self._stage is Stage.ENDED and not was_shutting_down:
            self.outlet.effects.append(Drained())

    def _on_shutdown(self, _event: ShutdownRequested) -> None:
        self._on_close(CloseConnection())

    def _on_connected(self, _event: LinkConnected) -> None:
        if self._stage is Stage.CONNECTING and self._open is not None:
            self._stage = Stage.HANDSHAKE
            self.session = Session(
                self._open,
                now=self.now,
                entropy=self.entropy,
                http=self._http,
                websocket=self._websocket,
                open_timeout_seconds=self.limits.open_timeout_seconds,
            )

    def _on_connect_failed(self, event: ConnectFailed) -> None:
        if self._stage is Stage.CONNECTING:
            self.outlet.deliver(OpenFailed(event.detail or event.failure.value, event.failure))
            self._enter_ended()

    def _on_bytes(self, event: BytesReceived) -> None:
        if self.session is not None:
            self._piling, self._behind = self._behind, True
            self.session.receive_data(event.data, self.now)

    def _on_peer_closed(self, event: PeerClosed) -> None:
        self.outlet.peer_gone = CloseHow.FLUSH if event.clean else CloseHow.ABORT
        if self._stage is Stage.LINGERING:
            self._close_link(self.outlet.peer_gone)
        elif self.session is not None:
            self._behind = True
            self.session.receive_eof(self.now)

    def _on_bytes_sent(self, event: BytesSent) -> None:
        if self._stage is Stage.OPEN:
            self.outlet.unsent(event.unsent)

    def _on_accepted(self, event: LinkAccepted) -> None:
        raise LocalProtocolError(f"a client accepts no connections (link {event.link})")

    # -- what the session reports ---------------------------------------------------------------------------------

    def _on_session(self, event: Opened | OpenRefused | OpenFailed | ConnectionLost) -> None:
        if isinstance(event, ConnectionLost):
            self._lose(event)
            return
        self._timers.disarm(_Timer.OPEN)
        self.outlet.deliver(event)
        if isinstance(event, Opened):
            self._stage = Stage.OPEN
        else:
            self._close_link(CloseHow.FLUSH)

    # -- ends -----------------------------------------------------------------------------------------------------

    def _lose(self, lost: ConnectionLost) -> None:
        self._timers.clear()
        self._owner.receive_end(lost)
        self.outlet.deliver(lost)
        self._flush()
        self.session = None
        if self.outlet.peer_gone is not None:
            self._close_link(self.outlet.peer_gone)
            return
        self._stage = Stage.LINGERING
        self._timers.arm(_Timer.LINGER, self.now + self.limits.linger_timeout_seconds)
        if self.outlet.paused:
            self.outlet.effects.append(SetReading(_LINK, enabled=True))
        self.outlet.effects.append(EndSending(_LINK))

    def _on_open_timeout(self) -> None:
        self._abandon(f"no answer to the handshake within {self.limits.open_timeout_seconds:g} s")

    def _on_linger_timeout(self) -> None:
        self._close_link(CloseHow.ABORT)

    def _abandon(self, reason: str) -> None:
        """Give up before the connection is open."""
        self.outlet.deliver(OpenFailed(reason))
        if self._stage is Stage.NEW:
            self._enter_ended()
        else:
            self._close_link(CloseHow.ABORT)

    def _close_link(self, how: CloseHow) -> None:
        self._flush()
        self.outlet.effects.append(CloseLink(_LINK, how))
        self._enter_ended()

    def _flush(self) -> None:
        if self.session is not None:
            self.outlet.flush(self.session)

    def _enter_ended(self) -> None:
        self._stage = Stage.ENDED
        self.session = None
        self._timers.clear()
        if self.shutting_down:
            self.outlet.effects.append(Drained())

    _HANDLERS: ClassVar[Mapping[type, Callable[..., None]]] = {
        OpenConnection: _on_open,
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
        _Timer.LINGER: _on_linger_timeout,
    }
