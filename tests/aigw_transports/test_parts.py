from __future__ import annotations

import re
from pathlib import Path

from aigw_transports import parts

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "embed-in-a-framework.md"


def test_every_part_is_explained() -> None:
    section = PAGE.read_text().partition("## What drivers are made of")[2]
    explained = set(re.findall(r"`([A-Za-z_]+)(?:\(\))?`", section))
    assert set(parts.__all__) <= explained
    for name in parts.__all__:
        assert hasattr(parts, name)
