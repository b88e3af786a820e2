from __future__ import annotations

import pytest

from aigw_proto._limits import WebSocketLimits
from aigw_proto.testing import chunkings
from aigw_proto.ws import BinaryMessage, CloseReceived, Delivery, MessagePiece, Opcode, Ping, Pong, TextMessage
from aigw_proto.ws._deflate import Deflater, Inflater
from aigw_proto.ws._receiver import Received, Receiver
from aigw_proto.ws._violation import Violation
from support.frames import frame


def new_receiver(delivery: Delivery, *, deflate: bool = False, limits: WebSocketLimits | None = None) -> Receiver:
    inflater = Inflater(window_bits=15, no_context_takeover=False) if deflate else None
    return Receiver(masked=True, limits=limits or WebSocketLimits(), inflater=inflater, delivery=delivery)


def receive(receiver: Receiver, *chunks: bytes) -> list[Received]:
    received: list[Received] = []
    for chunk in chunks:
        receiver.feed(chunk)
        while (event := receiver.next()) is not None:
            received.append(event)
    return received


WIRE = (
    frame(0x81, b"text")
    + frame(0x82, b"\xff")
    + frame(0x89, b"a")
    + frame(0x01, b"t\xc3")
    + frame(0x8A, b"b")
    + frame(0x80, b"\xa9")
    + frame(0x88, b"\x03\xe9bye")
)


def test_messages_however_they_are_cut() -> None:
    for chunks in chunkings(WIRE):
        assert receive(new_receiver(Delivery.MESSAGES), *chunks) == [
            TextMessage("text"),
            BinaryMessage(b"\xff"),
            Ping(b"a"),
            Pong(b"b"),
            TextMessage("té"),
            CloseReceived(1001, "bye"),
        ]


@pytest.mark.parametrize("delivery", [Delivery.PIECES, Delivery.RELAY])
def test_pieces(delivery: Delivery) -> None:
    assert receive(new_receiver(delivery), WIRE) == [
        MessagePiece(Opcode.TEXT, b"text", True, True),
        MessagePiece(Opcode.BINARY, b"\xff", True, True),
        Ping(b"a"),
        MessagePiece(Opcode.TEXT, b"t\xc3", True, False),
        Pong(b"b"),
        MessagePiece(Opcode.TEXT, b"\xa9", False, True),
        CloseReceived(1001, "bye"),
    ]


def relayed(wire: bytes, chunks: list[bytes], *, deflate: bool = False, least: int = 1 << 15) -> list[Received]:
    limits = WebSocketLimits(relayed_piece_bytes=least)
    received = receive(new_receiver(Delivery.RELAY, deflate=deflate, limits=limits), *chunks)
    if least > len(wire):
        assert received == receive(new_receiver(Delivery.RELAY, deflate=deflate), wire)
    return received


def test_a_relay_sees_the_frames_of_the_peer_however_they_are_cut() -> None:
    wire = WIRE[: -len(frame(0x88, b"\x03\xe9bye"))] + frame(0x02) + frame(0x00) + frame(0x00, b"x") + frame(0x80)
    for chunks in chunkings(wire):
        assert relayed(wire, chunks)[-6:] == [
            Pong(b"b"),
            MessagePiece(Opcode.TEXT, b"\xa9", False, True),
            MessagePiece(Opcode.BINARY, b"", True, False),
            MessagePiece(Opcode.BINARY, b"", False, False),
            MessagePiece(Opcode.BINARY, b"x", False, False),
            MessagePiece(Opcode.BINARY, b"", False, True),
        ]
        assert len(relayed(wire, chunks, least=1)) >= 10


def test_every_compressed_frame_is_at_least_one_piece_for_a_relay() -> None:
    deflater = Deflater(window_bits=15, no_context_takeover=False)
    data = deflater.compress(b"compressed" * 10, finished=True)
    wire = frame(0x42) + frame(0x00, data[:1]) + frame(0x89) + frame(0x00, data[1:]) + frame(0x80)
    wire += frame(0xC1, deflater.compress(b"next", finished=True)) + frame(0x02) + frame(0x80)
    for chunks in chunkings(wire):
        assert relayed(wire, chunks, deflate=True) == [
            MessagePiece(Opcode.BINARY, b"", True, False),
            MessagePiece(Opcode.BINARY, b"", False, False),
            Ping(b""),
            MessagePiece(Opcode.BINARY, b"compressed" * 10, False, False),
            MessagePiece(Opcode.BINARY, b"", False, True),
            MessagePiece(Opcode.TEXT, b"next", True, True),
            MessagePiece(Opcode.BINARY, b"", True, False),
            MessagePiece(Opcode.BINARY, b"", False, True),
        ]


def test_only_a_relay_takes_bad_text() -> None:
    for delivery in (Delivery.MESSAGES, Delivery.PIECES):
        with pytest.raises(Violation):
            receive(new_receiver(delivery), frame(0x81, b"\xff"))
    assert receive(new_receiver(Delivery.RELAY), frame(0x81, b"\xff")) == [
        MessagePiece(Opcode.TEXT, b"\xff", True, True)
    ]


def test_controls_between_the_fragments_of_a_compressed_message() -> None:
    data = Deflater(window_bits=15, no_context_takeover=False).compress(b"compressed" * 100, finished=True)
    wire = frame(0x42, data[:5]) + frame(0x89, b"?") + frame(0x00, data[5:9]) + frame(0x8A) + frame(0x80, data[9:])
    wire += frame(0xC1, Deflater(window_bits=15, no_context_takeover=False).compress(b"next", finished=True))
    wire += frame(0x81, b"plain")
    expected = [Ping(b"?"), Pong(b""), BinaryMessage(b"compressed" * 100), TextMessage("next"), TextMessage("plain")]
    for chunks in chunkings(wire):
        assert receive(new_receiver(Delivery.MESSAGES, deflate=True), *chunks) == expected


def test_a_piece_that_inflates_to_many_is_given_before_the_next_frame() -> None:
    data = Deflater(window_bits=15, no_context_takeover=False).compress(bytes(5000), finished=True)
    receiver = new_receiver(Delivery.PIECES, deflate=True, limits=WebSocketLimits(piece_bytes=2000))
    received = receive(receiver, frame(0xC2, data) + frame(0x89))
    assert [type(event) for event in received] == [MessagePiece, MessagePiece, MessagePiece, Ping]


@pytest.mark.parametrize("delivery", [Delivery.PIECES, Delivery.RELAY])
def test_a_fragment_that_inflates_to_full_pieces_leaves_no_empty_one(delivery: Delivery) -> None:
    deflater = Deflater(window_bits=15, no_context_takeover=False)
    wire = frame(0x42, deflater.compress(bytes(4000), finished=False)) + frame(0x89)
    receiver = new_receiver(delivery, deflate=True, limits=WebSocketLimits(piece_bytes=2000))
    assert receive(receiver, wire) == [
        MessagePiece(Opcode.BINARY, bytes(2000), True, False),
        MessagePiece(Opcode.BINARY, bytes(2000), False, False),
        Ping(b""),
    ]


def test_discarding_lets_go_of_all() -> None:
    receiver = new_receiver(Delivery.MESSAGES)
    receiver.feed(WIRE)
    receiver.discard()
    assert receiver.next() is None
