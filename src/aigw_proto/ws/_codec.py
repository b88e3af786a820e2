"""Frames as they are received (RFC 6455 section 5.2): octets to payloads.

`FrameDecoder` is fed with octets as they come and asked for one piece of payload at a time. A piece is a whole frame
whenever the frame lies within what was read, which is the common case and the short path: look at two octets, unmask
one slice, done. A data frame that is not complete yet is handed out in pieces as it arrives, so that nothing but an
unfinished header (14 octets) or control frame (131 octets) is ever kept back. This is also why joining that rest with
the next read costs nothing worth mentioning, whatever the peer's chunking.

Who passes pieces on as fragments wants few of them, and asks for pieces of at least `gathered_bytes` within a frame.
Then that much of it is kept back as well, in one buffer that grows in place; a frame's end never waits. Who wants whole
messages lets the decoder collect them in the same way; a compressed one comes in pieces all the same, since collecting
is then a matter of what it inflates to.

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

from .._errors import CloseCode
from ._mask import slice_octets, unmask_payload, unmask_slice
from ._payload import Collection, slice_text, unmask_text
from ._violation import Violation

__all__ = ["FrameDecoder"]

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
_FIN = 0x80
_COMPRESSED = 0x40
_ENOUGH_BYTES = 256  # more than any header or control frame

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
    * `collecting`: if it is not whole, it is empty and kept back until the message is complete.

    A decoder that `collects` does so with all messages but compressed ones; it returns them whole, and text as `str`.
    """

    __slots__ = (
        "_between",
        "_buffer",
        "_chunks",
        "_collection",
        "_collects",
        "_ends",
        "_fragments",
        "_gathered_bytes",
        "_key",
        "_kind",
        "_kinds",
        "_least_header_bytes",
        "_mask_bit",
        "_max_fragments",
        "_max_frame_bytes",
        "_max_message_bytes",
        "_message_bytes",
        "_message_head",
        "_most_bytes",
        "_offset",
        "_piece_bytes",
        "_position",
        "_remaining",
        "_text_head",
        "_within_frame",
        "collecting",
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
        collects: bool = False,
    ) -> None:
        """Expect frames that are masked (from clients) or not (from servers), with RSV1 if `compressed` is agreed.

        `max_message_bytes` bounds the sum of the declared lengths of an uncompressed message. A piece is no larger than
        `piece_bytes`, and no smaller than `gathered_bytes` unless it ends its frame; neither matters to messages that
        are collected.
        """
        self._mask_bit = 0x80 if masked else 0
        self._between = _BETWEEN_COMPRESSED_TABLE if compressed else _BETWEEN_TABLE
        self._kinds = self._between
        self._max_frame_bytes = min(max_frame_bytes, _LONGEST)
        self._max_message_bytes = min(max_message_bytes, _LONGEST)
        self._max_fragments = min(max_fragments, _LONGEST)
        self._piece_bytes = min(piece_bytes, _LONGEST)
        self._gathered_bytes = min(gathered_bytes, self._piece_bytes)
        # What a message may have that goes the short way.
        self._least_header_bytes = 6 if masked else 2
        self._most_bytes = min(
            self._max_frame_bytes, self._max_message_bytes, _LONGEST if collects else self._piece_bytes
        )
        self._chunks: deque[bytes] = deque()  # reads that wait behind the current one
        self._buffer = b""
        self._position = 0
        # The message under way.
        self._message_head = 0
        self._message_bytes = 0
        self._fragments = 0
        # The frame under way, unless it went the short way.
        self._within_frame = False
        self._kind = 0
        self._ends = False
        self._key = b""
        self._offset = 0
        self._remaining = 0
        # Payload that is too little for a piece, or the message under way if it is being collected.
        self._collection = Collection()
        self._collects = collects
        self._text_head = _FIN | 1 if collects else -1
        # What describes the last payload.
        self.head = 0
        self.whole = False
        self.collecting = False
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
        self._collection.discard()

    def decode(self) -> bytes | str | None:
        """Return the next payload or piece of one, unmasked; None when more octets are needed.

        Raises Violation, and then for good: the decoder must not be asked again.
        """
        if self._within_frame:
            return self._continue_frame()
        buffer = self._buffer
        size = len(buffer)
        position = self._position
        start = position + self._least_header_bytes
        if start <= size:
            # The short way, for frames that are all here. Whatever is wrong with one is left to the other way.
            head = buffer[position]
            kind = self._kinds[head]
            length = buffer[position + 1] ^ self._mask_bit
            if length == 126 and kind > _CONTROL and start + 2 <= size:
                length = buffer[position + 2] << 8 | buffer[position + 3]
                start += 2
                kind = kind if length > 125 else 0
            elif length > 125:
                kind = 0
            if kind and length <= size - start and (length <= self._most_bytes or kind == _CONTROL):
                if kind > _WHOLE:
                    return self._take_fragment(kind, head, length, start)
                end = self._position = start + length
                self.head = head
                self.whole = True
                if head == self._text_head:
                    return unmask_text(buffer, start, end) if self._mask_bit else slice_text(buffer, start, end)
                return unmask_payload(buffer, start, end) if self._mask_bit else slice_octets(buffer, start, end)
        if self._enter_frame():
            return self._continue_frame()
        return self.decode() if self._wait() else None

    def _take_fragment(self, kind: int, head: int, length: int, start: int) -> bytes | str:
        """Return a fragment that is all here."""
        self._check_limits(kind, head, length)
        self._enter_message(kind, head, length)
        buffer = self._buffer
        end = self._position = start + length
        self.whole = False
        if self.collecting:
            key = slice_octets(buffer, start - 4, start) if self._mask_bit else b""
            self._collection.add(buffer, start, end, key, 0, 0, kind == _LAST)
            return self._finish_collection() if kind == _LAST else b""
        self.head = head
        self.first = kind == _FIRST
        self.last = kind == _LAST
        return unmask_payload(buffer, start, end) if self._mask_bit else slice_octets(buffer, start, end)

    def _enter_frame(self) -> bool:
        """Leave the header of a data frame behind; False when it, or a whole control frame, is not there yet."""
        buffer = self._buffer
        position = self._position
        start = position + 2
        if start > len(buffer):
            return False
        head = buffer[position]
        kind = self._kinds[head]
        length = buffer[position + 1] ^ self._mask_bit
        if length > 125 or not kind:
            length = self._long_length(head, length, start)
            if length < 0:
                return False
            start += 2 if length <= 0xFFFF else 8
        if kind == _CONTROL:
            return False
        self._check_limits(kind, head, length)
        if self._mask_bit:
            start += 4
        if start > len(buffer):
            return False
        self._enter_message(kind, head, length)
        self._within_frame = True
        self._kind = kind
        self._ends = head & _FIN != 0
        self._key = slice_octets(buffer, start - 4, start) if self._mask_bit else b""
        self._offset = 0
        self._remaining = length
        self._position = start
        self.head = head
        self.whole = False
        return True

    def _long_length(self, head: int, form: int, start: int) -> int:
        """Read the extended length at `start`, minimal and below 2^63 (section 5.2); -1 when it is not there yet."""
        if not self._kinds[head] or form > 127 or head & 0x08:
            raise self._bad_header(head, form)
        buffer = self._buffer
        end = start + (2 if form == 126 else 8)
        if end > len(buffer):
            return -1
        if buffer[start] & 0x80 and form == 127:
            raise Violation(CloseCode.PROTOCOL_ERROR, "payload length has its most significant bit set")
        length = 0
        for at in range(start, end):
            length = length << 8 | buffer[at]
        if length <= (125 if form == 126 else 0xFFFF):
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
        if length > allowed and not head & _COMPRESSED:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"message is larger than {self._max_message_bytes} bytes")

    def _enter_message(self, kind: int, head: int, length: int) -> None:
        """Move the message under way by one frame, which may be all of it."""
        if kind <= _FIRST:
            self._message_head = head
            self._message_bytes = length
            self._fragments = 1
            self.collecting = self._collects and not head & _COMPRESSED
            if self.collecting:
                self._collection.begin(head & 0x0F == 1)
            if kind == _FIRST:
                self._kinds = _WITHIN_TABLE
            return
        self._message_bytes += length
        self._fragments += 1
        if kind == _LAST:
            self._kinds = self._between

    def _next_read(self) -> bool:
        """Take up the next read if all of the current one was used; whether there is anything."""
        if self._position < len(self._buffer):
            return True
        self._position = 0
        if self._chunks:
            self._buffer = self._chunks.popleft()
            return True
        self._buffer = b""  # an idle connection must not hold on to its last read
        return False

    def _continue_frame(self) -> bytes | str | None:
        """Return the next piece of the frame under way."""
        if not self.collecting:
            return self._next_piece()
        while self._remaining:
            if not self._next_read():
                return None
            start = self._position
            end = self._position = start + min(len(self._buffer) - start, self._remaining)
            self._remaining -= end - start
            self._collection.add(self._buffer, start, end, self._key, self._offset, self._remaining, self._ends)
            self._offset += end - start
        self._within_frame = False
        return self._finish_collection() if self._ends else b""

    def _finish_collection(self) -> bytes | str:
        """Return the message that is complete now."""
        head = self.head = _FIN | self._message_head
        self.whole = True
        return self._collection.text() if head == self._text_head else self._collection.octets()

    def _next_piece(self) -> bytes | None:
        if self._remaining and not self._next_read():
            return None
        buffer = self._buffer
        position = self._position
        size = min(len(buffer) - position, self._remaining, self._piece_bytes)
        if (size < self._gathered_bytes and size < self._remaining) or self._collection.size:
            if not self._gather(position):
                return None
            size = self._collection.size
            piece = self._collection.octets()
        else:
            end = self._position = position + size
            if self._mask_bit:
                piece = unmask_slice(buffer, position, end, self._key, self._offset)
            else:
                piece = slice_octets(buffer, position, end)
        self.first = self._offset == 0 and self._kind <= _FIRST
        self._offset += size
        self._remaining -= size
        self._within_frame = self._remaining != 0
        self.last = self._remaining == 0 and self._ends
        return piece

    def _gather(self, position: int) -> bool:
        """Add payload from `position` on to what was gathered; whether that is a piece now."""
        gathered = self._collection
        most = min(self._remaining, self._piece_bytes)
        least = min(self._remaining, self._gathered_bytes)
        buffer = self._buffer
        while True:
            end = position + min(len(buffer) - position, most - gathered.size)
            size = gathered.size + end - position
            gathered.add(buffer, position, end, self._key, self._offset + gathered.size, max(0, least - size), True)
            if size >= least:
                self._buffer = buffer
                self._position = end
                return True
            if not self._chunks:
                self._buffer = b""
                self._position = 0
                return False
            buffer = self._chunks.popleft()
            position = 0

    def _wait(self) -> bool:
        """Join an unfinished header or control frame with what came behind it; whether anything did."""
        rest = slice_octets(self._buffer, self._position, len(self._buffer))
        self._position = 0
        if not self._chunks:
            self._buffer = rest
            return False
        parts = [rest]
        size = len(rest)
        while self._chunks and size < _ENOUGH_BYTES:
            parts.append(self._chunks.popleft())
            size += len(parts[-1])
        self._buffer = b"".join(parts)
        return True

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
