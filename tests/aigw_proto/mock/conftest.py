"""Shared fixtures of the mock's tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from aigw_proto._kinds import Signal
from aigw_proto.http import ServerSentEvent, SseDecoder
from aigw_proto.mock._dialects import reply_to
from aigw_proto.mock._faults import MockFault
from aigw_proto.mock._replies import Reply
from aigw_proto.mock._request import MockRequest, split_target
from aigw_proto.mock._script import SendPiece, script


@pytest.fixture
def make_request() -> Callable[..., MockRequest]:
    def make(
        target: str,
        fields: object = None,
        *,
        method: bytes = b"POST",
        body: bytes | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        number: int = 7,
    ) -> MockRequest:
        path, query = split_target(target.encode())
        return MockRequest(
            method=method,
            target=target.encode(),
            path=path,
            query=query,
            headers=list(headers),
            body=msgspec.json.encode(fields) if body is None else body,
            fields={},
            number=number,
            created=1_700_000_000,
        )

    return make


@pytest.fixture
def ask(make_request: Callable[..., MockRequest]) -> Callable[..., Reply]:
    """Return a function that takes a request as `make_request` does, and a fault, to what the provider answers."""

    def answer(target: str, fields: object = None, *, fault: MockFault | None = None, **how: object) -> Reply:
        return reply_to(make_request(target, fields, **how), MockFault() if fault is None else fault)

    return answer


@pytest.fixture
def body_of() -> Callable[[Reply], bytes]:
    """Return a function that joins the body of a reply to which nothing goes wrong."""

    def join(reply: Reply) -> bytes:
        steps = script(reply, MockFault(), method=b"POST")
        return b"".join(step.data for step in steps if isinstance(step, SendPiece))

    return join


@pytest.fixture
def events_of(body_of: Callable[[Reply], bytes]) -> Callable[[Reply], list[tuple[str, dict[str, Any]]]]:
    """Return a function that decodes a reply as server-sent events: name and JSON of each; `[DONE]` is ("done", {})."""

    def decode(reply: Reply) -> list[tuple[str, dict[str, Any]]]:
        decoder = SseDecoder()
        decoder.receive_data(body_of(reply), 0.0)
        found: list[tuple[str, dict[str, Any]]] = []
        while not isinstance(event := decoder.next_event(), Signal):
            assert isinstance(event, ServerSentEvent)
            done = event.data == b"[DONE]"
            found.append(("done", {}) if done else (event.event.decode(), json.loads(event.data)))
        return found

    return decode
