from __future__ import annotations

from pathlib import Path

import make_limits_table
import make_state_diagrams
import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("outputs", [make_state_diagrams.outputs(), make_limits_table.outputs()])
def test_generated_pages_are_fresh(outputs: dict[Path, str]) -> None:
    assert outputs
    for file, text in outputs.items():
        assert file.read_text() == text, "run docs/make_*.py"


def test_no_drawing_is_left_over() -> None:
    drawn = {file for file in make_state_diagrams.outputs() if file.suffix == ".svg"}
    assert drawn == set((DOCS / "topics").glob("*.svg"))
