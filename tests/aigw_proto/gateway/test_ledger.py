"""What is written of realtime sessions: a record for each turn in every dialect, one for the session, and no secret."""

from __future__ import annotations

import json
from typing import Any

import pytest

from aigw_proto._effects import Journal, Log
from aigw_proto.gateway import GatewaySettings, SessionRecord, _observer
from aigw_proto.gateway._reading import Reader
from support.relays import (
    BINARY,
    CLIENT,
    PROVIDER,
    TEXT,
    Relay,
    close,
    cut,
    finished,
    flushed,
    realtime_config,
    refused,
    session,
    told,
    turn,
)

BASE = "/v1/acc/default"


def text(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


RESPONSE_DONE = text(
    type="response.done",
    event_id="e",
    response={
        "id": "resp_1",
        "status": "completed",
        "usage": {
            "total_tokens": 30,
            "input_tokens": 10,
            "output_tokens": 20,
            "input_token_details": {"cached_tokens": 4, "text_tokens": 3, "audio_tokens": 7},
            "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
        },
    },
)
OPENAI_TOKENS = {
    "input": 10,
    "output": 20,
    "total": 30,
    "input_cached": 4,
    "input_text": 3,
    "input_audio": 7,
    "output_text": 5,
    "output_audio": 15,
}
RESPONSE_COMPLETED = text(
    type="response.completed",
    response={
        "id": "resp_2",
        "status": "completed",
        "model": "gpt-x",
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    },
)
GEMINI_TURN = text(
    serverContent={"turnComplete": True},
    usageMetadata={"promptTokenCount": 5, "responseTokenCount": 6, "totalTokenCount": 11},
)


class TestTurns:
    @pytest.mark.parametrize(
        ("target", "head", "event", "expected"),
        [
            ("openai?model=m", TEXT, RESPONSE_DONE, {"tokens": OPENAI_TOKENS, "response_id": "resp_1", "model": "m"}),
            ("grok/v1/realtime?model=m", TEXT, RESPONSE_DONE, {"tokens": OPENAI_TOKENS}),
            (
                "openai/responses",
                TEXT,
                RESPONSE_COMPLETED,
                {"tokens": {"input": 1, "output": 2, "total": 3}, "response_id": "resp_2", "status": "completed"},
            ),
            ("google?api_key=k", BINARY, GEMINI_TURN, {"tokens": {"input": 5, "output": 6, "total": 11}}),
            ("google-ai-studio/ws/google.x", TEXT, GEMINI_TURN, {"tokens": {"input": 5, "output": 6, "total": 11}}),
            (
                "deepgram/v1/listen?model=nova-3",
                TEXT,
                text(type="Metadata", request_id="r", duration=2.5, channels=1),
                {"audio_seconds": 2.5, "tokens": {}},
            ),
            (
                "workers-ai?model=@cf/deepgram/nova-3",
                TEXT,
                text(type="Metadata", request_id="r", duration=1.5, channels=1),
                {"audio_seconds": 1.5},
            ),
            ("cartesia", TEXT, text(type="done", done=True, context_id="c", status_code=200), {"tokens": {}}),
            ("elevenlabs/v1/text-to-speech/v/stream-input", TEXT, text(audio=None, isFinal=True), {"tokens": {}}),
        ],
    )
    def test_of_each_dialect(self, target: str, head: int, event: bytes, expected: dict[str, Any]) -> None:
        with Relay().opened(f"{BASE}/{target}") as play:
            play.wait(1.0).client_says(TEXT, b'{"type":"x"}').expect(told(PROVIDER, 'text {"type":"x"}'))
            play.wait(0.5).provider_says(head, event)
            play.sent(CLIENT)
            sizes = {"client_messages": 1, "client_bytes": 12, "provider_messages": 1, "provider_bytes": len(event)}
            play.expect(turn(turn=1, duration_seconds=0.5, at_seconds=1.5, **sizes, **expected))
            play.ends(CLIENT).expect(told(PROVIDER, "close 1011 the client's connection was lost"), flushed(CLIENT))
            play.provider_says(0x88, close(1011)).ends(PROVIDER)
            tokens = expected.get("tokens", {})
            play.expect(flushed(PROVIDER), session(turns=1, tokens=tokens, provider_messages=1))

    def test_one_for_each_as_it_happens(self) -> None:
        with Relay().opened() as play:
            for number in (1, 2, 3):
                play.client_says(TEXT, b"{}").expect(told(PROVIDER, "text {}"))
                play.provider_says(TEXT, RESPONSE_DONE)
                play.sent(CLIENT)
                play.expect(turn(turn=number, tokens=OPENAI_TOKENS))
            play.ends(CLIENT)
            play.sent(PROVIDER)
            play.expect(flushed(CLIENT))
            play.ends(PROVIDER)
            sums = {kind: 3 * count for kind, count in OPENAI_TOKENS.items()}
            play.expect(flushed(PROVIDER), session(turns=3, tokens=sums))

    def test_one_that_comes_in_fragments(self) -> None:
        third = len(RESPONSE_DONE) // 3
        with Relay().opened() as play:
            play.provider_says(0x01, RESPONSE_DONE[:third])
            play.sent(CLIENT)
            play.provider_says(0x00, RESPONSE_DONE[third : 2 * third])
            play.sent(CLIENT)
            play.provider_says(0x80, RESPONSE_DONE[2 * third :])
            play.sent(CLIENT)
            play.expect(turn(tokens=OPENAI_TOKENS, provider_messages=1))

    def test_what_was_counted_before_the_end(self) -> None:
        """Usage that no turn has closed is not lost with the connection."""
        with Relay().opened(f"{BASE}/google?api_key=k") as play:
            play.provider_says(BINARY, text(usageMetadata={"totalTokenCount": 7}))
            play.sent(CLIENT)
            play.ends(PROVIDER)
            play.sent(CLIENT)
            play.expect(flushed(PROVIDER))
            play.client_says(0x88, close(1011)).expect(flushed(CLIENT), turn(tokens={"total": 7}))
            play.expect(session(tokens={"total": 7}, turns=1))

    def test_none_where_the_client_wants_none(self) -> None:
        with Relay().opened(f"{BASE}/openai?model=m", "cf-aig-collect-log: false") as play:
            play.provider_says(TEXT, RESPONSE_DONE)
            play.sent(CLIENT)
            play.ends(CLIENT)
            play.sent(PROVIDER)
            play.expect(flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER))


