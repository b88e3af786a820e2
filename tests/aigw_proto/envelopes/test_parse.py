"""A client's messages: every form, every fault with its path and event id, and the query byte for byte."""

from __future__ import annotations

import json
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto.envelopes import _parse
from aigw_proto.envelopes._errors import ErrorCode
from aigw_proto.envelopes._messages import (
    Backoff,
    ClientMessage,
    EnvelopeFault,
    Step,
    StepSettings,
    UniversalCancel,
    UniversalCreate,
)
from aigw_proto.envelopes._parse import parse_client_message

DOCUMENTED = """{
  "type": "universal.create",
  "request": {
    "eventId": "my-request",
    "provider": "workers-ai",
    "endpoint": "@cf/meta/llama-3.1-8b-instruct",
    "headers": {
      "Authorization": "Bearer WORKERS_AI_TOKEN",
      "Content-Type": "application/json"
    },
    "query": {
      "prompt": "tell me a joke"
    }
  }
}"""
FIELDS = {"provider": '"p"', "endpoint": '"e"', "query": "1"}


def parse(text: str | bytes, *, max_steps: int = 3, max_event_id_bytes: int = 16) -> ClientMessage | EnvelopeFault:
    return parse_client_message(text, max_steps=max_steps, max_event_id_bytes=max_event_id_bytes)


def step_text(**fields: str | None) -> str:
    merged = {**FIELDS, **fields}
    return "{" + ",".join(f'"{key}":{value}' for key, value in merged.items() if value is not None) + "}"


def create_text(request: str, beside: str = "") -> str:
    return f'{{"type":"universal.create",{beside}"request":{request}}}'


def parse_step(**fields: str | None) -> Step:
    message = parse(create_text(step_text(**fields)))
    assert isinstance(message, UniversalCreate), message
    (step,) = message.steps
    return step


def fault_of(text: str | bytes) -> EnvelopeFault:
    fault = parse(text)
    assert isinstance(fault, EnvelopeFault), fault
    assert fault.status == 400
    return fault


def test_the_documented_message() -> None:
    step = Step(
        provider="workers-ai",
        endpoint="@cf/meta/llama-3.1-8b-instruct",
        headers=(("authorization", "Bearer WORKERS_AI_TOKEN"), ("content-type", "application/json")),
        query=b'{\n      "prompt": "tell me a joke"\n    }',
    )
    assert parse(DOCUMENTED) == UniversalCreate("my-request", (step,))
    assert parse(DOCUMENTED.encode()) == UniversalCreate("my-request", (step,))


@pytest.mark.parametrize(
    "query",
    [
        "1.10",
        "1E400",
        "-0.0",
        "1" * 5000,
        '{ "b" : 1 ,\n"a":2, "b":3 }',
        r'"\u0041\/\n\ud83d\ude00"',
        r'["\ud83d", "\ude00\ud83d", "\\ud83d"]',
        '"é😀\u2028\ufdd0"',
        r'"﷐\ud83d"',
        "null",
        '""',
        "[]",
        "true",
    ],
)
def test_the_query_is_what_the_client_wrote(query: str) -> None:
    assert parse_step(query=f" \t{query}\r\n").query == query.encode()
    message = parse(create_text(f"[{step_text(query=query)},{step_text(query=query)}]"))
    assert isinstance(message, UniversalCreate)
    assert [step.query for step in message.steps] == [query.encode()] * 2


def test_the_last_of_several_keys_counts() -> None:
    text = '{"query":1,"provider":5,"query":{"a":1},"provider":"p","endpoint":"e","query":2.50}'
    message = parse('{"type":1,"type":"universal.create","request":[],"request":' + text + "}")
    assert message == UniversalCreate(None, (Step("p", "e", (), b"2.50"),))


def test_unknown_keys_are_ignored() -> None:
    assert parse_step(extra="[{}]") == Step("p", "e", (), b"1")
    message = parse('{"id":5,"type":"universal.create","request":' + step_text(stream="true") + ',"zz":[]}')
    assert isinstance(message, UniversalCreate)


def test_what_is_null_is_absent() -> None:
    step = parse_step(headers="null", config="null", authorization="null", eventId="null", query="null")
    assert step == Step("p", "e", (), b"null")


@pytest.mark.parametrize(
    ("inside", "beside", "expected"),
    [
        (None, "", None),
        ('"in"', "", "in"),
        (None, '"eventId":"out",', "out"),
        ('"in"', '"eventId":"out",', "in"),
        ('"in"', '"eventId":5,', "in"),
        ("null", '"eventId":"out",', "out"),
        ('""', '"eventId":"out",', "out"),
        ('"in"', '"eventId":null,', "in"),
        ('"a\\n\\u00e9"', "", "a\né"),
    ],
)
def test_the_event_id_of_one_step(inside: str | None, beside: str, expected: str | None) -> None:
    message = parse(create_text(step_text(eventId=inside), beside))
    assert isinstance(message, UniversalCreate)
    assert message.event_id == expected


