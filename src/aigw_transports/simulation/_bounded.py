"""Scenarios in which time runs out, or something is too large: what is allowed goes on, what is not ends in time."""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

from aigw_proto._limits import GatewayLimits

from .._network import Faults
from ._realtime import Message, Pace, RealtimeSession
from ._traffic import Traffic
from ._universal_provider import Order

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..memory import World
    from ._realtime import End
    from ._universal import Request, UniversalClient

__all__ = ["bounded", "draining"]

_LATE_SECONDS = 1.0
_IDLE_SECONDS = 3.0
_SESSION_SECONDS = 7.0
_MOST_BYTES = 1000
_FIRST_BYTE_SECONDS = 4.0
_UPSTREAM_IDLE_SECONDS = 2.0
_MOST_ANSWER_BYTES = 2000
_LONG_SECONDS = 40.0
_QUESTIONS = 6
_TRIES = '{"maxAttempts":3,"retryDelay":50}'
_TRIES_SECONDS = 0.2  # three tries at each of two providers
_MOST_HELD_BYTES = 1000
_ONE_RETRY = '{"maxAttempts":2,"retryDelay":20000}'
_RETRY_SECONDS = 20.0
_GOING_AWAY, _TOO_BIG = 1001, 1009


def draining(world: World) -> None:
    """Shut a gateway down while requests, sessions and idle connections are there."""
    draw = world.random
    limits = GatewayLimits(max_idle_per_origin=draw.choice([1, 64]), pool_idle_timeout_seconds=60.0)
    traffic = Traffic(world, limits=limits)
    grace, at = draw.choice([0.0, 4.0, 12.0, 20.0]), draw.choice([0.5, 1.5])
    silent = world.peer("gateway", 80)

    def ask(client: UniversalClient, number: int) -> None:
        for place in range(draw.choice([0, 2, 4])):
            order = Order(f"c{number}-{place}", 4, pause_seconds=draw.choice([0.0, 0.0, 0.9, 2.5, 9.0]))
            client.ask(order, most_seconds=_LONG_SECONDS, may_fail=True)

    for number in range(draw.randint(1, 3)):
        client = traffic.client()
        client.on_open = functools.partial(ask, client, number)
    for _ in range(draw.randint(0, 2)):
        pace = Pace([Message(b"one"), Message(b"two")], gap_seconds=0.7)
        traffic.session(pace, Pace([Message(b"three")], gap_seconds=0.2))
    world.advance(at)
    traffic.shut_down(grace)
    traffic.unfinished.append(lambda: world.time < at + _LATE_SECONDS)
    late: list[float] = []

    def come_late() -> None:
        if not traffic.gateway.has_drained:
            peer = world.peer("gateway", 80)
            peer.on_end = lambda: late.append(world.time)
            world.after(_LATE_SECONDS, lambda: _demand(late, "who comes behind the grace is not sent away"))

    world.after(grace + 0.001, come_late)
    world.advance(_LATE_SECONDS)
    _demand(silent.eof or silent.broken, "a connection on which nothing was asked is kept by a gateway that shuts down")
    traffic.finish()


def bounded(world: World) -> None:
    """Timeouts of seconds and messages of a size that is just allowed, or just not."""
    match world.random.choice([0, 0, 1, 1, 2]):
        case 0:
            _bounded_sessions(world)
        case 1:
            _bounded_requests(world)
        case _:
            _bounded_waiting(world)


# ---- realtime --------------------------------------------------------------------------------------------------------


