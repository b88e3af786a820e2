"""A WebSocket on a link of the mock: one session of a realtime provider.

Saying and listening are independent. What a talk answers is a queue of lazy acts, played one by one as far as time, the
link and the turn allow; meanwhile the client is heard, also while it takes nothing, until too many answers wait for it.
Pings are answered by the machine, whose output stays with it while the link is blocked, for there it is bounded.

Faults come in between: the first message may become a giant (`_spoiled.py`), after some message the session may fall
silent, close or be cut, and a Close or a ping may get no answer. An echo hears pieces instead of messages and returns
each as it comes, so that no message is too large for it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Final, assert_never

from .._effects import CloseHow
from .._errors import CloseCode
from .._kinds import Role, Signal
from .._limits import WebSocketLimits
from .._timers import TimerTable
from ..ws import (
    BinaryMessage,
    Closed,
    CloseReceived,
    ConnectionState,
    Delivery,
    Failed,
    MessagePiece,
    Ping,
    Pong,
    TextMessage,
    WebSocketEvent,
    WSConnection,
    is_sendable_code,
)
from ._spoiled import SayRaw, illegal_frame, raw_close, spoil, swell
from ._talk import Act, Hang, Say, SayPiece

if TYPE_CHECKING:
    from ._record import MockRecord
    from ._script import Switch
    from ._wire import Wire

__all__ = ["Socket"]

_STEP_COST: Final = 64  # of the turn's bytes
_PORTION_BYTES: Final = 4096  # as fragments without content, 700 frames: a millisecond or two
_PORTION_COST: Final = 16 * 1024
_HEARD_BYTES_OF_ONE_COST: Final = 8  # to parse a message takes a part of the time that making it would
_MOST_LATE_PONGS: Final = 64
_SENDING: Final = frozenset({ConnectionState.OPEN, ConnectionState.ANSWERING})
_OVER: Final = frozenset({ConnectionState.CLOSED, ConnectionState.FAILED})
_FOR_EVER: Final = 1e9


class _Timer(enum.Enum):
    WAKE = "the provider says more"
    PONG = "a pong is late enough"


class Socket:
    """The WebSocket phase of a link."""

    def __init__(self, wire: Wire, switch: Switch, opened: MockRecord, *, now: float) -> None:
        """Begin behind the 101. `opened` is the record of the request; the session's is made from it."""
        self.successor = None
        """Nothing is spoken on the link afterwards."""
        fault = self._fault = switch.fault
        self.glued = fault.glued
        """Whether what is said first goes out with the 101."""
        limits = WebSocketLimits(
            max_message_bytes=wire.limits.max_message_bytes,
            ping_interval_seconds=wire.limits.ping_interval_seconds,
        )
        if fault.hold_close:
            limits = dataclasses.replace(limits, close_timeout_seconds=_FOR_EVER)
        self._wire = wire
        self._talk = switch.talk
        self._record = opened
        self._opened_at = now - opened.duration_seconds
        self._ws = WSConnection(
            Role.SERVER,
            now=now,
            limits=limits,
            deflate=switch.deflate,
            delivery=Delivery.RELAY if switch.talk.echoes else Delivery.MESSAGES,
        )
        self._most_waiting = 1 if switch.talk.echoes else wire.limits.max_waiting_answers
        self._keeps_pongs = fault.no_pong or fault.late_pong_seconds is not None
        self._timers: TimerTable[_Timer] = TimerTable()
        self._acts: Iterator[Act | SayRaw] = iter(switch.talk.greet())
        self._waiting: deque[Iterable[Act]] = deque()
        self._late_pongs: deque[tuple[float, bytes]] = deque()
        self._within_frame = False  # that went past the machine: nothing may come between
        self._patient = True  # with the client: its messages are heard
        self._pausing = False  # until the timer says so
        self._silent = False  # for good: a fault says so, or the Close is sent
        self._deaf = False  # the peer's Close gets no answer
        self._resetting = False
        self._draining = False
        self._eof_is_known = False
        self._recorded = False
        self._sent_messages = 0
        self._sent_bytes = 0
        self._heard_messages = 0
        self._heard_bytes = 0
        self._close: CloseReceived | None = None
        self._interrupt(now)

    # --- what the world did ------------------------------------------------------------------------------------------

    def received(self) -> None:
        """Note that bytes came: they are taken when there is time."""

    def peer_left(self, now: float) -> None:
        """Note that the peer will send no more; what it sent is heard first."""
        if self._resetting:
            self._give_up(CloseHow.ABORT, "cut", now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None."""
        if self._wire.closed is not None or self._wire.lingering:
            return None
        deadlines = (None if self._deaf else self._ws.next_timeout(), self._timers.earliest)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        self._ws.handle_timeout(now)
        while (name := self._timers.expire(now)) is not None:
            if name is _Timer.WAKE:
                self._pausing = False

    def drain(self, now: float) -> None:
        """Close once all is said that was asked for."""
        del now
        self._draining = True

    def fail(self, now: float) -> None:
        """Give the link up after a bug, with a Close that says so."""
        self._ws.fail(CloseCode.INTERNAL_ERROR, "the mock provider failed; its log says why")
        self._give_up(CloseHow.FLUSH, "failed", now)

    # --- what the session does ---------------------------------------------------------------------------------------

    def advance(self, now: float, budget: int) -> int:
        """Go on as far as time, the link and `budget` bytes allow; return what it cost."""
        wire = self._wire
        spent = 0
        while wire.closed is None and not wire.lingering:
            if spent >= budget or (wire.torn and wire.unflushed):
                wire.ready = True
                break
            if self._resetting:
                # Aborting over bytes that are not sent would drop them, and the peer would see another fault.
                wire.ready = wire.unflushed
                if not wire.unflushed and not wire.unsent:
                    self._give_up(CloseHow.ABORT, "cut", now)
                break
            self._flush(now)
            cost = self._say(now) + self._listen(now)
            if not cost:
                # What fills the outbox is handed to the driver with this turn, and the driver need not report it.
                wire.ready = wire.unflushed and wire.room <= 0
                break
            spent += cost
        if wire.closed is None and not wire.lingering:
            self._flush(now)
        return spent

    def _flush(self, now: float) -> None:
        """Hand on what the machine wants to send; while the link is blocked it stays there, where it is bounded."""
        wire = self._wire
        if self._within_frame or wire.blocked or wire.room <= 0:
            return
        wire.send(self._ws.data_to_send())
        late = self._late_pongs
        while late and late[0][0] <= now:
            wire.send((late.popleft()[1],))
        if late:
            self._timers.arm(_Timer.PONG, late[0][0])

    # --- saying ------------------------------------------------------------------------------------------------------

    def _say(self, now: float) -> int:
        """Say the next thing, if it is time; return its cost."""
        wire, ws = self._wire, self._ws
        if ws.state not in _SENDING or self._silent:
            self._waiting.clear()
            return 0
        if self._pausing or wire.blocked or wire.room <= 0:
            return 0
        act = next(self._acts, None)
        if act is None:
            if self._waiting:
                self._acts = iter(self._waiting.popleft())
            elif self._draining:
                self._hang(CloseCode.GOING_AWAY, "the mock provider is shutting down", now)
            else:
                return 0
            return _STEP_COST
        before = self._sent_bytes
        self._perform(act, now)
        wire.send(self._ws.data_to_send() if not self._within_frame else ())
        return _STEP_COST + self._sent_bytes - before

    def _perform(self, act: Act | SayRaw, now: float) -> None:
        match act:
            case Say():
                self._say_message(spoil(act, self._sent_messages, self._fault), now)
            case SayPiece():
                self._sent_bytes += len(act.data)
                self._ws.send_piece(act.opcode, act.data, finished=act.finished)
                if act.finished:
                    self._message_sent(now)
            case SayRaw():
                self._sent_bytes += len(act.data)
                waiting = () if self._within_frame else self._ws.data_to_send()
                self._wire.send((*waiting, act.header, act.data))
                self._within_frame = not act.finished
                if act.finished:
                    self._message_sent(now)
            case Hang():
                self._hang(act.code, act.reason, now)
            case _:
                assert_never(act)

    def _say_message(self, say: Say, now: float) -> None:
        grown = swell(say, self._sent_messages, self._fault)
        if grown is not None:
            self._acts = chain(grown, self._acts)
            return
        self._sent_bytes += len(say.data)
        (self._ws.send_text if say.text else self._ws.send_binary)(say.data)
        self._message_sent(now)

    def _message_sent(self, now: float) -> None:
        self._sent_messages += 1
        if self._fault.chunk_delay_seconds:
            self._pausing = True
            self._timers.arm(_Timer.WAKE, now + self._fault.chunk_delay_seconds)
        self._interrupt(now)

    def _interrupt(self, now: float) -> None:
        """Do what a fault wants after the messages that were sent so far."""
        fault, count = self._fault, self._sent_messages
        if fault.bad_frame == count:
            self._past_the_machine(illegal_frame())
        if fault.close_code is not None and fault.close_after == count:
            self._hang(fault.close_code, fault.close_reason, now)
        if fault.cut_after == count:
            self._record_end("cut", now)
            self._wire.send(self._ws.data_to_send())
            self._resetting = fault.reset
            if not fault.reset:
                self._give_up(CloseHow.FLUSH, "cut", now)
        elif fault.stall_after == count:
            self._silent = True

    def _hang(self, code: int | None, reason: str, now: float) -> None:
        """Send Close, whatever the code; nothing is said behind it."""
        self._silent = True
        if self._ws.state not in _SENDING:
            return
        if code == CloseCode.NO_STATUS_RECEIVED:
            code = None
        if code is None or is_sendable_code(code):
            self._ws.send_close(code, "" if code is None else reason, now=now)
        else:
            self._past_the_machine(raw_close(code, reason))

    def _past_the_machine(self, frame: bytes) -> None:
        self._wire.send((*self._ws.data_to_send(), frame))

    # --- listening ---------------------------------------------------------------------------------------------------

    def _listen(self, now: float) -> int:
        """Hear the next thing, unless too many answers wait already; return its cost."""
        if self._wire.closed is not None:
            return 0
        if self._deaf:
            return self._hear_nothing(now)
        ws = self._ws
        patient = len(self._waiting) < self._most_waiting or self._wire.eof or ws.state in _OVER
        if patient is not self._patient:
            self._patient = patient
            ws.set_reading(patient, now)
        if not patient:
            return 0
        event = ws.next_event()
        if isinstance(event, Signal):
            return self._feed(now)
        return _STEP_COST + self._hear(event, now) // _HEARD_BYTES_OF_ONE_COST

    def _feed(self, now: float) -> int:
        if data := self._wire.take(_PORTION_BYTES):
            self._ws.receive_data(data, now)
            return _PORTION_COST
        if self._wire.eof and not self._eof_is_known:
            self._eof_is_known = True
            self._ws.receive_eof(now)
            return _STEP_COST
        return 0

    def _hear(self, event: WebSocketEvent, now: float) -> int:
        """Do what an event of the machine asks for; return the bytes that were looked at."""
        size = 0
        match event:
            case TextMessage() | BinaryMessage():
                data = event.data
                size = len(data) if isinstance(data, bytes) or data.isascii() else len(data.encode())
                self._heard_messages += 1
                self._heard_bytes += size
                if answer := self._talk.hear(data):
                    self._waiting.append(answer)
            case MessagePiece():
                self._heard_messages += event.finished
                self._heard_bytes += len(event.data)
                self._waiting.append((SayPiece(event.opcode, event.data, event.finished),))
            case Ping():
                if self._keeps_pongs:
                    self._keep_pong(now)
            case Pong():
                pass
            case CloseReceived():
                self._closing(event, now)
            case Closed():
                self._closed(event, now)
            case Failed():
                self._failed(event, now)
            case _:
                assert_never(event)
        return size

    def _hear_nothing(self, now: float) -> int:
        """Leave a Close unanswered and the link open, until the peer ends it."""
        if self._wire.take(_PORTION_BYTES):
            return _STEP_COST
        if self._wire.eof:
            self._give_up(CloseHow.FLUSH, "done", now)
        return 0

    def _keep_pong(self, now: float) -> None:
        """Take back the pong that the machine has just queued, and send it later or never."""
        pong = b"".join(self._ws.data_to_send())
        if self._fault.late_pong_seconds is not None and len(self._late_pongs) < _MOST_LATE_PONGS:
            self._late_pongs.append((now + self._fault.late_pong_seconds, pong))
            self._timers.arm(_Timer.PONG, self._late_pongs[0][0])

    # --- ends --------------------------------------------------------------------------------------------------------

    def _closing(self, event: CloseReceived, now: float) -> None:
        """Answer a Close as it came: behind what an echo still owes, or at once when it says nothing any more."""
        self._close = event
        if self._fault.hold_close:
            self._deaf = True
        elif self._silent:
            self._hang(event.code, event.reason, now)
        else:
            self._waiting.append((Hang(event.code, event.reason),))

    def _closed(self, event: Closed, now: float) -> None:
        if event.code != CloseCode.ABNORMAL_CLOSURE:
            self._close = CloseReceived(event.code, event.reason)
        if self._fault.hold_close and event.clean:
            self._ws.data_to_send()  # the answer to the peer's Close
            self._deaf = True
            return
        self._give_up(CloseHow.FLUSH, "done" if event.clean else "disconnected", now)

    def _failed(self, event: Failed, now: float) -> None:
        """Let a peer that broke the protocol read the Close that says so; one that is found dead reads nothing."""
        if event.code == CloseCode.ABNORMAL_CLOSURE or self._within_frame:
            self._give_up(CloseHow.ABORT, "disconnected", now)
            return
        self._record_end("violation", now)
        self._wire.send(self._ws.data_to_send())
        self._wire.linger(now)

    def _give_up(self, how: CloseHow, outcome: str, now: float) -> None:
        if self._within_frame:
            how = CloseHow.ABORT
        if how is CloseHow.FLUSH:
            self._wire.send(self._ws.data_to_send())
        self._wire.close(how)
        self.end(outcome, now)

    def end(self, outcome: str, now: float) -> None:
        """Write the record of the session: the link is given up."""
        self._timers.clear()
        self._record_end(outcome, now)

    def _record_end(self, outcome: str, now: float) -> None:
        if self._recorded:
            return
        self._recorded = True
        record = dataclasses.replace(
            self._record,
            outcome=outcome,
            duration_seconds=now - self._opened_at,
            sent_messages=self._sent_messages,
            sent_bytes=self._sent_bytes,
            received_messages=self._heard_messages,
            received_bytes=self._heard_bytes,
            close_code=self._close.code if self._close is not None else None,
            close_reason=self._close.reason if self._close is not None else "",
        )
        self._wire.journal(record)
