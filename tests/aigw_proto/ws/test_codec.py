from __future__ import annotations

import itertools
import tracemalloc
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto.testing import chunkings
from aigw_proto.ws._codec import FrameDecoder
from aigw_proto.ws._violation import Violation
from support.frames import KEY, frame

HUGE = (1 << 63) - 1


class Piece(NamedTuple):
    head: int
    data: bytes
    first: bool
    last: bool


def new_decoder(
    *,
    masked: bool = True,
    compressed: bool = False,
    max_frame_bytes: int = HUGE,
    max_message_bytes: int = HUGE,
    max_fragments: int = 1 << 20,
    piece_bytes: int = 65536,
    gathered_bytes: int = 1,
    collects: bool = False,
) -> FrameDecoder:
    return FrameDecoder(
        masked=masked,
        compressed=compressed,
        max_frame_bytes=max_frame_bytes,
        max_message_bytes=max_message_bytes,
        max_fragments=max_fragments,
        piece_bytes=piece_bytes,
        gathered_bytes=gathered_bytes,
        collects=collects,
    )


def drain(decoder: FrameDecoder) -> list[Piece]:
    pieces: list[Piece] = []
    while (data := decoder.decode()) is not None:
        assert isinstance(data, bytes)
        alone = decoder.whole
        pieces.append(Piece(decoder.head, data, alone or decoder.first, alone or decoder.last))
    return pieces


def decode(decoder: FrameDecoder, *chunks: bytes) -> list[Piece]:
    pieces: list[Piece] = []
    for chunk in chunks:
        decoder.feed(chunk)
        pieces += drain(decoder)
    return pieces


def join(pieces: list[Piece]) -> list[tuple[int, bytes]]:
    """Put the pieces of messages together again; control frames stand where they came."""
    messages: list[tuple[int, bytes]] = []
    opened: tuple[int, bytes] | None = None
    for piece in pieces:
        if piece.head & 0x08:
            messages.append((piece.head & 0x0F, piece.data))
            continue
        assert piece.first == (opened is None)
        opened = (piece.head & 0x4F, piece.data) if opened is None else (opened[0], opened[1] + piece.data)
        if piece.last:
            messages.append(opened)
            opened = None
    return messages


def violation(decoder: FrameDecoder, *chunks: bytes) -> tuple[int, str]:
    with pytest.raises(Violation) as caught:
        decode(decoder, *chunks)
    return caught.value.code, caught.value.reason


MESSAGES = [
    (0x1, b""),
    (0x1, b"Hello"),
    (0x2, b"x" * 125),
    (0x2, b"y" * 126),
    (0x9, b"ping"),
    (0x2, b"z" * 65535),
    (0x2, b"!" * 65536),
    (0xA, b""),
    (0x8, b"\x03\xe8"),
]


@pytest.mark.parametrize("masked", [True, False])
def test_every_length_form_whole_and_torn(masked: bool) -> None:
    small = b"".join(frame(0x80 | opcode, data, masked=masked) for opcode, data in MESSAGES if len(data) < 1000)
    expected = [message for message in MESSAGES if len(message[1]) < 1000]
    for chunks in chunkings(small):
        assert join(decode(new_decoder(masked=masked), *chunks)) == expected
    everything = b"".join(frame(0x80 | opcode, data, masked=masked) for opcode, data in MESSAGES)
    assert join(decode(new_decoder(masked=masked), everything)) == MESSAGES
    assert join(decode(new_decoder(masked=masked, piece_bytes=7), everything)) == MESSAGES


FRAGMENTED = (
    frame(0x01, b"one ")
    + frame(0x89, b"?")
    + frame(0x00, b"")
    + frame(0x00, b"two ")
    + frame(0x8A, b"!")
    + frame(0x80, b"three")
    + frame(0x02)
    + frame(0x80)
    + frame(0x81, b"alone")
)


