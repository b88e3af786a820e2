"""Realtime sessions through a gateway on a bad network, judged only by what clients and providers sent and saw.

One seed is one run: several sessions at once on one gateway, their messages, the manners of both ends, the faults on
both links, the limits and a shutdown are drawn from it. `support.realtime_judge` says what must hold of each session,
whatever happens to the others; here is what must hold of the gateway.
"""

from __future__ import annotations

import itertools
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from aigw_proto._effects import LogLevel
from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.gateway._realtime_record import SessionRecord
from aigw_proto.providers import Dialect, ProviderTable, parse_realtime_url
from aigw_proto.testing import Checked
from aigw_transports.memory import Host, World
from support import realtime_frames
from support.realtime_audit import judge_record, judge_refusal
from support.realtime_frames import TEXT, Message
from support.realtime_judge import Facts, Judge, Session, reads
from support.realtime_manner import Leaving, Upstream
from support.realtime_plan import Plan
from support.realtime_world import End, Provider, Step, speech
from support.rig import base_url

SEEDS = 600
_GROUP = 100  # enough runs to meet every way to end
_WATCHED_SECONDS = 30
_HORIZON_SECONDS = 100.0

# Providers with a dialect each, what is asked of them, and whether compression is offered to them.
PROVIDERS: dict[str, tuple[str, Dialect, bool]] = {
    "openai": ("?model=m", Dialect.OPENAI_REALTIME, False),
    "cartesia": ("", Dialect.CARTESIA, True),
    "deepgram": ("", Dialect.DEEPGRAM, False),
    "google-ai-studio": ("", Dialect.GEMINI_LIVE, True),
    "elevenlabs": ("?agent_id=a", Dialect.ELEVENLABS_AGENT, False),
    "custom-hand": ("/x", Dialect.UNKNOWN, True),
}


def table() -> ProviderTable:
    """Return the providers, each at a host of its own."""
    providers = ProviderTable.builtin()
    for slug, (_, _, squeezes) in PROVIDERS.items():
        address = parse_realtime_url(f"ws://{slug}")
        assert not isinstance(address, str)
        if slug == "custom-hand":
            changed = providers.with_custom(
                "hand",
                base=base_url("http://custom-hand"),
                realtime=address,
                deflate=squeezes,
                allow_private_address=True,
            )
        else:
            changed = providers.with_override(slug, realtime=address, deflate=squeezes)
        assert isinstance(changed, ProviderTable), changed
        providers = changed
    return providers


TABLE = table()