@pytest.mark.parametrize(
    ("inside", "beside", "expected"),
    [
        ((None, None), "", None),
        (('"one"', '"two"'), "", "one"),
        ((None, '"two"'), "", "two"),
        (('"one"', '"two"'), '"eventId":"out",', "out"),
        (('"one"', None), '"eventId":null,', "one"),
    ],
)
def test_the_event_id_of_several_steps(
    inside: tuple[str | None, str | None], beside: str, expected: str | None
) -> None:
    message = parse(create_text("[" + ",".join(step_text(eventId=own) for own in inside) + "]", beside))
    assert isinstance(message, UniversalCreate)
    assert message.event_id == expected


def test_the_event_id_header_comes_last() -> None:
    headers = '{"cf-aig-event-id":"header","x":"y"}'
    message = parse(create_text(step_text(headers=headers)))
    assert message == UniversalCreate("header", (Step("p", "e", (("x", "y"),), b"1"),))
    message = parse(create_text(step_text(headers=headers, eventId='"own"')))
    assert isinstance(message, UniversalCreate)
    assert message.event_id == "own"
    message = parse(create_text(f"[{step_text()},{step_text(headers=headers)}]"))
    assert isinstance(message, UniversalCreate)
    assert message.event_id == "header"
    too_long = '{"cf-aig-event-id":"' + "x" * 17 + '"}'
    fault = fault_of(create_text(step_text(headers=too_long)))
    assert fault.message == "request.headers.cf-aig-event-id: expected at most 16 bytes"


def test_headers_for_the_gateway_do_not_go_on() -> None:
    headers = '{"Cf-Aig-Authorization":"t","Host":"h","Accept-Encoding":"gzip","X":1.0,"Authorization":" Bearer k\\n"}'
    assert parse_step(headers=headers).headers == (("x", "1.0"), ("authorization", "Bearer k"))


def test_the_old_authorization_field() -> None:
    assert parse_step(authorization='"Bearer k\\n"').headers == (("authorization", "Bearer k"),)
    both = parse_step(headers='{"AUTHORIZATION":"mine"}', authorization='"old"')
    assert both.headers == (("authorization", "mine"),)


def test_config_goes_before_headers() -> None:
    headers = '{"cf-aig-max-attempts":"2","cf-aig-backoff":"linear","cf-aig-byok-alias":"b"}'
    step = parse_step(headers=headers, config='{"maxAttempts":4,"requestTimeout":10}')
    assert step.headers == ()
    assert step.settings == StepSettings(0.01, 4, None, Backoff.LINEAR, "b")


