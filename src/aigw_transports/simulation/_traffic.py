"""A gateway in a world, the traffic through it, and what must hold of both in the end."""

from __future__ import annotations

import functools
import random
import re
from typing import TYPE_CHECKING, Any

from aigw_proto._effects import LogLevel
from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto._limits import GatewayLimits
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.providers import BaseUrl, ProviderTable, parse_base_url, parse_realtime_url
from aigw_proto.testing import Checked

from .._network import Faults
from ._plan import is_smooth
from ._realtime import End, Pace, RealtimeProvider, RealtimeSession
from ._records import judge_records
from ._rest import Rest
from ._universal import UniversalClient
from ._universal_provider import UniversalProvider

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..memory import Host, World

__all__ = ["Traffic", "gateway_engine"]

_STEP_SECONDS = 10.0
_FIRST_STEP_SECONDS = 0.25
_STEP_GROWTH = 1.25
_MOST_SECONDS = 900.0
_DRAIN_SECONDS = 5.0
_HEALTH_SECONDS = 5.0
_LAST_SECONDS = 100.0  # for what is on its way when the gateway has drained, to slow readers too
_MORE_BYTES = (32 + 64 + 64) * 1024  # behind the high water: one flush, one piece, and the pongs that may wait
_CLOSE_HALF_SECONDS = 5.0  # of `close_timeout_seconds`: what the other end of a session has to answer a Close


@functools.cache
def _table() -> ProviderTable:
    """Return a table in which `custom-hand` answers requests, `custom-live` speaks, and nobody is at `custom-gone`."""
    table = ProviderTable.builtin()
    realtime = parse_realtime_url("ws://live")
    for name, url in (("hand", "http://hand"), ("gone", "http://gone"), ("live", "http://live")):
        base = parse_base_url(url)
        if not isinstance(base, BaseUrl) or isinstance(realtime, str):
            raise TypeError(url)  # these are addresses
        changed = table.with_custom(
            name, base=base, realtime=realtime if name == "live" else None, allow_private_address=True
        )
        if not isinstance(changed, ProviderTable):
            raise TypeError(changed)
        table = changed
    return table


def gateway_engine(seed: int, limits: GatewayLimits | None = None) -> GatewayEngine:
    """Return a gateway for the account `account`, with the providers `custom-hand`, `custom-live` and `custom-gone`."""
    config = GatewayConfig((GatewaySettings(),), _table(), limits or GatewayLimits())
    draw = random.Random(f"gateway {seed}")  # noqa: S311 - repeatable is the point
    return GatewayEngine(config, random_bytes=draw.randbytes, epoch_unix_seconds=1.8e9)


