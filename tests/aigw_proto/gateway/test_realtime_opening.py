"""How realtime sessions open: what the provider is asked, what the client is answered, and in what time."""

from __future__ import annotations

import base64
import dataclasses

import pytest

from aigw_proto._effects import Connect, Log, SetReading
from aigw_proto._inputs import BytesReceived, ConnectFailed, ConnectFailure, LinkConnected, PeerClosed
from aigw_proto.gateway import GatewaySettings
from aigw_proto.providers import ProviderTable
from aigw_proto.ws import DeflatePolicy
from support.frames import frame
from support.relays import (
    CLIENT,
    PROVIDER,
    TEXT,
    Relay,
    close,
    cut,
    field_of,
    finished,
    flushed,
    realtime_config,
    refused,
    session,
    told,
    upgrade,
)

BASE = "/v1/acc/default"


class TestTheProvidersRequest:
    def test_is_the_clients_but_for_what_is_the_gateways(self) -> None:
        headers = [
            "Authorization: Bearer sk-own",
            "OpenAI-Beta: realtime=v1",
            "cf-aig-authorization: token",
            "cf-aig-collect-log: true",
            "Origin: https://app.example",
            "X-Stainless-Lang: python",
            "Keep-Alive: 5",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        ]
        with Relay().asked(f"{BASE}/openai/realtime?model=m&x=%2f", *headers) as play:
            assert play.request.startswith(b"GET /v1/realtime?model=m&x=%2f HTTP/1.1\r\nHost: provider\r\n")
            assert play.field("authorization") == "Bearer sk-own"
            assert play.field("openai-beta") == "realtime=v1"
            assert play.field("origin") == "https://app.example"
            assert play.field("x-stainless-lang") == "python"
            assert b"cf-aig" not in play.request
            assert play.field("keep-alive") == ""
            assert play.field("sec-websocket-extensions") == ""
            assert len(base64.b64decode(play.field("sec-websocket-key"))) == 16

    def test_offers_the_subprotocols_that_are_for_the_provider(self) -> None:
        offer = "Sec-WebSocket-Protocol: realtime, cf-aig-authorization.t, openai-insecure-api-key.sk-own"
        with Relay().asked(f"{BASE}/openai", offer) as play:
            assert play.field("sec-websocket-protocol") == "realtime, openai-insecure-api-key.sk-own"
            play.from_provider(play.accepting("Sec-WebSocket-Protocol: realtime"))
            assert field_of(play.sent(CLIENT), "sec-websocket-protocol") == "realtime"

    def test_carries_a_stored_key(self) -> None:
        settings = GatewaySettings(
            authentication=True, tokens=("gateway-token",), keys={"openai": {"default": "sk-stored"}}
        )
        play = Relay(realtime_config(settings=settings))
        with play.asked(f"{BASE}/openai?model=m", "cf-aig-authorization: gateway-token"):
            assert play.field("authorization") == "Bearer sk-stored"

    def test_offers_compression_where_the_operator_wants_it(self) -> None:
        config = realtime_config(deflate=DeflatePolicy())
        changed = config.providers.with_override("openai", deflate=True)
        assert not isinstance(changed, str)
        offer = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"
        with Relay(dataclasses.replace(config, providers=changed)).asked(f"{BASE}/openai", offer) as play:
            assert play.field("sec-websocket-extensions") == "permessage-deflate; client_max_window_bits"
            play.from_provider(play.accepting("Sec-WebSocket-Extensions: permessage-deflate"))
            answer = play.sent(CLIENT)
            assert field_of(answer, "sec-websocket-extensions") == "permessage-deflate; server_no_context_takeover"
            play.client_says(0xC1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")  # Hello (RFC 7692 section 7.2.3.1)
            assert play.sent(PROVIDER)[0] == 0xC1

    def test_goes_to_the_provider_over_tls(self) -> None:
        config = realtime_config()
        with Relay(dataclasses.replace(config, providers=ProviderTable.builtin())) as play:
            play.arrived()
            play.feed(BytesReceived(CLIENT, upgrade(f"{BASE}/openai?model=m")))
            connect = play.take(Connect)
            assert (connect.host, connect.port, connect.alpn) == ("api.openai.com", 443, ("http/1.1",))
            assert connect.tls is not None


class TestAccepting:
    def test_the_client_waits_for_the_provider(self) -> None:
        with Relay().asked() as play:
            play.wait(8.0).expect()
            play.from_provider(play.accepting("x-request-id: r-1", "Set-Cookie: a=b", "Date: now"))
            answer = play.sent(CLIENT)
            assert answer.startswith(b"HTTP/1.1 101 Switching Protocols\r\n")
            assert field_of(answer, "x-request-id") == "r-1"
            assert field_of(answer, "date") == "now"
            assert field_of(answer, "set-cookie") == ""
            assert field_of(answer, "sec-websocket-protocol") == ""
            assert len(field_of(answer, "cf-aig-log-id")) == 36

    @pytest.mark.parametrize(
        "field", ["Host: api", "Content-Length: 5", "Transfer-Encoding: chunked", "Sec-WebSocket-Foo: 1"]
    )
    def test_a_field_that_has_no_business_in_a_101(self, field: str) -> None:
        with Relay().asked() as play:
            play.from_provider(play.accepting(field, "x-request-id: r-1"))
            answer = play.sent(CLIENT)
            assert answer.startswith(b"HTTP/1.1 101 ")
            assert field_of(answer, field.partition(":")[0]) == ""
            assert field_of(answer, "x-request-id") == "r-1"

    def test_a_stored_key_in_the_providers_fields(self) -> None:
        settings = GatewaySettings(keys={"openai": {"default": "sk-stored"}})
        with Relay(realtime_config(settings=settings)).asked() as play:
            play.from_provider(play.accepting("x-you-sent: Bearer sk-stored"))
            assert field_of(play.sent(CLIENT), "x-you-sent") == "Bearer [key]"

    def test_a_frame_in_the_packet_of_the_handshake(self) -> None:
        with Relay().asked(rest=frame(TEXT, b"early") + frame(0x01, b"cut")[:-1]) as play:
            play.from_provider(play.accepting())
            play.sent(CLIENT)
            play.expect(told(PROVIDER, "text early"))
            play.from_client(frame(0x01, b"cut")[-1:]).expect(told(PROVIDER, "text… cut"))

    def test_a_frame_right_behind_the_providers_101(self) -> None:
        with Relay().asked() as play:
            play.from_provider(play.accepting(), frame(TEXT, b"session.created", masked=False))
            head, _, rest = play.sent(CLIENT).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101 ")
            assert rest == frame(TEXT, b"session.created", masked=False)

    def test_a_provider_that_accepts_and_leaves(self) -> None:
        with Relay().asked() as play:
            data = play.accepting() + frame(0x88, close(1013, "busy"), masked=False)
            head = data.index(b"\r\n\r\n") + 4
            for byte in data[: head - 1]:
                play.from_provider(bytes([byte])).expect()
            play.from_provider(data[head - 1 : head])
            assert play.sent(CLIENT).startswith(b"HTTP/1.1 101 ")
            for byte in data[head:-1]:
                play.from_provider(bytes([byte])).expect()
            play.from_provider(data[-1:]).expect(told(CLIENT, "close 1013 busy"))
            play.client_says(0x88, close(1013)).expect(told(PROVIDER, "close 1013"), flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER), session(closed_by="provider", provider_close=1013))

    def test_the_secret_that_the_client_offered_alone_is_echoed_and_not_logged(self) -> None:
        offer = "Sec-WebSocket-Protocol: cf-aig-authorization.some-token-1"
        settings = GatewaySettings(authentication=True, tokens=("some-token-1",))
        with Relay(realtime_config(settings=settings)).asked(f"{BASE}/openai?model=m", offer) as play:
            assert play.field("sec-websocket-protocol") == ""
            play.from_provider(play.accepting())
            assert field_of(play.sent(CLIENT), "sec-websocket-protocol") == "cf-aig-authorization.some-token-1"
            play.ends(CLIENT).expect(told(PROVIDER, "close 1011 the client's connection was lost"), flushed(CLIENT))
            play.ends(PROVIDER)
            play.expect(flushed(PROVIDER), session(subprotocol="cf-aig-authorization.…"))


