"""The inbox: blocks and pieces, the same for every cut, bounded and linear."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.http._inbox import BLANK_LINE, LINE, BlockTooLong, Inbox
from aigw_proto.testing import chunkings


def test_new_inbox_is_empty() -> None:
    inbox = Inbox()
    assert not inbox
    assert inbox.take(5) == b""
    assert inbox.take_until(LINE, 5) is None
    assert inbox.take_all() == b""


def test_take_gives_whole_chunks_without_copying() -> None:
    inbox = Inbox()
    chunk = bytes(1000)
    inbox.append(chunk)
    assert inbox.take(1000) is chunk
    assert not inbox


def test_take_cuts_at_the_limit_and_stays_within_a_chunk() -> None:
    inbox = Inbox()
    inbox.append(b"abcdef")
    inbox.append(b"gh")
    assert [inbox.take(4), inbox.take(4), inbox.take(4), inbox.take(4)] == [b"abcd", b"ef", b"gh", b""]


@pytest.mark.parametrize("block", [b"a: b\r\n\r\n", b"a\n\n", b"a\n\r\n", b"\n\n", b"x\r\ny\r\n\r\n"])
def test_block_and_rest_for_every_cut(block: bytes) -> None:
    for chunks in chunkings(block + b"tail\r\n\r\n!"):
        inbox = Inbox()
        found: list[bytes] = []
        for chunk in chunks:
            inbox.append(chunk)
            while (one := inbox.take_until(BLANK_LINE, 100)) is not None:
                found.append(one)
        assert found == [block, b"tail\r\n\r\n"]
        assert inbox.take_all() == b"!"
        assert not inbox


def test_take_all_joins_partial_front_and_chunks() -> None:
    inbox = Inbox()
    inbox.append(b"ab")
    assert inbox.take_until(LINE, 100) is None
    assert bytes(inbox.partial) == b"ab"
    inbox.append(b"cd\nef")
    assert inbox.take_until(LINE, 100) == b"abcd\n"
    inbox.append(b"gh")
    assert inbox.take_all() == b"efgh"


@pytest.mark.parametrize("by_pattern", [True, False])
@given(data=st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"x")), limit=st.integers(1, 30))
def test_limit_is_exact_for_every_cut(data: bytes, limit: int, by_pattern: bool) -> None:
    block = data + b"\n"
    for chunks in chunkings(block + b"more\n"):
        inbox = Inbox()
        outcome: bytes | str | None = None
        for chunk in chunks:
            inbox.append(chunk)
            if outcome is None:
                try:
                    outcome = inbox.take_until(LINE, limit) if by_pattern else inbox.take_line(limit)
                except BlockTooLong:
                    outcome = "too long"
        assert outcome == (block if len(block) <= limit else "too long")


def test_limit_is_noticed_without_the_end() -> None:
    inbox = Inbox()
    inbox.append(b"abc")
    assert inbox.take_until(LINE, 5) is None
    inbox.append(b"def")
    with pytest.raises(BlockTooLong):
        inbox.take_until(LINE, 5)


def test_unfinished_block_is_bounded_in_memory() -> None:
    inbox = Inbox()
    chunk = bytes(64 * 1024)
    tracemalloc.start()
    try:
        inbox.append(chunk)
        assert inbox.take_until(LINE, 100_000) is None
        for _ in range(1000):
            inbox.append(chunk)
            with pytest.raises(BlockTooLong):
                inbox.take_until(LINE, 100_000)
            inbox.clear()
            inbox.append(chunk)
            assert inbox.take_until(LINE, 100_000) is None
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_the_largest_limit_is_none_wherever_a_block_begins() -> None:
    most = (1 << 63) - 1
    inbox = Inbox()
    inbox.append(b"a\nb\n\nc\n\nd\ne")
    inbox.append(b"f\ng")
    assert inbox.take_until(LINE, most) == b"a\n"
    assert [inbox.take_until(BLANK_LINE, most) for _ in range(2)] == [b"b\n\n", b"c\n\n"]
    assert [inbox.take_line(most) for _ in range(3)] == [b"d\n", b"ef\n", None]
