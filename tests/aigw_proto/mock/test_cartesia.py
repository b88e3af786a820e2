from __future__ import annotations

import base64
from typing import Any

import pytest

from support.mock_bench import Bench, Client

SOUND = b"\x01\x02" * 16_000
FORMAT = {"container": "raw", "encoding": "pcm_s16le", "sample_rate": 8000}


def connect(target: str, fault: str | None = None) -> Client:
    client = Client(Bench(), target, fault=fault)
    client.bench.run()
    return client


def say(client: Client, message: object) -> list[dict[str, Any]]:
    before = len(client.events)
    client.send(message)
    return client.events[before:]


def speech(text: str, **more: object) -> dict[str, object]:
    return {"model_id": "sonic", "transcript": text, "context_id": "c", "output_format": FORMAT, **more}


def test_a_text_is_spoken_and_done() -> None:
    events = say(connect("/tts/websocket?cartesia_version=x"), speech("Hello big", add_timestamps=True))
    assert [event["type"] for event in events] == ["chunk", "timestamps", "chunk", "timestamps", "done"]
    assert {event["context_id"] for event in events} == {"c"}
    assert [event["done"] for event in events] == [False] * 4 + [True]
    assert len(base64.b64decode(events[0]["data"])) == 1600
    assert events[3]["word_timestamps"] == {"words": ["big"], "start": [0.1], "end": [0.2]}


def test_a_context_goes_on_until_it_does_not() -> None:
    client = connect("/tts/websocket")
    assert [event["type"] for event in say(client, speech("one ", **{"continue": True}))] == ["chunk"]
    flushed = say(client, speech("two ", **{"continue": True, "flush": True}))
    assert [(event["type"], event["flush_id"]) for event in flushed] == [("chunk", 1), ("flush_done", 1)]
    last = say(client, speech("", **{"continue": False}))
    assert [event["type"] for event in last] == ["done"]


@pytest.mark.parametrize(
    ("form", "size"),
    [
        ({"encoding": "pcm_f32le", "sample_rate": 44100}, 17_640),
        ({"encoding": "pcm_mulaw", "sample_rate": 8000}, 800),
        ({"sample_rate": -1}, 3200),
        ({"sample_rate": 10**30}, 3200),
        (None, 3200),
    ],
)
def test_the_rate_of_a_format(form: object, size: int) -> None:
    (chunk, _) = say(connect("/tts/websocket"), speech("word") | {"output_format": form})
    assert len(base64.b64decode(chunk["data"])) == size


def test_a_context_is_cancelled() -> None:
    client = connect("/tts/websocket", "chunk_delay=1")
    client.send(speech("one two three four five", **{"continue": True}))
    client.bench.run(2)
    client.send({"context_id": "c", "cancel": True})
    client.send({"context_id": "never", "cancel": True})
    client.bench.run(20)
    kinds = client.kinds
    assert kinds[-2:] == ["done", "done"]
    assert 0 < kinds.count("chunk") < 5


@pytest.mark.parametrize("message", ["nonsense", {"context_id": "c"}, {"transcript": 3}])
def test_what_cannot_be_spoken(message: object) -> None:
    client = connect("/tts/websocket")
    (error,) = say(client, message)
    assert (error["type"], error["status_code"], error["done"]) == ("error", 400, True)
    assert client.close is None


def test_too_many_contexts() -> None:
    client = connect("/tts/websocket")
    for index in range(64):
        say(client, speech("", **{"continue": True}) | {"context_id": str(index)})
    (error,) = say(client, speech("word"))
    assert error["type"] == "error"
    assert error["context_id"] == "c"


def test_transcription_by_command() -> None:
    client = connect("/stt/websocket?encoding=pcm_s16le&sample_rate=16000")
    assert client.messages == []
    assert say(client, SOUND) == []
    transcript, flushed = say(client, "finalize")
    assert (transcript["text"], transcript["duration"], transcript["is_final"]) == ("32000 bytes of audio", 1.0, True)
    assert transcript["words"][1] == {"word": "bytes", "start": 0.25, "end": 0.5}
    assert flushed["type"] == "flush_done"
    assert [event["type"] for event in say(client, "finalize")] == ["flush_done"]
    (error,) = say(client, "nonsense")
    assert error["type"] == "error"
    assert [event["type"] for event in say(client, '"close"')] == ["done"]
    assert client.close == (1000, "")


def test_transcription_by_turns() -> None:
    client = connect("/stt/turns/websocket?encoding=pcm_s16le&sample_rate=x")
    assert client.kinds == ["connected"]
    assert [event["type"] for event in say(client, SOUND)] == ["turn.start"]
    assert [event["type"] for event in say(client, SOUND)] == ["turn.update"]
    assert say(client, b"\x01\x02") == []
    (end,) = say(client, b"\x00" * 10)
    assert (end["type"], end["transcript"]) == ("turn.end", "64012 bytes of audio")
    assert say(client, {"type": "config", "turn": {}}) == []
    (error,) = say(client, "nonsense")
    assert error["type"] == "error"
    say(client, SOUND)
    assert [event["type"] for event in say(client, {"type": "close"})] == ["turn.end"]
    assert client.close == (1000, "")
