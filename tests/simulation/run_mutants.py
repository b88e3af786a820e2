"""Puts deliberate faults into copies of `src/`, one at a time, and finds out which simulated run catches each.

    python -m simulation.run_mutants [NAME...] [--judges sim tests suite] [--seeds N] [--jobs N]

Run it in `tests/`, or as `make mutants`. Judges are asked in this order, until one catches the fault:

    sim     the scenarios of `aigw sim`, seed by seed
    tests   the tests of the file that the fault is in, then those of its package: playbooks, not seeds
    suite   the simulations of the test suite, seed by seed

Before that they are all asked about the sources without a fault, which they must find nothing wrong with. A run of all
mutants with all judges writes `docs/topics/mutants.txt`, the table of the page. The exit code is 1 when one survives.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulation.mutant import SOURCE, Mutant, read_mutants

__all__ = ["JUDGES", "TABLE", "UnusableError", "Verdict", "copy_source", "judge", "rows"]

TESTS = Path(__file__).parents[1]
TABLE = SOURCE.parent / "docs" / "topics" / "mutants.txt"
JUDGES = ("sim", "tests", "suite")
SEEDS = 40
_SECONDS_PER_JUDGE = 900
_FAILED_TEST = re.compile(r"^FAILED (?:\S*/)?([\w.]+\.py::[\w:]+)(?:\[.*?\])?(?: - (.*))?$", re.MULTILINE)
_HEADING = ("Mutant", "What it breaks", "Caught by", "Seed", "Runs")


@dataclass(frozen=True)
class Verdict:
    """Who caught a mutant: a simulation with a seed, in its run number `runs`, or a test (no seed); or nobody."""

    caught_by: str | None = None
    seed: int | None = None
    runs: int = 0
    complaint: str = ""


class UnusableError(Exception):
    """A judge came to no verdict: the fault is one that keeps the package from being imported, or the judge is ill."""


def copy_source(folder: Path) -> Path:
    """Copy `src/` without extensions into `folder`, compile it, and return where it is."""
    source = folder / "src"
    shutil.copytree(SOURCE, source, ignore=shutil.ignore_patterns("__pycache__", "*.so", "*.pyd", "*.egg-info"))
    compileall.compile_dir(source, quiet=2)
    return source


def judge(name: str, source: Path, file: str | None, most_seeds: int) -> Verdict:
    """Ask one judge about the package at `source`; `file` is where the fault is. Raises UnusableError."""
    return _run_tests(source, file) if name == "tests" else _run_seeds(name, source, most_seeds)


def _run(source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python on a copy. The pure build, since a fault in the source of a compiled module would not be run."""
    environment = os.environ | {"AIGW_PURE": "1", "PYTHONPATH": f"{source}{os.pathsep}{TESTS}"}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=TESTS.parent,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS_PER_JUDGE,
        check=False,
    )


