from __future__ import annotations

import base64
from typing import Any

import pytest

from aigw_proto.mock._elevenlabs import audio_rate
from support.mock_bench import Bench, Client

PATH = "/v1/text-to-speech/voice/stream-input"
MULTI = "/v1/text-to-speech/voice/multi-stream-input"


def connect(target: str, fault: str | None = None) -> Client:
    client = Client(Bench(), target, fault=fault)
    client.bench.run()
    assert client.messages == []
    return client


def say(client: Client, **message: object) -> list[dict[str, Any]]:
    before = len(client.events)
    client.send(message)
    return client.events[before:]


@pytest.mark.parametrize(
    ("name", "rate"),
    [
        ("pcm_16000", 32_000),
        ("ulaw_8000", 8_000),
        ("alaw_8000", 8_000),
        ("mp3_44100_128", 16_000),
        ("pcm_", 16_000),
        ("pcm_999999", 384_000),
        ("", 16_000),
    ],
)
def test_the_rate_of_a_format(name: str, rate: int) -> None:
    assert audio_rate(name) == rate


def test_text_is_spoken_at_its_end() -> None:
    client = connect(PATH + "?output_format=pcm_16000")
    assert say(client, text=" ", voice_settings={"stability": 0.8}) == []
    assert say(client, text="Hello big ") == []
    first, second, final = say(client, text="")
    assert len(base64.b64decode(first["audio"])) == 3200
    assert first["isFinal"] is None
    assert second["alignment"]["chars"] == ["b", "i", "g", " "]
    assert len(second["normalizedAlignment"]["charStartTimesMs"]) == 4
    assert final == {"audio": None, "isFinal": True, "normalizedAlignment": None, "alignment": None}
    assert client.close == (1000, "")


@pytest.mark.parametrize(
    ("query", "wish"), [("", {"flush": True}), ("", {"try_trigger_generation": True}), ("?auto_mode=true", {})]
)
def test_text_is_spoken_when_the_client_wants_it(query: str, wish: dict[str, object]) -> None:
    client = connect(PATH + query)
    assert len(say(client, text="Hello big world ", **wish)) == 3
    assert len(say(client, text="")) == 1


def test_the_length_on_demand() -> None:
    assert len(say(connect(PATH, "chunks=2"), text="Hello big world ", flush=True)) == 2


@pytest.mark.parametrize("path", [PATH, MULTI])
@pytest.mark.parametrize("message", ["nonsense", '{"text":3}', "[]"])
def test_what_cannot_be_read(path: str, message: str) -> None:
    client = connect(path)
    client.send(message)
    (error,) = client.events
    assert (error["error"], error["code"]) == ("invalid_input_message", 1008)
    assert client.close == (1008, error["message"])


def test_a_message_without_text() -> None:
    client = connect(PATH)
    (error,) = say(client, flush=True)
    assert error["error"] == "invalid_input_message"


def test_contexts_are_spoken_apart() -> None:
    client = connect(MULTI)
    assert say(client, text="one ", context_id="a") == []
    assert say(client, text="two three ", context_id="b") == []
    (event,) = say(client, context_id="a", flush=True)
    assert (event["contextId"], "isFinal" in event) == ("a", False)
    assert say(client, context_id="a", close_context=True) == [{"isFinal": True, "contextId": "a"}]
    assert say(client, text="four ", flush=True)[0]["contextId"] == "default"
    events = say(client, close_socket=True)
    assert [event["contextId"] for event in events] == ["b", "b", "b", "default"]
    assert client.close == (1000, "")


def test_a_context_that_speaks_at_once_and_one_that_never_was() -> None:
    client = connect(MULTI + "?auto_mode=true")
    assert len(say(client, text="Hello big ", context_id="a")) == 2
    assert say(client, context_id="z", close_context=True) == [{"isFinal": True, "contextId": "z"}]


def test_too_many_contexts() -> None:
    client = connect(MULTI)
    for index in range(64):
        assert say(client, text="x", context_id=str(index)) == []
    (error,) = say(client, text="x", context_id="another")
    assert error["error"] == "max_active_conversations"
