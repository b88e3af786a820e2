"""The scenarios that come with the project: plain functions of a world, drawn from its chance."""

from __future__ import annotations

import dataclasses
import functools
import operator
import random
from typing import TYPE_CHECKING, TypeAlias

from aigw_proto._limits import GatewayLimits

from ._bounded import bounded, draining
from ._plan import bad_link
from ._pressure import pressure
from ._realtime import Close, End, Leaving, Message, Pace, RealtimeSession
from ._traffic import Traffic
from ._universal import Flood, Request, UniversalClient
from ._universal_provider import Fault, Form, Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._network import Faults
    from ..memory import World

__all__ = ["SCENARIOS", "Scenario", "calm", "crowd", "mixed", "realtime", "universal"]

Scenario: TypeAlias = "Callable[[World], None]"
"""Puts hosts and peers into a world, runs it, and raises AssertionError when something does not hold."""

_SMALL_READ_BYTES = 500
_TURN_SECONDS = 0.0002  # of virtual time: more than a turn takes, so that what waits for turns can be told
_QUICK_TURNS = 150.0  # for each client: a request takes twenty or so by itself, and every other client takes its quanta
_QUESTIONS = 10
_LONG_SECONDS = 300.0
_FORMS: tuple[Form, ...] = ("sse", "sse", "sse", "lines", "whole", "to the end")
_FAULTS: tuple[Fault, ...] = ("cut", "reset", "stale", "status", "garbage", "silence")
_CONFIGS = (
    ("{}", 1, None),
    ("{}", 1, None),
    ('{"maxAttempts":3,"retryDelay":50}', 3, None),
    ('{"requestTimeout":2000}', 1, 2.0),
    ('{"requestTimeout":1500,"maxAttempts":2,"retryDelay":200}', 2, 1.5),
)
_CLOSES: tuple[Close, ...] = (
    (1000, b""),
    (1000, b"bye"),
    (1001, b"leaving"),
    (1008, b"no"),
    (1011, b"oh"),
    (4007, "née".encode()),
    (None, b""),
)


def _limits(draw: random.Random) -> GatewayLimits:
    """Draw limits, some of them so low that they are met all the time."""
    choice = draw.choice
    limits = GatewayLimits(
        upstream_idle_timeout_seconds=60.0,
        first_byte_timeout_seconds=40.0,
        stuck_timeout_seconds=30.0,
        pool_idle_timeout_seconds=choice([5.0, 60.0]),
        max_connections_per_origin=choice([1, 2, 4096, 4096]),
        max_idle_per_origin=choice([0, 1, 64]),
        turn_bytes=choice([1000, 262_144]),
    )
    if draw.random() < 0.5:
        limits = dataclasses.replace(
            limits,
            client_high_water_bytes=choice([600, 8192]),
            client_low_water_bytes=choice([0, 500]),
            client_reply_allowance_bytes=choice([500, 100_000]),
            upstream_high_water_bytes=choice([200, 2048]),
            realtime_high_water_bytes=choice([512, 8192]),
            realtime_low_water_bytes=choice([0, 256]),
        )
    return limits


def _is_fine(*links: Faults) -> bool:
    """Say whether links pass on enough at a time for messages of some size."""
    return all(
        link.max_read_bytes >= _SMALL_READ_BYTES and link.torn < 0.5 and link.buffer_bytes > 512 for link in links
    )


# ---- the universal API -----------------------------------------------------------------------------------------------


