from __future__ import annotations

import multiprocessing
import subprocess
import sys
from pathlib import Path

import pytest

from aigw_transports.memory import World
from aigw_transports.simulation import Outcome, _workers, run_seeds
from aigw_transports.simulation._run import name_of

OWN = """
import os

from aigw_transports.simulation import Stage


def fails_at_seven(world):
    stage = Stage(world)
    answer = stage.client().ask("openai", "chat/completions", {"model": "m"})
    world.run(until=lambda: answer.ended)
    world.counts["messages"] += 3
    assert world.seed != 7, "seven is not lucky"


def spins_at_seven(world):
    while world.seed == 7:
        pass


def leaves_at_seven(world):
    if world.seed == 7:
        os._exit(3)
"""


def fails_at_odd_seeds(world: World) -> None:
    assert world.seed % 2 == 0, "odd"


def test_scenarios_of_other_people(tmp_path: Path) -> None:
    file = tmp_path / "own_scenarios.py"
    file.write_text(OWN)
    name = f"{file}:fails_at_seven"
    parts: list[Outcome] = []
    summary = run_seeds(name, range(120), progress=parts.append)
    assert [failed.seed for failed in summary.failures] == [7]
    assert summary.failures[0].command == f"aigw sim --scenario {name} --seeds 7..7 --trace"
    assert [part.seeds for part in parts] == [20, 20, 20, 20, 20, 20]
    assert (summary.seeds, summary.messages) == (120, 119 * 3)
    assert summary.virtual_seconds > 0


def test_several_processes_find_the_same(tmp_path: Path) -> None:
    file = tmp_path / "own_scenarios_too.py"
    file.write_text(OWN)
    summary = run_seeds(f"{file}:fails_at_seven", range(60), jobs=2)
    assert [(failed.seed, failed.complaint) for failed in summary.failures] == [(7, "seven is not lucky")]
    assert any("gateway > " in line for line in summary.failures[0].trace)
    assert summary.seeds == 60


def test_a_run_stops_after_some_failures() -> None:
    summary = run_seeds(name_of(fails_at_odd_seeds), range(1000), most_failures=3)
    assert [failed.seed for failed in summary.failures] == [1, 3, 5]
    assert summary.seeds == 6


def test_a_seed_that_does_not_end_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_workers, "SEED_SECONDS", 0.5)
    monkeypatch.setattr(_workers, "_LOOK_SECONDS", 0.05)
    file = tmp_path / "spinning_scenarios.py"
    file.write_text(OWN)
    summary = run_seeds(f"{file}:spins_at_seven", range(40), jobs=2)
    late = [failed for failed in summary.failures if failed.seed == 7]
    assert [failed.complaint for failed in late] == ["has not ended after 0.5 s of the clock on the wall"]
    assert not multiprocessing.active_children()


def test_a_seed_that_ends_its_process_is_named(tmp_path: Path) -> None:
    file = tmp_path / "leaving_scenarios.py"
    file.write_text(OWN)
    summary = run_seeds(f"{file}:leaves_at_seven", range(60), jobs=2)
    assert [(failed.seed, failed.complaint) for failed in summary.failures] == [(7, "ended its process, with status 3")]
    assert summary.seeds == 48  # the others of that part were not run
    assert not multiprocessing.active_children()


def test_without_assertions_nothing_is_run() -> None:
    code = "from aigw_transports.simulation import run_seeds; run_seeds('calm', range(1))"
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False)
    assert "python -O leaves assertions out" in done.stderr