def _bounded_sessions(world: World) -> None:
    draw = world.random
    by_time = draw.random() < 0.5
    limits = GatewayLimits(
        realtime_idle_timeout_seconds=_IDLE_SECONDS if by_time else None,
        realtime_session_timeout_seconds=_SESSION_SECONDS if by_time else None,
        realtime_max_message_bytes=_MOST_BYTES,
    )
    traffic = Traffic(world, limits=limits)
    sizes = [1, _MOST_BYTES // 2, _MOST_BYTES] + ([] if by_time else [_MOST_BYTES + 1])
    paces: list[Pace] = []
    for who in (b"c", b"p"):
        count = draw.choice([1, 4])
        messages = [Message(who * draw.choice(sizes), True, draw.choice([None, 300])) for _ in range(count)]
        paces.append(Pace(messages, gap_seconds=draw.choice([2.0, 2.5]) if by_time else 0.1))
    session = traffic.session(paces[0], paces[1])
    world.advance(4 * (_IDLE_SECONDS + _SESSION_SECONDS))
    for end in (session.client, session.far):
        if by_time:
            _judge_time(session, end)
        else:
            _judge_size(session, end)
    traffic.finish()


def _judge_time(session: RealtimeSession, end: End) -> None:
    """Demand that a session ends when nobody has spoken for long, or when it has lasted long enough."""
    opened = [each.opened_at or 0.0 for each in (session.client, session.far)]
    spoke = [at + each.pace.gap_seconds * len(each.said[1:]) for at, each in zip(opened, _ends(session), strict=True)]
    due = min(max(spoke) + _IDLE_SECONDS, max(opened) + _SESSION_SECONDS)
    at = end.got_close_at
    _demand(at is not None and abs(at - due) < _LATE_SECONDS, f"{end.name}: closed at {at}, where {due:.3f} was due")
    _demand(end.got_close is not None and end.got_close[0] == _GOING_AWAY, f"{end.name}: closed with {end.got_close}")


def _judge_size(session: RealtimeSession, end: End) -> None:
    """Demand that what is too large ends a session, and nothing else does."""
    too_large = any(len(message.payload) > _MOST_BYTES for each in _ends(session) for message in each.said)
    code = None if end.got_close is None else end.got_close[0]
    _demand(code == (_TOO_BIG if too_large else None), f"{end.name}: closed with {end.got_close}")


def _ends(session: RealtimeSession) -> tuple[End, End]:
    return session.client, session.far


# ---- the universal API -----------------------------------------------------------------------------------------------


def _bounded_requests(world: World) -> None:
    draw = world.random
    limits = GatewayLimits(
        first_byte_timeout_seconds=_FIRST_BYTE_SECONDS,
        upstream_idle_timeout_seconds=_UPSTREAM_IDLE_SECONDS,
        max_response_bytes=_MOST_ANSWER_BYTES,
        max_held_request_bytes=draw.choice([1, 1 << 20]),
    )
    # A limit is to hold for all that comes, and not for what one read brings.
    traffic = Traffic(world, limits=limits, provider_faults=Faults(max_read_bytes=draw.choice([300, 64 * 1024])))
    client = traffic.client()
    wanted: dict[str, tuple[bool, float]] = {}

    def ask(number: int, _: Request | None = None) -> None:
        if number == _QUESTIONS:
            return
        order, succeeds, seconds = _order(draw.choice, f"r{number}")
        wanted[order.tag] = succeeds, seconds
        client.on_ended = functools.partial(ask, number + 1)
        tried = {"before": "custom-gone", "config": _TRIES} if order.fault == "status" else {}
        client.ask(order, most_seconds=seconds, may_fail=not succeeds, **tried)

    client.on_open = functools.partial(ask, 0)
    traffic.unfinished.append(lambda: len(wanted) < _QUESTIONS)
    traffic.slack_seconds = _LATE_SECONDS
    traffic.finish()
    for tag, request in client.requests.items():
        succeeds, seconds = wanted[tag]
        request.demand((request.error is None) is succeeds, f"its error is {request.error!r}")
        took = (request.ended_at or 0.0) - request.asked_at
        request.demand(abs(took - seconds) < _LATE_SECONDS, f"took {took:.3f} s, where {seconds:.3f} s are right")


def _order(choice: Callable[[list[int]], int], tag: str) -> tuple[Order, bool, float]:
    """Return an order, whether it succeeds, and how long it takes."""
    match choice([0, 1, 2, 3, 4, 5]):
        case 0:
            return Order(tag, 3, fault="silence"), False, _FIRST_BYTE_SECONDS
        case 1:
            return Order(tag, 4, fault="silence", after=2), False, _UPSTREAM_IDLE_SECONDS
        case 2:
            return Order(tag, 4, pause_seconds=_UPSTREAM_IDLE_SECONDS * 0.8), True, _UPSTREAM_IDLE_SECONDS * 3.2
        case 3:
            return Order(tag, 1, pad_bytes=_MOST_ANSWER_BYTES - 100, form="whole"), True, 0.0
        case 4:
            return Order(tag, 1, fault="status"), True, _TRIES_SECONDS
        case _:
            return Order(tag, 1, pad_bytes=_MOST_ANSWER_BYTES, form="whole"), False, 0.0


def _bounded_waiting(world: World) -> None:
    """Let requests wait for what one of them has, memory or the only connection: they go on when it gives that up."""
    draw = world.random
    limits = GatewayLimits(
        upstream_idle_timeout_seconds=_UPSTREAM_IDLE_SECONDS,
        max_buffered_response_bytes=_MOST_HELD_BYTES,
        max_connections_per_origin=draw.choice([1, 4096]),
    )
    traffic = Traffic(world, limits=limits)
    traffic.slack_seconds = _LATE_SECONDS
    client = traffic.client()
    count, seconds = draw.randint(1, 4), _UPSTREAM_IDLE_SECONDS
    silent = Order("silent", 1, pad_bytes=_MOST_HELD_BYTES, form="whole", fault="silence", after=1)
    cancels = draw.random() < 0.3
    if not cancels and draw.random() < 0.5:
        silent = dataclasses.replace(silent, status=503)  # then it is tried again, after a while
        seconds = 2 * _UPSTREAM_IDLE_SECONDS + _RETRY_SECONDS

    def ask() -> None:
        config = "{}" if silent.status == 200 else _ONE_RETRY
        client.ask(silent, config=config, most_seconds=seconds, may_fail=True)
        world.after(draw.choice([0.1, 1.0]), ask_for_more)
        if cancels:
            world.after(_UPSTREAM_IDLE_SECONDS - 0.5, lambda: client.cancel(silent.tag))

    def ask_for_more() -> None:
        for number in range(count):
            order = Order(f"r{number}", draw.choice([1, 5]), pad_bytes=100, form="whole")
            client.ask(order, most_seconds=_UPSTREAM_IDLE_SECONDS, may_fail=True)

    client.on_open = ask
    traffic.unfinished.append(lambda: len(client.requests) <= count)
    traffic.finish()
    for tag, request in client.requests.items():
        succeeds = tag != silent.tag or cancels
        request.demand((request.error is None) is succeeds, f"its error is {request.error!r}")


def _demand(condition: object, complaint: str) -> None:
    if not condition:
        raise AssertionError(complaint)
