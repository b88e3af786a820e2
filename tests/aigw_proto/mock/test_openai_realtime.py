from __future__ import annotations

import base64
from typing import Any

import pytest

from aigw_proto.mock import MockLimits
from support.mock_bench import Bench, Client

TEXT = {"output_modalities": ["text"]}
MANUAL = {"audio": {"input": {"turn_detection": None}}}
BETA = [("OpenAI-Beta", "realtime=v1")]
SOUND = base64.b64encode(b"\x01\x02" * 4800).decode()  # 200 ms
SILENCE = base64.b64encode(b"\x00" * 4800).decode()


def connect(target: str = "/v1/realtime?model=gpt-x", **how: Any) -> Client:
    client = Client(Bench(limits=MockLimits(ping_interval_seconds=None)), target, **how)
    client.bench.run()
    return client


def say(client: Client, kind: str, **fields: object) -> list[dict[str, Any]]:
    """Send an event; return the events that come back."""
    before = len(client.events)
    client.send({"type": kind, **fields})
    return client.events[before:]


def user(text: str) -> dict[str, object]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"] for event in events]


def test_a_turn_in_text() -> None:
    client = connect()
    (created,) = client.events
    assert created["session"]["model"] == "gpt-x"
    added, done = say(client, "conversation.item.create", item=user("alpha \u00fc"))
    assert (added["type"], done["type"]) == ("conversation.item.added", "conversation.item.done")
    assert added["previous_item_id"] is None
    events = say(client, "response.create", response=TEXT)
    assert kinds(events) == [
        "response.created",
        "rate_limits.updated",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        *["response.output_text.delta"] * 4,
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ]
    assert "".join(event.get("delta", "") for event in events) == "You said: alpha \u00fc"
    assert events[3]["previous_item_id"] == added["item"]["id"]
    response = events[-1]["response"]
    assert (response["status"], response["output_modalities"]) == ("completed", ["text"])
    assert response["output"][0]["content"] == [{"type": "output_text", "text": "You said: alpha \u00fc"}]
    assert (response["usage"]["input_tokens"], response["usage"]["output_tokens"]) == (2, 4)
    ids = [event["event_id"] for event in client.events]
    assert len(set(ids)) == len(ids)


def test_a_turn_in_the_words_of_the_beta() -> None:
    client = connect(headers=BETA)
    (created,) = say(client, "conversation.item.create", item=user("alpha"))
    assert created["type"] == "conversation.item.created"
    events = say(client, "response.create", response={"modalities": ["text"]})
    assert kinds(events)[3:6] == ["conversation.item.created", "response.content_part.added", "response.text.delta"]
    assert events[-1]["response"]["modalities"] == ["text"]
    assert events[-1]["response"]["output"][0]["content"][0]["type"] == "text"
    spoken = say(client, "response.create")
    assert {"response.audio.delta", "response.audio_transcript.delta", "response.audio.done"} <= set(kinds(spoken))


def test_a_spoken_answer() -> None:
    client = connect()
    events = say(client, "response.create", response={"input": [user("alpha")], "metadata": {"a": "b"}})
    audio = [event["delta"] for event in events if event["type"] == "response.output_audio.delta"]
    assert [len(base64.b64decode(chunk)) for chunk in audio] == [4800] * 3
    transcript = [event for event in events if event["type"] == "response.output_audio_transcript.done"]
    assert transcript[0]["transcript"] == "You said: alpha"
    response = events[-1]["response"]
    assert response["usage"]["output_token_details"] == {"text_tokens": 3, "audio_tokens": 6}
    assert response["metadata"] == {"a": "b"}


def test_the_instructions_are_answered_when_nothing_was_said() -> None:
    client = connect(fault="chunks=3")
    events = say(client, "response.create", response=TEXT | {"instructions": "Tell a joke"})
    assert "".join(event.get("delta", "") for event in events) == "You said: Tell"
    say(client, "session.update", session=TEXT | {"instructions": "Be kind"})
    events = say(client, "response.create", response={"conversation": "none"})
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == "You said: Be"
    assert events[-1]["response"]["conversation_id"] is None


