"""Frames as they are sent (RFC 6455 section 5.2), with the shortest form of their length; `_encoder.pyx` is the same.

`head` is always the first octet of a frame: FIN, RSV1 to RSV3 and opcode.
"""

from __future__ import annotations

from struct import Struct

from ._mask import apply_mask

__all__ = ["encode_frame", "encode_header", "encode_masked"]

_HEADER_7 = Struct(">BB").pack
_HEADER_16 = Struct(">BBH").pack
_HEADER_64 = Struct(">BBQ").pack
_MASKED_HEADER_7 = Struct(">BB4s").pack
_MASKED_HEADER_16 = Struct(">BBH4s").pack
_MASKED_HEADER_64 = Struct(">BBQ4s").pack


def encode_header(head: int, length: int) -> bytes:
    """Return the header of an unmasked frame with `length` bytes of payload."""
    if length <= 125:
        return _HEADER_7(head, length)
    if length <= 0xFFFF:
        return _HEADER_16(head, 126, length)
    return _HEADER_64(head, 127, length)


def encode_frame(head: int, payload: bytes) -> bytes:
    """Return a whole frame that is not masked."""
    return encode_header(head, len(payload)) + payload


def encode_masked(head: int, payload: bytes, keys: bytes, at: int) -> bytes:
    """Return a whole frame, its payload masked with the four octets of `keys` from `at` on (section 5.3)."""
    key = keys[at : at + 4]
    length = len(payload)
    if length <= 125:
        header = _MASKED_HEADER_7(head, 0x80 | length, key)
    elif length <= 0xFFFF:
        header = _MASKED_HEADER_16(head, 0x80 | 126, length, key)
    else:
        header = _MASKED_HEADER_64(head, 0x80 | 127, length, key)
    return header + apply_mask(payload, key)
