from __future__ import annotations

import pytest

from aigw_transports.memory import World
from aigw_transports.simulation import SCENARIOS, run_seed

# A few seeds of each; `make simulate` runs twenty thousand.
SEEDS = {
    "mixed": 120,
    "universal": 60,
    "realtime": 120,
    "pressure": 20,
    "bounded": 30,
    "draining": 30,
    "crowd": 4,
    "calm": 3,
}


@pytest.mark.parametrize("name", SCENARIOS)
def test_seeds(name: str) -> None:
    worlds = [run_seed(SCENARIOS[name], seed) for seed in range(SEEDS[name])]
    assert all(world.counts["messages"] for world in worlds if name in ("crowd", "calm"))
    assert sum(world.counts["messages"] for world in worlds) > 5 * len(worlds)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_same_seed_is_the_same_run(name: str) -> None:
    traces: list[list[str]] = []
    for _ in range(2):
        world = World(7)
        SCENARIOS[name](world)
        traces.append(world.trace)
    assert traces[0] == traces[1]


def test_other_seeds_are_other_runs() -> None:
    assert (
        run_seed(SCENARIOS["mixed"], 1, trace_lines=100).trace != run_seed(SCENARIOS["mixed"], 2, trace_lines=100).trace
    )
