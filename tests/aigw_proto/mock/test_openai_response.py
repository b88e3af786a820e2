from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aigw_proto.mock._openai_response import Asked, Response, Usage
from aigw_proto.mock._openai_session import BETA, CURRENT, Settings, Wording
from aigw_proto.mock._request import MockRequest
from aigw_proto.mock._talk import Say, say_json

Make = Callable[..., MockRequest]


def make(make_request: Make, wording: Wording, *, speaks: bool, words: tuple[str, ...] = ("a", " b")) -> Response:
    def event(kind: str, **fields: object) -> Say:
        return say_json({"type": kind, **fields})

    modality = {wording.modalities: ["audio" if speaks else "text"]}
    settings = Settings(wording, make_request("/realtime"))
    return Response("r1", Asked(words, 3, 4), event=event, wording=wording, settings=settings, fields=modality)


def play(response: Response) -> list[dict[str, Any]]:
    return [json.loads(say.data) for say in response.events("before")]


def test_usage_adds_up() -> None:
    usage = Usage(Asked(("a",), 3, 4), 1, 2).describe()
    assert (usage["input_tokens"], usage["output_tokens"], usage["total_tokens"]) == (7, 3, 10)


def test_events_of_a_text(make_request: Make) -> None:
    response = make(make_request, CURRENT, speaks=False)
    before = response.over
    events = play(response)
    assert (before, response.over) == (False, True)
    assert "".join(event.get("delta", "") for event in events) == "a b"
    assert {event["response_id"] for event in events if "response_id" in event} == {"r1"}
    assert events[3]["previous_item_id"] == "before"


def test_events_of_speech(make_request: Make) -> None:
    for wording, kind in ((CURRENT, "response.output_audio.delta"), (BETA, "response.audio.delta")):
        events = play(make(make_request, wording, speaks=True))
        assert [event["type"] for event in events].count(kind) == 2
        part = next(event["part"] for event in events if event["type"] == "response.content_part.done")
        assert part == {"type": "audio", "transcript": "a b"}


def test_a_response_that_is_cancelled_before_it_began_or_in_its_midst(make_request: Make) -> None:
    response = make(make_request, CURRENT, speaks=False)
    response.cancel("client_cancelled")
    last = play(response)[-1]["response"]
    assert (last["status"], last["usage"]["output_tokens"]) == ("cancelled", 0)
    response = make(make_request, CURRENT, speaks=False)
    events = response.events(None)
    for _ in range(6):
        next(events)
    response.cancel("turn_detected")
    *_, done = events
    described = json.loads(done.data)["response"]
    assert described["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert described["usage"]["output_tokens"] == 1
