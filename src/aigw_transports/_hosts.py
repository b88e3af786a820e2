"""Engines in the memory world: the ports of the memory driver, on streams of the simulated network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

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

from ._schedule import Schedule, Wakeup
from ._scripted import Caller, Listener

if TYPE_CHECKING:
    from aigw_proto._kinds import Engine, LinkId

    from ._network import End

__all__ = ["Host"]

InputT = TypeVar("InputT")
Dial: TypeAlias = Callable[[Caller, str, int, TlsPolicy | None], None]


class Host(Generic[InputT]):
    """An engine on the network, and its driver's ports. Made by `World.host`."""

    def __init__(
        self, dial: Dial, schedule: Schedule, name: str, engine: Engine[InputT | Input], turn_seconds: float = 0.0
    ) -> None:
        """Join `engine` to the network and start it; each of its turns takes `turn_seconds`."""
        self.name = name
        self.busy_until = 0.0
        """When it will have worked off the turns so far: before that, its links are not read and its timer waits."""
        self.listener: Listener | None = None
        """Where it listens; None when it does not."""
        self.journaled: list[object] = []
        """The entries of all `Journal` effects."""
        self.logged: list[Log] = []
        """All `Log` effects."""
        self.delivered: list[Deliver] = []
        """All `Deliver` effects."""
        self.on_deliver: Callable[[Deliver], None] | None = None
        """Called with each of them; it may `feed()`."""
        self.has_drained = False
        """The engine said `Drained`; the host refuses connections from then on."""
        self._dial = dial
        self._schedule = schedule
        self._links: dict[LinkId, _Link[InputT]] = {}
        self._timer = Wakeup(None)
        self._given_bytes = 0
        self._sent_bytes = 0
        self._turn_seconds = turn_seconds
        clock = self._work if turn_seconds else lambda: schedule.now
        self._conductor: Conductor[InputT | Input] = Conductor(engine, self, clock)
        schedule.after(0.0, self._conductor.start)

    @property
    def unsent_bytes(self) -> int:
        """What waits to be sent on all of its links together."""
        return sum(link.unsent_bytes for link in self._links.values())

    def count(self, data: bytes) -> None:
        """Note what the engine is given."""
        self._given_bytes += len(data)

    @property
    def kept_bytes(self) -> int:
        """How much more its engine was given than it has sent; what it makes of its own counts against that."""
        return self._given_bytes - self._sent_bytes

    @property
    def streams(self) -> dict[LinkId, End]:
        """Its ends of the streams that are open, by link."""
        return {link: each.stream for link, each in self._links.items() if each.is_open}

    def break_links(self) -> None:
        """Break every link that is open, on both sides at once, as if its cable were cut."""
        for link in list(self._links.values()):
            link.break_stream()

    def _work(self) -> float:
        """Tell the time to a turn that takes some."""
        now = self._schedule.now
        self.busy_until = max(self.busy_until, now) + self._turn_seconds
        return now

    def feed(self, event: InputT | Input) -> None:
        """Give the engine an input of its own kind, or a `ShutdownRequested`, now; dropped when it has drained."""
        self._conductor.feed(event)

    def accept(self, end: End, caller: str) -> None:
        """Take the far end of a new stream."""
        link = _Link(self, self._conductor, self._conductor.new_link())
        self._links[link.link] = link
        link.attach(end, LinkAccepted(link.link, caller))

    def connect(self, effect: Connect) -> None:
        """See `Ports`."""
        link = self._links[effect.link] = _Link(self, self._conductor, effect.link)
        self._dial(link, effect.host, effect.port, effect.tls)

    def send(self, link: LinkId, chunks: list[bytes]) -> int:
        """See `Ports`."""
        self._sent_bytes += sum(map(len, chunks))
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
        if self.on_deliver is not None:
            self.on_deliver(effect)

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
            self._timer = self._schedule.at(max(deadline, self.busy_until), self._conductor.wake)


class _Link(Generic[InputT]):
    """One link of a host: turns what its end of the stream tells into inputs."""

    def __init__(self, host: Host[InputT], conductor: Conductor[InputT | Input], link: LinkId) -> None:
        self.link = link
        self.name = host.name
        self._host = host
        self.withdrawn = False
        self._conductor = conductor
        self._end: End | None = None
        self._reading = True

    @property
    def busy_until(self) -> float:
        return self._host.busy_until

    @property
    def unsent_bytes(self) -> int:
        return 0 if self._end is None else self._end.unsent_bytes

    @property
    def is_open(self) -> bool:
        return self._end is not None

    def break_stream(self) -> None:
        if self._end is not None:
            self._end.break_both()

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
        self._host.count(data)
        self._conductor.feed(BytesReceived(self.link, data))

    def ended(self, clean: bool) -> None:
        self._conductor.feed(PeerClosed(self.link, clean))

    def backlog_shrank(self, unsent: int) -> None:
        self._conductor.feed(BytesSent(self.link, unsent))
