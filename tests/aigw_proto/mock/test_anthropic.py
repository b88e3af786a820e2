from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aigw_proto.mock import MockFault
from aigw_proto.mock._replies import Reply

PROMPT = {"model": "model-x", "messages": [{"role": "user", "content": [{"type": "text", "text": "alpha beta"}]}]}
TEXT = "You said: alpha beta"


def test_document(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask("/v1/messages", PROMPT)))
    assert (body["id"], body["type"], body["model"]) == ("msg_mock_7", "message", "model-x")
    assert body["content"] == [{"type": "text", "text": TEXT}]
    assert body["stop_reason"] == "end_turn"
    assert body["usage"] == {"input_tokens": 2, "output_tokens": 4}


def test_stream(ask: Callable[..., Reply], events_of: Callable[[Reply], list[tuple[str, dict[str, Any]]]]) -> None:
    events = events_of(ask("/v1/messages", PROMPT | {"stream": True}))
    assert [name for name, _ in events] == [
        "message_start",
        "content_block_start",
        "ping",
        *["content_block_delta"] * 4,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert all(data["type"] == name for name, data in events)
    assert events[0][1]["message"]["content"] == []
    assert "".join(data["delta"]["text"] for _, data in events[3:7]) == TEXT
    assert events[-2][1]["usage"] == {"output_tokens": 4}


@pytest.mark.parametrize(
    ("status", "kind"), [(418, "invalid_request_error"), (404, "not_found_error"), (500, "api_error")]
)
def test_errors(status: int, kind: str, ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask("/v1/messages", PROMPT, fault=MockFault(status=status))))
    assert (body["type"], body["error"]["type"], body["request_id"]) == ("error", kind, "req_mock_7")
