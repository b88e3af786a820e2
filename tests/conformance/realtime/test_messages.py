"""What is said arrives: octets, opcodes and boundaries of messages, both ways."""

from __future__ import annotations

import random
import zlib
from typing import TYPE_CHECKING

import pytest

from support.realtime_frames import BINARY, CLOSE, FIN, PING, PONG, RSV1, TEXT, Frame, Message, Reader, frame
from support.realtime_stage import DEFLATED

if TYPE_CHECKING:
    from support.realtime_side import Side
    from support.realtime_stage import Stage

MIB = 1 << 20
LARGE = 64 * MIB
ODD_NUMBERS = (
    b' {"price":1.10, "huge":1e400 ,"tiny":-0.0,"exact":12345678901234567890123,"e":1E+2,"twice":1,"twice":2,\r\n'
    b'\t"escaped":"\\u00e9\\ud83d\\ude00\\/\\u2028","alone":"\\ud800","raw":"\xc3\xa9\xe2\x80\xa8\x7f"} \n'
)
MESSAGES = {
    "ascii": Message(TEXT, b"hello"),
    "non-ascii": Message(TEXT, "Grüße, 世界, 🙂, \u0000, \ufeff, \u2028, e\u0301".encode()),
    "odd numbers and escapes": Message(TEXT, ODD_NUMBERS),
    "not JSON at all": Message(TEXT, b'{"type":'),
    "byte order mark first": Message(TEXT, "\ufeff{}".encode()),
    "every octet": Message(BINARY, bytes(range(256))),
    "JSON in binary": Message(BINARY, b'{"serverContent":{"turnComplete":true}}'),
    "a frame in a frame": Message(BINARY, frame(FIN | CLOSE, b"\x03\xe8", masked=False)),
    "empty text": Message(TEXT, b""),
    "empty binary": Message(BINARY, b""),
    **{f"{size} bytes": Message(BINARY, random.Random(size).randbytes(size)) for size in (125, 126, 65535, 65536)},
    "no UTF-8": Message(TEXT, b"\xc3\x28 \xa0\xa1 \xed\xa0\x80 \xf8\x88\x80\x80\x80"),
    "UTF-8 that is cut off": Message(TEXT, "é".encode()[:1]),
}


def both_ways(stage: Stage) -> list[tuple[Side, Side]]:
    """Open one session; who speaks and who listens, for each direction."""
    client, provider = stage.pair()
    return [(client, provider), (provider, client)]


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message(stage: Stage, name: str) -> None:
    for speaker, listener in both_ways(stage):
        speaker.send(speaker.whole(MESSAGES[name]))
        assert listener.message() == MESSAGES[name]
        assert listener.is_quiet


def test_all_of_them_in_one_segment(stage: Stage) -> None:
    for speaker, listener in both_ways(stage):
        speaker.send(*map(speaker.whole, MESSAGES.values()))
        for message in MESSAGES.values():
            assert listener.message() == message
        assert listener.is_quiet


def test_byte_by_byte(stage: Stage) -> None:
    for speaker, listener in both_ways(stage):
        spoken = b"".join(speaker.whole(MESSAGES[name]) for name in ("non-ascii", "empty text", "126 bytes"))
        for octet in spoken:
            speaker.send(bytes((octet,)))
        for name in ("non-ascii", "empty text", "126 bytes"):
            assert listener.message() == MESSAGES[name]


FRAGMENTS = {
    "two": [b"one, ", b"two"],
    "within a character": ["é".encode()[:1], "é".encode()[1:]],
    "one octet each": [bytes((octet,)) for octet in b"fragments of one octet"],
    "the first is empty": [b"", b"text"],
    "one in the middle is empty": [b"te", b"", b"xt"],
    "the last is empty": [b"text", b""],
    "all are empty": [b"", b"", b""],
    "large ones": [bytes((65 + index,)) * 100_000 for index in range(5)],
    "five hundred": [b"%d," % index for index in range(500)],
}


def fragmented(speaker: Side, opcode: int, parts: list[bytes], *between: bytes) -> list[bytes]:
    """Return the frames of a message in these fragments, with other frames between them."""
    frames: list[bytes] = []
    for index, part in enumerate(parts):
        head = (0 if index else opcode) | (FIN if index == len(parts) - 1 else 0)
        frames += [*(between if index else ()), speaker.frame(head, part)]
    return frames


