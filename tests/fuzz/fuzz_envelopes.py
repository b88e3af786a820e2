"""Any text: a message that means what Python's own parser reads in it and survives printing, or a fault that says why.

The input: who reads it in one byte, then the message, or decisions that make one.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, cast

from aigw_proto.envelopes import (
    CreatedFrame,
    DoneFrame,
    EnvelopeFault,
    ServerMessage,
    Step,
    StreamFrame,
    UniversalCancel,
    UniversalCreate,
    is_json,
    parse_client_message,
    parse_server_message,
    print_cancel,
    print_create,
    print_created,
    print_done,
    print_stream,
)
from fuzz.script import Script

MAX_STEPS = 3
MAX_EVENT_ID_BYTES = 20
MAX_FAULT_CHARACTERS = 600
FAULT_STATUSES = {400, 502}
MADE, AS_BYTES, FROM_SERVER = 1, 2, 4
KINDS = {CreatedFrame: "created", StreamFrame: "stream", DoneFrame: "done"}
KEYS = [
    *("type", "eventId", "request", "provider", "endpoint", "headers", "authorization", "query", "config"),
    *("requestTimeout", "maxAttempts", "retryDelay", "backoff", "cf-aig-byok-alias", "cf-aig-collect-log"),
    *("cf-aig-event-id", "cf-aig-request-timeout", "cf-aig-max-attempts", "Connection", "X-A", "x-a", "host"),
    *("metadata", "response", "cacheStatus", "logId", "step", "contentType", "status", "error", "cancelled"),
    *("encoding", "event", "eventType"),
]
TEXTS = [
    *("universal.create", "universal.cancel", "universal.created", "universal.stream", "universal.done", "universal.x"),
    *(
        "",
        "e",
        "openai",
        "chat/completions",
        "../x",
        "linear",
        "true",
        "2",
        "1e3",
        "a" * 30,
        "é",
        "日本",
        "\ud800",
        "\0\n",
    ),
    *("1e3", "Bearer k", " v ", "\x7f", "x-a, x-b", "keep-alive", "base64", "0"),
]
ODD_KEYS = ['"x-\\u0061"', '"\\ud800"', "x", '"\n"']
ATOMS = [
    *(
        "null",
        "true",
        "false",
        "0",
        "1",
        "3",
        "-1",
        "1.50",
        "1e999",
        "-0",
        "1500",
        "9" * 25,
        "0.0001",
        "[]",
        "{}",
        "NaN",
    ),
]


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    options = script.octet()
    text = made(script) if options & MADE else script.rest().decode("utf-8", "replace")
    message = text.encode() if options & AS_BYTES else text
    if options & FROM_SERVER:
        check_server_message(message, text)
    else:
        check_client_message(message, text)


def read(text: str) -> dict[str, Any] | None:
    """Read JSON with Python's own parser; None when it is none, or no object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return cast("dict[str, Any]", value) if isinstance(value, dict) else None


def check_fault(fault: EnvelopeFault) -> None:
    """A fault names what was wrong, in few words."""
    assert fault.status in FAULT_STATUSES
    assert 0 < len(fault.message) <= MAX_FAULT_CHARACTERS
    fault.message.encode()
    assert fault.event_id is None or len(fault.event_id.encode()) <= MAX_EVENT_ID_BYTES


def check_client_message(message: str | bytes, text: str) -> None:
    """Read it as a gateway does."""
    parsed = parse_client_message(message, max_steps=MAX_STEPS, max_event_id_bytes=MAX_EVENT_ID_BYTES)
    if isinstance(parsed, EnvelopeFault):
        check_fault(parsed)
        return
    value = read(text)
    assert value is not None
    if isinstance(parsed, UniversalCancel):
        assert value["type"] == "universal.cancel"
        printed = b"".join(print_cancel(parsed.event_id))
        assert parse_client_message(printed, max_steps=1, max_event_id_bytes=MAX_EVENT_ID_BYTES) == parsed
        return
    check_steps(parsed, value)
    check_again(parsed)


