from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from aigw_transports.memory import World
from aigw_transports.simulation import (
    SCENARIOS,
    Outcome,
    SimulationFailed,
    Stage,
    UnknownScenario,
    load_scenario,
    run_seed,
    run_seeds,
    simulate,
)
from aigw_transports.simulation._run import name_of

OWN = """
from aigw_transports.simulation import Stage


def fails_at_seven(world):
    stage = Stage(world)
    answer = stage.client().ask("openai", "chat/completions", {"model": "m"})
    world.run(until=lambda: answer.ended)
    world.counts["messages"] += 3
    assert world.seed != 7, "seven is not lucky"


NOT_A_FUNCTION = 1
"""


def fails_at_odd_seeds(world: World) -> None:
    client = Stage(world).client()
    answers = [client.ask("openai", "chat/completions", {"model": "m"}) for _ in range(5)]
    world.run(until=lambda: all(answer.ended for answer in answers))
    assert world.seed % 2 == 0, "odd\nand more of it"


def test_a_failure_names_its_seed_and_the_command_that_repeats_it() -> None:
    with pytest.raises(SimulationFailed) as caught:
        simulate(fails_at_odd_seeds, range(4, 9))
    failed = caught.value
    assert (failed.seed, failed.complaint) == (5, "odd")
    assert isinstance(failed.__cause__, AssertionError)
    assert failed.command.endswith("test_run.py:fails_at_odd_seeds --seeds 5..5 --trace")
    assert any("gateway > Connect(" in line for line in failed.trace)
    text = str(failed)
    assert text.splitlines()[0].endswith(":fails_at_odd_seeds, seed 5: odd")
    assert text.splitlines()[-1] == f"to run it again: {failed.command}"
    assert len(text.splitlines()) == 43  # the end of the trace is shown, and all of it kept
    assert len(failed.trace) > 40


def test_the_command_finds_the_scenario_again() -> None:
    name = name_of(fails_at_odd_seeds)
    with pytest.raises(SimulationFailed, match="seed 1: odd"):
        run_seed(load_scenario(name), 1)
    assert name_of(SCENARIOS["mixed"]) == "mixed"


def test_the_trace_of_the_first_run_is_taken_when_it_was_written() -> None:
    with pytest.raises(SimulationFailed) as caught:
        run_seed(fails_at_odd_seeds, 1, trace_lines=3)
    assert len(caught.value.trace) == 3


def test_an_exception_that_is_no_assertion_is_named() -> None:
    def broken(world: World) -> None:
        raise KeyError(world.seed)

    with pytest.raises(SimulationFailed, match="seed 3: KeyError: 3"):
        run_seed(broken, 3)


def test_a_scenario_that_does_not_fail_again_says_so() -> None:
    runs = itertools.count()

    def moody(world: World) -> None:
        assert next(runs), "only the first time"

    with pytest.raises(SimulationFailed, match="depends on something beside its world"):
        run_seed(moody, 3)


def test_a_seed_that_holds_returns_its_world() -> None:
    assert run_seed(fails_at_odd_seeds, 2).time > 0


def test_scenarios_of_other_people(tmp_path: Path) -> None:
    file = tmp_path / "own_scenarios.py"
    file.write_text(OWN)
    name = f"{file}:fails_at_seven"
    parts: list[Outcome] = []
    summary = run_seeds(name, range(120), progress=parts.append)
    assert [failed.seed for failed in summary.failures] == [7]
    assert summary.failures[0].command == f"aigw sim --scenario {name} --seeds 7..7 --trace"
    assert [part.seeds for part in parts] == [50, 50, 20]
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
    assert summary.seeds == 50


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("nothing", "there are mixed, universal"),
        ("no_such_module:x", "No module named"),
        ("json:no_such_function", "no_such_function"),
        ("json:__doc__", "is not a function"),
        ("/nowhere/at/all.py:x", "No such file"),
    ],
)
def test_scenarios_that_there_are_none_of(name: str, complaint: str) -> None:
    with pytest.raises(UnknownScenario, match=complaint):
        load_scenario(name)


def test_a_module_is_named_as_well() -> None:
    assert load_scenario("aigw_transports.simulation:simulate") is simulate  # type: ignore[comparison-overlap]


def test_without_assertions_nothing_is_run() -> None:
    code = "from aigw_transports.simulation import run_seeds; run_seeds('calm', range(1))"
    done = subprocess.run([sys.executable, "-O", "-c", code], capture_output=True, text=True, check=False)
    assert "python -O leaves assertions out" in done.stderr
