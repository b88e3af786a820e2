from __future__ import annotations

from collections.abc import Callable

import pytest

from aigw_proto._inputs import BytesReceived, Input, PeerClosed, ShutdownRequested
from aigw_proto._kinds import Engine
from aigw_proto.testing import SCENARIOS, Addresses, Scenario, ToyEngine, check_driver
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