def _run_seeds(name: str, source: Path, most_seeds: int) -> Verdict:
    try:
        done = _run(source, "-m", "simulation.mutant_judges", name, str(most_seeds), str(source))
    except subprocess.TimeoutExpired:
        raise UnusableError(f"{name}: no verdict within {_SECONDS_PER_JUDGE} s") from None
    if done.returncode:
        raise UnusableError(f"{name}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return Verdict(**found)


def _run_tests(source: Path, file: str | None) -> Verdict:
    for target in _targets(file):
        options = ("-x", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=no")
        try:
            done = _run(source, "-m", "pytest", *options, str(target))
        except subprocess.TimeoutExpired:
            return Verdict(target.name, complaint="a test does not end")
        if (failed := _FAILED_TEST.search(done.stdout)) is not None:
            return Verdict(failed[1], complaint=failed[2] or "")
        if done.returncode:
            raise UnusableError(f"{target}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return Verdict()


def _targets(file: str | None) -> list[Path]:
    """Return the tests of a file, and those of its package; those of all packages for no file."""
    if file is None:
        return [TESTS / "aigw_proto" / package for package in ("gateway", "http", "ws")]
    folder = TESTS / Path(file).parent
    own = folder / f"test_{Path(file).stem.removeprefix('_')}.py"
    package = [] if folder == TESTS / "aigw_proto" else [folder]
    return [*([own] if own.exists() else []), *package]


def _examine(mutant: Mutant, original: Path, judges: Sequence[str], most_seeds: int) -> Verdict:
    """Ask the judges about one mutant until one has caught it."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "src"
        shutil.copytree(original, source)
        mutant.apply(source)
        for name in judges:
            try:
                verdict = judge(name, source, mutant.file, most_seeds)
            except UnusableError as error:
                return Verdict(complaint=str(error))
            if verdict.caught_by is not None:
                return verdict
        return Verdict()


def rows(verdicts: dict[Mutant, Verdict]) -> str:
    """Return the table of the page: a sentence that sums up, and a part for each area."""
    lines = [_summary(list(verdicts.values()))]
    area = ""
    for mutant, verdict in verdicts.items():
        if mutant.area != area:
            area = mutant.area
            lines += [
                "",
                f"## {area.capitalize()}",
                "",
                f"| {' | '.join(_HEADING)} |",
                "| --- | --- | --- | --- | --- |",
            ]
        seed, runs = ("", "") if verdict.seed is None else (str(verdict.seed), str(verdict.runs))
        caught_by = "nobody" if verdict.caught_by is None else f"`{verdict.caught_by}`"
        lines.append(f"| {mutant.name} | {mutant.breaks} | {caught_by} | {seed} | {runs} |")
    return "\n".join([*lines, ""])


def _summary(verdicts: list[Verdict]) -> str:
    by_test = sum(verdict.caught_by is not None and verdict.seed is None for verdict in verdicts)
    by_suite = sum((verdict.caught_by or "").startswith("test_") for verdict in verdicts) - by_test
    by_sim = sum(verdict.caught_by is not None for verdict in verdicts) - by_suite - by_test
    return (
        f"Of {len(verdicts)} faults, {by_sim} were caught by a scenario of `aigw sim`, {by_test} by a test"
        f" and {by_suite} by another simulation."
    )


def _tell(mutant: Mutant, verdict: Verdict) -> None:
    """Print a line about one mutant."""
    where = verdict.caught_by or "SURVIVES"
    if verdict.seed is not None:
        where += f" seed {verdict.seed}, run {verdict.runs}"
    print(f"{mutant.name:40} {where:55} {verdict.complaint[:150]}", flush=True)


def _check_judges(original: Path, judges: Sequence[str], most_seeds: int, jobs: int) -> None:
    """Raise UnusableError when a judge complains about the sources as they are."""
    with ThreadPoolExecutor(jobs) as pool:
        asked = [pool.submit(judge, name, original, None, most_seeds) for name in judges]
        for name, each in zip(judges, asked, strict=True):
            verdict = each.result()
            if verdict.caught_by is not None:
                raise UnusableError(f"{name} finds a fault where there is none: {verdict}")


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of mutants or areas; all of them without")
    parser.add_argument("--judges", nargs="+", choices=JUDGES, default=JUDGES)
    parser.add_argument("--seeds", type=int, default=SEEDS, help="at most so many of each simulation")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--unchecked", action="store_true", help="do not try the judges on the sources without a fault")
    return parser.parse_args(arguments)


def main(arguments: list[str]) -> int:
    """Examine what is asked for; return the exit code."""
    options = _parse(arguments)
    every = read_mutants()
    known = {name for each in every for name in (each.name, each.area)}
    if unknown := [name for name in options.names if name not in known]:
        areas = sorted({each.area for each in every})
        print(f"there is no fault and no area {unknown[0]!r}; the areas are {', '.join(areas)}")
        return 2
    mutants = [each for each in every if not options.names or {each.name, each.area} & set(options.names)]
    with ExitStack() as stack:
        original = copy_source(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        if not options.unchecked:
            _check_judges(original, options.judges, options.seeds, options.jobs)
        pool = stack.enter_context(ThreadPoolExecutor(options.jobs))

        def examine(mutant: Mutant) -> Verdict:
            verdict = _examine(mutant, original, options.judges, options.seeds)
            _tell(mutant, verdict)
            return verdict

        verdicts = dict(zip(mutants, pool.map(examine, mutants), strict=True))
    survivors = [mutant.name for mutant, verdict in verdicts.items() if verdict.caught_by is None]
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} mutants were caught")
    if mutants == every and tuple(options.judges) == JUDGES:
        TABLE.write_text(rows(verdicts))
    return 1 if survivors or not mutants else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