def refusal(status: int, *headers: str, body: str = "") -> bytes:
    lines = [f"HTTP/1.1 {status} No", *headers, f"Content-Length: {len(body)}", "", body]
    return "\r\n".join(lines).encode()


class TestRefusing:
    @pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 405, 426, 429, 500, 503])
    def test_the_providers_refusal_is_the_clients(self, status: int) -> None:
        body = '{"error":"no"}'
        headers = [
            "Content-Type: application/json",
            "Retry-After: 7",
            "WWW-Authenticate: Bearer",
            "Location: https://elsewhere.example/",
            "Connection: close, x-hop",
            "X-Hop: 1",
            "cf-aig-step: 9",
        ]
        with Relay().asked() as play:
            play.from_provider(refusal(status, *headers, body=body)).expect(cut(PROVIDER))
            answer = play.sent(CLIENT)
            assert answer.startswith(f"HTTP/1.1 {status} ".encode())
            assert answer.endswith(b"\r\n\r\n" + body.encode())
            assert field_of(answer, "retry-after") == "7"
            assert field_of(answer, "www-authenticate") == "Bearer"
            assert field_of(answer, "content-length") == str(len(body))
            assert field_of(answer, "location") == field_of(answer, "x-hop") == field_of(answer, "cf-aig-step") == ""
            assert field_of(answer, "upgrade") == ("websocket" if status == 426 else "")
            assert "close" in field_of(answer, "connection")
            play.expect(finished(CLIENT))
            play.ends(CLIENT).expect(
                flushed(CLIENT),
                session(
                    status=status, closed_by="provider", error=f"the provider answered {status}", client_close=None
                ),
            )
            play.checked.finish()

    def test_a_stored_key_in_the_providers_words(self) -> None:
        settings = GatewaySettings(keys={"openai": {"default": "sk-stored"}})
        with Relay(realtime_config(settings=settings)).asked() as play:
            play.from_provider(refusal(401, "WWW-Authenticate: Bearer wrong=sk-stored", body="wrong key: sk-stored"))
            play.expect(cut(PROVIDER))
            answer = play.sent(CLIENT)
            assert answer.endswith(b"wrong key: [key]")
            assert field_of(answer, "www-authenticate") == "Bearer wrong=[key]"
            play.expect(finished(CLIENT))

    def test_a_stored_key_in_an_answer_that_is_no_http(self) -> None:
        settings = GatewaySettings(keys={"openai": {"default": "sk-stored", "spare": ""}})
        with Relay(realtime_config(settings=settings)).asked() as play:
            play.from_provider(b"HTTP/1.1 1000 sk-stored\r\n\r\n").expect(cut(PROVIDER))
            play.expect(refused(502, "HTTP/1.1 1000 [key]"), finished(CLIENT))

    @pytest.mark.parametrize(
        ("answer", "said"),
        [
            (refusal(200, body="hello"), "it is no WebSocket server: it answered 200"),
            (b"HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\n\r\n", "its handshake is not valid"),
            (b"SSH-2.0-OpenSSH_9\r\n\r\n", "is no HTTP"),
        ],
    )
    def test_what_is_no_websocket_server(self, answer: bytes, said: str) -> None:
        with Relay().asked() as play:
            play.from_provider(answer).expect(cut(PROVIDER), refused(502, said, "openai"), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=502, closed_by="gateway"))

    @pytest.mark.parametrize("clean", [True, False])
    @pytest.mark.parametrize("part", [b"", b"HTTP/1.1 10"])
    def test_a_provider_that_hangs_up(self, part: bytes, clean: bool) -> None:
        with Relay().asked() as play:
            if part:
                play.from_provider(part).expect()
            play.feed(PeerClosed(PROVIDER, clean)).expect(cut(PROVIDER))
            play.expect(refused(502, "Failed to get response from provider: openai"), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=502))

    def test_a_provider_that_cannot_be_reached(self) -> None:
        with Relay().connecting() as play:
            play.feed(ConnectFailed(PROVIDER, ConnectFailure.REFUSED, "provider:80: no"))
            assert play.take(Log).details["detail"] == "provider:80: no"
            play.expect(refused(502, "the host refused the connection"), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=502))
            play.checked.finish()

    def test_a_body_that_stalls(self) -> None:
        """What is there of it is better than nothing."""
        with Relay().asked() as play:
            play.from_provider(b"HTTP/1.1 429 Slow\r\nContent-Length: 100\r\n\r\nhalf").expect()
            play.wait(9.1).expect(cut(PROVIDER), refused(429, "\r\n\r\nhalf"), finished(CLIENT))


