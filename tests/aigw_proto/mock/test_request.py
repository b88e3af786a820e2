from __future__ import annotations

from collections.abc import Callable

import pytest

from aigw_proto.mock._request import (
    MockRequest,
    as_list,
    as_mapping,
    as_text,
    decode_object,
    last_user_text,
    reply_words,
    split_target,
)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/a/b?c=d?e", ("/a/b", "c=d?e")),
        (b"/a", ("/a", "")),
        (b"http://host:80/a?b", ("/a", "b")),
        (b"https://host?b", ("", "b")),
        (b"*", ("*", "")),
        (b"/\xff", ("/\xff", "")),
    ],
)
def test_split_target(target: bytes, expected: tuple[str, str]) -> None:
    assert split_target(target) == expected


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b"\xff", b'{"a":"\xff"}', b"[" * 1_000_000])
def test_what_is_no_object(body: bytes) -> None:
    assert decode_object(body) is None


def test_an_object() -> None:
    assert decode_object(b' {"a": [1]} ') == {"a": [1]}
    assert as_mapping({"a": 1}) == {"a": 1}
    assert as_mapping([]) == {}
    assert as_list([1]) == [1]
    assert as_list("ab") == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a b", "a b"),
        (["a", {"text": "b"}, {"type": "image"}, 3, {"text": 4}], "a b"),
        ({"content": "a"}, "a"),
        ({"content": [{"type": "text", "text": "a"}]}, "a"),
        ({"role": "user", "parts": [{"text": "a"}]}, "a"),
        ({"text": "a"}, "a"),
        (None, ""),
        (5, ""),
        ({}, ""),
    ],
)
def test_texts(value: object, text: str) -> None:
    assert as_text(value) == text


def test_the_last_message_of_the_user() -> None:
    messages = [
        {"role": "user", "content": "first"},
        {"role": "USER", "content": "second"},
        {"role": "assistant", "content": "third"},
    ]
    assert last_user_text(messages) == "second"
    assert last_user_text(messages[2:]) == "third"
    assert last_user_text([{"content": "no role"}]) == "no role"
    assert last_user_text(None) == ""


def test_words_join_to_the_text() -> None:
    assert reply_words("a  b\nc", None) == ("You", " said:", " a", "  b", "\nc")
    assert reply_words("", None) == ("You", " said:")


def test_words_are_as_many_as_asked_for() -> None:
    assert reply_words("a", 1) == ("You",)
    assert reply_words("a", 3) == ("You", " said:", " a")
    assert "".join(reply_words("a", 8)) == "You said: a You said: a You said:"
    assert len(reply_words("a", 100_000)) == 100_000


def test_a_long_prompt_is_repeated_in_part() -> None:
    assert len("".join(reply_words("x" * 1_000_000, None))) < 100_000


def test_headers_are_found_in_any_case(make_request: Callable[..., MockRequest]) -> None:
    request = make_request("/", headers=((b"X-One", b"1"), (b"x-one", b"2")))
    assert request.header(b"x-one") == b"1"
    assert request.header(b"x-two") is None


@pytest.mark.parametrize(("depth", "fine"), [(1, True), (99, True), (101, False), (900, False), (100_000, False)])
def test_json_that_nests_too_deep_is_none(depth: int, fine: bool) -> None:
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        text = '{"a":' + opening * (depth - 1) + "1" + closing * (depth - 1) + "}"
        assert (decode_object(text) is not None) is fine
        assert (decode_object(text.encode()) is not None) is fine


def test_json_of_many_brackets_is_not_deep() -> None:
    assert decode_object(b'{"a":[' + b"[{}]," * 1000 + b'"x"]}') is not None
