"""A realtime session: two WebSockets, one relayed into the other, from the upgrade request to the end of both.

States, and who moves them:

    OPENING   the provider is reached first; the client has its answer when the provider has given one
    OPEN      pieces of messages go both ways as they arrive
    CLOSING   a Close goes through, a side is gone, or the gateway ends it; deadlines bound what is left
    ENDED     both links are closed, and the record is written

The two directions are coupled nowhere but at the end. A direction is pumped while the leg it fills takes more: pieces
are pulled from one WebSocket and sent into the other, nothing is parsed and nothing is kept. Pings are answered by the
leg they came to.

The closing handshake is end to end. A Close is passed on behind everything that came before it, and whoever sent it
gets the other side's Close as the answer, with what the other side still had to say before it. Nobody waits for ever
for that: after half of the close deadline the one who closed is answered with its own code, and each WebSocket gives
up at its own deadline. Whatever ends one leg gives the other its Close in the same turn.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from .._effects import CloseHow, LogLevel
from .._errors import CloseCode
from .._inputs import ConnectFailed
from .._kinds import LinkId, Signal
from .._limits import UNLIMITED
from .._timers import TimerTable
from ..http import H1Connection
from ..ws import Closed, CloseReceived, ConnectionState, Failed, Ping, WebSocketEvent
from ..ws._events import MessagePiece
from ._farewell import farewell
from ._ledger import Ledger
from ._leg import Leg, Side
from ._realtime_opening import RealtimeOpening, Refusal
from ._realtime_record import ClosedBy
from ._state import REALTIME_TRANSITIONS, RealtimeState, RealtimeTrigger
from ._turn import Actor

if TYPE_CHECKING:
    from ._core import Core
    from ._upgrade import RealtimeUpgrade

__all__ = ["Realtime"]

# What a direction may cost before the others have their turn, and what things cost, in the cost of a small piece.
_QUANTUM = 64
_BYTES_OF_ONE_COST = 4096
_BYTES_OF_ONE_COST_DEFLATED = 256
_TURN_COST = 16  # to read the event that ends a turn, and to write its line in the log
_FLUSH_BYTES = 32 * 1024  # the gauge has to hear of that much before more is pulled
_SHUTTING_DOWN = "the gateway is shutting down"
_OPENING = RealtimeState.OPENING  # looked up for every message
_OPEN = RealtimeState.OPEN
_NEED_DATA = Signal.NEED_DATA
_BY = {Side.CLIENT: ClosedBy.CLIENT, Side.PROVIDER: ClosedBy.PROVIDER}


class _Timer(enum.Enum):
    CONNECT = "the provider has to be reached"
    SESSION = "the session has lasted long enough"
    ANSWER = "whoever closed has waited long enough for the other side's answer"


class Realtime(Actor):
    """One realtime session; stands in the engine's table of sessions under the client's link."""

    __slots__ = (
        "_client",
        "_idle_seconds",
        "_last_message_at",
        "_max_message_bytes",
        "_opening",
        "_provider",
        "_state",
        "_timers",
        "core",
        "ledger",
        "peer",
        "upgrade",
    )

    def __init__(
        self, core: Core, link: LinkId, peer: str, http: H1Connection, upgrade: RealtimeUpgrade, now: float
    ) -> None:
        """Take the client's link over, with a request that waits for its answer, and reach for the provider."""
        self.core = core
        self.peer = peer
        self.upgrade = upgrade
        self.queued = False
        self.scheduled = None
        self._state = RealtimeState.OPENING
        self._timers: TimerTable[_Timer] = TimerTable()
        self._client = Leg(core, self, Side.CLIENT, link, http)
        self._provider = Leg(core, self, Side.PROVIDER, core.new_link(), None)
        self.ledger = Ledger(core, upgrade, peer, now)
        self._opening = RealtimeOpening(core, upgrade, http, self.ledger.log_id, now)
        self._idle_seconds = core.config.limits.realtime_idle_timeout_seconds
        self._max_message_bytes = min(core.config.limits.realtime_max_message_bytes, UNLIMITED)
        self._last_message_at = now
        core.sessions[link] = self
        core.turn.emit(self._opening.connect(self._provider.link))
        self._timers.arm(_Timer.CONNECT, self._opening.deadline)
        core.deadlines.touch(self)

    # ---- opening ---------------------------------------------------------------------------------------------------

    def client_ended(self, now: float) -> None:
        """Note that the client's bytes ended before the link was handed over."""
        self._client.receive_eof(clean=True, now=now)

    def connected(self, now: float) -> None:
        """Ask the provider for a WebSocket."""
        self._timers.disarm(_Timer.CONNECT)
        self._provider.handshake = self._opening.ask(now)
        self._provider.flush()

    def unreachable(self, event: ConnectFailed, now: float) -> None:
        """Tell the client that the provider cannot be reached."""
        # Clients are told what went wrong; where the provider stands is for the operator.
        target = self.upgrade.plan.target
        self.core.log(
            LogLevel.WARNING,
            "no connection to a provider",
            {"host": target.host, "port": target.port, "reason": event.failure.value, "detail": event.detail},
        )
        self._refuse(self._opening.unreachable(event.failure.value), now)

    def _open(self, now: float) -> None:
        """Look what the provider has answered, and whether the client is still there."""
        if self._client.peer_ended:
            self.ledger.ended_by(ClosedBy.CLIENT, "the client left before the provider answered")
            self._abandon(now)
            return
        answer = self._opening.answer(now)
        if answer is None:
            self._provider.all_read(now)
        elif isinstance(answer, Refusal):
            self._refuse(answer, now)
        else:
            client, provider = self._client, self._provider
            client.flush()
            provider.flush()
            client.ws, provider.ws = answer
            client.deflates, provider.deflates = self._opening.deflates
            if provider.peer_ended:
                provider.ws.receive_eof(now)
            client.unread = provider.unread = True
            self.ledger.answered(101, now, self._opening.subprotocol)
            self._last_message_at = now
            self._move(RealtimeTrigger.ACCEPT)
            seconds = self.core.config.limits.realtime_session_timeout_seconds
            if seconds is not None:
                self._timers.arm(_Timer.SESSION, now + seconds)
            for owner in (self, client, provider):
                self.core.deadlines.touch(owner)

    def _refuse(self, refusal: Refusal, now: float) -> None:
        """Answer the client with something else than a 101, and end."""
        self._opening.refuse(refusal, now)
        self.ledger.answered(refusal.status, now)
        self.ledger.ended_by(ClosedBy.PROVIDER if refusal.by_provider else ClosedBy.GATEWAY, refusal.message)
        self._abandon(now)

    def _abandon(self, now: float) -> None:
        """Let go of a session that never opened."""
        self._timers.clear()
        self._move(RealtimeTrigger.CLOSE)
        self._provider.close(CloseHow.ABORT, now)
        self._client.linger(now)

    # ---- a quantum -------------------------------------------------------------------------------------------------

    def work(self, now: float) -> None:
        """Do one quantum of work; asks for another when some is left."""
        if self._state is _OPENING:
            self._open(now)
        client, provider = self._client, self._provider
        if client.unread:
            self._pump(client, provider, now)
        if provider.unread:
            self._pump(provider, client, now)
        if self._state is _OPENING:
            return  # what comes next is a matter of time, or of bytes
        if (client.unread and _takes(provider)) or (provider.unread and _takes(client)):
            self.core.schedule(self)

    def _pump(self, source: Leg, sink: Leg, now: float) -> None:
        """Pass on what came on one side, as far as the quantum and the other side allow."""
        ws, target = source.ws, sink.ws
        if ws is None or target is None or source.lingering:
            return
        cost = waiting = 0
        while cost < _QUANTUM:
            if not _takes(sink):
                source.hold_back(now)
                break
            event = ws.next_event()
            if isinstance(event, MessagePiece):
                price = self._admit(source, sink, event, now)
                if not price:
                    break
                cost += price
                if target.can_send:
                    target.relay_piece(event)
                    waiting += 1 + len(event.data)
                    if waiting >= _FLUSH_BYTES:
                        waiting = 0
                        sink.flush()
            elif event is _NEED_DATA:
                source.all_read(now)
                break
            else:
                cost += 1
                self._on_event(source, sink, event, now)
                if not source.unread:
                    break
        if waiting:  # else there may be pongs, which wait for the gauge
            sink.flush()

    def _admit(self, source: Leg, sink: Leg, piece: MessagePiece, now: float) -> int:
        """Let the observer look at a piece; return what it costs, 0 when its message is larger than is allowed."""
        self._last_message_at = now
        size = len(piece.data)
        whole = size if piece.started else source.message_bytes + size
        source.message_bytes = whole
        if whole > self._max_message_bytes and self._state is _OPEN:
            reason = f"a message of the {source.side.value} is larger than {self._max_message_bytes} bytes"
            self._end(CloseCode.MESSAGE_TOO_BIG, reason, now)
            return 0
        cost = 1 + size // (_BYTES_OF_ONE_COST_DEFLATED if sink.deflates else _BYTES_OF_ONE_COST)
        return cost + _TURN_COST if self.ledger.piece(source.side, piece, now) else cost

    # ---- what else a side says -------------------------------------------------------------------------------------

    def _on_event(self, source: Leg, sink: Leg, event: WebSocketEvent | Signal, now: float) -> None:
        if isinstance(event, Ping):
            source.flush_pong()
        elif isinstance(event, CloseReceived):
            self._on_close(source, sink, event, now)
        elif isinstance(event, Closed):
            self._on_closed(source, sink, event, now)
        elif isinstance(event, Failed):
            self._on_failed(source, sink, event, now)
        # What is left are pongs, which have done their work by coming.

    def _on_close(self, source: Leg, sink: Leg, event: CloseReceived, now: float) -> None:
        """Pass a Close on: as the first of the closing handshake or as the answer."""
        self.ledger.close_came(source.side, event.code, event.reason)
        self.ledger.ended_by(_BY[source.side])
        self._closing()
        code = None if event.code == CloseCode.NO_STATUS_RECEIVED else event.code
        self._send_close(sink, code, self.ledger.hide(event.reason), now)
        if _state(source) is not ConnectionState.ANSWERING:
            return
        if _state(sink) is ConnectionState.CLOSING and not sink.broken:
            self._timers.arm(_Timer.ANSWER, now + self.core.config.websocket.close_timeout_seconds / 2)
            self.core.deadlines.touch(self)
        else:
            self._answer(source, now)

    def _on_closed(self, source: Leg, sink: Leg, event: Closed, now: float) -> None:
        """End a side whose stream has ended, and close the other if it does not know yet."""
        self.ledger.close_came(source.side, event.code, event.reason)
        self.ledger.ended_by(_BY[source.side], "the connection was lost")
        self._gone(sink, f"the {source.side.value}'s connection was lost", now)
        source.close(CloseHow.FLUSH, now)

    def _on_failed(self, source: Leg, sink: Leg, event: Failed, now: float) -> None:
        """End a side that broke a rule or gave no sign of life."""
        side = source.side.value
        details: dict[str, str | int | float | bool | None]
        details = {"peer": self.peer, "side": side, "code": event.code, "reason": self.ledger.hide(event.reason)}
        self.core.log(LogLevel.INFO, "realtime connection failed", details)
        dead = event.code == CloseCode.ABNORMAL_CLOSURE
        # Who has not answered a Close may still be reading what the kernel holds for it: a slow reader, not a dead one.
        how = CloseHow.FLUSH if self._state is RealtimeState.CLOSING else CloseHow.ABORT
        self.ledger.ended_by(_BY[source.side] if dead else ClosedBy.GATEWAY, f"{side}: {event.reason}")
        if dead:
            self.ledger.close_came(source.side, event.code)
        else:
            self.ledger.close_sent(source.side, event.code)
        self._gone(sink, f"the {side}'s connection failed: {event.reason}", now)
        if dead:
            source.close(how, now)
        else:
            source.linger(now)

    def stuck(self, leg: Leg, now: float) -> None:
        """Give up a side that takes nothing, and close the other."""
        side = leg.side.value
        details: dict[str, str | int | float | bool | None] = {"peer": self.peer, "side": side}
        self.core.log(LogLevel.WARNING, "a side of a realtime session does not read", details)
        self.ledger.ended_by(_BY[leg.side], f"the {side} does not read")
        self.ledger.close_came(leg.side, CloseCode.ABNORMAL_CLOSURE)
        self._gone(self._other(leg), f"the {side} does not read", now)
        leg.close(CloseHow.ABORT, now)

    def _gone(self, sink: Leg, reason: str, now: float) -> None:
        """Close a side because the other one cannot go on; whoever closed already gets its own code back."""
        self._closing()
        if _state(sink) is ConnectionState.ANSWERING:
            self._answer(sink, now)
        else:
            self._send_close(sink, CloseCode.INTERNAL_ERROR, self.ledger.hide(reason), now)

    def _send_close(self, leg: Leg, code: int | None, reason: str, now: float) -> None:
        """Send a Close, unless one was sent or nothing can be."""
        ws = leg.ws
        if ws is None or leg.is_closed or leg.lingering or not ws.can_send:
            return
        ws.send_close(code, reason, now=now)
        self.ledger.close_sent(leg.side, code)
        leg.flush()
        leg.unread = True  # an answer given ends the connection: the next event says so
        self.core.schedule(self)
        self.core.deadlines.touch(leg)

    def _answer(self, leg: Leg, now: float) -> None:
        """Answer a Close with its own code, since the other side has not."""
        code = self.ledger.code_of(leg.side)
        self._send_close(leg, None if code == CloseCode.NO_STATUS_RECEIVED else code, "", now)

    def _other(self, leg: Leg) -> Leg:
        return self._provider if leg is self._client else self._client

    # ---- ends ------------------------------------------------------------------------------------------------------

    def _end(self, code: int, reason: str, now: float) -> None:
        """End the session for a reason of the gateway's own: say so in the provider's words, then close."""
        if self._state is RealtimeState.OPENING:
            self._refuse(self._opening.shutting_down(), now)
        elif self._state is RealtimeState.OPEN:
            self.ledger.ended_by(ClosedBy.GATEWAY, reason)
            self._closing()
            ws = self._client.ws
            words = farewell(self.upgrade.plan.dialect, code=code, reason=reason)
            # No message may begin within another one; then the Close has to say it all.
            if ws is not None and words is not None and ws.can_send and not ws.sending_message:
                is_text, payload = words
                if is_text:
                    ws.send_text(payload)
                else:
                    ws.send_binary(payload)
            self._send_close(self._client, code, reason, now)
            self._send_close(self._provider, code, reason, now)

    def drain(self, now: float) -> None:
        """Let a session that is open go on until the grace ends; one that is not is refused."""
        if self._state is RealtimeState.OPENING:
            self._end(CloseCode.GOING_AWAY, _SHUTTING_DOWN, now)

    def end_now(self, now: float) -> None:
        """End the session: the grace is over."""
        self._end(CloseCode.GOING_AWAY, _SHUTTING_DOWN, now)

    def crash(self, now: float) -> None:
        """End after a bug: a 500, or 1011 on both sides."""
        self.ledger.ended_by(ClosedBy.GATEWAY, "internal error")
        self._timers.clear()
        if self._state is RealtimeState.OPENING:
            self._refuse(self._opening.broken(), now)
            return
        self._closing()
        for leg in (self._client, self._provider):
            if leg.ws is None or leg.lingering:
                leg.close(CloseHow.ABORT, now)
            else:
                leg.ws.fail(CloseCode.INTERNAL_ERROR, "internal error")
                leg.linger(now)

    def drop(self, now: float) -> None:
        """Let go of both links after a second bug, while ending."""
        for leg in (self._client, self._provider):
            leg.broken = True
            leg.close(CloseHow.ABORT, now)

    def closed(self, now: float) -> None:
        """Write the record when the second link is closed; after the first, nothing is held back for it any more."""
        if not (self._client.is_closed and self._provider.is_closed):
            self.core.schedule(self)
            return
        if self._state is RealtimeState.ENDED:
            return
        self._closing()
        self._move(RealtimeTrigger.END)
        self._timers.clear()
        self.core.deadlines.forget(self)
        self.core.sessions.pop(self._client.link, None)
        self.ledger.finish(now)

    def _closing(self) -> None:
        if self._state is not RealtimeState.CLOSING:
            self._timers.clear()
            self._move(RealtimeTrigger.CLOSE)

    # ---- time ------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of the session as a whole; the legs have their own."""
        own = self._timers.earliest
        if self._state is not _OPEN or self._idle_seconds is None:
            return own
        idle = self._last_message_at + self._idle_seconds
        return idle if own is None else min(own, idle)

    def handle_timeout(self, now: float) -> None:
        """End what takes too long, or answer whoever has waited long enough."""
        limits = self.core.config.limits
        while (timer := self._timers.expire(now)) is not None:
            if timer is _Timer.CONNECT:
                self._refuse(self._opening.too_slow(), now)
            elif timer is _Timer.ANSWER:
                for leg in (self._client, self._provider):
                    if _state(leg) is ConnectionState.ANSWERING:
                        self._answer(leg, now)
            else:
                seconds = limits.realtime_session_timeout_seconds
                self._end(CloseCode.GOING_AWAY, f"a session may last {seconds:g} s", now)
        seconds = self._idle_seconds
        if self._state is _OPEN and seconds is not None and now >= self._last_message_at + seconds:
            self._end(CloseCode.GOING_AWAY, f"no message for {seconds:g} s", now)

    def _move(self, trigger: RealtimeTrigger) -> None:
        self._state = REALTIME_TRANSITIONS[self._state][trigger]


def _state(leg: Leg) -> ConnectionState | None:
    return None if leg.ws is None else leg.ws.state


def _takes(sink: Leg) -> bool:
    """Whether more may be passed on to a side; one that is gone or told its last takes everything, to no purpose."""
    return not sink.gauge.shut or sink.broken or sink.is_closed or sink.ws is None or not sink.ws.can_send