def test_audio_that_the_client_commits() -> None:
    client = connect()
    say(client, "session.update", session=MANUAL | TEXT)
    assert say(client, "input_audio_buffer.append", audio=SOUND) == []
    committed, added, done = say(client, "input_audio_buffer.commit")
    assert kinds([committed, added, done])[0] == "input_audio_buffer.committed"
    assert added["item"]["id"] == committed["item_id"]
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    response = say(client, "response.create")[-1]["response"]
    assert response["output"][0]["content"][0]["text"] == "You said: 9600 bytes of audio"
    assert response["usage"]["input_token_details"]["audio_tokens"] == 2
    assert response["usage"]["input_tokens"] == 2
    assert say(client, "response.create")[-1]["response"]["usage"]["input_token_details"]["audio_tokens"] == 0


def test_too_little_audio_to_commit() -> None:
    client = connect()
    (error,) = say(client, "input_audio_buffer.commit", event_id="e1")
    assert error["error"]["code"] == "input_audio_buffer_commit_empty"
    assert error["error"]["event_id"] == "e1"
    say(client, "input_audio_buffer.append", audio=SOUND)
    (cleared,) = say(client, "input_audio_buffer.clear")
    assert cleared["type"] == "input_audio_buffer.cleared"
    (error,) = say(client, "input_audio_buffer.commit")
    assert "buffer only has 0.00ms" in error["error"]["message"]


def test_silence_ends_a_turn_and_is_answered() -> None:
    client = connect()
    say(client, "session.update", session={"audio": {"input": {"transcription": {"model": "whisper-1"}}}})
    assert say(client, "input_audio_buffer.append", audio=SILENCE) == []
    (started,) = say(client, "input_audio_buffer.append", audio=SOUND)
    assert started["type"] == "input_audio_buffer.speech_started"
    assert say(client, "input_audio_buffer.append", audio=SOUND) == []
    events = say(client, "input_audio_buffer.append", audio=SILENCE)
    assert kinds(events)[:7] == [
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.created",
    ]
    assert started["item_id"] == events[1]["item_id"] == events[5]["item_id"]
    assert events[5]["usage"]["input_tokens"] == 6
    assert events[-1]["type"] == "response.done"


@pytest.mark.parametrize(
    ("target", "headers", "hello"),
    [
        ("/v1/realtime?intent=transcription", [], "session.created"),
        ("/v1/realtime?intent=transcription", BETA, "transcription_session.created"),
    ],
)
def test_a_transcription_session_gives_no_answers(target: str, headers: list[tuple[str, str]], hello: str) -> None:
    client = connect(target, headers=headers)
    assert client.kinds == [hello]
    say(client, "input_audio_buffer.append", audio=SOUND)
    events = say(client, "input_audio_buffer.append", audio=SILENCE)
    assert "response.created" not in kinds(events)
    (updated,) = say(client, "transcription_session.update", session={})
    assert updated["type"] == "transcription_session.updated"


def test_turn_detection_without_an_answer() -> None:
    client = connect()
    detection = {"create_response": False, "interrupt_response": False}
    say(client, "session.update", session={"audio": {"input": {"turn_detection": detection}}})
    say(client, "input_audio_buffer.append", audio=SOUND)
    assert "response.created" not in kinds(say(client, "input_audio_buffer.append", audio=SILENCE))


@pytest.mark.parametrize("interrupts", [True, False])
def test_speech_interrupts_a_response(interrupts: bool) -> None:
    client = connect(fault="chunk_delay=1,chunks=50")
    bench = client.bench
    bench.run(2)
    detection = {"interrupt_response": interrupts}
    say(client, "session.update", session={"audio": {"input": {"turn_detection": detection}}})
    say(client, "response.create", response=TEXT)
    bench.run(10)
    say(client, "input_audio_buffer.append", audio=SOUND)
    bench.run(100)
    response = next(event["response"] for event in client.events if event["type"] == "response.done")
    assert response["status"] == ("cancelled" if interrupts else "completed")
    if interrupts:
        assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        assert 0 < response["usage"]["output_tokens"] < 10
        assert response["output"][0]["status"] == "incomplete"


def test_a_response_is_cancelled_by_the_client() -> None:
    client = connect(fault="chunk_delay=1,chunks=50")
    bench = client.bench
    bench.run(1)
    client.send({"type": "response.create", "response": TEXT})
    client.send({"type": "response.create", "response": TEXT})
    bench.run(8)
    created = next(event for event in client.events if event["type"] == "response.created")
    client.send({"type": "response.cancel", "response_id": "another"})
    client.send({"type": "response.cancel", "response_id": created["response"]["id"]})
    client.send({"type": "response.cancel"})
    bench.run(100)
    done = [event["response"]["status"] for event in client.events if event["type"] == "response.done"]
    assert done == ["cancelled", "cancelled"]
    errors = [event["error"]["code"] for event in client.events if event["type"] == "error"]
    assert errors == ["response_cancel_not_active"]
    client.send({"type": "response.cancel"})
    client.send({"type": "response.create", "response": TEXT})
    bench.run(300)
    assert client.kinds[-1] == "response.done"
    assert client.kinds.count("error") == 2


