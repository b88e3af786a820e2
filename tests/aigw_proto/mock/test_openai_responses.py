from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aigw_proto.mock._replies import Reply
from support.mock_bench import Bench, Client

Events = Callable[[Reply], list[tuple[str, dict[str, Any]]]]
TEXT = "You said: alpha beta"
EVENTS = [
    "response.created",
    "response.in_progress",
    "response.output_item.added",
    "response.content_part.added",
    *["response.output_text.delta"] * 4,
    "response.output_text.done",
    "response.content_part.done",
    "response.output_item.done",
    "response.completed",
]


@pytest.mark.parametrize(
    "asked", ["alpha beta", [{"role": "user", "content": [{"type": "input_text", "text": "alpha beta"}]}]]
)
def test_a_document(asked: object, ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask("/v1/responses", {"input": asked})))
    assert (body["id"], body["object"], body["status"]) == ("resp_mock_7", "response", "completed")
    assert body["output"][0]["content"] == [{"type": "output_text", "text": TEXT, "annotations": []}]
    assert body["usage"]["total_tokens"] == 6
    assert body["model"] == "mock-model"


def test_a_stream(ask: Callable[..., Reply], events_of: Events) -> None:
    events = events_of(ask("/v1/responses", {"input": "alpha beta", "stream": True}))
    assert [name for name, _ in events] == EVENTS
    assert all(data["type"] == name for name, data in events)
    assert [data["sequence_number"] for _, data in events] == list(range(12))
    assert "".join(data["delta"] for _, data in events[4:8]) == TEXT
    assert events[0][1]["response"]["usage"] is None
    assert events[-1][1]["response"]["usage"]["output_tokens"] == 4
    assert events[-1][1]["response"]["output"][0]["content"][0]["text"] == TEXT


def connect(fault: str | None = None) -> Client:
    client = Client(Bench(), "/v1/responses", fault=fault)
    client.bench.run()
    return client


def test_a_websocket_says_nothing_unasked_and_the_same_events() -> None:
    client = connect()
    assert client.messages == []
    client.send({"type": "response.create", "model": "m", "input": "alpha beta", "stream_id": "lane"})
    assert client.kinds == EVENTS
    assert [event["sequence_number"] for event in client.events] == list(range(12))
    assert {event["stream_id"] for event in client.events} == {"lane"}
    first = client.events[-1]["response"]
    assert (first["model"], first["usage"]["total_tokens"]) == ("m", 6)
    client.send({"type": "response.create", "input": "again", "previous_response_id": first["id"]})
    second = client.events[-1]["response"]
    assert second["previous_response_id"] == first["id"] != second["id"]
    assert "stream_id" not in client.events[-1]


def test_a_response_that_only_warms_up() -> None:
    client = connect()
    client.send({"type": "response.create", "input": "alpha", "generate": False})
    assert client.kinds == ["response.created", "response.completed"]
    assert client.events[-1]["response"]["output"] == []


def test_the_length_on_demand() -> None:
    client = connect("chunks=9")
    client.send({"type": "response.create", "input": "alpha"})
    assert client.kinds.count("response.output_text.delta") == 9


@pytest.mark.parametrize(
    ("message", "code", "param"),
    [
        ("nonsense", "invalid_json", None),
        ({"type": "response.steer"}, "invalid_value", "type"),
        ({}, "invalid_value", "type"),
        (
            {"type": "response.create", "previous_response_id": "r"},
            "previous_response_not_found",
            "previous_response_id",
        ),
    ],
)
def test_errors(message: object, code: str, param: str | None) -> None:
    client = connect()
    client.send(message)
    (event,) = client.events
    assert (event["type"], event["status"]) == ("error", 400)
    assert (event["error"]["code"], event["error"]["param"]) == (code, param)