def test_fragments_with_control_frames_between_them() -> None:
    for chunks in chunkings(FRAGMENTED):
        assert join(decode(new_decoder(), *chunks)) == [
            (0x9, b"?"),
            (0xA, b"!"),
            (0x1, b"one two three"),
            (0x2, b""),
            (0x1, b"alone"),
        ]


def test_all_chunks_fed_before_the_first_decode() -> None:
    decoder = new_decoder()
    for index in range(len(FRAGMENTED)):
        decoder.feed(FRAGMENTED[index : index + 1])
    assert len(join(drain(decoder))) == 5


def test_payload_is_handed_out_as_it_arrives() -> None:
    data = frame(0x82, b"abcdef")
    decoder = new_decoder()
    assert decode(decoder, data[:6]) == []
    assert decode(decoder, data[6:8]) == [Piece(0x82, b"ab", True, False)]
    assert decode(decoder, data[8:11]) == [Piece(0x82, b"cde", False, False)]
    assert decode(decoder, data[11:]) == [Piece(0x82, b"f", False, True)]


def test_small_reads_are_gathered() -> None:
    data = frame(0x82, b"abcdefghij")
    decoder = new_decoder(gathered_bytes=4)
    assert decode(decoder, data[:6], data[6:8], data[8:9]) == [], "too little for a piece"
    assert decode(decoder, data[9:11]) == [Piece(0x82, b"abcde", True, False)], "all that is there"
    assert decode(decoder, data[11:15]) == [Piece(0x82, b"fghi", False, False)]
    assert decode(decoder, data[15:]) == [Piece(0x82, b"j", False, True)], "the end of a frame never waits"
    for chunk in (data[:8], data[8:9], data[9:], data):
        decoder.feed(chunk)
    assert [piece.data for piece in drain(decoder)] == [b"abcdefghij"] * 2, "also when nobody pulled in between"
    few = new_decoder(gathered_bytes=100, piece_bytes=4)
    assert [piece.data for piece in decode(few, data[:9], data[9:])] == [b"abcd", b"efgh", b"ij"]


def test_a_piece_without_bound_of_a_frame_of_any_length() -> None:
    decoder = new_decoder(masked=False, piece_bytes=HUGE, gathered_bytes=4)
    longest = b"\x82\x7f" + HUGE.to_bytes(8, "big")
    assert decode(decoder, longest + b"abc", b"d", b"ef", b"ghijk") == [
        Piece(0x82, b"abcd", True, False),
        Piece(0x82, b"efghijk", False, False),
    ]


@pytest.mark.parametrize("masked", [True, False])
def test_a_frame_below_the_least_piece_is_one_piece_however_it_is_cut(masked: bool) -> None:
    fragments = [b"", b"x", b"four", b"", b"y" * 130, b"end"]
    heads = [0x01, *[0x00] * 4, 0x80]
    wire = b"".join(frame(head, data, masked=masked) for head, data in zip(heads, fragments, strict=True))
    for chunks in chunkings(wire):
        pieces = decode(new_decoder(masked=masked, gathered_bytes=130), *chunks)
        assert [piece.data for piece in pieces] == fragments
        assert [piece.first for piece in pieces] == [True, *[False] * 5]
        assert [piece.last for piece in pieces] == [*[False] * 5, True]


@given(
    sizes=st.lists(st.integers(0, 300), min_size=1, max_size=4),
    masked=st.booleans(),
    piece_bytes=st.integers(1, 200),
    gathered_bytes=st.integers(1, 200),
    cuts=st.lists(st.integers(0, 1300), max_size=12),
    late=st.booleans(),
)
@settings(max_examples=150)
def test_pieces_within_their_bounds_at_any_cuts(
    sizes: list[int], masked: bool, piece_bytes: int, gathered_bytes: int, cuts: list[int], late: bool
) -> None:
    data = bytes(index & 0xFF for index in range(300))
    wire = b"".join(frame(0x82, data[:size], masked=masked) for size in sizes)
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    chunks = [wire[start:end] for start, end in itertools.pairwise(places) if start < end]
    decoder = new_decoder(masked=masked, piece_bytes=piece_bytes, gathered_bytes=gathered_bytes)
    if late:
        for chunk in chunks[:-1]:
            decoder.feed(chunk)
        chunks = chunks[-1:]
    pieces = decode(decoder, *chunks)
    assert join(pieces) == [(0x2, data[:size]) for size in sizes]
    assert all(len(piece.data) <= piece_bytes for piece in pieces)
    assert all(len(piece.data) >= min(gathered_bytes, piece_bytes) for piece in pieces if not piece.last)