class Run:
    """One run, and its observers."""

    def __init__(self, seed: int) -> None:
        self.plan = plan = Plan(seed)
        self.world = World(seed)
        config = GatewayConfig((GatewaySettings(),), TABLE, plan.limits, websocket=plan.websocket, deflate=plan.deflate)
        self.engine = GatewayEngine(config, random_bytes=random.Random(seed).randbytes, epoch_unix_seconds=1.8e9)
        self.checked: Checked[Input] = Checked(self.engine, max_unsent_bytes=plan.most_unsent_bytes)
        self.gateway: Host[Any] = self.world.host("gateway", self.checked, port=80)
        self.verdicts: Counter[str] = Counter()
        slugs = plan.random.sample(list(PROVIDERS), plan.random.choice([1, 2, 2, 3, 4]))
        self.sessions = [self._prepare(number, slug) for number, slug in enumerate(slugs)]

    def _prepare(self, number: int, slug: str) -> Session:
        plan, draw = self.plan, self.plan.random
        sides = plan.sides(number)
        upstream = draw.choice(list(Upstream)[1:]) if draw.random() < 0.12 else Upstream.ACCEPTS
        delay = draw.choice([0.0, 0.0, 0.2, 1.0])
        client = End(self.world, sides[0].name, sides[0].manner, is_client=True)
        provider = Provider(self.world, sides[1].name, sides[1].manner, upstream, delay)
        for end, steps in zip((client, provider), plan.scripts(sides), strict=True):
            end.play(steps)
        links = sides[0].link, replace(sides[1].link, silent=upstream is Upstream.SILENT)
        session = Session(client, provider, *links, PROVIDERS[slug][1], draw.choice([0.0, 0.0, 0.5, 4.0]))
        self._connect(slug, session)
        return session

    def _connect(self, slug: str, session: Session) -> None:
        draw, world, client = self.plan.random, self.world, session.client
        upstream, link = session.provider.upstream, session.provider_link
        if upstream is not Upstream.UNKNOWN:
            faults = replace(link, refuse=1.0) if upstream is Upstream.REFUSED else link
            world.listen(slug, 80, on_peer=session.provider.take, faults=faults)
        early: list[Step] = []
        if draw.random() < 0.2:
            early = [step for _, step in speech(Message(TEXT, b"early"), [2], 0.0, squeeze=False)]
            if draw.random() < 0.2:
                early.append(lambda end: end.close((4001, b"changed my mind")))
        leaves = draw.choice([0.0, 0.1, 1.0]) if draw.random() < 0.05 else None
        how = draw.choice(list(Leaving))

        def begin() -> None:
            peer = world.peer("gateway", 80, faults=session.client_link)
            client.knock(peer, f"/v1/a/default/{slug}{PROVIDERS[slug][0]}", early=early)
            if leaves is not None:
                client.later(leaves, lambda: client.leave(how))

        world._schedule.after(session.asked_at, begin)

    # ---- the run ---------------------------------------------------------------------------------------------------

    def go(self) -> None:
        """Let everything happen, then judge it."""
        plan, world = self.plan, self.world
        if plan.drain_at is not None:
            world._schedule.after(plan.drain_at, lambda: self.gateway.feed(ShutdownRequested(plan.grace_seconds)))
        for _ in range(_WATCHED_SECONDS):
            world.advance(1.0)
            self._judge_memory()
        world.advance(_HORIZON_SECONDS)
        self._judge_rest()
        facts = Facts(plan.limits, plan.websocket, plan.drain_at, plan.grace_seconds, plan.most_unsent_bytes)
        if plan.drain_at is None:  # what has no end of its own
            facts = replace(facts, drain_at=world.time, grace_seconds=1.0)
            self.gateway.feed(ShutdownRequested(1.0))
            world.advance(_HORIZON_SECONDS)
        self._judge_end()
        for session in self.sessions:
            for end, _ in session.pairs:
                end.read(True)
        world.advance(30.0)
        for session in self.sessions:
            self._judge(session, facts)

    def _judge(self, session: Session, facts: Facts) -> None:
        assert session.client.peer is not None
        records = [each for each in self.gateway.journaled if isinstance(each, SessionRecord)]
        records = [each for each in records if each.peer == session.client.peer.name]
        if session.client.opened_at is None:
            self.verdicts[judge_refusal(session, facts, records)] += 1
        else:
            judge = Judge(session, facts)
            judge.judge()
            judge_record(judge, records)
            self.verdicts.update(judge.whose.values())

    def _judge_memory(self) -> None:
        """What the gateway has taken and not passed on is bounded, whatever a side does not read."""
        for session in self.sessions:
            if not session.is_smooth():
                continue
            most = self.plan.most_unsent_bytes + self.plan.websocket.relayed_piece_bytes
            most += session.client_link.buffer_bytes + session.provider_link.buffer_bytes
            for sink, source in session.pairs:
                if sink.squeezes or source.squeezes or source.peer is None or not reads(source):
                    continue
                said = [*source.said] if source.saying is None else [*source.said, source.saying]
                got = [*sink.got] if sink.getting is None else [*sink.got, sink.getting]
                taken = sum(each.sent_bytes for each in said) - source.peer.unsent
                kept = taken - sum(len(each.payload) for each in got)
                allowed = most + 2 * session.link(source).max_read_bytes
                assert kept <= allowed or session.ending_at is not None, f"{kept} bytes of {source.name} are kept"

    def _judge_rest(self) -> None:
        """Nothing is kept for sessions that somebody has ended long ago, or that never were."""
        slow = [any(end.manner.rate for end, _ in each.pairs) or not each.is_smooth() for each in self.sessions]
        over = [any(end.over_at or end.ended_at for end, _ in session.pairs) for session in self.sessions]
        going_on = 0
        for session, is_over, is_slow in zip(self.sessions, over, slow, strict=True):
            going_on += session.provider.opened_at is not None and (is_slow or not is_over)
        core = self.engine._core
        assert len(core.sessions) <= going_on, f"{len(core.sessions)} sessions, {going_on} go on"
        assert len(core.links) <= 2 * going_on, f"{len(core.links)} links, {going_on} sessions go on"
        assert going_on or core.deadlines.earliest() is None, "a deadline of nobody"

    def _judge_end(self) -> None:
        """Nothing is left, each link was closed once, and nothing went wrong within."""
        errors = [each for each in self.gateway.logged if each.level >= LogLevel.ERROR]
        assert not errors, errors[0].exception or errors[0]
        assert self.gateway.has_drained, self.checked.open_links
        self.checked.finish()
        core = self.engine._core
        assert not core.links
        assert not core.sessions
        assert not core.runnable.waiting
        assert core.deadlines.earliest() is None


def simulate(seed: int) -> Run:
    """Run one seed; an AssertionError names what broke."""
    run = Run(seed)
    try:
        run.go()
    except Exception as error:
        error.add_note(f"seed {seed}")
        raise
    return run


@pytest.mark.parametrize("first", range(0, SEEDS, _GROUP))
def test_seeds(first: int) -> None:
    verdicts: Counter[str] = Counter()
    for seed in range(first, first + _GROUP):
        verdicts += simulate(seed).verdicts
    assert {"relayed", "own", "lost", "broken", "gateway", "502"} <= set(verdicts), verdicts


def test_the_same_seed_is_the_same_run(monkeypatch: pytest.MonkeyPatch) -> None:
    traces: list[list[str]] = []
    for _ in range(2):
        monkeypatch.setattr(realtime_frames, "_numbers", itertools.count(1))  # of mask keys
        traces.append(simulate(11).world.trace)
    assert traces[0] == traces[1]
