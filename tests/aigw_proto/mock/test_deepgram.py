from __future__ import annotations

from typing import Any

import pytest

from support.mock_bench import Bench, Client

SECOND = b"\x01\x02" * 16_000
SILENCE = b"\x00" * 3200
LISTEN = "/v1/listen?model=nova-3&encoding=linear16&sample_rate=16000"
FLUX = "/v2/listen?model=flux-general-en&encoding=linear16&sample_rate=16000"


def connect(target: str, fault: str | None = None) -> Client:
    client = Client(Bench(), target, fault=fault)
    client.bench.run()
    return client


def say(client: Client, message: object) -> list[dict[str, Any]]:
    before = len(client.events)
    client.send(message)
    return client.events[before:]


def test_silence_makes_a_result_final() -> None:
    client = connect(LISTEN)
    assert client.messages == []
    assert say(client, SECOND) == []
    (result,) = say(client, SILENCE)
    assert (result["type"], result["is_final"], result["speech_final"]) == ("Results", True, True)
    assert (result["start"], result["duration"], result["channel_index"]) == (0.0, 1.1, [0, 1])
    (alternative,) = result["channel"]["alternatives"]
    assert alternative["transcript"] == "35200 bytes of audio"
    assert alternative["words"][0] == alternative["words"][0] | {"word": "35200", "start": 0.0, "end": 0.275}
    assert result["metadata"]["model_info"]["name"] == "nova-3"


def test_interim_results_and_events_of_the_voice() -> None:
    client = connect(LISTEN + "&interim_results=true&vad_events=true&utterance_end_ms=1000")
    (started,) = say(client, SECOND)
    assert started["type"] == "SpeechStarted"
    (interim,) = say(client, SECOND)
    assert (interim["type"], interim["is_final"], interim["speech_final"]) == ("Results", False, False)
    assert say(client, b"\x01\x02") == []
    result, end = say(client, SILENCE)
    assert result["is_final"]
    assert (end["type"], end["last_word_end"]) == ("UtteranceEnd", 2.1)


def test_the_client_finalizes_and_closes() -> None:
    client = connect(LISTEN)
    say(client, SECOND)
    (result,) = say(client, {"type": "Finalize"})
    assert (result["from_finalize"], result["speech_final"], result["is_final"]) == (True, False, True)
    (empty,) = say(client, {"type": "Finalize"})
    assert empty["channel"]["alternatives"][0] == {"transcript": "", "confidence": 0.0, "words": []}
    assert say(client, {"type": "KeepAlive"}) == []
    assert say(client, {"type": "Configure"})[0]["type"] == "ConfigureSuccess"
    say(client, SECOND)
    result, metadata = say(client, {"type": "CloseStream"})
    assert result["type"] == "Results"
    assert (metadata["type"], metadata["duration"], metadata["channels"]) == ("Metadata", 2.0, 1)
    assert metadata["created"] == "2001-09-09T01:46:40.000Z"
    assert client.close == (1000, "")


def test_an_empty_message_closes_too() -> None:
    client = connect(LISTEN)
    assert [event["type"] for event in say(client, b"")] == ["Metadata"]
    assert client.close == (1000, "")


@pytest.mark.parametrize("message", ["nonsense", {"type": "Speak"}, {}])
def test_what_a_transcription_cannot_understand(message: object) -> None:
    client = connect(LISTEN)
    (error,) = say(client, message)
    assert (error["type"], error["variant"]) == ("Error", "UNPARSABLE_CLIENT_MESSAGE")
    assert client.close is None


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("", 1.0),
        ("?encoding=mulaw&sample_rate=8000", 4.0),
        ("?encoding=linear32&sample_rate=16000&channels=2", 0.25),
        ("?sample_rate=x&channels=0", 1.0),
        ("?sample_rate=999999&channels=99", 0.005),
    ],
)
def test_the_rate_of_the_audio(query: str, seconds: float) -> None:
    client = connect("/v1/listen" + query)
    say(client, SECOND)
    assert say(client, {"type": "CloseStream"})[-1]["duration"] == pytest.approx(seconds, abs=0.001)


