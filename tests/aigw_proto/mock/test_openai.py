from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aigw_proto.mock import MockFault
from aigw_proto.mock._replies import Document, EventStream, Reply

Events = Callable[[Reply], list[tuple[str, dict[str, Any]]]]
CHAT = "/v1/chat/completions"
PROMPT = {"model": "gpt-x", "messages": [{"role": "user", "content": "alpha beta"}]}
TEXT = "You said: alpha beta"


def test_chat_document(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask(CHAT, PROMPT)))
    assert body["id"] == "chatcmpl-mock-7"
    assert body["object"] == "chat.completion"
    assert body["created"] == 1_700_000_000
    assert body["model"] == "gpt-x"
    assert body["choices"][0]["message"]["content"] == TEXT
    assert body["choices"][0]["finish_reason"] == "stop"
    assert body["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}


def test_chat_stream(ask: Callable[..., Reply], events_of: Events) -> None:
    events = events_of(ask(CHAT, PROMPT | {"stream": True}))
    assert events[-1][0] == "done"
    chunks = [data for _, data in events[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks[:-1]) == TEXT
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None] * 5 + ["stop"]
    assert all("usage" not in chunk for chunk in chunks)


def test_chat_stream_with_usage(ask: Callable[..., Reply], events_of: Events) -> None:
    events = events_of(ask(CHAT, PROMPT | {"stream": True, "stream_options": {"include_usage": True}}))
    assert events[-1][0] == "done"
    assert events[-2][1]["choices"] == []
    assert events[-2][1]["usage"] == {"prompt_tokens": 2, "completion_tokens": 4, "total_tokens": 6}
    assert all(data["usage"] is None for _, data in events[:-2])


@pytest.mark.parametrize(
    ("path", "host"),
    [("/api/v1/chat/completions", b"x"), (CHAT, b"OpenRouter.ai"), ("/chat/completions", b"openrouter")],
)
def test_openrouter_sends_comments(
    path: str, host: bytes, ask: Callable[..., Reply], body_of: Callable[[Reply], bytes], events_of: Events
) -> None:
    reply = ask(path, PROMPT | {"stream": True}, headers=((b"host", host),))
    assert body_of(reply).startswith(b": OPENROUTER PROCESSING\n\n")
    assert len(events_of(reply)) == 7


def test_others_do_not(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    assert b"OPENROUTER" not in body_of(ask("/openai/v1/chat/completions", PROMPT | {"stream": True}))


def test_embeddings(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    many = json.loads(body_of(ask("/v1/embeddings", {"input": ["a b", "c"]})))
    assert [entry["index"] for entry in many["data"]] == [0, 1]
    assert many["usage"]["total_tokens"] == 3
    assert len(json.loads(body_of(ask("/v1/embeddings", {"input": "a b"})))["data"]) == 1


def test_models(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    assert json.loads(body_of(ask("/v1/models", method=b"GET")))["data"][0]["id"] == "mock-model"
    assert json.loads(body_of(ask("/v1/models/a/b", method=b"GET")))["id"] == "a/b"


def test_speech_is_not_text(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    reply = ask("/v1/audio/speech", {"input": "hello"})
    assert isinstance(reply, Document)
    assert reply.content_type == b"audio/mpeg"
    body = body_of(reply)
    assert len(body) == 4096
    with pytest.raises(UnicodeDecodeError):
        body.decode()


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, "invalid_request_error"), (401, "authentication_error"), (429, "rate_limit_error"), (500, "server_error")],
)
def test_errors(status: int, kind: str, ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    assert json.loads(body_of(ask(CHAT, PROMPT, fault=MockFault(status=status))))["error"]["type"] == kind


def test_an_empty_request_is_answered(ask: Callable[..., Reply]) -> None:
    assert isinstance(ask(CHAT, {"stream": True}), EventStream)
    assert isinstance(ask(CHAT, {"messages": 3, "model": 5, "stream": "yes", "stream_options": []}), Document)
