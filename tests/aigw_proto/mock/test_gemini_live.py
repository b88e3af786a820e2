from __future__ import annotations

import base64
from typing import Any

import pytest

from support.mock_bench import Bench, Client

PATH = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent?key=K"
TEXT: dict[str, object] = {"generationConfig": {"responseModalities": ["TEXT"]}}
SOUND = {"data": base64.urlsafe_b64encode(b"\x01\xff" * 1600).decode(), "mimeType": "audio/pcm;rate=16000"}
SILENCE = {"data": base64.b64encode(b"\x00" * 3200).decode(), "mimeType": "audio/pcm"}


def connect(setup: dict[str, object] | None = None, *, fault: str | None = None) -> Client:
    client = Client(Bench(), PATH, fault=fault)
    client.bench.run()
    assert client.messages == []
    if setup is not None:
        client.send({"setup": {"model": "models/gemini"} | setup})
    return client


def say(client: Client, message: object) -> list[dict[str, Any]]:
    """Send a message; return what comes back."""
    before = len(client.events)
    client.send(message)
    return client.events[before:]


def content(text: str, *, complete: bool = True) -> dict[str, object]:
    return {"clientContent": {"turns": [{"role": "user", "parts": [{"text": text}]}], "turnComplete": complete}}


def texts(events: list[dict[str, Any]]) -> str:
    turns = [event["serverContent"].get("modelTurn", {"parts": [{}]}) for event in events]
    return "".join(turn["parts"][0].get("text", "") for turn in turns)


def test_json_comes_in_binary_frames() -> None:
    client = connect(TEXT)
    assert client.frames == [(0x82, b'{"setupComplete":{}}')]


def test_a_turn_in_text() -> None:
    client = connect(TEXT)
    events = say(client, content("alpha beta"))
    assert texts(events) == "You said: alpha beta"
    assert events[-2] == {"serverContent": {"generationComplete": True}}
    assert events[-1] == {
        "serverContent": {"turnComplete": True},
        "usageMetadata": {
            "promptTokenCount": 2,
            "responseTokenCount": 4,
            "totalTokenCount": 6,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 2}],
            "responseTokensDetails": [{"modality": "TEXT", "tokenCount": 4}],
        },
    }


def test_fields_in_snake_case_and_a_turn_in_parts() -> None:
    client = connect({"generation_config": {"response_modalities": ["TEXT"]}})
    turn = {"turns": [{"role": "user", "parts": [{"text": "alpha"}]}], "turn_complete": False}
    assert say(client, {"client_content": turn}) == []
    assert texts(say(client, {"client_content": {"turn_complete": True}})) == "You said: alpha"


def test_a_spoken_answer_with_transcripts() -> None:
    client = connect({"outputAudioTranscription": {}, "inputAudioTranscription": {}})
    assert say(client, {"realtimeInput": {"audio": SOUND}}) == []
    events = say(client, {"realtimeInput": {"audio": SILENCE}})
    assert events[0] == {"serverContent": {"inputTranscription": {"text": "6400 bytes of audio"}}}
    (part,) = events[1]["serverContent"]["modelTurn"]["parts"]
    assert part["inlineData"]["mimeType"] == "audio/pcm;rate=24000"
    assert len(base64.b64decode(part["inlineData"]["data"])) == 4800
    assert events[2] == {"serverContent": {"outputTranscription": {"text": "You"}}}
    usage = events[-1]["usageMetadata"]
    assert usage["promptTokensDetails"] == [{"modality": "AUDIO", "tokenCount": 5}]
    assert usage["responseTokensDetails"] == [{"modality": "AUDIO", "tokenCount": 18}]
    assert usage["totalTokenCount"] == 23


@pytest.mark.parametrize("end", [{"audioStreamEnd": True}, {"audio_stream_end": True}, {"activityEnd": {}}])
def test_the_client_ends_its_speech(end: dict[str, object]) -> None:
    detection = {"realtimeInputConfig": {"automaticActivityDetection": {"disabled": True}}}
    client = connect(TEXT | detection)
    chunks = {"mediaChunks": [SOUND, {"mimeType": "image/jpeg", "data": "AAAA"}, SILENCE]}
    assert say(client, {"realtimeInput": chunks}) == []
    assert texts(say(client, {"realtimeInput": end})) == "You said: 6400 bytes of audio"
    assert say(client, {"realtimeInput": end}) == []


def test_text_in_real_time_and_the_response_of_a_tool() -> None:
    client = connect(TEXT)
    assert texts(say(client, {"realtimeInput": {"text": "now"}})) == "You said: now"
    assert texts(say(client, {"toolResponse": {"functionResponses": []}})) == "You said: a tool's response"


@pytest.mark.parametrize("barge_in", [content("stop", complete=False), {"realtimeInput": {"audio": SOUND}}])
def test_a_client_interrupts(barge_in: dict[str, object]) -> None:
    client = connect(TEXT, fault="chunk_delay=1,chunks=9")
    client.bench.run(2)
    client.send(content("alpha"))
    client.bench.run(5)
    client.send(barge_in)
    client.bench.run(20)
    assert {"serverContent": {"interrupted": True}} in client.events
    assert {"serverContent": {"generationComplete": True}} not in client.events
    assert client.events[-1]["serverContent"] == {"turnComplete": True}
    assert 0 < client.events[-1]["usageMetadata"]["responseTokenCount"] < 9


@pytest.mark.parametrize(
    ("setup", "message", "reason"),
    [
        (None, "nonsense", "Invalid JSON payload received. Expected an object"),
        (None, {}, 'Invalid JSON payload received. Unknown name "": Cannot find field.'),
        (None, {"setup": 3}, 'Invalid JSON payload received. Unknown name "setup": Cannot find field.'),
        (None, content("alpha"), "setup must be the first message and only the first"),
        (TEXT, {"setup": {}}, "setup must be the first message and only the first"),
        (
            TEXT,
            {"realtimeInput": {"audio": {"mimeType": "audio/pcm", "data": "?"}}},
            "Invalid value at 'realtime_input.audio.data' (TYPE_BYTES), Base64 decoding failed",
        ),
    ],
)
def test_what_it_cannot_understand_closes_with_1007(
    setup: dict[str, object] | None, message: object, reason: str
) -> None:
    client = connect(setup)
    client.send(message)
    assert client.close == (1007, reason)


def test_odd_fields_read_as_empty() -> None:
    client = connect({"generationConfig": 3, "realtimeInputConfig": []})
    assert say(client, {"realtimeInput": {"audio": 3, "mediaChunks": "x"}}) == []
    assert "modelTurn" in say(client, {"clientContent": {"turns": 4, "turnComplete": True}})[0]["serverContent"]
