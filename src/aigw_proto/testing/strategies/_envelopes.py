"""Messages of the universal API, as records and as the texts that programs make of them."""

from __future__ import annotations

import json
import re

from hypothesis import strategies as st

from ..._kinds import Role, record
from ...envelopes import (
    Backoff,
    ClientMessage,
    CreatedFrame,
    DoneFrame,
    Metadata,
    ServerMessage,
    Step,
    StepSettings,
    StreamFrame,
    UniversalCancel,
    UniversalCreate,
)
from ._characters import CHARACTERS, PRINTED, VISIBLE

__all__ = ["Envelope", "create_messages", "envelopes"]

_NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=12)
_EVENT_IDS = st.text(PRINTED, min_size=1, max_size=16)
_VALUES = st.text(VISIBLE, min_size=1, max_size=20)
_ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(CHARACTERS),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(CHARACTERS),
)
_OBJECTS = st.dictionaries(st.text(CHARACTERS, max_size=5), _ATOMS, max_size=3)
_JSON = st.one_of(_ATOMS, st.lists(_ATOMS | _OBJECTS, max_size=3), _OBJECTS).map(json.dumps)
_QUERIES = st.one_of(_JSON, st.sampled_from(['{"n": 1.10}', '{ "a":[ ] , "b" : 1e2}', '"\\u00e9"'])).map(str.encode)
_SETTINGS = st.builds(
    StepSettings,
    request_timeout_seconds=st.none() | st.integers(1, 10**6).map(lambda milliseconds: milliseconds / 1000),
    max_attempts=st.none() | st.integers(1, 5),
    retry_delay_seconds=st.none() | st.integers(0, 60_000).map(lambda milliseconds: milliseconds / 1000),
    backoff=st.none() | st.sampled_from(Backoff),
    key_alias=st.none() | st.text("abcxyz", min_size=1, max_size=8),
    collect_log=st.none() | st.booleans(),
)
_METADATA = st.builds(
    Metadata,
    event_id=st.none() | _EVENT_IDS,
    log_id=st.none() | _NAMES,
    step=st.none() | st.integers(0, 31),
    content_type=st.none() | st.sampled_from(["application/json", "text/event-stream", "audio/mpeg"]),
    cache_status=st.none() | st.just("MISS"),
    status=st.none() | st.integers(200, 599),
    error=st.none() | st.text(CHARACTERS, max_size=20),
    cancelled=st.booleans(),
    encoding=st.none() | st.just("base64"),
)


@record
class Envelope:
    """A message as a text, and what it means."""

    text: str
    message: ClientMessage | ServerMessage


@st.composite
def _steps(draw: st.DrawFn) -> Step:
    headers = draw(st.dictionaries(_NAMES.map("x-".__add__), _VALUES, max_size=3))
    endpoint = draw(st.sampled_from(["chat/completions", "v1/messages", "v1beta/models/m:generateContent?alt=sse"]))
    return Step(draw(_NAMES), endpoint, tuple(headers.items()), draw(_QUERIES), draw(_SETTINGS))


def create_messages(*, max_steps: int = 3) -> st.SearchStrategy[UniversalCreate]:
    """Draw a request with up to `max_steps` steps; providers have any name, queries are any JSON.

    Ids of events have at most 64 bytes. Header names begin with `x-`.
    """
    steps = st.lists(_steps(), min_size=1, max_size=max_steps).map(tuple)
    return st.builds(UniversalCreate, st.none() | _EVENT_IDS, steps)


def envelopes(sender: Role, *, max_steps: int = 3) -> st.SearchStrategy[Envelope]:
    """Draw a message of a client or a server with its text: members in any order, spaces, escapes, unknown members."""
    return _client_envelopes(max_steps) if sender is Role.CLIENT else _server_envelopes()


