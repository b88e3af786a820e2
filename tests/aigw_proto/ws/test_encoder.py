from __future__ import annotations

import pytest

from aigw_proto.ws import IMPLEMENTATION
from aigw_proto.ws._encoder import encode_frame, encode_header, encode_masked
from support.frames import KEY, frame


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 255, 256, 65535, 65536])
@pytest.mark.parametrize("head", [0x00, 0x01, 0x82, 0xC1])
def test_a_frame_has_the_shortest_form_of_its_length(head: int, size: int) -> None:
    payload = bytes(index & 0xFF for index in range(size))
    assert encode_header(head, size) + payload == frame(head, payload, masked=False)
    assert encode_frame(head, payload) == frame(head, payload, masked=False)
    assert encode_masked(head, payload, b"before" + KEY + b"behind", 6) == frame(head, payload)


def test_a_length_may_have_63_bits() -> None:
    assert encode_header(0x82, (1 << 63) - 1) == b"\x82\x7f\x7f" + b"\xff" * 7
    assert encode_header(0x82, 0x0102030405060708) == bytes((0x82, 127, *range(1, 9)))


@pytest.mark.skipif(IMPLEMENTATION == "pure", reason="Python checks by itself")
@pytest.mark.parametrize("at", [-1, 1, 5])
def test_a_key_is_within_its_block(at: int) -> None:
    with pytest.raises(IndexError):
        encode_masked(0x81, b"text", KEY, at)
