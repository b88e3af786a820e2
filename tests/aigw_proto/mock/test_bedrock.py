from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Callable, Iterator

from aigw_proto.mock import MockFault
from aigw_proto.mock._replies import Reply

PATH = "/model/anthropic.claude-x/converse-stream"
PROMPT = {"messages": [{"role": "user", "content": [{"text": "alpha beta"}]}]}


def messages_of(body: bytes) -> Iterator[tuple[dict[str, str], dict[str, object]]]:
    """Read `application/vnd.amazon.eventstream` by its definition."""
    while body:
        total, header_bytes, prelude_crc = struct.unpack_from(">III", body)
        assert zlib.crc32(body[:8]) == prelude_crc
        assert struct.unpack(">I", body[total - 4 : total])[0] == zlib.crc32(body[: total - 4])
        headers: dict[str, str] = {}
        at = 12
        while at < 12 + header_bytes:
            name_end = at + 1 + body[at]
            kind, length = struct.unpack_from(">BH", body, name_end)
            assert kind == 7
            headers[body[at + 1 : name_end].decode()] = body[name_end + 3 : name_end + 3 + length].decode()
            at = name_end + 3 + length
        yield headers, json.loads(body[at : total - 4])
        body = body[total:]


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
