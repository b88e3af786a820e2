"""What the targets share: an input read as decisions, ways to cut it, and what must not depend on the cuts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeVar

from aigw_proto.testing import chunkings

T = TypeVar("T")
_MAX_BYTE_BY_BYTE = 600


class Script:
    """Reads an input from its beginning. What is not there any more reads as zero, so that every input means something.

    It has the methods of `random.Random` that plays draw with: a play can be run by a seed or by the bytes of an input.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    @property
    def spent(self) -> bool:
        """Whether all was read."""
        return self._position >= len(self._data)

    def octet(self) -> int:
        """Read one byte."""
        if self.spent:
            return 0
        self._position += 1
        return self._data[self._position - 1]

    def randrange(self, start: int, stop: int | None = None) -> int:
        """Decide on a number as `random.Random.randrange` does; two bytes when there is much to choose from."""
        if stop is None:
            start, stop = 0, start
        span = stop - start
        value = self.octet()
        if span > 256:
            value = value << 8 | self.octet()
        return start + value % span

    def random(self) -> float:
        """Decide on a number from 0 to less than 1."""
        return self.octet() / 256

    def choice(self, options: Sequence[T], /) -> T:
        """Decide on one of `options`."""
        return options[self.randrange(len(options))]

    def randbytes(self, count: int) -> bytes:
        """Read that many bytes, as `take`."""
        return self.take(count)

    def take(self, count: int) -> bytes:
        """Read that many bytes, or all that are left."""
        start, self._position = self._position, self._position + count
        return self._data[start : self._position]

    def rest(self) -> bytes:
        """Read all that is left."""
        return self.take(len(self._data))


def cuts(data: bytes) -> Iterator[list[bytes]]:
    """Yield `data` cut byte by byte unless that takes long, in halves, and at two series of places."""
    for number, chunks in enumerate(chunkings(data, seed=len(data), cuts=2)):
        if number != 0 and (number != 1 or len(data) <= _MAX_BYTE_BY_BYTE):
            yield chunks
