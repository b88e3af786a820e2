r"""JSON text as bytes: what counts as JSON, and lone surrogates hidden and restored exactly."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aigw_proto.envelopes import _text
from aigw_proto.envelopes._text import LoneSurrogates, is_json, json_string, kind_of, shorten, text_literal


def refuse_constant(name: str) -> object:
    raise ValueError(name)


def stdlib_says(data: bytes) -> bool:
    try:
        json.loads(data.decode().lstrip(" \t\r\n"), parse_constant=refuse_constant, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return False
    return True


@pytest.mark.parametrize(
    "data",
    [
        b"{}",
        b" [1, 2]\r\n\t",
        b"null",
        b'"x"',
        b"1.10",
        b"-0.0e+999",
        b"1" * 5000,
        '{"é":"😀"}'.encode(),
        rb'"\ud83d\ude00"',
        rb'"\ud83d"',
        rb'"\uDE00\ud83d"',
        rb'["\ud83d", "\\ud83d", "\\\udc00"]',
        b"[" * 200 + b"]" * 200,
    ],
)
def test_json(data: bytes) -> None:
    assert is_json(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{} {}",
        b"{}x",
        b"[1,]",
        b"{'a':1}",
        b"NaN",
        b"-Infinity",
        b"01",
        b"1.",
        b".5",
        b"+1",
        b"0x10",
        b"tru",
        b'"a\nb"',
        b'"\\x41"',
        b'"',
        rb'"\ud83d',
        rb'"\ud8"',
        rb'"\ud83d\u12"',
        rb'"\ud83d" x',
        b'"\xff"',
        b'{"\xc3":1}',
        b'"\xed\xa0\x80"',
        b"\xef\xbb\xbf{}",
        "﻿{}".encode("utf-16"),
        b"[DONE]",
        b"[" * 100_000 + b"]" * 100_000,
        rb'["\ud83d",' + b"[" * 100_000 + b"]" * 100_000 + b"]",
        b"[" * 100_000,
    ],
)
def test_not_json(data: bytes) -> None:
    assert not is_json(data)


@given(st.binary(max_size=20) | st.from_regex(rb'[\[{":,0-9eE.+\-\\untrfalsdD8C }\]]{0,14}', fullmatch=True))
def test_json_is_what_the_standard_library_takes(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        assert not is_json(data)
    else:
        assert is_json(data) == stdlib_says(data)


ESCAPES = st.lists(
    st.sampled_from([r"\ud83d", r"\uDe00", r"\\", r"\n", r"\"", "a", "😀", r"\u0041", "\ufdd0", r"\ud8"])
)


@given(ESCAPES)
def test_surrogates_come_back_exactly(parts: list[str]) -> None:
    data = b'[]"' + "".join(parts).encode() + b'"'
    hidden = LoneSurrogates.hide(data)
    if hidden is not None:
        assert hidden.restore(hidden.data) == data
        assert hidden.data != data
    plain = data[2:]
    assert is_json(plain) == stdlib_says(plain)


def test_pairs_are_not_lone() -> None:
    assert LoneSurrogates.hide(rb'"\ud83d\ude00 \\ud83d"') is None
    hidden = LoneSurrogates.hide(rb'"\ud83d\ude00\ude00"')
    assert hidden is not None
    assert hidden.data == '"\\ud83d\\ude00\ufdd0de00"'.encode()
    assert hidden.touches(json.loads(hidden.data))
    assert not hidden.touches("😀")


def test_a_text_full_of_noncharacters_is_left_alone() -> None:
    every = "".join(chr(code) for code in range(0xFDD0, 0xFDF0))
    assert LoneSurrogates.hide(rf'"{every}\ud800"'.encode()) is None
    assert LoneSurrogates.hide(rf'"{every[:-1]}\ud800"'.encode()) is not None


def test_more_lone_surrogates_than_any_real_text_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_text, "_MAX_LONE_SURROGATES", 3)
    assert is_json(rb'"\ud800\ud800\ud800"')
    assert not is_json(rb'"\ud800\ud800\ud800\ud800"')


@given(st.binary())
def test_a_string_literal_of_any_bytes(data: bytes) -> None:
    assert json.loads(json_string(data)) == data.decode("utf-8", "replace")


@given(st.text(alphabet=st.characters(codec=None, exclude_categories=())))
@example("a\ud800é")
def test_a_string_literal_of_any_text(text: str) -> None:
    expected = re.sub("[\ud800-\udfff]", "?", text)
    assert json.loads(text_literal(text)) == expected


def test_kinds() -> None:
    values = (b"{}", b"[]", b'""', b"true", b"false", b"null", b"1", b"-1")
    assert [kind_of(value) for value in values] == [
        "an object",
        "an array",
        "a string",
        "a boolean",
        "a boolean",
        "null",
        "a number",
        "a number",
    ]


def test_shortening() -> None:
    assert shorten("a\n") == r"'a\n'"
    assert shorten("x" * 100) == repr("x" * 64 + "…")
