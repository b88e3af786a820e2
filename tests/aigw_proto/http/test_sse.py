"""Server-sent events: the standard's examples, every cut, limits, any bytes against a plain reading of the rules."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._kinds import Signal
from aigw_proto._limits import SseLimits
from aigw_proto.http import ServerSentEvent, SseDecoder, SseEvent, SseFailed
from aigw_proto.testing import chunkings


def event(data: bytes, kind: bytes = b"", event_id: bytes | None = None, retry: int | None = None) -> ServerSentEvent:
    return ServerSentEvent(data, kind, event_id, retry)


def decode(
    chunks: Iterable[bytes], *, limits: SseLimits | None = None, unterminated: bool = False, eof: bool = True
) -> list[SseEvent]:
    decoder = SseDecoder(limits=limits, deliver_unterminated=unterminated)
    events: list[SseEvent] = []

    def pull() -> None:
        while not isinstance(one := decoder.next_event(), Signal):
            events.append(one)
        assert one is Signal.NEED_DATA

    for chunk in chunks:
        decoder.receive_data(chunk, 0.0)
        pull()
    if eof:
        decoder.receive_eof(0.0)
        pull()
    assert decoder.data_to_send() == []
    assert decoder.next_timeout() is None
    decoder.handle_timeout(1e9)
    assert decoder.next_event() is Signal.NEED_DATA
    return events


# The examples of the standard (WHATWG HTML, section 9.2.6), and what each rule says.
STREAMS: list[tuple[bytes, list[SseEvent]]] = [
    (b"data: YHOO\ndata: +2\ndata: 10\n\n", [event(b"YHOO\n+2\n10")]),
    (
        b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n",
        [event(b"first event", event_id=b"1"), event(b"second event", event_id=b"")],
    ),
    (b"data\n\ndata\ndata\n\ndata:", [event(b""), event(b"\n")]),
    (b"data:test\n\ndata: test\n\n", [event(b"test"), event(b"test")]),
    (b"event: add\ndata: 1\n\nevent: remove\n\ndata: 2\n\n", [event(b"1", b"add"), event(b"2")]),
    (b"event: add\ndata: 1\n\ndata: 2\n\n", [event(b"1", b"add"), event(b"2")]),
    (b"event: a\nevent: b\ndata: 1\n\n", [event(b"1", b"b")]),
    (b"id: 7\ndata: 1\n\ndata: 2\n\n", [event(b"1", event_id=b"7"), event(b"2", event_id=b"7")]),
    (b"id: 7\n\nid: a\0b\ndata: 2\n\n", [event(b"2", event_id=b"7")]),
    (b"retry: 1000\n\ndata: 1\n\ndata: 2\n\n", [event(b"1", retry=1000), event(b"2")]),
    (b"retry: 1s\nretry: -1\nretry:\nretry: " + b"9" * 19 + b"\ndata: 1\n\n", [event(b"1")]),
    (b"Data: 1\nDATA: 2\n data: 3\ndatum: 4\ndata : 5\n: data: 6\n\n", []),
    (b"\xef\xbb\xbfdata: bom\n\n\xef\xbb\xbfdata: no bom\n\n", [event(b"bom")]),
    (b"\xef\xbb\xbf\xef\xbb\xbfdata: 1\n\n", []),
    (b"\xef\xbbdata: 1\n\ndata: 2\n\n", [event(b"2")]),
    (b"data: \xff\xfe\0\n\n", [event(b"\xff\xfe\0")]),
    (b"data: a:b: c \n\n", [event(b"a:b: c ")]),
    (b"\n\n\n\ndata: 1\n\n\n\n", [event(b"1")]),
    (b"data: [DONE]\n\n", [event(b"[DONE]")]),
    (b"", []),
]


@pytest.mark.parametrize("ending", [b"\n", b"\r", b"\r\n"])
@pytest.mark.parametrize(("stream", "expected"), STREAMS)
def test_streams_for_every_cut_and_line_ending(stream: bytes, expected: list[SseEvent], ending: bytes) -> None:
    for chunks in chunkings(stream.replace(b"\n", ending)):
        assert decode(chunks) == expected


def test_mixed_line_endings_for_every_cut() -> None:
    for chunks in chunkings(b"data: 1\r\n\rdata: 2\n\r\ndata: 3\r\rdata: 4\n\ndata: 5\r\n\r\n"):
        assert decode(chunks) == [event(b"%d" % number) for number in range(1, 6)]


def test_event_is_returned_before_the_line_feed_behind_its_carriage_return() -> None:
    assert decode([b"data: 1\r\n\r"], eof=False) == [event(b"1")]


def test_empty_chunks_and_chunks_behind_the_end_are_nothing() -> None:
    decoder = SseDecoder()
    decoder.receive_data(b"", 0.0)
    decoder.receive_eof(0.0)
    decoder.receive_eof(0.0)
    decoder.receive_data(b"data: 1\n\n", 0.0)
    assert decoder.next_event() is Signal.NEED_DATA


@pytest.mark.parametrize(
    ("tail", "expected"),
    [
        (b"", []),
        (b"data: 2", [event(b"2", event_id=b"1")]),
        (b"data: 2\n", [event(b"2", event_id=b"1")]),
        (b"data: 2\nevent: e", [event(b"2", b"e", b"1")]),
        (b"event: e\n", []),
        (b"da", []),
    ],
)
def test_unterminated_event_at_the_end(tail: bytes, expected: list[SseEvent]) -> None:
    for chunks in chunkings(b"id: 1\n\n" + tail):
        assert decode(chunks) == []
        assert decode(chunks, unterminated=True) == expected


def test_unterminated_stream_that_began_like_a_byte_order_mark() -> None:
    assert decode([b"\xef\xbb"], unterminated=True) == []
    assert decode([b"\xef\xbb\xbf", b"data: 1"], unterminated=True) == [event(b"1")]


# --- limits ---

LIMITS = SseLimits(max_line_bytes=20, max_event_bytes=12)


@pytest.mark.parametrize(
    ("stream", "fits"),
    [
        (b"x" * 20 + b"\n", True),
        (b"x" * 21 + b"\n", False),
        (b"x" * 21, False),
        (b"event: " + b"x" * 13 + b"\n", True),
        (b"event: " + b"x" * 14 + b"\n", False),
        (b"data: " + b"x" * 12 + b"\n", True),
        (b"data: " + b"x" * 13 + b"\n", False),
        (b"data:" + b"x" * 15 + b"\n", False),
        (b"data: " + b"x" * 12 + b"\ndata\n", False),
        (b"data: xxxxx\ndata: xxxxxx\n", True),
        (b"data: xxxxx\ndata: xxxxxxx\n", False),
        (b"data\n" * 13, True),
        (b"data\n" * 14, False),
    ],
)
def test_limits_are_exact_for_every_cut(stream: bytes, fits: bool) -> None:
    for chunks in chunkings(b"data: first\n\n" + stream):
        events = decode([*chunks, b"data: more\n\n"], limits=LIMITS) if not fits else decode(chunks, limits=LIMITS)
        assert events[0] == event(b"first")
        assert [type(one) for one in events[1:]] == ([] if fits else [SseFailed])


def test_limits_beyond_all_counting_are_none() -> None:
    endless = SseLimits(max_line_bytes=1 << 80, max_event_bytes=1 << 80)
    assert decode([b"data: a\ndata: b\n\n"], limits=endless) == [event(b"a\nb")]


def test_limit_of_an_unterminated_last_line() -> None:
    stream = b"data: xxxxxxx\ndata: xxxxxxx"
    assert [type(one) for one in decode([stream], limits=LIMITS, unterminated=True)] == [SseFailed]


def test_endless_line_is_bounded() -> None:
    decoder = SseDecoder(limits=SseLimits(max_line_bytes=1_000_000))
    chunk = b"x" * 65536
    tracemalloc.start()
    try:
        outcomes: list[SseEvent | Signal] = []
        for _ in range(500):
            decoder.receive_data(chunk, 0.0)
            outcomes.append(decoder.next_event())
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert [type(one) for one in outcomes if not isinstance(one, Signal)] == [SseFailed]


def test_many_empty_data_lines_are_bounded() -> None:
    decoder = SseDecoder(limits=SseLimits(max_event_bytes=100_000))
    tracemalloc.start()
    try:
        failed = False
        for _ in range(500):
            decoder.receive_data(b"data\n" * 1000, 0.0)
            failed |= isinstance(decoder.next_event(), SseFailed)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    assert failed


@pytest.mark.parametrize("step", [1, 65536])
def test_long_line_in_small_pieces(step: int) -> None:
    data = bytes(range(32, 127)) * (10_000 if step > 1 else 1000)
    line = b"data: " + data + b"\r\n\r\n"
    assert decode([line[start : start + step] for start in range(0, len(line), step)]) == [event(data)]


# --- any bytes ---


def read_plainly(stream: bytes) -> list[SseEvent]:
    """Read a whole stream by the letter of the standard, without a thought for speed."""
    stream = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[SseEvent] = []
    data, kind, event_id, retry = b"", b"", None, None
    for line in stream.split(b"\n")[:-1]:
        if not line:
            if data:
                events.append(event(data[:-1], kind, event_id, retry))
                retry = None
            data, kind = b"", b""
            continue
        name, colon, value = line.partition(b":")
        if colon and value.startswith(b" "):
            value = value[1:]
        match name:
            case b"data":
                data += value + b"\n"
            case b"event":
                kind = value
            case b"id" if b"\0" not in value:
                event_id = value
            case b"retry" if value.isdigit():
                retry = int(value)
            case _:
                pass
    return events


FRAGMENTS = st.sampled_from(
    [
        *(b"data", b"data:", b"data: ", b"event: ", b"event", b"id:", b"retry: ", b":", b" ", b"\0", b"12", b"x"),
        *(b"\n", b"\n", b"\n\n", b"\r", b"\r\n", b"\r\n\r\n", b"\xef\xbb\xbf", b"\xef\xbb", b"data: {}\n\n"),
    ]
)


@settings(max_examples=300)
@given(
    wire=st.one_of(st.binary(max_size=60), st.lists(FRAGMENTS, max_size=25).map(b"".join)), seed=st.integers(0, 1000)
)
def test_any_bytes_agree_with_the_standard_for_every_cut(wire: bytes, seed: int) -> None:
    generator = random.Random(seed)
    cuts = sorted(generator.sample(range(len(wire) + 1), min(4, len(wire))))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    expected = read_plainly(wire)
    assert decode([wire]) == expected
    assert decode(pieces) == expected
    assert decode([wire[index : index + 1] for index in range(len(wire))]) == expected
