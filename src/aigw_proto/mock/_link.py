"""One accepted link of the mock: requests in, the script of each answer out.

A link is in one of three states, and `advance` moves it on:

* reading: no answer is under way; the HTTP machine is pulled until it holds a whole request;
* answering: the script of the answer is played, step by step, as long as time, the link and the turn allow;
* closing: the last byte is made. After a refusal that came before the end of the request the link lingers: it reads
  and forgets for a while, because closing over unread bytes would reset the stream and the refusal with it.

What to answer is not decided here: the engine's `begin` turns a request into a course. A peer that ends its sending
side while an answer is under way is taken for gone, as most servers take it: a provider cannot tell a half-closed
client from one that hung up, and a stalled answer to nobody would never end.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import assert_never

from .._effects import CloseHow, CloseLink, Effect, EndSending, Journal, SendBytes, SetReading
from .._kinds import LinkId, Role, Signal, record
from .._limits import HttpLimits
from .._timers import TimerTable
from ..http import BodyPiece, EndOfMessage, Failed, H1Connection, Headers, Request, Response, StreamEnded
from ._limits import MockLimits
from ._replies import json_bytes
from ._script import Finish, HangUp, SendHead, SendPiece, SendRaw, Step, Wait

__all__ = ["Course", "MockLink", "MockRecord"]

_REQUEST_COST = 1024  # of the turn's bytes: a request that is answered with little still takes time
_STEP_COST = 64


@record
class MockRecord:
    """One request in the operator's log, written when its answer ended.

    `outcome` is "done", "cut" (a fault ended the link), "disconnected" (the peer did), "stuck" (the peer took nothing),
    "shutdown", "failed" (a bug) or "refused" (no whole request came). `number` counts from 1, and is 0 for a request
    that was not answered by a dialect; `status` is 0 when no head was sent, or one that went past the HTTP machine;
    `sent_bytes` are those of the body; `fault` is the SPEC that was followed.
    """

    number: int
    method: str
    target: str
    status: int
    outcome: str
    sent_bytes: int
    duration_seconds: float
    fault: str
    peer: str


@record
class Course:
    """How one request is answered: the steps, and what the link has to know of the fault behind them."""

    number: int
    steps: Iterator[Step]
    torn: bool = False
    early_close_idle_seconds: float | None = None
    fault: str = ""


class _Timer(enum.Enum):
    WAKE = "the script goes on"
    IDLE_CLOSE = "a fault closes the idle link"
    LINGER = "the peer had its time to read the refusal"
    STUCK = "the peer takes no bytes"


class MockLink:
    """One connection of a client to the mock provider; owned by `MockEngine`."""

    def __init__(
        self,
        link: LinkId,
        peer: str,
        *,
        now: float,
        http: HttpLimits,
        limits: MockLimits,
        begin: Callable[[Request, bytes, float], Course],
    ) -> None:
        """Start reading; `begin(request, body, now)` is asked for the course of every answer."""
        self.link = link
        self.peer = peer
        self.ready = False
        """Whether only the turn's budget stopped the link."""
        self.queued = False
        """Whether the engine has the link in its queue of those that can go on."""
        self.scheduled: float | None = None
        """The deadline under which the engine has the link in its heap."""
        self._machine = H1Connection(Role.SERVER, now=now, limits=http)
        self._limits = limits
        self._begin = begin
        self._timers: TimerTable[_Timer] = TimerTable()
        self._inbox: deque[bytes] = deque()
        self._inbox_bytes = 0
        self._eof = False
        self._request: Request | None = None
        self._body: list[bytes] = []
        self._started = now
        self._course: Course | None = None
        self._status = 0
        self._sent_bytes = 0
        self._outbox: deque[bytes] = deque()
        self._torn = False
        self._torn_offset = 0
        self._unsent = 0
        self._blocked = False
        self._stalled = False
        self._resetting = False
        self._draining = False
        self._ending = False
        self._lingering = False
        self._reading = True
        self._journal: list[Journal] = []
        self._asked: list[Effect] = []
        self._close: CloseHow | None = None

    # --- what the world did ------------------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the link is given up: its last effects are waiting, and nothing else happens on it."""
        return self._close is not None

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer."""
        if self._lingering:
            return
        self._timers.disarm(_Timer.IDLE_CLOSE)
        self._inbox.append(data)
        self._inbox_bytes += len(data)
        if self._inbox_bytes > self._limits.max_pipelined_bytes:
            self._set_reading(False)

    def peer_closed(self, now: float, *, clean: bool) -> None:
        """Note that the peer will send no more, or that the stream broke."""
        self._eof = True
        if self._course is not None or self._lingering or not clean:
            self._give_up(CloseHow.ABORT, "disconnected", now)

    def sent(self, unsent: int, now: float) -> None:
        """Note how many bytes the driver still holds."""
        progress = unsent < self._unsent
        self._unsent = unsent
        if unsent >= self._limits.high_water_bytes:
            self._blocked = True
        elif unsent <= self._limits.low_water_bytes:
            self._blocked = False
            self._timers.disarm(_Timer.STUCK)
        if self._blocked and (progress or self._timers.deadline(_Timer.STUCK) is None):
            self._timers.arm(_Timer.STUCK, now + self._limits.stuck_timeout_seconds)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of the link."""
        deadlines = (self._machine.next_timeout(), self._timers.earliest())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        self._machine.handle_timeout(now)
        while (name := self._timers.expire(now)) is not None:
            if name is _Timer.STUCK:
                self._give_up(CloseHow.ABORT, "stuck", now)
            elif name is not _Timer.WAKE:
                self._give_up(CloseHow.FLUSH, "cut", now)

    def drain(self) -> None:
        """End the connection with the answer under way, or at once when it is idle."""
        self._draining = True
        if self._course is None and self._request is None and not self._inbox and self._machine.idle:
            self._ending = True

    def shut_down(self, now: float) -> None:
        """End the connection now, whatever is under way."""
        self._give_up(CloseHow.ABORT, "shutdown", now)

    def fail(self, now: float) -> None:
        """Give the link up after a bug: with a 500 when no answer has begun."""
        if self._machine.can_answer:
            self._send_error(500, "the mock provider failed; its log says why")
            self._give_up(CloseHow.FLUSH, "failed", now)
        else:
            self._give_up(CloseHow.ABORT, "failed", now)

    # --- what the link does ------------------------------------------------------------------------------------------

    def advance(self, now: float, budget: int) -> int:
        """Go on as far as time, the link and `budget` bytes allow; return what it cost.

        Afterwards `ready` says whether there is more to do at once.
        """
        budget = min(budget, self._limits.high_water_bytes - self._unsent)
        spent = 0
        self.ready = False
        while self._close is None and not self._blocked and self._timers.deadline(_Timer.WAKE) is None:
            if spent >= budget or (self._torn and self._outbox):
                self.ready = True
                break
            if self._ending:
                self._give_up(CloseHow.FLUSH, "done", now)
            elif self._resetting:
                # Aborting over bytes that are not sent would drop them, and the peer would see another fault.
                self.ready = bool(self._outbox)
                if self._outbox or self._unsent:
                    break
                self._give_up(CloseHow.ABORT, "cut", now)
            elif self._lingering or self._stalled:
                break
            elif self._course is not None:
                spent += self._step(self._course, now)
            elif not self._pull(now):
                break
            else:
                spent += _STEP_COST
        if self._eof and self._course is not None:
            self._give_up(CloseHow.ABORT, "disconnected", now)
        return spent

    def take_effects(self) -> list[Effect]:
        """Move out what this turn asks of the driver, in the order in which it has to happen."""
        effects: list[Effect] = []
        chunks = self._take_output()
        if chunks and self._close is not CloseHow.ABORT:
            effects.append(SendBytes(self.link, chunks))
        if self._close is None:
            effects += self._asked
        self._asked.clear()
        effects += self._journal
        self._journal.clear()
        if self._close is not None:
            effects.append(CloseLink(self.link, self._close))
        return effects

    def _take_output(self) -> list[bytes]:
        outbox = self._outbox
        if self._torn and self._close is None and outbox:
            at = self._torn_offset
            byte = outbox[0][at : at + 1]
            self._torn_offset = at + 1
            if self._torn_offset == len(outbox[0]):
                outbox.popleft()
                self._torn_offset = 0
            return [byte]
        chunks = list(outbox)
        outbox.clear()
        if self._torn_offset:
            chunks[0] = chunks[0][self._torn_offset :]
            self._torn_offset = 0
        return chunks

    # --- reading -----------------------------------------------------------------------------------------------------

    def _pull(self, now: float) -> bool:
        """Take one event from the machine; false when there is nothing to do until bytes or time come."""
        event = self._machine.next_event()
        match event:
            case Signal.NEED_DATA:
                return self._feed(now)
            case Request():
                self._request = event
                self._started = now
                self._machine.send_continue()
                self._outbox.extend(self._machine.data_to_send())
            case BodyPiece():
                self._body.append(event.data)
            case EndOfMessage():
                self._answer(now)
            case Failed():
                self._refuse(event, now)
            case StreamEnded():
                self._give_up(CloseHow.FLUSH, "done", now)
            case _:
                raise RuntimeError(f"the HTTP machine returned {event!r} to a server that reads")
        return True

    def _feed(self, now: float) -> bool:
        if self._inbox:
            data = self._inbox.popleft()
            self._inbox_bytes -= len(data)
            self._machine.receive_data(data, now)
            if not self._inbox:
                self._set_reading(True)
            return True
        if self._eof:
            self._machine.receive_eof(now)
        return self._eof

    def _answer(self, now: float) -> None:
        request, body = self._request, b"".join(self._body)
        self._body.clear()
        assert request is not None  # noqa: S101 - its end was just reported
        course = self._begin(request, body, now)
        self._course = course
        self._torn = course.torn
        self._status = self._sent_bytes = 0

    def _refuse(self, failed: Failed, now: float) -> None:
        """Say what was wrong with a request that did not arrive whole, then wait for the peer to read it."""
        if not failed.received_any or not self._machine.can_answer:
            self._give_up(CloseHow.FLUSH, "refused", now)
            return
        self._send_error(failed.status, failed.reason)
        self._record("refused", now)
        if self._eof:
            self._give_up(CloseHow.FLUSH, "refused", now)
            return
        self._lingering = True
        self._inbox.clear()
        self._set_reading(True)
        self._asked.append(EndSending(self.link))
        self._timers.arm(_Timer.LINGER, now + self._limits.linger_timeout_seconds)

    def _send_error(self, status: int, message: str) -> None:
        body = json_bytes({"error": {"message": message, "type": "server_error" if status >= 500 else "bad_request"}})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        self._status = status
        self._machine.send_response(Response(status, [*headers, (b"connection", b"close")], _reason(status)))
        if self._request is None or self._request.method != b"HEAD":
            self._machine.send_data(body)
        self._machine.end_message()
        self._outbox.extend(self._machine.data_to_send())

    # --- answering ---------------------------------------------------------------------------------------------------

    def _step(self, course: Course, now: float) -> int:
        """Take one step of the answer; return its cost."""
        step = next(course.steps)
        cost = _STEP_COST
        match step:
            case SendHead():
                self._send_head(step)
                cost = _REQUEST_COST
            case SendPiece():
                self._machine.send_data(step.data)
                self._sent_bytes += len(step.data)
                cost += len(step.data)
            case SendRaw():
                self._outbox.append(step.data)
                self._sent_bytes += len(step.data)
                cost += len(step.data)
            case Wait():
                self._wait(step, now)
            case Finish():
                self._finish(course, now)
            case HangUp():
                self._resetting = step.how is CloseHow.ABORT
                self._ending = not self._resetting
                self._record("cut", now)
            case _:
                assert_never(step)
        self._outbox.extend(self._machine.data_to_send())
        return cost

    def _send_head(self, head: SendHead) -> None:
        headers: Headers = head.headers
        if self._draining:
            headers = [*(field for field in headers if field[0] != b"connection"), (b"connection", b"close")]
        self._status = head.status
        self._machine.send_response(Response(head.status, headers, _reason(head.status)))

    def _wait(self, wait: Wait, now: float) -> None:
        if wait.seconds is None:
            self._stalled = True
        else:
            self._timers.arm(_Timer.WAKE, now + wait.seconds)

    def _finish(self, course: Course, now: float) -> None:
        self._machine.end_message(now=now)
        self._record("done", now)
        self._ending = self._machine.must_close or self._draining
        if course.early_close_idle_seconds is not None:
            self._timers.arm(_Timer.IDLE_CLOSE, now + course.early_close_idle_seconds)

    # --- ends --------------------------------------------------------------------------------------------------------

    def _record(self, outcome: str, now: float) -> None:
        """Write the log record of the request under way and forget it."""
        request, course = self._request, self._course
        entry = MockRecord(
            number=course.number if course is not None else 0,
            method=request.method.decode("latin-1") if request is not None else "",
            target=request.target.decode("latin-1") if request is not None else "",
            status=self._status,
            outcome=outcome,
            sent_bytes=self._sent_bytes,
            duration_seconds=now - self._started,
            fault=course.fault if course is not None else "",
            peer=self.peer,
        )
        self._journal.append(Journal(entry))
        self._request = self._course = None
        self._status = self._sent_bytes = 0

    def _give_up(self, how: CloseHow, outcome: str, now: float) -> None:
        if self._close is None:
            self._close = how
            if self._request is not None:
                self._record(outcome, now)
            self._timers.clear()
            self._body.clear()
            self._inbox.clear()

    def _set_reading(self, enabled: bool) -> None:
        if self._reading is not enabled:
            self._reading = enabled
            self._asked.append(SetReading(self.link, enabled))


def _reason(status: int) -> bytes:
    """Return the reason phrase that goes with a status (RFC 9110 section 15), or none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
