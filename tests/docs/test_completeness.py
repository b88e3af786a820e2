"""What the documentation lists by hand is complete, and its frames are what the client reads."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import re
from pathlib import Path

import pytest

import aigw_proto.conductor
import aigw_proto.testing
import aigw_transports.memory
from aigw_proto.envelopes import (
    CreatedFrame,
    DoneFrame,
    EnvelopeFault,
    ErrorCode,
    StreamFrame,
    parse_client_message,
    parse_server_message,
)
from aigw_proto.gateway import Outcome, RequestRecord
from aigw_proto.gateway._realtime_record import SessionRecord, TurnRecord

DOCS = Path(__file__).parents[2] / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text()


def section(text: str, title: str) -> str:
    return text.partition(f"## {title}\n")[2].partition("\n## ")[0]


def test_every_error_code_is_listed() -> None:
    errors = section(page("topics/wire-protocol.md"), "Errors")
    rows = {int(code) for code in re.findall(r"^\| ([0-9]+) \|", errors, re.MULTILINE)}
    others = {int(code) for code in re.findall(r"[0-9]{4,5}", errors.rpartition("own.")[2])}
    assert rows | others == {int(code) for code in ErrorCode}
    assert not rows & others


def test_every_field_of_the_request_log_is_listed() -> None:
    log = section(page("howto/run-the-gateway.md"), "Read its log")
    listed = set(re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\|([^|]*)\|", log, re.MULTILINE))))
    fields = {field.name for field in dataclasses.fields(RequestRecord)}
    assert listed == fields | {"time"} | {outcome.value for outcome in Outcome}


def test_every_field_of_the_realtime_log_is_listed() -> None:
    log = section(page("howto/run-the-gateway.md"), "Read its log of realtime sessions")
    turns, _, sessions = log.partition('`"type": "session"`')
    for table, kind in ((turns, TurnRecord), (sessions, SessionRecord)):
        listed = re.findall(r"`([a-z_]+)`", "".join(re.findall(r"^\|([^|]*)\|", table, re.MULTILINE)))
        assert sorted(listed) == sorted(["time", *(field.name for field in dataclasses.fields(kind))])


def test_the_frames_are_frames() -> None:
    text = page("topics/wire-protocol.md")
    client = re.findall(r"```json\n(.*?)```", section(text, "Messages of the client"), re.DOTALL)
    assert len(client) == 2
    for message in client:
        assert not isinstance(parse_client_message(message, max_steps=1, max_event_id_bytes=100), EnvelopeFault)
    frames: list[object] = []
    for block in re.findall(r"```json\n(.*?)```", section(text, "Messages of the gateway"), re.DOTALL):
        frames += map(parse_server_message, re.split(r"\n(?=\{)", block.strip()))
    assert [type(frame) for frame in frames] == [CreatedFrame, CreatedFrame, StreamFrame, DoneFrame]


def test_metadata_keys_are_those_of_the_frames() -> None:
    table = section(page("topics/wire-protocol.md"), "Messages of the gateway")
    keys = re.findall(r"^\| `([a-zA-Z]+)` \|", table, re.MULTILINE)
    shown: set[str] = set()
    for found in re.findall(r'"metadata": (\{[^}]*\})', table):
        shown.update(json.loads(found))
    assert shown <= set(keys)
    assert [key for key in keys if key not in shown] == ["error", "cancelled", "encoding"]


def test_the_test_kit_is_shown() -> None:
    text = page("howto/test-with-the-memory-world.md")
    for name in aigw_transports.memory.__all__:
        if name not in {"Host", "Listener", "Wakeup"}:  # they are only returned
            assert re.search(rf"\b{name}\b", text), name
    for name in ("Checked", "ContractError", "Playbook", "Placeholder", "ConnectionPair", "chunkings", "check_engine"):
        assert name in aigw_proto.testing.__all__
        assert re.search(rf"\b{name}\b", text), name


@pytest.mark.parametrize("name", ["aigw_proto", "aigw_transports"])
def test_public_names_without_a_docstring_are_in_the_reference(name: str) -> None:
    text = page(f"reference/{name}.md")
    modules = re.findall(r"^.. automodule:: ([a-z_.]+)", text, re.MULTILINE)
    assert modules
    for module in map(importlib.import_module, modules):
        for public in module.__all__:
            value = getattr(module, public)
            if not (inspect.isclass(value) or inspect.isroutine(value) or module is aigw_proto.conductor):
                assert f"`{public}`" in text, f"{module.__name__}.{public}"
