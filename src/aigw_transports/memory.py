r"""A whole network in one process: a driver on virtual time, with seeded faults.

A `World` holds hosts (engines that listen and connect) and scripted peers (a client or a provider played by hand).
Time jumps from one event to the next, so hours pass in milliseconds, and everything random comes from one seed: the
same seed and the same script give the same run, event for event. A failure is its seed::

    world = World(seed=7)
    gateway = world.host("gateway", engine, port=8787)
    provider = world.listen("api.example.com", 443)
    client = world.peer("gateway", 8787)
    client.send(b"GET / HTTP/1.1\r\n\r\n")
    world.run(until=lambda: client.received.endswith(b"\r\n"))

TLS is recorded (`Peer.tls`), not performed; a listener may be marked as having a bad certificate.
"""

from __future__ import annotations

import functools
import math
import random
from collections import Counter, deque
from typing import TYPE_CHECKING, TypeVar

from aigw_proto._inputs import ConnectFailure, Input
from aigw_proto.testing import Checked, Traced

from ._hosts import Host
from ._network import Faults, join
from ._schedule import Schedule, Wakeup
from ._scripted import Caller, Listener, Peer

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._effects import TlsPolicy
    from aigw_proto._kinds import Engine

__all__ = ["Faults", "Host", "Listener", "Peer", "Wakeup", "World"]

InputT = TypeVar("InputT")


class World:
    """Virtual time and a seeded network with hosts and scripted peers on it."""

    def __init__(self, seed: int = 0, *, faults: Faults | None = None, trace_lines: int = 5000) -> None:
        """Make an empty world at time 0. `faults` is how links misbehave unless told otherwise when they are made.

        `trace_lines` is how many lines of the trace are kept; with 0 none is written, which takes half of the time.
        """
        self.seed = seed
        self.faults = faults or Faults()
        self.random = random.Random(f"script {seed}")  # noqa: S311 - repeatable is the point
        """Chance for the script, apart from the network's: to draw once more here changes nothing there."""
        self.counts: Counter[str] = Counter()
        """What a scenario wants to be counted: `requests`, `sessions` and `messages` are in the summary of a run."""
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
        dial_faults: Faults | None = None,
        turn_seconds: float = 0.0,
    ) -> Host[InputT]:
        """Give `engine` a place in the network; with `port` it listens. It is wrapped in `Checked` if it is not yet.

        `faults` and `bad_certificate` apply to links that others open to it, `dial_faults` to those that it opens
        itself, in place of what the listener has. `turn_seconds` is how long each of its
        turns takes; work costs no virtual time otherwise, and then nobody waits for anybody's work.
        """
        checked: Engine[InputT | Input] = engine if isinstance(engine, Checked) else Checked(engine)
        if self._trace.maxlen:
            checked = Traced(checked, name, self._trace.append)
        dial = self.dial if dial_faults is None else functools.partial(self.dial, faults=dial_faults)
        host: Host[InputT] = Host(dial, self._schedule, name, checked, turn_seconds)
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

        self._schedule.after(latency + faults.connect_seconds, arrive)

    def after(self, seconds: float, callback: Callable[[], None]) -> Wakeup:
        """Call `callback` in `seconds` of virtual time; `cancel()` what is returned, and it is not called.

        Raises ValueError for negative `seconds`.
        """
        return self._schedule.after(_span(seconds), callback)

    def jump(self, seconds: float) -> None:
        """Let the clock jump, as it does for a machine that was asleep: what was due meanwhile happens late, in order.

        Raises ValueError for negative `seconds`: monotonic clocks do not go back.
        """
        self._schedule.now += _span(seconds)

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
            hint = "an open connection pings for ever; say until when, or close it"
            raise AssertionError(self._complaint(f"{max_events} events were not enough ({hint})"))
        if condition is not None and not condition():
            raise AssertionError(self._complaint("everything came to rest before the condition held"))
        if latest != float("inf"):
            self._schedule.now = max(self._schedule.now, latest)

    def advance(self, seconds: float) -> None:
        """Run for that long. Raises ValueError for negative `seconds`."""
        self.run(until=self.time + _span(seconds))

    def _complaint(self, what: str) -> str:
        return "\n".join([f"{what}; time is {self.time:.6f}; the last inputs and effects:", *list(self._trace)[-40:]])


def _span(seconds: float) -> float:
    """Check a span of time: a monotonic clock does not go back, and reaches no end."""
    if not 0 <= seconds < math.inf:
        raise ValueError(f"expected seconds from now on, got {seconds}")
    return seconds
