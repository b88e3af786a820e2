"""Frames (RFC 6455 section 5.2): octets to payloads and back.

`FrameDecoder` is fed with octets as they come and asked for one piece of payload at a time. A piece is a whole frame
whenever the frame lies within what was read, which is the common case and the short path: look at two octets, unmask
one slice, done. A data frame that is not complete yet is handed out in pieces as it arrives, so that nothing but an
unfinished header (14 octets) or control frame (131 octets) is ever kept back. This is also why joining that rest with
the next read costs nothing worth mentioning, whatever the peer's chunking.

Who passes pieces on as fragments wants few of them, and asks for pieces of at least `gathered_bytes` within a frame.
Then that much of it is kept back as well, in one buffer that grows in place; a frame's end never waits.

Which first octets are legal depends on one thing only: whether a fragmented message is under way. Two tables of 256
entries say so, and the decoder switches between them; unknown opcodes, reserved bits, fragmented control frames,
missing and surplus continuations all are "not in the table". Every rule is checked as soon as the octets it concerns
are there: a declared length beyond a limit is refused before any of its payload is waited for.

Positions are indices into the current read, not slices of it; nothing is deleted from the front of a buffer. All state
is in attributes of fixed types, which `_codec.pxd` tells a compiler from outside. There integers have 64 bits, and a
declared length may have 63 of them: never add to one, compare it with what is left.
"""

from __future__ import annotations

from collections import deque
from struct import Struct

from .._errors import CloseCode
from ._mask import apply_mask, join_masked, unmask_payload, unmask_slice
from ._violation import Violation

__all__ = ["FrameDecoder", "encode_frame", "encode_header"]

# Kinds of frames by their first octet; 0 is illegal. The order serves comparisons: up to _WHOLE a frame stands alone,
# up to _FIRST it begins a message.
_CONTROL = 1
_WHOLE = 2  # data, FIN: a message of one frame
_FIRST = 3  # data, more to come
_MIDDLE = 4  # continuation, more to come
_LAST = 5  # continuation, FIN

_CONTROLS = {0x88: _CONTROL, 0x89: _CONTROL, 0x8A: _CONTROL}
_BETWEEN = {0x81: _WHOLE, 0x82: _WHOLE, 0x01: _FIRST, 0x02: _FIRST} | _CONTROLS
_BETWEEN_COMPRESSED = _BETWEEN | {0xC1: _WHOLE, 0xC2: _WHOLE, 0x41: _FIRST, 0x42: _FIRST}
_WITHIN = {0x00: _MIDDLE, 0x80: _LAST} | _CONTROLS


_OPCODES = frozenset((0x0, 0x1, 0x2, 0x8, 0x9, 0xA))
_ENDING = frozenset((_WHOLE, _LAST))
_ENOUGH_BYTES = 256  # more than any header or control frame

_HEADER_7 = Struct(">BB").pack
_HEADER_16 = Struct(">BBH").pack
_HEADER_64 = Struct(">BBQ").pack
_MASKED_HEADER_7 = Struct(">BB4s").pack
_MASKED_HEADER_16 = Struct(">BBH4s").pack
_MASKED_HEADER_64 = Struct(">BBQ4s").pack

_LONGEST = (1 << 63) - 1  # payload that a header can declare


def _table(kinds: dict[int, int]) -> bytes:
    return bytes(kinds.get(octet, 0) for octet in range(256))


_BETWEEN_TABLE = _table(_BETWEEN)
_BETWEEN_COMPRESSED_TABLE = _table(_BETWEEN_COMPRESSED)
_WITHIN_TABLE = _table(_WITHIN)


