from __future__ import annotations

import pytest

from aigw_proto.gateway._usage_openai import REALTIME_EVENTS, RESPONSES_EVENTS, read_openai, read_openai_ends
from support.provider_events import (
    COMPLETED_TOKENS,
    JSON,
    RESPONSE_COMPLETED,
    RESPONSE_DONE,
    RESPONSE_TOKENS,
    SESSION_CREATED,
    TRANSCRIBED,
    compact,
)


def test_the_end_of_a_realtime_response() -> None:
    report = read_openai(compact(RESPONSE_DONE))
    assert report is not None
    assert (report.event, report.ends_turn) == ("response.done", True)
    assert (report.status, report.response_id, report.model) == ("completed", "resp_C9G8", None)
    assert report.tokens == RESPONSE_TOKENS


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete", "cancelled"])
def test_the_end_of_a_response_of_the_responses_api(status: str) -> None:
    body = {**RESPONSE_COMPLETED["response"], "status": status}
    event = {**RESPONSE_COMPLETED, "type": f"response.{status}", "response": body}
    report = read_openai(compact(event))
    assert report is not None
    assert report.event in RESPONSES_EVENTS
    assert report.ends_turn
    assert (report.status, report.response_id, report.model) == (status, "resp_68af", "gpt-5-2025-08-07")
    assert report.tokens == COMPLETED_TOKENS


def test_a_transcription_counted_in_tokens() -> None:
    report = read_openai(compact(TRANSCRIBED))
    assert report is not None
    assert report.ends_turn
    assert report.response_id == "item_7"
    assert report.tokens == {
        "transcription_total": 22,
        "transcription_input": 13,
        "transcription_input_audio": 13,
        "transcription_output": 9,
    }
    assert report.audio_seconds is None


def test_a_transcription_counted_in_seconds() -> None:
    report = read_openai(compact({**TRANSCRIBED, "usage": {"type": "duration", "seconds": 3.2}}))
    assert report is not None
    assert report.tokens == {}
    assert report.audio_seconds == 3.2


def test_a_session_names_the_model() -> None:
    report = read_openai(compact(SESSION_CREATED))
    assert report is not None
    assert not report.ends_turn
    assert report.model == "gpt-realtime-2025-08-28"


@pytest.mark.parametrize(
    "response",
    [None, 7, "text", [], {}, {"usage": None}, {"usage": 7}, {"usage": [1]}, {"id": 7, "status": [], "usage": "x"}],
)
def test_a_response_that_is_something_else_ends_the_turn_all_the_same(response: object) -> None:
    report = read_openai(compact({"type": "response.done", "response": response}))
    assert report is not None
    assert (report.ends_turn, report.status, report.response_id, report.tokens) == (True, None, None, {})


def test_one_wrong_count_costs_no_other() -> None:
    usage = {"input_tokens": "many", "output_tokens": 4, "input_token_details": 7, "output_tokens_details": None}
    report = read_openai(compact({"type": "response.done", "response": {"usage": usage}}))
    assert report is not None
    assert report.tokens == {"output": 4}


@pytest.mark.parametrize("event", [{}, {"type": 7}, {"type": "response.created"}, {"type": "rate_limits.updated"}, []])
def test_other_events(event: JSON) -> None:
    assert read_openai(compact(event)) is None


def test_every_name_that_is_looked_for_is_read() -> None:
    for name in REALTIME_EVENTS | RESPONSES_EVENTS:
        assert read_openai(compact({"type": name})) is not None


def large(event: JSON, *, last: bool = False) -> tuple[bytes, bytes]:
    """Return the ends of the event with an image in its output."""
    image = {"type": "image_generation_call", "result": "A" * 300_000}
    event = {**event, "response": {**event["response"], "output": [image, *event["response"]["output"]]}}
    message = compact(dict(reversed(event.items())) if last else event)
    return message[:512], message[-16_384:]


def test_the_ends_of_a_large_response_say_the_same() -> None:
    for event, tokens in ((RESPONSE_COMPLETED, COMPLETED_TOKENS), (RESPONSE_DONE, RESPONSE_TOKENS)):
        report = read_openai_ends(*large(event))
        assert report is not None
        assert (report.event, report.ends_turn, report.tokens) == (event["type"], True, tokens)
        assert (report.status, report.response_id) == ("completed", event["response"]["id"])


def test_the_name_may_be_at_the_end() -> None:
    report = read_openai_ends(*large(RESPONSE_COMPLETED, last=True))
    assert report is not None
    assert report.tokens == COMPLETED_TOKENS


def test_ends_that_say_less() -> None:
    report = read_openai_ends(b'{"type":"response.done","response":{', b'"metadata":null}}')
    assert report is not None
    assert (report.status, report.response_id, report.tokens) == (None, None, {})


@pytest.mark.parametrize("head", [b"", b'{"type":"response.created"', b'{"type":"session.created"', b"\xff"])
def test_the_ends_of_another_event(head: bytes) -> None:
    assert read_openai_ends(head, b'"usage":{"total_tokens":1}}}') is None
