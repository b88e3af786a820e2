"""The requests of one socket: admission, their turns, cancellation.

Requests are independent. Each that has something to pull stands in one queue and moves one frame when its turn comes,
so a stream of any size delays another by one frame at a time, and a stalled one not at all.

Answers that have to be gathered whole share a budget. When it is spent, one of them goes on and the others wait
unread until it is through or others made room; so all of them get there, whatever their number, and memory stays
bounded.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from ..envelopes import EnvelopeFault, ErrorCode, UniversalCreate, parse_client_message
from ._admission import prepare
from ._config import secrets_of
from ._frames import SHUTTING_DOWN, refusal
from ._record import Outcome, Tally
from ._request import UniversalRequest
from ._state import RequestState

if TYPE_CHECKING:
    from ._core import Core
    from ._session import Session
    from ._upgrade import Upgrade

__all__ = ["Universal"]

_ADVANCES_PER_QUANTUM = 128


class Universal:
    """The universal API on one session."""

    __slots__ = (
        "_account",
        "_by_event_id",
        "_collector",
        "_defaults",
        "_gathered_bytes",
        "_held_bytes",
        "_in_flight",
        "_parked",
        "_ready",
        "_secrets",
        "_session",
        "core",
        "gateway",
    )

    def __init__(self, session: Session, upgrade: Upgrade) -> None:
        """Start with no requests."""
        self.core: Core = session.core
        self.gateway = upgrade.gateway
        self._account = upgrade.account
        self._secrets = secrets_of(upgrade.gateway)
        self._defaults = upgrade.defaults
        self._session = session
        self._in_flight: dict[UniversalRequest, None] = {}  # no set: they end in the order in which they came
        self._by_event_id: dict[str, list[UniversalRequest]] = {}
        self._held_bytes = 0
        self._gathered_bytes = 0
        self._ready: deque[UniversalRequest] = deque()
        self._parked: deque[UniversalRequest] = deque()
        self._collector: UniversalRequest | None = None

    @property
    def busy(self) -> bool:
        """Requests are under way."""
        return bool(self._in_flight)

    @property
    def ready(self) -> bool:
        """Requests have something to pull."""
        return bool(self._ready)

    # ---- what the client says --------------------------------------------------------------------------------------

    def on_message(self, text: str, now: float) -> None:
        """Act on one message; a bad one is answered with an error frame, and the socket stays open."""
        limits = self.core.config.limits
        message = parse_client_message(text, max_steps=limits.max_steps, max_event_id_bytes=limits.max_event_id_bytes)
        if isinstance(message, EnvelopeFault):
            self._refuse(message, None, now)
        elif isinstance(message, UniversalCreate):
            self._create(message, now)
        elif (requests := self._by_event_id.get(message.event_id)) is not None:
            for request in list(requests):
                request.cancel(now, tell=True)
        else:
            reason = f"no request with eventId {message.event_id!r} is under way"
            self._refuse(EnvelopeFault(404, ErrorCode.UNKNOWN_EVENT, reason, message.event_id), None, now)

    def _create(self, create: UniversalCreate, now: float) -> None:
        fault = self._no_room(create)
        if fault is None:
            prepared = prepare(self.core.config, self.gateway, self._account, self._defaults, create)
            if not isinstance(prepared, EnvelopeFault):
                request = UniversalRequest(self, create.event_id or self.core.new_id(now), prepared, now)
                self._in_flight[request] = None
                self._by_event_id.setdefault(request.event_id, []).append(request)
                self._held_bytes += request.held_bytes
                request.start(now)
                return
            fault = prepared
        self._refuse(fault, create, now)

    def _no_room(self, create: UniversalCreate) -> EnvelopeFault | None:
        limits = self.core.config.limits
        held = sum(len(step.query) for step in create.steps)
        if self.core.draining:
            status, code, reason = 503, ErrorCode.SHUTTING_DOWN, SHUTTING_DOWN
        elif len(self._in_flight) >= limits.max_in_flight:
            status, code = 429, ErrorCode.RATE_LIMITED
            reason = f"Too many requests in flight on this socket: at most {limits.max_in_flight}"
        elif self._in_flight and self._held_bytes + held > limits.max_held_request_bytes:
            status, code = 429, ErrorCode.RATE_LIMITED
            reason = f"Requests in flight on this socket hold more than {limits.max_held_request_bytes} bytes"
        else:
            return None
        return EnvelopeFault(status, code, reason, create.event_id)

    def _refuse(self, fault: EnvelopeFault, create: UniversalCreate | None, now: float) -> None:
        """Answer a message that does not become a request."""
        log_id = self.core.new_id(now)
        event_id = fault.event_id or self.core.new_id(now)
        self.send_frame(refusal(event_id, log_id, fault, self.gateway))
        tally = self.tally(event_id, log_id, now)
        if create is None:
            record = tally.record(Outcome.REFUSED, fault.status, fault.message, now=now)
        else:
            step = create.steps[0]
            record = tally.record(
                Outcome.REFUSED,
                fault.status,
                fault.message,
                now=now,
                provider=step.provider,
                endpoint=step.endpoint,
                request_bytes=len(step.query),
            )
        self.core.journal(record)

    # ---- turns -----------------------------------------------------------------------------------------------------

    def enqueue(self, request: UniversalRequest) -> None:
        """Let a request advance when its turn comes."""
        if not request.queued:
            request.queued = True
            self._ready.append(request)
        if not self._session.shut:
            self.core.schedule(self._session)

    def advance(self, now: float) -> None:
        """Let requests move a frame each, round robin, within one quantum and while the client can take it."""
        for _ in range(_ADVANCES_PER_QUANTUM):
            if not self._ready or self._session.shut:
                return
            request = self._ready.popleft()
            if self._must_wait(request):
                self._parked.append(request)
            elif request.state is not RequestState.ENDED and request.advance(now):
                self._ready.append(request)
            else:
                request.queued = False

    def _must_wait(self, request: UniversalRequest) -> bool:
        if request.state is not RequestState.COLLECTING or self.has_room(1):
            return False
        if self._collector is None:
            self._collector = request
        return self._collector is not request

    def _unpark(self) -> None:
        """Let those that wait look again whether they still have to."""
        if self._parked and (self._collector is None or self.has_room(1)):
            self._ready.extend(self._parked)
            self._parked.clear()
            self.core.schedule(self._session)

    # ---- what requests need ----------------------------------------------------------------------------------------

    def send_frame(self, chunks: list[bytes]) -> None:
        """Send one message to the client."""
        self._session.send_text(chunks)

    def has_room(self, count: int) -> bool:
        """Whether that many more bytes of gathered answers fit."""
        return self._gathered_bytes + count <= self.core.config.limits.max_buffered_response_bytes

    def hold(self, count: int) -> None:
        """Count bytes of gathered answers; a negative count gives them back."""
        self._gathered_bytes += count

    def stop_collecting(self, request: UniversalRequest) -> None:
        """Note that a request gathers nothing any more: those that wait for it may go on."""
        if self._collector is request:
            self._collector = None
        self._unpark()

    def tally(self, event_id: str, log_id: str, now: float) -> Tally:
        """Return a fresh tally for one request of this socket."""
        return Tally(
            event_id=event_id,
            log_id=log_id,
            account=self._account,
            gateway=self.gateway.gateway_id,
            peer=self._session.peer,
            now=now,
            secrets=self._secrets,
        )

    def request_ended(self, request: UniversalRequest, now: float) -> None:
        """Forget a request; the last one of a draining gateway closes the socket."""
        self._in_flight.pop(request, None)
        self._held_bytes -= request.held_bytes
        same_id = self._by_event_id[request.event_id]
        same_id.remove(request)
        if not same_id:
            del self._by_event_id[request.event_id]
        self.stop_collecting(request)
        if self.core.draining and not self._in_flight:
            self._session.close(now)

    def cancel_all(self, now: float) -> None:
        """Give up every request: the socket has ended."""
        for request in list(self._in_flight):
            request.cancel(now, tell=False)
        self._ready.clear()
        self._parked.clear()

    def shut_down(self, now: float) -> None:
        """End every request with a frame that says why."""
        for request in list(self._in_flight):
            request.shut_down(now)

    def crash(self, now: float) -> None:
        """End the session: a bug in one request leaves the state of its socket unknown."""
        self._session.crash(now)

    def drop(self, now: float) -> None:
        """Drop the session."""
        self._session.drop(now)

    def let_go(self, now: float) -> None:
        """Hold nothing any more, whatever state the requests are in."""
        for request in self._in_flight:
            request.let_go(now)
        self._in_flight.clear()
        self._ready.clear()
        self._parked.clear()