class TestABugOfTheObserver:
    @pytest.mark.parametrize("side", ["client", "provider"])
    def test_ends_the_observing_and_nothing_else(self, side: str, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*_: object) -> None:
            raise ZeroDivisionError

        # What the observer calls, since a compiled one cannot be broken itself.
        monkeypatch.setattr(*((_observer, "decode", fail) if side == "client" else (Reader, "read", fail)))
        with Relay().opened(f"{BASE}/openai" + ("/v1/responses" if side == "client" else "?model=m")) as play:
            play.client_says(TEXT, b"{}")
            if side == "client":
                log = play.take(Log)
                assert (log.message, type(log.exception)) == ("a session is not observed any more", ZeroDivisionError)
            play.expect(told(PROVIDER, "text {}"))
            play.provider_says(TEXT, RESPONSE_DONE)
            if side == "provider":
                assert play.take(Log).message == "a session is not observed any more"
            play.sent(CLIENT)
            play.provider_says(TEXT, b"3").expect(told(CLIENT, "text 3"))
            play.ends(CLIENT)
            play.sent(PROVIDER)
            play.expect(flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(turns=0))


class TestSecrets:
    def test_none_is_in_any_record(self) -> None:
        """Keys and tokens wherever a client can put them, and a provider that repeats them."""
        settings = GatewaySettings(
            authentication=True, tokens=("gateway-token-1",), keys={"openai": {"default": "sk-stored-key"}}
        )
        offer = "Sec-WebSocket-Protocol: realtime, cf-aig-authorization.gateway-token-1"
        play = Relay(realtime_config(settings=settings))
        with play.opened(f"{BASE}/openai?model=m", offer):
            play.provider_says(0x88, close(4001, "key sk-stored-key, token gateway-token-1"))
            play.expect(told(CLIENT, "close 4001 key [token], token [token]"))
            play.client_says(0x88, close(4001, "got sk-stored-key"))
            play.sent(PROVIDER)
            play.expect(flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER))
            entry = play.take(Journal).entry
            assert "sk-stored-key" not in repr(entry)
            assert "gateway-token-1" not in repr(entry)
            assert isinstance(entry, SessionRecord)
            assert entry.provider_reason == "key [token], token [token]"

    def test_nor_in_that_of_a_refusal(self) -> None:
        with Relay().asked(f"{BASE}/google?api_key=client-key-1") as play:
            assert b"key=client-key-1" in play.request
            play.from_provider(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").expect(cut(PROVIDER), refused(403))
            play.expect(finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT))
            assert "client-key-1" not in repr(play.take(Journal).entry)

    @pytest.mark.parametrize("item", ["bearer.some-key", "unknown-api-key.some.key"])
    def test_nor_is_what_stands_behind_the_dot_of_a_subprotocol(self, item: str) -> None:
        with Relay().asked(f"{BASE}/openai?model=m", f"Sec-WebSocket-Protocol: {item}") as play:
            play.from_provider(play.accepting(f"Sec-WebSocket-Protocol: {item}"))
            play.sent(CLIENT)
            play.ends(CLIENT)
            play.sent(PROVIDER)
            play.expect(flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(subprotocol=item.partition(".")[0] + ".…"))

    def test_nor_is_a_token_in_the_place_of_the_account(self) -> None:
        settings = GatewaySettings(authentication=True, tokens=("gateway-token-1",))
        target = "/v1/gateway-token-1/default/openai?model=m"
        play = Relay(realtime_config(settings=settings))
        with play.asked(target, "cf-aig-authorization: gateway-token-1"):
            play.from_provider(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").expect(cut(PROVIDER), refused(403))
            play.expect(finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(account="[token]"))
