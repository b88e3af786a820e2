from __future__ import annotations

import pytest

from aigw_transports.simulation._wire import (
    BINARY,
    FIN,
    KEY,
    TEXT,
    Frame,
    FrameReader,
    accept_value,
    close_payload,
    frame,
    header_of,
    upgrade_request,
)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [0, 1, 5, 125, 126, 65_535, 65_536])
def test_a_frame_comes_back(size: int, masked: bool) -> None:
    payload = bytes(range(256)) * (size // 256) + bytes(range(size % 256))
    data = frame(FIN | BINARY, payload, masked=masked)
    whole = FrameReader(masked=masked)
    assert whole.feed(data) == [Frame(FIN | BINARY, payload)]
    assert not whole.is_within_a_frame


@pytest.mark.parametrize("masked", [False, True])
def test_frames_that_come_byte_by_byte(masked: bool) -> None:
    sent = [Frame(TEXT, b"hello"), Frame(FIN, b" there"), Frame(FIN | BINARY, b"x" * 200)]
    reader, got = FrameReader(masked=masked), list[Frame]()
    for byte in b"".join(frame(each.head, each.payload, masked=masked) for each in sent):
        got += reader.feed(bytes([byte]))
    assert got == sent
    assert [(each.opcode, each.is_final) for each in got] == [(1, False), (0, True), (2, True)]


def test_the_payload_of_the_rfc() -> None:
    assert frame(FIN | TEXT, b"Hello", masked=True) == bytes.fromhex("818537fa213d7f9f4d5158")  # section 5.7


@pytest.mark.parametrize(
    ("data", "masked", "complaint"),
    [
        (frame(FIN | TEXT, b"x", masked=True), False, "masked"),
        (frame(FIN | TEXT, b"x", masked=False), True, "masked"),
        (frame(FIN | 0x40 | TEXT, b"x", masked=False), False, "reserved bits"),
        (b"\x81\x7e\x00\x05hello", False, "longer than it has to be"),
        (b"\x81\x7f" + (300).to_bytes(8, "big") + bytes(300), False, "longer than it has to be"),
    ],
)
def test_what_no_gateway_may_send(data: bytes, masked: bool, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        FrameReader(masked=masked).feed(data)


def test_heads() -> None:
    head = upgrade_request("/v1/a/b", "X-More: 1").removesuffix(b"\r\n\r\n")
    assert head.startswith(b"GET /v1/a/b HTTP/1.1\r\n")
    assert header_of(head, b"sec-websocket-key") == KEY
    assert header_of(head, b"x-more") == b"1"
    assert header_of(head, b"cookie") is None
    assert accept_value(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3
    assert (close_payload(None), close_payload(1000, b"bye")) == (b"", b"\x03\xe8bye")
