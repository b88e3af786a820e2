from __future__ import annotations

import json
from typing import Any

import pytest

from aigw_proto.envelopes import EnvelopeFault, ErrorCode
from aigw_proto.gateway import GatewaySettings
from aigw_proto.gateway._frames import RequestFrames, refusal


class Sink:
    def __init__(self, *, strict: bool = False, bare_errors: bool = False) -> None:
        self.texts: list[bytes] = []
        self.frames = RequestFrames(
            "e",
            "l",
            lambda chunks: self.texts.append(b"".join(chunks)),
            GatewaySettings(strict=strict, bare_errors=bare_errors),
        )

    def last(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(self.texts[-1])
        return frame


def test_a_whole_answer() -> None:
    sink = Sink()
    sink.frames.whole(200, "application/json", 2, b'{"x": 1.10}')
    assert sink.texts[0].endswith(b',"response":{"x": 1.10}}')
    assert sink.last()["metadata"] == {
        "cacheStatus": "MISS",
        "eventId": "e",
        "logId": "l",
        "step": "2",
        "contentType": "application/json",
        "status": 200,
    }


@pytest.mark.parametrize("strict", [False, True])
def test_bytes_that_are_no_text(strict: bool) -> None:
    sink = Sink(strict=strict)
    sink.frames.whole(200, "audio/mpeg", 0, b"\xff")
    assert sink.last()["response"] == "/w=="
    assert sink.last()["metadata"].get("encoding") == (None if strict else "base64")


def test_a_stream() -> None:
    sink = Sink()
    sink.frames.opened(200, "text/event-stream", 0)
    assert "response" not in sink.last()
    sink.frames.item(b"1", None)
    assert sink.last() == {"type": "universal.stream", "metadata": {"eventId": "e"}, "response": 1}
    sink.frames.item(b"2", b"name")
    assert sink.last()["metadata"] == {"eventId": "e", "event": "name"}
    sink.frames.opened(200, "application/vnd.amazon.eventstream", 0, event_key="eventType")
    sink.frames.item(b"3", b"name")
    assert sink.last()["metadata"] == {"eventId": "e", "eventType": "name"}
    sink.frames.done(200, "text/event-stream", 0)
    assert "error" not in sink.last()["metadata"]
    assert sink.frames.count == 6


def test_the_ways_a_stream_can_end() -> None:
    sink = Sink()
    sink.frames.done(200, "x", 0, error="cut")
    assert sink.last()["metadata"]["error"] == "cut"
    sink.frames.done(None, "", 0, cancelled=True)
    assert sink.last()["metadata"]["cancelled"] is True
    assert "status" not in sink.last()["metadata"]
    assert "contentType" not in sink.last()["metadata"]


@pytest.mark.parametrize(("strict", "shown"), [(False, 504), (True, 400)])
def test_an_error_of_the_gateways_own(strict: bool, shown: int) -> None:
    sink = Sink(strict=strict)
    assert sink.frames.failed(504, ErrorCode.PROVIDER_FAILED, "why", 1) == shown
    frame = sink.last()
    assert frame["type"] == "universal.created"
    assert frame["response"]["error"] == [{"code": 2005, "message": "why"}]
    assert frame["response"]["httpCode"] == shown
    assert frame["metadata"]["step"] == "1"
    assert frame["metadata"].get("status") == (None if strict else 504)


@pytest.mark.parametrize("strict", [False, True])
def test_a_refusal(strict: bool) -> None:
    fault = EnvelopeFault(429, ErrorCode.RATE_LIMITED, "too many")
    frame = json.loads(b"".join(refusal("e", "l", fault, GatewaySettings(strict=strict))))
    assert frame["response"]["internalCode"] == 2003
    metadata = {"eventId": "e", "logId": "l", "contentType": "application/json"}
    assert frame["metadata"] == (metadata if strict else metadata | {"status": 429})


def test_errors_that_cannot_be_told_apart() -> None:
    sink = Sink(bare_errors=True)
    sink.frames.failed(504, ErrorCode.PROVIDER_FAILED, "why", 1)
    assert sink.last()["metadata"] == {"contentType": "application/json"}
    sink.frames.whole(429, "text/plain", 0, b"later")
    assert sink.last()["metadata"] == {"contentType": "text/plain"}
    sink.frames.whole(200, "application/json", 0, b"{}")
    assert sink.last()["metadata"]["eventId"] == "e"
    fault = EnvelopeFault(429, ErrorCode.RATE_LIMITED, "too many")
    frame = json.loads(b"".join(refusal("e", "l", fault, GatewaySettings(bare_errors=True))))
    assert frame["metadata"] == {"contentType": "application/json"}
