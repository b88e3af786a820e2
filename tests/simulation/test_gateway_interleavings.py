"""Any order of inputs that a world could bring, fed to a gateway engine one turn at a time.

The network of the other simulations keeps events in a plausible order. Here nothing does: a seed draws what happens
next from everything that is possible, and the engine is not even given the time to finish its work before the next
input. Whatever happens, each request ends once, nothing is left open, and no bug is logged.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from typing import Any

import pytest

from aigw_proto._inputs import (
    BytesReceived,
    ConnectFailed,
    ConnectFailure,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId
from aigw_proto.gateway import Outcome
from support.frames import frame
from support.turns import END_CHUNK, STREAM_HEAD, Agent, Turns, answer, sse

SEEDS = 300
_GROUP = 30
_STEPS = 150
_JSON_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 40\r\n\r\n"
_PIECES = [
    STREAM_HEAD,
    sse(b'{"n":1}'),
    sse(b"x" * 300),
    sse(b"[DONE]"),
    END_CHUNK,
    STREAM_HEAD + sse(b"1") + END_CHUNK,
    STREAM_HEAD + b"".join(sse(b'"%d"' % n) for n in range(60)) + END_CHUNK,
    answer(b"1"),
    answer(b'"no"', 500),
    answer(b'"no"', 429, extra="retry-after: 1\r\n"),
    answer(b'"no"', 401, extra="connection: close\r\n"),
    answer(b"\xff\x00", content_type="audio/mpeg"),
    answer(b"x" * 900),
    answer(b"1", extra="content-encoding: gzip\r\n"),
    _JSON_HEAD,
    b"[" + b"1," * 19,
    b"]",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\n",
    b"garbage\r\n\r\n",
]
_CONFIGS = [
    {},
    {"maxAttempts": 3, "retryDelay": 100},
    {"requestTimeout": 300},
    {"requestTimeout": 200, "maxAttempts": 2, "retryDelay": 0},
]


class Play:
    """One run."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        draw = self.draw
        self.turns = Turns(
            client_high_water_bytes=draw.choice([100, 2000, 262_144]),
            client_low_water_bytes=draw.choice([0, 50]),
            client_reply_allowance_bytes=draw.choice([100, 1_000_000]),
            upstream_high_water_bytes=draw.choice([100, 262_144]),
            max_buffered_response_bytes=draw.choice([20, 1000, 1_000_000]),
            max_response_bytes=draw.choice([500, 1_000_000]),
            max_connections_per_origin=draw.choice([1, 2, 100]),
            max_idle_per_origin=draw.choice([0, 1, 64]),
            max_in_flight=draw.choice([2, 256]),
            turn_bytes=draw.choice([1, 1000, 262_144]),
            upstream_idle_timeout_seconds=draw.choice([0.5, 300.0]),
            connect_timeout_seconds=draw.choice([0.3, 10.0]),
        )
        self.agents: list[Agent] = []
        self.all_agents: list[Agent] = []
        self.created: Counter[str] = Counter()
        self.connecting: set[LinkId] = set()
        self.open: set[LinkId] = set()
        self.left: set[LinkId] = set()
        self.seen_connects = 0
        self.shutting_down = False

    def run(self) -> None:
        actions = [self.create, self.create, self.cancel, self.answer, self.answer, self.answer, self.connect]
        actions += [self.connect, self.settle, self.stall, self.resume, self.pass_time, self.come, self.upload]
        rare = [self.leave, self.misbehave, self.fail, self.end, self.end, self.shut_down]
        self.come()
        for _ in range(_STEPS):
            if self.turns.drained:
                break
            (self.draw.choice(rare) if self.draw.random() < 0.15 else self.draw.choice(actions))()
            self.look()
        self.finish()

    def look(self) -> None:
        """Learn what the engine asked for."""
        turns = self.turns
        for connect in turns.connects[self.seen_connects :]:
            self.connecting.add(connect.link)
        self.seen_connects = len(turns.connects)
        gone = set(turns.closed)
        self.connecting -= gone
        self.open -= gone
        for agent in self.agents:
            if agent.link in gone:
                assert agent.frames is not None
        self.agents = [agent for agent in self.agents if agent.link not in gone]

    def readable(self, link: LinkId) -> bool:
        return self.turns.reading.get(link, True)

    def pick(self, links: set[LinkId]) -> LinkId | None:
        return self.draw.choice(sorted(links)) if links else None

    def agent(self) -> Agent | None:
        able = [agent for agent in self.agents if self.readable(agent.link) and agent.link not in self.left]
        return self.draw.choice(able) if able else None

    # What clients do

    def come(self) -> None:
        if not self.shutting_down and len(self.agents) < 4:
            while self.turns.engine.next_timeout() == self.turns.now:
                self.turns.wake()
            self.agents.append(self.turns.agent())
            self.all_agents.append(self.agents[-1])

    def create(self) -> None:
        if (agent := self.agent()) is not None:
            # Mostly a name of its own, sometimes one that may be in use.
            name = f"{agent.link}-{self.draw.randrange(3) if self.draw.random() < 0.1 else len(self.created) + 10}"
            self.created[name] += 1
            agent.create(name, config=self.draw.choice(_CONFIGS))

    def cancel(self) -> None:
        if (agent := self.agent()) is not None:
            names = [name for name in self.created if name.startswith(f"{agent.link}-")]
            agent.cancel(self.draw.choice(names[-4:] or ["nobody"]))

    def stall(self) -> None:
        for agent in self.agents:
            if agent.link not in self.turns.closed:
                agent.stall()

    def resume(self) -> None:
        for agent in self.agents:
            if agent.link not in self.turns.closed and self.turns.backlog(agent.link):
                self.turns.report(agent.link, self.draw.choice([0, self.turns.backlog(agent.link) // 2]))

    def leave(self) -> None:
        if (agent := self.agent()) is not None:
            self.left.add(agent.link)
            agent.disconnect(clean=self.draw.random() < 0.5)

    def misbehave(self) -> None:
        if (agent := self.agent()) is not None:
            data = self.draw.choice([frame(0x82, b"x"), frame(0x83), frame(0x88), frame(0x89), frame(0x81, b"?")])
            self.turns.feed(BytesReceived(agent.link, data))

    # What providers do

    def connect(self) -> None:
        if (link := self.pick(self.connecting)) is not None:
            self.connecting.discard(link)
            self.open.add(link)
            self.turns.feed(LinkConnected(link))

    def fail(self) -> None:
        if (link := self.pick(self.connecting)) is not None:
            self.connecting.discard(link)
            self.turns.feed(ConnectFailed(link, ConnectFailure.REFUSED, ""))

    def answer(self) -> None:
        if (link := self.pick({link for link in self.open if self.readable(link)})) is not None:
            data = self.draw.choice(_PIECES)
            cut = self.draw.randrange(1, len(data) + 1)
            self.turns.receive(link, data[:cut])
            if cut < len(data) and link not in self.turns.closed and self.readable(link) and self.draw.random() < 0.8:
                self.turns.receive(link, data[cut:])

    def upload(self) -> None:
        link = self.pick({link for link in self.open if link in self.turns.unreported})
        if link is not None:
            self.turns.report(link, self.draw.choice([0, 1]))

    def end(self) -> None:
        if (link := self.pick({link for link in self.open if self.readable(link)})) is not None:
            self.open.discard(link)
            self.turns.feed(PeerClosed(link, self.draw.random() < 0.5))

    # What else happens

    def settle(self) -> None:
        self.turns.settle()

    def pass_time(self) -> None:
        self.turns.advance(self.draw.choice([0.05, 0.2, 1.0]))

    def shut_down(self) -> None:
        if self.draw.random() < 0.3:
            self.shutting_down = True
            self.turns.feed(ShutdownRequested(self.draw.choice([0.0, 0.5, 30.0])))

    def finish(self) -> None:
        turns = self.turns
        if not turns.drained and not self.shutting_down:
            turns.feed(ShutdownRequested(20.0))
        for _ in range(200):
            if turns.drained:
                break
            self.look()
            self.resume()
            turns.advance(1.0)
        assert turns.drained
        self.check()

    def check(self) -> None:
        turns = self.turns
        turns.engine.finish()
        assert not [log for log in turns.logs if log.exception is not None]
        core = turns.gateway._core
        assert not core.links
        assert not core.sessions
        assert not core.pool._sites
        assert core.deadlines.earliest() is None
        assert Counter(turns.closed).most_common(1)[0][1] == 1
        ended = Counter(record.event_id for record in turns.records if record.outcome is not Outcome.REFUSED)
        refused = Counter(record.event_id for record in turns.records if record.outcome is Outcome.REFUSED)
        for name, count in self.created.items():
            assert ended[name] <= count <= ended[name] + refused[name] + self.unread(name)
        for agent in self.all_agents:
            for name in {each["metadata"]["eventId"] for each in agent.frames}:
                self.check_frames(name, agent.of(name))
        assert len({record.log_id for record in turns.records}) == len(turns.records)

    def check_frames(self, name: str, frames: list[dict[str, Any]]) -> None:
        if self.created[name] != 1:
            return
        # Cancelling what has ended is answered by an error of its own.
        frames = [each for each in frames if each["metadata"].get("status") != 404]
        kinds = "".join(
            "w"
            if "response" in each and each["type"] == "universal.created"
            else each["type"].removeprefix("universal.")[0]
            for each in frames
        )
        ended = [record for record in self.turns.records if record.event_id == name and record.status != 404]
        cut_off = not ended or ended[-1].outcome is Outcome.DISCONNECTED
        assert re.fullmatch(r"w|d|cs*d" if not cut_off else r"w|d|(cs*d?)?", kinds), kinds

    def unread(self, name: str) -> int:
        """Creations that may never have been read: their session ended first."""
        return self.created[name] if LinkId(int(name.partition("-")[0])) in self.turns.closed else 0


def simulate(seed: int) -> None:
    """Run one seed; an AssertionError names what broke."""
    Play(seed).run()


@pytest.mark.parametrize("first", range(0, SEEDS, _GROUP))
def test_any_order_of_inputs(first: int) -> None:
    for seed in range(first, first + _GROUP):
        try:
            simulate(seed)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
