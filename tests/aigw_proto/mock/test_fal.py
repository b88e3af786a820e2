from __future__ import annotations

import json

import msgspec
import pytest

from support.mock_bench import Bench, Client


def connect(target: str, fault: str | None = None) -> Client:
    client = Client(Bench(), target, fault=fault)
    client.bench.run()
    return client


def test_a_request_is_start_body_and_end() -> None:
    client = connect("/fal-ai/flux", "chunks=3")
    assert client.messages == []
    client.send({"prompt": "alpha beta", "seed": 1})
    start, body, end = client.events
    assert start == {
        "type": "start",
        "request_id": start["request_id"],
        "status": 200,
        "headers": {"content-type": "application/json"},
    }
    assert body == {"output": "You said: alpha", "prompt": "alpha beta", "seed": 7}
    assert (end["type"], end["request_id"], end["status"]) == ("end", start["request_id"], 200)
    client.send(b'{"input":"again"}')
    assert client.events[3]["request_id"] != start["request_id"]
    assert client.events[4]["output"] == "You said: again"


def test_a_request_that_is_no_json() -> None:
    client = connect("/fal-ai/flux")
    client.send("nonsense")
    start, body, end = client.events
    assert (start["status"], end["status"]) == (422, 422)
    assert body["detail"][0]["type"] == "json_invalid"


def test_the_realtime_api_speaks_msgpack() -> None:
    client = connect("/fal-ai/lcm/realtime")
    assert client.kinds == ["x-fal-message"]
    client.send(msgspec.msgpack.encode({"prompt": "alpha", "image": b"\xff"}))
    (head, payload) = client.frames[1]
    assert head == 0x82
    output = msgspec.msgpack.decode(payload)
    assert output["output"] == "You said: alpha"
    assert len(output["images"][0]["content"]) == 1024


def test_the_realtime_api_speaks_json_to_those_who_do() -> None:
    client = connect("/fal-ai/lcm/realtime")
    client.send({"prompt": "alpha"})
    assert client.frames[1][0] == 0x81
    assert json.loads(client.messages[1])["output"] == "You said: alpha"


@pytest.mark.parametrize(
    "message", ["nonsense", b"\xc1", b"", msgspec.msgpack.encode([1]), msgspec.msgpack.encode({1: 2}), b"\x91" * 5000]
)
def test_what_the_realtime_api_cannot_understand(message: str | bytes) -> None:
    client = connect("/fal-ai/lcm/realtime")
    client.send(message)
    assert client.events[-1]["type"] == "x-fal-error"
    assert client.events[-1]["error"] == "INVALID_REQUEST"
