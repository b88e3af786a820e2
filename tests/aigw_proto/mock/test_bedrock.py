from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping

from aigw_proto._kinds import Signal
from aigw_proto.http import EventStreamDecoder, EventStreamHeader, EventStreamMessage
from aigw_proto.mock import MockFault
from aigw_proto.mock._replies import Reply

PATH = "/model/anthropic.model-x/converse-stream"
PROMPT = {"messages": [{"role": "user", "content": [{"text": "alpha beta"}]}]}


def messages_of(body: bytes) -> Iterator[tuple[Mapping[str, EventStreamHeader], dict[str, object]]]:
    decoder = EventStreamDecoder()
    decoder.receive_data(body, 0.0)
    decoder.receive_eof(0.0)
    while not isinstance(message := decoder.next_event(), Signal):
        assert isinstance(message, EventStreamMessage)
        yield message.headers, json.loads(message.payload)


def test_stream(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    reply = ask(PATH, PROMPT)
    assert reply.content_type == b"application/vnd.amazon.eventstream"
    messages = list(messages_of(body_of(reply)))
    assert [headers[":event-type"] for headers, _ in messages] == [
        "messageStart",
        *["contentBlockDelta"] * 4,
        "contentBlockStop",
        "messageStop",
        "metadata",
    ]
    assert all(headers[":message-type"] == "event" for headers, _ in messages)
    assert messages[1][1] == {"contentBlockIndex": 0, "delta": {"text": "You"}}
    assert messages[-1][1]["usage"] == {"inputTokens": 2, "outputTokens": 4, "totalTokens": 6}


def test_errors(ask: Callable[..., Reply], body_of: Callable[[Reply], bytes]) -> None:
    body = json.loads(body_of(ask(PATH, PROMPT, fault=MockFault(status=503))))
    assert body == {"message": "The mock provider was asked to answer 503"}
