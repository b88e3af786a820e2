"""What a link has still to send, and how much of it goes to the system at a time."""

from __future__ import annotations

from collections import deque

__all__ = ["JOIN_BYTES", "SLICE_BYTES", "Backlog"]

JOIN_BYTES = 64 * 1024
"""Small chunks go out together: a system call costs more than copying this much."""
SLICE_BYTES = 256 * 1024
"""Big chunks go out in parts, so that their progress is seen and reported."""


class Backlog:
    """Chunks in order, taken out in blocks."""

    __slots__ = ("_chunks", "_offset", "size_bytes")

    def __init__(self) -> None:
        """Start empty."""
        self._chunks: deque[bytes] = deque()
        self._offset = 0  # what was taken from the first
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._chunks)

    def extend(self, chunks: list[bytes]) -> None:
        """Add chunks at the end."""
        self._chunks.extend(chunks)
        self.size_bytes += sum(map(len, chunks))

    def clear(self) -> None:
        """Forget everything."""
        self._chunks.clear()
        self._offset = self.size_bytes = 0

    def next_block(self) -> bytes:
        """Take out the next block, which a single call may send. Not when empty."""
        block = self._cut() if len(self._chunks[0]) > SLICE_BYTES else self._join()
        self.size_bytes -= len(block)
        return block

    def _cut(self) -> bytes:
        first = self._chunks[0]
        block = first[self._offset : self._offset + SLICE_BYTES]
        self._offset += SLICE_BYTES
        if self._offset >= len(first):
            self._offset = 0
            self._chunks.popleft()
        return block

    def _join(self) -> bytes:
        chunks = self._chunks
        parts = [chunks.popleft()]
        room = JOIN_BYTES - len(parts[0])
        while chunks and len(chunks[0]) <= room:
            room -= len(chunks[0])
            parts.append(chunks.popleft())
        return parts[0] if len(parts) == 1 else b"".join(parts)
