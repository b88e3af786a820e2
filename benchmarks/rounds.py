"""How benchmarks measure: short rounds, every contender in each, medians; and what a result is."""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import time
from collections.abc import Callable, Mapping

import machine

Sample = Mapping[str, float]
"""What one round of one contender gave, by measure."""
HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "results"


@dataclasses.dataclass
class Options:
    """What a run is told."""

    rounds: int
    seconds: float
    also: dict[str, str]
    """More builds of this project to measure, each by a name and the folder of its source."""


@dataclasses.dataclass
class Result:
    """What one benchmark found. Its file has the same keys, and the machine and versions."""

    bench: str
    reference: str
    """The contender that the printed ratios are against."""
    cases: dict[str, dict[str, dict[str, list[float]]]] = dataclasses.field(default_factory=dict)
    """By case, contender and measure: one figure for each round."""
    versions: dict[str, str] = dataclasses.field(default_factory=machine.versions)
    """Of everything that took part."""

    def add(self, case: str, contender: str, sample: Sample) -> None:
        """Note one round."""
        measures = self.cases.setdefault(case, {}).setdefault(contender, {})
        for measure, value in sample.items():
            measures.setdefault(measure, []).append(value)

    def write(self, folder: pathlib.Path) -> None:
        """Write the file of this result."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "bench": self.bench,
            "date": time.strftime("%Y-%m-%d"),
            "machine": machine.describe(),
            "versions": self.versions,
            "reference": self.reference,
            "cases": {
                case: {
                    name: {measure: [float(f"{value:.5g}") for value in values] for measure, values in measures.items()}
                    for name, measures in contenders.items()
                }
                for case, contenders in self.cases.items()
            },
        }
        (folder / f"{self.bench}.json").write_text(json.dumps(content, indent=1) + "\n")

    def show(self) -> None:
        """Print medians, and in brackets how they compare with the reference."""
        for case, contenders in self.cases.items():
            print(f"\n{self.bench}: {case}")
            reference = contenders.get(self.reference, {})
            for name, measures in contenders.items():
                cells = []
                for measure, values in measures.items():
                    middle = statistics.median(values)
                    cell = f"{measure} {middle:,.4g} ±{spread(values):.0%}"
                    if measure in reference and statistics.median(reference[measure]):
                        cell += f" ({middle / statistics.median(reference[measure]):.2f})"
                    cells.append(cell)
                print(f"  {name:24} {'  '.join(cells)}", flush=True)


def spread(values: list[float]) -> float:
    """Return half of the distance between the quartiles, as a part of the median."""
    middle = statistics.median(values)
    if len(values) < 2 or not middle:
        return 0.0
    low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return (high - low) / 2 / middle


def interleave(
    result: Result, case: str, contenders: Mapping[str, Callable[[], Sample]], rounds: int, *, dry: bool = False
) -> None:
    """Measure all contenders in each round, each time beginning with another one."""
    names = list(contenders)
    for number in range(rounds):
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            sample = contenders[name]()
            if not dry:
                result.add(case, name, sample)


def relayed(outcome: Sample, *, each: int = 1) -> Sample:
    """Return messages a second and CPU microseconds a message; an echoed message was relayed twice (`each`)."""
    done = max(1.0, outcome["done"] * each)
    return {
        "rate": done / outcome["seconds"],
        "cpu_us": outcome["cpu_seconds"] / done * 1e6,
        "busy": outcome["cpu_seconds"] / outcome["seconds"],
        "load_busy": outcome["load_cpu_seconds"] / outcome["seconds"],
    }
