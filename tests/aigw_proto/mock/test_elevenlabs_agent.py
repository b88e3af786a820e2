from __future__ import annotations

import base64
from typing import Any

import pytest

from support.mock_bench import Bench, Client

AGENT = "/v1/convai/conversation?agent_id=a"
SCRIBE = "/v1/speech-to-text/realtime"
SOUND = base64.b64encode(b"\x01\x02" * 16_000).decode()  # a second
SILENCE = base64.b64encode(b"\x00" * 3200).decode()


def connect(target: str, fault: str | None = None) -> Client:
    client = Client(Bench(), target, fault=fault)
    client.bench.run()
    return client


def say(client: Client, **message: object) -> list[dict[str, Any]]:
    before = len(client.events)
    client.send(message)
    return client.events[before:]


def test_an_agent_introduces_itself() -> None:
    client = connect(AGENT)
    assert client.kinds == ["conversation_initiation_metadata", "ping"]
    metadata = client.events[0]["conversation_initiation_metadata_event"]
    assert metadata["conversation_id"] == "conv_mock_1"
    for kind in ("conversation_initiation_client_data", "pong", "user_activity", "contextual_update"):
        assert say(client, type=kind) == []


def test_an_agent_answers_text_and_speech() -> None:
    client = connect(AGENT)
    events = say(client, type="user_message", text="alpha")
    assert [event["type"] for event in events] == ["agent_response", "audio", "audio", "audio"]
    assert events[0]["agent_response_event"]["agent_response"] == "You said: alpha"
    audio = events[1]["audio_event"]
    assert audio["event_id"] == events[0]["agent_response_event"]["event_id"]
    assert len(base64.b64decode(audio["audio_base_64"])) == 3200
    assert say(client, user_audio_chunk=SOUND) == []
    events = say(client, user_audio_chunk=SILENCE)
    assert events[0]["user_transcription_event"]["user_transcript"] == "35200 bytes of audio"
    assert events[1]["type"] == "agent_response"


def test_an_agent_is_interrupted() -> None:
    client = connect(AGENT, "chunk_delay=1,chunks=9")
    client.bench.run(2)
    client.send({"type": "user_message", "text": "alpha"})
    client.bench.run(4)
    client.send({"user_audio_chunk": SOUND})
    client.bench.run(20)
    assert client.kinds[-1] == "interruption"
    assert 0 < client.kinds.count("audio") < 9


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("nonsense", "Invalid message received: expected a JSON object"),
        ({"type": "user_message"}, "Invalid message received: 'user_message'"),
        ({}, "Invalid message received: ''"),
        ({"user_audio_chunk": "?"}, "Invalid audio chunk: expected base64"),
    ],
)
def test_what_an_agent_cannot_understand(message: object, reason: str) -> None:
    client = connect(AGENT)
    client.send(message)
    assert client.close == (1008, reason)


def test_a_transcription_that_the_client_commits() -> None:
    client = connect(SCRIBE + "?audio_format=pcm_16000&model_id=scribe&include_timestamps=true")
    (started,) = client.events
    assert started["message_type"] == "session_started"
    assert started["config"] == {
        "sample_rate": 16000,
        "audio_format": "pcm_16000",
        "model_id": "scribe",
        "commit_strategy": "manual",
        "include_timestamps": True,
    }
    (partial,) = say(client, message_type="input_audio_chunk", audio_base_64=SOUND)
    assert partial == {"message_type": "partial_transcript", "text": "32000 bytes"}
    assert say(client, message_type="input_audio_chunk", audio_base_64=SILENCE) == []
    committed, timed = say(client, message_type="input_audio_chunk", audio_base_64="", commit=True)
    assert committed == {"message_type": "committed_transcript", "text": "35200 bytes of audio"}
    assert timed["message_type"] == "committed_transcript_with_timestamps"
    assert timed["words"][0]["end"] == 1.1


def test_a_transcription_that_silence_commits() -> None:
    client = connect(SCRIBE + "?commit_strategy=vad")
    say(client, message_type="input_audio_chunk", audio_base_64=SOUND)
    (committed,) = say(client, message_type="input_audio_chunk", audio_base_64=SILENCE)
    assert committed["message_type"] == "committed_transcript"


@pytest.mark.parametrize(
    "message", ["nonsense", {"message_type": "other"}, {"message_type": "input_audio_chunk", "audio_base_64": 3}]
)
def test_what_a_transcription_cannot_understand(message: object) -> None:
    client = connect(SCRIBE)
    client.send(message)
    assert client.events[-1]["message_type"] == "input_error"
    assert client.close is None