def test_turns() -> None:
    client = connect(FLUX + "&eager_eot_threshold=0.5")
    assert client.events == [{"type": "Connected", "request_id": client.events[0]["request_id"], "sequence_id": 0}]
    (start,) = say(client, SECOND)
    assert (start["type"], start["event"], start["turn_index"]) == ("TurnInfo", "StartOfTurn", 0)
    (update,) = say(client, SECOND)
    assert (update["event"], update["audio_window_end"]) == ("Update", 2.0)
    assert say(client, b"\x01\x02") == []
    eager, end = say(client, SILENCE)
    assert (eager["event"], end["event"]) == ("EagerEndOfTurn", "EndOfTurn")
    assert end["transcript"] == "67202 bytes of audio"
    assert [word["word"] for word in end["words"]] == end["transcript"].split()
    assert say(client, SILENCE) == []
    say(client, SECOND)
    forced = say(client, {"type": "ForceEndTurn"})
    assert (forced[-1]["event"], forced[-1]["turn_index"]) == ("EndOfTurn", 1)
    assert [event["sequence_id"] for event in client.events] == list(range(len(client.events)))


def test_turns_end_with_the_stream() -> None:
    client = connect(FLUX)
    assert say(client, {"type": "KeepAlive"}) == []
    assert say(client, {"type": "Configure"})[0]["type"] == "ConfigureSuccess"
    say(client, SECOND)
    (end,) = say(client, {"type": "CloseStream"})
    assert end["event"] == "EndOfTurn"
    assert client.close == (1000, "")


def test_what_flux_cannot_understand_is_fatal() -> None:
    client = connect(FLUX)
    (error,) = say(client, "nonsense")
    assert (error["type"], error["code"]) == ("Error", "UNPARSABLE_CLIENT_MESSAGE")
    assert client.close == (1008, "Could not deserialize last text message")


def test_text_is_spoken_when_it_is_flushed() -> None:
    client = connect("/v1/speak?model=aura-2-thalia-en&encoding=linear16&sample_rate=24000")
    (metadata,) = client.events
    assert (metadata["type"], metadata["model_name"]) == ("Metadata", "aura-2-thalia-en")
    client.send({"type": "Speak", "text": "Hello "})
    client.send({"type": "Speak", "text": "world"})
    assert len(client.frames) == 1
    client.send({"type": "Flush"})
    assert [(head, len(payload)) for head, payload in client.frames[1:3]] == [(0x82, 4800)] * 2
    assert client.frames[3] == (0x81, b'{"type":"Flushed","sequence_id":0}')
    client.send({"type": "Speak", "text": "more"})
    client.send({"type": "Close"})
    assert [head for head, _ in client.frames[4:]] == [0x82, 0x81, 0x88]


def test_speech_is_cleared() -> None:
    client = connect("/run/@cf/deepgram/aura-1", "chunk_delay=1,chunks=9")
    client.bench.run(2)
    client.send({"type": "Speak", "text": "one two three"})
    client.send({"type": "Flush"})
    client.bench.run(4)
    client.send({"type": "Speak", "text": "unsaid"})
    client.send({"type": "Clear"})
    client.send({"type": "Close"})
    client.bench.run(20)
    audio = [payload for head, payload in client.frames if head == 0x82]
    assert 0 < len(audio) < 9
    texts = [payload for head, payload in client.frames if head == 0x81]
    assert texts[-1] == b'{"type":"Cleared","sequence_id":0}'
    assert client.close == (1000, "")


@pytest.mark.parametrize("message", ["nonsense", {"type": "Speak"}, {"type": "Speak", "text": 3}, b'{"type":"Flush"}'])
def test_what_cannot_be_spoken(message: object) -> None:
    client = connect("/v1/speak")
    (warning,) = say(client, message)
    assert (warning["type"], warning["code"]) == ("Warning", "UNPARSABLE_CLIENT_MESSAGE")