class _Asker:
    """One client of the universal API: asks, takes back, dawdles, leaves."""

    def __init__(
        self, traffic: Traffic, client: UniversalClient, number: int, *, requests: int, misbehaves: bool
    ) -> None:
        self._traffic = traffic
        self._client = client
        self._draw = traffic.world.random
        self._number = number
        self._left_to_ask = requests
        self._misbehaves = misbehaves
        self._is_large = _is_fine(client.faults, traffic.provider.listener.faults)
        client.on_open = self._act
        traffic.unfinished.append(lambda: self.can_ask)

    @property
    def can_ask(self) -> bool:
        """Whether more is going to be asked."""
        return bool(self._left_to_ask) and self._client.is_alive and not self._traffic.is_shutting_down

    def _act(self) -> None:
        if not self.can_ask:
            return
        for _ in range(self._draw.choice([1, 1, 2, self._left_to_ask])):
            if self._left_to_ask:
                self._ask()
        self._disturb()
        self._traffic.world.after(self._draw.choice([0.0, 0.001, 0.05, 1.0]), self._act)

    def _ask(self) -> None:
        draw = self._draw
        self._left_to_ask -= 1
        order = self._order(f"c{self._number}-{self._left_to_ask}")
        config, attempts, timeout = draw.choice(_CONFIGS)
        before = "custom-gone" if draw.random() < 0.15 else None
        limits = self._traffic.limits
        per_attempt = timeout or limits.connect_timeout_seconds + limits.first_byte_timeout_seconds
        most = attempts * per_attempt * (1 if before is None else 2) + limits.upstream_idle_timeout_seconds
        self._client.ask(
            order,
            before=before,
            config=config,
            most_seconds=most + order.items * order.pause_seconds,
            may_fail=order.fault not in ("", "stale") or timeout is not None,
        )

    def _order(self, tag: str) -> Order:
        draw, large = self._draw, self._is_large
        form = draw.choice(_FORMS)
        fault: Fault = draw.choice(_FAULTS) if self._misbehaves and draw.random() < 0.4 else ""
        if form == "to the end" and (fault == "cut" or self._traffic.provider.listener.faults.half_close):
            form = "sse"  # nothing would tell that end from the right one
        items = draw.choice([0, 1, 3, 20, 60] if large else [0, 1, 3, 6])
        return Order(
            tag,
            items,
            pad_bytes=draw.choice([0, 10, 1500] if large else [0, 10]),
            form=form,
            fault=fault,
            after=draw.randint(0, items),
            pause_seconds=draw.choice([0.0, 0.0, 0.0, 0.01, 2.0]),
        )

    def _disturb(self) -> None:
        roll, client, draw = self._draw.random(), self._client, self._draw
        if roll < 0.08 and client.requests:
            tag = draw.choice(sorted(client.requests))
            if not client.requests[tag].cancelled:
                client.cancel(tag)
        elif roll < 0.12:
            client.ping()
        elif roll < 0.15 and self._misbehaves:
            client.break_off()
        elif roll < 0.18 and self._misbehaves:
            client.close()
        elif roll < 0.24:
            client.read(False)
            self._traffic.world.after(draw.choice([0.1, 5.0, 100.0]), self._read_on)
        elif roll < 0.30:
            client.read(True, bytes_per_second=draw.choice([5000.0, 500_000.0]))

    def _read_on(self) -> None:
        if not self._client.left:
            self._client.read(True)


def _add_clients(traffic: Traffic, count: int, requests: int) -> None:
    draw = traffic.world.random
    misbehaves = draw.random() < 0.5
    for number in range(count):
        client = traffic.client(faults=bad_link(draw, trouble=0.3))
        _Asker(traffic, client, number, requests=requests, misbehaves=misbehaves)


# ---- realtime --------------------------------------------------------------------------------------------------------


