from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.mock import MockFault
from support.frames import frame
from support.mock_bench import Bench, Client

PATHS = {
    "/v1/realtime": "RealtimeTalk",
    "/realtime": "RealtimeTalk",
    "/openai/realtime": "RealtimeTalk",
    "/openai/v1/realtime/": "RealtimeTalk",
    "/proxy/openai/realtime": "RealtimeTalk",
    "/my-llm/realtime": "RealtimeTalk",
    "/v1/responses": "ResponsesTalk",
    "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent": "LiveTalk",
    "//ws/google.ai.generativelanguage.v1alpha.GenerativeService.BidiGenerateContentConstrained": "LiveTalk",
    "/ws/google.cloud.aiplatform.v1.LlmBidiService/BidiGenerateContent": "LiveTalk",
    "/v1/text-to-speech/voice/stream-input": "elevenlabs.SpeechTalk",
    "/v1/text-to-speech/voice/multi-stream-input": "MultiSpeechTalk",
    "/v1/convai/conversation": "AgentTalk",
    "/v1/speech-to-text/realtime": "ScribeTalk",
    "/tts/websocket": "cartesia.SpeechTalk",
    "/stt/websocket": "ManualTalk",
    "/stt/turns/websocket": "TurnsTalk",
    "/v1/listen": "ListenTalk",
    "/v2/listen": "FluxTalk",
    "/v1/speak": "SpeakTalk",
    "/client/v4/accounts/a/ai/run/@cf/deepgram/nova-3": "ListenTalk",
    "/client/v4/accounts/a/ai/run/@cf/deepgram/flux": "FluxTalk",
    "/client/v4/accounts/a/ai/run/@cf/deepgram/aura-2-en": "SpeakTalk",
    "/fal-ai/fast-lcm-diffusion": "RequestTalk",
    "/fal/someone/else": "RequestTalk",
    "/fal-ai/fast-lcm-diffusion/realtime": "fal.RealtimeTalk",
    "/someone/model/realtime": "fal.RealtimeTalk",
}


def talk_of(client: Client) -> str:
    engine: Any = client.bench.engine.engine
    talk: Any = engine._links[client.link]._phase._talk.__class__
    return f"{talk.__module__}.{talk.__name__}"


@pytest.mark.parametrize("path", PATHS)
def test_the_end_of_the_path_says_who_is_meant(path: str) -> None:
    bench = Bench()
    client = Client(bench, path + "?x=/echo")
    bench.run()
    assert client.status == 101
    assert talk_of(client).endswith(PATHS[path])


@pytest.mark.parametrize(("path", "name"), [("/someone/model", "RequestTalk"), ("/a/realtime", "RealtimeTalk")])
def test_the_form_of_its_key_says_that_fal_is_meant(path: str, name: str) -> None:
    bench = Bench()
    client = Client(bench, path, headers=[("Authorization", "Key id:secret")])
    bench.run()
    assert talk_of(client).endswith("_fal." + name)


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/v1/realtime", ["error", "type"]),
        ("/ws/a.BidiGenerateContent", ["error", "status"]),
        ("/v1/convai/conversation", ["detail", "status"]),
        ("/tts/websocket", ["error_code"]),
        ("/v1/listen", ["err_code"]),
        ("/run/@cf/deepgram/nova-3", ["errors"]),
        ("/fal-ai/flux", ["detail"]),
        ("/nowhere", ["error", "code"]),
    ],
)
def test_a_refusal_has_the_providers_form(path: str, shape: list[str]) -> None:
    bench = Bench()
    client = Client(bench, path, fault="status=429,retry_after=3")
    assert client.status == 429
    assert b"retry-after: 3" in client.head.lower()
    body = json.loads(client.body)
    for name in shape:
        body = body[name]
    assert bench.journal[0].status == 429


@pytest.mark.parametrize("status", [200, 204, 301, 503])
def test_a_status_keeps_the_connection_http(status: int) -> None:
    bench = Bench()
    client = Client(bench, fault=f"status={status}")
    assert client.status == status
    start = bench.sizes[client.link]
    bench.ask(link=client.link)
    assert bench.answer(client.link, start=start).status == 200


def test_an_unknown_path_and_an_invalid_upgrade() -> None:
    bench = Bench()
    client = Client(bench, "/v1/nothing")
    assert client.status == 404
    assert b"Invalid URL (WebSocket /v1/nothing)" in client.body
    old = Client(bench, headers=[("Sec-WebSocket-Version", "8")])
    assert old.status == 426
    assert b"sec-websocket-version: 13" in old.head.lower()


def test_an_upgrade_with_another_method_or_to_something_else_is_an_ordinary_request() -> None:
    bench = Bench()
    assert bench.answer(bench.ask(headers=[("Upgrade", "websocket"), ("Connection", "Upgrade")])).status == 200
    link = bench.ask("/v1/models", method="GET", headers=[("Upgrade", "h2c"), ("Connection", "Upgrade")])
    assert bench.answer(link).status == 200


@pytest.mark.parametrize("fault", ["cut_before", "bad_status_line"])
def test_faults_before_the_101(fault: str) -> None:
    bench = Bench()
    client = Client(bench, fault=fault)
    assert client.link in bench.closed
    assert b"101" not in client.received
    assert bench.outcomes() == ["cut"]


