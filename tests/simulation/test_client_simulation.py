"""Whole runs of client engines against a gateway on a bad network: what programs get is in order and ends once.

One seed is one run. The programs consume at once, late or never, cancel, set timeouts, and close in the middle.
"""

from __future__ import annotations

import json
import random
from typing import Any, cast

import pytest

from aigw_proto import client as core
from aigw_proto._effects import LogLevel
from aigw_proto._inputs import ShutdownRequested
from aigw_proto.envelopes import Step
from aigw_transports.memory import Host
from support.bad_network import bad_network
from support.rig import Rig, gateway_config

SEEDS = 60
_GROUP = 10
_HORIZON_SECONDS = 500.0
_MORE = (core.StreamStarted, core.ChunkReceived)


class Program:
    """One connection and a program that uses it."""

    def __init__(self, rig: Rig, seed: int, name: str) -> None:
        self.draw = random.Random(f"{seed} {name}")
        limits = core.ClientLimits(
            high_water_bytes=self.draw.choice([1000, 20_000, 1_000_000]),
            low_water_bytes=self.draw.choice([0, 500]),
            turn_messages=self.draw.choice([1, 10, 256]),
        )
        self.engine = core.ClientEngine(random_bytes=self.draw.randbytes, limits=limits)
        self.host: Host[core.ClientInput] = rig.world.host(name, self.engine)
        url = core.parse_url("ws://gateway:8787/v1/acc/default")
        assert isinstance(url, core.GatewayUrl)
        self.host.feed(core.OpenConnection(url))
        self.requests = self.draw.randint(1, 12)
        self.next_ticket = 1
        self.words: dict[int, list[str]] = {}
        self.cancelled_at: dict[int, int] = {}  # ticket -> items that had come
        self.consumed: dict[int, int] = {}
        self.by_ticket: dict[int, list[object]] = {}
        self.seen = 0

    def items(self, ticket: int) -> list[object]:
        for effect in self.host.delivered[self.seen :]:
            self.by_ticket.setdefault(effect.ticket, []).append(effect.item)
        self.seen = len(self.host.delivered)
        return self.by_ticket.get(ticket, [])

    @property
    def is_open(self) -> bool:
        kinds = [type(item) for item in self.items(core.CONNECTION_TICKET)]
        return core.Opened in kinds

    def act(self) -> None:
        """Do one thing that a program may do."""
        deed = self.draw.random()
        if deed < 0.5 and self.next_ticket <= self.requests and self.is_open:
            self.create()
        elif deed < 0.6 and self.words:
            ticket = self.draw.choice(list(self.words))
            if ticket % 4 == 0 and ticket not in self.cancelled_at:
                self.cancelled_at[ticket] = len(self.items(ticket))
                self.host.feed(core.CancelRequest(ticket))
        elif self.words:
            self.consume()

    def create(self) -> None:
        ticket, self.next_ticket = self.next_ticket, self.next_ticket + 1
        words = [f"{ticket}-{number}" for number in range(self.draw.choice([1, 5, 60]))]
        self.words[ticket] = words
        streamed = self.draw.random() < 0.7
        query = {"model": "m", "stream": streamed, "messages": [{"role": "user", "content": " ".join(words)}]}
        headers: tuple[tuple[str, str], ...] = ()
        if self.draw.random() < 0.2:
            spec = self.draw.choice(["status=503", "cut_after=2", "stall_after=3", "first_byte_delay=20", "torn"])
            headers = (("x-aigw-mock", spec),)
        step = Step("openai", "chat/completions", headers, json.dumps(query).encode())
        timeout = self.draw.choice([None, None, 5.0, 50.0])
        self.host.feed(core.CreateRequest(ticket, (step,), None, timeout))

    def consume(self) -> None:
        ticket = self.draw.choice(list(self.words))
        new = self.items(ticket)[self.consumed.get(ticket, 0) :]
        self.consumed[ticket] = self.consumed.get(ticket, 0) + len(new)
        if new:
            self.host.feed(
                core.Consumed({ticket: sum(core.held_bytes(cast("core.RequestItem", item)) for item in new)})
            )

    def judge(self) -> None:
        """Every ticket: order, one end, nothing after a cancel, the words of the right request."""
        first, *rest = self.items(core.CONNECTION_TICKET)
        assert isinstance(first, core.Opened | core.OpenFailed | core.OpenRefused | core.ConnectionLost)
        assert [type(item) for item in rest].count(core.ConnectionLost) == (type(first) is core.Opened)
        for ticket, words in self.words.items():
            items = self.items(ticket)
            ends = [item for item in items if not isinstance(item, _MORE)]
            if ticket in self.cancelled_at:
                assert len(items) == self.cancelled_at[ticket]
                assert len(ends) <= 1
            else:
                assert len(ends) == 1
            assert not ends or items[-1] is ends[0]
            kinds = [type(item) for item in items]
            assert core.StreamStarted not in kinds[1:]
            assert core.ChunkReceived not in kinds[:1]
            text = "".join(_text(item) for item in items)
            whole = bool(ends) and isinstance(ends[0], core.StreamFinished | core.ReplyReceived)
            heard = [word for word in text.split() if word.partition("-")[0].isdigit()]
            if whole:
                assert heard == words
            else:
                assert all(any(word.startswith(piece) for word in words) for piece in heard)


def _text(item: object) -> str:
    if isinstance(item, core.ChunkReceived):
        chunk: Any = json.loads(item.response)
        return "".join(choice["delta"].get("content") or "" for choice in chunk.get("choices", []))
    if isinstance(item, core.ReplyReceived):
        reply: Any = json.loads(item.response)
        return str(reply["choices"][0]["message"]["content"])
    return ""


def run(seed: int) -> None:
    draw = random.Random(seed)
    config = gateway_config(limits={"upstream_idle_timeout_seconds": 60.0, "stuck_timeout_seconds": 30.0})
    rig = Rig(seed=seed, faults=bad_network(draw), config=config)
    programs = [Program(rig, seed, f"program-{number}") for number in range(draw.randint(1, 3))]
    close_at = draw.choice([0.5, 30.0, 200.0])
    while rig.world.time < close_at:
        rig.world.advance(draw.choice([0.001, 0.1, 3.0]))
        for program in programs:
            program.act()
    for program in programs:
        grace = draw.choice([0.0, 100.0])
        program.host.feed(ShutdownRequested(grace) if grace else core.CloseConnection())
    while rig.world.time < _HORIZON_SECONDS and not all(program.host.has_drained for program in programs):
        rig.world.advance(1.0)
        for program in programs:
            if program.words and not program.host.has_drained:
                program.consume()
    for program in programs:
        assert program.host.has_drained
        program.judge()
    assert not [line for line in rig.gateway.logged if line.level >= LogLevel.ERROR]


@pytest.mark.parametrize("group", range(SEEDS // _GROUP))
def test_seeds(group: int) -> None:
    for seed in range(group * _GROUP, (group + 1) * _GROUP):
        try:
            run(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise
