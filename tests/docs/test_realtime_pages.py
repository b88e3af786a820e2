"""What the pages on the realtime API and on the log list by hand is what there is."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from aigw_proto._limits import GatewayLimits, HttpLimits, WebSocketLimits
from aigw_proto.gateway import RequestRecord, SessionRecord, TurnRecord
from aigw_proto.gateway._farewell import farewell
from aigw_proto.providers import Dialect

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
API = (DOCS / "reference" / "realtime-api.md").read_text()
LOG = (DOCS / "topics" / "what-is-logged.md").read_text()
SPOKEN = {
    "OpenAI realtime": Dialect.OPENAI_REALTIME,
    "OpenAI responses": Dialect.OPENAI_RESPONSES,
    "Gemini Live": Dialect.GEMINI_LIVE,
    "ElevenLabs, agents": Dialect.ELEVENLABS_AGENT,
    "ElevenLabs, speech": Dialect.ELEVENLABS_SPEECH,
    "Cartesia": Dialect.CARTESIA,
    "Deepgram": Dialect.DEEPGRAM,
    "fal": Dialect.FAL,
    "anything else": Dialect.UNKNOWN,
}


def rows(text: str, title: str) -> list[list[str]]:
    section = re.split(r"\n###? ", text.partition(f"# {title}\n")[2])[0]
    table = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def quoted(text: str) -> list[str]:
    return re.findall(r"`([^`]*)`", text)


def test_every_dialect_has_its_farewell() -> None:
    assert {row[0] for row in rows(API, "Farewells")} == set(SPOKEN)
    assert set(SPOKEN.values()) == set(Dialect)


@pytest.mark.parametrize("row", rows(API, "Farewells"), ids=lambda row: row[0])
def test_a_farewell(row: list[str]) -> None:
    words = farewell(SPOKEN[row[0]], code=1001, reason="REASON")
    if words is None:
        assert row[1] == "none"
    else:
        is_text, payload = words
        assert quoted(row[1]) == [payload.decode()]
        assert row[2] == ("text" if is_text else "binary")


def test_limits_are_those_that_there_are() -> None:
    tables = {"[limits.websocket]": WebSocketLimits, "[limits.http]": HttpLimits}
    for row in rows(API, "Limits"):
        names = quoted(row[0])
        kind = tables.get(names[-1], GatewayLimits)
        fields = {field.name for field in dataclasses.fields(kind)}
        assert set(names) - set(tables) <= fields
    listed = {name for row in rows(API, "Limits") for name in quoted(row[0])}
    assert {field.name for field in dataclasses.fields(GatewayLimits) if "realtime" in field.name} <= listed


def test_every_field_of_a_record_is_named() -> None:
    table = [row for row in rows(LOG, "Records") if len(row) == 4][2:]  # behind its head
    for column, kind in enumerate((RequestRecord, TurnRecord, SessionRecord), 1):
        listed = [name for row in table for name in quoted(row[column])]
        assert sorted(listed) == sorted(["time", *(field.name for field in dataclasses.fields(kind))])


def test_every_line_of_the_log_is_listed() -> None:
    listed = {name for row in rows(LOG, "Other lines") for name in quoted(row[0])}
    written: set[str] = set()
    for file in (ROOT / "src").rglob("*.py"):
        if file.parent.name not in {"mock", "testing"}:
            call = r"(?:\bLog\(|\.log\(|\b_log\()\s*LogLevel\.[A-Z]+,\s*\"([^\"]+)\"|\.(?:note|caution)\(\"([^\"]+)\""
            written.update(found[0] or found[1] for found in re.findall(call, file.read_text()))
    assert written == listed
