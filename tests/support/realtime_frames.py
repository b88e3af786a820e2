"""Frames for a relay's tests, written by hand and read back strictly: nothing of the code under test takes part."""

from __future__ import annotations

import itertools
from typing import NamedTuple

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FIN, RSV1 = 0x80, 0x40
_TABLES = [bytes(octet ^ key for octet in range(256)) for key in range(256)]
_numbers = itertools.count(1)


class Frame(NamedTuple):
    """A frame as it came."""

    opcode: int
    payload: bytes
    is_final: bool = True
    is_compressed: bool = False


class Message(NamedTuple):
    """A data message as its fragments make it up."""

    opcode: int
    payload: bytes

    def __repr__(self) -> str:
        shown = self.payload if len(self.payload) <= 80 else self.payload[:40] + b"..." + self.payload[-40:]
        return f"Message(opcode={self.opcode}, {len(self.payload)} bytes: {shown!r})"


def mask(data: bytes | bytearray, key: bytes) -> bytes:
    """Mask or unmask (RFC 6455 section 5.3): every fourth octet with the same octet of the key."""
    masked = bytearray(data)
    for index in range(4):
        masked[index::4] = masked[index::4].translate(_TABLES[key[index]])
    return bytes(masked)


def frame(head: int, payload: bytes = b"", *, masked: bool, key: bytes | None = None) -> bytes:
    """Return one frame with the shortest length; without a `key` each masked frame gets its own."""
    length = len(payload)
    mask_bit = 0x80 if masked else 0
    if length < 126:
        opening = bytes((head, mask_bit | length))
    elif length < 1 << 16:
        opening = bytes((head, mask_bit | 126)) + length.to_bytes(2, "big")
    else:
        opening = bytes((head, mask_bit | 127)) + length.to_bytes(8, "big")
    if not masked:
        return opening + payload
    key = key or (next(_numbers) * 0x9E3779B1 & 0xFFFFFFFF).to_bytes(4, "big")
    return opening + key + mask(payload, key)


def close_payload(code: int | None, reason: bytes = b"") -> bytes:
    """Return the payload of a Close frame; without a code there is none."""
    return b"" if code is None else code.to_bytes(2, "big") + reason


class Reader:
    """Reads frames and minds every rule that a sender can break."""

    def __init__(self, *, masked: bool, may_compress: bool = False) -> None:
        """Expect frames that are `masked` or are not; compressed ones only when that was negotiated."""
        self._masked = masked
        self._may_compress = may_compress
        self._data = bytearray()
        self._in_message = False
        self._closed = False

    @property
    def unread_bytes(self) -> int:
        """What has come of a frame that is not complete."""
        return len(self._data)

    def feed(self, data: bytes) -> None:
        """Add bytes."""
        self._data += data

    def next(self) -> Frame | None:
        """Return the next complete frame."""
        data = self._data
        if len(data) < 2:
            return None
        short = data[1] & 0x7F
        start = 2 + {126: 2, 127: 8}.get(short, 0)
        length = short if start == 2 else int.from_bytes(data[2:start], "big")
        if len(data) < start:
            return None
        self._judge_head(data[0], data[1], length, extended=start - 2)
        key_bytes = 4 if self._masked else 0
        if len(data) < start + key_bytes + length:
            return None
        key = bytes(data[start : start + key_bytes])
        start += key_bytes
        payload = bytes(data[start : start + length])
        frame = Frame(data[0] & 0x0F, mask(payload, key) if key else payload, bool(data[0] & FIN), bool(data[0] & RSV1))
        del data[: start + length]
        self._judge_order(frame)
        return frame

    def _judge_head(self, first: int, second: int, length: int, *, extended: int) -> None:
        opcode = first & 0x0F
        assert opcode in (0, TEXT, BINARY, CLOSE, PING, PONG), f"opcode {opcode}"
        assert not first & 0x30, f"reserved bits in {first:#x}"
        assert bool(second & 0x80) == self._masked, "masked" if second & 0x80 else "not masked"
        assert length >= {0: 0, 2: 126, 8: 1 << 16}[extended], "the length is not in its shortest form"
        if opcode >= CLOSE:
            assert first & FIN, "a control frame in fragments"
            assert length <= 125, "a long control frame"
        assert not first & RSV1 or (self._may_compress and opcode in (TEXT, BINARY)), "RSV1"

    def _judge_order(self, frame: Frame) -> None:
        assert not self._closed, f"{frame} behind a Close"
        self._closed = frame.opcode == CLOSE
        if frame.opcode >= CLOSE:
            return
        assert self._in_message == (frame.opcode == 0), f"opcode {frame.opcode} " + (
            "within a message" if self._in_message else "continues no message"
        )
        self._in_message = not frame.is_final