@given(
    messages=st.lists(
        st.tuples(st.sampled_from([0x1, 0x2]), st.lists(st.binary(max_size=200), min_size=1, max_size=4)), max_size=5
    ),
    masked=st.booleans(),
    piece_bytes=st.integers(1, 300),
    gathered_bytes=st.sampled_from([1, 100]),
    cuts=st.lists(st.integers(0, 2000), max_size=12),
)
@settings(max_examples=100)
def test_any_fragments_at_any_cuts(
    messages: list[tuple[int, list[bytes]]], masked: bool, piece_bytes: int, gathered_bytes: int, cuts: list[int]
) -> None:
    wire = b""
    for opcode, fragments in messages:
        for index, data in enumerate(fragments):
            fin = 0x80 if index == len(fragments) - 1 else 0
            wire += frame(fin | (opcode if index == 0 else 0), data, masked=masked)
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    chunks = [wire[start:end] for start, end in itertools.pairwise(places) if start < end]
    pieces = decode(new_decoder(masked=masked, piece_bytes=piece_bytes, gathered_bytes=gathered_bytes), *chunks)
    assert join(pieces) == [(opcode, b"".join(fragments)) for opcode, fragments in messages]
    assert all(len(piece.data) <= piece_bytes for piece in pieces)


def collect(decoder: FrameDecoder, *chunks: bytes) -> list[tuple[int, bytes | str]]:
    """Decode whole messages; nothing else comes out of a decoder that collects, unless it is compressed."""
    found: list[tuple[int, bytes | str]] = []
    for chunk in chunks:
        decoder.feed(chunk)
        while (data := decoder.decode()) is not None:
            if decoder.whole:
                found.append((decoder.head, data))
            else:
                assert decoder.collecting
                assert data == b""
    return found


def test_messages_are_collected_however_they_are_cut() -> None:
    for chunks in chunkings(FRAGMENTED):
        assert collect(new_decoder(collects=True), *chunks) == [
            (0x89, b"?"),
            (0x8A, b"!"),
            (0x81, "one two three"),
            (0x82, b""),
            (0x81, "alone"),
        ]


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("read", [999, 65536, 1 << 20])
def test_large_messages_are_collected(masked: bool, read: int) -> None:
    data = bytes(0x20 + at % 95 for at in range(200_000))
    wide = "é€😀".encode() * 20_000
    wire = frame(0x82, data, masked=masked) + frame(0x81, wide, masked=masked)
    wire += frame(0x01, data, masked=masked) + frame(0x89, b"?", masked=masked)
    wire += frame(0x00, wide[:70_001], masked=masked) + frame(0x80, wide[70_001:], masked=masked)
    chunks = [wire[at : at + read] for at in range(0, len(wire), read)]
    expected = [(0x82, data), (0x81, wide.decode()), (0x89, b"?"), (0x81, (data + wide).decode())]
    decoder = new_decoder(masked=masked, collects=True, piece_bytes=1000)
    assert collect(decoder, *chunks) == expected
    for chunk in chunks:
        decoder.feed(chunk)
    assert collect(decoder, b"") == expected


FRAGMENT = st.one_of(st.binary(max_size=200), st.text(max_size=60).map(str.encode))
MESSAGE_LISTS = st.lists(st.tuples(st.sampled_from([0x1, 0x2]), st.lists(FRAGMENT, min_size=1, max_size=4)), max_size=5)


