"""Requests under way on one connection: which frame belongs to which ticket, and what it means there.

A request is known by two names: the ticket towards the API layer and the event id on the wire. It is WAITING until its
first frame and STREAMING after a `universal.created` without a response; every other frame that may come ends it:

    WAITING    created with response -> ended       created without -> STREAMING       done -> ended (broken)
    STREAMING  stream -> STREAMING                  done -> ended

Whatever else a gateway sends for a request under way breaks the order that the protocol promises, and with it the trust
in all other frames: it is a violation and ends the connection.

A cancelled request is remembered by its event id until its last frame, because frames that were on their way still
come; they are dropped and counted. A gateway that does not know `universal.cancel` answers it with an error, often
without an event id; so remembered ids also take part in guessing whose a frame without event id is.
"""

from __future__ import annotations

import enum
import heapq
from typing import TYPE_CHECKING, TypeAlias

from .._errors import LocalProtocolError
from .._kinds import record
from ..envelopes import CreatedFrame, DoneFrame, ServerMessage, StreamFrame
from ._failure import Failure, read_failure, recognise_failure
from ._items import (
    ChunkReceived,
    ReplyReceived,
    RequestFailed,
    RequestItem,
    RequestTimedOut,
    StreamBroken,
    StreamFinished,
    StreamStarted,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    from ._limits import ClientLimits

__all__ = ["Orphan", "RequestTable", "Violation"]

_LEAST_HEAP = 64  # entries of ended requests that are worth no clean-up


@record
class Violation:
    """The gateway broke the order of frames; `reason` says how."""

    reason: str


@record
class Orphan:
    """A frame without event id while several requests could be meant."""

    reason: str


@record
class Expired:
    """A request whose deadline passed: what to deliver, and the event id to cancel."""

    ticket: int
    event_id: str
    item: RequestTimedOut


class _State(enum.Enum):
    WAITING = "no frame yet"
    STREAMING = "created, chunks are coming"


class _Request:
    __slots__ = ("event_id", "state", "ticket", "timeout_seconds")

    def __init__(self, ticket: int, event_id: str, timeout_seconds: float | None) -> None:
        self.ticket = ticket
        self.event_id = event_id
        self.timeout_seconds = timeout_seconds
        self.state = _State.WAITING


_Result: TypeAlias = "tuple[int, RequestItem] | Violation | Orphan | None"


class RequestTable:
    """Tickets, event ids and deadlines of the requests under way, and of those just cancelled."""

    __slots__ = (
        "_by_event_id",
        "_by_ticket",
        "_cancelled",
        "_deadlines",
        "_id_count",
        "_id_prefix",
        "_limits",
        "_newest_ticket",
        "dropped_frames",
    )

    def __init__(self, limits: ClientLimits, id_prefix: str) -> None:
        """Create an empty table; event ids that it makes begin with `id_prefix`."""
        self._id_prefix = id_prefix
        self._id_count = 0
        self._limits = limits
        self._by_ticket: dict[int, _Request] = {}
        self._by_event_id: dict[str, _Request] = {}
        self._cancelled: dict[str, None] = {}  # in order of cancelling
        self._deadlines: list[tuple[float, int]] = []  # a heap; entries of ended requests are skipped
        self._newest_ticket = 0
        self.dropped_frames = 0
        """Frames that came for cancelled or unknown requests."""

    def __len__(self) -> int:
        return len(self._by_ticket)

    def __contains__(self, event_id: str) -> bool:
        return event_id in self._by_event_id or event_id in self._cancelled

    def fresh_id(self) -> str:
        """Make an event id: the prefix tells connections apart in logs, the count makes it unique on this one."""
        while True:
            self._id_count += 1
            event_id = f"{self._id_prefix}-{self._id_count}"
            if event_id not in self:
                return event_id

    def claim(self, ticket: int) -> None:
        """Note that a ticket is used. Raises LocalProtocolError when it is not above all before it."""
        if ticket <= self._newest_ticket:
            raise LocalProtocolError(f"ticket {ticket} is not above {self._newest_ticket}, the newest one used")
        self._newest_ticket = ticket

    def add(self, ticket: int, event_id: str, now: float, timeout_seconds: float | None) -> str | None:
        """Start a request; the answer is None, or why it cannot be sent."""
        if event_id in self:
            return f"event id {event_id!r} is under way already"
        if not self._is_usable(event_id):
            return f"event id: expected text of at most {self._limits.max_event_id_bytes} bytes in UTF-8"
        if len(self._by_ticket) >= self._limits.max_in_flight:
            return f"{self._limits.max_in_flight} requests are under way already"
        request = _Request(ticket, event_id, timeout_seconds)
        self._by_ticket[ticket] = self._by_event_id[event_id] = request
        if timeout_seconds is not None:
            heapq.heappush(self._deadlines, (now + timeout_seconds, ticket))
        return None

    def _is_usable(self, event_id: str) -> bool:
        try:
            return len(event_id.encode()) <= self._limits.max_event_id_bytes
        except UnicodeEncodeError:
            return False

    def cancel(self, ticket: int) -> str | None:
        """Release a ticket; return the event id to cancel, or None when the request is not under way."""
        request = self._by_ticket.get(ticket)
        if request is None:
            return None
        self._end(request)
        self._remember(request.event_id)
        return request.event_id

    def clear(self) -> list[int]:
        """Release all tickets and forget everything; return the tickets."""
        tickets = list(self._by_ticket)
        self._by_ticket.clear()
        self._by_event_id.clear()
        self._cancelled.clear()
        self._deadlines.clear()
        return tickets

    @property
    def tickets(self) -> Collection[int]:
        """The requests under way, oldest first."""
        return self._by_ticket.keys()

    def next_deadline(self) -> float | None:
        """Return the earliest deadline of a request under way."""
        deadlines = self._deadlines
        while deadlines and deadlines[0][1] not in self._by_ticket:
            heapq.heappop(deadlines)
        return deadlines[0][0] if deadlines else None

    def expire(self, now: float) -> Expired | None:
        """Cancel and return one request whose deadline is at or before `now`; call until it returns None."""
        deadline = self.next_deadline()
        if deadline is None or deadline > now:
            return None
        request = self._by_ticket[heapq.heappop(self._deadlines)[1]]
        self._end(request)
        self._remember(request.event_id)
        return Expired(request.ticket, request.event_id, RequestTimedOut(request.timeout_seconds or 0.0))

    def receive(self, frame: ServerMessage) -> _Result:
        """Find the request of a frame and say what to deliver for it; None when the frame is dropped."""
        event_id = frame.event_id if isinstance(frame, StreamFrame) else frame.metadata.event_id
        if event_id is None:
            found = self._guess()
            if isinstance(found, Orphan):
                return found
        else:
            found = self._by_event_id.get(event_id)
        if found is None:
            self._drop(event_id, frame)
            return None
        match frame:
            case CreatedFrame():
                return self._created(found, frame)
            case StreamFrame():
                return self._chunk(found, frame)
            case DoneFrame():
                return self._done(found, frame)

    def _guess(self) -> _Request | Orphan | None:
        """Whose is a frame without event id? Certain only when there is one candidate."""
        if not self._by_ticket:
            return None
        if len(self._by_ticket) + len(self._cancelled) > 1:
            return Orphan(f"a frame without event id while {len(self)} requests are under way")
        return next(iter(self._by_ticket.values()))

    def _drop(self, event_id: str | None, frame: ServerMessage) -> None:
        self.dropped_frames += 1
        if isinstance(frame, DoneFrame) or (isinstance(frame, CreatedFrame) and frame.response is not None):
            if event_id is not None:
                self._cancelled.pop(event_id, None)
            elif len(self._cancelled) == 1:
                self._cancelled.clear()  # it was the only candidate

    def _created(self, request: _Request, frame: CreatedFrame) -> _Result:
        metadata, response = frame.metadata, frame.response
        if request.state is not _State.WAITING:
            return Violation(f"a second universal.created for event id {request.event_id!r}")
        failure: Failure | None = None
        if metadata.status is not None and metadata.status >= 400:
            failure = read_failure(metadata.status, response or b"")
        elif metadata.status is None and response is not None:
            failure = recognise_failure(response)
        if failure is not None:
            self._end(request)
            if response is None:
                self._remember(request.event_id)  # an error body that streams: what follows is dropped
            return request.ticket, RequestFailed(
                failure.status, failure.code, failure.message, failure.by_gateway, metadata, response or b"null"
            )
        if response is None:
            request.state = _State.STREAMING
            return request.ticket, StreamStarted(metadata)
        self._end(request)
        return request.ticket, ReplyReceived(metadata, response)

    def _chunk(self, request: _Request, frame: StreamFrame) -> _Result:
        if request.state is not _State.STREAMING:
            return Violation(f"universal.stream before universal.created for event id {request.event_id!r}")
        return request.ticket, ChunkReceived(b"null" if frame.response is None else frame.response, frame.event)

    def _done(self, request: _Request, frame: DoneFrame) -> _Result:
        self._end(request)
        metadata = frame.metadata
        if metadata.error is not None:
            return request.ticket, StreamBroken(metadata, metadata.error)
        if metadata.cancelled:
            return request.ticket, StreamBroken(metadata, "cancelled by the gateway")
        if request.state is _State.WAITING:
            return request.ticket, StreamBroken(metadata, "ended before it began")
        return request.ticket, StreamFinished(metadata)

    def _end(self, request: _Request) -> None:
        del self._by_ticket[request.ticket], self._by_event_id[request.event_id]
        if len(self._deadlines) > 2 * len(self._by_ticket) + _LEAST_HEAP:
            # Most entries belong to ended requests: without this, short calls with long deadlines pile up.
            self._deadlines = [entry for entry in self._deadlines if entry[1] in self._by_ticket]
            heapq.heapify(self._deadlines)

    def _remember(self, event_id: str) -> None:
        self._cancelled[event_id] = None
        if len(self._cancelled) > self._limits.max_remembered_cancels:
            del self._cancelled[next(iter(self._cancelled))]
