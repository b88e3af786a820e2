"""What must hold whenever a gateway and its network are at rest: nobody waits for nothing.

At rest means that no byte is on its way, none waits to be sent, and none waits for somebody who reads. Then only time
can move anything, and whatever has been said must have come to where it was going. A wake-up that was lost shows here,
and only here: sooner or later some deadline comes to its rescue, and in the end all seems well.

Shutting down is judged here as well, since a gateway that drains comes to rest before its grace is over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._plan import is_smooth

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aigw_proto._kinds import LinkId

    from .._network import End as Stream
    from ._realtime import End, RealtimeSession
    from ._traffic import Traffic
    from ._universal import Request, UniversalClient

__all__ = ["Rest"]

_DELAY_SECONDS = 5.0  # more than any delay before another try
_PROMPT_SECONDS = 30.0  # less than any timeout of a request that has none of its own
_LATE_SECONDS = 1.0  # behind the end of a grace: what is said then has come, or is on its way
_STUCK_SLACK_SECONDS = 15.0
_SHUTTING_DOWN = "shutting down"
_MANY_CONNECTIONS = 1000  # a limit that no scenario comes near to


class Rest:
    """Looks at a traffic from time to time."""

    def __init__(self, traffic: Traffic) -> None:
        """Look at `traffic` when `look()` is called."""
        self._traffic = traffic
        self._progress: dict[LinkId, tuple[int, float]] = {}
        self._too_many_since: float | None = None
        self._room_since: float | None = None

    def look(self) -> None:
        """Demand what must hold now. Raises AssertionError."""
        traffic = self._traffic
        gateway, now = traffic.gateway, traffic.world.time
        room_since, self._room_since = self._room_since, None
        if traffic.was_cut or traffic.jumped_seconds or gateway.has_drained or gateway.busy_until > now:
            return
        self._judge_kept()
        streams = gateway.streams
        self._judge_stuck(streams, now)
        if not all(_is_still(stream) for stream in streams.values()):
            return
        self._judge_links(streams)
        self._judge_connections(now)
        self._judge_room(now, room_since)
        for client in traffic.clients:
            if client.is_alive and client.is_reading and is_smooth(client.faults):
                self._judge_client(client, now)
        for session in traffic.sessions:
            if session.status == 101 and session.client.is_smooth and session.far.is_smooth:
                self._judge_session(session, now)

    def _judge_kept(self) -> None:
        """Demand that what was read and not sent on is bounded; what comes behind a Close is not kept, but dropped."""
        traffic = self._traffic
        ends = [end for session in traffic.sessions for end in (session.client, session.far)]
        if not any(end.said_close or end.got_close or end.left_at for end in ends):
            kept, most = traffic.gateway.kept_bytes, traffic.most_kept_bytes
            assert most is None or kept <= most, f"the gateway keeps {kept} bytes, where {most} are allowed"

    # ---- links -----------------------------------------------------------------------------------------------------

    def _judge_stuck(self, streams: Mapping[LinkId, Stream], now: float) -> None:
        """Demand that a peer that takes nothing is given up."""
        limits = self._traffic.limits
        mark = max(limits.client_high_water_bytes, limits.realtime_high_water_bytes)
        before, self._progress = self._progress, {}
        for link, stream in streams.items():
            if stream.unsent_bytes > mark:
                taken, since = before.get(link, (-1, now))
                if stream.taken_bytes != taken:
                    taken, since = stream.taken_bytes, now
                self._progress[link] = taken, since
                most = limits.stuck_timeout_seconds + _STUCK_SLACK_SECONDS
                assert now - since <= most, f"link {link} has taken nothing for {now - since:.0f} s, and is kept"

    def _judge_links(self, streams: Mapping[LinkId, Stream]) -> None:
        """Demand that all links are read, and none is kept that has ended."""
        opening = any(each.status is None and each.client.peer is not None for each in self._traffic.sessions)
        for link, stream in streams.items():
            assert opening or not stream.unread_bytes, f"link {link} is not read, and nothing waits to be sent"
            assert not stream.has_ended, f"link {link} has ended, and is kept"

    def _judge_connections(self, now: float) -> None:
        """Demand that there are no more connections to the provider than are needed, or may be idle."""
        traffic = self._traffic
        provider, limits = traffic.provider, traffic.limits
        if not is_smooth(provider.listener.faults):
            return
        count = provider.open_connections
        requests = [request for client in traffic.clients for request in client.requests.values()]
        most = sum(request.ended_at is None for request in requests)
        if not traffic.is_shutting_down:
            # One that was opened for a request that gave it up, or for a try of it, is kept, whatever the number.
            most += limits.max_idle_per_origin
            most += sum(bool(each.cancelled or each.error or each.may_fail) for each in requests)
        most = min(most, limits.max_connections_per_origin)
        if count <= most:
            self._too_many_since = None
            return
        # One that was just closed is not known to be by its other end.
        self._too_many_since = since = self._too_many_since or now
        assert now - since < _LATE_SECONDS, f"{count} connections to a provider, {most} of use"

    def _judge_room(self, now: float, since: float | None) -> None:
        """Demand that nobody waits for a connection that may be opened; `since` somebody has, with room for it."""
        traffic = self._traffic
        provider = traffic.provider
        if not is_smooth(provider.listener.faults):
            return
        if provider.open_connections >= traffic.limits.max_connections_per_origin:
            return
        for client in traffic.clients:
            there = client.is_alive and client.is_reading and is_smooth(client.faults)
            for request in client.requests.values() if there else ():
                waits = request.ended_at is None and request.order.tag not in provider.bodies
                if waits and not request.cancelled and request.is_direct and now - request.asked_at > _DELAY_SECONDS:
                    self._room_since = since = since or now
                    late = now - since >= _LATE_SECONDS
                    request.demand(not late, f"waits for a connection, and there are {provider.open_connections}")

    # ---- the universal API -----------------------------------------------------------------------------------------

    def _judge_client(self, client: UniversalClient, now: float) -> None:
        """Demand that whatever the provider has said has come, and that nobody is kept who has to go."""
        traffic = self._traffic
        if is_smooth(traffic.provider.listener.faults):
            for request in client.requests.values():
                if request.ended_at is None:
                    self._judge_request(request, now)
        until = traffic.grace_until
        if until is not None and client.is_open:
            assert client.is_waiting, "a client without requests is kept by a gateway that shuts down"
            assert now <= until + _LATE_SECONDS, f"a client is kept {now - until:.3f} s behind the end of the grace"

    def _judge_request(self, request: Request, now: float) -> None:
        provider, limits = self._traffic.provider, self._traffic.limits
        request.demand(not request.cancelled, "was cancelled, and has no end")
        unlimited = limits.max_connections_per_origin > _MANY_CONNECTIONS
        said_at = provider.said_at.get(request.order.tag)
        if said_at is not None:
            # Who waits for a connection for long may be given up while it is being answered.
            waited = not unlimited and now - request.asked_at >= _PROMPT_SECONDS
            is_certain = not request.may_fail and not request.order.fault and not waited
            late = is_certain or (unlimited and now - said_at > _DELAY_SECONDS)
            request.demand(not late, f"waits, although its provider has said all {now - said_at:.3f} s ago")
        elif unlimited and now - request.asked_at > _DELAY_SECONDS and request.is_direct:
            request.demand(request.order.tag in provider.bodies, "waits, and its provider knows nothing of it")

    # ---- the grace -----------------------------------------------------------------------------------------------

    def judge_grace(self) -> None:
        """Demand that what was under way before a shutdown was not given up for it before the grace was over."""
        traffic = self._traffic
        until = traffic.grace_until
        if until is None or traffic.was_cut or traffic.jumped_seconds:
            return
        for client in traffic.clients:
            for request in client.requests.values():
                early = request.ended_at is not None and request.ended_at < until
                admitted = request.order.tag in traffic.provider.bodies
                told = _SHUTTING_DOWN in (request.error or "")
                request.demand(not (early and admitted and told), "is given up before the grace is over")
        for session in traffic.sessions:
            for end in (session.client, session.far):
                early = end.got_close_at is not None and end.got_close_at < until
                told = end.got_close is not None and _SHUTTING_DOWN.encode() in end.got_close[1]
                assert not (early and told), f"{end.name}: is closed before the grace is over"

    # ---- realtime --------------------------------------------------------------------------------------------------

    def _judge_session(self, session: RealtimeSession, now: float) -> None:
        """Demand that whatever one end has said has come to the other."""
        ends = (session.client, session.far)
        if any(end.peer is not None and end.peer.has_news for end in ends):
            return  # on a link that the gateway has let go of: it does not count among those that have to be still
        for end in ends:
            if end.said_close is not None and end.got_close is None and end.left_at is None and end.ended_at is None:
                self._judge_closing(end)
        if any(end.opened_at is None or end.ended_at is not None or end.got_close is not None for end in ends):
            return
        for end in ends:
            other = end.other
            gone = other.said_close is not None or other.left_at is not None
            if end.said_close is None and end.left_at is None:
                assert not gone, f"{end.name}: nothing tells it that {other.name} has gone"
                assert end.got == len(other.said), f"{end.name}: {end.got} of {len(other.said)} messages came"
                assert end.pongs == end.pings, f"{end.name}: {end.pongs} of {end.pings} pings were answered"
        self._judge_end_of_grace(ends, now)

    def _judge_closing(self, end: End) -> None:
        """Demand that who has closed, and waits for the answer, has got all that the other end still had to say."""
        other = end.other
        if other.left_at is None and other.ended_at is None:
            assert end.got == len(other.said), f"{end.name}: closed, and {end.got} of {len(other.said)} messages came"

    def _judge_end_of_grace(self, ends: tuple[End, End], now: float) -> None:
        until = self._traffic.grace_until
        if until is not None and all(end.said_close is None and end.left_at is None for end in ends):
            assert now <= until + _LATE_SECONDS, f"{ends[0].name} goes on {now - until:.3f} s behind the grace"


def _is_still(stream: Stream) -> bool:
    return stream.is_still and stream.peer.is_still and not stream.peer.unread_bytes
