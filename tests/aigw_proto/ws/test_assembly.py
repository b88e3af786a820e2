from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._limits import WebSocketLimits
from aigw_proto.ws import BinaryMessage, Delivery, MessagePiece, Opcode, TextMessage
from aigw_proto.ws._assembly import Assembly, DataEvent
from aigw_proto.ws._deflate import Deflater, Inflater
from aigw_proto.ws._payload import decode_text
from aigw_proto.ws._violation import Violation

TEXT, BINARY, COMPRESSED_TEXT, COMPRESSED_BINARY = 0x01, 0x02, 0x41, 0x42


def new_assembly(delivery: Delivery = Delivery.MESSAGES, *, limits: WebSocketLimits | None = None) -> Assembly:
    inflater = Inflater(window_bits=15, no_context_takeover=False)
    return Assembly(delivery, limits or WebSocketLimits(), inflater)


def add_all(assembly: Assembly, head: int, pieces: list[bytes]) -> list[DataEvent]:
    events: list[DataEvent] = []
    for index, data in enumerate(pieces):
        event = assembly.add(head, data, index == 0, index == len(pieces) - 1)
        while event is not None:
            events.append(event)
            event = assembly.more()
    return events


def compress(data: bytes) -> bytes:
    return Deflater(window_bits=15, no_context_takeover=False).compress(data, finished=True)


def code_of(assembly: Assembly, head: int, pieces: list[bytes]) -> int:
    with pytest.raises(Violation) as caught:
        add_all(assembly, head, pieces)
    return caught.value.code


def test_messages_are_joined_and_text_is_decoded() -> None:
    assembly = new_assembly()
    assert add_all(assembly, TEXT, [b"caf\xc3", b"\xa9", b""]) == [TextMessage("café")]
    assert add_all(assembly, BINARY, [b"", b"\xff", b"\xc3"]) == [BinaryMessage(b"\xff\xc3")]
    assert add_all(assembly, TEXT, [b""]) == [TextMessage("")]
    assert add_all(assembly, COMPRESSED_TEXT, [compress("é".encode() * 3)]) == [TextMessage("ééé")]
    deflated = compress(bytes(200_000))
    assert add_all(assembly, COMPRESSED_BINARY, [deflated[:9], deflated[9:]]) == [BinaryMessage(bytes(200_000))]


def test_pieces_pass_through_and_empty_ones_only_at_the_end() -> None:
    assembly = new_assembly(Delivery.PIECES)
    assert add_all(assembly, TEXT, [b"", b"caf\xc3", b"", b"\xa9", b""]) == [
        MessagePiece(Opcode.TEXT, b"caf\xc3", True, False),
        MessagePiece(Opcode.TEXT, b"\xa9", False, False),
        MessagePiece(Opcode.TEXT, b"", False, True),
    ]
    assert add_all(assembly, BINARY, [b""]) == [MessagePiece(Opcode.BINARY, b"", True, True)]


def test_a_relay_gets_an_event_for_every_piece() -> None:
    assembly = new_assembly(Delivery.RELAY)
    assert add_all(assembly, TEXT, [b"", b"caf\xc3", b"", b"\xa9", b""]) == [
        MessagePiece(Opcode.TEXT, b"", True, False),
        MessagePiece(Opcode.TEXT, b"caf\xc3", False, False),
        MessagePiece(Opcode.TEXT, b"", False, False),
        MessagePiece(Opcode.TEXT, b"\xa9", False, False),
        MessagePiece(Opcode.TEXT, b"", False, True),
    ]
    deflated = compress(b"inflated" * 10)
    pieces = [b"", deflated[:1], deflated[1:], b""]
    assert add_all(assembly, COMPRESSED_BINARY, pieces) == [
        MessagePiece(Opcode.BINARY, b"", True, False),
        MessagePiece(Opcode.BINARY, b"", False, False),
        MessagePiece(Opcode.BINARY, b"inflated" * 10, False, False),
        MessagePiece(Opcode.BINARY, b"", False, True),
    ]


def test_a_relay_gets_no_empty_event_behind_a_full_one() -> None:
    assembly = new_assembly(Delivery.RELAY, limits=WebSocketLimits(piece_bytes=1000))
    deflater = Deflater(window_bits=15, no_context_takeover=False)
    fragments = [deflater.compress(bytes(2000), finished=False), deflater.compress(bytes(1000), finished=True)]
    events = add_all(assembly, COMPRESSED_BINARY, fragments)
    assert [len(event.data) for event in events] == [1000, 1000, 1000, 0], "only the last says that it is the last"


def test_inflated_pieces_are_bounded() -> None:
    assembly = new_assembly(Delivery.PIECES, limits=WebSocketLimits(piece_bytes=1000, max_message_bytes=10))
    events = add_all(assembly, COMPRESSED_BINARY, [compress(bytes(3000))])
    assert [len(event.data) for event in events] == [1000, 1000, 1000, 0]
    assert [isinstance(event, MessagePiece) and event.finished for event in events] == [False, False, False, True]