@pytest.mark.parametrize("name", FRAGMENTS)
def test_fragments(stage: Stage, name: str) -> None:
    parts = FRAGMENTS[name]
    for speaker, listener in both_ways(stage):
        speaker.send(*fragmented(speaker, TEXT, parts), *fragmented(speaker, BINARY, parts))
        assert listener.message() == Message(TEXT, b"".join(parts))
        assert listener.message() == Message(BINARY, b"".join(parts))
        assert listener.is_quiet


def test_fragments_arrive_before_the_message_is_over(stage: Stage) -> None:
    for speaker, listener in both_ways(stage):
        speaker.send(speaker.frame(TEXT, b"begun"))
        got = listener.next_frame()
        assert got == Frame(TEXT, b"begun", is_final=False)
        speaker.send(speaker.frame(FIN, b"done"))
        assert listener.next_frame() == Frame(0, b"done", is_final=True)


@pytest.mark.parametrize("who", ["client", "provider"])
def test_a_frame_goes_on_before_it_is_whole(relay: Stage, who: str) -> None:
    client, provider = relay.pair()
    speaker, listener = (client, provider) if who == "client" else (provider, client)
    message = Message(BINARY, bytes(range(256)) * 8192)
    whole = speaker.whole(message)
    speaker.send(whole[:MIB])
    parts: list[bytes] = []
    while sum(map(len, parts)) < MIB - 64 * 1024:
        parts.append(listener.next_frame().payload)
    speaker.send(whole[MIB:])
    parts.append(listener.message().payload)
    assert b"".join(parts) == message.payload


def test_control_frames_between_fragments(stage: Stage) -> None:
    for speaker, listener in both_ways(stage):
        ping, pong = speaker.frame(FIN | PING, b"are you there"), speaker.frame(FIN | PONG, b"nobody asked")
        speaker.send(*fragmented(speaker, TEXT, [b"a", b"", b"b", b"c"], ping, pong))
        assert listener.message() == Message(TEXT, b"abc")
        speaker.wait_for_pongs(b"are you there", 3)
        assert speaker.is_quiet
        assert listener.is_quiet


def test_many_empty_messages(stage: Stage) -> None:
    opcodes = [TEXT, BINARY, BINARY, TEXT] * 250
    for speaker, listener in both_ways(stage):
        speaker.send(*(speaker.frame(FIN | opcode) for opcode in opcodes))
        assert [listener.message() for _ in opcodes] == [Message(opcode, b"") for opcode in opcodes]
        assert listener.is_quiet


def test_ten_thousand_tiny_messages_both_ways_at_once(stage: Stage) -> None:
    count = 10_000
    sides = both_ways(stage)
    for speaker, _ in sides:
        speaker.send(
            *(speaker.frame(FIN | (BINARY if number % 3 else TEXT), b"%d" % number) for number in range(count))
        )
    for _, listener in sides:
        for number in range(count):
            assert listener.message() == (BINARY if number % 3 else TEXT, b"%d" % number)
        assert listener.is_quiet


def test_messages_that_wait_for_each_other(stage: Stage) -> None:
    client, provider = stage.pair()
    for number in range(200):
        client.say(f"question {number}")
        assert provider.text() == f"question {number}"
        provider.say(f"answer {number}")
        assert client.text() == f"answer {number}"


