"""A client's connection: plain HTTP first, then, after an upgrade, the universal API on a WebSocket.

An upgrade to a provider's realtime API hands the link over to a session of another kind (`_realtime.py`).

The session owns the link's two machines and its gauge; its requests live in `_universal.py`. It works in quanta that
the engine hands out in turn, so that a client that floods the gateway with messages, or whose answers flood in, takes
its share and no more. Within a quantum it first reads what the client sent (bounded), then lets its requests advance
round robin, one frame each, until the gauge shuts. While the gauge is shut nothing is pulled from providers, whose
connections are then no longer read; the client itself is still read, so that it can cancel, until the replies to its
own messages pile up too. What a client sent is given to the WebSocket in small portions: a machine says nothing before
it has something to say, and a read full of empty fragments would keep it busy for as long as a hundred requests.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from .._effects import CloseHow, LogLevel
from .._errors import CloseCode
from .._kinds import LinkId, Role, Signal
from .._timers import TimerTable
from ..http import H1Connection
from ..ws import (
    BinaryMessage,
    Closed,
    ConnectionState,
    TextMessage,
    WebSocketEvent,
    WSConnection,
)
from ..ws import Failed as WebSocketFailed
from ._flow import Gauge, Portions
from ._realtime import Realtime
from ._state import SESSION_TRANSITIONS, SessionState, SessionTrigger
from ._turn import Actor
from ._universal import Universal
from ._upgrade import RealtimeUpgrade, Upgrade, answer_http

if TYPE_CHECKING:
    from ._core import Core

__all__ = ["Session"]

# What a quantum of reading may cost, and what reading costs, in the cost of a ping: some microseconds.
_QUANTUM = 64
_PORTION_COST = 33  # at most one portion is decoded in a quantum: its frames may be fragments that make no event
_MESSAGE_COST = 8  # to parse it, to answer it, to write its line in the log
_BYTES_OF_ONE_COST = 1024
_SILENT = frozenset({SessionState.LINGERING, SessionState.HANDED_OVER, SessionState.CLOSED})
_OVER = frozenset({ConnectionState.CLOSED, ConnectionState.FAILED})
_SHUTTING_DOWN = "the gateway is shutting down"


class _Timer(enum.Enum):
    LINGER = "linger"
    STUCK = "stuck"


class Session(Actor):
    """One client link, from accept to close."""

    __slots__ = (
        "_eof_is_owed",
        "_gauge",
        "_http",
        "_inbound",
        "_link",
        "_peer_ended",
        "_portions",
        "_reply_bytes",
        "_replying",
        "_state",
        "_timers",
        "_universal",
        "_ws",
        "core",
        "peer",
    )

    def __init__(self, core: Core, link: LinkId, peer: str, now: float) -> None:
        """Expect HTTP on a link that was just accepted."""
        limits = core.config.limits
        self.core = core
        self.peer = peer
        self.queued = False
        self.scheduled = None
        self._link = link
        self._state = SessionState.HTTP
        self._http = H1Connection(Role.SERVER, now=now, limits=core.config.http)
        self._ws: WSConnection | None = None
        self._gauge = Gauge(high_bytes=limits.client_high_water_bytes, low_bytes=limits.client_low_water_bytes)
        self._timers: TimerTable[_Timer] = TimerTable()
        self._portions = Portions()
        self._inbound = False
        self._peer_ended = False
        self._replying = False
        self._reply_bytes = 0  # of replies to the client's own messages, since the gauge was last open
        self._eof_is_owed = False  # to the WebSocket, behind what it has not been given yet
        self._universal: Universal | None = None

    # ---- what happens on the link ----------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes and ask for a quantum; stop reading a client whose earlier bytes are still waiting."""
        if self._state is SessionState.HTTP:
            self._http.receive_data(data, now)
        elif self._ws is not None and self._state is not SessionState.LINGERING:
            self._portions.append(data)
        else:
            return
        if self._inbound:
            self.core.turn.set_reading(self._link, False)
        self._inbound = True
        self.core.schedule(self)

    def receive_eof(self, *, clean: bool, now: float) -> None:
        """Note the end of the client's bytes. A stream that broke is gone at once, with all that hangs on it."""
        if self._state is SessionState.LINGERING or not clean:
            self._end(now, CloseHow.FLUSH if clean else CloseHow.ABORT)
            return
        self._peer_ended = True
        if self._ws is None:
            self._http.receive_eof(now)
        else:
            self._eof_is_owed = True
        self._inbound = True
        self.core.schedule(self)

    def sent(self, unsent: int, now: float) -> None:
        """Take the driver's backlog; progress on a shut gauge restarts the stuck deadline."""
        shrank = self._gauge.report(unsent)
        if self._ws is not None:
            # A client that reads slowly answers pings late: as long as the gauge is shut, the stuck deadline judges it.
            self._ws.set_reading(not self._gauge.shut, now)
        if not self._gauge.shut:
            self._reply_bytes = 0
            self._timers.disarm(_Timer.STUCK)
            if self._has_work:
                self.core.schedule(self, again=True)
        elif shrank or self._timers.deadline(_Timer.STUCK) is None:
            self._timers.arm(_Timer.STUCK, now + self.core.config.limits.stuck_timeout_seconds)

    def crash(self, now: float) -> None:
        """End after a bug: close with 1011 if there is a WebSocket, and give up all requests."""
        if self._state is SessionState.CLOSED:
            self.drop(now)  # the link is gone, but perhaps not all that hung on it
        elif self._ws is None or self._state is SessionState.LINGERING:
            self._end(now, CloseHow.FLUSH)
        else:
            self._ws.fail(CloseCode.INTERNAL_ERROR, "internal error")
            self._fail(now)

    def drop(self, now: float) -> None:
        """Let go of everything after a second bug, while ending."""
        self._close_link(CloseHow.ABORT)
        self._state = SessionState.CLOSED
        if self._universal is not None:
            self._universal.let_go(now)

    def drain(self, now: float) -> None:
        """Finish what is under way, then close with 1001."""
        if self._state is SessionState.HTTP:
            if self._http.idle:
                self._end(now, CloseHow.FLUSH)
        elif self._universal is None or not self._universal.busy:
            self.close(now)

    def end_now(self, now: float) -> None:
        """Give up what is under way and close with 1001."""
        if self._state is SessionState.HTTP:
            self._end(now, CloseHow.FLUSH)
            return
        if self._universal is not None:
            self._universal.shut_down(now)
        self.close(now)

    # ---- time ------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of the session and of the machine in charge."""
        own = self._timers.earliest
        if self._state in _SILENT:
            return own
        machine = self._http.next_timeout() if self._ws is None else self._ws.next_timeout()
        if own is None or machine is None:
            return machine if own is None else own
        return min(own, machine)

    def handle_timeout(self, now: float) -> None:
        """Let the machine in charge time out; abort what is stuck or has lingered long enough."""
        timer = self._timers.expire(now)
        if timer is _Timer.LINGER:
            self._end(now, CloseHow.FLUSH)
        elif timer is _Timer.STUCK:
            self.core.log(
                LogLevel.WARNING, "client does not read", {"peer": self.peer, "unsent_bytes": self._gauge.level}
            )
            self._end(now, CloseHow.ABORT)
        elif self._state is not SessionState.LINGERING:
            if self._ws is None:
                self._http.handle_timeout(now)
            else:
                self._ws.handle_timeout(now)
            self._inbound = True
            self.core.schedule(self)

    # ---- a quantum -------------------------------------------------------------------------------------------------

    def work(self, now: float) -> None:
        """Do one quantum of work; asks for another when some is left."""
        self._replying = True
        if self._may_read:
            if self._state is SessionState.HTTP:
                self._serve_http(now)
            if self._ws is not None and self._inbound:
                self._serve_universal(self._ws, now)
        self._flush()
        self._replying = False
        if self._universal is not None:
            self._universal.advance(now)
        if self._has_work:
            self.core.schedule(self)

    def hand_over(self) -> None:
        """End the turn: the driver has the output now. What it cannot pass on it reports before the next turn."""
        self._gauge.hand_over()
        if not self._gauge.shut:
            self._reply_bytes = 0
        if self._has_work:
            self.core.schedule(self, again=True)

    @property
    def shut(self) -> bool:
        """The client has enough to read for now."""
        return self._gauge.shut

    def send_text(self, chunks: list[bytes]) -> None:
        """Send one text message, unless the session is ending."""
        ws = self._open_websocket
        if ws is not None:
            ws.send_text_chunks(chunks)
            self._flush()

    @property
    def _open_websocket(self) -> WSConnection | None:
        """The WebSocket while messages may be sent; it may have failed without the session having heard of it yet."""
        ws = self._ws
        if ws is None or self._state is not SessionState.UNIVERSAL or ws.state is not ConnectionState.OPEN:
            return None
        return ws

    @property
    def _may_read(self) -> bool:
        """Something came from the client, and it is not one that makes us answer more than it reads."""
        if not self._inbound:
            return False
        return not self._replies_pile_up or (self._ws is not None and self._ws.state in _OVER)

    @property
    def _has_work(self) -> bool:
        if self._may_read:
            return True
        return self._universal is not None and self._universal.ready and not self._gauge.shut

    @property
    def _replies_pile_up(self) -> bool:
        return self._gauge.shut and self._reply_bytes > self.core.config.limits.client_reply_allowance_bytes

    def _flush(self) -> None:
        if self._state in _SILENT:
            return
        machine = self._http if self._ws is None else self._ws
        chunks = machine.data_to_send()
        if chunks:
            if not self._gauge.queued:
                self.core.senders.append(self)
            count = self.core.turn.send(self._link, chunks)
            self._gauge.add(count)
            if self._replying:
                self._reply_bytes += count

    def _all_read(self) -> None:
        self._inbound = False
        self.core.turn.set_reading(self._link, True)

    # ---- plain HTTP and the upgrade --------------------------------------------------------------------------------

    def _serve_http(self, now: float) -> None:
        cost = 0
        while cost < _QUANTUM:
            event = self._http.next_event()
            if isinstance(event, Signal):
                self._flush()
                answered_last = self._http.must_close and not self._http.can_answer
                if answered_last or (self._http.idle and self.core.draining):
                    self._linger(now)
                else:
                    self._all_read()
                return
            cost += _MESSAGE_COST
            result = answer_http(self.core, self._http, event, self.peer)
            if isinstance(result, RealtimeUpgrade):
                self._hand_over(result, now)
                return
            if isinstance(result, Upgrade):
                self._upgrade(result, now)
                return
            if result:
                self._flush()
                self._linger(now)
                return

    def _upgrade(self, upgrade: Upgrade, now: float) -> None:
        self._flush()
        self._move(SessionTrigger.UPGRADE)
        self._universal = Universal(self, upgrade)
        self._ws = WSConnection(
            Role.SERVER, now=now, limits=self.core.websocket_limits, deflate=upgrade.accepted.deflate
        )
        rest = self._http.unconsumed()
        if rest:
            self._portions.append(rest)
        self._eof_is_owed = self._peer_ended

    def _hand_over(self, upgrade: RealtimeUpgrade, now: float) -> None:
        """Leave the link, and the request that waits on it, to a realtime session."""
        self._flush()
        realtime = Realtime(self.core, self._link, self.peer, self._http, upgrade, now)
        self._move(SessionTrigger.HAND_OVER)
        self._inbound = False
        self._timers.clear()
        self.core.deadlines.forget(self)
        self.core.turn.set_reading(self._link, True)
        if self._peer_ended:
            realtime.client_ended(now)

    # ---- the universal API -----------------------------------------------------------------------------------------

    def _serve_universal(self, ws: WSConnection, now: float) -> None:
        cost = 0
        while cost < _QUANTUM and self._may_read:
            event = ws.next_event()
            if isinstance(event, Signal):
                if not self._feed(ws, now):
                    self._all_read()
                    return
                cost += _PORTION_COST
                continue
            cost += 1
            if isinstance(event, TextMessage):
                cost += _MESSAGE_COST + len(event.data) // _BYTES_OF_ONE_COST
            self._on_websocket_event(ws, event, now)
            if self._state in (SessionState.LINGERING, SessionState.CLOSED):
                self._inbound = False
                return

    def _feed(self, ws: WSConnection, now: float) -> bool:
        """Give the WebSocket the next portion of what arrived, or the end behind it; False when there is nothing."""
        portion = self._portions.take()
        if portion:
            ws.receive_data(portion, now)
        elif self._eof_is_owed:
            self._eof_is_owed = False
            ws.receive_eof(now)
        else:
            return False
        return True

    def _on_websocket_event(self, ws: WSConnection, event: WebSocketEvent, now: float) -> None:
        if isinstance(event, TextMessage):
            if self._universal is not None and self._state is SessionState.UNIVERSAL:
                self._universal.on_message(event.data, now)
        elif isinstance(event, BinaryMessage):
            ws.fail(CloseCode.UNSUPPORTED_DATA, "the universal API takes text messages only")
            self._fail(now)
        elif isinstance(event, Closed):
            self._flush()
            self._end(now, CloseHow.FLUSH if event.clean else CloseHow.ABORT)
        elif isinstance(event, WebSocketFailed):
            details: dict[str, str | int | float | bool | None]
            details = {"peer": self.peer, "code": event.code, "reason": event.reason}
            self.core.log(LogLevel.INFO, "client connection failed", details)
            if event.code == CloseCode.ABNORMAL_CLOSURE:
                self._end(now, CloseHow.ABORT)
            else:
                self._fail(now)

    # ---- ends ------------------------------------------------------------------------------------------------------

    def _cancel_all(self, now: float) -> None:
        if self._universal is not None:
            self._universal.cancel_all(now)

    def close(self, now: float) -> None:
        """Start the closing handshake with 1001, unless one has begun."""
        ws = self._open_websocket
        if ws is not None:
            ws.send_close(CloseCode.GOING_AWAY, _SHUTTING_DOWN, now=now)
            self._flush()
            self._move(SessionTrigger.CLOSE)
            self.core.deadlines.touch(self)

    def _fail(self, now: float) -> None:
        self._flush()
        self._linger(now)
        self._cancel_all(now)

    def _linger(self, now: float) -> None:
        """End sending, then discard input until the peer ends: closing at once could reset what we sent last."""
        if self._peer_ended:
            self._end(now, CloseHow.FLUSH)
            return
        self._move(SessionTrigger.FAIL)
        self._inbound = False
        self._portions.clear()
        self.core.turn.end_sending(self._link)
        self.core.turn.set_reading(self._link, True)
        self._timers.clear()
        self._timers.arm(_Timer.LINGER, now + self.core.config.limits.linger_timeout_seconds)
        self.core.deadlines.touch(self)

    def _end(self, now: float, how: CloseHow) -> None:
        """Close the link."""
        self._move(SessionTrigger.END)
        self._close_link(how)
        self._cancel_all(now)

    def _close_link(self, how: CloseHow) -> None:
        self._timers.clear()
        self._inbound = False
        self._portions.clear()
        self.core.deadlines.forget(self)
        self.core.sessions.pop(self._link, None)
        if self.core.links.pop(self._link, None) is not None:
            self.core.turn.close(self._link, how)

    def _move(self, trigger: SessionTrigger) -> None:
        self._state = SESSION_TRANSITIONS[self._state][trigger]
