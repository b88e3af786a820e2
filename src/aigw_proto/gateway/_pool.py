"""Connections to providers, shared by all sessions of the process.

Every connection has a named state, "connecting" included: whatever is not named leaks. HTTP/1.1 connections are leased,
one request at a time, and kept alive in between. What happens when something changes at an origin is decided by one
pure function, `assign`; the rest of the file carries that decision out.

A connection that was kept alive may have been closed by the provider while a request was on its way. The exchange
then ends without a single byte of an answer; its owner asks again with `fresh`, and gets a connection nobody has used.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, TypeAlias

from .._effects import CloseHow, Connect, LogLevel, TlsPolicy
from .._inputs import ConnectFailed, LinkConnected
from .._kinds import LinkId, Role, record
from .._timers import TimerTable
from ..http._h1 import H1Connection
from ._state import UPSTREAM_TRANSITIONS, UpstreamState, UpstreamTrigger
from ._turn import Actor

if TYPE_CHECKING:
    from ..providers import Target
    from ._core import Core

__all__ = ["Assignment", "Lessee", "Origin", "Pool", "UpstreamConnection", "assign"]

Origin: TypeAlias = tuple[str, int, bool, str | None]
"""Host, port, whether TLS, and its private roots: what must be equal for a connection to be shared."""


@record
class Assignment:
    """What to do at one origin now: lease idle connections, open new ones, close idle ones to make room."""

    lease: int
    open: int
    evict: int


def assign(*, waiting: int, fresh: int, idle: int, connecting: int, total: int, limit: int) -> Assignment:
    """Decide for one origin. `fresh` of the `waiting` requests must not get a used connection.

    `total` counts every connection that is not dead, `limit` bounds it. Connections being opened serve whoever waits
    longest when they are ready, so only what exceeds them is opened.
    """
    lease = min(waiting - fresh, idle)
    missing = max(0, waiting - lease - connecting)
    room = max(0, limit - total)
    evict = min(max(0, missing - room), idle - lease)
    return Assignment(lease, min(missing, room + evict), evict)


_NOTHING = Assignment(0, 0, 0)


class Lessee(Actor):
    """Who waits for a connection, then holds it; a `fresh` one does not want one that was used before."""

    __slots__ = ("fresh",)

    fresh: bool

    def assigned(self, connection: UpstreamConnection) -> None:
        """Take the lease; the connection is yours until `Pool.release()` or `Pool.discard()`."""
        raise NotImplementedError

    def connect_failed(self, reason: str, *, timed_out: bool, now: float) -> None:
        """No connection can be had."""
        raise NotImplementedError

    def upstream_readable(self) -> None:
        """Bytes arrived, or the stream ended, and `connection.http` has news."""
        raise NotImplementedError


class _Timer(enum.Enum):
    CONNECT = "connect"
    IDLE = "idle"


class UpstreamConnection(Actor):
    """One connection to a provider and its HTTP machine.

    `answered` says that bytes arrived since the last lease; `buffered_bytes` counts those not yet pulled;
    `unsent_bytes` is the driver's backlog; `broken` says that the stream ended in disorder, so that the end of the
    bytes is not the end of a message.
    """

    __slots__ = (
        "answered",
        "broken",
        "buffered_bytes",
        "http",
        "lessee",
        "link",
        "origin",
        "pool",
        "state",
        "timers",
        "unsent_bytes",
        "used",
    )

    def __init__(self, pool: Pool, origin: Origin, link: LinkId, now: float) -> None:
        """Start in CONNECTING."""
        self.pool = pool
        self.origin = origin
        self.link = link
        self.state = UpstreamState.CONNECTING
        self.http = H1Connection(Role.CLIENT, now=now, limits=pool.core.config.http)
        self.lessee: Lessee | None = None
        self.used = False
        self.broken = False
        self.answered = False
        self.buffered_bytes = 0
        self.unsent_bytes = 0
        self.timers: TimerTable[_Timer] = TimerTable()
        self.scheduled = None

    def move(self, trigger: UpstreamTrigger) -> None:
        """Take a transition of the table; KeyError is a bug."""
        self.state = UPSTREAM_TRANSITIONS[self.state][trigger]

    def next_timeout(self) -> float | None:
        """Return the connect or idle deadline."""
        return self.timers.earliest

    def handle_timeout(self, now: float) -> None:
        """Give up connecting, or close an idle connection."""
        while (timer := self.timers.expire(now)) is not None:
            if timer is _Timer.CONNECT:
                seconds = self.pool.core.config.limits.connect_timeout_seconds
                self.pool.failed(self, f"no connection within {seconds:g} s", timed_out=True, now=now, withdraw=True)
            else:
                self.pool.close(self)

    def handle_input(self, event: LinkConnected | ConnectFailed, now: float) -> None:
        """Take the answer to `Connect`."""
        if isinstance(event, LinkConnected):
            self.pool.opened(self, now)
        else:
            # Clients are told what went wrong; where the provider stands is for the operator.
            host, port, _, _ = self.origin
            self.pool.core.log(
                LogLevel.WARNING,
                "no connection to a provider",
                {"host": host, "port": port, "reason": event.failure.value, "detail": event.detail},
            )
            self.pool.failed(self, event.failure.value, timed_out=False, now=now, withdraw=False)

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes and tell the lessee; on an idle connection they mean that it is of no further use."""
        self.buffered_bytes += len(data)
        self.answered = True
        self.http.receive_data(data, now)
        self._notify()

    def receive_eof(self, *, clean: bool, now: float) -> None:
        """Note the end of the stream and tell the lessee.

        The HTTP machine hears of orderly ends only: some bodies end with the stream, and a break must not pass for it.
        """
        if clean:
            self.http.receive_eof(now)
        else:
            self.broken = True
        self._notify()

    def sent(self, unsent: int, now: float) -> None:  # noqa: ARG002 - the interface of link owners
        """Take the driver's backlog. Requests are whole, so nothing waits for it."""
        self.unsent_bytes = unsent

    def crash(self, now: float) -> None:
        """Close after a bug, and end whoever it served."""
        if self.lessee is not None:
            self.lessee.crash(now)
        if self.state is not UpstreamState.DEAD:
            self.pool.discard(self, now)

    def drop(self, now: float) -> None:
        """Close, and drop whoever it served."""
        if self.lessee is not None:
            self.lessee.drop(now)
        self.pool.close(self)

    def _notify(self) -> None:
        if self.lessee is not None:
            self.lessee.upstream_readable()
        else:
            self.pool.close(self)


