"""The mock provider on a bad network: an answer is whole and in order, or ends for a reason that the log names."""

from __future__ import annotations

import random

import pytest

from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto.mock import MockEngine, MockLimits, MockRecord
from aigw_proto.testing import Checked
from aigw_transports.memory import Faults, Host, World
from support.mock_bench import PROMPT, STREAM, TEXT, read_answer, request_bytes

SEEDS = 60
HARMLESS = ("", "chunk_delay=0.1", "torn", "close", "early_close_idle=1", "first_byte_delay=2", "retry_after=1")
HARMFUL = (
    "cut_after=2",
    "cut_before",
    "cut_after=1,reset",
    "stall_after=1",
    "lying_length",
    "bad_chunking",
    "huge=60000",
)
ENDLESS = ("endless_json", "endless_line", "endless_header")
LIMITS = MockLimits(high_water_bytes=20_000, low_water_bytes=4_000)
MAX_UNSENT_BYTES = LIMITS.high_water_bytes + 20_000  # the mark and one piece


def faults(draw: random.Random) -> Faults:
    return Faults(
        latency_seconds=draw.choice([0.001, 0.05]),
        jitter_seconds=draw.choice([0.0, 0.02]),
        buffer_bytes=draw.choice([512, 128 * 1024]),
        max_read_bytes=draw.choice([300, 64 * 1024]),
        torn=draw.choice([0.0, 0.9]),
        reset=draw.choice([0.0, 0.0, 0.01]),
    )


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_run(seed: int) -> None:
    draw = random.Random(seed)
    world = World(seed)
    engine: Checked[Input] = Checked(MockEngine(limits=LIMITS), max_unsent_bytes=MAX_UNSENT_BYTES)
    host: Host[Input] = world.host("mock", engine, port=80)
    orders = [
        (draw.choice(HARMLESS + HARMFUL + ENDLESS), draw.choice([PROMPT, STREAM])) for _ in range(draw.randint(1, 12))
    ]
    peers = [world.peer("mock", 80, faults=faults(draw)) for _ in orders]
    for (spec, body), peer in zip(orders, peers, strict=True):
        peer.send(request_bytes(body=body, fault=spec))
        if spec in ENDLESS or draw.random() < 0.3:
            peer.set_reading(draw.random() < 0.8, bytes_per_second=4_000)
    world.run(until=30.0)
    host.feed(ShutdownRequested(5.0))
    world.run(until=60.0)
    assert engine.drained
    engine.finish()
    assert not host.logged
    assert all(isinstance(record, MockRecord) for record in host.journaled)
    assert len(host.journaled) <= len(orders)
    for (spec, body), peer in zip(orders, peers, strict=True):
        if spec in HARMLESS and not peer.broken and peer.received_bytes:
            answer = read_answer(peer.received, ended=peer.eof)
            assert answer.complete, (spec, body)
            assert answer.text() == TEXT if body is STREAM else TEXT in answer.body.decode()
