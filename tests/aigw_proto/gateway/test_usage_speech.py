from __future__ import annotations

from collections.abc import Callable

import pytest

from aigw_proto.gateway._usage import Report
from aigw_proto.gateway._usage_speech import (
    AGENT_EVENTS,
    CARTESIA_EVENTS,
    DEEPGRAM_EVENTS,
    DEEPGRAM_MARKS,
    ELEVENLABS_MARKS,
    FAL_EVENTS,
    read_agent,
    read_cartesia,
    read_deepgram,
    read_elevenlabs,
    read_fal,
)
from support.provider_events import (
    AGENT_AUDIO,
    AGENT_RESPONSE,
    AGENT_STARTED,
    CARTESIA_CHUNK,
    CARTESIA_DONE,
    COMMITTED,
    DEEPGRAM_METADATA,
    DEEPGRAM_RESULTS,
    ELEVENLABS_AUDIO,
    ELEVENLABS_FINAL,
    FAL_END,
    FAL_START,
    FLUSHED,
    FLUX_TURN,
    JSON,
    compact,
)

Read = Callable[[bytes], Report | None]
SPEECH: JSON = {
    "type": "SpeechMetadata",
    "speech_id": "dg_sp_1",
    "audio_duration_ms": 1250,
    "input_character_count": 30,
    "billable_character_count": 28,
    "controls_applied": {},
}


def report_of(read: Read, event: JSON) -> Report:
    report = read(compact(event))
    assert report is not None
    return report


@pytest.mark.parametrize("key", ["speech_final", "from_finalize"])
def test_deepgram_ends_a_turn_with_the_last_results_of_it(key: str) -> None:
    event = {**DEEPGRAM_RESULTS, "speech_final": False, "from_finalize": False}
    assert not report_of(read_deepgram, event).ends_turn
    report = report_of(read_deepgram, {**event, key: True})
    assert (report.event, report.ends_turn) == ("Results", True)
    assert (report.response_id, report.model) == ("req-9d2", None)
    assert report.audio_until == pytest.approx(7.97)


@pytest.mark.parametrize("key", ["start", "duration"])
def test_deepgram_results_without_a_position(key: str) -> None:
    report = report_of(read_deepgram, {**DEEPGRAM_RESULTS, key: None, "metadata": 7})
    assert (report.ends_turn, report.audio_until, report.response_id) == (True, None, None)


def test_deepgram_results_that_are_not_final_count_nothing() -> None:
    assert read_deepgram(compact({**DEEPGRAM_RESULTS, "is_final": False})) is None


def test_deepgram_says_the_whole_duration_at_the_end() -> None:
    report = report_of(read_deepgram, DEEPGRAM_METADATA)
    assert (report.ends_turn, report.audio_until, report.response_id) == (True, 13.145, "req-9d2")


def test_deepgram_speech_begins_with_metadata_too() -> None:
    event = {"type": "Metadata", "request_id": "req-1", "model_name": "aura-2-thalia-en", "model_uuid": "u"}
    report = report_of(read_deepgram, event)
    assert (report.ends_turn, report.response_id, report.model) == (False, "req-1", "aura-2-thalia-en")
    for name in ("Connected", "Welcome"):
        report = report_of(read_deepgram, {"type": name, "request_id": "req-2"})
        assert (report.ends_turn, report.response_id, report.model) == (False, "req-2", None)


@pytest.mark.parametrize("name", ["Update", "StartOfTurn", "EagerEndOfTurn", "TurnResumed", "EndOfTurn"])
def test_deepgram_flux(name: str) -> None:
    report = report_of(read_deepgram, {**FLUX_TURN, "event": name})
    assert report.ends_turn == (name == "EndOfTurn")
    assert (report.audio_until, report.response_id) == (1.6, "req-flux")


def test_deepgram_without_names() -> None:
    results = {key: value for key, value in DEEPGRAM_RESULTS.items() if key != "type"}
    turn = {key: value for key, value in FLUX_TURN.items() if key != "type"}
    assert report_of(read_deepgram, results) == report_of(read_deepgram, DEEPGRAM_RESULTS)
    assert report_of(read_deepgram, turn) == report_of(read_deepgram, FLUX_TURN)
    for event in (results, turn):
        assert any(mark in compact(event) for mark in DEEPGRAM_MARKS)


def test_deepgram_ends_an_utterance_only_if_it_was_one() -> None:
    report = report_of(read_deepgram, {"type": "UtteranceEnd", "channel": [0, 2], "last_word_end": 3.1})
    assert report.ends_turn
    assert report.if_counted


def test_deepgram_speech_ends_with_flushed_or_in_its_second_version_later() -> None:
    assert report_of(read_deepgram, FLUSHED).ends_turn
    assert not report_of(read_deepgram, {"type": "Flushed", "speech_id": "dg_sp_1"}).ends_turn
    report = report_of(read_deepgram, SPEECH)
    assert (report.ends_turn, report.status, report.response_id) == (True, None, "dg_sp_1")
    assert (report.audio_seconds, report.tokens) == (1.25, {"characters": 28})


def test_deepgram_speech_that_is_broken_off() -> None:
    report = report_of(read_deepgram, {"type": "SpeechInterrupted", "audio_played_ms": 7, "metadata": SPEECH})
    assert (report.event, report.ends_turn, report.status) == ("SpeechInterrupted", True, "interrupted")
    assert (report.audio_seconds, report.tokens, report.response_id) == (1.25, {"characters": 28}, "dg_sp_1")
    report = report_of(read_deepgram, {"type": "SpeechInterrupted", "metadata": [SPEECH]})
    assert (report.ends_turn, report.audio_seconds, report.tokens) == (True, None, {})
    report = report_of(read_deepgram, {"type": "Cleared", "sequence_id": 3})
    assert (report.ends_turn, report.status) == (True, "cleared")