@st.composite
def _client_envelopes(draw: st.DrawFn, max_steps: int) -> Envelope:
    message = draw(st.one_of(create_messages(max_steps=max_steps), st.builds(UniversalCancel, _EVENT_IDS)))
    if isinstance(message, UniversalCancel):
        return Envelope(_object(draw, _type("cancel") | {"eventId": _text(draw, message.event_id)}), message)
    event_id = {} if message.event_id is None else {"eventId": _text(draw, message.event_id)}
    if len(message.steps) == 1 and draw(st.booleans()):
        inner, outer = (event_id, {}) if draw(st.booleans()) else ({}, event_id)
        request = _object(draw, _step(draw, message.steps[0]) | inner)
    else:
        outer = event_id
        request = "[" + ",".join([_object(draw, _step(draw, step)) for step in message.steps]) + "]"
    return Envelope(_object(draw, _type("create") | {"request": request} | outer), message)


def _step(draw: st.DrawFn, step: Step) -> dict[str, str]:
    settings = step.settings
    headers = {_cased(draw, name): _text(draw, value) for name, value in step.headers}
    if settings.key_alias is not None:
        headers[_cased(draw, "cf-aig-byok-alias")] = _text(draw, settings.key_alias)
    if settings.collect_log is not None:
        headers[_cased(draw, "cf-aig-collect-log")] = '"true"' if settings.collect_log else '"false"'
    config = {
        "requestTimeout": _milliseconds(settings.request_timeout_seconds),
        "maxAttempts": None if settings.max_attempts is None else str(settings.max_attempts),
        "retryDelay": _milliseconds(settings.retry_delay_seconds),
        "backoff": None if settings.backoff is None else json.dumps(settings.backoff.value),
    }
    members = {
        "provider": _text(draw, step.provider),
        "endpoint": _text(draw, step.endpoint),
        "headers": _object(draw, headers, headers=True),
        "query": step.query.decode(),
    }
    present = {key: value for key, value in config.items() if value is not None}
    even_empty = draw(st.booleans())
    if present or even_empty:
        members["config"] = _object(draw, present)
    return members


@st.composite
def _server_envelopes(draw: st.DrawFn) -> Envelope:
    metadata = draw(_METADATA)
    response = draw(st.none() | _QUERIES)
    event = draw(st.none() | _NAMES)
    possible: list[ServerMessage] = [
        CreatedFrame(metadata, response),
        StreamFrame(metadata.event_id, response, event),
        DoneFrame(metadata),
    ]
    message = draw(st.sampled_from(possible))
    known: dict[str, object] = {
        "cacheStatus": metadata.cache_status,
        "eventId": metadata.event_id,
        "logId": metadata.log_id,
        "contentType": metadata.content_type,
        "status": metadata.status,
        "error": metadata.error,
        "encoding": metadata.encoding,
        "event": event,
        "step": None if metadata.step is None else draw(st.sampled_from([metadata.step, str(metadata.step)])),
    }
    members = {key: json.dumps(value) for key, value in known.items() if value is not None}
    if metadata.cancelled:
        members["cancelled"] = "true"
    kind = {CreatedFrame: "created", StreamFrame: "stream", DoneFrame: "done"}[type(message)]
    answer = {} if response is None or isinstance(message, DoneFrame) else {"response": response.decode()}
    return Envelope(_object(draw, _type(kind) | {"metadata": _object(draw, members)} | answer), message)


def _type(name: str) -> dict[str, str]:
    return {"type": f'"universal.{name}"'}


def _milliseconds(seconds: float | None) -> str | None:
    return None if seconds is None else str(round(seconds * 1000))


def _text(draw: st.DrawFn, value: str) -> str:
    return json.dumps(value, ensure_ascii=draw(st.booleans()))


def _cased(draw: st.DrawFn, name: str) -> str:
    return draw(st.sampled_from([name, name.upper(), re.sub(r"\b[a-z]", lambda letter: letter[0].upper(), name)]))


def _object(draw: st.DrawFn, members: dict[str, str], *, headers: bool = False) -> str:
    """Write an object of keys and texts of values, in any order, sometimes with spaces and a member nobody knows.

    The order of headers counts, and each of them is known.
    """
    keys = list(members)
    if not headers:
        if draw(st.booleans()):
            members = members | {"xUnknown": draw(st.sampled_from(["null", "[{}]", '"\\ud83d\\ude00"']))}
        keys = list(draw(st.permutations(list(members))))
    space = draw(st.sampled_from(["", " ", "\n\t"]))
    pairs = [f"{json.dumps(key)}{space}:{space}{members[key]}" for key in keys]
    return "{" + f",{space}".join(pairs) + space + "}"
