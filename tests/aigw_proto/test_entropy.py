from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._entropy import Entropy


class Source:
    """Counts up, so that every byte tells where it came from."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def __call__(self, count: int) -> bytes:
        self.calls.append(count)
        return bytes((len(self.calls) * 37 + index) % 256 for index in range(count))


def test_draws_nothing_before_it_must() -> None:
    source = Source()
    Entropy(source)
    assert source.calls == []


def test_one_draw_serves_a_thousand_masks() -> None:
    source = Source()
    entropy = Entropy(source)
    stream = b"".join(entropy.take(4) for _ in range(1024))
    assert source.calls == [4096]
    assert stream == Source()(4096)
    entropy.take(4)
    assert source.calls == [4096, 4096]


def test_what_is_drawn_is_what_would_be_taken() -> None:
    entropy, same = Entropy(Source()), Entropy(Source())
    for count in (4, 4000, 0, 90, 4, 4096, 1):
        start = entropy.draw(count)
        assert entropy.block[start : start + count] == same.take(count)


def test_a_piece_never_joins_two_blocks() -> None:
    source = Source()
    entropy = Entropy(source)
    entropy.take(4090)
    second_block = Source()
    second_block(4096)
    assert entropy.take(10) == second_block(4096)[:10]


def test_a_whole_block_may_be_taken_and_no_more() -> None:
    source = Source()
    entropy = Entropy(source)
    assert len(entropy.take(4096)) == 4096
    assert entropy.take(0) == b""
    with pytest.raises(ValueError, match="4097"):
        entropy.take(4097)
    assert source.calls == [4096]


@given(st.binary(min_size=10, max_size=10), st.integers(0, (1 << 48) - 1))
def test_uuid7_has_the_layout_of_rfc_9562(random: bytes, milliseconds: int) -> None:
    entropy = Entropy(lambda count: random + bytes(count - 10))
    text = entropy.uuid7(milliseconds)
    parsed = uuid.UUID(text)
    assert str(parsed) == text
    assert parsed.version == 7
    assert parsed.variant == uuid.RFC_4122
    assert parsed.int >> 80 == milliseconds
    kept = (1 << 80) - 1 & ~(0xF << 76) & ~(0x3 << 62)
    assert parsed.int & kept == int.from_bytes(random, "big") & kept


def test_uuid7_sorts_by_time() -> None:
    entropy = Entropy(Source())
    ids = [entropy.uuid7(milliseconds) for milliseconds in (1, 2, 1_700_000_000_000, 1_700_000_000_001)]
    assert ids == sorted(ids)
