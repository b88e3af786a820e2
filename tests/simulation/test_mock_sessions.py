"""The mock provider's WebSocket sessions on a bad network: what came is whole and in order, or the log says why not."""

from __future__ import annotations

import json
import random

import pytest

from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto.mock import MockEngine, MockLimits, MockRecord
from aigw_proto.testing import Checked
from aigw_transports.memory import Faults, Host, Peer, World
from support.frames import frame
from support.mock_bench import upgrade_bytes

SEEDS = 60
TARGETS = ("/echo", "/v1/realtime", "/v1/responses", "/fal-ai/flux", "/v1/speak", "/tts/websocket")
HARMLESS = ("", "chunk_delay=0.05", "torn", "first_byte_delay=1", "glued", "late_pong=0.5", "no_pong")
HARMFUL = (
    *("cut_after=3", "cut_after=1,reset", "stall_after=2", "close=4000,close_after=2", "close=1006", "bad_frame=1"),
    *("hold_close", "giant_frame=300000", "malformed", "status=503"),
)
ENDLESS = ("endless_fragments=100", "endless_fragments=0")
LIMITS = MockLimits(high_water_bytes=20_000, low_water_bytes=4_000, max_waiting_answers=3)
MAX_UNSENT_BYTES = LIMITS.high_water_bytes + 64 * 1024 + 4096  # the mark, one message, and what control frames may add


def faults(draw: random.Random) -> Faults:
    return Faults(
        latency_seconds=draw.choice([0.001, 0.05]),
        jitter_seconds=draw.choice([0.0, 0.02]),
        buffer_bytes=draw.choice([512, 128 * 1024]),
        max_read_bytes=draw.choice([300, 64 * 1024]),
        torn=draw.choice([0.0, 0.9]),
        reset=draw.choice([0.0, 0.0, 0.01]),
    )


def messages(draw: random.Random, target: str, spec: str) -> list[bytes]:
    """Return what a client says on a session: questions that the dialect has an answer for."""
    count = draw.randint(0, 12)
    if target == "/echo":
        sizes = [0, 1, 125, 126, 1000] if spec == "torn" else [0, 1, 125, 126, 5000, 70_000]
        return [draw.randbytes(draw.choice(sizes)) for _ in range(count)]
    event = {
        "/v1/realtime": {"type": "response.create", "response": {"instructions": "alpha"}},
        "/v1/responses": {"type": "response.create", "input": "alpha"},
        "/fal-ai/flux": {"prompt": "alpha"},
        "/v1/speak": {"type": "Flush"},
        "/tts/websocket": {"transcript": "alpha", "context_id": "c"},
    }[target]
    return [json.dumps(event).encode()] * count


def frames(data: bytes) -> list[tuple[int, bytes]]:
    """Read the whole frames of a stream that may have been cut anywhere."""
    found: list[tuple[int, bytes]] = []
    position = 0
    while position + 2 <= len(data):
        extended = {126: 2, 127: 8}.get(data[position + 1], 0)
        start = position + 2 + extended
        length = int.from_bytes(data[position + 2 : start], "big") if extended else data[position + 1]
        if start + length > len(data):
            break
        found.append((data[position], data[start : start + length]))
        position = start + length
    return found


def check_echo(peer: Peer, said: list[bytes], *, whole: bool) -> None:
    sent = b"".join(len(message).to_bytes(4, "big") + message for message in said)
    heard, message = b"", b""
    for head, payload in frames(peer.received.partition(b"\r\n\r\n")[2]):
        if head & 0x0F < 8:
            message += payload
            if head & 0x80:
                heard += len(message).to_bytes(4, "big") + message
                message = b""
    assert sent.startswith(heard)
    if whole:
        assert heard == sent


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run(seed: int) -> None:
    draw = random.Random(seed)
    world = World(seed)
    engine: Checked[Input] = Checked(MockEngine(limits=LIMITS), max_unsent_bytes=MAX_UNSENT_BYTES)
    host: Host[Input] = world.host("mock", engine, port=80)
    orders = [(draw.choice(TARGETS), draw.choice(HARMLESS + HARMFUL + ENDLESS)) for _ in range(draw.randint(1, 8))]
    said = [messages(draw, target, spec) for target, spec in orders]
    peers = [world.peer("mock", 80, faults=faults(draw)) for _ in orders]
    for (target, spec), peer, sent in zip(orders, peers, said, strict=True):
        key = draw.randbytes(4)
        head = 0x82 if target == "/echo" else 0x81
        data = b"".join(frame(head, message, key=key) for message in sent)
        peer.send(upgrade_bytes(target, fault=spec) + data + frame(0x88, b"\x03\xe8", key=key))
        if spec in ENDLESS or draw.random() < 0.2:
            peer.set_reading(draw.random() < 0.8, bytes_per_second=500)
    world.run(until=60.0)
    host.feed(ShutdownRequested(5.0))
    world.run(until=90.0)
    assert engine.drained
    engine.finish()
    assert not host.logged
    assert all(isinstance(record, MockRecord) for record in host.journaled)
    for (target, spec), peer, sent in zip(orders, peers, said, strict=True):
        if target == "/echo" and spec in HARMLESS and not peer.broken:
            check_echo(peer, sent, whole=peer.eof and b"\x88\x02\x03\xe8" in peer.received[-4:])
