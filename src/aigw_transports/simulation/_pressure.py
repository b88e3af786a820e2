"""A scenario in which everybody has more to say than somebody else reads, and no link fails.

Marks are low and buffers small, so that back-pressure comes and goes all the time: providers are paused, clients are
not read, answers wait for memory. All of it has to come in the end, soon after its reader has gone on reading, and
meanwhile the gateway keeps no more than its limits allow.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from aigw_proto._limits import GatewayLimits

from .._network import Faults
from ._realtime import Message, Pace
from ._traffic import Traffic
from ._universal_provider import Form, Order

if TYPE_CHECKING:
    import random

    from ..memory import World
    from ._realtime import End
    from ._universal import UniversalClient

__all__ = ["pressure"]

_FORMS: tuple[Form, ...] = ("sse", "sse", "lines", "whole", "whole")
_STREAMS: tuple[Form, ...] = ("sse", "lines")
_PAUSES_SECONDS = (0.3, 3.0, 8.0)  # less than any keep-alive, which would come to the rescue of who waits
_PRESSED_SECONDS = 10.0  # until the last reader has gone on
_LONG_SECONDS = 60.0
_MOST_ITEMS = 60
_RELAYED_BYTES = 32 * 1024  # what a relay gathers of a frame, and what it passes on before it looks at what waits
_QUANTUM_BYTES = 16 * 1024  # answers to a client's messages that one quantum may bring beyond what is allowed
_FRAME_BYTES = 512  # a frame around an item, or a request's head


def pressure(world: World) -> None:
    """Slow readers behind low marks, on links that hold little and lose nothing."""
    draw = world.random
    if draw.random() < 0.5:
        _press_on_clients(world)
    else:
        _press_on_sessions(world)


def _link(draw: random.Random) -> Faults:
    return Faults(
        latency_seconds=draw.choice([0.0, 0.001]),
        buffer_bytes=draw.choice([512, 4096, 64 * 1024]),
        max_read_bytes=draw.choice([300, 4096, 64 * 1024]),
        torn=draw.choice([0.0, 0.0, 0.3]),
    )


def _limits(draw: random.Random) -> GatewayLimits:
    return GatewayLimits(
        client_high_water_bytes=draw.choice([600, 8192]),
        client_low_water_bytes=draw.choice([0, 0, 500]),
        client_reply_allowance_bytes=draw.choice([500, 20_000]),
        upstream_high_water_bytes=draw.choice([200, 2048]),
        realtime_high_water_bytes=draw.choice([512, 8192]),
        realtime_low_water_bytes=draw.choice([0, 0, 256]),
        max_buffered_response_bytes=draw.choice([1000, 30_000]),
        max_connections_per_origin=draw.choice([2, 4096]),
        turn_bytes=draw.choice([1000, 262_144]),
    )


def _press_on_clients(world: World) -> None:
    """Ask for more than is read."""
    draw = world.random
    limits, link, pad = _limits(draw), _link(draw), draw.choice([300, 1500])
    count, requests, flood = draw.randint(1, 2), draw.choice([2, 6]), draw.choice([0, 0, 50, 1000])
    forms = draw.choice([_FORMS, _STREAMS])
    whole = _MOST_ITEMS * (pad + _FRAME_BYTES)
    unread = limits.upstream_high_water_bytes + 2 * min(link.max_read_bytes, link.buffer_bytes)
    unsent = limits.client_high_water_bytes + limits.client_reply_allowance_bytes + whole + _QUANTUM_BYTES
    gathered = 0 if forms is _STREAMS else limits.max_buffered_response_bytes + whole
    kept = count * (requests * (unread + pad + 2 * _FRAME_BYTES) + gathered + flood * 100)
    traffic = Traffic(world, limits=limits, provider_faults=link, most_unsent_bytes=unsent, most_kept_bytes=kept)

    def ask(client: UniversalClient, number: int) -> None:
        if draw.random() < 0.7:
            client.read(False)
            world.after(draw.choice(_PAUSES_SECONDS), lambda: client.read(True))
        for at in range(requests):
            order = Order(f"c{number}-{at}", draw.choice([3, _MOST_ITEMS]), pad_bytes=pad, form=draw.choice(forms))
            client.ask(order, most_seconds=_LONG_SECONDS, may_fail=False)
        if flood:
            client.flood("messages", flood)

    for number in range(count):
        client = traffic.client(faults=_link(draw))
        client.on_open = functools.partial(ask, client, number)
    traffic.unfinished.append(lambda: world.time < _PRESSED_SECONDS)
    traffic.finish()


def _press_on_sessions(world: World) -> None:
    """Say more than is heard."""
    draw = world.random
    limits, far_link = _limits(draw), _link(draw)
    count, links = draw.randint(1, 2), [_link(draw), _link(draw)]
    read = max(min(link.max_read_bytes, link.buffer_bytes) for link in (*links, far_link))
    unsent = limits.realtime_high_water_bytes + 2 * _RELAYED_BYTES + 2 * read
    kept = 2 * count * (_RELAYED_BYTES + 2 * read)
    traffic = Traffic(world, limits=limits, live_faults=far_link, most_unsent_bytes=unsent, most_kept_bytes=kept)
    for number in range(count):
        paces = [_pace(draw, f"{who}-{number}", closes=draw.random() < 0.4) for who in ("client", "far")]
        session = traffic.session(*paces, faults=links[number])
        for end in (session.client, session.far):
            if draw.random() < 0.5:
                _dawdle(world, end)
    traffic.unfinished.append(lambda: world.time < _PRESSED_SECONDS)
    traffic.finish()


def _pace(draw: random.Random, who: str, *, closes: bool) -> Pace:
    sizes = draw.choice([(10, 300), (300, 4000, 20_000), (66_000,)])
    messages: list[Message] = []
    for number in range(draw.choice([3, 12, 12])):
        payload = f"{who} {number} ".encode()
        messages.append(Message(payload + b"x" * draw.choice(sizes), draw.random() < 0.5, draw.choice([None, 1000])))
    close = (1000, b"all said") if closes else None
    return Pace(messages, gap_seconds=draw.choice([0.0, 0.01, 0.3]), close=close, pings=draw.random() < 0.4)


def _dawdle(world: World, end: End) -> None:
    draw = world.random
    start = draw.choice([0.005, 0.05, 0.5])
    world.after(start, lambda: end.read(False))
    world.after(start + draw.choice(_PAUSES_SECONDS), lambda: end.read(True))