def check_steps(parsed: UniversalCreate, value: dict[str, Any]) -> None:
    """Hold the steps against what Python reads."""
    assert value["type"] == "universal.create"
    request = value["request"]
    sources: list[Any] = [request] if "provider" in request else request
    assert len(sources) == len(parsed.steps) <= MAX_STEPS
    for step, source in zip(parsed.steps, sources, strict=True):
        assert step.provider == source["provider"]
        assert is_json(step.query)
        assert repr(json.loads(step.query)) == repr(source["query"])
        names = [name for name, _ in step.headers]
        assert len(set(names)) == len(names)
        for name, content in step.headers:
            assert name == name.lower()
            assert not set(content) & set("\r\n\0")
            content.encode("latin-1")


def check_again(parsed: UniversalCreate) -> None:
    """Print what was read, and read it again."""
    printed = b"".join(print_create(parsed.event_id, parsed.steps))
    again = parse_client_message(printed, max_steps=MAX_STEPS, max_event_id_bytes=MAX_EVENT_ID_BYTES)
    assert isinstance(again, UniversalCreate), again
    assert again.event_id == parsed.event_id
    assert [plain(step) for step in again.steps] == [plain(step) for step in parsed.steps]


def plain(step: Step) -> tuple[Step, str | None, str | None]:
    """Round the times, which are printed in whole milliseconds."""
    settings = step.settings
    others = dataclasses.replace(settings, request_timeout_seconds=None, retry_delay_seconds=None)
    times = (rounded(settings.request_timeout_seconds), rounded(settings.retry_delay_seconds))
    return (dataclasses.replace(step, settings=others), *times)


def rounded(seconds: float | None) -> str | None:
    """Return whole milliseconds, at least one for what is above none; and no more digits than matter."""
    return None if seconds is None else f"{max(1, round(seconds * 1000)) if seconds > 0 else 0:.13e}"


def check_server_message(message: str | bytes, text: str) -> None:
    """Read it as a client does."""
    parsed = parse_server_message(message)
    if isinstance(parsed, EnvelopeFault):
        check_fault(parsed)
        return
    value = read(text)
    assert value is not None
    assert value["type"] == f"universal.{KINDS[type(parsed)]}"
    if not isinstance(parsed, DoneFrame) and parsed.response is not None:
        assert is_json(parsed.response)
        assert repr(json.loads(parsed.response)) == repr(value["response"])
    printed = printed_anew(parsed)
    if printed is not None:
        assert parse_server_message(b"".join(printed)) == parsed


def printed_anew(parsed: ServerMessage) -> list[bytes] | None:
    """Print it as a gateway does; None for what no gateway prints."""
    if isinstance(parsed, StreamFrame):
        if parsed.event_id is None or parsed.response is None or parsed.event == "":
            return None
        event = None if parsed.event is None else parsed.event.encode()
        return print_stream(parsed.event_id, parsed.response, event=event, strict=False)
    if isinstance(parsed, CreatedFrame):
        return print_created(parsed.metadata, parsed.response, strict=False)
    return print_done(parsed.metadata, strict=False)


def made(script: Script, depth: int = 0) -> str:
    """Return a text that is nearly such a message: known words in possible and impossible places."""
    kind = script.octet()
    if kind >= 250:
        return script.take(script.randrange(12)).decode("latin-1")  # whatever it is
    if (depth < 5 and kind < 120) or depth == 0:
        pairs = [f"{made_key(script)}:{made(script, depth + 1)}" for _ in range(script.randrange(9))]
        return "{" + ",".join(pairs) + "}"
    if depth < 5 and kind < 140:
        return "[" + ",".join([made(script, depth + 1) for _ in range(script.randrange(5))]) + "]"
    if kind < 200:
        return json.dumps(script.choice(TEXTS))
    if kind < 220:
        return json.dumps(script.take(script.randrange(30)).decode("latin-1"))
    return script.choice(ATOMS)


def made_key(script: Script) -> str:
    """Return a key, mostly one of the protocol."""
    kind = script.octet()
    if kind >= 240:
        return ODD_KEYS[kind % len(ODD_KEYS)]
    return json.dumps(script.choice(TEXTS if kind >= 220 else KEYS))
