from __future__ import annotations

from collections.abc import Callable

import pytest

from aigw_proto._inputs import BytesReceived, Input, PeerClosed, ShutdownRequested
from aigw_proto._kinds import Engine
from aigw_proto.testing import SCENARIOS, Addresses, Checked, Scenario, ToyEngine, check_driver
from aigw_transports.memory import Faults, World


class MemoryDriver:
    """The memory world as a driver under test."""

    def __init__(self, seed: int, faults: Faults) -> None:
        self.world = World(seed, faults=faults)

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        listening = self.world.host("listener", listener, port=1)
        connecting = self.world.host("connector", connector(Addresses("listener", 1, 2, "nowhere.invalid")))
        self.world.run(until=lambda: connecting.has_drained)
        listening.feed(ShutdownRequested(0.0))
        self.world.run()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
@pytest.mark.parametrize(
    "faults",
    [Faults(), Faults(torn=0.5, jitter_seconds=0.01, stall=0.1, stall_seconds=0.05, buffer_bytes=5000)],
    ids=["healthy", "slow"],
)
def test_check_driver(scenario: Scenario, faults: Faults) -> None:
    check_driver(lambda: MemoryDriver(1, faults), (scenario,))


class Echo(ToyEngine):
    def received(self, event: Input) -> None:
        match event:
            case BytesReceived(link, data):
                self.send(link, data)
            case PeerClosed(link):
                self.close(link)
            case _:
                pass


def test_echo() -> None:
    world = World(seed=1)
    world.host("gateway", Echo(), port=8787)
    client = world.peer("gateway", 8787)
    client.send(b"hello")
    world.run(until=lambda: client.received == b"hello")
    client.close()
    world.run()
    assert [line.split(" ", 1)[1] for line in world.trace] == [
        "gateway < wake",
        "gateway < LinkAccepted(link=0, peer='peer-1')",
        "gateway < BytesReceived(link=0, data=b'hello')",
        "gateway > SendBytes(link=0, chunks=[b'hello'])",
        "gateway < PeerClosed(link=0, clean=True)",
        "gateway > CloseLink(link=0, how=FLUSH)",
    ]


@pytest.fixture
def world() -> World:
    return World()


def test_running_until_a_time(world: World) -> None:
    world.run(until=5.0)
    assert world.time == 5.0
    world.advance(2.5)
    assert world.time == 7.5
    world.run(until=1.0)
    assert world.time == 7.5


def test_a_condition_that_never_holds(world: World) -> None:
    world.host("gateway", Echo(), port=8787)
    client = world.peer("gateway", 8787)
    client.send(b"hello")
    with pytest.raises(AssertionError, match="came to rest before the condition held") as caught:
        world.run(until=lambda: client.received == b"other")
    assert str(caught.value).splitlines()[-1].endswith("gateway > SendBytes(link=0, chunks=[b'hello'])")


def test_a_condition_that_holds_already(world: World) -> None:
    world.peer("nowhere", 1)
    world.run(until=lambda: True)
    assert world.time == 0.0


def test_a_world_that_never_rests(world: World) -> None:
    def answer(data: bytes) -> None:
        client.send(data)

    world.host("gateway", Echo(), port=8787)
    client = world.peer("gateway", 8787)
    client.on_data = answer
    client.send(b"hello")
    with pytest.raises(AssertionError, match="500 events were not enough"):
        world.run(max_events=500)


def run_once(seed: int) -> tuple[list[str], bytes]:
    world = World(seed, faults=Faults(torn=0.5, jitter_seconds=0.01, stall=0.1, buffer_bytes=700, reset=0.002))
    world.host("gateway", Echo(), port=8787)
    clients = [world.peer("gateway", 8787) for _ in range(5)]
    for client in clients:
        client.send(bytes(2000))
    world.run()
    return world.trace, b"|".join(client.received for client in clients)


@pytest.mark.parametrize("seed", range(5))
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    assert run_once(seed) == run_once(seed) != run_once(seed + 100)


def test_an_engine_that_is_checked_already_is_not_wrapped_again(world: World) -> None:
    checked = Checked(Echo())
    host = world.host("gateway", checked, port=8787, bad_certificate=True, faults=Faults(refuse=1.0))
    assert host.listener is not None
    assert host.listener.bad_certificate
    client = world.peer("gateway", 8787)
    world.run()
    assert client.failure is not None
    assert checked.open_links == ()


def test_the_trace_is_bounded() -> None:
    world = World(trace_lines=3)
    world.host("gateway", Echo(), port=8787)
    client = world.peer("gateway", 8787)
    client.send(b"hello")
    world.run()
    assert len(world.trace) == 3
