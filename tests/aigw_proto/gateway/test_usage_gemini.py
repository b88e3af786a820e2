from __future__ import annotations

import pytest

from aigw_proto.gateway._usage_gemini import GEMINI_MARKS, read_gemini, read_gemini_ends
from support.provider_events import AUDIO, GEMINI_AUDIO, GEMINI_TOKENS, GEMINI_TURN, GEMINI_USAGE, JSON, compact


def tokens_of(usage: object) -> dict[str, int]:
    report = read_gemini(compact({"serverContent": {"turnComplete": True}, "usageMetadata": usage}))
    assert report is not None
    return dict(report.tokens)


def test_the_end_of_a_turn() -> None:
    report = read_gemini(compact(GEMINI_TURN))
    assert report is not None
    assert (report.event, report.ends_turn, report.status) == ("turnComplete", True, None)
    assert report.tokens == GEMINI_TOKENS


def test_usage_beside_content_that_ends_nothing() -> None:
    report = read_gemini(compact({**GEMINI_AUDIO, "usageMetadata": GEMINI_USAGE}))
    assert report is not None
    assert (report.event, report.ends_turn) == ("usageMetadata", False)
    assert report.tokens == GEMINI_TOKENS


def test_usage_alone_or_with_a_call() -> None:
    for message in ({}, {"toolCall": {"functionCalls": [{"args": {"usageMetadata": {"totalTokenCount": 9}}}]}}):
        report = read_gemini(compact({**message, "usageMetadata": GEMINI_USAGE}))
        assert report is not None
        assert report.tokens == GEMINI_TOKENS


@pytest.mark.parametrize(
    ("content", "status"),
    [
        ({"turnComplete": True, "turnCompleteReason": "MALFORMED_FUNCTION_CALL"}, "MALFORMED_FUNCTION_CALL"),
        ({"turnComplete": True, "interrupted": True}, "interrupted"),
        ({"turnComplete": True, "turnCompleteReason": 7}, None),
    ],
)
def test_how_a_turn_ended(content: JSON, status: str | None) -> None:
    report = read_gemini(compact({"serverContent": content}))
    assert report is not None
    assert (report.ends_turn, report.status) == (True, status)


def test_an_interruption_alone() -> None:
    report = read_gemini(compact({"serverContent": {"interrupted": True}}))
    assert report is not None
    assert (report.ends_turn, report.status) == (False, "interrupted")


@pytest.mark.parametrize(
    "message",
    [
        [],
        {},
        GEMINI_AUDIO,
        {"serverContent": 7},
        {"serverContent": {"turnComplete": "true"}},
        {"usageMetadata": {}},
        {"usageMetadata": [GEMINI_USAGE]},
        {"toolCall": {"usageMetadata": GEMINI_USAGE, "turnComplete": True}},
        {"goAway": {"timeLeft": "10s"}},
    ],
)
def test_messages_that_say_nothing(message: JSON) -> None:
    assert read_gemini(compact(message)) is None


def test_thoughts_are_output() -> None:
    usage = {
        "promptTokenCount": 10,
        "toolUsePromptTokenCount": 4,
        "responseTokenCount": 20,
        "thoughtsTokenCount": 30,
        "totalTokenCount": 64,
        "cachedContentTokenCount": 6,
    }
    assert tokens_of(usage) == {
        "input": 10,
        "tool_use": 4,
        "output": 50,
        "output_reasoning": 30,
        "total": 64,
        "input_cached": 6,
    }
    assert tokens_of({**usage, "totalTokenCount": 34})["output"] == 20, "counted with the response already"


def test_details_by_modality() -> None:
    modalities = ["TEXT", "AUDIO", "IMAGE", "VIDEO", "DOCUMENT", "MODALITY_UNSPECIFIED", "SMELL", 7]
    details: list[object] = [{"modality": each, "tokenCount": index + 1} for index, each in enumerate(modalities)]
    details += [{"tokenCount": 100}, {"modality": "AUDIO"}, {"modality": "AUDIO", "tokenCount": 0}, 7, None]
    counted = {"text": 107, "audio": 2, "image": 3, "video": 4, "document": 5}
    for key, prefix in (
        ("promptTokensDetails", "input"),
        ("responseTokensDetails", "output"),
        ("cacheTokensDetails", "input_cached"),
        ("toolUsePromptTokensDetails", "tool_use"),
    ):
        assert tokens_of({key: details}) == {f"{prefix}_{kind}": count for kind, count in counted.items()}
        assert tokens_of({key: 7}) == {}


def test_vertex_calls_the_response_candidates() -> None:
    usage = {"candidatesTokenCount": 5, "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}]}
    assert tokens_of(usage) == {"output": 5, "output_audio": 5}


def test_every_message_that_says_something_has_a_mark() -> None:
    for message in (GEMINI_TURN, {"usageMetadata": GEMINI_USAGE}, {"serverContent": {"interrupted": True}}):
        assert any(mark in compact(message) for mark in GEMINI_MARKS)


def test_the_ends_of_a_large_message() -> None:
    content = {**GEMINI_AUDIO["serverContent"], "turnComplete": True}
    for message in (
        {"serverContent": content, "usageMetadata": GEMINI_USAGE},
        {"usageMetadata": GEMINI_USAGE, "serverContent": {"turnComplete": True, **GEMINI_AUDIO["serverContent"]}},
    ):
        data = compact(message)
        report = read_gemini_ends(data[:512], data[-1000:])
        assert report is not None
        assert (report.event, report.ends_turn, report.tokens) == ("turnComplete", True, GEMINI_TOKENS)
    data = compact({**GEMINI_AUDIO, "usageMetadata": GEMINI_USAGE})
    report = read_gemini_ends(data[:512], data[-1000:])
    assert report is not None
    assert (report.event, report.ends_turn, report.tokens) == ("usageMetadata", False, GEMINI_TOKENS)


@pytest.mark.parametrize("tail", [b"", AUDIO[:100].encode(), b'"usageMetadata":{}', b'"usageMetadata":{"a":{'])
def test_ends_that_say_nothing(tail: bytes) -> None:
    assert read_gemini_ends(b'{"serverContent":{', tail) is None