@given(messages=MESSAGE_LISTS, masked=st.booleans(), cuts=st.lists(st.integers(0, 400), max_size=6))
@settings(max_examples=100)
def test_collecting_gives_what_pieces_give(
    messages: list[tuple[int, list[bytes]]], masked: bool, cuts: list[int]
) -> None:
    wire = b""
    for opcode, fragments in messages:
        for index, data in enumerate(fragments):
            fin = 0x80 if index == len(fragments) - 1 else 0
            wire += frame(fin | (opcode if index == 0 else 0), data, masked=masked)
    places = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    chunks = [wire[start:end] for start, end in itertools.pairwise(places) if start < end]
    expected: list[tuple[int, bytes | str]] = []
    refused = False
    for opcode, fragments in messages:
        whole = b"".join(fragments)
        try:
            expected.append((0x80 | opcode, whole.decode() if opcode == 1 else whole))
        except UnicodeDecodeError:
            refused = True
            break
    decoder = new_decoder(masked=masked, collects=True)
    if refused:
        assert violation_of_collecting(decoder, *chunks) == 1007
    else:
        assert collect(decoder, *chunks) == expected


def violation_of_collecting(decoder: FrameDecoder, *chunks: bytes) -> int:
    with pytest.raises(Violation) as caught:
        collect(decoder, *chunks)
    return caught.value.code


def test_compressed_messages_are_not_collected() -> None:
    decoder = new_decoder(compressed=True, collects=True)
    wire = frame(0x41, b"ab") + frame(0x80, b"c") + frame(0xC2, b"d")
    assert join(decode(decoder, wire)) == [(0x41, b"abc"), (0x42, b"d")]
    assert not decoder.collecting
    assert collect(decoder, frame(0x81, b"plain")) == [(0x81, "plain")]


def test_a_collected_text_fails_before_its_end() -> None:
    for wire in (
        frame(0x01, b"good") + frame(0x00, b"bad\xff"),
        frame(0x81, b"bad\xff" * 100)[:60],
        frame(0x01, b"\xed") + frame(0x00, b"\xa0"),
    ):
        octets = [wire[at : at + 1] for at in range(len(wire))]
        assert violation_of_collecting(new_decoder(collects=True), wire) == 1007
        assert violation_of_collecting(new_decoder(collects=True), *octets) == 1007


def test_limits_of_what_is_collected() -> None:
    decoder = new_decoder(collects=True, max_message_bytes=1000, max_fragments=3)
    assert collect(decoder, frame(0x02, b"x" * 900), frame(0x80, b"x" * 100)) == [(0x82, b"x" * 1000)]
    assert violation(decoder, frame(0x82, b"x" * 1001)) == (1009, "message is larger than 1000 bytes")
    decoder = new_decoder(collects=True, max_message_bytes=1000, max_fragments=3)
    assert collect(decoder, frame(0x02, b"x" * 900)) == []
    assert violation_of_collecting(decoder, frame(0x80, b"x" * 101)[:8]) == 1009
    decoder = new_decoder(collects=True, max_fragments=3)
    assert violation_of_collecting(decoder, frame(0x02), *[frame(0x00)] * 3) == 1009


def test_collecting_takes_memory_for_what_has_come() -> None:
    decoder = new_decoder(collects=True)
    chunk = bytes(65536)
    tracemalloc.start()
    decoder.feed(b"\x82\xff" + HUGE.to_bytes(8, "big") + KEY)
    for count in range(1, 9):
        decoder.feed(chunk)
        assert decoder.decode() is None
        assert tracemalloc.get_traced_memory()[0] < 4 * count * len(chunk) + 4096
    decoder.discard()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 4096


