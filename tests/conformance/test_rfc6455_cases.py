"""What an echoing endpoint answers, case by case, both roles (RFC 6455, RFC 7692).

The sections are numbered as in the Autobahn test suite: 1 framing, 2 pings and pongs, 3 reserved bits, 4 opcodes,
5 fragmentation, 6 UTF-8, 7 closing, 9 sizes, 10 many fragments, 12 and 13 compression. A case is what the peer sends
and what must come back; every case runs whole and, while it is small, octet by octet.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
import zlib
from typing import TYPE_CHECKING

import pytest

from aigw_proto._entropy import Entropy
from aigw_proto._kinds import Role, Signal
from aigw_proto.ws import BinaryMessage, Closed, DeflateParameters, Failed, TextMessage, WSConnection
from support.frames import frame, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

Frame = tuple[int, bytes]
FIN, TEXT, BINARY, CLOSE, PING, PONG = 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A


@dataclasses.dataclass
class Case:
    name: str
    send: list[Frame]
    answer: list[Frame]
    """Frames that come back before the Close."""
    close: int | None = None
    """Code of the Close that comes back: 1005 for none in it, None for no Close."""


def echoed(name: str, *frames: Frame, answer: list[Frame] | None = None, close: int | None = 1000) -> Case:
    """A case whose frames come back, followed by a normal closing."""
    send = [*frames, (CLOSE, b"\x03\xe8")] if close == 1000 else list(frames)
    return Case(name, send, list(frames) if answer is None else answer, close)


def refused(name: str, *frames: Frame, answer: list[Frame] | None = None, code: int = 1002) -> Case:
    """A case that ends with a violation; nothing behind it counts."""
    return Case(name, [*frames, (TEXT, b"not to be echoed")], answer or [], code)


def framing() -> Iterator[Case]:
    for section, head, octet in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, size in enumerate((0, 125, 126, 127, 128, 65535, 65536), 1):
            yield echoed(f"1.{section}.{number}", (head, octet * size))


def pings() -> Iterator[Case]:
    yield echoed("2.1", (PING, b""), answer=[(PONG, b"")])
    yield echoed("2.2", (PING, b"Hello"), answer=[(PONG, b"Hello")])
    yield echoed("2.3", (PING, b"\x00\xff\xfe\xfd"), answer=[(PONG, b"\x00\xff\xfe\xfd")])
    yield echoed("2.4", (PING, b"\xfe" * 125), answer=[(PONG, b"\xfe" * 125)])
    yield refused("2.5", (PING, b"\xfe" * 126))
    yield echoed("2.7", (PONG, b""), answer=[])
    yield echoed("2.8", (PONG, b"unasked"), answer=[])
    yield echoed("2.9", (PONG, b"unasked"), (PING, b"ping"), answer=[(PONG, b"ping")])
    many = [b"payload-%d" % number for number in range(10)]
    yield echoed("2.10", *((PING, data) for data in many), answer=[(PONG, data) for data in many])


def reserved_bits() -> Iterator[Case]:
    for number, (head, bits) in enumerate(itertools.product((TEXT, BINARY, PING, PONG, CLOSE), range(1, 8)), 1):
        yield refused(f"3.{number}", (TEXT, b"fine"), (head | bits << 4, b"x" * 2), answer=[(TEXT, b"fine")])


def opcodes() -> Iterator[Case]:
    for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
        section = 1 if opcode < 8 else 2
        for payload in (b"", b"reserved"):
            yield refused(f"4.{section}.{opcode}.{len(payload)}", (FIN | opcode, payload))
            yield refused(
                f"4.{section}.{opcode}.{len(payload)}b", (TEXT, b"a"), (opcode, payload), answer=[(TEXT, b"a")]
            )


def fragments() -> Iterator[Case]:
    yield refused("5.1", (0x09, b"fragment1"), (FIN, b"fragment2"))
    yield refused("5.2", (0x0A, b"fragment1"), (FIN, b"fragment2"))
    yield echoed("5.3", (0x01, b"fragment1"), (FIN, b"fragment2"), answer=[(TEXT, b"fragment1fragment2")])
    yield echoed("5.6", (0x01, b"one"), (PING, b"ping"), (FIN, b"two"), answer=[(PONG, b"ping"), (TEXT, b"onetwo")])
    yield refused("5.9", (FIN, b"continuation of nothing"), (TEXT, b"x"))
    yield refused("5.12", (0x00, b"continuation of nothing"), (TEXT, b"x"))
    yield refused("5.15", (0x01, b"a"), (FIN, b"b"), (0x00, b"c"), (TEXT, b"d"), answer=[(TEXT, b"ab")])
    yield refused("5.16", *[(0x00, b"a"), (0x01, b"b"), (FIN, b"c")] * 2)
    yield refused("5.18", (0x01, b"fragment1"), (TEXT, b"fragment2"))
    five = [(0x01, b"1"), (0x00, b"2"), (PING, b"p"), (0x00, b"3"), (0x00, b"4"), (PING, b"q"), (FIN, b"5")]
    yield echoed("5.19", *five, answer=[(PONG, b"p"), (PONG, b"q"), (TEXT, b"12345")])
    yield echoed("5.empty", (0x02, b""), (0x00, b""), (FIN, b""), answer=[(BINARY, b"")])


# κόσμε, then sequences of Markus Kuhn's UTF-8 stress test.
KOSME = bytes.fromhex("cebae1bdb9cf83cebcceb5")
VALID_UTF8 = {
    "6.2.1": b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    "6.5.5": KOSME,
    "6.7.1": b"\x00",
    "6.7.2": bytes.fromhex("c280"),
    "6.7.3": bytes.fromhex("e0a080"),
    "6.7.4": bytes.fromhex("f0908080"),
    "6.9.1": b"\x7f",
    "6.9.2": bytes.fromhex("dfbf"),
    "6.9.3": bytes.fromhex("efbfbf"),
    "6.9.4": bytes.fromhex("f48fbfbf"),
    "6.11.1": bytes.fromhex("ed9fbf"),
    "6.11.2": bytes.fromhex("ee8080"),
    "6.11.3": bytes.fromhex("efbfbd"),
    "6.22.1": bytes.fromhex("efbfbe"),
    "6.22.3": bytes.fromhex("f09fbfbe"),
    "6.22.33": bytes.fromhex("f48fbfbf"),
    "6.23.1": bytes.fromhex("efbfb9"),
}
INVALID_UTF8 = {
    "6.3.1": KOSME + bytes.fromhex("eda080") + b"edited",
    "6.6.1": KOSME[:1],
    "6.6.9": KOSME[:-1],
    "6.8.1": bytes.fromhex("f888808080"),
    "6.8.2": bytes.fromhex("fc8480808080"),
    "6.10.1": bytes.fromhex("f7bfbfbf"),
    "6.10.3": bytes.fromhex("fdbfbfbfbfbf"),
    "6.11.5": bytes.fromhex("f4908080"),
    "6.12.1": b"\x80",
    "6.12.8": bytes.fromhex("808182838485868788898a8b8c8d8e8f"),
    "6.13.1": bytes.fromhex("c020c120c220"),
    "6.14.1": b"\xc0",
    "6.14.6": bytes.fromhex("df"),
    "6.14.8": bytes.fromhex("f7bfbf"),
    "6.15.1": bytes.fromhex("c0e080f08080"),
    "6.16.1": b"\xfe",
    "6.16.2": b"\xff",
    "6.17.1": bytes.fromhex("c0af"),
    "6.17.2": bytes.fromhex("e080af"),
    "6.17.3": bytes.fromhex("f08080af"),
    "6.18.1": bytes.fromhex("c1bf"),
    "6.18.3": bytes.fromhex("f08fbfbf"),
    "6.19.1": bytes.fromhex("c080"),
    "6.20.1": bytes.fromhex("eda080"),
    "6.20.7": bytes.fromhex("edbfbf"),
    "6.21.1": bytes.fromhex("eda080edb080"),
    "6.21.8": bytes.fromhex("edafbfedbfbf"),
}


def text() -> Iterator[Case]:
    yield echoed("6.1.1", (TEXT, b""))
    yield echoed("6.1.2", (0x01, b""), (0x00, b""), (FIN, b""), answer=[(TEXT, b"")])
    yield echoed("6.1.3", (0x01, b""), (0x00, b"middle"), (FIN, b""), answer=[(TEXT, b"middle")])
    for name, data in VALID_UTF8.items():
        yield echoed(name, (TEXT, data))
        split = [(0x01 if index == 0 else 0x00, data[index : index + 1]) for index in range(len(data))]
        yield echoed(f"{name}-split", *split, (FIN, b""), answer=[(TEXT, data)])
    for name, data in INVALID_UTF8.items():
        yield refused(name, (TEXT, data), code=1007)
        split = [(0x01 if index == 0 else 0x00, data[index : index + 1]) for index in range(len(data))]
        yield refused(f"{name}-split", *split, (FIN, b""), code=1007)


def closing() -> Iterator[Case]:
    hello = (TEXT, b"Hello World!")
    normal = (CLOSE, b"\x03\xe8")
    yield Case("7.1.1", [hello, normal], [hello], 1000)
    yield Case("7.1.2", [normal, normal], [], 1000)
    yield Case("7.1.3", [normal, (PING, b"")], [], 1000)
    yield Case("7.1.4", [normal, hello], [], 1000)
    yield Case("7.1.5", [(0x01, b"fragment"), normal, (FIN, b"late")], [], 1000)
    yield Case("7.3.1", [(CLOSE, b"")], [], 1005)
    yield refused("7.3.2", (CLOSE, b"a"))
    yield Case("7.3.4", [(CLOSE, b"\x03\xe8Hello World!")], [], 1000)
    yield Case("7.3.5", [(CLOSE, b"\x03\xe8" + b"*" * 123)], [], 1000)
    yield refused("7.3.6", (CLOSE, b"\x03\xe8" + b"*" * 124))
    yield refused("7.5.1", (CLOSE, b"\x03\xe8" + INVALID_UTF8["6.3.1"]), code=1007)
    for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
        yield Case(f"7.7.{code}", [(CLOSE, code.to_bytes(2, "big"))], [], code)
    for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
        yield refused(f"7.9.{code}", (CLOSE, code.to_bytes(2, "big")))


def sizes() -> Iterator[Case]:
    for section, head, octet in ((1, TEXT, b"*"), (2, BINARY, b"\xfe")):
        for number, size in enumerate((1 << 16, 1 << 18, 1 << 20), 1):
            yield echoed(f"9.{section}.{number}", (head, octet * size))
    for section, head, size in ((3, TEXT, 64), (4, BINARY, 256), (3, TEXT, 16384), (4, BINARY, 1 << 18)):
        pieces = [(0x00, b"*" * size)] * ((1 << 18) // size)
        first = (head & 0x0F, b"")
        yield echoed(f"9.{section}.{size}", first, *pieces, (FIN, b""), answer=[(head, b"*" * (1 << 18))])
    data = b"*" * 65536
    parts = [data[start : start + 1300] for start in range(0, len(data), 1300)]
    yield echoed("10.1.1", (0x01, parts[0]), *((0, part) for part in parts[1:]), (FIN, b""), answer=[(TEXT, data)])


CASES = [
    *framing(),
    *pings(),
    *reserved_bits(),
    *opcodes(),
    *fragments(),
    *text(),
    *closing(),
    *sizes(),
]


class Echo:
    """The endpoint under test."""

    def __init__(self, role: Role, deflate: DeflateParameters | None = None) -> None:
        entropy = Entropy(random.Random(1).randbytes)
        self.connection = WSConnection(role, now=0, entropy=entropy, deflate=deflate)
        self.output = bytearray()
        self.ended: Closed | Failed | None = None

    def receive(self, data: bytes) -> None:
        connection = self.connection
        connection.receive_data(data, 0)
        while not isinstance(event := connection.next_event(), Signal):
            if isinstance(event, TextMessage):
                connection.send_text(event.data)
            elif isinstance(event, BinaryMessage):
                connection.send_binary(event.data)
            elif isinstance(event, Closed | Failed):
                assert self.ended is None
                self.ended = event
        self.output += b"".join(connection.data_to_send())


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name if isinstance(case, Case) else None)
def test_case(case: Case, role: Role) -> None:
    wire = b"".join(frame(head, payload, masked=role is Role.SERVER) for head, payload in case.send)
    steps = (1, 997, len(wire)) if len(wire) < 3000 else (1460, 65536, len(wire))
    for step in steps:
        echo = Echo(role)
        for start in range(0, len(wire), step):
            echo.receive(wire[start : start + step])
        answer = parse(bytes(echo.output))
        close = answer.pop()
        assert answer == case.answer
        assert close[0] == CLOSE
        assert (int.from_bytes(close[1][:2], "big") if close[1] else 1005) == case.close
        # A client waits for the server to end the stream, unless it has given up.
        assert (echo.ended is None) == (role is Role.CLIENT and echo.connection.state.name == "ENDING")


def _can_go_on(data: bytes) -> bool:
    """Whether some continuation makes `data` valid, by trying."""
    tails = [
        b"",
        b"\x80",
        b"\xbf",
        b"\x80\x80",
        b"\xbf\xbf",
        b"\x80\x80\x80",
        b"\xbf\xbf\xbf",
        b"\x9f\xbf",
        b"\xa0\x80",
    ]
    for tail in (*tails, b"\x90\x80\x80", b"\x8f\xbf\xbf"):
        try:
            (data + tail).decode()
        except UnicodeDecodeError:
            continue
        return True
    return False


def _longest_beginning(data: bytes) -> int:
    return max(size for size in range(len(data) + 1) if _can_go_on(data[:size]))


# Sequences that are wrong only because they end have nothing to fail fast on.
WRONG_AT = {name: size for name, data in INVALID_UTF8.items() if (size := _longest_beginning(data)) < len(data)}


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", WRONG_AT)
def test_text_fails_fast(name: str, role: Role) -> None:
    """6.4: within fragments and within a frame, at the first octet that is wrong, not at the end of the message."""
    data, wrong_at = INVALID_UTF8[name], WRONG_AT[name]
    wire = frame(0x01, b"x" * 10 + data + b"y" * 100, masked=role is Role.SERVER)
    place = len(wire) - 100 - len(data) + wrong_at
    echo = Echo(role)
    for index in range(place):
        echo.receive(wire[index : index + 1])
        assert echo.ended is None
    echo.receive(wire[place : place + 1])
    assert isinstance(echo.ended, Failed)
    assert echo.ended.code == 1007


PARAMETERS = [
    DeflateParameters(),
    DeflateParameters(True, True, 15, 15),
    DeflateParameters(True, True, 9, 9),
    DeflateParameters(False, False, 9, 9),
    DeflateParameters(False, False, 8, 8),
    DeflateParameters(True, False, 12, 10),
]
JSON_TEXT = b'{"id":"%08d","object":"chat.completion.chunk","choices":[{"delta":{"content":"token"}}]}'


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("parameters", PARAMETERS)
@pytest.mark.parametrize(("size", "count"), [(16, 50), (256, 50), (4096, 20), (65536, 4), (131072, 2)])
@pytest.mark.parametrize("fragment_bytes", [None, 100])
def test_compressed_case(
    role: Role, parameters: DeflateParameters, size: int, count: int, fragment_bytes: int | None
) -> None:
    """12 and 13: the peer compresses with zlib as RFC 7692 section 7.2.1 says, and reads the echo with zlib."""
    if role is Role.SERVER:
        bits, fresh = parameters.client_max_window_bits, parameters.client_no_context_takeover
        their_bits, their_fresh = parameters.server_max_window_bits, parameters.server_no_context_takeover
    else:
        bits, fresh = parameters.server_max_window_bits, parameters.server_no_context_takeover
        their_bits, their_fresh = parameters.client_max_window_bits, parameters.client_no_context_takeover
    compressor = zlib.compressobj(wbits=-max(bits, 9))
    decompressor = zlib.decompressobj(wbits=-their_bits)
    echo = Echo(role, parameters)
    binary = random.Random(size)
    for number in range(count):
        head = TEXT if number % 2 else BINARY
        data = (JSON_TEXT % number * (size // 80 + 1))[:size] if number % 2 else binary.randbytes(size)
        if fresh:
            compressor = zlib.compressobj(wbits=-max(bits, 9))
        compressed = (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
        echo.receive(_compressed_message(head, compressed, fragment_bytes, masked=role is Role.SERVER))
        *pongs, (answer_head, payload) = parse(bytes(echo.output))
        assert all(pong == (PONG, b"!") for pong in pongs)
        echo.output.clear()
        assert answer_head == head | 0x40
        if their_fresh:
            decompressor = zlib.decompressobj(wbits=-their_bits)
        assert decompressor.decompress(payload + b"\x00\x00\xff\xff") == data
    assert echo.ended is None


def _compressed_message(head: int, data: bytes, fragment_bytes: int | None, *, masked: bool) -> bytes:
    if fragment_bytes is None or len(data) <= fragment_bytes:
        return frame(head | 0x40, data, masked=masked)
    parts = [data[start : start + fragment_bytes] for start in range(0, len(data), fragment_bytes)]
    wire = [frame((head & 0x0F) | 0x40, parts[0], masked=masked)]
    wire += [frame(PING, b"!", masked=masked)]
    wire += [frame(0x00, part, masked=masked) for part in parts[1:-1]]
    return b"".join(wire) + frame(FIN, parts[-1], masked=masked)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([(0x41, b"\x00"), (0xC0, b"\x00")], 1002),
        ([(0xC9, b"")], 1002),
        ([(0xE1, b"\x00")], 1002),
        ([(0xC1, b"\xff\xff\xff")], 1007),
        ([(0xC1, bytes.fromhex("fa07e2020000"))], 1007),
    ],
)
def test_compression_misused(frames: list[Frame], code: int, role: Role) -> None:
    echo = Echo(role, DeflateParameters())
    echo.receive(b"".join(frame(head, payload, masked=role is Role.SERVER) for head, payload in frames))
    assert isinstance(echo.ended, Failed)
    assert echo.ended.code == code
