"""One `universal.create`, from admission to its last frame.

A request walks through its steps, and through the tries of each step, until a provider answers with success. That
commits it: from then on the answer is delivered, as one frame or as a stream of them, and a failure ends it. An error
status is gathered to its end first, because it is what the client gets if nothing better follows.

Nothing here waits. The pool calls back with a connection, the connection calls back when there is something to pull,
and the session calls `advance()` when it is this request's turn; each call of `advance()` moves at most one event from
the provider to the client, so that requests of one socket interleave frame by frame. Deadlines: the head of the
answer (from the start of the try), silence within the answer, and the delay before a retry. Silence that back-pressure
causes does not count: the deadline runs only while the connection is being read.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from .._kinds import Signal
from .._timers import TimerTable
from ..envelopes import ErrorCode
from ..http import (
    BodyPiece,
    EndOfMessage,
    Failed,
    HttpEvent,
    InformationalResponse,
    Request,
    Response,
    StreamEnded,
)
from ._answer import AnswerStream, Form, StreamFailed, form_of, media_type
from ._attempts import Next, attempt_timeout, decide, retry_after_seconds
from ._frames import RequestFrames
from ._record import Outcome
from ._state import REQUEST_TRANSITIONS, RequestState, RequestTrigger

if TYPE_CHECKING:
    from ._admission import PreparedStep
    from ._pool import Origin, UpstreamConnection
    from ._universal import Universal

__all__ = ["UniversalRequest"]


_CLIENT_CLOSED_REQUEST = 499  # in the log only: the customary number for a client that left


class _Timer(enum.Enum):
    FIRST_BYTE = "first byte"
    IDLE = "idle"
    DELAY = "delay"


class UniversalRequest:
    """The life of one request; also what the pool calls a waiter and a lessee."""

    __slots__ = (
        "_attempt",
        "_body",
        "_body_bytes",
        "_connection",
        "_content_type",
        "_core",
        "_failure",
        "_frames",
        "_last_answer",
        "_origin",
        "_response",
        "_step",
        "_stream",
        "_tally",
        "_timers",
        "_universal",
        "event_id",
        "fresh",
        "held_bytes",
        "log_id",
        "queued",
        "scheduled",
        "state",
        "steps",
    )

    def __init__(self, universal: Universal, event_id: str, steps: list[PreparedStep], now: float) -> None:
        """Admit the request; `start()` begins the first try."""
        self._universal = universal
        self._core = universal.core
        self.event_id = event_id
        self.log_id = universal.core.new_id(now)
        self.steps = steps
        self.state = RequestState.WAITING
        self.held_bytes = sum(len(step.body) for step in steps)
        self.fresh = False
        self.queued = False
        self.scheduled: float | None = None
        self._timers: TimerTable[_Timer] = TimerTable()
        self._step = 0
        self._attempt = 1
        self._tally = universal.tally(event_id, self.log_id, now)
        self._origin: Origin | None = None
        self._connection: UpstreamConnection | None = None
        self._response: Response | None = None
        self._content_type = ""
        self._body: list[bytes] = []
        self._body_bytes = 0
        self._stream: AnswerStream | None = None
        self._frames = RequestFrames(event_id, self.log_id, universal.send_frame, strict=universal.gateway.strict)
        self._last_answer: tuple[int, str, bytes, int] | None = None
        self._failure = ""

    # ---- tries -----------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin the first try of the first step."""
        self._try(now)

    def _try(self, now: float) -> None:
        step = self.steps[self._step]
        self._response = None
        self._stream = None
        self._drop_body()
        self._tally.attempts += 1
        timeout = attempt_timeout(
            attempt=self._attempt,
            last_step=self._last_step,
            settings=step.settings,
            limits=self._core.config.limits,
        )
        self._timers.clear()
        self._timers.arm(_Timer.FIRST_BYTE, now + timeout)
        self._core.deadlines.touch(self)
        self._origin = self._core.pool.acquire(step.target, self, now)

    @property
    def _last_step(self) -> bool:
        return self._step + 1 == len(self.steps)

    def assigned(self, connection: UpstreamConnection) -> None:
        """Write the request to the connection that the pool gave."""
        step = self.steps[self._step]
        self._move(RequestTrigger.ASSIGNED)
        self._connection = connection
        connection.lessee = self
        connection.http.send_request(step.request)
        if step.body:
            connection.http.send_data(step.body)
        connection.http.end_message()
        self._core.turn.send(connection.link, connection.http.data_to_send())

    def connect_failed(self, reason: str, *, timed_out: bool, now: float) -> None:
        """Go on without an answer from this try."""
        self._failed_try(reason, status=None, timed_out=timed_out, now=now)

    def _failed_try(
        self,
        reason: str,
        *,
        now: float,
        status: int | None,
        timed_out: bool = False,
        retry_after: float | None = None,
    ) -> None:
        """Let `decide` say what follows a try that brought no success."""
        self._let_go(now, finished=False)
        step = self.steps[self._step]
        self._failure = f"{step.provider}: {reason}"
        decision = decide(
            status=status,
            retry_after=retry_after,
            attempt=self._attempt,
            last_step=self._last_step,
            settings=step.settings,
            limits=self._core.config.limits,
        )
        self.fresh = False
        self._timers.clear()
        if decision.next is Next.RETRY:
            self._attempt += 1
            self._move(RequestTrigger.RETRY)
            self._timers.arm(_Timer.DELAY, now + decision.delay_seconds)
            self._core.deadlines.touch(self)
        elif decision.next is Next.STEP:
            self._step += 1
            self._attempt = 1
            self._move(RequestTrigger.TRY)
            self._try(now)
        else:
            self._give_up(now, timed_out=timed_out)

    def _give_up(self, now: float, *, timed_out: bool) -> None:
        """Answer with the last answer that any provider gave, else with the gateway's own error."""
        if self._last_answer is not None:
            status, content_type, body, step = self._last_answer
            self._frames.whole(status, content_type, step, body)
            self._finish(Outcome.DONE, status, None, now)
        elif timed_out:
            self._fail(504, ErrorCode.PROVIDER_FAILED, f"No answer in time: {self._failure}", now)
        else:
            self._fail(502, ErrorCode.PROVIDER_FAILED, f"Failed to get response from provider: {self._failure}", now)

    # ---- the provider's answer -------------------------------------------------------------------------------------

    def upstream_readable(self) -> None:
        """Queue for the session's attention; stop reading a connection whose bytes cannot be passed on yet."""
        connection = self._connection
        if connection is None:
            return
        if self.queued and connection.buffered_bytes >= self._core.config.limits.upstream_high_water_bytes:
            self._core.turn.set_reading(connection.link, False)
        self._timers.disarm(_Timer.IDLE)
        self._universal.enqueue(self)

    def advance(self, now: float) -> bool:
        """Move at most one event from the provider to the client; return whether more may be ready."""
        if self._stream is not None:
            item = self._stream.next_item()
            if item is not None:
                if isinstance(item, StreamFailed):
                    self._interrupt(f"{self.steps[self._step].provider}: {item.reason}", now)
                    return False
                self._tally.response_bytes += item.size_bytes
                self._frames.item(item.payload, item.event)
                return True
            if self._connection is None:
                self._done(now)
                return False
        connection = self._connection
        if connection is None:
            return False
        event = connection.http.next_event()
        if not isinstance(event, Signal):
            return _ON_EVENT[type(event)](self, event, now)
        connection.buffered_bytes = 0
        if connection.broken:
            self._broken("the connection was reset", received_any=connection.answered, now=now)
            return False
        self._core.turn.set_reading(connection.link, True)
        if self.state is not RequestState.SENT:
            self._timers.arm(_Timer.IDLE, now + self._core.config.limits.upstream_idle_timeout_seconds)
            self._core.deadlines.touch(self)
        return False

    def _on_informational(self, _event: HttpEvent, _now: float) -> bool:
        return True

    def _on_response(self, event: HttpEvent, now: float) -> bool:
        assert isinstance(event, Response)  # noqa: S101 - the table calls by type
        self._response = event
        self._tally.first_byte_at = now
        self._timers.clear()
        fields = dict(event.headers)
        self._content_type = fields.get(b"content-type", b"").decode("latin-1")
        if 200 <= event.status < 300:
            self._move(RequestTrigger.HEAD)
        else:
            self._move(RequestTrigger.REFUSED)
        coding = fields.get(b"content-encoding", b"identity").strip().lower()
        if coding not in (b"identity", b""):
            self._broken(f"it answered with the content coding {coding!r}, which was not accepted", True, now)
            return False
        return True

    def _on_piece(self, event: HttpEvent, now: float) -> bool:
        assert isinstance(event, BodyPiece)  # noqa: S101 - the table calls by type
        if self.state is RequestState.HEADED:
            self._begin(event.data)
        if self._stream is not None:
            self._stream.receive_data(event.data)
            return True
        self._body.append(event.data)
        self._body_bytes += len(event.data)
        self._tally.response_bytes += len(event.data)
        self._universal.buffered_bytes += len(event.data)
        limit = self._core.config.limits.max_response_bytes
        if self._body_bytes > limit:
            provider = self.steps[self._step].provider
            self._fail(
                502, ErrorCode.PROVIDER_ANSWER_TOO_LARGE, f"{provider}: the answer is larger than {limit} bytes", now
            )
            return False
        return True

    def _on_end(self, _event: HttpEvent, now: float) -> bool:
        if self.state is RequestState.HEADED:
            self._begin(b"")
        self._let_go(now, finished=True)
        self._timers.clear()
        if self._stream is not None:
            self._stream.receive_eof()
            return True
        self._whole(now)
        return False

    def _on_failed(self, event: HttpEvent, now: float) -> bool:
        assert isinstance(event, Failed)  # noqa: S101 - the table calls by type
        self._broken(event.reason, event.received_any, now)
        return False

    def _on_stream_ended(self, _event: HttpEvent, now: float) -> bool:
        self._broken("the connection was closed before an answer", received_any=False, now=now)
        return False

    def _begin(self, start: bytes) -> None:
        """Choose the form of delivery at the first byte of content; a stream is announced."""
        form = form_of(media_type(self._content_type), start)
        if form is Form.WHOLE:
            self._move(RequestTrigger.WHOLE)
            return
        self._move(RequestTrigger.STREAM)
        config = self._core.config
        self._stream = AnswerStream(form, sse=config.sse, limits=config.limits)
        self._frames.opened(self._status, self._content_type, self._step)

    def _whole(self, now: float) -> None:
        """Deliver a gathered answer, or let what follows an error status follow."""
        response = self._response
        assert response is not None  # noqa: S101 - content comes after a head
        body = b"".join(self._body)
        if self._step_refused:
            self._last_answer = (response.status, self._content_type, body, self._step)
            retry_after = retry_after_seconds(dict(response.headers).get(b"retry-after"))
            self._failed_try(f"it answered {response.status}", status=response.status, retry_after=retry_after, now=now)
            return
        self._frames.whole(response.status, self._content_type, self._step, body)
        self._finish(Outcome.DONE, response.status, None, now)

    @property
    def _step_refused(self) -> bool:
        return self._response is not None and not 200 <= self._response.status < 300

    def _broken(self, reason: str, received_any: bool, now: float) -> None:
        """Act on an exchange that the provider broke off."""
        connection = self._connection
        stale = connection is not None and connection.used and not received_any and not self.fresh
        if self.state is RequestState.SENT:
            if stale:
                # It was kept alive and died before any answer: not a failed try, the next one does not count it.
                self._let_go(now, finished=False)
                self.fresh = True
                self._tally.attempts -= 1
                self._move(RequestTrigger.TRY)
                self._try(now)
            else:
                self._failed_try(reason, status=None, now=now)
        elif self.state is RequestState.STREAMING:
            self._interrupt(f"{self.steps[self._step].provider}: {reason}", now)
        elif self._step_refused:
            self._failed_try(reason, status=self._response.status if self._response else None, now=now)
        else:
            message = f"Failed to get response from provider: {self.steps[self._step].provider}: {reason}"
            self._fail(502, ErrorCode.PROVIDER_FAILED, message, now)

    def _interrupt(self, reason: str, now: float) -> None:
        """End a stream that cannot go on; what was delivered stands."""
        self._frames.done(self._status, self._content_type, self._step, error=reason)
        self._finish(Outcome.ERROR, self._status, reason, now)

    def _done(self, now: float) -> None:
        self._frames.done(self._status, self._content_type, self._step)
        self._finish(Outcome.DONE, self._status, None, now)

    # ---- ends ------------------------------------------------------------------------------------------------------

    def cancel(self, now: float, *, tell: bool) -> None:
        """Give up at the client's wish (`tell`: answer with `universal.done`), or because its socket ended."""
        if self.state is RequestState.ENDED:
            return
        if tell:
            status = None if self._response is None else self._response.status
            self._frames.done(status, self._content_type, self._step, cancelled=True)
        self._finish(Outcome.CANCELLED if tell else Outcome.DISCONNECTED, _CLIENT_CLOSED_REQUEST, None, now)

    def _fail(self, status: int, code: ErrorCode, message: str, now: float) -> None:
        """End with an error frame of the gateway's own. Strict frames carry the status that the hosted service used."""
        shown = self._frames.failed(status, code, message, self._step)
        self._finish(Outcome.ERROR, shown, message, now)

    def _finish(self, outcome: Outcome, status: int, error: str | None, now: float) -> None:
        self._let_go(now, finished=False)
        if self.state is RequestState.WAITING and self._origin is not None:
            self._core.pool.withdraw(self._origin, self, now)
        self._move(RequestTrigger.END)
        self._timers.clear()
        self._core.deadlines.forget(self)
        self._drop_body()
        step = self.steps[self._step]
        if step.settings.collect_log is not False:
            entry = self._tally.record(
                outcome,
                status,
                error,
                now=now,
                provider=step.provider,
                endpoint=step.endpoint,
                step=self._step,
                request_bytes=len(step.body),
                streamed=self._stream is not None,
                frames=self._frames.count,
            )
            self._core.journal(entry)
        self._universal.request_ended(self, now)

    def _let_go(self, now: float, *, finished: bool) -> None:
        """Return the connection to the pool after a finished exchange, or drop it in the middle of one."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        if finished:
            self._core.pool.release(connection, now)
        else:
            self._core.pool.discard(connection, now)

    # ---- time ------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        return self._timers.earliest()

    def handle_timeout(self, now: float) -> None:
        """Start the retry that is due, or give up what took too long."""
        while (timer := self._timers.expire(now)) is not None:
            if timer is _Timer.DELAY:
                self._move(RequestTrigger.TRY)
                self._try(now)
            elif timer is _Timer.FIRST_BYTE:
                if self.state is RequestState.WAITING and self._origin is not None:
                    self._core.pool.withdraw(self._origin, self, now)
                self._failed_try("no answer within the time allowed", status=None, timed_out=True, now=now)
            else:
                seconds = self._core.config.limits.upstream_idle_timeout_seconds
                self._broken(f"silent for {seconds:g} s in the middle of its answer", received_any=True, now=now)

    def crash(self, now: float) -> None:
        """End the session: a request has no life of its own."""
        self._universal.crash(now)

    # ---- small things ----------------------------------------------------------------------------------------------

    def _move(self, trigger: RequestTrigger) -> None:
        self.state = REQUEST_TRANSITIONS[self.state][trigger]

    def _drop_body(self) -> None:
        self._universal.buffered_bytes -= self._body_bytes
        self._body_bytes = 0
        self._body.clear()

    @property
    def _status(self) -> int:
        return 0 if self._response is None else self._response.status


_Handler: TypeAlias = Callable[[UniversalRequest, HttpEvent, float], bool]
_ON_EVENT: dict[type, _Handler] = {
    InformationalResponse: UniversalRequest._on_informational,  # noqa: SLF001 - the class's own table
    Response: UniversalRequest._on_response,  # noqa: SLF001
    BodyPiece: UniversalRequest._on_piece,  # noqa: SLF001
    EndOfMessage: UniversalRequest._on_end,  # noqa: SLF001
    Failed: UniversalRequest._on_failed,  # noqa: SLF001
    StreamEnded: UniversalRequest._on_stream_ended,  # noqa: SLF001
    Request: UniversalRequest._on_informational,  # noqa: SLF001 - a client machine reports none
}
