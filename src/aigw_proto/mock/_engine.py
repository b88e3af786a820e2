"""The mock engine: a fake AI provider on every accepted link.

It serves HTTP/1.1 and answers in the dialect that the path means (`_dialects.py`), with the fault that the request or
the operator asks for (`_faults.py`); how an answer runs is a script (`_script.py`), and a link plays it (`_link.py`).
An upgrade becomes a WebSocket session (`_realtime.py`). What is left here is what links share: whose turn it is, whose
deadline comes first, how often a fault was played, and the end.

A turn makes at most `turn_bytes` of output, shared by the links that can go on; those that could make more wait in a
queue, and `next_timeout()` is then now. Deadlines are in a heap with at most one living entry for each link: an entry
is checked against its link when it comes up, so nothing has to be taken out of the middle.
"""

from __future__ import annotations

import heapq
from collections import deque

from .._effects import CloseHow, CloseLink, Drained, Effect, Log, LogLevel
from .._inputs import (
    BytesReceived,
    BytesSent,
    Input,
    LinkAccepted,
    PeerClosed,
    ShutdownRequested,
)
from .._kinds import LinkId
from .._limits import HttpLimits
from ..http import Request
from ..ws import wants_upgrade
from ._answering import Course
from ._dialects import refuse, reply_to
from ._faults import MockFault, find_conflict, parse_fault
from ._limits import MockLimits
from ._link import MockLink
from ._realtime import open_session
from ._replies import Reply
from ._request import MockRequest, split_target
from ._script import Switch, script

__all__ = ["MockEngine"]

_NO_FAULT = MockFault()
_LEAST_SHARE_BYTES = 4096  # of a turn: less would be eaten up by the cost of the turn


