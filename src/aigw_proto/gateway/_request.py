"""One `universal.create`, from admission to its last frame.

A request walks through its steps, and through the tries of each step, until a provider answers with success. That
commits it: from then on the answer is delivered, as one frame or as a stream of them, and a failure ends it. An error
status is gathered to its end first, because it is what the client gets if nothing better follows.

Nothing here waits. The pool calls back with a connection, the connection calls back when there is something to pull,
and the session calls `advance()` when it is this request's turn; each call of `advance()` moves at most one event from
the exchange with the provider to the client, so that requests of one socket interleave frame by frame.

Deadlines: the head of the answer (from the start of the try), silence within the answer, and the delay before a retry.
Silence that the client's own back-pressure causes does not count: within the answer the deadline runs only while
everything that arrived has been pulled, and a head that comes due while bytes wait to be pulled is judged by them.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

from .._kinds import record
from .._timers import TimerTable
from ..envelopes import ErrorCode
from ._answer import StreamItem
from ._attempts import Next, attempt_timeout, decide
from ._exchange import Begun, Broken, Exchange, Finished, Headed, Pull
from ._frames import SHUTTING_DOWN, RequestFrames
from ._pool import Lessee
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


@record
class _ErrorAnswer:
    """What a provider said instead of a success; the client gets the last one if nothing better follows."""

    status: int
    content_type: str
    step: int
    body: bytes


class UniversalRequest(Lessee):
    """The life of one request."""

    __slots__ = (
        "_attempt",
        "_core",
        "_exchange",
        "_failure",
        "_frames",
        "_last_answer",
        "_origin",
        "_overdue",
        "_step",
        "_streamed",
        "_tally",
        "_timers",
        "_universal",
        "event_id",
        "held_bytes",
        "log_id",
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
        self.scheduled = None
        self._timers: TimerTable[_Timer] = TimerTable()
        self._step = 0
        self._attempt = 1
        self._tally = universal.tally(event_id, self.log_id, now)
        self._origin: Origin | None = None
        self._exchange: Exchange | None = None
        self._overdue = False
        self._streamed = False
        self._frames = RequestFrames(event_id, self.log_id, universal.send_frame, universal.gateway)
        self._last_answer: _ErrorAnswer | None = None
        self._failure = ""

    # ---- tries -----------------------------------------------------------------------------------------------------

    def start(self, now: float) -> None:
        """Begin the first try of the first step."""
        self._try(now)

    def _try(self, now: float) -> None:
        step = self.steps[self._step]
        self._tally.attempts += 1
        timeout = attempt_timeout(
            attempt=self._attempt,
            last_step=self._last_step,
            settings=step.settings,
            limits=self._core.config.limits,
        )
        self._overdue = False
        self._timers.clear()
        self._timers.arm(_Timer.FIRST_BYTE, now + timeout)
        self._core.deadlines.touch(self)
        self._origin = self._core.pool.acquire(step.target, self, now)

    @property
    def _last_step(self) -> bool:
        return self._step + 1 == len(self.steps)

    @property
    def _provider(self) -> str:
        return self.steps[self._step].provider

    def assigned(self, connection: UpstreamConnection) -> None:
        """Write the request to the connection that the pool gave."""
        self._move(RequestTrigger.ASSIGNED)
        step = self.steps[self._step]
        self._exchange = Exchange(
            self._core,
            connection,
            self,
            step,
            gathered=self._universal.hold,
            forward_done=self._universal.gateway.forward_done,
        )

    def connect_failed(self, reason: str, *, timed_out: bool, now: float) -> None:
        """Go on without an answer from this try."""
        self._failed_try(reason, timed_out=timed_out, now=now)

    def _failed_try(
        self,
        reason: str,
        *,
        now: float,
        status: int | None = None,
        timed_out: bool = False,
        retry_after: float | None = None,
        answer: _ErrorAnswer | None = None,
    ) -> None:
        """Let `decide` say what follows a try that brought no success."""
        self._drop_exchange(now)
        self._universal.stop_collecting(self)
        self._failure = f"{self._provider}: {reason}"
        decision = decide(
            status=status,
            retry_after=retry_after,
            attempt=self._attempt,
            last_step=self._last_step,
            settings=self.steps[self._step].settings,
            limits=self._core.config.limits,
        )
        self.fresh = False
        self._timers.clear()
        if decision.next is Next.GIVE_UP:
            self._give_up(answer or self._last_answer, timed_out=timed_out, now=now)
            return
        if answer is not None:
            self._keep(answer)
        if decision.next is Next.RETRY:
            self._attempt += 1
            self._move(RequestTrigger.RETRY)
            self._timers.arm(_Timer.DELAY, now + decision.delay_seconds)
            self._core.deadlines.touch(self)
        else:
            self._step += 1
            self._attempt = 1
            self._move(RequestTrigger.TRY)
            self._try(now)

    def _keep(self, answer: _ErrorAnswer | None) -> None:
        """Keep an error answer instead of the one before, while there is room for it."""
        if self._last_answer is not None:
            self._universal.hold(-len(self._last_answer.body))
        self._last_answer = None
        if answer is not None and self._universal.has_room(len(answer.body)):
            self._universal.hold(len(answer.body))
            self._last_answer = answer

    def _give_up(self, answer: _ErrorAnswer | None, *, timed_out: bool, now: float) -> None:
        """Answer with the last answer that any provider gave, else with the gateway's own error."""
        if answer is not None:
            self._frames.whole(answer.status, answer.content_type, answer.step, answer.body)
            self._finish(Outcome.DONE, answer.status, None, now)
        elif timed_out:
            self._fail(504, ErrorCode.PROVIDER_FAILED, f"No answer in time: {self._failure}", now)
        else:
            self._fail(502, ErrorCode.PROVIDER_FAILED, f"Failed to get response from provider: {self._failure}", now)

    # ---- the provider's answer -------------------------------------------------------------------------------------

    def upstream_readable(self) -> None:
        """Queue for the session's attention; stop reading a connection whose bytes cannot be passed on yet."""
        if self.queued and self._exchange is not None:
            self._exchange.pause_if_full()
        self._timers.disarm(_Timer.IDLE)
        self._universal.enqueue(self)

    def advance(self, now: float) -> bool:
        """Move at most one event from the provider to the client; return whether more may be ready."""
        exchange = self._exchange
        if exchange is None:
            return False
        pulled = exchange.pull(now)
        if isinstance(pulled, StreamItem):
            self._tally.response_bytes += pulled.size_bytes
            self._frames.item(pulled.payload, pulled.event)
            return True
        if pulled is Pull.MOVED:
            return True
        if pulled is Pull.STARVED:
            self._starved(now)
        elif isinstance(pulled, Headed):
            self._tally.first_byte_at = now
            self._timers.clear()
            self._move(RequestTrigger.HEAD if pulled.accepted else RequestTrigger.REFUSED)
            return True
        elif isinstance(pulled, Begun):
            self._begin(pulled)
            return True
        elif isinstance(pulled, Finished):
            self._complete(pulled.body, now)
        else:
            self._broken(pulled, now)
        return False

    def _starved(self, now: float) -> None:
        if self.state is not RequestState.SENT:
            self._timers.arm(_Timer.IDLE, now + self._core.config.limits.upstream_idle_timeout_seconds)
            self._core.deadlines.touch(self)
        elif self._overdue:
            self._time_out(now)

    def _begin(self, begun: Begun) -> None:
        self._streamed = begun.streamed
        if begun.streamed:
            self._move(RequestTrigger.STREAM)
            self._frames.opened(self._status, self._content_type, self._step, event_key=begun.event_key)
        else:
            self._move(RequestTrigger.WHOLE)

    def _complete(self, body: bytes | None, now: float) -> None:
        """End with what was delivered (no body) or gathered, or let what follows an error status follow."""
        head = self._head
        assert head is not None  # noqa: S101 - it came first
        if body is not None:
            self._tally.response_bytes += len(body)
        if not head.accepted:
            self._failed_try(
                f"it answered {head.status}",
                status=head.status,
                retry_after=head.retry_after,
                answer=_ErrorAnswer(head.status, head.content_type, self._step, body or b""),
                now=now,
            )
            return
        if body is None:
            self._frames.done(head.status, head.content_type, self._step)
        else:
            self._frames.whole(head.status, head.content_type, self._step, body)
        self._finish(Outcome.DONE, head.status, None, now)

    def _broken(self, broken: Broken, now: float) -> None:
        """Act on an exchange that will not be completed."""
        if self.state is RequestState.SENT:
            if broken.stale and not self.fresh:
                # It was kept alive and died before any answer: not a failed try, the next one does not count it.
                self._drop_exchange(now)
                self.fresh = True
                self._tally.attempts -= 1
                self._move(RequestTrigger.TRY)
                self._try(now)
            else:
                self._failed_try(broken.reason, now=now)
        elif self.state is RequestState.STREAMING:
            # What was delivered stands.
            reason = f"{self._provider}: {broken.reason}"
            self._frames.done(self._status, self._content_type, self._step, error=reason)
            self._finish(Outcome.ERROR, self._status, reason, now)
        elif self._head is not None and not self._head.accepted:
            self._failed_try(broken.reason, status=self._head.status, now=now)
        else:
            self._fail(
                502, broken.code, f"Failed to get response from provider: {self._provider}: {broken.reason}", now
            )

    @property
    def _head(self) -> Headed | None:
        return None if self._exchange is None else self._exchange.head

    @property
    def _status(self) -> int:
        return 0 if self._head is None else self._head.status

    @property
    def _content_type(self) -> str:
        return "" if self._head is None else self._head.content_type

    # ---- ends ------------------------------------------------------------------------------------------------------

    def cancel(self, now: float, *, tell: bool) -> None:
        """Give up at the client's wish (`tell`: answer with `universal.done`), or because its socket ended."""
        if self.state is RequestState.ENDED:
            return
        if tell:
            self._frames.done(self._status or None, self._content_type, self._step, cancelled=True)
        outcome = Outcome.CANCELLED if tell else Outcome.DISCONNECTED
        self._finish(outcome, _CLIENT_CLOSED_REQUEST, None, now)

    def shut_down(self, now: float) -> None:
        """Give up because the gateway ends, and say so; what a stream has delivered stands."""
        if self.state is RequestState.STREAMING:
            self._frames.done(self._status, self._content_type, self._step, error=SHUTTING_DOWN)
            self._finish(Outcome.ERROR, self._status, SHUTTING_DOWN, now)
        elif self.state is not RequestState.ENDED:
            self._fail(503, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN, now)

    def _fail(self, status: int, code: ErrorCode, message: str, now: float) -> None:
        """End with an error frame of the gateway's own. Strict frames carry the status that the hosted service used."""
        shown = self._frames.failed(status, code, message, self._step)
        self._finish(Outcome.ERROR, shown, message, now)

    def _finish(self, outcome: Outcome, status: int, error: str | None, now: float) -> None:
        step = self.steps[self._step]
        self.let_go(now)
        self._move(RequestTrigger.END)
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
                streamed=self._streamed,
                frames=self._frames.count,
            )
            self._core.journal(entry)
        self._universal.request_ended(self, now)

    def let_go(self, now: float) -> None:
        """Hold nothing any more: no connection, no place in the pool's queue, no deadline, no bytes."""
        self._drop_exchange(now)
        self._leave_queue(now)
        self._keep(None)
        self.steps = []  # the session's queues may hold an ended request until its client reads on
        self._timers.clear()
        self._core.deadlines.forget(self)

    def _leave_queue(self, now: float) -> None:
        if self.state is RequestState.WAITING and self._origin is not None:
            self._core.pool.withdraw(self._origin, self, now)

    def _drop_exchange(self, now: float) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.drop(now)

    # ---- time ------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        return self._timers.earliest

    def handle_timeout(self, now: float) -> None:
        """Start the retry that is due, or give up what took too long."""
        while (timer := self._timers.expire(now)) is not None:
            if timer is _Timer.DELAY:
                self._move(RequestTrigger.TRY)
                self._try(now)
            elif timer is _Timer.IDLE:
                seconds = self._core.config.limits.upstream_idle_timeout_seconds
                self._broken(Broken(f"silent for {seconds:g} s in the middle of its answer"), now)
            elif self.queued:
                self._overdue = True  # the head may be here: the client keeps it from being pulled
            else:
                self._time_out(now)

    def _time_out(self, now: float) -> None:
        self._leave_queue(now)
        self._failed_try("no answer within the time allowed", timed_out=True, now=now)

    def crash(self, now: float) -> None:
        """End the session: a request has no life of its own."""
        self._universal.crash(now)

    def drop(self, now: float) -> None:
        """Drop the session, for the same reason."""
        self._universal.drop(now)

    def _move(self, trigger: RequestTrigger) -> None:
        self.state = REQUEST_TRANSITIONS[self.state][trigger]
