"""Deliberate faults: one change each to a file of ours, kept as data in `tests/simulation/mutants/*.toml`.

The name of a file there is the area of its mutants. Each has the file under `src/`, the lines that are replaced (they
stand in that file exactly once), the lines that they are replaced by, and in a sentence what that breaks.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

__all__ = ["AREAS", "MUTANTS", "SOURCE", "Mutant", "read_mutants"]

MUTANTS = Path(__file__).parent / "mutants"
SOURCE = Path(__file__).parents[2] / "src"
AREAS = (
    "engine",
    "back-pressure",
    "pool",
    "requests",
    "answers",
    "realtime",
    "closing",
    "timers",
    "codec",
    "http",
    "conductor",
    "records",
)
"""In the order in which the table has them."""


@dataclass(frozen=True)
class Mutant:
    """One fault that a programmer could have made."""

    name: str
    area: str
    file: str
    breaks: str
    old: str
    new: str

    def mutated(self, text: str) -> str:
        """Return the text of the file with the fault in it. Raises ValueError unless it fits in exactly one place."""
        if (count := text.count(self.old)) != 1:
            raise ValueError(f"{self.name}: {count} places in {self.file} where one was expected")
        return text.replace(self.old, self.new)

    def apply(self, source: Path) -> None:
        """Put the fault into a copy of `src/`. Raises ValueError as `mutated()` does."""
        file = source / self.file
        file.write_text(self.mutated(file.read_text()))


def read_mutants() -> list[Mutant]:
    """Return all mutants, area by area."""
    return [
        Mutant(name, area, fields["file"], fields["breaks"], fields["old"], fields["new"])
        for area in AREAS
        for name, fields in tomllib.loads((MUTANTS / f"{area}.toml").read_text()).items()
    ]
