"""Header fields of a step: what goes on, what is dropped, what is refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.envelopes._fields import EXPECTED_VALUE, clean_value, encode_headers, is_forwarded, parse_headers


def parse(text: str) -> dict[str, str] | str:
    return parse_headers(msgspec.Raw(text.encode()), "h")


@pytest.mark.parametrize(
    ("text", "headers"),
    [
        ("{}", {}),
        ('{"Content-Type":"application/json"}', {"content-type": "application/json"}),
        ('{"a":"1","A":"2"}', {"a": "2"}),
        ('{"a":"x","a":"y"}', {"a": "y"}),
        ('{"a":" Bearer x\\r\\n"}', {"a": "Bearer x"}),
        ('{"a":"\\u00e9\\t!"}', {"a": "é\t!"}),
        ('{"a":""}', {"a": ""}),
        (
            '{"a":1.10,"b":true,"c":false,"d":-1e5,"e":"s"}',
            {"a": "1.10", "b": "true", "c": "false", "d": "-1e5", "e": "s"},
        ),
    ],
)
def test_read(text: str, headers: dict[str, str]) -> None:
    assert parse(text) == headers


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "h: expected an object, got an array"),
        ('"x"', "h: expected an object, got a string"),
        ('{"a":null}', "h.a: expected a string, got null"),
        ('{"a":{}}', "h.a: expected a string, got an object"),
        ('{"a":"1","b":["x"]}', "h.b: expected a string, got an array"),
        ('{"a\\nb":{}}', r"h.a\nb: expected a string, got an object"),
        ('{"":"x"}', "h: expected header names, got ''"),
        ('{"a b":"x"}', "h: expected header names, got 'a b'"),
        ('{"a:":"x"}', "h: expected header names, got 'a:'"),
        ('{":path":"/"}', "h: expected header names, got ':path'"),
        ('{"' + "a" * 257 + '":"x"}', f"h: expected header names, got '{'a' * 64}…'"),
        ('{"é":"x"}', "h: expected header names, got 'é'"),
        ('{"a\\r\\nb":"x"}', r"h: expected header names, got 'a\r\nb'"),
        ('{"a":"secret\\r\\nx: y"}', f"h.a: {EXPECTED_VALUE}"),
        ('{"a":"x\\u0000"}', f"h.a: {EXPECTED_VALUE}"),
        ('{"a":"x\\u007fy"}', f"h.a: {EXPECTED_VALUE}"),
        ('{"a":"€"}', f"h.a: {EXPECTED_VALUE}"),
    ],
)
def test_refused(text: str, problem: str) -> None:
    assert parse(text) == problem


def test_size_limit() -> None:
    text = '{"a":"' + "x" * 65_528 + '"}'
    assert isinstance(parse(text), dict)
    assert parse(text.replace("x", "xx", 1)) == "h: expected at most 65536 bytes, got 65537"


@pytest.mark.parametrize(
    "name",
    [
        "host",
        "connection",
        "content-length",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "keep-alive",
        "proxy-authorization",
        "accept-encoding",
        "content-encoding",
        "cf-aig-authorization",
        "cf-aig-anything",
        "cf-skip-cache",
        "cf-cache-ttl",
    ],
)
def test_dropped(name: str) -> None:
    assert not is_forwarded(name)


@pytest.mark.parametrize("name", ["authorization", "content-type", "x-api-key", "openai-beta", "accept", "cf-ray"])
def test_forwarded(name: str) -> None:
    assert is_forwarded(name)


def test_encoding() -> None:
    assert encode_headers([("a", "é"), ("b", "")]) == [(b"a", b"\xe9"), (b"b", b"")]


@given(st.text(alphabet=st.characters(codec=None, exclude_categories=())))
def test_a_clean_value_can_go_on_the_wire(text: str) -> None:
    value = clean_value(text)
    if value is not None:
        ((_, wire),) = encode_headers([("a", value)])
        assert not set(wire) & {*range(9), *range(10, 32), 127}
        assert wire == wire.strip(b" \t")


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.integers() | st.none(), max_size=4))
def test_any_object(fields: dict[str, str | int | None]) -> None:
    result = parse_headers(msgspec.Raw(msgspec.json.encode(fields)), "h") if encodable(fields) else {}
    assert isinstance(result, str) or all(name == name.lower() for name in result)


def encodable(fields: dict[str, str | int | None]) -> bool:
    return all(not isinstance(value, int) or -(2**63) <= value < 2**64 for value in fields.values())
