"""Messages from pieces: inflation, UTF-8, the message limit, and the form in which the caller wants it all.

The decoder hands over pieces of payload; this is what becomes of them. A piece of a compressed message may inflate to
many pieces, so the caller asks `more()` until it gets None before it decodes the next frame.

Whole messages that are not compressed never come here: the decoder collects them itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from .._errors import CloseCode
from ._events import BinaryMessage, Delivery, MessagePiece, Opcode, TextMessage
from ._payload import Collection, check_text
from ._violation import Violation

if TYPE_CHECKING:
    from .._limits import WebSocketLimits
    from ._deflate import Inflater

__all__ = ["Assembly", "DataEvent"]

DataEvent: TypeAlias = TextMessage | BinaryMessage | MessagePiece

_TEXT = Opcode.TEXT
_BINARY = Opcode.BINARY
_UNLIMITED = (1 << 63) - 1


class Assembly:
    """Turns pieces of payload into data events."""

    __slots__ = (
        "_assembles",
        "_checks_text",
        "_collection",
        "_compressed",
        "_cut",
        "_fresh",
        "_inflater",
        "_last",
        "_max_message_bytes",
        "_message_bytes",
        "_opcode",
        "_owes_event",
        "_piece_bytes",
        "_relays",
    )

    def __init__(self, delivery: Delivery, limits: WebSocketLimits, inflater: Inflater | None) -> None:
        """Deliver in the form of `delivery`; `inflater` is for permessage-deflate, when that was agreed."""
        self._assembles = delivery is Delivery.MESSAGES
        self._relays = delivery is Delivery.RELAY
        self._max_message_bytes = min(limits.max_message_bytes, _UNLIMITED)
        self._piece_bytes = min(limits.piece_bytes, _UNLIMITED)
        self._inflater = inflater
        # The message under way.
        self._opcode = _BINARY
        self._checks_text = False
        self._compressed = False
        self._fresh = False  # no event of it was delivered yet
        self._last = False
        self._cut = b""  # the octets of a character that the last piece ended within
        self._collection = Collection()
        self._message_bytes = 0
        self._owes_event = False  # a relay gets one for every piece, also when it is or inflates to nothing

    def add(self, head: int, data: bytes, first: bool, last: bool) -> DataEvent | None:
        """Take a piece; `head` is the first octet of its frame. Raises Violation (1007, 1009)."""
        if first:
            text = head & 0x0F == 1
            self._opcode = _TEXT if text else _BINARY
            self._checks_text = text and not self._relays
            self._compressed = head & 0x40 != 0
            self._fresh = True
            self._message_bytes = 0
            self._cut = b""
            self._collection.begin(text)
        self._owes_event = self._relays
        if self._compressed and self._inflater is not None:
            self._last = last
            self._inflater.feed(data, finished=last)
            return self.more()
        return self._take(data, last)

    def more(self) -> DataEvent | None:
        """Return the next event out of what was added; None when it takes another piece. Raises Violation."""
        inflater = self._inflater
        if inflater is None:
            return None
        while inflater.busy:
            limit = self._piece_bytes
            if self._assembles:
                # One octet beyond the limit is enough to know that there are too many.
                limit = min(limit - 1, self._max_message_bytes - self._message_bytes) + 1
            data = inflater.read(limit)
            event = self._take(data, self._last and not inflater.busy)
            if event is not None:
                return event
        return None

    def discard(self) -> None:
        """Let go of a message that will never be complete."""
        self._collection.discard()

    def _take(self, data: bytes, last: bool) -> DataEvent | None:
        if self._assembles:
            return self._collect(data, last)
        if self._checks_text and (self._cut or last or not data.isascii()):
            self._cut = check_text(self._cut + data, last)
        if not data and not last and not self._owes_event:
            return None
        self._owes_event = False
        started = self._fresh
        self._fresh = False
        return MessagePiece(self._opcode, data, started, last)

    def _collect(self, data: bytes, last: bool) -> TextMessage | BinaryMessage | None:
        self._message_bytes += len(data)
        if self._message_bytes > self._max_message_bytes:
            reason = f"message is larger than {self._max_message_bytes} bytes"
            raise Violation(CloseCode.MESSAGE_TOO_BIG, reason)
        collection = self._collection
        collection.add(data, 0, len(data), b"", 0, 0, last)
        if not last:
            return None
        return TextMessage(collection.text()) if self._checks_text else BinaryMessage(collection.octets())
