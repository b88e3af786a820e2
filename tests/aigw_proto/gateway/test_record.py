from __future__ import annotations

import dataclasses

from aigw_proto.gateway._record import Outcome, RequestRecord, Tally


def tally() -> Tally:
    return Tally(event_id="e", log_id="l", account="a", gateway="g", peer="p", now=10.0)


def test_a_refusal_has_little_to_say() -> None:
    assert tally().record(Outcome.REFUSED, 400, "why", now=10.0) == RequestRecord(
        event_id="e",
        log_id="l",
        account="a",
        gateway="g",
        peer="p",
        provider="",
        endpoint="",
        outcome=Outcome.REFUSED,
        status=400,
        step=None,
        attempts=0,
        streamed=False,
        frames=1,
        request_bytes=0,
        response_bytes=0,
        duration_seconds=0.0,
        first_byte_seconds=None,
        error="why",
    )


def test_what_was_counted() -> None:
    each = tally()
    each.attempts = 2
    each.first_byte_at = 11.0
    each.response_bytes = 7
    record = each.record(
        Outcome.DONE,
        200,
        None,
        now=12.5,
        provider="openai",
        endpoint="x",
        step=1,
        request_bytes=3,
        streamed=True,
        frames=4,
    )
    assert (record.duration_seconds, record.first_byte_seconds) == (2.5, 1.0)
    assert (record.attempts, record.response_bytes, record.request_bytes) == (2, 7, 3)
    assert (record.provider, record.endpoint, record.step, record.streamed, record.frames) == (
        "openai",
        "x",
        1,
        True,
        4,
    )


def test_a_record_is_flat() -> None:
    record = tally().record(Outcome.DONE, 200, None, now=10.0)
    for value in dataclasses.asdict(record).values():
        assert value is None or isinstance(value, str | int | float | bool | Outcome)


def test_secrets_are_not_recorded_wherever_they_were_put() -> None:
    tally = Tally(
        event_id="my secret-token",
        log_id="l",
        account="a",
        gateway="g",
        peer="p",
        now=0.0,
        secrets=("secret-token", "x"),
    )
    record = tally.record(
        Outcome.REFUSED, 400, "no secret-token here", now=0.0, provider="secret-token", endpoint="v1/x?k=secret-token"
    )
    assert "secret-token" not in repr(record)
    assert (record.provider, record.endpoint) == ("[token]", "v1/x?k=[token]")
    assert tally.record(Outcome.DONE, 200, None, now=0.0).error is None