def test_items_are_remembered_for_a_while() -> None:
    client = connect()
    item = {"id": "mine", "type": "message", "role": "user"}
    content = [{"type": "input_audio", "audio": "AAAA", "transcript": "x" * 100_000}, {"type": "input_image"}, 7]
    say(client, "conversation.item.create", item=item | {"content": content})
    (found,) = say(client, "conversation.item.retrieve", item_id="mine")
    assert found["item"]["content"][0]["audio"] is None
    assert len(found["item"]["content"][0]["transcript"]) == 64 * 1024
    (deleted,) = say(client, "conversation.item.delete", item_id="mine")
    assert deleted == deleted | {"type": "conversation.item.deleted", "item_id": "mine"}
    (error,) = say(client, "conversation.item.retrieve", item_id="mine")
    assert error["error"]["code"] == "item_retrieve_invalid_item_id"
    for index in range(40):
        say(client, "conversation.item.create", item={"id": f"i{index}", "type": "message", "role": "system"})
    assert say(client, "conversation.item.delete", item_id="i0")[0]["type"] == "error"
    assert say(client, "conversation.item.delete", item_id="i39")[0]["type"] == "conversation.item.deleted"


def test_the_output_of_a_function_is_answered() -> None:
    client = connect()
    item = {"type": "function_call_output", "call_id": "c", "output": "forty two"}
    say(client, "conversation.item.create", item=item)
    response = say(client, "response.create", response=TEXT)[-1]["response"]
    assert response["output"][0]["content"][0]["text"] == "You said: forty two"


def test_an_item_is_truncated() -> None:
    client = connect()
    (event,) = say(client, "conversation.item.truncate", item_id="x", content_index=1, audio_end_ms=300)
    assert event == event | {"item_id": "x", "content_index": 1, "audio_end_ms": 300}
    (event,) = say(client, "conversation.item.truncate", item_id="x", content_index="?", audio_end_ms=None)
    assert (event["content_index"], event["audio_end_ms"]) == (0, 0)


@pytest.mark.parametrize(
    ("event", "code", "param"),
    [
        ({}, "missing_required_parameter", "type"),
        ({"type": 3}, "missing_required_parameter", "type"),
        ({"type": "response.crate"}, "invalid_value", "type"),
        ({"type": "session.update"}, "missing_required_parameter", "session"),
        ({"type": "conversation.item.create", "item": 3}, "missing_required_parameter", "item"),
        ({"type": "conversation.item.create", "item": {}}, "missing_required_parameter", "item.type"),
        ({"type": "conversation.item.retrieve"}, "missing_required_parameter", "item_id"),
        ({"type": "conversation.item.delete"}, "missing_required_parameter", "item_id"),
        ({"type": "conversation.item.truncate"}, "missing_required_parameter", "item_id"),
        ({"type": "input_audio_buffer.append"}, "invalid_value", "audio"),
        ({"type": "input_audio_buffer.append", "audio": "?"}, "invalid_value", "audio"),
    ],
)
def test_errors_name_the_field(event: dict[str, object], code: str, param: str) -> None:
    client = connect()
    client.send(event | {"event_id": "e"})
    error = client.events[-1]["error"]
    assert (error["code"], error["param"], error["event_id"]) == (code, param, "e")
    assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("message", ["", "nonsense", "[]", b"\xff", b"{"])
def test_what_is_no_event(message: str | bytes) -> None:
    client = connect()
    client.send(message)
    assert client.events[-1]["error"]["code"] == "invalid_json"
    client.send(b'{"type":"response.create"}')
    assert client.kinds[-1] == "response.done"


def test_a_client_that_floods_it_with_questions_is_answered_in_order() -> None:
    client = Client(Bench(limits=MockLimits(max_waiting_answers=2)))
    for index in range(20):
        client.send({"type": "response.create", "response": TEXT | {"input": [user(f"n{index}")]}})
    texts = [
        event["response"]["output"][0]["content"][0]["text"]
        for event in client.events
        if event["type"] == "response.done"
    ]
    assert texts == [f"You said: n{index}" for index in range(20)]
