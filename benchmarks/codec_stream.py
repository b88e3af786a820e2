"""What the benchmark of frames reads."""

from __future__ import annotations

import os

READ_BYTES = 64 * 1024


def frame(opcode: int, payload: bytes, *, masked: bool, final: bool = True) -> bytes:
    """Return a frame as a peer would send it."""
    length = len(payload)
    bit = 0x80 if masked else 0
    first = 0x80 | opcode if final else opcode
    if length <= 125:
        header = bytes((first, bit | length))
    elif length <= 0xFFFF:
        header = bytes((first, bit | 126)) + length.to_bytes(2, "big")
    else:
        header = bytes((first, bit | 127)) + length.to_bytes(8, "big")
    if not masked:
        return header + payload
    key = os.urandom(4)
    mask = int.from_bytes((key * (length // 4 + 1))[:length], "little")
    return header + key + (int.from_bytes(payload, "little") ^ mask).to_bytes(length, "little")


class Stream:
    """Some messages in one stream, and the reads in which it comes."""

    def __init__(self, opcode: int, size: int, *, masked: bool, fragments: int = 1) -> None:
        """Make messages of `size` bytes of ASCII: as many as are in a few reads."""
        self.opcode = opcode
        self.fragments = fragments
        self.count = max(1, min(64, 4 * READ_BYTES // size))
        text = (b'{"type":"response.output_text.delta","delta":"hello"} ' * (size // 50 + 1))[:size]
        step = size // fragments
        message = b"".join(
            frame(0 if at else opcode, text[at : at + step], masked=masked, final=at + step >= size)
            for at in range(0, size, step)
        )
        octets = message * self.count
        self.reads = [octets[at : at + READ_BYTES] for at in range(0, len(octets), READ_BYTES)]
        self.payload = text.decode() if opcode == 1 else text
