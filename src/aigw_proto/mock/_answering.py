"""HTTP on a link: requests in, the script of each answer out.

Either a request is read (the HTTP machine is pulled until it holds a whole one) or an answer is under way (its script
is played, step by step, as long as time, the link and the turn allow). After a refusal that came before the end of the
request the link lingers. What to answer is not decided here: `begin` turns a request into a course. A course may end in
the switch to WebSocket, and then something else is spoken on the link.

A peer that ends its sending side while an answer is under way is taken for gone, as most servers take it: a provider
cannot tell a half-closed client from one that hung up, and a stalled answer to nobody would never end.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import assert_never

from .._effects import CloseHow
from .._kinds import Role, Signal, record
from .._limits import HttpLimits
from .._timers import TimerTable
from ..http import BodyPiece, EndOfMessage, Failed, H1Connection, Headers, Request, Response, StreamEnded
from ._record import MockRecord
from ._replies import json_bytes
from ._script import Finish, HangUp, SendHead, SendPiece, SendRaw, Step, Switch, Wait
from ._socket import Socket
from ._wire import Wire

__all__ = ["Answering", "Course"]

_REQUEST_COST = 1024  # of the turn's bytes: a request that is answered with little still takes time
_STEP_COST = 64


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


class Answering:
    """The HTTP phase of a link."""

    def __init__(
        self,
        wire: Wire,
        peer: str,
        *,
        now: float,
        http: HttpLimits,
        begin: Callable[[Request, bytes, float], Course],
    ) -> None:
        """Start reading; `begin(request, body, now)` is asked for the course of every answer."""
        self.successor: Socket | None = None
        """What is spoken on the link from now on."""
        self._wire = wire
        self._peer = peer
        self._machine = H1Connection(Role.SERVER, now=now, limits=http)
        self._begin = begin
        self._timers: TimerTable[_Timer] = TimerTable()
        self._request: Request | None = None
        self._body: list[bytes] = []
        self._started = now
        self._course: Course | None = None
        self._status = 0
        self._sent_bytes = 0
        self._stalled = False
        self._resetting = False
        self._draining = False
        self._ending = False

    # --- what the world did ------------------------------------------------------------------------------------------

    def received(self) -> None:
        """Note that bytes came."""
        self._timers.disarm(_Timer.IDLE_CLOSE)

    def peer_left(self, now: float) -> None:
        """Note that the peer will send no more."""
        if self._course is not None:
            self._give_up(CloseHow.ABORT, "disconnected", now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None."""
        if self._wire.closed is not None or self._wire.lingering:
            return None
        deadlines = (self._machine.next_timeout(), self._timers.earliest)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        self._machine.handle_timeout(now)
        while (name := self._timers.expire(now)) is not None:
            if name is _Timer.IDLE_CLOSE:
                self._give_up(CloseHow.FLUSH, "cut", now)

    def drain(self, now: float) -> None:
        """End the connection with the answer under way, or at once when it is idle."""
        del now
        self._draining = True
        if self._course is None and self._request is None and not self._wire.waiting and self._machine.idle:
            self._ending = True

    def fail(self, now: float) -> None:
        """Give the link up after a bug: with a 500 when no answer has begun."""
        if self._machine.can_answer:
            self._send_error(500, "the mock provider failed; its log says why")
            self._give_up(CloseHow.FLUSH, "failed", now)
        else:
            self._give_up(CloseHow.ABORT, "failed", now)

    # --- what the link does ------------------------------------------------------------------------------------------

    def advance(self, now: float, budget: int) -> int:
        """Go on as far as time, the link and `budget` bytes allow; return what it cost."""
        wire = self._wire
        budget = min(budget, wire.limits.high_water_bytes - wire.unsent)
        spent = 0
        while not self._over and not wire.blocked and self._timers.deadline(_Timer.WAKE) is None:
            if spent >= budget or (wire.torn and wire.unflushed):
                wire.ready = True
                break
            if self._ending:
                self._give_up(CloseHow.FLUSH, "done", now)
            elif self._resetting:
                # Aborting over bytes that are not sent would drop them, and the peer would see another fault.
                wire.ready = wire.unflushed
                if wire.unflushed or wire.unsent:
                    break
                self._give_up(CloseHow.ABORT, "cut", now)
            elif self._stalled:
                break
            elif self._course is not None:
                spent += self._step(self._course, now)
            elif not self._pull(now):
                break
            else:
                spent += _STEP_COST
        if wire.eof and self._course is not None:
            self._give_up(CloseHow.ABORT, "disconnected", now)
        if self.successor is not None:
            # The 101 goes out on its own, unless a fault wants what the provider says first in the same bytes.
            wire.ready = not self.successor.glued
            if self.successor.glued:
                spent += self.successor.advance(now, max(1, budget - spent))
        return spent

    @property
    def _over(self) -> bool:
        return self._wire.closed is not None or self._wire.lingering or self.successor is not None

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
                self._flush()
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
        if data := self._wire.take():
            self._machine.receive_data(data, now)
            return True
        if self._wire.eof:
            self._machine.receive_eof(now)
        return self._wire.eof

    def _answer(self, now: float) -> None:
        request, body = self._request, b"".join(self._body)
        self._body.clear()
        assert request is not None  # noqa: S101 - its end was just reported
        course = self._begin(request, body, now)
        self._course = course
        self._wire.torn = course.torn
        self._status = self._sent_bytes = 0

    def _refuse(self, failed: Failed, now: float) -> None:
        """Say what was wrong with a request that did not arrive whole, then wait for the peer to read it."""
        if not failed.received_any or not self._machine.can_answer:
            self._give_up(CloseHow.FLUSH, "refused", now)
            return
        self._send_error(failed.status, failed.reason)
        self._record("refused", now)
        self._wire.linger(now)

    def _send_error(self, status: int, message: str) -> None:
        body = json_bytes({"error": {"message": message, "type": "server_error" if status >= 500 else "bad_request"}})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        self._status = status
        self._machine.send_response(Response(status, [*headers, (b"connection", b"close")], _reason(status)))
        if self._request is None or self._request.method != b"HEAD":
            self._machine.send_data(body)
        self._machine.end_message()
        self._flush()

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
                self._wire.send((step.data,))
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
            case Switch():
                self._switch(step, course, now)
                cost = _REQUEST_COST
            case _:
                assert_never(step)
        self._flush()
        return cost

    def _flush(self) -> None:
        self._wire.send(self._machine.data_to_send())

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

    def _switch(self, switch: Switch, course: Course, now: float) -> None:
        """Answer 101 and leave the link to the WebSocket, with whatever came behind the request."""
        self._machine.send_switch(switch.response)
        self._flush()
        self._wire.put_back(self._machine.unconsumed())
        self._status = 101
        self.successor = Socket(self._wire, switch, self._make_record(course, "", now), now=now)
        if self._draining:
            self.successor.drain(now)
        self._request = self._course = None

    # --- ends --------------------------------------------------------------------------------------------------------

    def end(self, outcome: str, now: float) -> None:
        """Write the record of the request under way, if there is one: the link is given up."""
        if self._request is not None:
            self._record(outcome, now)
        self._timers.clear()
        self._body.clear()

    def _record(self, outcome: str, now: float) -> None:
        """Write the log record of the request under way and forget it."""
        self._wire.journal(self._make_record(self._course, outcome, now))
        self._request = self._course = None
        self._status = self._sent_bytes = 0

    def _make_record(self, course: Course | None, outcome: str, now: float) -> MockRecord:
        request = self._request
        return MockRecord(
            number=course.number if course is not None else 0,
            method=request.method.decode("latin-1") if request is not None else "",
            target=request.target.decode("latin-1") if request is not None else "",
            status=self._status,
            outcome=outcome,
            sent_bytes=self._sent_bytes,
            duration_seconds=now - self._started,
            fault=course.fault if course is not None else "",
            peer=self._peer,
        )

    def _give_up(self, how: CloseHow, outcome: str, now: float) -> None:
        if self._wire.closed is None:
            self._wire.close(how)
            self.end(outcome, now)


def _reason(status: int) -> bytes:
    """Return the reason phrase that goes with a status (RFC 9110 section 15), or none."""
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""