def _messages(draw: random.Random, who: str, count: int, *, large: bool) -> list[Message]:
    messages: list[Message] = []
    for number in range(count):
        size = draw.choice([0, 1, 30, 30, 125, 126, 300] + ([4000, 20_000, 66_000] if large else []))
        mark = f"{who} {number} é ".encode()
        payload = (mark + b"x" * size)[: max(size, len(mark))]
        fragment = draw.choice([None, None, None, 1 + size // 3])
        messages.append(Message(payload, draw.random() < 0.5, fragment))
    return messages


def _pace(draw: random.Random, who: str, *, closes: bool, large: bool) -> Pace:
    return Pace(
        _messages(draw, who, draw.choice([0, 3, 5, 5, 8]), large=large),
        gap_seconds=draw.choice([0.0, 0.0, 0.001, 0.05, 0.7]),
        close=draw.choice(_CLOSES) if closes else None,
        leaves=draw.choice(list(Leaving)) if draw.random() < 0.12 else None,
        pings=draw.random() < 0.2,
        answers_close=draw.random() < 0.9,
        talks_on=draw.random() < 0.3,
    )


def _dawdle(world: World, end: End) -> None:
    """Let an end read nothing for a while, or slowly from some time on."""
    draw = world.random
    start, rate = draw.choice([0.01, 0.5, 2.0]), draw.choice([None, 3000.0])
    if rate is not None:
        world.after(start, lambda: end.read(True, bytes_per_second=rate))
        return
    pause = draw.choice([0.5, 8.0, 200.0])
    world.after(start, lambda: end.read(False))
    world.after(start + pause, lambda: end.read(True))


def _add_sessions(traffic: Traffic, count: int) -> None:
    world, draw = traffic.world, traffic.world.random
    for number in range(count):
        faults = bad_link(draw, trouble=0.3)
        large = _is_fine(faults, traffic.live.faults)
        closes = draw.choice([(True, False), (True, False), (False, True), (False, True), (True, True), (False, False)])
        client = _pace(draw, f"client-{number}", closes=closes[0], large=large)
        far = _pace(draw, f"far-{number}", closes=closes[1], large=large)
        early = draw.random() < 0.2
        delay = draw.choice([0.0, 0.0, 0.3])

        connected: list[RealtimeSession] = []

        def connect(
            client: Pace = client,
            far: Pace = far,
            faults: Faults = faults,
            early: bool = early,
            connected: list[RealtimeSession] = connected,
        ) -> None:
            session = traffic.session(client, far, faults=faults, early=early)
            connected.append(session)
            if draw.random() < 0.25:
                _dawdle(world, draw.choice([session.client, session.far]))

        traffic.unfinished.append(functools.partial(operator.not_, connected))
        world.after(delay, connect)


# ---- whole scenarios -------------------------------------------------------------------------------------------------


def _traffic(world: World) -> Traffic:
    draw = world.random
    traffic = Traffic(
        world,
        limits=_limits(draw),
        provider_faults=bad_link(draw, trouble=0.4),
        live_faults=bad_link(draw, trouble=0.4),
    )
    if draw.random() < 0.1:
        at, seconds = draw.uniform(0.0, 3.0), draw.choice([1.0, 50.0, 1000.0])
        world.after(at, lambda: traffic.jump(seconds))
    if draw.random() < 0.15:
        at, grace = draw.uniform(0.0, 5.0), draw.choice([0.0, 1.0, 30.0])
        world.after(at, lambda: traffic.shut_down(grace))
    if draw.random() < 0.1:
        world.after(draw.uniform(0.0, 2.0), traffic.cut)
    return traffic


def universal(world: World) -> None:
    """Clients of the universal API with many requests at once, on links that misbehave."""
    traffic = _traffic(world)
    _add_clients(traffic, world.random.randint(1, 3), world.random.choice([3, 10, 10]))
    traffic.finish()


def realtime(world: World) -> None:
    """Realtime sessions with messages in both directions, on links that misbehave."""
    traffic = _traffic(world)
    _add_sessions(traffic, world.random.randint(1, 4))
    traffic.finish()


def mixed(world: World) -> None:
    """Both at once on one gateway."""
    traffic = _traffic(world)
    _add_clients(traffic, world.random.randint(1, 2), world.random.choice([3, 5]))
    _add_sessions(traffic, world.random.randint(1, 3))
    traffic.finish()


def calm(world: World) -> None:
    """Ten realtime sessions of ten messages, and nothing goes wrong: what simulating costs by itself."""
    traffic = Traffic(world, limits=GatewayLimits())
    for number in range(10):
        client = Pace([Message(b"question %d" % n) for n in range(5)], gap_seconds=0.02, close=(1000, b"done"))
        far = Pace([Message(b"answer %d to %d" % (n, number)) for n in range(5)], gap_seconds=0.02)
        traffic.session(client, far)
    traffic.finish()
    assert all(session.client.got == session.far.got == 5 for session in traffic.sessions)


def crowd(world: World) -> None:
    """Several clients that flood the gateway beside one that does not: it gets its share of the time."""
    draw = world.random
    traffic = Traffic(world, limits=GatewayLimits(), turn_seconds=_TURN_SECONDS)
    crowd_size = draw.randint(2, 8)
    for number in range(crowd_size):
        client = traffic.client()
        kind: Flood | None = draw.choice([None, "pings", "fragments", "messages"])
        if kind is None:
            client.on_open = functools.partial(_stream_much, client, number, draw.randint(5, 20))
        else:
            client.on_open = functools.partial(client.flood, kind, draw.choice([500, 5000]))
    good = traffic.client()

    def ask() -> None:
        tag = f"good-{len(good.requests)}"
        good.ask(
            Order(tag, 1, form="whole"), most_seconds=_QUICK_TURNS * (crowd_size + 1) * _TURN_SECONDS, may_fail=False
        )

    def ask_on(_: Request) -> None:
        if len(good.requests) < _QUESTIONS:
            world.after(0.01, ask)

    good.on_open, good.on_ended = ask, ask_on
    traffic.unfinished.append(lambda: len(good.requests) < _QUESTIONS)
    traffic.slack_seconds = 0.02
    traffic.finish()


def _stream_much(client: UniversalClient, number: int, requests: int) -> None:
    for at in range(requests):
        order = Order(f"c{number}-{at}", 200, pad_bytes=100)
        client.ask(order, most_seconds=_LONG_SECONDS, may_fail=False)


SCENARIOS: dict[str, Scenario] = {
    "mixed": mixed,
    "universal": universal,
    "realtime": realtime,
    "pressure": pressure,
    "bounded": bounded,
    "draining": draining,
    "crowd": crowd,
    "calm": calm,
}
"""The scenarios by name, as `aigw sim` knows them."""
