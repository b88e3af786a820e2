from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from aigw_proto.mock import MockFault
from aigw_proto.mock._dialects import find_dialect
from aigw_proto.mock._replies import Document, EventStream, Reply


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/chat/completions", "openai chat completions"),
        ("/openai/v1/chat/completions", "openai chat completions"),
        ("/api/v1/chat/completions/", "openai chat completions"),
        ("/chat/completions", "openai chat completions"),
        ("/client/v4/accounts/x/ai/v1/chat/completions", "openai chat completions"),
        ("/v1/responses", "openai responses"),
        ("/v1/embeddings", "openai embeddings"),
        ("/v1/models", "openai models"),
        ("/v1/models/a/b", "openai models"),
        ("/v1/audio/speech", "openai speech"),
        ("/v1/messages", "anthropic messages"),
        ("/v1beta/models/gemini-2.5-flash:generateContent", "gemini"),
        ("/v1/models/g:streamGenerateContent", "gemini"),
        ("/client/v4/accounts/x/ai/run/@cf/meta/llama-3.1-8b-instruct", "workers ai"),
        ("/@cf/meta/llama", "workers ai"),
        ("/v1/chat", "cohere v1 chat"),
        ("/v2/chat", "cohere v2 chat"),
        ("/model/m/converse-stream", "bedrock"),
    ],
)
def test_routes(path: str, name: str) -> None:
    dialect = find_dialect(path)
    assert dialect is not None
    assert dialect.name == name


@pytest.mark.parametrize("path", ["", "/", "*", "/v1", "/v1/chat/completions/x", "/xresponses", "/v1/models/g:count"])
def test_paths_without_a_route(path: str, ask: Callable[..., Reply]) -> None:
    assert find_dialect(path) is None
    reply = ask(path, {})
    assert isinstance(reply, Document)
    assert reply.status == 404
    assert json.loads(reply.before)["error"]["message"] == f"Invalid URL (POST {path})"


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff", b"not json"])
def test_a_body_that_is_no_object(body: bytes, ask: Callable[..., Reply]) -> None:
    openai, anthropic = (ask(path, body=body) for path in ("/v1/chat/completions", "/v1/messages"))
    assert isinstance(openai, Document)
    assert isinstance(anthropic, Document)
    assert openai.status == anthropic.status == 400
    assert json.loads(openai.before)["error"]["type"] == "invalid_request_error"
    assert json.loads(anthropic.before)["type"] == "error"


def test_a_wrong_method(ask: Callable[..., Reply]) -> None:
    reply = ask("/v1/chat/completions", method=b"GET")
    assert isinstance(reply, Document)
    assert (reply.status, reply.headers) == (405, ((b"allow", b"POST"),))
    reply = ask("/v1/models", {})
    assert isinstance(reply, Document)
    assert (reply.status, reply.headers) == (405, ((b"allow", b"GET"),))


def test_status_faults(ask: Callable[..., Reply]) -> None:
    error = ask("/v1/messages", body=b"", fault=MockFault(status=529))
    assert isinstance(error, Document)
    assert error.status == 529
    assert json.loads(error.before)["error"]["type"] == "overloaded_error"
    created = ask("/v1/messages", {"stream": True}, fault=MockFault(status=201))
    assert isinstance(created, EventStream)
    assert created.status == 201


def test_chunks(ask: Callable[..., Reply]) -> None:
    reply = ask("/v1/messages", {"stream": True}, fault=MockFault(chunks=40))
    assert isinstance(reply, EventStream)
    assert len(reply.words) == 40


def test_echo(ask: Callable[..., Reply]) -> None:
    reply = ask("/any?x=1", method=b"PUT", body=b"\xffa", headers=((b"x-aigw-mock-echo", b"1"), (b"b", b"\xe9")))
    assert isinstance(reply, Document)
    assert json.loads(reply.before) == {
        "method": "PUT",
        "target": "/any?x=1",
        "headers": [["x-aigw-mock-echo", "1"], ["b", "\xe9"]],
        "body": "\ufffda",
    }
