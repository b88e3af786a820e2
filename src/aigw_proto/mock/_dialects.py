"""Which provider a request means: the route table, and the answer in that provider's dialect.

Only the end of the path counts, so that the mock can stand behind any base URL and any prefix. The first route that
matches wins: narrow patterns come first.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Final

from .._kinds import record
from . import _anthropic, _bedrock, _cohere, _gemini, _openai, _openai_responses, _workers_ai
from ._faults import MockFault
from ._replies import Document, Reply, json_document
from ._request import MockRequest, decode_object

__all__ = ["Dialect", "answer", "echo", "find_dialect", "refuse", "reply_to"]


@record
class Dialect:
    """One route: the end of the path, the method, and who prints answers and errors."""

    name: str
    path: re.Pattern[str]
    method: bytes
    answer: Callable[[MockRequest], Reply]
    error: Callable[[int, str, MockRequest], Document]


def _route(
    name: str,
    pattern: str,
    answer: Callable[[MockRequest], Reply],
    error: Callable[[int, str, MockRequest], Document],
    method: bytes = b"POST",
) -> Dialect:
    return Dialect(name, re.compile(pattern + r"/?\Z"), method, answer, error)


_ROUTES: Final = (
    _route("openai chat completions", r"/chat/completions", _openai.answer_chat, _openai.print_error),
    _route("openai responses", r"/responses", _openai_responses.answer_responses, _openai.print_error),
    _route("openai embeddings", r"/embeddings", _openai.answer_embeddings, _openai.print_error),
    _route("openai speech", r"/audio/speech", _openai.answer_speech, _openai.print_error),
    _route("anthropic messages", r"/messages", _anthropic.answer_messages, _anthropic.print_error),
    _route("gemini", r":(?:g|streamG)enerateContent", _gemini.answer_generate, _gemini.print_error),
    _route("workers ai", r"/@cf/[^?]+", _workers_ai.answer_run, _workers_ai.print_error),
    _route("cohere v1 chat", r"/v1/chat", _cohere.answer_v1, _cohere.print_error),
    _route("cohere v2 chat", r"/v2/chat", _cohere.answer_v2, _cohere.print_error),
    _route("bedrock", r"/converse-stream", _bedrock.answer_converse_stream, _bedrock.print_error),
    _route("openai models", r"/models(?:/[^:]+)?", _openai.answer_models, _openai.print_error, b"GET"),
)


def find_dialect(path: str) -> Dialect | None:
    """Return the route that a path ends in, or None."""
    return next((dialect for dialect in _ROUTES if dialect.path.search(path)), None)


def refuse(status: int, message: str, request: MockRequest) -> Document:
    """Return an error in the form of the provider that the path means: OpenAI's when it means none."""
    dialect = find_dialect(request.path)
    return (dialect.error if dialect is not None else _openai.print_error)(status, message, request)


def echo(request: MockRequest) -> Document:
    """Return the request itself as JSON: what reached the provider, byte for byte where it is text."""
    return json_document(
        {
            "method": request.method.decode("latin-1"),
            "target": request.target.decode("latin-1"),
            "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.headers],
            "body": request.body.decode("utf-8", "replace"),
        }
    )


def reply_to(request: MockRequest, fault: MockFault) -> Reply:
    """Return what the provider answers under a fault: the part of it that needs to know the dialect."""
    if fault.status is not None and fault.status >= 400:
        return refuse(fault.status, f"The mock provider was asked to answer {fault.status}", request)
    echoes = request.header(b"x-aigw-mock-echo") == b"1"
    reply = echo(request) if echoes else answer(dataclasses.replace(request, chunks=fault.chunks))
    return reply if fault.status is None else dataclasses.replace(reply, status=fault.status)


def answer(request: MockRequest) -> Reply:
    """Return what the provider answers; a request it cannot understand is refused in its own form."""
    dialect = find_dialect(request.path)
    method = request.method.decode("latin-1")
    if dialect is None:
        return refuse(404, f"Invalid URL ({method} {request.path})", request)
    if request.method != dialect.method:
        refusal = refuse(405, f"Not allowed to {method} on {request.path}", request)
        return Document(refusal.before, status=405, headers=((b"allow", dialect.method),))
    if dialect.method == b"GET":
        return dialect.answer(request)
    fields = decode_object(request.body)
    if fields is None:
        return refuse(400, "We could not parse the JSON body of your request: expected an object", request)
    return dialect.answer(dataclasses.replace(request, fields=fields))
