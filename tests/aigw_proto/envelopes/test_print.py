"""Printed messages: documented key order, extensions behind it, payloads untouched, and both ends agree."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.envelopes import _print
from aigw_proto.envelopes._answers import parse_server_message
from aigw_proto.envelopes._messages import (
    Backoff,
    CreatedFrame,
    DoneFrame,
    Metadata,
    Step,
    StepSettings,
    StreamFrame,
    UniversalCancel,
    UniversalCreate,
)
from aigw_proto.envelopes._parse import parse_client_message
from aigw_proto.envelopes._print import (
    StreamPrinter,
    print_cancel,
    print_create,
    print_created,
    print_done,
    print_stream,
)

METADATA = Metadata("my-request", "01JC3R94FRD97JBCBX3S0ZAXKW", 0, "application/json", status=200)
FULL = Metadata("e", "l", 2, "text/event-stream", "HIT", 200, 'cut "off"', cancelled=True, encoding="base64")


def test_the_documented_answer() -> None:
    response = b'{ "result": {"n":1.10} }'
    chunks = print_created(METADATA, response, strict=True)
    assert b"".join(chunks) == (
        b'{"type":"universal.created","metadata":{"cacheStatus":"MISS","eventId":"my-request",'
        b'"logId":"01JC3R94FRD97JBCBX3S0ZAXKW","step":"0","contentType":"application/json"},'
        b'"response":{ "result": {"n":1.10} }}'
    )
    assert any(chunk is response for chunk in chunks)


def test_the_head_and_the_end_of_a_stream() -> None:
    metadata = b'{"cacheStatus":"HIT","eventId":"e","logId":"l","step":"2","contentType":"text/event-stream"'
    extended = b',"status":200,"error":"cut \\"off\\"","cancelled":true,"encoding":"base64"'
    assert print_created(FULL, None, strict=True) == [b'{"type":"universal.created","metadata":' + metadata + b"}}"]
    assert print_done(FULL, strict=True) == [b'{"type":"universal.done","metadata":' + metadata + b"}}"]
    assert print_done(FULL, strict=False) == [b'{"type":"universal.done","metadata":' + metadata + extended + b"}}"]


def test_what_is_not_known_is_left_out() -> None:
    metadata = Metadata(None, None, None, None, None)
    assert print_created(metadata, b"1", strict=False) == [
        b'{"type":"universal.created","metadata":{},"response":',
        b"1",
        b"}",
    ]


def test_a_chunk_of_a_stream() -> None:
    response = b'{"response": "would"}'
    chunks = print_stream("my-request", response, strict=True, event=b"ignored")
    assert b"".join(chunks) == (
        b'{"type":"universal.stream","metadata":{"eventId":"my-request"},"response":{"response": "would"}}'
    )
    assert chunks[1] is response
    named = print_stream("e\n", b"1", strict=False, event=b'a"\xff')
    assert b"".join(named).decode() == (
        '{"type":"universal.stream","metadata":{"eventId":"e\\n","event":"a\\"\ufffd"},"response":1}'
    )
    assert print_stream("e", b"1", strict=False, event=b"") == print_stream("e", b"1", strict=True)


def test_names_of_events_are_kept_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_print, "_MAX_EVENT_NAMES", 2)
    printer = StreamPrinter("e", strict=False)
    for name in (b"a", b"x" * 300, b"b", b"c", b"a"):
        assert b"".join(printer.print(b"1", event=name)) == (
            b'{"type":"universal.stream","metadata":{"eventId":"e","event":"' + name + b'"},"response":1}'
        )
    assert len(printer._named) == 2
    prefixes = [printer.print(b"1", event=b"a")[0] for _ in range(2)]
    assert prefixes[0] is prefixes[1]


def test_a_request_of_one_step() -> None:
    query = b'{"model": "m", "n": 1.10}'
    chunks = print_create("e", [Step("openai", "chat/completions", (("authorization", "Bearer k"),), query)])
    assert b"".join(chunks) == (
        b'{"type":"universal.create","request":{"eventId":"e","provider":"openai","endpoint":"chat/completions",'
        b'"headers":{"authorization":"Bearer k"},"query":{"model": "m", "n": 1.10}}}'
    )
    assert any(chunk is query for chunk in chunks)
    assert print_create(None, [Step("p", "x", (), b"1")]) == [
        b'{"type":"universal.create","request":{"provider":"p","endpoint":"x","headers":{},"query":',
        b"1",
        b"}}",
    ]


def test_a_request_of_several_steps() -> None:
    steps = [Step("p", "x", (), b"1"), Step("q", "y", (), b"2")]
    assert json.loads(b"".join(print_create("e", steps))) == {
        "type": "universal.create",
        "eventId": "e",
        "request": [
            {"eventId": "e", "provider": "p", "endpoint": "x", "headers": {}, "query": 1},
            {"provider": "q", "endpoint": "y", "headers": {}, "query": 2},
        ],
    }


def test_settings_of_a_step() -> None:
    settings = StepSettings(0.0001, 2, 1.5, Backoff.LINEAR, "b", collect_log=True)
    message = json.loads(b"".join(print_create("e", [Step("p", "x", (), b"1", settings)])))
    assert message["request"]["config"] == {
        "requestTimeout": 1,
        "maxAttempts": 2,
        "retryDelay": 1500,
        "backoff": "linear",
    }
    assert message["request"]["headers"] == {"cf-aig-byok-alias": "b", "cf-aig-collect-log": "true"}
    quiet = StepSettings(retry_delay_seconds=0.0, collect_log=False)
    message = json.loads(b"".join(print_create("e", [Step("p", "x", (), b"1", quiet)])))
    assert message["request"]["config"] == {"retryDelay": 0}
    assert message["request"]["headers"] == {"cf-aig-collect-log": "false"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1e9, b"1000000000000"), (1e11, b"1.00000000000000e+14"), (1e297, b"1.00000000000000e+300"), (1e308, b"e+300")],
)
def test_a_time_beyond_all_bounds_is_still_a_number_that_a_gateway_reads(seconds: float, text: bytes) -> None:
    printed = b"".join(print_create("e", [Step("p", "x", (), b"1", StepSettings(seconds))]))
    assert text in printed
    parsed = parse_client_message(printed, max_steps=1, max_event_id_bytes=10)
    assert isinstance(parsed, UniversalCreate)
    assert parsed.steps[0].settings.request_timeout_seconds == pytest.approx(min(seconds, 1e297))


def test_a_cancellation() -> None:
    assert print_cancel('a"b') == [b'{"type":"universal.cancel","eventId":"a\\"b"}']


TEXT = st.text(max_size=12)
IDS = st.none() | st.text(min_size=1, max_size=12)
METADATAS = st.builds(
    Metadata,
    event_id=st.none() | TEXT,
    log_id=st.none() | TEXT,
    step=st.none() | st.integers(min_value=0, max_value=99),
    content_type=st.none() | TEXT,
    cache_status=st.none() | TEXT,
    status=st.none() | st.integers(min_value=100, max_value=599),
    error=st.none() | TEXT,
    cancelled=st.booleans(),
    encoding=st.none() | TEXT,
)
PAYLOADS = st.sampled_from([b"1.10", b'{ "a" : [1 ,2] }', b'"\\ud83d"', '"é"'.encode(), b"null", b'""'])


@given(METADATAS, st.none() | PAYLOADS)
def test_the_client_reads_what_the_gateway_prints(metadata: Metadata, response: bytes | None) -> None:
    created = b"".join(print_created(metadata, response, strict=False))
    assert parse_server_message(created.decode()) == CreatedFrame(metadata, response)
    done = b"".join(print_done(metadata, strict=False))
    assert parse_server_message(done) == DoneFrame(metadata)
    documented = Metadata(
        metadata.event_id, metadata.log_id, metadata.step, metadata.content_type, metadata.cache_status
    )
    strict = b"".join(print_created(metadata, response, strict=True))
    assert parse_server_message(strict) == CreatedFrame(documented, response)


@given(TEXT, PAYLOADS, st.none() | st.text(min_size=1, max_size=5))
def test_the_client_reads_what_streams(event_id: str, response: bytes, event: str | None) -> None:
    printed = print_stream(event_id, response, event=None if event is None else event.encode(), strict=False)
    assert parse_server_message(b"".join(printed)) == StreamFrame(event_id, response, event)


STEPS = st.builds(
    Step,
    provider=st.text(min_size=1, max_size=5),
    endpoint=TEXT,
    headers=st.sampled_from([(), (("a", "b"), ("authorization", "Bearer é")), (("x-y", 'q"\t!'),)]),
    query=PAYLOADS,
    settings=st.builds(
        StepSettings,
        st.none() | st.integers(min_value=1, max_value=10_000).map(lambda value: value / 1000),
        st.none() | st.integers(min_value=1, max_value=5),
        st.none() | st.integers(min_value=0, max_value=60_000).map(lambda value: value / 1000),
        st.none() | st.sampled_from(Backoff),
        st.none() | st.just("alias"),
        st.none() | st.booleans(),
    ),
)


@given(IDS, st.lists(STEPS, min_size=1, max_size=3))
def test_the_gateway_reads_what_the_client_prints(event_id: str | None, steps: list[Step]) -> None:
    text = b"".join(print_create(event_id, steps)).decode()
    message = parse_client_message(text, max_steps=3, max_event_id_bytes=100)
    assert message == UniversalCreate(event_id, tuple(steps))


@given(st.text(min_size=1, max_size=12))
def test_the_gateway_reads_cancellations(event_id: str) -> None:
    text = b"".join(print_cancel(event_id)).decode()
    assert parse_client_message(text, max_steps=3, max_event_id_bytes=100) == UniversalCancel(event_id)