def legal_heads(*, within: bool, compressed: bool) -> set[int]:
    controls = {0x88, 0x89, 0x8A}
    if within:
        return controls | {0x00, 0x80}
    plain = {0x01, 0x02, 0x81, 0x82}
    return controls | plain | ({head | 0x40 for head in plain} if compressed else set[int]())


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("within", [False, True])
def test_every_first_octet_in_every_state(within: bool, compressed: bool) -> None:
    accepted: set[int] = set()
    refused: dict[int, int] = {}
    for head in range(256):
        decoder = new_decoder(compressed=compressed)
        if within:
            decode(decoder, frame(0x01))
        try:
            decode(decoder, frame(head, b""))
        except Violation as caught:
            refused[head] = caught.code
        else:
            accepted.add(head)
    assert set(refused.values()) == {1002}
    assert accepted == legal_heads(within=within, compressed=compressed)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x83\x80", "opcode 0x3 is reserved"),
        (b"\x8f\x80", "opcode 0xf is reserved"),
        (b"\x81\x00", "frame is not masked"),
        (b"\x81\x7e", "frame is not masked"),
        (b"\x09\x80", "control frame is fragmented"),
        (b"\x89\xfe", "control frame is longer than 125 bytes"),
        (b"\x88\xff", "control frame is longer than 125 bytes"),
        (b"\xc1\x80", "reserved bits are set"),
        (b"\xa1\x80", "reserved bits are set"),
        (b"\x90\x80", "reserved bits are set"),
        (b"\x80\x80", "continuation without a message"),
        (b"\x00\x80", "continuation without a message"),
        (b"\x81\xfe\x00\x7d", "payload length is not minimally encoded"),
        (b"\x81\xff" + (65535).to_bytes(8, "big"), "payload length is not minimally encoded"),
        (b"\x81\xff" + (1 << 63).to_bytes(8, "big"), "payload length has its most significant bit set"),
    ],
)
def test_a_violation_is_found_with_the_octets_it_concerns(data: bytes, reason: str) -> None:
    assert violation(new_decoder(), data) == (1002, reason)
    assert decode(new_decoder(), data[:-1]) == []


def test_masking_is_a_matter_of_direction() -> None:
    assert violation(new_decoder(masked=False), frame(0x81, b"x")) == (1002, "frame is masked")
    assert violation(new_decoder(masked=False), frame(0x81, b"x" * 200)) == (1002, "frame is masked")
    assert violation(new_decoder(), frame(0x01), frame(0x81)) == (1002, "new message within a fragmented one")
    assert violation(new_decoder(compressed=True), frame(0x41), frame(0xC0)) == (1002, "reserved bits are set")


def test_limits_are_refused_by_the_header_alone() -> None:
    def header(head: int, size: int) -> bytes:
        return bytes((head, 0xFF)) + size.to_bytes(8, "big")

    too_large = (1009, "message is larger than 100000 bytes")
    assert violation(new_decoder(max_message_bytes=100_000), header(0x82, 100_001)) == too_large
    assert decode(new_decoder(max_message_bytes=100_000), header(0x82, 100_000)) == []
    within = new_decoder(max_message_bytes=100_000)
    assert len(decode(within, frame(0x02, b"x" * 40_000))) == 1
    assert len(decode(within, frame(0x89, b"x" * 125))) == 1, "control frames do not count"
    assert len(decode(within, frame(0x00, b"x" * 200))) == 1
    assert violation(within, header(0x80, 65_536)) == too_large
    assert violation(new_decoder(max_frame_bytes=70_000), header(0x02, 70_001)) == (
        1009,
        "frame is larger than 70000 bytes",
    )
    assert violation(new_decoder(max_frame_bytes=10), frame(0x81, b"x" * 11))[0] == 1009
    fragments = new_decoder(max_fragments=3)
    for _ in range(2):
        assert len(decode(fragments, frame(0x01), frame(0x00), frame(0x80))) == 3
    assert violation(fragments, frame(0x01), frame(0x00), frame(0x00), frame(0x00)) == (
        1009,
        "message has more than 3 fragments",
    )