def test_cancel() -> None:
    assert parse('{"type":"universal.cancel","eventId":"x"}') == UniversalCancel("x")
    assert parse('{"type":"universal.cancel","request":{"eventId":"x"}}') == UniversalCancel("x")
    assert parse('{"type":"universal.cancel","eventId":"x","request":{"eventId":"y"}}') == UniversalCancel("x")
    for rest in ("", ',"request":[]', ',"request":{}', ',"eventId":""', ',"eventId":null'):
        fault = fault_of('{"type":"universal.cancel"' + rest + "}")
        assert (fault.code, fault.message) == (ErrorCode.INVALID_FIELD, "eventId: expected a string, got nothing")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "message: expected JSON: Input data was truncated"),
        ("{", "message: expected JSON: Input data was truncated"),
        ("{}x", None),
        ('{"query":NaN}', "message: expected JSON: JSON is malformed: invalid character (byte 9)"),
        ('{"query":"\\ud800",}', None),
        ("﻿{}", None),
        ("[]", "message: expected an object, got an array"),
        (" 5", "message: expected an object, got a number"),
        ('"\\ud800"', "message: expected an object, got a string"),
        ('{"type":"\ud800"}', "message: expected text without surrogates"),
        (b'{"type":"\xff"}', "message: expected UTF-8"),
        (create_text(step_text(query="[" * 100_000 + "]" * 100_000)), "message: nested too deeply"),
        ("[" * 100_000, "message: expected an object, got an array"),
    ],
)
def test_not_a_json_object(text: str | bytes, message: str | None) -> None:
    fault = fault_of(text)
    assert fault.code == ErrorCode.INVALID_JSON
    assert fault.event_id is None
    assert message is None or fault.message == message


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("", "type: expected a string, got nothing"),
        ('"type":5,', "type: expected a string, got a number"),
        ('"type":null,', "type: expected a string, got null"),
        ('"type":"universal.creat",', "type: expected universal.create or universal.cancel, got 'universal.creat'"),
        ('"type":"\\ud800",', "type: expected text without lone surrogates"),
    ],
)
def test_unknown_types(kind: str, message: str) -> None:
    fault = fault_of("{" + kind + '"eventId":"out"}')
    assert fault == EnvelopeFault(400, ErrorCode.UNKNOWN_TYPE, message, "out")
    assert fault_of("{" + kind + '"request":{"eventId":"in"}}').event_id == "in"
    assert fault_of("{" + kind + '"request":[5,{},{"eventId":"in"}]}').event_id == "in"


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"provider": None}, ErrorCode.INVALID_PROVIDER, ".provider: expected a string, got nothing"),
        ({"provider": "5"}, ErrorCode.INVALID_PROVIDER, ".provider: expected a string, got a number"),
        ({"provider": '""'}, ErrorCode.INVALID_PROVIDER, ".provider: expected a name, got an empty string"),
        ({"endpoint": None}, ErrorCode.INVALID_FIELD, ".endpoint: expected a string, got nothing"),
        ({"endpoint": "{}"}, ErrorCode.INVALID_FIELD, ".endpoint: expected a string, got an object"),
        ({"endpoint": r'"\ud800"'}, ErrorCode.INVALID_FIELD, ".endpoint: expected text without lone surrogates"),
        ({"query": None}, ErrorCode.INVALID_FIELD, ".query: expected the body of the request, got nothing"),
        ({"headers": "[]"}, ErrorCode.INVALID_FIELD, ".headers: expected an object, got an array"),
        (
            {"headers": '{"Authorization":{}}'},
            ErrorCode.INVALID_FIELD,
            ".headers.Authorization: expected a string, got an object",
        ),
        (
            {"headers": '{"cf-aig-max-attempts":"x"}'},
            ErrorCode.INVALID_FIELD,
            ".headers.cf-aig-max-attempts: expected a whole number from 1 to 5, got 'x'",
        ),
        ({"authorization": "5"}, ErrorCode.INVALID_FIELD, ".authorization: expected a string, got a number"),
        (
            {"authorization": r'"a\r\nb"'},
            ErrorCode.INVALID_FIELD,
            ".authorization: expected ISO 8859-1 text without control characters",
        ),
        ({"config": "5"}, ErrorCode.INVALID_FIELD, ".config: expected an object, got a number"),
        (
            {"config": '{"maxAttempts":6}'},
            ErrorCode.INVALID_FIELD,
            ".config.maxAttempts: expected a whole number from 1 to 5, got '6'",
        ),
        (
            {"config": '{"x":"' + "x" * 5000 + '"}'},
            ErrorCode.INVALID_FIELD,
            ".config: expected at most 4096 bytes",
        ),
    ],
)
def test_faults_of_a_step(fields: dict[str, str | None], code: ErrorCode, message: str) -> None:
    step = step_text(**{"eventId": '"in"', **fields})
    assert fault_of(create_text(step)) == EnvelopeFault(400, code, f"request{message}", "in")
    several = create_text(f"[{step_text()},{step}]", '"eventId":"out",')
    assert fault_of(several) == EnvelopeFault(400, code, f"request[1]{message}", "out")
    assert fault_of(create_text(f"[{step_text()},{step}]")).event_id == "in"


@pytest.mark.parametrize(
    ("text", "code", "message", "event_id"),
    [
        (
            '{"type":"universal.create","eventId":"out"}',
            ErrorCode.INVALID_FIELD,
            "request: expected an object or an array, got nothing",
            "out",
        ),
        (
            create_text('"x"', '"eventId":"out",'),
            ErrorCode.INVALID_FIELD,
            "request: expected an object or an array, got a string",
            "out",
        ),
        (create_text("[]"), ErrorCode.INVALID_FIELD, "request: expected at least one step, got an empty array", None),
        (
            create_text("[" + ",".join([step_text(eventId='"in"')] * 4) + "]"),
            ErrorCode.TOO_MANY_STEPS,
            "request: expected at most 3 steps, got more",
            "in",
        ),
        (
            create_text(f"[{step_text()},null]"),
            ErrorCode.INVALID_FIELD,
            "request[1]: expected an object, got null",
            None,
        ),
        (
            create_text(step_text(eventId="5"), '"eventId":"out",'),
            ErrorCode.INVALID_FIELD,
            "request.eventId: expected a string, got a number",
            "out",
        ),
        (
            create_text(step_text(), '"eventId":[],'),
            ErrorCode.INVALID_FIELD,
            "eventId: expected a string, got an array",
            None,
        ),
        (
            create_text(f"[{step_text(eventId='7')},{step_text(eventId=chr(34) + 'two' + chr(34))}]"),
            ErrorCode.INVALID_FIELD,
            "request[0].eventId: expected a string, got a number",
            "two",
        ),
        (
            create_text(step_text(eventId='"' + "x" * 17 + '"')),
            ErrorCode.INVALID_FIELD,
            "request.eventId: expected at most 16 bytes",
            None,
        ),
        (
            create_text(step_text(eventId='"' + "é" * 9 + '"')),
            ErrorCode.INVALID_FIELD,
            "request.eventId: expected at most 16 bytes",
            None,
        ),
        (
            create_text(step_text(eventId=r'"\ud800"')),
            ErrorCode.INVALID_FIELD,
            "request.eventId: expected text without lone surrogates",
            None,
        ),
    ],
)
def test_faults_of_a_message(text: str, code: ErrorCode, message: str, event_id: str | None) -> None:
    assert fault_of(text) == EnvelopeFault(400, code, message, event_id)


