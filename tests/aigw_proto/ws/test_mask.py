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


@pytest.mark.parametrize("size", [*range(70), 511, 512, 513, 514, 515, 65536])
def test_every_branch_around_the_change_of_method(size: int) -> None:
    data = bytes(index * 7 & 0xFF for index in range(size))
    key = b"\x01\x80\xff\x00"
    assert _mask.apply_mask(data, key) == mask(data, key)
    wire = b"head" + key + data + b"tail"
    assert _mask.unmask_payload(wire, 8, 8 + size) == mask(data, key)
    assert _mask.unmask_slice(wire, 8, 8 + size, key, 3) == mask(data, key, 3)
    assert _mask.slice_octets(wire, 8, 8 + size) == data
    assert _mask.slice_octets(wire, 0, len(wire)) == wire


@given(data=st.binary(max_size=1500), key=KEYS, cut=st.integers(0, 1500))
@settings(max_examples=50)
def test_pieces_equal_the_whole_and_masking_twice_is_nothing(data: bytes, key: bytes, cut: int) -> None:
    cut = min(cut, len(data))
    whole = _mask.apply_mask(data, key)
    assert _mask.apply_mask(data[:cut], key) + _mask.apply_mask(data[cut:], key, cut) == whole
    assert _mask.apply_mask(whole, key) == data


def test_example_of_the_rfc() -> None:
    assert _mask.apply_mask(b"Hello", bytes.fromhex("37fa213d")) == bytes.fromhex("7f9f4d5158")


@pytest.mark.skipif(_mask.IMPLEMENTATION == "pure", reason="Python checks by itself")
def test_no_index_leads_outside() -> None:
    for start, end in ((-1, 2), (2, 1), (0, 5), (5, 6)):
        with pytest.raises(IndexError):
            _mask.slice_octets(b"text", start, end)
        with pytest.raises(IndexError):
            _mask.unmask_payload(b"text", start, end)
        with pytest.raises(IndexError):
            _mask.unmask_slice(b"text", start, end, b"keys", 0)
    with pytest.raises(IndexError):
        _mask.unmask_slice(b"text", 0, 4, b"key", 0)
