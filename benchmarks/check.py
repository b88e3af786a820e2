"""Hold the last results against `floors.toml`: python benchmarks/check.py [--results FOLDER].

A ratio is that of medians, and says how many times better than the peer: more a second, or less time. Exits with 1 when
one is below its floor. Targets are what is aimed at; they are shown, and missing one is no failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import pathlib
import statistics
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

from rounds import HERE, RESULTS

Cases = dict[str, dict[str, dict[str, list[float]]]]
MORE_IS_BETTER = frozenset({"rate"})


@dataclasses.dataclass
class Line:
    """One thing that is promised."""

    work: str
    case: str
    peer: str
    """Empty when it is no ratio but a figure with a bound."""
    target: float
    floor: float | None
    measured: float | None
    """None when the peer did not take part."""
    unit: str

    @property
    def holds(self) -> bool:
        """Whether the floor holds, as far as there is one."""
        return self.measured is None or self.floor is None or not self._worse_than(self.floor)

    @property
    def reached(self) -> bool:
        """Whether the target is reached."""
        return self.measured is not None and not self._worse_than(self.target)

    def _worse_than(self, bound: float) -> bool:
        assert self.measured is not None
        return self.measured < bound if self.peer else self.measured > bound


def load(folder: pathlib.Path) -> dict[str, dict[str, Any]]:
    """Return the last results by benchmark."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def ratio(contenders: dict[str, dict[str, list[float]]], ours: str, peer: str, measures: list[str]) -> float | None:
    """Return how many times better ours is, by the measure that says most for it; None when one is missing."""
    found = [
        mine / theirs if measure in MORE_IS_BETTER else theirs / mine
        for measure in measures
        if (mine := middle(contenders, ours, measure)) and (theirs := middle(contenders, peer, measure))
    ]
    return max(found, default=None)


def middle(contenders: dict[str, dict[str, list[float]]], name: str, measure: str) -> float | None:
    """Return a median."""
    values = contenders.get(name, {}).get(measure)
    return statistics.median(values) if values else None


def lines(results: dict[str, dict[str, Any]]) -> Iterator[Line]:
    """Yield every line of `floors.toml` with what was measured."""
    for work in tomllib.loads((HERE / "floors.toml").read_text())["work"]:
        cases: Cases = results.get(work["bench"], {}).get("cases", {})
        ours, measures, unit = work.get("ours", "aigw"), work["measures"], work.get("unit", "")
        for case in work["cases"]:
            contenders = cases.get(case, {})
            for peer, target in work.get("target", {}).items():
                floor = work.get("floor", {}).get(peer)
                yield Line(work["name"], case, peer, target, floor, ratio(contenders, ours, peer, measures), "times")
            if "at_most" in work:
                measured = middle(contenders, ours, measures[0])
                yield Line(work["name"], case, "", work["at_most"], work.get("floor_at_most"), measured, unit)


def main() -> None:
    """Print the table, and fail when a floor does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    failed = False
    for line in lines(load(parser.parse_args().results)):
        measured = "-" if line.measured is None else f"{line.measured:.2f}"
        floor = "-" if line.floor is None else f"{line.floor:g}"
        verdict = "" if line.holds else "BELOW THE FLOOR"
        mark = "reached" if line.reached else "-" if line.measured is None else "missed"
        print(
            f"{line.work:34} {line.case:28} {line.peer:26} target {line.target:<6g} {measured:>8} {line.unit:6}", end=""
        )
        print(f" {mark:8} floor {floor:6} {verdict}")
        failed |= not line.holds
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
