"""What the gateway's log says of a session, held against what its two ends know; and what a refused client was told."""

from __future__ import annotations

from aigw_proto.gateway._realtime_record import ClosedBy, SessionRecord
from support.realtime_judge import Facts, Judge, Session
from support.realtime_manner import Close, Upstream
from support.realtime_world import End, Provider

__all__ = ["judge_record", "judge_refusal"]

_NO_STATUS, _LOST = 1005, 1006
_OF_THE_GATEWAY = 502
_STATUS = {Upstream.REFUSES: Provider.STATUS, Upstream.MUTE: 504, Upstream.SILENT: 504}


def judge_record(judge: Judge, records: list[SessionRecord]) -> None:
    """Judge the record of a session that was open; `judge` has judged the session."""
    assert len(records) == 1, f"{len(records)} records"
    record, session = records[0], judge.session
    client, provider = session.client, session.provider
    assert record.status == 101
    _judge_counts(client, provider, record.client_messages, record.client_bytes)
    _judge_counts(provider, client, record.provider_messages, record.provider_bytes)
    _judge_codes(judge, client, provider, record.client_close, record.sent_to_client)
    _judge_codes(judge, provider, client, record.provider_close, record.sent_to_provider)
    _judge_cause(judge, record)
    assert 0.0 <= record.opening_seconds <= record.duration_seconds


def _judge_counts(source: End, sink: End, messages: int, count: int) -> None:
    """The gateway has seen what came through, and no more than what was sent."""
    begun = [*source.said] if source.saying is None else [*source.said, source.saying]
    came = [*sink.got] if sink.getting is None else [*sink.got, sink.getting]
    least, most = (
        sum(len(each.payload) for each in came),
        sum(len(each.message.payload) for each in begun),
    )
    assert len(sink.got) <= messages <= len(source.said), f"{messages} messages of {source.name} in the record"
    assert least <= count <= most, f"{count} bytes of {source.name} in the record"


def _judge_codes(judge: Judge, end: End, other: End, came: int | None, sent: int | None) -> None:
    got = _code(end.got_close)
    assert got in (None, sent), f"the record says that {end.name} was sent {sent}, not {got}"
    code = _code(end.said_close)
    assert came in (code, _LOST), f"the record says that {end.name} sent {came}, not {code}"
    good = judge.session.is_good(end) and judge.session.is_good(other)
    if good or judge.whose[other] == "relayed":
        assert came == code, f"the record says that {end.name} sent {came}, not {code}"


def _code(close: Close | None) -> int | None:
    return None if close is None else _NO_STATUS if close[0] is None else close[0]


def _judge_cause(judge: Judge, record: SessionRecord) -> None:
    """Who ended the session, where that can be told from outside."""
    session = judge.session
    if "gateway" in judge.whose.values():
        assert record.closed_by is ClosedBy.GATEWAY, record.closed_by
        assert record.error, "no error"
        return
    if not all(session.is_good(end) for end, _ in session.pairs):
        return
    first, second = sorted((end.over_at or 0.0, end.is_client) for end, _ in session.pairs)
    if first[0] + judge.slack < second[0]:
        assert record.closed_by is (ClosedBy.CLIENT if first[1] else ClosedBy.PROVIDER), record.closed_by
    assert record.error is None, record.error


def judge_refusal(session: Session, facts: Facts, records: list[SessionRecord]) -> str:
    """Judge a session whose client was not let in: it learns why, in time, and one line says so."""
    client, provider = session.client, session.provider
    assert client.peer is not None
    assert not client.got
    assert len(records) <= 1
    status = None if client.head is None else client.head.status
    for record in records:
        assert status in (None, record.status), f"the client saw {status}, the record says {record.status}"
        if record.status == 101:
            assert not session.is_smooth() or client.left is not None, "the 101 was lost"
        else:
            assert (record.client_close, record.provider_close) == (None, None)
    if not any(record.status == 101 for record in records):
        assert not provider.got, "the provider was told something by a client that was not let in"
    if status is None:
        gone = client.left is not None or client.peer.failure is not None or not session.is_smooth()
        assert gone or (facts.drain_at is not None and client.ended_at is not None), "the client was never answered"
        return "no answer"
    if status == 503:
        assert facts.drain_at is not None, "refused by a gateway that does not drain"
        return "503"
    assert records, "a session without a record"
    if session.is_smooth():
        expected = _STATUS.get(provider.upstream, _OF_THE_GATEWAY)
        assert status == expected, f"{status} for a provider that answers with {provider.upstream.value}"
        assert client.ended_at is not None
        waited = client.ended_at - session.asked_at
        assert waited <= facts.limits.realtime_open_timeout_seconds + session.slack_seconds, f"{waited:.3f} s"
    if status == Provider.STATUS:
        assert bytes(client.body) == Provider.BODY
    return str(status)
