from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto.ws import _mask
from support.frames import mask

KEYS = st.binary(min_size=4, max_size=4)


@given(data=st.binary(max_size=2000), key=KEYS, offset=st.integers(0, (1 << 63) - 1))
@settings(max_examples=100)
def test_equals_the_definition(data: bytes, key: bytes, offset: int) -> None:
    assert _mask.apply_mask(data, key, offset) == mask(data, key, offset)


@pytest.mark.parametrize("size", [0, 1, 3, 4, 5, 511, 512, 513, 514, 515, 65536])
def test_every_branch_around_the_change_of_method(size: int) -> None:
    data = bytes(index * 7 & 0xFF for index in range(size))
    assert _mask.apply_mask(data, b"\x01\x80\xff\x00") == mask(data, b"\x01\x80\xff\x00")


@given(data=st.binary(max_size=1500), key=KEYS, cut=st.integers(0, 1500))
@settings(max_examples=50)
def test_pieces_equal_the_whole_and_masking_twice_is_nothing(data: bytes, key: bytes, cut: int) -> None:
    cut = min(cut, len(data))
    whole = _mask.apply_mask(data, key)
    assert _mask.apply_mask(data[:cut], key) + _mask.apply_mask(data[cut:], key, cut) == whole
    assert _mask.apply_mask(whole, key) == data


def test_example_of_the_rfc() -> None:
    assert _mask.apply_mask(b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("7f9f4d5158")
