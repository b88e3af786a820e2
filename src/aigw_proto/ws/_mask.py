"""Masking of frame payloads (RFC 6455 section 5.3) in pure Python; `_mask.pyx` is the same with pointers.

XOR is its own inverse, so one function masks and unmasks. Python has no XOR of byte strings, but two detours run at the
speed of C: whole payloads as one big integer, best up to about half a KiB, and every fourth octet through a translation
table, best above. Both were measured against each other; a loop in Python is a hundred times slower.
"""

from __future__ import annotations

from typing import Final

__all__ = ["IMPLEMENTATION", "apply_mask", "join_masked", "unmask_payload", "unmask_slice"]

IMPLEMENTATION: Final[str] = "pure"
"""Which build of the frame codec is loaded: "pure" or "compiled"."""

_TABLES_FROM_BYTES = 512
_IDENTITY = int.from_bytes(bytes(range(256)), "little")
_TABLES = tuple(
    (_IDENTITY ^ int.from_bytes(bytes((octet,)) * 256, "little")).to_bytes(256, "little") for octet in range(256)
)
_from_bytes = int.from_bytes


def apply_mask(data: bytes, key: bytes, offset: int = 0) -> bytes:
    """Return `data` masked or unmasked with the four octets of `key`.

    `offset` is the position of `data` within the frame's payload.
    """
    if offset & 3:
        turn = offset & 3
        key = key[turn:] + key[:turn]
    size = len(data)
    if size < _TABLES_FROM_BYTES:
        mask = (key * ((size >> 2) + 1))[:size]
        return (_from_bytes(data, "little") ^ _from_bytes(mask, "little")).to_bytes(size, "little")
    tables = _TABLES
    masked = bytearray(data)
    masked[::4] = masked[::4].translate(tables[key[0]])
    masked[1::4] = masked[1::4].translate(tables[key[1]])
    masked[2::4] = masked[2::4].translate(tables[key[2]])
    masked[3::4] = masked[3::4].translate(tables[key[3]])
    return bytes(masked)


def unmask_payload(buffer: bytes, start: int, end: int) -> bytes:
    """Return `buffer[start:end]` unmasked with the key that stands before it, as in a frame."""
    return apply_mask(buffer[start:end], buffer[start - 4 : start])


def unmask_slice(buffer: bytes, start: int, end: int, key: bytes, offset: int) -> bytes:
    """Return `buffer[start:end]`, which is at `offset` of its payload, unmasked with `key`."""
    return apply_mask(buffer[start:end], key, offset)


def join_masked(header: bytes, payload: bytes, key: bytes) -> bytes:
    """Return `header` and behind it `payload`, masked: a frame."""
    return header + apply_mask(payload, key)