class Traffic:
    """A gateway with a provider of each kind behind it; clients and sessions are added by a scenario."""

    def __init__(
        self,
        world: World,
        *,
        limits: GatewayLimits,
        provider_faults: Faults | None = None,
        live_faults: Faults | None = None,
        turn_seconds: float = 0.0,
        most_unsent_bytes: int | None = None,
        most_kept_bytes: int | None = None,
    ) -> None:
        """Put them into the world: `gateway`, `hand` and `live`, each at port 80.

        `most_unsent_bytes` may wait on one link of the gateway; without it, what the limits allow at most. And
        `most_kept_bytes` may have been read by the gateway and not have been sent on in any form.
        """
        self.world = world
        self.limits = limits
        engine = gateway_engine(world.seed, limits)
        most = max(
            limits.client_high_water_bytes + limits.client_reply_allowance_bytes, limits.realtime_high_water_bytes
        )
        if most_unsent_bytes is None:
            most_unsent_bytes = most + limits.turn_bytes + _MORE_BYTES
        self.most_kept_bytes = most_kept_bytes
        self.checked: Checked[Input] = Checked(engine, max_unsent_bytes=most_unsent_bytes)
        self.gateway: Host[Any] = world.host("gateway", self.checked, port=80, turn_seconds=turn_seconds)
        self.provider = UniversalProvider(world, "hand", faults=provider_faults)
        self.live = RealtimeProvider(world, "live", faults=live_faults)
        self.clients: list[UniversalClient] = []
        self.sessions: list[RealtimeSession] = []
        self.unfinished: list[Callable[[], bool]] = []
        """Each says whether somebody has yet to do something."""
        self.jumped_seconds = 0.0
        self.was_cut = False
        """All links were broken at once."""
        self.is_shutting_down = False
        self.slack_seconds = 10.0
        """How much later than a deadline says something may be seen: the ways to the observers and back."""
        self.grace_until: float | None = None
        """When the grace of a shutdown ends."""
        self._rest = Rest(self)

    def client(self, *, faults: Faults | None = None) -> UniversalClient:
        """Let a client of the universal API connect."""
        client = UniversalClient(self.world, "gateway", faults=faults)
        self.clients.append(client)
        return client

    def session(self, client: Pace, far: Pace, *, faults: Faults | None = None, early: bool = False) -> RealtimeSession:
        """Let a client connect to the realtime provider."""
        tag = f"s{len(self.sessions)}"
        session = RealtimeSession(self.world, self.live, tag, client, far, faults=faults or self.world.faults)
        self.sessions.append(session)
        session.connect("gateway", early=early)
        return session

    def jump(self, seconds: float) -> None:
        """Let the clock jump, and remember that it has."""
        self.jumped_seconds += seconds
        self._disturb()
        self.world.jump(seconds)

    def cut(self) -> None:
        """Break all links of the gateway at once."""
        self.was_cut = True
        self._disturb()
        self.gateway.break_links()

    def _disturb(self) -> None:
        for client in self.clients:
            client.disturbed = True
        for end in self._ends():
            end.disturbed = True

    def shut_down(self, grace_seconds: float) -> None:
        """Ask the gateway to drain."""
        if not self.is_shutting_down:
            self.is_shutting_down = True
            self.grace_until = self.world.time + grace_seconds
            self.gateway.feed(ShutdownRequested(grace_seconds))

    # ---- the end ---------------------------------------------------------------------------------------------------

    @property
    def _has_settled(self) -> bool:
        self.unfinished = [is_unfinished for is_unfinished in self.unfinished if is_unfinished()]
        if self.unfinished or any(client.is_waiting for client in self.clients):
            return False
        return all(session.has_ended or session.goes_on for session in self.sessions)

    def finish(self) -> None:
        """Let everything end, and judge it."""
        self._advance(_MOST_SECONDS, lambda: self._has_settled)
        self._read_on()
        self._advance(_MOST_SECONDS, lambda: self._has_settled or self.gateway.has_drained)
        if not self.is_shutting_down:
            self._judge_idle()
        if not self.is_shutting_down:
            self._judge_table()
        self.shut_down(_DRAIN_SECONDS)
        self._advance(_DRAIN_SECONDS + _MOST_SECONDS, lambda: self.gateway.has_drained)
        self.world.advance(_LAST_SECONDS)
        self._judge()

    def _advance(self, most_seconds: float, is_enough: Callable[[], bool]) -> None:
        """Let time pass, first in small steps, and look at what there is whenever nothing moves."""
        waited, step = 0.0, _FIRST_STEP_SECONDS  # counted by steps: the clock may jump
        while not is_enough() and waited < most_seconds:
            self.world.advance(step)
            waited += step
            self._rest.look()
            step = min(step * _STEP_GROWTH, _STEP_SECONDS)

    def _judge_idle(self) -> None:
        """Let connections to the provider age, when nobody needs one."""
        if any(client.is_waiting for client in self.clients) or not is_smooth(self.provider.listener.faults):
            return
        self.world.advance(self.limits.pool_idle_timeout_seconds + self.slack_seconds)
        count = self.provider.open_connections
        assert not count or self.jumped_seconds, f"{count} connections to a provider are idle, and are kept"

    def _judge_table(self) -> None:
        """Ask for the gateway's health: it counts no more connections than there are."""
        before = len(self.gateway.streams)
        peer = self.world.peer("gateway", 80, faults=Faults())
        peer.send(b"GET /health HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n")
        self.world.advance(_HEALTH_SECONDS)
        text = peer.take()
        found = re.search(rb'"connections":(\d+)', text)
        assert found is not None or self.is_shutting_down, f"the gateway says of its health: {text!r}"
        count = 0 if found is None else int(found[1])
        # One more may have come meanwhile; the one that asks is counted too, and may be gone by now.
        links = max(before, len(self.gateway.streams))
        assert count <= links + 1, f"{links} links are open, and the gateway counts {count} connections"

    def _read_on(self) -> None:
        for client in self.clients:
            if not client.left:
                client.is_reading = True
                client.peer.set_reading(True)
        for end in self._ends():
            if end.peer is not None and end.left_at is None:
                end.peer.set_reading(True)

    def _ends(self) -> list[End]:
        return [end for session in self.sessions for end in (session.client, session.far)]

    def _judge(self) -> None:
        gateway = self.gateway
        errors = [each for each in gateway.logged if each.level >= LogLevel.ERROR]
        assert not errors, errors[0].exception or errors[0].message
        assert gateway.has_drained, f"did not drain; open are {self.checked.open_links}"
        self.checked.finish()
        disturbed = bool(self.jumped_seconds) or self.was_cut
        smooth = is_smooth(self.provider.listener.faults) and not disturbed
        slack = self.slack_seconds + self.jumped_seconds
        for client in self.clients:
            client.judge(self.provider, links_are_smooth=smooth, slack_seconds=slack)
        for session in self.sessions:
            session.judge(slack_seconds=slack, half_seconds=_CLOSE_HALF_SECONDS)
        self._rest.judge_grace()
        judge_records(self)
        self._count()

    def _count(self) -> None:
        counts = self.world.counts
        requests = [request for client in self.clients for request in client.requests.values()]
        counts["requests"] += len(requests)
        counts["messages"] += sum(1 + request.next_item for request in requests)
        counts["sessions"] += len(self.sessions)
        counts["messages"] += sum(end.got for end in self._ends())