def test_a_101_without_end_and_a_late_one() -> None:
    bench = Bench(window=0)
    endless = Client(bench, fault="endless_header")
    assert endless.received.startswith(b"HTTP/1.1 101 Mock\r\nx-endless: xxx")
    late = Client(bench, fault="first_byte_delay=2")
    bench.run(1.9)
    assert not late.received
    bench.run(2.0)
    assert late.received.startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize(
    ("target", "offered", "fault", "selected"),
    [
        ("/v1/realtime", None, None, None),
        ("/v1/realtime", "realtime, openai-insecure-api-key.K", None, b"realtime"),
        ("/v1/realtime", "other", None, None),
        ("/v1/convai/conversation", "convai", None, b"convai"),
        ("/v1/listen", "token, KEY", None, b"token"),
        ("/v1/speak", "bearer,KEY", None, b"bearer"),
        ("/echo", "cf-aig-authorization.T, mine, yours", None, b"mine"),
        ("/echo", "cf-aig-authorization.T", None, None),
        ("/echo", "mine, yours", "subprotocol=yours", b"yours"),
        ("/v1/realtime", None, "subprotocol=unasked", b"unasked"),
    ],
)
def test_subprotocols(target: str, offered: str | None, fault: str | None, selected: bytes | None) -> None:
    client = Client(Bench(), target, subprotocols=offered, fault=fault)
    found = [line.partition(b": ")[2] for line in client.head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Prot")]
    assert found == ([] if selected is None else [selected])


def test_a_wrong_accept() -> None:
    right = Client(Bench()).head
    wrong = Client(Bench(), fault="bad_accept").head
    assert b"ICX+Yqv66kxgM0FcWaLWlFLwTAI=" in right
    assert b"ICX+Yqv66kxgM0FcWaLWlFLwTAI=" not in wrong


def test_an_echo_on_any_path() -> None:
    bench = Bench()
    client = Client(bench, "/v1/realtime", headers=[("x-aigw-mock-echo", "1")], behind=frame(0x81, b"hello"))
    bench.run()
    assert client.messages == [b"hello"]


def test_an_echo_that_shows_the_request_first() -> None:
    bench = Bench()
    client = Client(bench, "/a//b?c=%20", headers=[("x-aigw-mock-echo", "request"), ("X-Two", "b")])
    bench.run()
    (event,) = client.events
    assert (event["method"], event["target"]) == ("GET", "/a//b?c=%20")
    assert ["x-two", "b"] in event["headers"]
    client.send(b"then")
    assert client.messages[1] == b"then"


def test_the_operators_fault_and_its_count() -> None:
    bench = Bench(fault=MockFault(status=401, times=1, spec="status=401,times=1"))
    assert Client(bench).status == 401
    assert Client(bench).status == 101


def test_an_unreadable_fault() -> None:
    client = Client(Bench(), fault="close=9999999")
    assert client.status == 400
    assert b"close: expected a whole number from 0 to 65535" in client.body


KINDS = (
    *("session.update", "input_audio_buffer.append", "input_audio_buffer.commit", "conversation.item.create"),
    *("conversation.item.delete", "response.create", "response.cancel", "Speak", "Flush", "Clear", "KeepAlive"),
    *("Finalize", "user_message", "pong", "config", "ForceEndTurn", "Configure", "transcription_session.update"),
    *("conversation.item.retrieve", "conversation.item.truncate"),
)
NAMES = (
    *("type", "session", "item", "item_id", "audio", "text", "content", "response", "input", "setup", "clientContent"),
    *("realtimeInput", "realtime_input", "mediaChunks", "mimeType", "data", "turns", "turnComplete", "toolResponse"),
    *("context_id", "transcript", "continue", "flush", "cancel", "output_format", "encoding", "sample_rate", "model"),
    *("close_context", "close_socket", "message_type", "audio_base_64", "commit", "user_audio_chunk", "prompt"),
    *("turn_detection", "modalities", "previous_response_id", "stream_id", "instructions", "event_id", "role"),
    *("add_timestamps", "max_output_tokens", "generate", "audio_end_ms", "content_index", "metadata", "voice"),
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from([*KINDS, "AAAA", "AQID", "audio/pcm", "pcm_16000", "message", "input_audio_chunk"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=12,
)
EVENTS = st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=6)
MESSAGES = EVENTS.map(lambda event: json.dumps(event).encode()) | st.binary(max_size=20) | st.text(max_size=20)


@given(st.sampled_from([*PATHS]), st.lists(st.tuples(st.booleans(), MESSAGES), max_size=6))
def test_nothing_that_a_client_says_is_a_bug(path: str, messages: list[tuple[bool, bytes | str]]) -> None:
    bench = Bench()
    client = Client(bench, path)
    bench.run()
    for binary, message in messages:
        if client.link in bench.closed or client.link in bench.ended:
            break
        client.send_frame(0x82 if binary else 0x81, message if isinstance(message, bytes) else message.encode())
    assert not bench.logs


@pytest.mark.parametrize("path", ["/v1/realtime", "/v1/responses", "/a.BidiGenerateContent", "/fal-ai/flux"])
@pytest.mark.parametrize("depth", [50, 900, 5000])
def test_nor_is_json_that_nests_deep(path: str, depth: int) -> None:
    bench = Bench()
    client = Client(bench, path)
    for name in ("session", "item", "setup", "response", "clientContent"):
        if client.link not in bench.closed:
            deep = b'{"a":' * depth + b"1" + b"}" * depth
            client.send_frame(0x81, b'{"type":"session.update","%s":%s}' % (name.encode(), deep))
    assert not bench.logs