def test_a_relay_leaves_text_alone() -> None:
    assembly = new_assembly(Delivery.RELAY)
    assert add_all(assembly, TEXT, [b"\xff"]) == [MessagePiece(Opcode.TEXT, b"\xff", True, True)]


@pytest.mark.parametrize("delivery", [Delivery.MESSAGES, Delivery.PIECES])
def test_limit_and_text_after_inflation(delivery: Delivery) -> None:
    assert code_of(new_assembly(delivery), COMPRESSED_TEXT, [compress(b"ok\xff")]) == 1007
    assert code_of(new_assembly(delivery), COMPRESSED_TEXT, [b"\xff\xff"]) == 1007


def test_the_limit_is_exact() -> None:
    limits = WebSocketLimits(max_message_bytes=100)
    assert add_all(new_assembly(limits=limits), COMPRESSED_BINARY, [compress(bytes(100))]) == [
        BinaryMessage(bytes(100))
    ]
    assert add_all(new_assembly(limits=limits), BINARY, [bytes(60), bytes(40)]) == [BinaryMessage(bytes(100))]
    assert code_of(new_assembly(limits=limits), COMPRESSED_BINARY, [compress(bytes(101))]) == 1009
    assert code_of(new_assembly(limits=limits), BINARY, [bytes(60), bytes(41)]) == 1009


def test_a_discarded_message_is_gone() -> None:
    assembly = new_assembly()
    assert assembly.add(BINARY, b"x", True, False) is None
    assembly.discard()
    assert add_all(assembly, BINARY, [b"y"]) == [BinaryMessage(b"y")]
    assert assembly.more() is None
    assert Assembly(Delivery.MESSAGES, WebSocketLimits(), None).more() is None


# The well-formed sequences of the Unicode standard, table 3-7: (range of each octet).
WELL_FORMED = [
    [(0x00, 0x7F)],
    [(0xC2, 0xDF), (0x80, 0xBF)],
    [(0xE0, 0xE0), (0xA0, 0xBF), (0x80, 0xBF)],
    [(0xE1, 0xEC), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xED, 0xED), (0x80, 0x9F), (0x80, 0xBF)],
    [(0xEE, 0xEF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF0, 0xF0), (0x90, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF1, 0xF3), (0x80, 0xBF), (0x80, 0xBF), (0x80, 0xBF)],
    [(0xF4, 0xF4), (0x80, 0x8F), (0x80, 0xBF), (0x80, 0xBF)],
]


def is_prefix(data: bytes) -> bool:
    """Whether `data` begins a well-formed text, by the table."""
    while data:
        for form in WELL_FORMED:
            head = data[: len(form)]
            if all(low <= octet <= high for octet, (low, high) in zip(head, form, strict=False)):
                data = data[len(form) :]
                break
        else:
            return False
    return True


@pytest.mark.parametrize("delivery", [Delivery.MESSAGES, Delivery.PIECES])
def test_text_fails_at_the_first_octet_that_cannot_belong_to_it(delivery: Delivery) -> None:
    octets = [
        0x00,
        0x7F,
        0x80,
        0x8F,
        0x90,
        0x9F,
        0xA0,
        0xBF,
        0xC0,
        0xC1,
        0xC2,
        0xE0,
        0xED,
        0xEF,
        0xF0,
        0xF4,
        0xF5,
        0xFF,
    ]
    for data in itertools.product(octets, repeat=3):
        assembly = new_assembly(delivery)
        accepted, code = 0, 1007
        try:
            for index, octet in enumerate(data):
                assembly.add(TEXT, bytes((octet,)), index == 0, False)
                accepted += 1
        except Violation as violation:
            code = violation.code
        longest = max(size for size in range(4) if is_prefix(bytes(data[:size])))
        assert (accepted, code) == (longest, 1007)


@given(text=st.text(max_size=60), cuts=st.lists(st.integers(0, 240), max_size=5), compressed=st.booleans())
@settings(max_examples=60)
def test_text_at_any_cuts(text: str, cuts: list[int], compressed: bool) -> None:
    data = compress(text.encode()) if compressed else text.encode()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(places)]
    head = COMPRESSED_TEXT if compressed else TEXT
    assert add_all(new_assembly(), head, pieces) == [TextMessage(text)]


@pytest.mark.parametrize("data", [b"\xc3", b"a\xf0\x9f\x98", b"\xed\xa0\x80", b"\xff"])
def test_a_text_must_not_end_within_a_character(data: bytes) -> None:
    with pytest.raises(Violation):
        decode_text(data)
    assert code_of(new_assembly(), TEXT, [data]) == 1007
    assert code_of(new_assembly(), TEXT, [b"x", data]) == 1007
    assert code_of(new_assembly(Delivery.PIECES), TEXT, [b"x", data]) == 1007
    assembly = new_assembly()
    assert add_all(assembly, TEXT, [b"\xc3", b"\xa9"]) == [TextMessage("é")]
    assert add_all(assembly, TEXT, [b"a", b"b"]) == [TextMessage("ab")]
