from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aigw_proto._entropy import Entropy
from aigw_proto._errors import LocalProtocolError
from aigw_proto.ws import Opcode
from aigw_proto.ws._deflate import Deflater, Inflater
from aigw_proto.ws._sender import Sender
from support.frames import frame, parse

if TYPE_CHECKING:
    from collections.abc import Callable


def new_sender(*, client: bool = False, deflate: bool = False, max_control_bytes: int = 100) -> Sender:
    return Sender(
        entropy=Entropy(lambda count: bytes(index * 89 & 0xFF for index in range(count))) if client else None,
        deflater=Deflater(window_bits=15, no_context_takeover=False) if deflate else None,
        max_control_bytes=max_control_bytes,
    )


def taken(sender: Sender) -> list[tuple[int, bytes]]:
    return parse(b"".join(sender.take()))


def test_a_fragmented_message_is_under_way_from_its_first_piece_to_its_last() -> None:
    sender = new_sender()

    def within() -> bool:
        return sender.within_message

    assert not within()
    sender.message(Opcode.TEXT, b"whole")
    assert not within()
    sender.piece(Opcode.TEXT, b"", False)
    assert within()
    sender.control(Opcode.PING, b"")
    sender.piece(Opcode.TEXT, b"", False)
    assert within()
    sender.piece(Opcode.TEXT, b"", True)
    assert not within()


def test_messages_of_a_server_are_not_masked_and_large_ones_not_copied() -> None:
    sender = new_sender()
    large = bytes(5000)
    sender.message(Opcode.TEXT, b"small")
    sender.message(Opcode.BINARY, large)
    small, header, payload = sender.take()
    assert small == frame(0x81, b"small", masked=False)
    assert header == b"\x82\x7e\x13\x88"
    assert payload is large
    assert sender.take() == []


def test_messages_of_a_client_are_masked_with_a_fresh_key_each() -> None:
    sender = new_sender(client=True)
    for _ in range(2):
        sender.message(Opcode.TEXT, b"Hello")
    wire = b"".join(sender.take())
    assert parse(wire) == [(0x81, b"Hello")] * 2
    assert wire[2:6] != wire[13:17]
    assert wire[2:6] + wire[13:17] == bytes(index * 89 & 0xFF for index in range(8))


def test_chunks_are_handed_on_as_they_are() -> None:
    sender = new_sender()
    chunks = [b"{", b"", b"x" * 200, b"}"]
    sender.text_chunks(chunks)
    output = sender.take()
    assert output[0] == b"\x81\x7e\x00\xca"
    assert output[1:] == [b"{", b"x" * 200, b"}"]
    assert output[2] is chunks[2]


@pytest.mark.parametrize(("client", "deflate"), [(True, False), (False, True), (True, True)])
def test_chunks_are_joined_where_they_must_be(client: bool, deflate: bool) -> None:
    sender = new_sender(client=client, deflate=deflate)
    sender.text_chunks([b"one ", b"message"])
    ((head, payload),) = taken(sender)
    if deflate:
        inflater = Inflater(window_bits=15, no_context_takeover=False)
        inflater.feed(payload, finished=True)
        payload = inflater.read(100)
    assert (head, payload) == (0xC1 if deflate else 0x81, b"one message")


@pytest.mark.parametrize("deflate", [False, True])
def test_fragments(deflate: bool) -> None:
    sender = new_sender(deflate=deflate)
    rsv1 = 0x40 if deflate else 0
    sender.piece(Opcode.TEXT, b"a", False)
    sender.control(Opcode.PING, b"!")
    misuses: list[Callable[[], None]] = [
        lambda: sender.piece(Opcode.BINARY, b"", True),
        lambda: sender.piece(Opcode.PING, b"", True),
        lambda: sender.message(Opcode.TEXT, b""),
        lambda: sender.text_chunks([b""]),
    ]
    for misuse in misuses:
        with pytest.raises(LocalProtocolError):
            misuse()
    sender.piece(Opcode.TEXT, b"b", False)
    sender.piece(Opcode.TEXT, b"", True)
    sender.piece(Opcode.BINARY, b"whole", True)
    assert [head for head, _ in taken(sender)] == [0x01 | rsv1, 0x89, 0x00, 0x80, 0x82 | rsv1]


def test_control_frames() -> None:
    sender = new_sender()
    sender.control(Opcode.PING, b"x" * 125)
    sender.control(Opcode.PONG, b"")
    with pytest.raises(LocalProtocolError):
        sender.control(Opcode.PING, b"x" * 126)
    sender.close(b"\x03\xe8")
    assert taken(sender) == [(0x89, b"x" * 125), (0x8A, b""), (0x88, b"\x03\xe8")]


def test_pongs_that_nobody_takes_are_bounded_and_the_newest_ping_wins() -> None:
    sender = new_sender(max_control_bytes=100)
    for number in range(1000):
        sender.answer_ping(b"%04d" % number)
    assert taken(sender) == [(0x8A, b"%04d" % number) for number in [*range(10), 999]]
    sender.answer_ping(b"again")
    assert taken(sender) == [(0x8A, b"again")]


def test_no_late_pong_behind_a_close() -> None:
    sender = new_sender(max_control_bytes=0)
    sender.answer_ping(b"late")
    sender.close(b"")
    assert taken(sender) == [(0x88, b"")]


def test_a_limit_beyond_all_counting_is_none() -> None:
    sender = new_sender(max_control_bytes=1 << 80)
    for _ in range(50):
        sender.answer_ping(b"ping")
    assert taken(sender) == [(0x8A, b"ping")] * 50
