"""NDJSON: lines out of bytes, however they are cut, bounded and never raising."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._kinds import Signal
from aigw_proto.http._ndjson import JsonLine, NdjsonDecoder, NdjsonEvent, NdjsonFailed


def drain(decoder: NdjsonDecoder) -> list[NdjsonEvent]:
    events: list[NdjsonEvent] = []
    while not isinstance(event := decoder.next_event(), Signal):
        events.append(event)
    assert event is Signal.NEED_DATA
    return events


def decode(chunks: list[bytes], *, eof: bool = True, max_line_bytes: int = 1000) -> list[NdjsonEvent]:
    decoder = NdjsonDecoder(max_line_bytes=max_line_bytes)
    events: list[NdjsonEvent] = []
    for chunk in chunks:
        decoder.receive_data(chunk, 0.0)
        events += drain(decoder)
    if eof:
        decoder.receive_eof(0.0)
    return events + drain(decoder)


@pytest.mark.parametrize(
    ("data", "lines"),
    [
        (b"", []),
        (b"\n\r\n \t\n", []),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n\r\n[2] \r\n', [b'{"a":1}', b"[2]"]),
        (b'  {"a":1}', [b'{"a":1}']),
        (b"1\n2", [b"1", b"2"]),
        (b"1\n\r", [b"1"]),
    ],
)
def test_lines(data: bytes, lines: list[bytes]) -> None:
    expected = [JsonLine(line) for line in lines]
    assert decode([data]) == expected
    assert decode([data[index : index + 1] for index in range(len(data))]) == expected


def test_the_last_line_waits_for_its_end() -> None:
    assert decode([b"1\n2"], eof=False) == [JsonLine(b"1")]


def test_a_line_over_the_limit_ends_the_stream() -> None:
    decoder = NdjsonDecoder(max_line_bytes=8)
    decoder.receive_data(b"1234567\n", 0.0)
    decoder.receive_data(b"12345678\n9\n", 0.0)
    assert drain(decoder) == [JsonLine(b"1234567"), NdjsonFailed("a line is longer than 8 bytes")]
    decoder.receive_data(b"1\n", 0.0)
    decoder.receive_eof(0.0)
    assert drain(decoder) == []


def test_an_endless_line_is_noticed_before_it_ends() -> None:
    decoder = NdjsonDecoder(max_line_bytes=100)
    for _ in range(99):
        decoder.receive_data(b"x", 0.0)
        assert drain(decoder) == []
    decoder.receive_data(b"x", 0.0)
    assert drain(decoder) == [NdjsonFailed("a line is longer than 100 bytes")]


def test_input_after_the_end_is_ignored() -> None:
    decoder = NdjsonDecoder()
    decoder.receive_eof(0.0)
    decoder.receive_eof(0.0)
    decoder.receive_data(b"1\n", 0.0)
    assert drain(decoder) == []


def test_it_has_neither_output_nor_deadlines() -> None:
    decoder = NdjsonDecoder()
    decoder.handle_timeout(1.0)
    assert decoder.data_to_send() == []
    assert decoder.next_timeout() is None


@given(st.lists(st.binary(max_size=12)), st.integers(min_value=1, max_value=20))
def test_any_bytes_at_any_cut(chunks: list[bytes], limit: int) -> None:
    cut = decode(chunks, max_line_bytes=limit)
    assert cut == decode([b"".join(chunks)], max_line_bytes=limit)
    if not any(isinstance(event, NdjsonFailed) for event in cut):
        stripped = [line.strip(b" \t\r\n") for line in b"".join(chunks).split(b"\n")]
        assert cut == [JsonLine(line) for line in stripped if line]
