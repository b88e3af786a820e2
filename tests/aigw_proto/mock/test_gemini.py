from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aigw_proto.mock import MockFault
from aigw_proto.mock._replies import EventStream, Reply

PROMPT = {"contents": [{"role": "user", "parts": [{"text": "alpha beta"}]}]}
TEXT = "You said: alpha beta"
STREAM = "/v1beta/models/gemini-x:streamGenerateContent"


def text_of(item: dict[str, Any]) -> str:
    text: str = item["candidates"][0]["content"]["parts"][0]["text"]
    return text


def test_document(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask("/v1beta/models/gemini-x:generateContent", PROMPT)))
    assert text_of(body) == TEXT
    assert body["candidates"][0]["finishReason"] == "STOP"
    assert body["usageMetadata"] == {"promptTokenCount": 2, "candidatesTokenCount": 4, "totalTokenCount": 6}
    assert (body["modelVersion"], body["responseId"]) == ("gemini-x", "mock-7")


def test_events(ask: Callable[..., Reply], events_of: Callable[[Reply], list[tuple[str, dict[str, Any]]]]) -> None:
    items = [data for _, data in events_of(ask(STREAM + "?key=k&alt=sse", PROMPT))]
    assert "".join(map(text_of, items)) == TEXT
    assert len(items) == 5
    assert items[-1]["candidates"][0]["finishReason"] == "STOP"
    assert all("usageMetadata" not in item for item in items[:-1])


def test_array(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    reply = ask(STREAM, PROMPT)
    assert isinstance(reply, EventStream)
    assert reply.content_type == b"application/json"
    items = json.loads(body_of(reply))
    assert "".join(map(text_of, items)) == TEXT
    assert items[-1]["usageMetadata"]["totalTokenCount"] == 6


def test_errors(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    fault = MockFault(status=429)
    error = json.loads(body_of(ask(STREAM + "?alt=sse", PROMPT, fault=fault)))
    assert error["error"]["code"] == 429
    assert error["error"]["status"] == "RESOURCE_EXHAUSTED"
    assert json.loads(body_of(ask(STREAM, PROMPT, fault=fault))) == [error]
    assert json.loads(body_of(ask(STREAM, PROMPT, fault=MockFault(status=418))))[0]["error"]["status"] == "UNKNOWN"
