"""Masking of frame payloads (RFC 6455 section 5.3) in pure Python; `_mask.pyx` is the same with pointers.

XOR is its own inverse, so one function masks and unmasks. Python has no XOR of byte strings, but two detours run at the
speed of C: whole payloads as one big integer, best up to about half a KiB, and every fourth octet through a translation
table, best above. The integer that repeats the key is the key times one of ones, which takes half as long as to repeat
octets. All were measured against each other; a loop in Python is a hundred times slower.
"""

from __future__ import annotations

from typing import Final

__all__ = ["IMPLEMENTATION", "apply_mask", "slice_octets", "unmask_payload", "unmask_slice"]

IMPLEMENTATION: Final[str] = "pure"
"""Which build of the frame codec is loaded: "pure" or "compiled"."""

_LARGEST_INTEGER_BYTES = 512
_IDENTITY = int.from_bytes(bytes(range(256)), "little")
_TABLES = tuple(
    (_IDENTITY ^ int.from_bytes(bytes((octet,)) * 256, "little")).to_bytes(256, "little") for octet in range(256)
)
_from_bytes = int.from_bytes
_ONES = tuple(_from_bytes(b"\x01\x00\x00\x00" * words, "little") for words in range(_LARGEST_INTEGER_BYTES // 4 + 1))


def apply_mask(data: bytes, key: bytes, offset: int = 0) -> bytes:
    """Return `data` masked or unmasked with the four octets of `key`.

    `offset` is the position of `data` within the frame's payload.
    """
    if offset & 3:
        turn = offset & 3
        key = key[turn:] + key[:turn]
    size = len(data)
    if size <= _LARGEST_INTEGER_BYTES:
        words = (size + 3) >> 2
        mask = _from_bytes(key, "little") * _ONES[words]
        masked = (_from_bytes(data, "little") ^ mask).to_bytes(words << 2, "little")
        return masked[:size] if size & 3 else masked
    tables = _TABLES
    octets = bytearray(data)
    octets[::4] = octets[::4].translate(tables[key[0]])
    octets[1::4] = octets[1::4].translate(tables[key[1]])
    octets[2::4] = octets[2::4].translate(tables[key[2]])
    octets[3::4] = octets[3::4].translate(tables[key[3]])
    return bytes(octets)


def unmask_payload(buffer: bytes, start: int, end: int) -> bytes:
    """Return `buffer[start:end]` unmasked with the key that stands before it, as in a frame."""
    size = end - start
    if size > _LARGEST_INTEGER_BYTES:
        return apply_mask(buffer[start:end], buffer[start - 4 : start])
    # As in `apply_mask`; most frames are small, and a call is a tenth of their cost.
    words = (size + 3) >> 2
    mask = _from_bytes(buffer[start - 4 : start], "little") * _ONES[words]
    payload = (_from_bytes(buffer[start:end], "little") ^ mask).to_bytes(words << 2, "little")
    return payload[:size] if size & 3 else payload


def slice_octets(buffer: bytes, start: int, end: int) -> bytes:
    """Return `buffer[start:end]`. Compiled this takes a third of the time, since no object is made of the indices."""
    return buffer[start:end]


def unmask_slice(buffer: bytes, start: int, end: int, key: bytes, offset: int) -> bytes:
    """Return `buffer[start:end]`, which is at `offset` of its payload, unmasked with `key`."""
    return apply_mask(buffer[start:end], key, offset)
