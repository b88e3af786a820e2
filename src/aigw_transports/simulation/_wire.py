"""WebSocket frames and HTTP heads as the observers write and read them: by hand, and not with what they watch."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import NamedTuple

__all__ = [
    "BINARY",
    "CLOSE",
    "FIN",
    "KEY",
    "PING",
    "PONG",
    "TEXT",
    "Frame",
    "FrameReader",
    "accept_value",
    "close_payload",
    "frame",
    "header_of",
    "upgrade_request",
]

FIN = 0x80
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
KEY = b"AAECAwQFBgcICQoLDA0ODw=="
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_MASK = b"\x37\xfa\x21\x3d"  # the one of RFC 6455 section 5.7: which it is makes no difference to anybody


class Frame(NamedTuple):
    """A frame: its first byte, and its payload unmasked."""

    head: int
    payload: bytes

    @property
    def opcode(self) -> int:
        """What it is."""
        return self.head & 15

    @property
    def is_final(self) -> bool:
        """Whether it ends its message."""
        return self.head >= FIN


def _masked(payload: bytes) -> bytes:
    count = len(payload)
    pattern = (_MASK * (count // 4 + 1))[:count]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(pattern, "little")).to_bytes(count, "little")


def frame(head: int, payload: bytes, *, masked: bool) -> bytes:
    """Return a frame (RFC 6455 section 5.2); `head` is its first byte."""
    count, bit = len(payload), 0x80 if masked else 0
    if count < 126:
        start = bytes((head, bit | count))
    elif count < 65536:
        start = bytes((head, bit | 126)) + count.to_bytes(2, "big")
    else:
        start = bytes((head, bit | 127)) + count.to_bytes(8, "big")
    return start + _MASK + _masked(payload) if masked else start + payload


def close_payload(code: int | None, reason: bytes = b"") -> bytes:
    """Return what a Close holds (RFC 6455 section 5.5.1)."""
    return b"" if code is None else code.to_bytes(2, "big") + reason


class FrameReader:
    """Cuts what comes into frames. An AssertionError names what no gateway may send."""

    def __init__(self, *, masked: bool) -> None:
        """Expect frames of a client when `masked`, else of a server (RFC 6455 section 5.3)."""
        self._masked = masked
        self._data = b""

    @property
    def is_within_a_frame(self) -> bool:
        """Whether a frame has begun to come."""
        return bool(self._data)

    def feed(self, data: bytes) -> list[Frame]:
        """Take bytes; return the frames that they complete."""
        if self._data:
            data = self._data + data
        frames: list[Frame] = []
        at, size = 0, len(data)
        while size - at >= 2:
            head, length = data[at], data[at + 1] & 127
            assert (data[at + 1] >= 128) is self._masked, "a frame is masked, or is not"
            assert not head & 0x70, f"reserved bits in the head {head:#x}"
            start = at + 2
            if length > 125:
                wide = 2 if length == 126 else 8
                if size < start + wide:
                    break
                length = int.from_bytes(data[start : start + wide], "big")
                assert length > (125 if wide == 2 else 65535), "a length is longer than it has to be"
                start += wide
            if self._masked:
                start += 4
            if size < start + length:
                break
            payload = data[start : start + length]
            frames.append(Frame(head, self._unmasked(payload, data[start - 4 : start]) if self._masked else payload))
            at = start + length
        self._data = data[at:]
        return frames

    @staticmethod
    def _unmasked(payload: bytes, key: bytes) -> bytes:
        count = len(payload)
        pattern = (key * (count // 4 + 1))[:count]
        return (int.from_bytes(payload, "little") ^ int.from_bytes(pattern, "little")).to_bytes(count, "little")


def upgrade_request(target: str, *lines: str) -> bytes:
    """Return a request for an upgrade."""
    head = [f"GET {target} HTTP/1.1", "Host: gateway", "Upgrade: websocket", "Connection: Upgrade"]
    head += [f"Sec-WebSocket-Key: {KEY.decode()}", "Sec-WebSocket-Version: 13", *lines, "", ""]
    return "\r\n".join(head).encode()


def accept_value(key: bytes) -> bytes:
    """Return the answer to a key (RFC 6455 section 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def header_of(head: bytes, name: bytes) -> bytes | None:
    """Return the value of a header field, by its name in lower case; None when there is none."""
    found = re.search(rb"\r\n" + re.escape(name) + rb":[ \t]*([^\r\n]*)", head, re.IGNORECASE)
    return None if found is None else found[1]