class _Site:
    """What the pool knows about one origin."""

    __slots__ = ("connecting", "idle", "target", "total", "waiting")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.idle: list[UpstreamConnection] = []  # the last used is leased first: the others may age out
        self.connecting: dict[UpstreamConnection, None] = {}  # no set: a set of objects has another order in every run
        self.waiting: deque[Lessee] = deque()
        self.total = 0


class Pool:
    """All connections to all providers."""

    __slots__ = ("_sites", "core", "draining")

    def __init__(self, core: Core) -> None:
        """Start empty."""
        self.core = core
        self.draining = False
        self._sites: dict[Origin, _Site] = {}

    def acquire(self, target: Target, waiter: Lessee, now: float) -> Origin:
        """Queue for a connection to `target`; the waiter is called back, perhaps before this returns."""
        origin = (
            target.host,
            target.port,
            target.tls is not None,
            None if target.tls is None else target.tls.ca_file,
        )
        site = self._sites.get(origin)
        if site is None:
            site = self._sites[origin] = _Site(target)
        site.waiting.append(waiter)
        self._settle(origin, site, now)
        return origin

    def withdraw(self, origin: Origin, waiter: Lessee, now: float) -> None:
        """Stop waiting. A connection being opened for nobody is kept if it may be: opening it has been paid for."""
        site = self._sites.get(origin)
        if site is not None and waiter in site.waiting:
            site.waiting.remove(waiter)
            self._settle(origin, site, now)

    def release(self, connection: UpstreamConnection, now: float) -> None:
        """End a lease after a finished exchange; the connection is kept when it may be used again."""
        connection.lessee = None
        limits = self.core.config.limits
        site = self._sites[connection.origin]
        reusable = connection.http.reusable and not connection.broken and not connection.http.must_close
        # A provider may answer without reading the request to its end; what is left of it is in the next one's way.
        reusable = reusable and not connection.unsent_bytes
        if not reusable or (not site.waiting and len(site.idle) >= limits.max_idle_per_origin):
            connection.move(UpstreamTrigger.RETIRED)
            self.close(connection)
        else:
            connection.move(UpstreamTrigger.RELEASED)
            connection.used = True
            connection.answered = False
            connection.buffered_bytes = 0
            self.core.turn.set_reading(connection.link, True)
            self._rest(connection, site, now)
        self._settle(connection.origin, site, now)

    def discard(self, connection: UpstreamConnection, now: float) -> None:
        """End a lease in the middle of an exchange: the connection is of no further use."""
        site = self._sites[connection.origin]
        self.close(connection)
        self._settle(connection.origin, site, now)

    def close(self, connection: UpstreamConnection) -> None:
        """Close a connection in any state; harmless when it is dead."""
        if connection.state is UpstreamState.DEAD:
            return
        self._bury(connection)
        self.core.turn.close(connection.link, CloseHow.ABORT)

    def opened(self, connection: UpstreamConnection, now: float) -> None:
        """Put a new connection to work."""
        site = self._sites[connection.origin]
        connection.timers.disarm(_Timer.CONNECT)
        connection.move(UpstreamTrigger.OPENED)
        site.connecting.pop(connection, None)
        if site.waiting:
            self._assign(site.waiting.popleft(), connection, now)
        elif len(site.idle) < self.core.config.limits.max_idle_per_origin:
            self._rest(connection, site, now)
        else:  # whoever it was opened for has been served by another, or has gone
            self.close(connection)
        self._settle(connection.origin, site, now)

    def failed(
        self, connection: UpstreamConnection, reason: str, *, timed_out: bool, now: float, withdraw: bool
    ) -> None:
        """Tell whoever waits longest that no connection can be had; `withdraw` when the driver still tries."""
        site = self._sites[connection.origin]
        if withdraw:
            self.close(connection)
        else:
            self._bury(connection)
        if len(site.waiting) > len(site.connecting):  # else the others being opened are enough for all who wait
            waiter = site.waiting.popleft()
            try:
                waiter.connect_failed(reason, timed_out=timed_out, now=now)
            except Exception as error:  # noqa: BLE001 - it is the waiter's bug, not that of whoever called
                self.core.crash(waiter, error, now)
        self._settle(connection.origin, site, now)

    def drain(self, now: float) -> None:
        """Close what is idle and keep nothing from now on."""
        self.draining = True
        for origin, site in list(self._sites.items()):
            self._settle(origin, site, now)

    def _rest(self, connection: UpstreamConnection, site: _Site, now: float) -> None:
        connection.timers.arm(_Timer.IDLE, now + self.core.config.limits.pool_idle_timeout_seconds)
        self.core.deadlines.touch(connection)
        site.idle.append(connection)

    def _bury(self, connection: UpstreamConnection) -> None:
        connection.move(UpstreamTrigger.CLOSED)
        connection.lessee = None
        connection.timers.clear()
        self.core.deadlines.forget(connection)
        self.core.links.pop(connection.link, None)
        site = self._sites[connection.origin]
        site.total -= 1
        site.connecting.pop(connection, None)
        if connection in site.idle:
            site.idle.remove(connection)
        self._prune(connection.origin, site)

    def _settle(self, origin: Origin, site: _Site, now: float) -> None:
        """Carry out what `assign` decides until nothing is left to decide."""
        while (decision := self._decide(site)) != _NOTHING:
            for _ in range(decision.evict):
                self.close(site.idle[0])
            for _ in range(decision.open):
                self._open(origin, site, now)
            if decision.lease:
                self._lease(site, now)
        if self.draining and not site.waiting:
            for connection in [*site.idle, *site.connecting]:
                self.close(connection)
        self._prune(origin, site)

    def _decide(self, site: _Site) -> Assignment:
        return assign(
            waiting=len(site.waiting),
            fresh=sum(waiter.fresh for waiter in site.waiting) if site.idle else 0,
            idle=len(site.idle),
            connecting=len(site.connecting),
            total=site.total,
            limit=self.core.config.limits.max_connections_per_origin,
        )

    def _prune(self, origin: Origin, site: _Site) -> None:
        """Forget an origin with nothing on it. Whoever comes next makes a new one, so only this one may be removed."""
        if not site.total and not site.waiting and self._sites.get(origin) is site:
            del self._sites[origin]

    def _open(self, origin: Origin, site: _Site, now: float) -> None:
        link = self.core.new_link()
        connection = UpstreamConnection(self, origin, link, now)
        site.total += 1
        site.connecting[connection] = None
        self.core.links[link] = connection
        connection.timers.arm(_Timer.CONNECT, now + self.core.config.limits.connect_timeout_seconds)
        self.core.deadlines.touch(connection)
        tls: TlsPolicy | None = site.target.tls
        self.core.turn.emit(Connect(link, site.target.host, site.target.port, tls, ("http/1.1",) if tls else ()))

    def _lease(self, site: _Site, now: float) -> None:
        """Lease the connection that was used last to the first who may have it."""
        connection = site.idle.pop()
        waiter = next(each for each in site.waiting if not (each.fresh and connection.used))
        site.waiting.remove(waiter)
        connection.timers.clear()
        self._assign(waiter, connection, now)

    def _assign(self, waiter: Lessee, connection: UpstreamConnection, now: float) -> None:
        connection.move(UpstreamTrigger.LEASED)
        try:
            waiter.assigned(connection)
        except Exception as error:  # noqa: BLE001 - it is the waiter's bug, not that of whoever gave the connection up
            self.core.crash(waiter, error, now)
            self.close(connection)