def test_deepgram_agent() -> None:
    report = report_of(read_deepgram, {"type": "AgentAudioDone"})
    assert report.ends_turn
    assert not report.if_counted


def test_cartesia_speech() -> None:
    report = report_of(read_cartesia, CARTESIA_DONE)
    assert (report.event, report.ends_turn) == ("done", True)
    assert (report.status, report.response_id) == ("200", "happy-monkeys")
    flushed = {"type": "flush_done", "done": False, "flush_done": True, "context_id": "c", "status_code": 206}
    assert not report_of(read_cartesia, flushed).ends_turn


def test_cartesia_transcription() -> None:
    transcript = {"type": "transcript", "is_final": True, "request_id": "r", "text": "Hello", "duration": 2.5}
    report = report_of(read_cartesia, transcript)
    assert (report.ends_turn, report.audio_seconds, report.response_id) == (False, 2.5, "r")
    assert report_of(read_cartesia, {**transcript, "is_final": False}).audio_seconds is None
    for name in ("flush_done", "done", "turn.end"):
        report = report_of(read_cartesia, {"type": name, "request_id": "r"})
        assert (report.event, report.ends_turn, report.response_id, report.status) == (name, True, "r", None)


def test_cartesia_errors_end_a_turn_when_they_are_the_last_of_it() -> None:
    error = {"type": "error", "done": True, "error": "Invalid model", "status_code": 400, "context_id": "c"}
    report = report_of(read_cartesia, error)
    assert (report.ends_turn, report.status, report.response_id) == (True, "400", "c")
    assert not report_of(read_cartesia, {**error, "done": False}).ends_turn
    assert not report_of(read_cartesia, {"type": "error", "title": "t", "status_code": 400}).ends_turn


def test_elevenlabs_speech() -> None:
    report = report_of(read_elevenlabs, ELEVENLABS_FINAL)
    assert (report.event, report.ends_turn, report.response_id) == ("isFinal", True, "ctx-1")


def test_elevenlabs_transcription() -> None:
    report = report_of(read_elevenlabs, COMMITTED)
    assert (report.event, report.ends_turn) == ("committed_transcript", True)
    started = {"message_type": "session_started", "session_id": "s-1", "config": {"model_id": "scribe_v2_realtime"}}
    report = report_of(read_elevenlabs, started)
    assert (report.ends_turn, report.response_id, report.model) == (False, "s-1", "scribe_v2_realtime")
    assert report_of(read_elevenlabs, {**started, "config": 7}).model is None


def test_elevenlabs_marks() -> None:
    for event in (ELEVENLABS_FINAL, COMMITTED, {"message_type": "session_started"}):
        assert any(mark in compact(event) for mark in ELEVENLABS_MARKS)
    assert not any(mark in compact(ELEVENLABS_AUDIO) for mark in ELEVENLABS_MARKS)


def test_elevenlabs_agent() -> None:
    report = report_of(read_agent, AGENT_RESPONSE)
    assert (report.event, report.ends_turn) == ("agent_response", True)
    report = report_of(read_agent, AGENT_STARTED)
    assert (report.ends_turn, report.response_id) == (False, "conv_123")


def test_fal() -> None:
    report = report_of(read_fal, FAL_END)
    assert (report.event, report.ends_turn, report.status, report.response_id) == ("end", True, "200", "5d76")
    report = report_of(read_fal, {"type": "x-fal-error", "error": "TIMEOUT", "reason": "idle"})
    assert (report.ends_turn, report.status) == (True, "TIMEOUT")


OTHER: list[tuple[Read, list[JSON]]] = [
    (read_deepgram, [{"type": "SpeechStarted"}, {"type": "Error", "description": "x"}, {"type": "Warning"}]),
    (read_cartesia, [CARTESIA_CHUNK, {"type": "timestamps", "done": False}, {"type": "connected"}]),
    (read_elevenlabs, [ELEVENLABS_AUDIO, {"message_type": "partial_transcript", "text": "x"}, {"isFinal": "true"}]),
    (read_agent, [AGENT_AUDIO, {"type": "ping", "ping_event": {"event_id": 1}}]),
    (read_fal, [FAL_START, {"type": "x-fal-message", "action": "ready"}, {"images": []}]),
]


@pytest.mark.parametrize(("read", "events"), OTHER)
def test_other_events(read: Read, events: list[JSON]) -> None:
    for event in [*events, {}, {"type": 7, "message_type": None}, {"type": ["done"]}]:
        assert read(compact(event)) is None
    for text in (b"", b"7", b"[1]", b"{", b'{"type":"\xff"}', b"\x82\xa4type\xa3end"):
        assert read(text) is None


@pytest.mark.parametrize(
    ("read", "names"),
    [
        (read_deepgram, DEEPGRAM_EVENTS - {"Results"}),
        (read_cartesia, CARTESIA_EVENTS),
        (read_agent, AGENT_EVENTS),
        (read_fal, FAL_EVENTS),
    ],
)
def test_every_name_that_is_looked_for_is_read(read: Read, names: frozenset[str]) -> None:
    for name in names:
        assert report_of(read, {"type": name}).event == name
