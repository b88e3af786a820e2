from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Start


def test_the_demonstration_shows_interleaved_requests(start: Start) -> None:
    process = start("demo")
    output, _ = process.popen.communicate(timeout=60)
    assert process.popen.returncode == 0, process.log()
    assert process.log() == ""
    for name in ("chat", "essay", "joke", "plain", "error", "cancel"):
        assert re.search(rf"(?m)^ +\d+ .* {name} +created ", output), name
    assert "frames of 6 requests came over one socket" in output
    switches = re.search(r"(\d+) times the next frame belonged to another request", output)
    assert switches is not None
    assert int(switches[1]) >= 6
    assert "cancelled after 4 pieces" in output
    assert "\x1b" not in output
