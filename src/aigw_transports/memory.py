r"""A whole network in one process: a driver on virtual time, with seeded faults.

A `World` holds hosts (engines that listen and connect) and scripted peers (a client or a provider played by hand).
Time jumps from one event to the next, so hours pass in milliseconds, and everything random comes from one seed: the
same seed and the same script give the same run, event for event. A failure is its seed.

    world = World(seed=7)
    gateway = world.host("gateway", engine, port=8787)
    provider = world.listen("api.example.com", 443)
    client = world.peer("gateway", 8787)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    world.run(until=lambda: client.received.endswith(b"\r\n"))

TLS is recorded (`Peer.tls`), not performed; a listener may be marked as having a bad certificate.
"""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

from aigw_proto._effects import CloseHow, Connect, Deliver, Journal, Log, TlsPolicy
from aigw_proto._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
)
from aigw_proto.conductor import Conductor
from aigw_proto.testing import Checked, Traced

from ._network import FLUSH_SECONDS, End, Faults, Schedule, Wakeup, join
from ._scripted import Caller, Listener, Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._kinds import Engine, LinkId

__all__ = ["FLUSH_SECONDS", "Faults", "Host", "Listener", "Peer", "World"]

InputT = TypeVar("InputT")


class World:
    """Virtual time and a seeded network with hosts and scripted peers on it."""

    def __init__(self, seed: int = 0, *, faults: Faults | None = None, trace_lines: int = 5000) -> None:
        """Make an empty world at time 0. `faults` is how links misbehave unless told otherwise when they are made."""
        self.faults = faults or Faults()
        self._schedule = Schedule(random.Random(seed))  # noqa: S311 - repeatable is the point
        self._listeners: dict[tuple[str, int], Listener] = {}
        self._trace: deque[str] = deque(maxlen=trace_lines)
        self._peer_count = 0

    @property
    def time(self) -> float:
        """The virtual monotonic clock, in seconds."""
        return self._schedule.now

    @property
    def trace(self) -> list[str]:
        """The last inputs and effects of all hosts, one readable line each."""
        return list(self._trace)

    def host(
        self,
        name: str,
        engine: Engine[InputT | Input],
        *,
        port: int | None = None,
        faults: Faults | None = None,
        bad_certificate: bool = False,
    ) -> Host[InputT]:
        """Give `engine` a place in the network; with `port` it listens. It is wrapped in `Checked` if it is not yet.

        `faults` and `bad_certificate` apply to links that others open to it.
        """
        checked = engine if isinstance(engine, Checked) else Checked(engine)
        host: Host[InputT] = Host(self, self._schedule, name, Traced(checked, name, self._trace.append))
        if port is not None:
            host.listener = self.listen(name, port, faults=faults, bad_certificate=bad_certificate)
            host.listener.acceptor = host.accept
        return host

    def listen(
        self,
        name: str,
        port: int,
        *,
        on_peer: Callable[[Peer], None] | None = None,
        faults: Faults | None = None,
        bad_certificate: bool = False,
    ) -> Listener:
        """Listen at `name:port` with scripted peers: one `Peer` for each connection, given to `on_peer`."""
        if (name, port) in self._listeners:
            raise ValueError(f"{name}:{port} is taken")
        listener = Listener(faults or self.faults, bad_certificate=bad_certificate, on_peer=on_peer)
        self._listeners[name, port] = listener
        return listener

    def peer(self, name: str, port: int, *, faults: Faults | None = None, tls: TlsPolicy | None = None) -> Peer:
        """Connect a scripted peer to `name:port`. It may send at once; the bytes wait for the connection."""
        self._peer_count += 1
        peer = Peer(f"peer-{self._peer_count}", tls)
        self.dial(peer, name, port, tls, faults)
        return peer

    def dial(
        self, caller: Caller, name: str, port: int, tls: TlsPolicy | None = None, faults: Faults | None = None
    ) -> None:
        """Connect `caller` to `name:port`: after a round trip it is told `opened` or `failed`."""
        listener = self._listeners.get((name, port))
        faults = faults or (listener.faults if listener is not None else self.faults)
        latency = faults.latency_seconds

        def arrive() -> None:
            if caller.withdrawn or faults.silent:
                return
            failure = self._failure(name, port, tls, faults)
            if failure is not None:
                self._schedule.after(latency, lambda: caller.failed(failure, f"{name}:{port}: {failure.value}"))
                return
            near, far = join(self._schedule, faults)
            self._listeners[name, port].accept(far, caller.name, tls)
            self._schedule.after(latency, lambda: caller.opened(near))

        self._schedule.after(latency, arrive)

    def _failure(self, name: str, port: int, tls: TlsPolicy | None, faults: Faults) -> ConnectFailure | None:
        listener = self._listeners.get((name, port))
        if listener is None and not any(name == known for known, _ in self._listeners):
            return ConnectFailure.NAME
        if listener is None or listener.closed or self._schedule.chance(faults.refuse):
            return ConnectFailure.REFUSED
        return ConnectFailure.CERTIFICATE if tls is not None and listener.bad_certificate else None

    def run(self, until: float | Callable[[], bool] | None = None, *, max_events: int = 1_000_000) -> None:
        """Let things happen: up to a time, until a condition holds, or until nothing is left to happen.

        Raises AssertionError, with the end of the trace, when the condition never comes to hold or `max_events` are
        not enough. An exception of an engine or a script comes out of here.
        """
        latest = until if isinstance(until, (int, float)) else float("inf")
        condition = until if callable(until) else None
        for _ in range(max_events):
            if condition is not None and condition():
                return
            if not self._schedule.step(latest):
                break
        else:
            raise AssertionError(self._complaint(f"{max_events} events were not enough"))
        if condition is not None and not condition():
            raise AssertionError(self._complaint("everything came to rest before the condition held"))
        if latest != float("inf"):
            self._schedule.now = max(self._schedule.now, latest)

    def advance(self, seconds: float) -> None:
        """Run for that long."""
        self.run(until=self.time + seconds)

    def _complaint(self, what: str) -> str:
        return "\n".join([f"{what}; time is {self.time:.6f}; the last inputs and effects:", *list(self._trace)[-40:]])


