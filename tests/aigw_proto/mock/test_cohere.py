from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aigw_proto._kinds import Signal
from aigw_proto.http import JsonLine, NdjsonDecoder
from aigw_proto.mock import MockFault
from aigw_proto.mock._replies import EventStream, Reply

V1 = {"message": "alpha beta"}
V2 = {"messages": [{"role": "user", "content": "alpha beta"}]}
TEXT = "You said: alpha beta"


def test_v1_document(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask("/v1/chat", V1)))
    assert (body["text"], body["finish_reason"]) == (TEXT, "COMPLETE")
    assert body["meta"]["tokens"] == {"input_tokens": 2, "output_tokens": 4}


def test_v1_stream(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    reply = ask("/v1/chat", V1 | {"stream": True})
    assert isinstance(reply, EventStream)
    assert reply.content_type == b"application/stream+json"
    decoder = NdjsonDecoder()
    decoder.receive_data(body_of(reply), 0.0)
    lines: list[dict[str, Any]] = []
    while not isinstance(line := decoder.next_event(), Signal):
        assert isinstance(line, JsonLine)
        lines.append(json.loads(line.data))
    assert [line["event_type"] for line in lines] == ["stream-start", *["text-generation"] * 4, "stream-end"]
    assert [line["is_finished"] for line in lines] == [False] * 5 + [True]
    assert "".join(line["text"] for line in lines[1:5]) == lines[-1]["response"]["text"] == TEXT


def test_v2_document(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask("/v2/chat", V2)))
    assert body["message"] == {"role": "assistant", "content": [{"type": "text", "text": TEXT}]}
    assert body["usage"]["tokens"] == {"input_tokens": 2, "output_tokens": 4}


def test_v2_stream(ask: Callable[..., Reply], events_of: Callable[[Reply], list[tuple[str, dict[str, Any]]]]) -> None:
    events = events_of(ask("/v2/chat", V2 | {"stream": True}))
    assert [name for name, _ in events] == [
        "message-start",
        "content-start",
        *["content-delta"] * 4,
        "content-end",
        "message-end",
    ]
    assert "".join(data["delta"]["message"]["content"]["text"] for _, data in events[2:6]) == TEXT
    assert events[-1][1]["delta"]["usage"]["tokens"]["output_tokens"] == 4


def test_errors(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    for path in ("/v1/chat", "/v2/chat"):
        body = json.loads(body_of(ask(path, {}, fault=MockFault(status=429))))
        assert body == {"id": "mock-7", "message": "The mock provider was asked to answer 429"}
