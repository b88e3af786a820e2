"""What the log says of requests and sessions, held against what their ends have seen."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aigw_proto.gateway import ClosedBy, RequestRecord, SessionRecord

from ._plan import is_smooth

if TYPE_CHECKING:
    from ._realtime import Close, End, RealtimeSession
    from ._traffic import Traffic
    from ._universal import Request

__all__ = ["judge_records"]

_NO_STATUS = 1005
_PROMPT_SECONDS = 30.0  # less than any timeout of a request that has none of its own
_UNKNOWN_EVENT = 404  # the answer to taking back what has ended, which has a line of its own


def judge_records(traffic: Traffic) -> None:
    """Find one line for each request that reached a provider and for each session that was let in, and read it."""
    journaled = traffic.gateway.journaled
    requests = [each for each in journaled if isinstance(each, RequestRecord) and each.step is not None]
    records = {each.event_id: each for each in requests}
    assert len(records) == len(requests), "two records of one request"
    missing = traffic.provider.bodies.keys() - records.keys()
    assert not missing, f"no record of {sorted(missing)}"
    disturbed = bool(traffic.jumped_seconds) or traffic.was_cut
    smooth = is_smooth(traffic.provider.listener.faults) and not disturbed
    for client in traffic.clients:
        for tag, request in client.requests.items():
            record = records.get(tag)
            if record is not None and client.is_counting and request.ended_at is not None:
                _judge_request(request, record, tries=len(traffic.provider.bodies.get(tag, ())), smooth=smooth)
    _judge_refusals(traffic)
    opened = [each for each in journaled if isinstance(each, SessionRecord) and each.status == 101]
    paths = {each.path: each for each in opened}
    assert len(paths) == len(opened), "two records of one session"
    for session in traffic.sessions:
        if session.status == 101:
            assert f"/{session.tag}" in paths, f"no record of session {session.tag}"
            _judge_session(session, paths[f"/{session.tag}"])


def _judge_request(request: Request, record: RequestRecord, *, tries: int, smooth: bool) -> None:
    """Compare the line of a request with the frames that its client got."""
    order = request.order
    request.demand(record.frames == request.frames, f"the record has {record.frames} frames, not {request.frames}")
    request.demand((record.error is None) is (request.error is None), f"the record has the error {record.error!r}")
    if record.streamed:
        count = sum(len(order.item(number)) for number in range(request.next_item))
        request.demand(record.response_bytes == count, f"the record has {record.response_bytes} bytes, not {count}")
    if smooth:
        most = request.most_tries
        if order.fault == "status":
            request.demand(tries <= most, f"was tried {tries} times, where {most} are allowed")
            # Its own timeout, or a long wait for a connection, may take tries before they reach the provider.
            if request.is_refused and not request.timeout and _took(request) < _PROMPT_SECONDS:
                request.demand(tries == most, f"was tried {tries} times, where {most} are asked for")
        # One that waits long enough for a connection has a try that never reaches the provider.
        if request.is_direct and _took(request) < _PROMPT_SECONDS and not request.may_fail:
            request.demand(record.attempts == 1, f"the record has {record.attempts} tries")


def _took(request: Request) -> float:
    return math.inf if request.ended_at is None else request.ended_at - request.asked_at


def _judge_refusals(traffic: Traffic) -> None:
    """Find a line for each request that was taken back too late."""
    lines = sum(isinstance(each, RequestRecord) and each.status == _UNKNOWN_EVENT for each in traffic.gateway.journaled)
    told = sum(client.late_cancels for client in traffic.clients)
    assert told <= lines, f"{told} requests were taken back too late, {lines} are in the log"


def _judge_session(session: RealtimeSession, record: SessionRecord) -> None:
    """Compare the line of a session with what its ends have said and heard."""
    client, far = session.client, session.far
    _judge_counts(client, record.client_messages, record.client_bytes)
    _judge_counts(far, record.provider_messages, record.provider_bytes)
    for end, sent, came in (
        (client, record.sent_to_client, record.client_close),
        (far, record.sent_to_provider, record.provider_close),
    ):
        if end.got_close is not None:
            assert sent == _code(end.got_close), f"{end.name}: the record says that it was sent {sent}"
        if end.is_good and end.other.is_good and end.said_close is not None:
            assert came == _code(end.said_close), f"{end.name}: the record says that it sent {came}"
        _judge_cause(end, record, came)


def _judge_cause(end: End, record: SessionRecord, came: int | None) -> None:
    """Demand that the line names the first cause of the end, and what that end has closed with."""
    side = ClosedBy.CLIENT if end.is_client else ClosedBy.PROVIDER
    closes_first = end.said_close is not None and not end.has_answered
    if closes_first and end.other.has_answered and end.other.got_close == end.said_close:
        assert record.closed_by is side, f"{end.name}: has closed first, the record says {record.closed_by.value}"
    if record.closed_by is side and record.error is None:
        assert end.said_close is not None, f"{end.name}: closed nothing, although the record says so"
        assert came == _code(end.said_close), f"{end.name}: the record says that it closed with {came}"


def _judge_counts(end: End, messages: int, count: int) -> None:
    """All that came through was counted, and no more than was said."""
    sizes = [len(each.payload) for each in end.said]
    got = end.other.got
    assert got <= messages <= len(sizes), f"{end.name}: {messages} messages in the record, {got} came"
    assert sum(sizes[:got]) <= count <= sum(sizes), f"{end.name}: {count} bytes in the record"


def _code(close: Close) -> int:
    return _NO_STATUS if close[0] is None else close[0]
