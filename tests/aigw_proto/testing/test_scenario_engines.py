"""The engines of the scenarios keep the contract, and blame a driver that garbles bytes."""

from __future__ import annotations

import pytest

from aigw_proto._effects import CloseLink, Connect, Drained
from aigw_proto._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId
from aigw_proto.testing import Addresses, Checked, Playbook, Scenario, ToyEngine
from aigw_proto.testing._scenario_engines import (
    Echo,
    EchoClient,
    Greeting,
    LateClose,
    Misdirected,
    Paused,
    TransferListener,
)
from aigw_proto.testing._scenarios import SCENARIOS
from aigw_transports.memory import Faults, World

ADDRESSES = Addresses("listener", 1, 2, "nowhere")
LINK = LinkId(0)
HARSH = Faults(max_read_bytes=3000, torn=0.9, jitter_seconds=0.1, buffer_bytes=3000)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_engines_end_on_a_bad_network(scenario: Scenario) -> None:
    world = World(seed=3, faults=HARSH)
    listener = world.host("listener", scenario.listener(), port=1)
    connector = world.host("connector", scenario.connector(ADDRESSES))
    world.run(until=lambda: connector.has_drained)
    listener.feed(ShutdownRequested(0.0))
    world.run()
    assert listener.has_drained


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_listeners_ignore_what_does_not_concern_them(scenario: Scenario) -> None:
    engine = scenario.listener()
    engine.handle(BytesSent(LINK, 1), 0.0)
    assert engine.poll() is None
    engine.deadline = 0.0
    engine.handle_timeout(0.0)
    assert engine.poll() is None


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_connectors_ignore_what_does_not_concern_them(scenario: Scenario) -> None:
    engine: ToyEngine = scenario.connector(ADDRESSES)
    engine.deadline = None
    engine.handle(BytesSent(LINK, 1), 0.0)
    assert engine.poll() is None


def test_listeners_wait_for_what_is_open() -> None:
    with Playbook(Greeting()) as play:
        play.feed(LinkAccepted(LINK, "peer"))
        assert play.sent(LINK) == b"welcome"
        play.feed(ShutdownRequested(0.0)).expect()
        play.feed(PeerClosed(LINK, clean=True)).expect(CloseLink(LINK), Drained())


def test_an_echo_may_come_in_pieces() -> None:
    link = LinkId(1)
    with Playbook(EchoClient(ADDRESSES)) as play:
        play.wait(0.0).expect(Connect(link, "listener", 1))
        play.feed(LinkConnected(link))
        assert play.sent(link) == b"hello"
        play.feed(BytesReceived(link, b"he")).expect()


def test_a_transfer_checks_what_comes() -> None:
    engine = Checked[Input](TransferListener(0))
    for event in (LinkAccepted(LINK, "peer"), BytesReceived(LINK, b"\0\1")):
        engine.handle(event, 0.0)
        assert engine.poll() is None
    with pytest.raises(AssertionError, match="driver: wrong bytes at offset 2"):
        engine.handle(BytesReceived(LINK, b"\3"), 0.0)


def test_a_failure_must_be_explained() -> None:
    engine = Misdirected(ADDRESSES, named=True)
    with pytest.raises(AssertionError, match="without a detail"):
        engine.handle(ConnectFailed(LinkId(1), ConnectFailure.REFUSED, ""), 0.0)


@pytest.mark.parametrize("engine", [LateClose(), Paused(0), Echo()])
def test_listeners_without_links_end_at_once(engine: ToyEngine) -> None:
    engine.deadline = 0.0
    engine.handle_timeout(0.0)
    engine.handle(ShutdownRequested(0.0), 0.0)
    assert repr(engine.poll()) == "Drained()"
    assert engine.poll() is None
