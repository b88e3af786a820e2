"""The receiving half of a connection: bytes to messages, pings, pongs and the peer's Close.

It joins the frame decoder and the assembly and knows neither the state of the connection nor time. Most messages are
one uncompressed frame that came in one read; for them there is a short way from the payload to the event.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from ._assembly import Assembly, DataEvent, decode_text
from ._close import read_close
from ._codec import FrameDecoder
from ._events import BinaryMessage, CloseReceived, Delivery, MessagePiece, Opcode, Ping, Pong, TextMessage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .._limits import WebSocketLimits
    from ._deflate import Inflater

__all__ = ["Received", "Receiver", "ReceivingHalf"]

_UNLIMITED = (1 << 63) - 1


Received: TypeAlias = DataEvent | Ping | Pong | CloseReceived


class ReceivingHalf(Protocol):
    """What a connection wants from whoever reads frames for it."""

    def feed(self, data: bytes) -> None:
        """Store bytes from the peer; parses nothing."""
        ...

    def next(self) -> Received | None:
        """Return the next thing received; None when more bytes are needed. Raises Violation, and then for good."""
        ...

    def discard(self) -> None:
        """Let go of everything; nothing will be asked for any more."""
        ...


def _whole_text(payload: bytes) -> TextMessage:
    return TextMessage(decode_text(payload))


def _whole_text_piece(payload: bytes) -> MessagePiece:
    return MessagePiece(Opcode.TEXT, payload, True, True)


def _checked_text_piece(payload: bytes) -> MessagePiece:
    decode_text(payload)
    return MessagePiece(Opcode.TEXT, payload, True, True)


def _whole_binary_piece(payload: bytes) -> MessagePiece:
    return MessagePiece(Opcode.BINARY, payload, True, True)


def _close(payload: bytes) -> CloseReceived:
    return CloseReceived(*read_close(payload))


# What becomes of a frame that is complete in itself, by its first octet.
_CONTROLS: dict[int, Callable[[bytes], Received]] = {0x88: _close, 0x89: Ping, 0x8A: Pong}
_WHOLE: Final[Mapping[Delivery, Mapping[int, Callable[[bytes], Received]]]] = {
    Delivery.MESSAGES: {**_CONTROLS, 0x81: _whole_text, 0x82: BinaryMessage},
    Delivery.PIECES: {**_CONTROLS, 0x81: _checked_text_piece, 0x82: _whole_binary_piece},
    Delivery.RELAY: {**_CONTROLS, 0x81: _whole_text_piece, 0x82: _whole_binary_piece},
}


class Receiver:
    """Reads frames with our own codec."""

    __slots__ = ("_assembly", "_decoder", "_inflater", "_whole")

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
        )
        self._assembly = Assembly(delivery, limits, inflater)
        self._inflater = inflater
        self._whole = _WHOLE[delivery]

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
            head = decoder.head
            if decoder.whole:
                whole = self._whole.get(head)
                if whole is not None:
                    return whole(payload)
                event = self._assembly.add(head, payload, first=True, last=True)
            else:
                event = self._assembly.add(head, payload, first=decoder.first, last=decoder.last)
            if event is not None:
                return event

    def discard(self) -> None:
        """Let go of everything; nothing will be asked for any more."""
        self._decoder.discard()
        self._assembly.discard()