class TestTime:
    def test_a_connection_that_takes_too_long(self) -> None:
        with Relay().connecting() as play:
            play.wait(8.9).expect()
            play.wait(0.2).expect(cut(PROVIDER), refused(504, "no connection within"), finished(CLIENT))
            play.ends(CLIENT).expect(flushed(CLIENT), session(status=504))

    def test_an_answer_that_takes_too_long(self) -> None:
        with Relay().connecting() as play:
            play.wait(4.0).expect()
            play.feed(LinkConnected(PROVIDER))
            play.sent(PROVIDER)
            play.from_provider(b"HTTP/1.1 100 Continue\r\n\r\n").expect()
            play.wait(4.9).expect()
            play.wait(0.2).expect(cut(PROVIDER), refused(504, "no answer to the upgrade"), finished(CLIENT))

    def test_the_client_may_want_it_sooner(self) -> None:
        with Relay().connecting(f"{BASE}/openai?model=m", "cf-aig-request-timeout: 1500") as play:
            play.wait(1.4).expect()
            play.wait(0.2).expect(cut(PROVIDER), refused(504), finished(CLIENT))

    def test_the_operator_may_want_it_later(self) -> None:
        with Relay(realtime_open_timeout_seconds=60.0).asked() as play:
            play.wait(59.0).expect()
            play.from_provider(play.accepting())
            assert play.sent(CLIENT).startswith(b"HTTP/1.1 101 ")


