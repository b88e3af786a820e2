"""Mask keys, handshake nonces and ids from an injected source of random bytes.

The source is a constructor argument so that a run can be repeated; production code passes a strong one
(`os.urandom`), as RFC 6455 section 5.3 demands for mask keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Entropy", "RandomBytes"]

RandomBytes: TypeAlias = Callable[[int], bytes]
"""Returns exactly as many random bytes as asked for."""

_BLOCK_BYTES = 4096  # one system call for a thousand masks: a call each costs more than masking a small frame


class Entropy:
    """Draws from `source` in blocks and deals out small pieces, each byte once."""

    __slots__ = ("_offset", "_source", "block")

    def __init__(self, source: RandomBytes) -> None:
        """Keep `source`; draws nothing yet."""
        self._source = source
        self.block = b""
        self._offset = 0

    def take(self, count: int) -> bytes:
        """Return `count` fresh random bytes, at most one block (4096)."""
        start = self.draw(count)
        return self.block[start : start + count]

    def draw(self, count: int) -> int:
        """Return where `count` fresh bytes begin in `block`: `take()` for who reads them at once and needs no copy."""
        if count > _BLOCK_BYTES:
            raise ValueError(f"asked for {count} random bytes; the most is {_BLOCK_BYTES}")
        start = self._offset
        if start + count > len(self.block):
            self.block = self._source(_BLOCK_BYTES)
            start = 0
        self._offset = start + count
        return start

    def uuid7(self, unix_milliseconds: int) -> str:
        """Return a lowercase UUIDv7 (RFC 9562 section 5.7) for that wall-clock time."""
        value = int.from_bytes(self.take(10), "big")
        number = (unix_milliseconds & (1 << 48) - 1) << 80 | value
        number = number & ~(0xF << 76) | 0x7 << 76
        number = number & ~(0x3 << 62) | 0x2 << 62
        digits = f"{number:032x}"
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
