from __future__ import annotations

import json
from typing import Any

import pytest

from aigw_proto.gateway._farewell import farewell
from aigw_proto.providers import Dialect

REASON = 'a session may last 60 s; "é"'


def said(dialect: Dialect, code: int = 1001) -> dict[str, Any]:
    words = farewell(dialect, code=code, reason=REASON)
    assert words is not None
    event: dict[str, Any] = json.loads(words[1])
    return event


def test_every_dialect_but_the_unknown_has_last_words() -> None:
    for dialect in Dialect:
        for code in (1001, 1009, 1011):
            assert (farewell(dialect, code=code, reason=REASON) is None) == (dialect is Dialect.UNKNOWN)


def test_they_are_text_except_with_google() -> None:
    for dialect in set(Dialect) - {Dialect.UNKNOWN}:
        words = farewell(dialect, code=1001, reason=REASON)
        assert words is not None
        assert words[0] == (dialect is not Dialect.GEMINI_LIVE)


@pytest.mark.parametrize(
    ("code", "word", "kind"),
    [
        (1001, "session_expired", "invalid_request_error"),
        (1009, "message_too_big", "invalid_request_error"),
        (1011, "internal_error", "server_error"),
    ],
)
def test_openai_realtime(code: int, word: str, kind: str) -> None:
    event = said(Dialect.OPENAI_REALTIME, code)
    assert event == {
        "type": "error",
        "event_id": "event_gateway",
        "error": {"type": kind, "code": word, "message": REASON, "param": None, "event_id": None},
    }


def test_openai_responses() -> None:
    event = said(Dialect.OPENAI_RESPONSES)
    assert (event["type"], event["status"]) == ("error", 400)
    assert event["error"] == {
        "type": "invalid_request_error",
        "code": "websocket_connection_limit_reached",
        "message": REASON,
        "param": None,
    }
    assert said(Dialect.OPENAI_RESPONSES, 1009)["status"] == 413
    assert said(Dialect.OPENAI_RESPONSES, 1009)["error"]["code"] == "message_too_big"
    assert said(Dialect.OPENAI_RESPONSES, 1011)["status"] == 500


def test_gemini() -> None:
    assert said(Dialect.GEMINI_LIVE) == {"goAway": {"timeLeft": "0s"}}


@pytest.mark.parametrize(("code", "status"), [(1001, 503), (1009, 413), (1011, 500)])
def test_cartesia(code: int, status: int) -> None:
    event = said(Dialect.CARTESIA, code)
    assert (event["type"], event["done"], event["status_code"]) == ("error", True, status)
    assert event["message"] == REASON
    assert event["error"] == f"{event['title']}: {REASON}"


def test_deepgram() -> None:
    event = said(Dialect.DEEPGRAM)
    assert (event["type"], event["description"]) == ("Error", REASON)
    assert event["variant"] == event["code"] == "SESSION_EXPIRED"


def test_elevenlabs() -> None:
    event = said(Dialect.ELEVENLABS_SPEECH)
    assert event == {"message_type": "error", "error": "session_expired", "message": REASON, "code": 1001}
    for code, kind in ((1001, "max_duration_exceeded"), (1009, "unknown"), (1011, "unknown")):
        event = said(Dialect.ELEVENLABS_AGENT, code)
        assert event == {"type": "error", "error_event": {"code": code, "error_type": kind, "message": REASON}}


def test_fal() -> None:
    assert said(Dialect.FAL) == {"type": "x-fal-error", "error": "SESSION_EXPIRED", "reason": REASON}
