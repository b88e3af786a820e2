from __future__ import annotations

import itertools
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


def test_a_world_without_a_trace(world: World) -> None:
    silent = World(trace_lines=0)
    for each in (world, silent):
        each.host("gateway", Echo(), port=8787)
        client = each.peer("gateway", 8787)
        client.send(b"hello")
        each.run()
        assert client.received == b"hello"
    assert world.trace
    assert silent.trace == []


def test_the_chance_of_the_script_is_apart_from_that_of_the_network() -> None:
    def run(draws: int) -> list[str]:
        world = World(3, faults=Faults(torn=0.5, jitter_seconds=0.01))
        world.host("gateway", Echo(), port=8787)
        client = world.peer("gateway", 8787)
        for _ in range(draws):
            world.random.random()
        client.send(bytes(2000))
        world.run()
        return world.trace

    assert run(0) == run(5)
    assert World(3).random.random() == World(3).random.random() != World(4).random.random()


def test_something_may_be_called_later_or_withdrawn(world: World) -> None:
    times: list[float] = []
    world.after(2.0, lambda: times.append(world.time))
    world.after(1.0, lambda: times.append(world.time)).cancel()
    world.run()
    assert times == [2.0]


def test_the_clock_jumps(world: World) -> None:
    times: list[float] = []
    world.after(1.0, lambda: times.append(world.time))
    world.after(200.0, lambda: times.append(world.time))
    world.jump(100.0)
    assert (world.time, times) == (100.0, [])
    world.run()
    assert times == [100.0, 200.0]
    for span in (-1.0, float("nan"), float("inf")):
        for pass_time in (world.jump, world.advance):
            with pytest.raises(ValueError, match="expected seconds from now on"):
                pass_time(span)
        with pytest.raises(ValueError, match="expected seconds from now on"):
            world.after(span, world.run)
    assert world.time == 200.0


def test_a_slow_listener(world: World) -> None:
    world.listen("slow", 1, faults=Faults(latency_seconds=0.5, connect_seconds=3.0))
    client = world.peer("slow", 1)
    world.run(until=3.9)
    assert not client.connected
    world.run(until=4.0)
    assert client.connected


def test_turns_that_take_time_hold_up_what_comes_behind_them(world: World) -> None:
    host = world.host("gateway", Echo(), port=8787, faults=Faults(latency_seconds=0.0), turn_seconds=1.0)
    times: list[float] = []
    clients = [world.peer("gateway", 8787) for _ in range(3)]
    for client in clients:
        client.on_data = lambda _: times.append(world.time)
        client.send(b"hello")
    world.run()
    # A turn for the start, one for each client that comes, and one for the clock after each.
    assert times[0] >= 4.0
    assert [later - earlier for earlier, later in itertools.pairwise(times)] == [pytest.approx(times[1] - times[0])] * 2
    assert host.busy_until > times[-1]


def test_a_host_breaks_its_links_and_counts_what_waits(world: World) -> None:
    host = world.host("gateway", Echo(), port=8787, faults=Faults(buffer_bytes=10))
    client = world.peer("gateway", 8787)
    client.on_data = lambda _: client.set_reading(False)
    client.send(b"x" * 100)
    world.run(until=1.0)
    assert host.unsent_bytes > 0
    host.break_links()
    client.set_reading(True)
    world.run()
    assert client.broken
    assert host.unsent_bytes == 0
