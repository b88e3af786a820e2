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


def test_the_demonstration_shows_realtime_sessions(start: Start) -> None:
    process = start("demo")
    output, _ = process.popen.communicate(timeout=60)
    assert process.popen.returncode == 0, process.log()
    assert process.log() == ""
    for mark, words in (
        ("<", "text   session.created"),
        (">", "text   input_audio_buffer.append 4800 B of audio"),
        ("<", r"text   response.output_audio.delta [0-9.]+ k?B of audio"),
        ("<", r"text   response.done \(\d+ tokens\)"),
        ("x", "closed with 4007"),
        ("<", "binary setupComplete"),
        ("<", r"binary serverContent \(\d+ tokens\)"),
    ):
        assert re.search(rf"(?m)^ +\d+  {mark} {words}", output), words
    assert re.search(r"turn 1 openai response\.done completed", output)
    assert re.search(r"101 openai/v1/realtime closed by client 4007", output)
    assert re.search(r"\d+ messages went through two realtime sessions", output)
