from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))


def load(name: str) -> ModuleType:
    return importlib.import_module(name)


@pytest.mark.parametrize("name", ["make_state_diagrams", "make_limits_table"])
def test_generated_pages_are_fresh(name: str) -> None:
    outputs: dict[Path, str] = load(name).outputs()
    assert outputs
    for file, text in outputs.items():
        assert file.read_text() == text, f"run docs/{name}.py"


def test_no_drawing_is_left_over() -> None:
    drawn = {file for file in load("make_state_diagrams").outputs() if file.suffix == ".svg"}
    assert drawn == set((DOCS / "topics").glob("*.svg"))
