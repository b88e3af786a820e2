from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from aigw_transports.memory import World
from aigw_transports.simulation import (
    SCENARIOS,
    Scenario,
    SimulationFailed,
    Stage,
    UnknownScenario,
    load_scenario,
    run_seed,
    simulate,
)
from aigw_transports.simulation._run import name_of


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
    assert text.splitlines()[1].endswith('assert world.seed % 2 == 0, "odd\\nand more of it"')
    assert len(text.splitlines()) == 44  # the end of the trace is shown, and all of it kept
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


def test_a_file_that_cannot_be_loaded(tmp_path: Path) -> None:
    file = tmp_path / "broken_scenarios.py"
    file.write_text("def fine(world):\n    if\n")
    with pytest.raises(UnknownScenario, match=r"SyntaxError: invalid syntax \(broken_scenarios.py, line 2\)"):
        load_scenario(f"{file}:fine")


def test_a_module_is_named_as_well() -> None:
    assert load_scenario("aigw_transports.simulation:simulate") is simulate  # type: ignore[comparison-overlap]


def test_the_place_of_an_error_is_said() -> None:
    def bare(world: World) -> None:
        if world.seed:
            raise AssertionError

    with pytest.raises(SimulationFailed) as caught:
        run_seed(bare, 3)
    assert caught.value.complaint == "AssertionError"
    assert re.fullmatch(r".*test_run\.py:\d+: raise AssertionError", caught.value.place)


def test_what_is_no_plain_function_is_refused() -> None:
    async def later(world: World) -> None:
        raise AssertionError(world)

    def by_and_by(world: World) -> Iterator[None]:
        yield
        raise AssertionError(world)

    for scenario, kind in ((later, "coroutine"), (by_and_by, "generator")):
        with pytest.raises(SimulationFailed, match=f"plain function, and this one returned a {kind}"):
            run_seed(cast("Scenario", scenario), 3)  # as somebody without a type checker may


def test_a_scenario_that_leaves_has_failed() -> None:
    def leaves(world: World) -> None:
        raise SystemExit(world.seed)

    with pytest.raises(SimulationFailed, match="SystemExit: 3"):
        run_seed(leaves, 3)


def test_a_module_of_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "package_of_scenarios").mkdir()
    (tmp_path / "package_of_scenarios/__init__.py").touch()
    (tmp_path / "package_of_scenarios/base.py").write_text("WORDS = 'from next door'")
    inside = "from .base import WORDS\ndef fails(world):\n    assert not WORDS, WORDS\n"
    (tmp_path / "package_of_scenarios/mine.py").write_text(inside)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    name = "package_of_scenarios.mine:fails"
    with pytest.raises(SimulationFailed, match="from next door") as caught:
        run_seed(load_scenario(name), 1, name=name)
    assert name in caught.value.command
