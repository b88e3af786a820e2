"""The receiving half of a connection: bytes to messages, pings, pongs and the peer's Close.

It joins the frame decoder and the assembly and knows neither the state of the connection nor time. Most messages are
one uncompressed frame that came in one read; for them there is a short way from the payload to the event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from ._assembly import Assembly, DataEvent
from ._close import read_close
from ._codec import FrameDecoder
from ._events import BinaryMessage, CloseReceived, Delivery, MessagePiece, Opcode, Ping, Pong, TextMessage
from ._payload import decode_text

if TYPE_CHECKING:
    from .._limits import WebSocketLimits
    from ._deflate import Inflater

__all__ = ["Received", "Receiver", "ReceivingHalf"]

_UNLIMITED = (1 << 63) - 1

# The first octets of frames that are complete in themselves.
_TEXT_FRAME = 0x81
_BINARY_FRAME = 0x82
_CLOSE_FRAME = 0x88
_PING_FRAME = 0x89
_COMPRESSED = 0x40

_TEXT = Opcode.TEXT  # a look into an enumeration takes longer than making an event
_BINARY = Opcode.BINARY

Received: TypeAlias = DataEvent | Ping | Pong | CloseReceived


class ReceivingHalf:
    """What a connection wants from whoever reads frames for it."""

    __slots__ = ()

    def feed(self, data: bytes) -> None:
        """Store bytes from the peer; parses nothing."""
        raise NotImplementedError

    def next(self) -> Received | None:
        """Return the next thing received; None when more bytes are needed. Raises Violation, and then for good."""
        raise NotImplementedError

    def discard(self) -> None:
        """Let go of everything; nothing will be asked for any more."""
        raise NotImplementedError


class Receiver(ReceivingHalf):
    """Reads frames with our own codec."""

    __slots__ = ("_assembles", "_assembly", "_decoder", "_inflater", "_relays")

    def __init__(self, *, masked: bool, limits: WebSocketLimits, inflater: Inflater | None, delivery: Delivery) -> None:
        """Expect frames that are masked (on a server) or not, compressed messages only with an `inflater`."""
        self._decoder = FrameDecoder(
            masked=masked,
            compressed=inflater is not None,
            max_frame_bytes=limits.max_frame_bytes,
            max_message_bytes=limits.max_message_bytes if delivery is Delivery.MESSAGES else _UNLIMITED,
            max_fragments=limits.max_fragments,
            piece_bytes=limits.piece_bytes,
            gathered_bytes=limits.relayed_piece_bytes if delivery is Delivery.RELAY else 1,
            collects=delivery is Delivery.MESSAGES,
        )
        self._assembly = Assembly(delivery, limits, inflater)
        self._inflater = inflater
        self._assembles = delivery is Delivery.MESSAGES
        self._relays = delivery is Delivery.RELAY

    def feed(self, data: bytes) -> None:
        """Store bytes from the peer; parses nothing."""
        self._decoder.feed(data)

    def next(self) -> Received | None:
        """Return the next thing received; None when more bytes are needed. Raises Violation, and then for good."""
        decoder = self._decoder
        inflater = self._inflater
        while True:
            if inflater is not None and inflater.busy:
                event = self._assembly.more()
                if event is not None:
                    return event
            payload = decoder.decode()
            if payload is None:
                return None
            if isinstance(payload, str):
                return TextMessage(payload)
            head = decoder.head
            if not decoder.whole:
                if decoder.collecting:
                    continue
                event = self._assembly.add(head, payload, decoder.first, decoder.last)
            elif head & _COMPRESSED:
                event = self._assembly.add(head, payload, True, True)
            else:
                return self._translate(head, payload)
            if event is not None:
                return event

    def _translate(self, head: int, payload: bytes) -> Received:
        """Return what a frame says that is complete in itself."""
        if head == _TEXT_FRAME:
            if not self._relays:
                decode_text(payload)
            return MessagePiece(_TEXT, payload, True, True)
        if head == _BINARY_FRAME:
            return BinaryMessage(payload) if self._assembles else MessagePiece(_BINARY, payload, True, True)
        if head == _CLOSE_FRAME:
            code, reason = read_close(payload)
            return CloseReceived(code, reason)
        return Ping(payload) if head == _PING_FRAME else Pong(payload)

    def discard(self) -> None:
        """Let go of everything; nothing will be asked for any more."""
        self._decoder.discard()
        self._assembly.discard()
