from __future__ import annotations

import pytest

from aigw_proto._effects import CloseHow, Deliver, Journal, Log, LogLevel, TlsPolicy
from aigw_proto._inputs import (
    BytesReceived,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId
from aigw_proto.testing import ContractError, ToyEngine
from aigw_transports.memory import Faults, World

LINK, UPSTREAM = LinkId(0), LinkId(1)


class Notebook(ToyEngine):
    """Notes its inputs and does what the test prepared for their kind."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, Input]] = []
        self.wakes: list[float] = []

    def received(self, event: Input) -> None:
        self.seen.append((self.now, event))
        self.answer(event)

    def answer(self, event: Input) -> None:
        """Override: act."""

    def woken(self) -> None:
        self.wakes.append(self.now)


class Dialer(Notebook):
    """Connects when it is told anything by its test, through a shutdown request; closes what ends."""

    def answer(self, event: Input) -> None:
        match event:
            case ShutdownRequested():
                self.connect("provider", 443, TlsPolicy())
            case PeerClosed(link):
                self.close(link)
            case _:
                pass


def test_links_are_told_with_their_times() -> None:
    world = World(faults=Faults(latency_seconds=1.0))
    provider = world.listen("provider", 443)
    engine = Dialer()
    host = world.host("gateway", engine, port=8787)
    client = world.peer("gateway", 8787)
    client.send(b"hello")
    host.feed(ShutdownRequested(0.0))
    world.run()
    provider.peers[0].close()
    world.run()
    assert engine.seen == [
        (0.0, ShutdownRequested(0.0)),
        (1.0, LinkAccepted(LINK, "peer-1")),
        (2.0, LinkConnected(UPSTREAM)),
        (3.0, BytesReceived(LINK, b"hello")),
        (4.0, PeerClosed(UPSTREAM, clean=True)),
    ]
    assert provider.peers[0].tls == TlsPolicy()
    assert provider.peers[0].name == "gateway"


def test_a_failed_connect_is_told() -> None:
    world = World()
    engine = Dialer()
    world.host("gateway", engine).feed(ShutdownRequested(0.0))
    world.run()
    assert engine.seen[-1][1] == ConnectFailed(
        UPSTREAM, ConnectFailure.NAME, "provider:443: the host name does not resolve"
    )


class Withdrawing(Dialer):
    """Withdraws its connect at a deadline."""

    def answer(self, event: Input) -> None:
        super().answer(event)
        self.deadline = self.delay

    delay = 0.0

    def woken(self) -> None:
        self.close(UPSTREAM)


@pytest.mark.parametrize("listening", [True, False])
@pytest.mark.parametrize("delay", [0.5, 1.5])
def test_a_withdrawn_connect_is_not_answered(delay: float, listening: bool) -> None:
    world = World(faults=Faults(latency_seconds=1.0))
    if listening:
        world.listen("provider", 443)
    engine = Withdrawing()
    engine.delay = delay
    world.host("gateway", engine).feed(ShutdownRequested(0.0))
    world.run()
    assert len(engine.seen) == 1


class Reporter(Notebook):
    """Sends its input to every sink, sleeps, and ends."""

    def answer(self, event: Input) -> None:
        self.ask(Journal(event))
        self.ask(Log(LogLevel.INFO, "line", {}))
        self.ask(Deliver(7, event))
        self.deadline = self.now + 5.0

    def woken(self) -> None:
        super().woken()
        self.drain()


def test_sinks_and_the_end() -> None:
    world = World()
    event = ShutdownRequested(0.0)
    engine = Reporter()
    host = world.host("gateway", engine, port=8787)
    host.feed(event)
    assert (host.journaled, host.logged, host.delivered) == (
        [event],
        [Log(LogLevel.INFO, "line", {})],
        [Deliver(7, event)],
    )
    assert not host.has_drained
    late = world.peer("gateway", 8787, faults=Faults(latency_seconds=6.0))
    world.run()
    assert engine.wakes == [5.0]
    assert late.failure is ConnectFailure.REFUSED
    assert world.trace[-1] == "5.000000 gateway > Drained()"


class Pausing(Notebook):
    """Stops reading before the first byte, and aborts when it ends sending."""

    def answer(self, event: Input) -> None:
        match event:
            case LinkAccepted(link):
                self.set_reading(link, False)
                self.deadline = self.now + 5.0
            case BytesReceived(link):
                self.end_sending(link)
                self.close(link, CloseHow.ABORT)
            case _:
                pass

    def woken(self) -> None:
        self.set_reading(LINK, True)


def test_a_link_may_be_paused_from_its_birth() -> None:
    world = World()
    engine = Pausing()
    world.host("gateway", engine, port=8787)
    client = world.peer("gateway", 8787)
    client.send(b"hello")
    world.run()
    times = [time for time, event in engine.seen if isinstance(event, BytesReceived)]
    assert len(times) == 1
    assert times[0] >= 5.0
    assert client.broken


class ClosesAtOnce(Notebook):
    def answer(self, event: Input) -> None:
        match event:
            case LinkAccepted(link):
                self.close(link)
            case _:
                pass


def test_a_link_may_be_closed_at_its_birth() -> None:
    world = World()
    engine = ClosesAtOnce()
    world.host("gateway", engine, port=8787)
    client = world.peer("gateway", 8787)
    world.run()
    assert client.eof
    assert len(engine.seen) == 1


class TalksTooEarly(Notebook):
    def answer(self, event: Input) -> None:
        self.send(self.connect("provider", 443), b"too early")


def test_engines_are_checked() -> None:
    world = World()
    host = world.host("gateway", TalksTooEarly())
    with pytest.raises(ContractError, match=r"engine: SendBytes.* on a link that is connecting"):
        host.feed(ShutdownRequested(0.0))