class MockEngine:
    """A fake provider; an `Engine[Input]`. It opens no links of its own: connect inputs are ignored."""

    def __init__(
        self,
        *,
        fault: MockFault | None = None,
        epoch_unix_seconds: float = 0.0,
        limits: MockLimits = MockLimits(),  # noqa: B008 - immutable
    ) -> None:
        """Answer every request with `fault`, unless its header `x-aigw-mock` names another.

        `epoch_unix_seconds` is the Unix time at monotonic zero, for the times that answers carry. Raises ValueError
        for a fault whose parts exclude each other.
        """
        if fault is not None and (conflict := find_conflict(fault)) is not None:
            raise ValueError(conflict)
        self._fault = fault if fault is not None else _NO_FAULT
        self._epoch_unix_seconds = epoch_unix_seconds
        self._limits = limits
        self._http = HttpLimits(max_request_body_bytes=limits.max_request_body_bytes)
        self._now = 0.0
        self._links: dict[LinkId, MockLink] = {}
        self._queue: deque[MockLink] = deque()
        self._heap: list[tuple[float, LinkId]] = []
        self._effects: deque[Effect] = deque()
        self._requests = 0
        self._played: dict[bytes, int] = {}
        self._shutdown_at: float | None = None
        self._ended = False

    # --- the engine's interface --------------------------------------------------------------------------------------

    def handle(self, event: Input, now: float) -> None:
        """Take one input. Raises RuntimeError when effects of the turn before were not all polled."""
        self._start_turn(now)
        if isinstance(event, LinkAccepted):
            self._accept(event, now)
        elif isinstance(event, ShutdownRequested):
            self._shut_down(event, now)
        elif (link := self._links.get(event.link)) is not None:
            if isinstance(event, BytesReceived):
                link.receive(event.data)
            elif isinstance(event, BytesSent):
                link.sent(event.unsent, now)
            elif isinstance(event, PeerClosed):
                link.peer_closed(now, clean=event.clean)
            self._enqueue(link)
        self._turn(now)

    def handle_timeout(self, now: float) -> None:
        """Let time pass; early and late calls are harmless. Raises RuntimeError like `handle`."""
        self._start_turn(now)
        heap = self._heap
        while heap and heap[0][0] <= now:
            deadline, link_id = heapq.heappop(heap)
            link = self._links.get(link_id)
            if link is not None and link.scheduled == deadline:
                link.scheduled = None
                link.handle_timeout(now)
                self._enqueue(link)
        if self._shutdown_at is not None and self._shutdown_at <= now:
            for link in self._links.values():
                link.shut_down(now)
                self._enqueue(link)
        self._turn(now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, the time of this turn when work remains, or None."""
        if self._queue:
            return self._now
        deadline = self._earliest_of_links()
        if self._shutdown_at is None or self._ended:
            return deadline
        return self._shutdown_at if deadline is None else min(deadline, self._shutdown_at)

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn; None when the turn is drained."""
        return self._effects.popleft() if self._effects else None

    # --- turns -------------------------------------------------------------------------------------------------------

    def _start_turn(self, now: float) -> None:
        if self._effects:
            raise RuntimeError("effects of the turn before are waiting: poll() until it returns None")
        self._now = now

    def _turn(self, now: float) -> None:
        """Let the links that can go on do so, each with its share of the turn; those that have more wait."""
        queue = self._queue
        left = self._limits.turn_bytes
        share = max(_LEAST_SHARE_BYTES, left // max(1, len(queue)))
        for _ in range(len(queue)):
            if left <= 0:
                break
            link = queue.popleft()
            link.queued = False
            left -= self._advance(link, min(share, left), now)
        if self._shutdown_at is not None and not self._links and not self._ended:
            self._ended = True
            self._effects.append(Drained())

    def _advance(self, link: MockLink, budget: int, now: float) -> int:
        cost = 0
        try:
            cost = link.advance(now, budget)
        except Exception as error:  # noqa: BLE001 - a bug on one link must not take the others down
            self._effects.append(Log(LogLevel.ERROR, "a link of the mock failed", {"peer": link.peer}, error))
            link.fail(now)
        self._effects.extend(link.take_effects())
        if link.closed:
            del self._links[link.link]
        elif link.ready:
            self._enqueue(link)
        self._schedule(link)
        return cost

    def _enqueue(self, link: MockLink) -> None:
        if not link.queued:
            link.queued = True
            self._queue.append(link)

    # --- deadlines ---------------------------------------------------------------------------------------------------

    def _schedule(self, link: MockLink) -> None:
        """Make sure that the heap has the link at or before its deadline."""
        deadline = None if link.closed else link.next_timeout()
        if deadline is None or (link.scheduled is not None and link.scheduled <= deadline):
            return
        link.scheduled = deadline
        heapq.heappush(self._heap, (deadline, link.link))
        if len(self._heap) > 2 * len(self._links) + 64:
            living = ((each.scheduled, each.link) for each in self._links.values())
            self._heap = [(at, link_id) for at, link_id in living if at is not None]
            heapq.heapify(self._heap)

    def _earliest_of_links(self) -> float | None:
        """Return the earliest deadline of all links; drops entries that are no longer true."""
        heap = self._heap
        while heap:
            deadline, link_id = heap[0]
            link = self._links.get(link_id)
            if link is not None and link.scheduled == deadline:
                if link.next_timeout() == deadline:
                    return deadline
                link.scheduled = None
            heapq.heappop(heap)
            if link is not None:
                self._schedule(link)
                heap = self._heap
        return None

    # --- links -------------------------------------------------------------------------------------------------------

    def _accept(self, event: LinkAccepted, now: float) -> None:
        if self._shutdown_at is not None or len(self._links) >= self._limits.max_links:
            self._effects.append(CloseLink(event.link, CloseHow.FLUSH))
            return
        link = MockLink(event.link, event.peer, now=now, http=self._http, limits=self._limits, begin=self._begin)
        self._links[event.link] = link
        self._schedule(link)

    def _shut_down(self, event: ShutdownRequested, now: float) -> None:
        """Let answers under way end; a second request can only bring the end nearer."""
        end = now + max(0.0, event.grace_seconds)
        self._shutdown_at = end if self._shutdown_at is None else min(end, self._shutdown_at)
        for link in self._links.values():
            if self._shutdown_at <= now:
                link.shut_down(now)
            else:
                link.drain(now)
            self._enqueue(link)

    # --- answers -----------------------------------------------------------------------------------------------------

    def _begin(self, head: Request, body: bytes, now: float) -> Course:
        """Decide how a request is answered."""
        self._requests += 1
        path, query = split_target(head.target)
        request = MockRequest(
            method=head.method,
            target=head.target,
            path=path,
            query=query,
            headers=head.headers,
            body=body,
            fields={},
            number=self._requests,
            created=int(self._epoch_unix_seconds + now),
        )
        fault = self._choose_fault(request)
        reply: Reply | Switch
        if isinstance(fault, str):
            reply, fault = refuse(400, f"x-aigw-mock: {fault}", request), _NO_FAULT
        elif head.method == b"GET" and wants_upgrade(head):
            reply = open_session(request, head, fault)
        else:
            reply = reply_to(request, fault)
        return Course(
            number=request.number,
            steps=script(reply, fault, method=head.method),
            torn=fault.torn,
            early_close_idle_seconds=fault.early_close_idle_seconds,
            fault=fault.spec,
        )

    def _choose_fault(self, request: MockRequest) -> MockFault | str:
        """Return the fault for a request: that of its header or else the engine's, as often as it says."""
        fault = self._fault
        spec = request.header(b"x-aigw-mock")
        if spec is not None:
            parsed = parse_fault(spec.decode(errors="replace")) if spec else _NO_FAULT
            if isinstance(parsed, str):
                return parsed
            fault = parsed
        if fault.times is None:
            return fault
        key = request.header(b"x-aigw-mock-key") or b"," + fault.spec.encode()  # no key of a header starts so
        count = self._played.pop(key, 0) + 1
        self._played[key] = count
        if len(self._played) > self._limits.max_fault_keys:
            del self._played[next(iter(self._played))]
        return fault if count <= fault.times else _NO_FAULT
