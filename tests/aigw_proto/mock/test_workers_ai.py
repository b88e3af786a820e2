from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aigw_proto.mock import MockFault
from aigw_proto.mock._replies import Reply

RUN = "/client/v4/accounts/a/ai/run/@cf/meta/llama-3.1-8b-instruct"
TEXT = "You said: alpha beta"


@pytest.mark.parametrize("asked", [{"prompt": "alpha beta"}, {"messages": [{"role": "user", "content": "alpha beta"}]}])
def test_document(asked: object, ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask(RUN, asked)))
    assert body["result"]["response"] == TEXT
    assert body["result"]["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    assert (body["success"], body["errors"], body["messages"]) == (True, [], [])


def test_stream(ask: Callable[..., Reply], events_of: Callable[[Reply], list[tuple[str, dict[str, Any]]]]) -> None:
    events = events_of(ask(RUN, {"prompt": "alpha beta", "stream": True}))
    assert events[-1] == ("done", {})
    assert "".join(data["response"] for _, data in events[:-1]) == TEXT
    assert events[0][1] == {"response": "You"}
    assert events[-2][1]["usage"]["total_tokens"] == 6


def test_errors(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask(RUN, {}, fault=MockFault(status=401))))
    assert (body["result"], body["success"], body["messages"]) == (None, False, [])
    assert body["errors"][0]["code"] == 10000