def test_the_step_limit_itself_is_allowed() -> None:
    message = parse(create_text("[" + ",".join([step_text()] * 3) + "]"))
    assert isinstance(message, UniversalCreate)
    assert len(message.steps) == 3


def test_a_nesting_that_only_the_second_look_minds_still_has_its_event_id() -> None:
    seen = set[str]()
    for depth in range(700, 1100):
        query = "[" * depth + "]" * depth
        message = parse(create_text(f"[{step_text(query=query)}]", '"eventId":"out",'))
        single = parse(create_text(step_text(query=query), '"eventId":"out",'))
        for result in (message, single):
            if isinstance(result, EnvelopeFault):
                assert result.message == "message: nested too deeply"
            seen.add(f"{type(result).__name__} {result.event_id}")
    assert "UniversalCreate out" in seen
    assert "EnvelopeFault None" in seen


def test_looking_for_the_event_id_never_raises(monkeypatch: pytest.MonkeyPatch) -> None:
    class Shallow:
        def decode(self, text: object) -> object:
            raise RecursionError

    monkeypatch.setattr(_parse, "_STEP", Shallow())
    fault = fault_of(create_text(step_text(), '"eventId":"out",'))
    assert fault == EnvelopeFault(400, ErrorCode.INVALID_JSON, "message: nested too deeply", "out")


@pytest.mark.parametrize(
    "request_text",
    [
        "[" + "1," * 500_000 + "1]",
        "[" + "{}," * 300_000 + "{}]",
        "{" + ",".join(f'"{index:x}":1' for index in range(100_000)) + "}",
        '{"headers":{' + ",".join(f'"{index:x}":""' for index in range(100_000)) + "}," + step_text()[1:],
        '{"config":{' + ",".join(f'"{index:x}":1' for index in range(100_000)) + "}," + step_text()[1:],
    ],
    ids=["numbers", "objects", "keys", "headers", "config"],
)
def test_memory_stays_in_proportion(request_text: str) -> None:
    text = create_text(request_text)
    parse("{}")
    tracemalloc.start()
    try:
        fault_of(text)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(text) + 200_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.booleans(), st.sampled_from([None, 1, "\t"]), st.sampled_from([(",", ":"), (" , ", " : ")]))
def test_any_query_goes_through_unchanged(
    value: object, ascii_only: bool, indent: int | str | None, separators: tuple[str, str]
) -> None:
    query = json.dumps(value, ensure_ascii=ascii_only, indent=indent, separators=separators)
    assert parse_step(query=query).query == query.encode()


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=len(DOCUMENTED)),
            st.integers(min_value=0, max_value=12),
            st.text(max_size=3) | st.sampled_from(['"', "{", "[", "]", "\\", "\\ud800", "null", "5", ",", ":"]),
        ),
        max_size=4,
    )
)
@settings(max_examples=300)
def test_a_damaged_message_never_raises(edits: list[tuple[int, int, str]]) -> None:
    text = DOCUMENTED
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    assert isinstance(parse(text), UniversalCreate | EnvelopeFault)


FIELD = st.sampled_from(["null", "5", '"x"', "{}", "[]", "true", '{"a":"b"}', r'"\ud800"', '{"maxAttempts":2}'])
NAMES = ["type", "eventId", "request", "provider", "endpoint", "query", "headers", "config", "authorization"]


@given(st.dictionaries(st.sampled_from(NAMES), FIELD), st.booleans(), st.booleans())
@settings(max_examples=300)
def test_any_fields_give_a_message_or_a_fault_with_a_path(fields: dict[str, str], array: bool, typed: bool) -> None:
    step = step_text(**fields)
    result = parse(create_text(f"[{step}]" if array else step) if typed else step)
    if isinstance(result, EnvelopeFault):
        assert result.message.partition(":")[0].split(".")[0] in {"type", "message", "request", "request[0]", "eventId"}
    else:
        assert typed