def test_length_of_a_compressed_message_says_nothing_about_the_message() -> None:
    decoder = new_decoder(compressed=True, max_message_bytes=10)
    assert join(decode(decoder, frame(0xC2, b"x" * 20), frame(0x41, b"x" * 20), frame(0x80, b"x" * 20))) == [
        (0x42, b"x" * 20),
        (0x41, b"x" * 40),
    ]
    assert violation(decoder, frame(0x82, b"x" * 11))[0] == 1009


def test_valid_frames_before_a_bad_one_are_delivered() -> None:
    decoder = new_decoder()
    decoder.feed(frame(0x81, b"good") + b"\xff\xff")
    assert decoder.decode() == b"good"
    with pytest.raises(Violation):
        decoder.decode()


def test_an_endless_frame_keeps_nothing() -> None:
    decoder = new_decoder(masked=False)
    decoder.feed(b"\x82\x7f" + HUGE.to_bytes(8, "big"))
    chunk = bytes(65536)
    tracemalloc.start()
    for _ in range(500):
        decoder.feed(chunk)
        while decoder.decode() is not None:
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * 65536


def test_gathering_keeps_no_more_than_the_least_piece_and_one_read() -> None:
    decoder = new_decoder(masked=False, gathered_bytes=32768)
    decoder.feed(b"\x82\x7f" + HUGE.to_bytes(8, "big"))
    large, sizes = bytes(32767), [2, 3, 1448, 32767]
    tracemalloc.start()
    for size in sizes * 300:
        decoder.feed(large[:size])
        piece = decoder.decode()
        assert piece is None or 32768 <= len(piece) < 32768 + 32767
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 6 * 32768


def test_tiny_reads_that_wait_are_not_kept_one_by_one() -> None:
    decoder = new_decoder(masked=False, gathered_bytes=32768)
    decoder.feed(b"\x82\x7e\xff\xff")
    assert decoder.decode() is None
    tracemalloc.start()
    for index in range(16384):
        decoder.feed(b"%02d" % (index % 90))
        assert (decoder.decode() is None) == (index < 16383)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 65536


def test_control_frames_are_whole_however_small_the_pieces() -> None:
    decoder = new_decoder(piece_bytes=3)
    wire = frame(0x89, b"p" * 125) + frame(0x81, b"four") + frame(0x88, b"\x03\xe8bye")
    for chunk in (wire[:50], wire[50:100], wire[100:], wire, bytes(0)):
        decoder.feed(chunk)
    once = [(0x89, b"p" * 125), (0x81, b"fou"), (0x81, b"r"), (0x88, b"\x03\xe8bye")]
    assert [(piece.head, piece.data) for piece in drain(decoder)] == once * 2


def test_discarding_lets_go() -> None:
    decoder = new_decoder()
    decoder.feed(frame(0x81, b"x"))
    decoder.feed(frame(0x81, b"y"))
    decoder.discard()
    assert decoder.decode() is None
    gathering = new_decoder(masked=False, gathered_bytes=32768)
    tracemalloc.start()
    gathering.feed(b"\x82\x7e\xff\xff" + bytes(30_000))
    assert gathering.decode() is None
    gathering.discard()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 4096


@given(junk=st.binary(max_size=400), masked=st.booleans(), compressed=st.booleans())
@settings(max_examples=150)
def test_any_bytes_are_frames_or_a_violation_however_they_are_cut(junk: bytes, masked: bool, compressed: bool) -> None:
    outcomes: list[tuple[list[tuple[int, bytes]], int | None]] = []
    for chunks in chunkings(junk, cuts=2):
        decoder = new_decoder(masked=masked, compressed=compressed)
        pieces: list[Piece] = []
        code: int | None = None
        try:
            for chunk in chunks:
                decoder.feed(chunk)
                while (data := decoder.decode()) is not None:
                    assert isinstance(data, bytes)
                    whole = decoder.whole
                    pieces.append(Piece(decoder.head, data, whole or decoder.first, whole or decoder.last))
        except Violation as caught:
            code = caught.code
        outcomes.append((join(pieces), code))
    assert all(outcome == outcomes[0] for outcome in outcomes)