class FrameDecoder:
    """Turns octets into frame payloads, piece by piece, for one direction of one connection.

    After `decode()` has returned a payload, these attributes describe it:

    * `head`: the first octet of its frame (FIN, RSV1 to RSV3, opcode).
    * `whole`: it is a complete control frame or a complete message of one frame; `first` and `last` do not count then.
    * `first`, `last`: it is the first or last piece of a message.
    """

    __slots__ = (
        "_between",
        "_buffer",
        "_chunks",
        "_fragments",
        "_gathered",
        "_gathered_bytes",
        "_key",
        "_kind",
        "_kinds",
        "_mask_bit",
        "_max_fragments",
        "_max_frame_bytes",
        "_max_message_bytes",
        "_max_whole_bytes",
        "_message_bytes",
        "_message_head",
        "_offset",
        "_piece_bytes",
        "_position",
        "_remaining",
        "first",
        "head",
        "last",
        "whole",
    )

    def __init__(
        self,
        *,
        masked: bool,
        compressed: bool,
        max_frame_bytes: int,
        max_message_bytes: int,
        max_fragments: int,
        piece_bytes: int,
        gathered_bytes: int = 1,
    ) -> None:
        """Expect frames that are masked (from clients) or not (from servers), with RSV1 if `compressed` is agreed.

        `max_message_bytes` bounds the sum of the declared lengths of an uncompressed message. A piece is no larger than
        `piece_bytes`, and no smaller than `gathered_bytes` unless it ends its frame.
        """
        self._mask_bit = 0x80 if masked else 0
        self._between = _BETWEEN_COMPRESSED_TABLE if compressed else _BETWEEN_TABLE
        self._kinds = self._between
        self._max_frame_bytes = min(max_frame_bytes, _LONGEST)
        self._max_message_bytes = min(max_message_bytes, _LONGEST)
        self._max_whole_bytes = min(self._max_frame_bytes, self._max_message_bytes)
        self._max_fragments = min(max_fragments, _LONGEST)
        self._piece_bytes = min(piece_bytes, _LONGEST)
        self._gathered_bytes = min(gathered_bytes, self._piece_bytes)
        self._chunks: deque[bytes] = deque()  # reads that wait behind the current one
        self._buffer = b""
        self._position = 0
        # The message under way.
        self._message_head = 0
        self._message_bytes = 0
        self._fragments = 0
        # The frame under way, when its payload is taken in pieces.
        self._kind = 0
        self._key = b""
        self._offset = 0
        self._remaining = 0
        self._gathered = bytearray()  # payload that is too little for a piece, still masked
        # What describes the last payload.
        self.head = 0
        self.whole = False
        self.first = False
        self.last = False

    def feed(self, data: bytes) -> None:
        """Store octets; looks at none of them."""
        if self._position >= len(self._buffer) and not self._chunks:
            self._buffer = data
            self._position = 0
        else:
            self._chunks.append(data)

    def discard(self) -> None:
        """Drop what is stored; nothing will be decoded any more."""
        self._chunks.clear()
        self._buffer = b""
        self._position = 0
        self._gathered.clear()

    def decode(self) -> bytes | None:
        """Return the next payload or piece of one, unmasked; None when more octets are needed.

        Raises Violation, and then for good: the decoder must not be asked again.
        """
        if self._remaining:
            return self._next_piece()
        buffer = self._buffer
        size = len(buffer)
        position = self._position
        start = position + 2
        if start > size:
            return self._wait()
        head = buffer[position]
        kind = self._kinds[head]
        length = buffer[position + 1] ^ self._mask_bit
        if not kind or length > 125:
            length = self._long_length(head, length, start)
            if length < 0:
                return self._wait()
            start += 2 if length <= 0xFFFF else 8
        if kind > _WHOLE or (length > self._max_whole_bytes and kind == _WHOLE):
            self._check_limits(kind, head, length)
        if self._mask_bit:
            start += 4
        if length > size - start or (length > self._piece_bytes and kind != _CONTROL):
            if kind == _CONTROL or start > size:
                return self._wait()
            return self._begin_pieces(kind, head, length, start)
        end = start + length
        self._position = end
        self.head = head
        if kind <= _WHOLE:
            self.whole = True
        else:
            self._enter(kind, head, length)
            self.whole = False
            self.first = kind == _FIRST
            self.last = kind == _LAST
        return unmask_payload(buffer, start, end) if self._mask_bit else buffer[start:end]

    def _long_length(self, head: int, form: int, start: int) -> int:
        """Read the extended length at `start`, minimal and below 2^63 (section 5.2); -1 when it is not there yet."""
        if not self._kinds[head] or form > 127 or head & 0x08:
            raise self._bad_header(head, form)
        buffer = self._buffer
        end = start + (2 if form == 126 else 8)
        if end > len(buffer):
            return -1
        if form == 126:
            length = buffer[start] << 8 | buffer[start + 1]
            if length < 126:
                raise Violation(CloseCode.PROTOCOL_ERROR, "payload length is not minimally encoded")
            return length
        if buffer[start] & 0x80:
            raise Violation(CloseCode.PROTOCOL_ERROR, "payload length has its most significant bit set")
        length = int.from_bytes(buffer[start:end], "big")
        if length <= 0xFFFF:
            raise Violation(CloseCode.PROTOCOL_ERROR, "payload length is not minimally encoded")
        return length

    def _check_limits(self, kind: int, head: int, length: int) -> None:
        """Refuse a data frame by its header; moves nothing, since the header may still be incomplete."""
        if length > self._max_frame_bytes:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"frame is larger than {self._max_frame_bytes} bytes")
        allowed = self._max_message_bytes
        if kind > _FIRST:
            if self._fragments >= self._max_fragments:
                raise Violation(CloseCode.MESSAGE_TOO_BIG, f"message has more than {self._max_fragments} fragments")
            allowed -= self._message_bytes
            head = self._message_head
        # How large a compressed message is only inflating tells.
        if length > allowed and not head & 0x40:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"message is larger than {self._max_message_bytes} bytes")

    def _enter(self, kind: int, head: int, length: int) -> None:
        """Move the message under way by one fragment."""
        if kind == _FIRST:
            self._kinds = _WITHIN_TABLE
            self._message_head = head
            self._message_bytes = length
            self._fragments = 1
            return
        self._message_bytes += length
        self._fragments += 1
        if kind == _LAST:
            self._kinds = self._between

    def _begin_pieces(self, kind: int, head: int, length: int, start: int) -> bytes | None:
        """Leave the header behind; the payload follows as it arrives."""
        if kind != _WHOLE:
            self._enter(kind, head, length)
        self._kind = kind
        self._key = self._buffer[start - 4 : start] if self._mask_bit else b""
        self._offset = 0
        self._remaining = length
        self._position = start
        self.head = head
        self.whole = False
        return self._next_piece()

    def _next_piece(self) -> bytes | None:
        buffer = self._buffer
        position = self._position
        if position >= len(buffer):
            if not self._chunks:
                self._buffer = b""  # an idle connection must not hold on to its last read
                self._position = 0
                return None
            buffer = self._buffer = self._chunks.popleft()
            position = 0
        size = min(len(buffer) - position, self._remaining, self._piece_bytes)
        if (size < self._gathered_bytes and size < self._remaining) or self._gathered:
            if not self._gather(position):
                return None
            piece = bytes(self._gathered)
            size = len(piece)
            self._gathered.clear()
            if self._mask_bit:
                piece = apply_mask(piece, self._key, self._offset)
        else:
            end = self._position = position + size
            piece = (
                unmask_slice(buffer, position, end, self._key, self._offset) if self._mask_bit else buffer[position:end]
            )
        kind = self._kind
        self.first = self._offset == 0 and kind <= _FIRST
        self._offset += size
        self._remaining -= size
        self.last = self._remaining == 0 and kind in _ENDING
        return piece

    def _gather(self, position: int) -> bool:
        """Add payload from `position` on to what was gathered; whether that is a piece now."""
        gathered = self._gathered
        most = min(self._remaining, self._piece_bytes)
        least = min(self._remaining, self._gathered_bytes)
        buffer = self._buffer
        while True:
            end = min(len(buffer), position + most - len(gathered))
            gathered += buffer[position:end]
            if len(gathered) >= least:
                self._buffer = buffer
                self._position = end
                return True
            if not self._chunks:
                self._buffer = b""
                self._position = 0
                return False
            buffer = self._chunks.popleft()
            position = 0

    def _wait(self) -> bytes | None:
        """Join an unfinished header or control frame with what came behind it, or ask for more."""
        rest = self._buffer[self._position :]
        self._position = 0
        if not self._chunks:
            self._buffer = rest
            return None
        parts = [rest]
        size = len(rest)
        while self._chunks and size < _ENOUGH_BYTES:
            parts.append(self._chunks.popleft())
            size += len(parts[-1])
        self._buffer = b"".join(parts)
        return self.decode()

    def _bad_header(self, head: int, length: int) -> Violation:
        """Say what is wrong with the first two octets of a frame."""
        opcode = head & 0x0F
        if opcode not in _OPCODES:
            reason = f"opcode {opcode:#x} is reserved"
        elif length > 127:
            reason = "frame is not masked" if self._mask_bit else "frame is masked"
        elif opcode & 0x08 and not head & 0x80:
            reason = "control frame is fragmented"
        elif opcode & 0x08 and length > 125:
            reason = "control frame is longer than 125 bytes"
        elif head & 0x70:
            reason = "reserved bits are set"
        elif opcode:
            reason = "new message within a fragmented one"
        else:
            reason = "continuation without a message"
        return Violation(CloseCode.PROTOCOL_ERROR, reason)


def encode_header(head: int, length: int) -> bytes:
    """Return the header of an unmasked frame: `head` is the first octet, `length` that of the payload in bytes."""
    if length <= 125:
        return _HEADER_7(head, length)
    if length <= 0xFFFF:
        return _HEADER_16(head, 126, length)
    return _HEADER_64(head, 127, length)


def encode_frame(head: int, payload: bytes, key: bytes) -> bytes:
    """Return a whole frame, its payload masked with the four octets of `key` (section 5.3)."""
    length = len(payload)
    if length <= 125:
        header = _MASKED_HEADER_7(head, 0x80 | length, key)
    elif length <= 0xFFFF:
        header = _MASKED_HEADER_16(head, 0x80 | 126, length, key)
    else:
        header = _MASKED_HEADER_64(head, 0x80 | 127, length, key)
    return join_masked(header, payload, key)
