"""The chunked transfer coding, receiving side (RFC 9112 section 7.1).

h11 could read it too, but copies every payload three times and matches trailer lines with a pattern that takes
quadratic time on a long run of spaces. So chunks are cut here, and h11 is shown only the last chunk with its trailers,
after a check that rules such lines out.
"""

from __future__ import annotations

import re

from ._inbox import BlockTooLong, Inbox

__all__ = ["ChunkedBody", "ChunkingFault"]

_MAX_LINE_BYTES = 4096  # a chunk's size with extensions that nobody uses: what fits into a small read is plenty
_MAX_TRAILER_BYTES = 16 * 1024  # trailers carry a checksum or a signature

# Sixteen digits are 2**64 - 1; white space behind the size is sent by real servers.
_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")


class ChunkingFault(Exception):  # noqa: N818 - a condition that the caller turns into an event, not an error
    """The peer broke the coding; the text says how."""


class ChunkedBody:
    """Cuts chunk payloads out of an inbox."""

    __slots__ = ("_footer", "_inbox", "_left", "_trailer_bytes", "_trailers", "_trailing")

    def __init__(self, inbox: Inbox) -> None:
        """Read from `inbox`, which stands at the beginning of a body."""
        self._inbox = inbox
        self._left = 0
        self._footer = False
        self._trailing = False
        self._trailers: list[bytes] = []
        self._trailer_bytes = 0

    @property
    def trailing(self) -> bool:
        """Whether the last chunk was read, so that `take_trailers` is next."""
        return self._trailing

    def take(self, limit: int) -> bytes:
        """Return up to `limit` bytes of payload; empty when more input, or `take_trailers`, is needed.

        Raises `ChunkingFault`.
        """
        if not self._left:
            if self._trailing or not self._start_chunk():
                return b""
            if not self._left:
                self._trailing = True
                return b""
        piece = self._inbox.take(min(limit, self._left))
        self._left -= len(piece)
        self._footer = not self._left
        return piece

    def take_trailers(self) -> bytes | None:
        """Return the trailer section with the blank line that ends it; None while it is incomplete.

        Raises `ChunkingFault`.
        """
        try:
            while (line := self._inbox.take_line(_MAX_TRAILER_BYTES - self._trailer_bytes)) is not None:
                self._trailers.append(line)
                self._trailer_bytes += len(line)
                if line in {b"\r\n", b"\n"}:
                    return b"".join(self._trailers)
        except BlockTooLong:
            raise ChunkingFault("the trailers are too long") from None
        return None

    def _start_chunk(self) -> bool:
        """Read the line that ends the chunk before, and the line with the size; false while incomplete."""
        try:
            if self._footer:
                line = self._inbox.take_line(2)
                if line is None:
                    return False
                if line != b"\r\n":
                    raise ChunkingFault("a chunk does not end where its size says")
                self._footer = False
            line = self._inbox.take_line(_MAX_LINE_BYTES)
        except BlockTooLong:
            raise ChunkingFault("a chunk does not end where its size says, or its size line is too long") from None
        if line is None:
            return False
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise ChunkingFault("a chunk has no valid size")
        self._left = int(match[1], 16)
        return True
