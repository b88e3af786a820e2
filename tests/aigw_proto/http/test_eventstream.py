"""AWS event streams: messages out of bytes, checksums, limits, and never raising."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._kinds import Signal
from aigw_proto.http._eventstream import (
    EventStreamDecoder,
    EventStreamEvent,
    EventStreamFailed,
    EventStreamHeader,
    EventStreamMessage,
)


def frame(headers: bytes = b"", payload: bytes = b"") -> bytes:
    prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    head = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
    return head + struct.pack(">I", zlib.crc32(head))


def header(name: bytes, kind: int, value: bytes = b"") -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


def string(name: bytes, value: bytes) -> bytes:
    return header(name, 7, struct.pack(">H", len(value)) + value)


def drain(decoder: EventStreamDecoder) -> list[EventStreamEvent]:
    events: list[EventStreamEvent] = []
    while not isinstance(event := decoder.next_event(), Signal):
        events.append(event)
    assert event is Signal.NEED_DATA
    return events


def decode(chunks: list[bytes], *, eof: bool = True, max_message_bytes: int = 10_000) -> list[EventStreamEvent]:
    decoder = EventStreamDecoder(max_message_bytes=max_message_bytes)
    events: list[EventStreamEvent] = []
    for chunk in chunks:
        decoder.receive_data(chunk, 0.0)
        events += drain(decoder)
    if eof:
        decoder.receive_eof(0.0)
    return events + drain(decoder)


# The first two vectors of the format's public description.
EMPTY = bytes.fromhex("00000010 00000000 05c248eb 7d98c8ff")
PAYLOAD_ONLY = bytes.fromhex("0000001d 00000000 fd528c5a") + b"{'foo':'bar'}" + bytes.fromhex("c3653936")


def test_published_vectors() -> None:
    assert decode([EMPTY]) == [EventStreamMessage({}, b"")]
    assert decode([PAYLOAD_ONLY]) == [EventStreamMessage({}, b"{'foo':'bar'}")]
    assert frame() == EMPTY
    assert frame(payload=b"{'foo':'bar'}") == PAYLOAD_ONLY


def test_headers_of_every_type() -> None:
    headers = (
        string(b":event-type", b"chunk")
        + header(b"true", 0)
        + header(b"false", 1)
        + header(b"byte", 2, b"\xff")
        + header(b"short", 3, b"\x01\x00")
        + header(b"int", 4, b"\x80\x00\x00\x00")
        + header(b"long", 5, b"\x00" * 7 + b"\x09")
        + header(b"bytes", 6, b"\x00\x02\xff\xfe")
        + header(b"timestamp", 8, (1_700_000_000_000).to_bytes(8, "big"))
        + header(b"uuid", 9, bytes(range(16)))
    )
    expected: dict[str, EventStreamHeader] = {
        ":event-type": "chunk",
        "true": True,
        "false": False,
        "byte": -1,
        "short": 256,
        "int": -(1 << 31),
        "long": 9,
        "bytes": b"\xff\xfe",
        "timestamp": 1_700_000_000_000,
        "uuid": bytes(range(16)),
    }
    data = frame(headers, b"{}") + EMPTY
    assert decode([data]) == [EventStreamMessage(expected, b"{}"), EventStreamMessage({}, b"")]
    single = [data[index : index + 1] for index in range(len(data))]
    assert decode(single) == decode([data])


@pytest.mark.parametrize(
    "headers",
    [
        header(b"", 0),
        header(b"a", 0) + header(b"a", 1),
        header(b"a", 10),
        header(b"\xff", 0),
        string(b"a", b"\xff"),
        header(b"a", 7, b"\x00"),
        header(b"a", 7, b"\x00\x05abc"),
        header(b"a", 9, b"short"),
        header(b"a", 4, b"\x00"),
        b"\x05a",
        b"\x01a",
    ],
)
def test_malformed_headers(headers: bytes) -> None:
    assert decode([frame(headers)]) == [EventStreamFailed("the headers of a message are malformed")]


def test_broken_checksums() -> None:
    prelude = b"\x01" + EMPTY[1:]
    assert decode([prelude]) == [EventStreamFailed("the checksum of a prelude is wrong")]
    body = PAYLOAD_ONLY[:-1] + b"\x00"
    assert decode([body]) == [EventStreamFailed("the checksum of a message is wrong")]


def test_lengths() -> None:
    short = struct.pack(">II", 20, 5)
    assert decode([short + struct.pack(">I", zlib.crc32(short))]) == [
        EventStreamFailed("a message is shorter than its headers")
    ]
    assert decode([frame(payload=b"x" * 84)], max_message_bytes=100) == [EventStreamMessage({}, b"x" * 84)]
    huge = struct.pack(">II", 0xFFFFFFFF, 0)  # the prelude alone is enough to refuse it
    assert decode([huge + struct.pack(">I", zlib.crc32(huge))], eof=False, max_message_bytes=100) == [
        EventStreamFailed("a message is longer than 100 bytes")
    ]


def test_the_end_within_a_message() -> None:
    assert decode([EMPTY + PAYLOAD_ONLY[:-1]]) == [
        EventStreamMessage({}, b""),
        EventStreamFailed("the stream ended within a message"),
    ]
    assert decode([EMPTY[:5]]) == [EventStreamFailed("the stream ended within a message")]
    assert decode([EMPTY[:5]], eof=False) == []


def test_a_failure_is_the_last_event() -> None:
    decoder = EventStreamDecoder()
    decoder.receive_data(b"\x00" * 20, 0.0)
    assert drain(decoder) == [EventStreamFailed("the checksum of a prelude is wrong")]
    decoder.receive_data(EMPTY, 0.0)
    decoder.receive_eof(0.0)
    assert drain(decoder) == []


def test_it_has_neither_output_nor_deadlines() -> None:
    decoder = EventStreamDecoder()
    decoder.handle_timeout(1.0)
    assert decoder.data_to_send() == []
    assert decoder.next_timeout() is None


@given(st.lists(st.binary(max_size=40)))
def test_any_bytes(chunks: list[bytes]) -> None:
    assert decode(chunks) == decode([b"".join(chunks)])


@given(st.binary(max_size=60), st.binary(max_size=60))
def test_any_headers_with_right_checksums(headers: bytes, payload: bytes) -> None:
    (event,) = decode([frame(headers, payload)])
    assert isinstance(event, EventStreamFailed) or event.payload == payload


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=9), st.text(max_size=9)), unique_by=lambda pair: pair[0]), st.data()
)
def test_any_cut(pairs: list[tuple[str, str]], draw: st.DataObject) -> None:
    block = b"".join(string(name.encode()[:255], value.encode()) for name, value in pairs)
    data = frame(block, b"payload") * 2
    cuts = sorted(draw.draw(st.lists(st.integers(min_value=0, max_value=len(data)), max_size=6)))
    chunks = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert decode(chunks) == [EventStreamMessage(dict(pairs), b"payload")] * 2
