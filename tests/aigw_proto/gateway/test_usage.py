from __future__ import annotations

import re

import msgspec
import pytest

from aigw_proto.gateway._usage import (
    NESTED,
    Report,
    as_array,
    as_count,
    as_name,
    as_object,
    as_seconds,
    decode,
    plain,
    take_counts,
)


def test_a_report_that_says_nothing() -> None:
    report = Report(event="x")
    assert not report.ends_turn
    assert report.tokens == {}
    assert Report(event="y").tokens is not report.tokens


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (7, 7), (3.0, 3), (1.5, None), (-1, None), (True, None), ("7", None), (None, None), (1 << 53, None)],
)
def test_counts(value: object, count: int | None) -> None:
    assert as_count(value) == count
    assert as_count(float("inf")) is None
    assert as_count(float("nan")) is None


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(0, 0.0), (1.5, 1.5), (-0.1, None), (True, None), ("1", None), (None, None), (10**400, None), (1e300, None)],
)
def test_seconds(value: object, seconds: float | None) -> None:
    assert as_seconds(value) == seconds
    assert as_seconds(float("inf")) is None
    assert as_seconds(float("nan")) is None


@pytest.mark.parametrize("value", ["", "x" * 129, "a\nb", "\x1b[31m", "\ud800", 7, None, ["a"]])
def test_what_is_no_name(value: object) -> None:
    assert as_name(value) is None


def test_names() -> None:
    assert as_name("gpt-realtime") == "gpt-realtime"
    assert as_name("模型") == "模型"
    assert as_name("x" * 128) == "x" * 128


def test_objects_and_arrays() -> None:
    assert as_object({"a": 1}) == {"a": 1}
    assert as_object([1]) == {}
    assert as_array([1]) == [1]
    assert as_array({"a": 1}) == []


@pytest.mark.parametrize("text", [b"", b"{", b"nul", b'"\xff"', b'"\\ud800"', b"[" * 100_000, b"{}{}"])
def test_text_that_is_no_value(text: bytes) -> None:
    assert plain(text) is None


def test_values() -> None:
    assert plain(b' {"a": [1, 2.5, "x", null, true]} ') == {"a": [1, 2.5, "x", None, True]}
    assert plain(msgspec.UNSET) is None
    assert decode(msgspec.json.Decoder(int), b'"no number"') is None
    assert decode(msgspec.json.Decoder(int), msgspec.Raw(b"12")) == 12


def test_counts_are_taken_under_the_common_names() -> None:
    kinds = {"a": "input", "b": "input_audio", "c": "output_text", "d": "output_text"}
    taken: dict[str, int] = {}
    take_counts([("a", 0), ("b", 0), ("c", 2), ("d", 3), ("e", 4), ("c", "5")], kinds, taken)
    assert taken == {"input": 0, "output_text": 5}


@pytest.mark.parametrize("members", [b"", b'"a":1', b'"a":{"b":{"c":1},"d":2},"e":{}'])
def test_objects_that_nest_two_levels_are_found(members: bytes) -> None:
    found = re.search(rb"\{%b\}" % NESTED, b"xx{%b}yy}" % members)
    assert found is not None
    assert found[0] == b"{%b}" % members


def test_looking_for_an_object_takes_no_longer_the_stranger_the_text() -> None:
    pattern = re.compile(rb'"usage"\s*:\s*(\{%b\})' % NESTED)
    assert pattern.search(b'"usage":' + b"{" * 16_000) is None
    assert pattern.search(b'"usage":{' + b"{}" * 8_000) is None
