"""The deliberate faults fit the code, the table has them all, and the script that examines them finds them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from simulation import run_mutants
from simulation.mutant import AREAS, MUTANTS, SOURCE, Mutant, read_mutants
from simulation.run_mutants import TABLE, UnusableError, Verdict, copy_source, judge, rows

EVERY = read_mutants()
BY_NAME = {mutant.name: mutant for mutant in EVERY}


def test_there_are_enough_of_every_kind() -> None:
    assert len(EVERY) == len(BY_NAME) >= 36
    assert {f"{area}.toml" for area in AREAS} == {file.name for file in MUTANTS.iterdir()}
    assert sum("a lost wake-up" in mutant.breaks for mutant in EVERY) >= 5


@pytest.mark.parametrize("mutant", EVERY, ids=lambda mutant: mutant.name)
def test_it_fits_in_one_place_and_is_python(mutant: Mutant) -> None:
    text = (SOURCE / mutant.file).read_text()
    assert mutant.mutated(text) != text
    compile(mutant.mutated(text), mutant.file, "exec")


def test_a_fault_that_no_longer_fits_is_named() -> None:
    with pytest.raises(ValueError, match=r"x: 0 places in y\.py where one was expected"):
        Mutant("x", "engine", "y.py", "", "old", "new").mutated("a new text")
    with pytest.raises(ValueError, match="x: 2 places"):
        Mutant("x", "engine", "y.py", "", "old", "new").mutated("old and older")


def test_the_table_has_every_fault_and_each_was_caught() -> None:
    lines = [line.strip("| ").split(" | ") for line in TABLE.read_text().splitlines() if line.startswith("| ")]
    found = {cells[0]: cells[2] for cells in lines if cells[0] not in ("Mutant", "---")}
    assert list(found) == list(BY_NAME), "run `make mutants`"
    assert "nobody" not in found.values()


def test_the_table_names_seed_and_runs_where_there_are_any() -> None:
    seen, tested, alive = EVERY[:3]
    table = rows({seen: Verdict("mixed", 3, 11, "odd"), tested: Verdict("test_x.py::test_y"), alive: Verdict(runs=9)})
    summary = "Of 3 faults, 1 were caught by a scenario of `aigw sim`, 1 by a test and 0 by another simulation."
    assert table.splitlines()[0] == summary
    assert table.splitlines()[6:] == [
        f"| {seen.name} | {seen.breaks} | `mixed` | 3 | 11 |",
        f"| {tested.name} | {tested.breaks} | `test_x.py::test_y` |  |  |",
        f"| {alive.name} | {alive.breaks} | nobody |  |  |",
    ]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_source(tmp_path_factory.mktemp("mutants"))


def test_the_judges_find_nothing_wrong_with_the_code_as_it_is(source: Path) -> None:
    for name in ("sim", "suite"):
        verdict = judge(name, source, None, 2)
        assert verdict.caught_by is None
        assert verdict.runs >= 8


def test_a_judge_that_cannot_judge_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnusableError, match="sim: "):
        judge("sim", tmp_path, None, 1)  # what would be imported is the installed package


def test_a_seed_catches_one_and_another_survives(capsys: pytest.CaptureFixture[str]) -> None:
    caught, alive = "output-joins-the-turn-before", "reason-of-half-a-character"
    before = TABLE.read_text()
    assert run_mutants.main([caught, alive, "--judges", "sim", "--seeds", "2", "--jobs", "1", "--unchecked"]) == 1
    first, second, result = capsys.readouterr().out.splitlines()
    assert re.fullmatch(rf"{caught} +[a-z]+ seed [0-9]+, run [0-9]+ +\S.*", first)
    assert re.fullmatch(rf"{alive} +SURVIVES *", second)
    assert result == "1 of 2 mutants were caught"
    assert TABLE.read_text() == before  # which is written when all of them were examined


def test_a_test_catches_one(source: Path) -> None:
    mutant = BY_NAME["reason-of-half-a-character"]
    file = source / mutant.file
    text = file.read_text()
    mutant.apply(source)
    verdict = judge("tests", source, mutant.file, 0)
    file.write_text(text)
    assert verdict.caught_by is not None
    assert verdict.caught_by.startswith("test_close.py::")
    assert verdict.seed is None