class TestAClientThatLeaves:
    @pytest.mark.parametrize("clean", [True, False])
    @pytest.mark.parametrize("connected", [True, False])
    def test_while_the_provider_is_reached(self, connected: bool, clean: bool) -> None:
        with Relay().asked() if connected else Relay().connecting() as play:
            play.feed(PeerClosed(CLIENT, clean))
            play.expect(cut(PROVIDER), flushed(CLIENT) if clean else cut(CLIENT))
            play.expect(session(status=499, closed_by="client", client_close=None))
            play.checked.finish()

    def test_with_its_request(self) -> None:
        """The end of the client's stream comes before the engine had a turn to look at the request."""
        with Relay() as play:
            play.arrived()
            play.checked.handle(BytesReceived(CLIENT, upgrade(f"{BASE}/openai?model=m")[:-1]), play.now)
            assert play.checked.poll() is None
            play.from_client(b"\n").expect(Connect(PROVIDER, "provider", 80))
            play.ends(CLIENT).expect(cut(PROVIDER), flushed(CLIENT), session(status=499))

    def test_one_that_sends_while_it_waits_is_held_back(self) -> None:
        with Relay().asked() as play:
            play.client_says(TEXT, b"1").expect()
            play.client_says(TEXT, b"2").expect(SetReading(CLIENT, False))
            play.from_provider(play.accepting())
            play.sent(CLIENT)
            play.expect(told(PROVIDER, "text 1", "text 2"), SetReading(CLIENT, True))
