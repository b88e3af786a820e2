"""What one link does in the scenarios that move much: it sends a pattern, heeds back-pressure, checks what comes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._inputs import BytesReceived, BytesSent, Input, PeerClosed

if TYPE_CHECKING:
    from .._kinds import LinkId
    from ._toy import ToyEngine

__all__ = ["CHUNK_BYTES", "Transfer", "pattern_piece"]

CHUNK_BYTES = 64 * 1024
_HIGH_WATER_BYTES = 256 * 1024
_PATTERN = bytes(range(251)) * 1024  # a prime period, so that lost or swapped chunks show


def pattern_piece(offset: int, size: int) -> bytes:
    """Return `size` bytes of the pattern from `offset` on."""
    start = offset % 251
    pattern = _PATTERN * (1 + (start + size) // len(_PATTERN))  # a driver may read as much at once as it likes
    return pattern[start : start + size]


class Transfer:
    """One link's share of a transfer: sends a pattern as fast as back-pressure allows, and checks what comes."""

    def __init__(self, engine: ToyEngine, link: LinkId, send_bytes: int) -> None:
        self.engine = engine
        self.link = link
        self.left = send_bytes
        self.sent = 0
        self.unsent = 0
        self.got = 0
        self.peer_done = False

    def pump(self) -> bool:
        """Send one chunk; when there is more and room for it, say that work remains. True when both are done."""
        if self.left and self.unsent < _HIGH_WATER_BYTES:
            size = min(self.left, CHUNK_BYTES)
            self.engine.send(self.link, pattern_piece(self.sent, size))
            self.left -= size
            self.sent += size
            if self.left:
                self.engine.deadline = self.engine.now
            else:
                self.engine.end_sending(self.link)
        return self.peer_done and not self.left  # a kernel that took the last chunk at once is not heard of again

    def take(self, event: Input) -> bool:
        """Take an input; True when both directions are done."""
        match event:
            case BytesReceived(_, data):
                if data != pattern_piece(self.got, len(data)):
                    raise AssertionError(f"driver: wrong bytes at offset {self.got}")
                self.got += len(data)
            case BytesSent(_, unsent):
                self.unsent = unsent
                if self.left and unsent < _HIGH_WATER_BYTES:
                    self.engine.deadline = self.engine.now
            case PeerClosed():
                self.peer_done = True
            case _:
                pass
        return self.peer_done and not self.left