class Host(Generic[InputT]):
    """An engine on the network, and its driver's ports. Made by `World.host`."""

    def __init__(self, world: World, schedule: Schedule, name: str, engine: Engine[InputT | Input]) -> None:
        """Join `engine` to the network and start it."""
        self.name = name
        self.listener: Listener | None = None
        """Where it listens; None when it does not."""
        self.journaled: list[object] = []
        """The entries of all `Journal` effects."""
        self.logged: list[Log] = []
        """All `Log` effects."""
        self.delivered: list[Deliver] = []
        """All `Deliver` effects."""
        self.has_drained = False
        """The engine said `Drained`; the host refuses connections from then on."""
        self._world = world
        self._schedule = schedule
        self._links: dict[LinkId, _Link[InputT]] = {}
        self._timer = Wakeup(None)
        self._conductor: Conductor[InputT | Input] = Conductor(engine, self, lambda: schedule.now)
        schedule.after(0.0, self._conductor.start)

    def feed(self, event: InputT | Input) -> None:
        """Give the engine an input of its own kind, or a `ShutdownRequested`, now."""
        self._conductor.feed(event)

    def accept(self, end: End, caller: str) -> None:
        """Take the far end of a new stream."""
        link = _Link(self._conductor, self._conductor.new_link(), self.name)
        self._links[link.link] = link
        link.attach(end, LinkAccepted(link.link, caller))

    def connect(self, effect: Connect) -> None:
        """See `Ports`."""
        link = self._links[effect.link] = _Link(self._conductor, effect.link, self.name)
        self._world.dial(link, effect.host, effect.port, effect.tls)

    def send(self, link: LinkId, chunks: list[bytes]) -> int:
        """See `Ports`."""
        return self._links[link].stream.send(chunks)

    def set_reading(self, link: LinkId, enabled: bool) -> None:
        """See `Ports`."""
        self._links[link].set_reading(enabled)

    def end_sending(self, link: LinkId) -> None:
        """See `Ports`."""
        self._links[link].stream.end_sending()

    def close(self, link: LinkId, how: CloseHow) -> None:
        """See `Ports`."""
        self._links.pop(link).let_go(flush=how is CloseHow.FLUSH)

    def journal(self, effect: Journal) -> None:
        """See `Ports`."""
        self.journaled.append(effect.entry)

    def log(self, effect: Log) -> None:
        """See `Ports`."""
        self.logged.append(effect)

    def deliver(self, effect: Deliver) -> None:
        """See `Ports`."""
        self.delivered.append(effect)

    def drained(self) -> None:
        """See `Ports`."""
        self.has_drained = True
        self._timer.cancel()
        if self.listener is not None:
            self.listener.closed = True

    def arm(self, deadline: float | None) -> None:
        """See `Ports`."""
        self._timer.cancel()
        if deadline is not None:
            self._timer = self._schedule.at(deadline, self._conductor.wake)


class _Link(Generic[InputT]):
    """One link of a host: turns what its end of the stream tells into inputs."""

    def __init__(self, conductor: Conductor[InputT | Input], link: LinkId, name: str) -> None:
        self.link = link
        self.name = name
        self.withdrawn = False
        self._conductor = conductor
        self._end: End | None = None
        self._reading = True

    @property
    def stream(self) -> End:
        """The open stream; `Checked` has made sure that there is one."""
        if self._end is None:
            raise RuntimeError(f"link {self.link} is not open")
        return self._end

    def attach(self, end: End, event: LinkAccepted | LinkConnected) -> None:
        """Own the end, report the link, and start reading unless the engine's answer was otherwise."""
        self._end, end.owner = end, self
        self._conductor.feed(event)
        if not self.withdrawn and self._reading:
            end.set_reading(True)

    def set_reading(self, enabled: bool) -> None:
        self._reading = enabled
        self.stream.set_reading(enabled)

    def let_go(self, *, flush: bool) -> None:
        self.withdrawn = True
        if self._end is not None:
            self._end.close(flush=flush)

    def opened(self, end: End) -> None:
        if self.withdrawn:
            end.close(flush=True)
        else:
            self.attach(end, LinkConnected(self.link))

    def failed(self, failure: ConnectFailure, detail: str) -> None:
        if not self.withdrawn:
            self._conductor.feed(ConnectFailed(self.link, failure, detail))

    def data_received(self, data: bytes) -> None:
        self._conductor.feed(BytesReceived(self.link, data))

    def ended(self, clean: bool) -> None:
        self._conductor.feed(PeerClosed(self.link, clean))

    def backlog_shrank(self, unsent: int) -> None:
        self._conductor.feed(BytesSent(self.link, unsent))