@pytest.mark.parametrize(("size", "step"), [(LARGE, LARGE), (LARGE // 4, 16_001)], ids=["64 MiB", "1,048 fragments"])
def test_a_large_message_both_ways_at_once(stage: Stage, size: int, step: int) -> None:
    whole = random.Random(64).randbytes(MIB) * (size // MIB)
    sides = both_ways(stage)
    with stage.steady(2 * MIB):
        for speaker, _ in sides:
            for part in fragmented(speaker, BINARY, [whole[at : at + step] for at in range(0, size, step)]):
                speaker.send(part)
        for _, listener in sides:
            got = listener.message()
            assert got.opcode == BINARY
            assert got.payload == whole, f"{len(got.payload)} of {size} bytes arrived, but not as they were sent"
            assert listener.is_quiet


def test_no_utf_8_is_the_endpoints_matter(stage: Stage) -> None:
    for who in range(2):
        speaker, listener = both_ways(stage)[who]
        speaker.send(speaker.whole(MESSAGES["no UTF-8"]))
        assert listener.message() == MESSAGES["no UTF-8"]
        listener.close(1007, b"that was no UTF-8")
        assert speaker.got_close() == (1007, b"that was no UTF-8")
        speaker.close(1007)
        assert listener.got_close() == (1007, b"")


def deflated(payload: bytes) -> bytes:
    """Compress as RFC 7692 section 7.2.1 says."""
    squeeze = zlib.compressobj(wbits=-15)
    return (squeeze.compress(payload) + squeeze.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\x00\x00\xff\xff")


def inflated(frames: list[Frame]) -> bytes:
    data = b"".join(each.payload for each in frames)
    return zlib.decompressobj(wbits=-15).decompress(data + b"\x00\x00\xff\xff") if frames[0].is_compressed else data


OFFER = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"


def test_a_client_that_compresses(relay: Stage) -> None:
    client = relay.client("openai", "?model=m", OFFER)
    client.reader = Reader(masked=False, may_compress=True)
    provider = relay.provider()
    assert provider.get_head().get("sec-websocket-extensions") is None
    relay.admit(provider)
    assert (client.get_head().get("sec-websocket-extensions") or "").startswith("permessage-deflate")
    payload = ODD_NUMBERS * 5000
    squeezed = deflated(payload)
    client.send(client.frame(TEXT | RSV1, squeezed[:9]), client.frame(FIN | PING), client.frame(FIN, squeezed[9:]))
    assert provider.message() == Message(TEXT, payload)
    client.say(payload)
    assert provider.message() == Message(TEXT, payload)
    provider.say(payload)
    got = [client.next_frame()]
    while not got[-1].is_final:
        got.append(client.next_frame())
    assert inflated(got) == payload


def test_a_provider_that_compresses(relay: Stage) -> None:
    client = relay.client(DEFLATED, "/v1/listen")
    provider = relay.provider()
    offer = provider.get_head().get("sec-websocket-extensions")
    assert offer is not None
    assert offer.startswith("permessage-deflate")
    provider.reader = Reader(masked=True, may_compress=True)
    relay.admit(provider, "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover")
    assert client.get_head().get("sec-websocket-extensions") is None
    payload = ODD_NUMBERS * 5000
    squeezed = deflated(payload)
    provider.send(provider.frame(TEXT | RSV1, squeezed[:5]), provider.frame(FIN, squeezed[5:]))
    assert client.message() == Message(TEXT, payload)
    client.say(payload)
    got = [provider.next_frame()]
    while not got[-1].is_final:
        got.append(provider.next_frame())
    assert inflated(got) == payload


@pytest.mark.parametrize("is_read", [True, False], ids=["read", "not read"])
def test_a_bomb_of_the_client(relay: Stage, is_read: bool) -> None:
    """32 MiB of zeros are 32 KiB on the wire: legal, and the gateway holds neither."""
    client = relay.client("openai", "?model=m", OFFER)
    client.reader = Reader(masked=False, may_compress=True)
    provider = relay.provider()
    relay.admit(provider)
    client.get_head()
    bomb = client.frame(FIN | BINARY | RSV1, deflated(bytes(LARGE // 2)))
    received = 0

    def count(frame: Frame) -> None:
        nonlocal received
        received += len(frame.payload)

    provider.consume = count
    client.send(client.frame(FIN | BINARY | RSV1, deflated(bytes(4 * MIB))))
    provider.wait(lambda: received == 4 * MIB)
    with relay.steady(2 * MIB) as look:
        provider.wire.set_reading(is_read)
        client.send(bomb)
        if not is_read:
            relay.settle()
            look()
            provider.say("I can still speak")
            assert inflated([client.next_frame()]) == b"I can still speak"
            provider.wire.set_reading(True)
        provider.wait(lambda: received == LARGE // 2 + 4 * MIB)
