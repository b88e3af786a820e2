from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from typing import Any

import pytest

from aigw_proto._effects import CloseHow, CloseLink, Effect
from aigw_proto._inputs import ConnectFailed, ConnectFailure, PeerClosed
from aigw_proto._limits import SseLimits
from aigw_proto.gateway import GatewaySettings, Outcome
from aigw_proto.gateway._request import UniversalRequest
from aigw_proto.gateway._state import RequestState
from aigw_transports.memory import Faults
from support.rig import Client, Rig, gateway_config
from support.turns import END_CHUNK, STREAM_HEAD, Turns, answer, chunk, sse

HAND = "custom-hand"
RETRY: dict[str, Any] = {"maxAttempts": 3, "retryDelay": 1000, "backoff": "constant"}


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.fixture
def client(rig: Rig) -> Client:
    return rig.client()


def rig_with(*, strict: bool = False, sse: SseLimits | None = None, **limits: Any) -> Rig:
    fields = {} if sse is None else {"sse": sse}
    return Rig(config=gateway_config(settings=GatewaySettings(strict=strict), limits=limits, **fields))


def finish(rig: Rig, client: Client, event_id: str = "a") -> list[dict[str, Any]]:
    rig.run(lambda: client.ended(event_id))
    return client.of(event_id)


def steps(*providers: str, **fields: Any) -> str:
    """Return a request with one step for each provider."""
    each: dict[str, Any] = {"endpoint": "x", "headers": {}, "query": {}}
    request = [{"provider": provider, **each, **fields} for provider in providers]
    return json.dumps({"type": "universal.create", "eventId": "a", "request": request})


class TestWholeAnswers:
    @pytest.mark.parametrize(
        "body",
        [
            b'{"x": 1.10}',
            b' {"b":1,"a":2} ',
            b"[1e400, -0, 1.0000000000000000000001]",
            '{"é":"\\u00e9\\/\\ud83d\\ude00 😀"}'.encode(),
            b'"text"',
            b"null",
            b"0",
            b"{}",
        ],
    )
    def test_json_goes_through_byte_for_byte(self, rig: Rig, client: Client, body: bytes) -> None:
        client.create("a", HAND, "v1/x")
        rig.provider().answer(body)
        finish(rig, client)
        assert client.types("a") == ["created"]
        assert client.texts[0].encode().endswith(b',"response":' + body + b"}")

    @pytest.mark.parametrize(
        "query",
        [
            '{"x": 1.10, "big": 123456789012345678901234567890, "exp": 1E+400, "zero": -0}',
            '{"b":1,"a":2,"b":3}',
            '{ "tab"\t:\n "\\u00e9\\/\\"\\ud800" , "é😀":[ ] }',
            "[1,  2]",
            '"text"',
            "null",
            "1.0",
        ],
    )
    def test_the_query_reaches_the_provider_byte_for_byte(self, rig: Rig, client: Client, query: str) -> None:
        client.send(
            '{"type":"universal.create","request":{"eventId":"a","provider":"custom-hand",'
            '"endpoint":"v1/x?a=b%20c&a=1","headers":{"X-Own":"1"},"query":' + query + "}}"
        )
        provider = rig.provider()
        assert provider.bodies == [query.encode()]
        request = provider.requests[0]
        headers = dict(request.headers)
        assert request.method == b"POST"
        assert request.target == b"/v1/x?a=b%20c&a=1"
        assert headers[b"content-type"] == b"application/json"
        assert headers[b"x-own"] == b"1"
        assert headers[b"host"] == b"provider"
        provider.answer(b"{}")
        finish(rig, client)

    def test_metadata(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        rig.provider().answer(b"{}", 201, "application/json; charset=utf-8")
        metadata = finish(rig, client)[0]["metadata"]
        log_id = metadata.pop("logId")
        assert metadata == {
            "cacheStatus": "MISS",
            "eventId": "a",
            "step": "0",
            "contentType": "application/json; charset=utf-8",
            "status": 201,
        }
        assert rig.records[0].log_id == log_id

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 422, 304])
    def test_an_error_status_is_passed_through(self, rig: Rig, client: Client, status: int) -> None:
        client.create("a", HAND)
        body = b"" if status == 304 else b'{"error":{"message":"no"}}'
        rig.provider().answer(body, status)
        frame = finish(rig, client)[0]
        assert frame["type"] == "universal.created"
        assert frame["metadata"]["status"] == status
        assert frame["response"] == (json.loads(body) if body else "")
        assert [(record.outcome, record.status) for record in rig.records] == [(Outcome.DONE, status)]

    def test_binary_content_is_base64(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        rig.provider().answer(b"\xff\xfb\x00", content_type="audio/mpeg")
        frame = finish(rig, client)[0]
        assert frame["response"] == "//sA"
        assert frame["metadata"]["encoding"] == "base64"

    @pytest.mark.parametrize(
        ("body", "content_type"),
        [("grüß\n\x01", "text/plain"), ("{not json", "application/json"), ("", "application/json"), ("", "text/plain")],
    )
    def test_other_text_is_a_string(self, rig: Rig, client: Client, body: str, content_type: str) -> None:
        client.create("a", HAND)
        rig.provider().answer(body.encode(), content_type=content_type)
        frame = finish(rig, client)[0]
        assert frame["response"] == body
        assert "encoding" not in frame["metadata"]

    def test_a_json_document_under_an_event_stream_type(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.head(content_type="text/event-stream", content_length="12")
        for byte in b'\n\n{"x": 1.1}':
            provider.data(bytes([byte]))
        provider.end()
        assert finish(rig, client)[0]["response"] == {"x": 1.1}
        assert client.types("a") == ["created"]

    def test_no_content_type_and_no_content(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        rig.provider().raw(b"HTTP/1.1 204 No Content\r\n\r\n")
        frame = finish(rig, client)[0]
        assert frame["response"] == ""
        assert "contentType" not in frame["metadata"]

    def test_an_answer_that_ends_with_the_stream(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.raw(b'HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n{"x":')
        provider.raw(b"1}")
        provider.peer.close()
        assert finish(rig, client)[0]["response"] == {"x": 1}

    def test_interim_responses_are_ignored(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.raw(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n")
        rig.world.advance(1.0)
        assert not client.frames
        provider.answer(b"{}")
        assert finish(rig, client)[0]["metadata"]["status"] == 200


class TestStreams:
    def test_events_of_the_mock(self, rig: Rig, client: Client) -> None:
        client.create(
            "a", query={"model": "m", "stream": True, "messages": [{"role": "user", "content": "hello there"}]}
        )
        finish(rig, client)
        kinds = client.types("a")
        assert kinds[0] == "created"
        assert kinds[-1] == "done"
        assert set(kinds[1:-1]) == {"stream"}
        text = "".join(
            choice["delta"].get("content") or ""
            for frame in client.of("a")[1:-1]
            for choice in frame["response"]["choices"]
        )
        assert text == "You said: hello there"

    def test_every_frame(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        provider.data(b': a comment\n\nevent: ping\n: another\nid: 7\nretry: 5\ndata: {"n": 1.10}\n\n')
        provider.data(b"data: not json\n\ndata: [1,\ndata: 2]\n\n")
        provider.data(b"event: nothing\n\ndata: [DONE]\n\n")
        provider.end()
        frames = finish(rig, client)
        metadata = frames[0].pop("metadata")
        assert metadata["contentType"] == "text/event-stream"
        assert metadata["status"] == 200
        assert frames == [
            {"type": "universal.created"},
            {"type": "universal.stream", "metadata": {"eventId": "a", "event": "ping"}, "response": {"n": 1.1}},
            {"type": "universal.stream", "metadata": {"eventId": "a"}, "response": "not json"},
            {"type": "universal.stream", "metadata": {"eventId": "a"}, "response": [1, 2]},
            {"type": "universal.done", "metadata": metadata},
        ]
        assert '"response":{"n": 1.10}}' in client.texts[1]

    def test_strict_frames_have_no_other_keys(self) -> None:
        rig = rig_with(strict=True)
        client = rig.client()
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        provider.data(b"event: x\ndata: 1\n\n")
        provider.end()
        frames = finish(rig, client)
        documented = {"cacheStatus", "eventId", "logId", "step", "contentType"}
        assert set(frames[0]["metadata"]) == documented
        assert set(frames[1]["metadata"]) == {"eventId"}
        assert set(frames[2]["metadata"]) == documented

    @pytest.mark.parametrize("start", [b"", b"event: x\n", b": hello\n\n", b"id: 1\n", b"\xef\xbb\xbf\n"])
    @pytest.mark.parametrize("fields", [{"content_type": "application/json"}, {}])
    @pytest.mark.parametrize("torn", [False, True])
    def test_an_event_stream_under_another_type(
        self, rig: Rig, client: Client, start: bytes, fields: dict[str, Any], torn: bool
    ) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.head(transfer_encoding="chunked", **fields)
        start += b"data: 1\n\n"
        for piece in [start[n : n + 1] for n in range(len(start))] if torn else [start]:
            provider.data(piece)
        rig.run(lambda: len(client.frames) == 2)
        provider.end()
        finish(rig, client)
        assert client.types("a") == ["created", "stream", "done"]

    def test_lines_of_json(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.head(content_type="application/x-ndjson", transfer_encoding="chunked")
        provider.data(b'{"n":1}\r\n\n{"n":')
        provider.data(b"2}")
        provider.end()
        frames = finish(rig, client)
        assert [frame["response"] for frame in frames[1:-1]] == [{"n": 1}, {"n": 2}]
        assert frames[0]["metadata"]["contentType"] == "application/x-ndjson"

    def test_aws_event_stream(self, rig: Rig, client: Client) -> None:
        client.create("a", "custom-mock", "model/m/converse-stream", query={"messages": []})
        frames = finish(rig, client)
        assert client.types("a")[0] == "created"
        assert client.types("a")[-1] == "done"
        assert "messageStart" in {frame["metadata"].get("eventType") for frame in frames}

    def test_an_unterminated_last_event_of_a_whole_stream_is_delivered(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        provider.data(b"data: 1\n\ndata: 2")
        provider.end()
        assert [frame["response"] for frame in finish(rig, client)[1:-1]] == [1, 2]

    def test_an_empty_stream(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        provider.end()
        finish(rig, client)
        assert client.types("a") == ["created", "done"]
        record = rig.records[0]
        assert (record.streamed, record.frames, record.outcome) == (True, 2, Outcome.DONE)

    def test_torn_at_every_byte_by_the_network(self) -> None:
        rig = Rig(faults=Faults(max_read_bytes=1))
        client = rig.client()
        client.create("a", query={"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]})
        finish(rig, client)
        assert client.types("a")[-1] == "done"
        assert "error" not in client.of("a")[-1]["metadata"]


class TestBrokenAnswers:
    def test_cut_within_a_stream(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        provider.event(b"1")
        provider.data(b"data: 2\n\ndata: 3")
        provider.peer.close()
        frames = finish(rig, client)
        assert [frame["response"] for frame in frames[1:-1]] == [1, 2]
        assert frames[-1]["type"] == "universal.done"
        assert "custom-hand: " in frames[-1]["metadata"]["error"]
        assert frames[-1]["metadata"]["status"] == 200
        record = rig.records[0]
        assert (record.outcome, record.status, record.frames) == (Outcome.ERROR, 200, 4)
        assert record.error == frames[-1]["metadata"]["error"]

    def test_reset_within_a_stream_that_ends_with_the_connection(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.raw(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: 1\n\n")
        rig.run(lambda: len(client.frames) == 2)
        provider.peer.reset()
        assert "reset" in finish(rig, client)[-1]["metadata"]["error"]

    def test_reset_within_a_body_that_ends_with_the_connection(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n{}")
        rig.world.advance(1.0)
        provider.peer.reset()
        frame = finish(rig, client)[0]
        assert frame["metadata"]["status"] == 502
        assert frame["response"]["internalCode"] == 2005

    @pytest.mark.parametrize("body", [b'{"x":', b""])
    def test_cut_within_a_document(self, rig: Rig, client: Client, body: bytes) -> None:
        client.create("a", HAND, config=RETRY)
        provider = rig.provider()
        provider.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n" + body)
        provider.peer.close()
        frame = finish(rig, client)[0]
        assert frame["type"] == "universal.created"
        assert frame["metadata"]["status"] == frame["response"]["httpCode"] == 502
        assert frame["response"]["internalCode"] == 2005
        assert rig.records[0].attempts == 1  # the provider had begun to answer: the step was committed

    def test_more_than_the_length_says_is_cut_off(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        first = rig.provider()
        first.raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}HTTP/1.1 200 OK")
        assert finish(rig, client)[0]["response"] == {}
        client.create("b", HAND)
        rig.provider(1).answer(b"1")  # the first connection is of no further use
        finish(rig, client, "b")

    def test_a_content_coding_that_was_not_asked_for(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        assert dict(provider.requests[0].headers)[b"accept-encoding"] == b"identity"
        provider.answer(b"\x1f\x8b", content_encoding="gzip")
        frame = finish(rig, client)[0]
        assert frame["metadata"]["status"] == 502
        assert "gzip" in frame["response"]["message"]
        assert rig.records[0].attempts == 1

    def test_an_error_in_a_content_coding_lets_the_next_step_follow(self, rig: Rig, client: Client) -> None:
        client.send(steps(HAND, HAND))
        rig.provider().answer(b"\x1f\x8b", 500, content_encoding="gzip")
        rig.provider(1).answer(b"1", content_encoding="identity")
        frame = finish(rig, client)[0]
        assert (frame["response"], frame["metadata"]["step"]) == (1, "1")

    @pytest.mark.parametrize("status", [200, 500])
    def test_an_answer_that_is_too_large(self, status: int) -> None:
        rig = rig_with(max_response_bytes=1000)
        client = rig.client()
        client.create("a", HAND)
        provider = rig.provider()
        provider.head(status, content_type="application/json", transfer_encoding="chunked")
        provider.data(b"[" + b"1," * 600)
        frame = finish(rig, client)[0]
        assert frame["metadata"]["status"] == 502
        assert "larger than 1000 bytes" in frame["response"]["message"]
        assert frame["response"]["internalCode"] == (90011 if status == 200 else 2005)
        rig.run(lambda: provider.peer.broken)

    def test_a_line_that_is_too_long(self) -> None:
        rig = rig_with(sse=SseLimits(max_line_bytes=100, max_event_bytes=100))
        client = rig.client()
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        provider.event(b"1")
        provider.data(b"data: " + b"x" * 200)
        frames = finish(rig, client)
        assert [frame["response"] for frame in frames[1:-1]] == [1]
        assert "longer than 100" in frames[-1]["metadata"]["error"]
        rig.run(lambda: provider.peer.broken)

    @pytest.mark.parametrize(
        "garbage",
        [
            b"SSH-2.0-OpenSSH\r\n\r\n",
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            b"HTTP/2.0 200 OK\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
            b"\x16\x03\x01",
        ],
    )
    def test_an_answer_that_is_not_http(self, rig: Rig, client: Client, garbage: bytes) -> None:
        client.create("a", HAND)
        rig.provider().raw(garbage)
        assert finish(rig, client)[0]["metadata"]["status"] == 502

    def test_bad_chunking_within_a_stream(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        provider.event(b"1")
        provider.raw(b"zz\r\n")
        assert "error" in finish(rig, client)[-1]["metadata"]

    def test_an_endless_head(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.raw(b"HTTP/1.1 200 OK\r\n" + b"x-filler: 1234567890\r\n" * 5000)
        assert finish(rig, client)[0]["metadata"]["status"] == 502


class TestTries:
    def test_a_retry_that_succeeds(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND, config=RETRY)
        provider = rig.provider()
        provider.answer(b"{}", 500)
        started = rig.world.time
        rig.provider(0, requests=2).answer(b"1")
        assert 1.0 <= rig.world.time - started < 1.1
        frame = finish(rig, client)[0]
        assert frame["response"] == 1
        assert frame["metadata"]["step"] == "0"
        assert rig.records[0].attempts == 2

    @pytest.mark.parametrize(("backoff", "delays"), [("constant", [1, 1]), ("linear", [1, 2]), ("exponential", [1, 2])])
    def test_delays(self, rig: Rig, client: Client, backoff: str, delays: list[int]) -> None:
        client.create("a", HAND, config=RETRY | {"backoff": backoff})
        times: list[float] = []
        for number in range(3):
            provider = rig.provider(0, requests=number + 1)
            times.append(rig.world.time)
            provider.answer(b'{"n":%d}' % number, 503)
        assert [round(later - earlier) for earlier, later in itertools.pairwise(times)] == delays
        frame = finish(rig, client)[0]
        assert (frame["response"], frame["metadata"]["status"]) == ({"n": 2}, 503)
        assert (rig.records[0].attempts, rig.records[0].outcome) == (3, Outcome.DONE)

    def test_retry_after(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND, config=RETRY)
        rig.provider().answer(b"{}", 429, retry_after="20")
        started = rig.world.time
        rig.provider(0, requests=2).answer(b"1")
        assert 20.0 <= rig.world.time - started < 20.1

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 302])
    def test_a_refusal_is_final(self, rig: Rig, client: Client, status: int) -> None:
        client.create("a", HAND, config=RETRY)
        rig.provider().answer(b'"no"', status)
        assert finish(rig, client)[0]["metadata"]["status"] == status
        assert rig.records[0].attempts == 1

    def test_settings_of_the_upgrade_and_of_the_gateway(self) -> None:
        rig = Rig()
        client = rig.client(headers=[(b"cf-aig-max-attempts", b"2"), (b"cf-aig-retry-delay", b"3000")])
        client.create("a", HAND)
        rig.provider().answer(b"{}", 500)
        started = rig.world.time
        rig.provider(0, requests=2).answer(b'"x"', 500)
        assert 3.0 <= rig.world.time - started < 3.1
        assert finish(rig, client)[0]["response"] == "x"

    def test_without_settings_there_is_one_try(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        rig.provider().answer(b'"x"', 500)
        finish(rig, client)
        assert rig.records[0].attempts == 1

    @pytest.mark.parametrize("status", [400, 401, 500])
    def test_fallback_on_any_status(self, rig: Rig, client: Client, status: int) -> None:
        client.send(steps(HAND, "custom-mock", endpoint="chat/completions", query={"model": "m", "messages": []}))
        rig.provider().answer(b'"x"', status)
        frame = finish(rig, client)[0]
        assert frame["metadata"]["step"] == "1"
        assert frame["metadata"]["status"] == 200
        record = rig.records[0]
        assert (record.step, record.provider, record.attempts) == (1, "custom-mock", 2)

    def test_fallback_when_nobody_is_there(self, rig: Rig, client: Client) -> None:
        client.send(steps("custom-gone", HAND, HAND))
        rig.listener.closed = True
        rig.run(lambda: bool(rig.world.trace and "ConnectFailed" in "".join(rig.world.trace)))
        frame = finish(rig, client)[0]
        assert (frame["metadata"]["status"], frame["metadata"]["step"]) == (502, "2")
        assert "refused" in frame["response"]["message"]
        assert frame["response"]["internalCode"] == 2005
        assert rig.records[0].attempts == 3

    def test_an_unresolvable_name(self, rig: Rig, client: Client) -> None:
        client.create("a", "custom-gone")
        frame = finish(rig, client)[0]
        assert "does not resolve" in frame["response"]["message"]
        assert (rig.records[0].outcome, rig.records[0].status) == (Outcome.ERROR, 502)

    def test_strict_errors_have_the_status_of_the_documented_service(self) -> None:
        rig = rig_with(strict=True)
        client = rig.client()
        client.create("a", "custom-gone")
        frame = finish(rig, client)[0]
        assert frame["response"]["httpCode"] == 400
        assert frame["response"]["internalCode"] == 2005
        assert "status" not in frame["metadata"]
        assert rig.records[0].status == 400

    def test_all_steps_fail_with_an_answer_somewhere(self, rig: Rig, client: Client) -> None:
        client.send(steps(HAND, HAND, "custom-gone"))
        rig.provider().answer(b'"first"', 500)
        rig.provider(0, requests=2).answer(b'"second"', 418, "application/teapot")
        frame = finish(rig, client)[0]
        assert frame["response"] == "second"
        assert frame["metadata"]["status"] == 418
        assert frame["metadata"]["step"] == "1"
        assert frame["metadata"]["contentType"] == "application/teapot"

    def test_an_error_answer_that_breaks_off_falls_back(self, rig: Rig, client: Client) -> None:
        client.send(steps(HAND, HAND))
        rig.provider().raw(b"HTTP/1.1 500 X\r\ncontent-length: 9\r\n\r\nabc")
        rig.providers[0].peer.close()
        rig.provider(1).answer(b"1")
        assert finish(rig, client)[0]["response"] == 1

    def test_an_error_answer_may_have_an_event_stream_type(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        rig.provider().answer(b"data: 1\n\n", 400, "text/event-stream")
        assert finish(rig, client)[0]["response"] == "data: 1\n\n"

    def test_error_answers_that_do_not_fit_are_not_kept(self) -> None:
        rig = rig_with(max_buffered_response_bytes=1000)
        client = rig.client()
        client.send(steps(HAND, HAND, "custom-gone"))
        rig.provider().answer(b'"' + b"x" * 600 + b'"', 500)
        rig.provider(0, requests=2).answer(b'"' + b"y" * 1200 + b'"', 500)
        frame = finish(rig, client)[0]
        assert frame["metadata"]["status"] == 502
        assert "does not resolve" in frame["response"]["message"]

    def test_the_last_error_answer_is_delivered_whatever_its_size(self) -> None:
        rig = rig_with(max_buffered_response_bytes=1000)
        client = rig.client()
        client.create("a", HAND)
        rig.provider().answer(b'"' + b"y" * 1200 + b'"', 500)
        assert len(finish(rig, client)[0]["response"]) == 1200


class TestTimeouts:
    @pytest.mark.parametrize(("strict", "status"), [(False, 504), (True, 400)])
    def test_no_answer_in_time(self, strict: bool, status: int) -> None:
        rig = rig_with(strict=strict)
        client = rig.client()
        client.create("a", HAND, config={"requestTimeout": 2000})
        provider = rig.provider()
        started = rig.world.time
        frame = finish(rig, client)[0]
        assert 1.9 < rig.world.time - started < 2.1
        assert frame["response"]["httpCode"] == status
        assert frame["response"]["internalCode"] == 2005
        assert (rig.records[0].status, rig.records[0].outcome) == (status, Outcome.ERROR)
        rig.run(lambda: provider.peer.broken)

    def test_a_timeout_falls_back(self, rig: Rig, client: Client) -> None:
        client.send(steps(HAND, HAND, config={"requestTimeout": 2000}))
        rig.provider()
        rig.provider(1).answer(b"1")
        assert finish(rig, client)[0]["metadata"]["step"] == "1"

    def test_the_last_retry_is_not_cut(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND, config={"requestTimeout": 2000, "maxAttempts": 2, "retryDelay": 0})
        rig.provider()
        provider = rig.provider(1)
        rig.world.advance(100.0)
        assert not client.frames
        provider.answer(b"1")
        assert finish(rig, client)[0]["response"] == 1

    def test_the_gateways_own_limit(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        started = rig.world.time
        assert finish(rig, client)[0]["metadata"]["status"] == 504
        assert round(rig.world.time - started) == 600

    def test_a_provider_that_cannot_be_reached_in_time(self) -> None:
        rig = Rig()
        rig.listener.faults = Faults(silent=True)
        client = rig.client()
        client.create("a", HAND)
        started = rig.world.time
        frame = finish(rig, client)[0]
        assert frame["metadata"]["status"] == 504
        assert "no connection within 10 s" in frame["response"]["message"]
        assert round(rig.world.time - started) == 10

    def test_timing_out_while_connecting(self) -> None:
        rig = Rig()
        rig.listener.faults = Faults(silent=True)
        client = rig.client()
        client.create("a", HAND, config={"requestTimeout": 500})
        started = rig.world.time
        assert finish(rig, client)[0]["metadata"]["status"] == 504
        assert rig.world.time - started < 0.6

    def test_silence_within_an_answer(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        for number in range(4):
            provider.event(b"%d" % number)
            rig.world.advance(200.0)
        started = rig.world.time - 200.0
        frames = finish(rig, client)
        assert len(frames) == 6
        assert "silent for 300 s" in frames[-1]["metadata"]["error"]
        assert round(rig.world.time - started) == 300

    def test_silence_within_a_document(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        rig.provider().raw(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n1")
        assert finish(rig, client)[0]["metadata"]["status"] == 502

    def test_silence_right_after_the_head(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        rig.provider().stream()
        assert finish(rig, client)[0]["metadata"]["status"] == 502

    def test_silence_of_the_client_is_not_the_providers(self) -> None:
        rig = rig_with(stuck_timeout_seconds=10_000.0, client_high_water_bytes=1000, client_low_water_bytes=100)
        client = rig.client(faults=Faults(buffer_bytes=100))
        client.create("a", HAND)
        provider = rig.provider()
        provider.stream()
        provider.event(b"0")
        rig.run(lambda: bool(client.frames))
        client.peer.set_reading(False)
        for _ in range(19):
            provider.event(b'"' + b"x" * 200 + b'"')
        rig.world.advance(2000.0)
        assert not rig.records
        client.peer.set_reading(True)
        provider.end()
        frames = finish(rig, client)
        assert len(frames) == 22
        assert "error" not in frames[-1]["metadata"]

    def test_a_head_that_the_client_kept_from_being_pulled_is_in_time(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100)
        agent = turns.agent()
        upstream = agent.start("a", config={"requestTimeout": 1000})
        agent.send(*["x"] * 8)  # answered by errors, which the client does not read
        agent.stall()
        turns.receive(upstream, answer(b"1"))
        turns.advance(5.0)
        assert not [record for record in turns.records if record.event_id == "a"]
        agent.resume()
        assert agent.of("a")[-1]["response"] == 1

    def test_a_head_that_never_ends_is_late_when_it_is_looked_at(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100)
        agent = turns.agent()
        upstream = agent.start("a", config={"requestTimeout": 1000})
        agent.send(*["x"] * 8)
        agent.stall()
        turns.receive(upstream, b"HTTP/1.1 200 OK\r\nx-slow: ")
        turns.advance(5.0)
        agent.resume()
        assert agent.of("a")[-1]["metadata"]["status"] == 504
        assert upstream in turns.closed


class TestStaleConnections:
    """A kept-alive connection that the provider closes as the next request arrives."""

    def used(self, rig: Rig, client: Client) -> Any:
        client.create("first", HAND)
        provider = rig.provider()
        provider.answer(b"1")
        finish(rig, client, "first")
        return provider

    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_the_request_goes_to_a_fresh_connection(self, rig: Rig, client: Client, how: str) -> None:
        provider = self.used(rig, client)
        client.create("a", HAND)
        rig.provider(0, requests=2)
        getattr(provider.peer, how)()
        rig.provider(1).answer(b"2")
        frame = finish(rig, client)[0]
        assert frame["response"] == 2
        assert rig.records[-1].attempts == 1

    def test_a_timeout_that_crossed_the_request(self, rig: Rig, client: Client) -> None:
        provider = self.used(rig, client)
        client.create("a", HAND)
        rig.provider(0, requests=2)
        provider.answer(b"", 408, connection="close")
        rig.provider(1).answer(b"2")
        assert finish(rig, client)[0]["response"] == 2
        assert rig.records[-1].attempts == 1

    def test_only_once(self, rig: Rig, client: Client) -> None:
        self.used(rig, client)
        client.create("a", HAND)
        rig.provider(0, requests=2).peer.close()
        rig.provider(1).peer.close()
        assert finish(rig, client)[0]["metadata"]["status"] == 502
        assert len(rig.providers) == 2

    def test_not_when_a_byte_of_the_answer_came(self, rig: Rig, client: Client) -> None:
        provider = self.used(rig, client)
        client.create("a", HAND)
        rig.provider(0, requests=2)
        provider.raw(b"H")
        provider.peer.close()
        assert finish(rig, client)[0]["metadata"]["status"] == 502
        assert len(rig.providers) == 1

    def test_not_after_an_interim_response(self, rig: Rig, client: Client) -> None:
        provider = self.used(rig, client)
        client.create("a", HAND)
        rig.provider(0, requests=2)
        provider.raw(b"HTTP/1.1 102 Processing\r\n\r\n")
        rig.world.advance(1.0)
        provider.peer.reset()
        assert finish(rig, client)[0]["metadata"]["status"] == 502
        assert len(rig.providers) == 1

    def test_a_fresh_connection_has_no_such_excuse(self, rig: Rig, client: Client) -> None:
        client.create("a", HAND)
        rig.provider().peer.close()
        assert finish(rig, client)[0]["metadata"]["status"] == 502
        assert len(rig.providers) == 1

    def test_a_retry_after_it_may_use_kept_connections_again(self, rig: Rig, client: Client) -> None:
        provider = self.used(rig, client)
        client.create("a", HAND, config=RETRY)
        rig.provider(0, requests=2)
        provider.peer.close()
        rig.provider(1).answer(b"{}", 500)
        rig.provider(1, requests=2).answer(b"2")
        assert finish(rig, client)[0]["response"] == 2
        assert rig.records[-1].attempts == 2


def waiting(turns: Turns) -> Any:
    agent = turns.agent()
    agent.create("a")
    return agent


def sent(turns: Turns) -> Any:
    agent = turns.agent()
    agent.start("a")
    return agent


def answered(*pieces: bytes, **step: Any) -> Callable[[Turns], Any]:
    def reach(turns: Turns) -> Any:
        agent = turns.agent()
        upstream = agent.start("a", **step)
        for piece in pieces:
            turns.receive(upstream, piece)
        turns.settle()
        return agent

    return reach


def of_request(effects: list[Effect], turns: Turns) -> list[CloseLink]:
    upstreams = {connect.link for connect in turns.connects}
    return [effect for effect in effects if isinstance(effect, CloseLink) and effect.link in upstreams]


def parked(turns: Turns) -> Any:
    """Reach COLLECTING with no room: a neighbour has filled the budget."""
    agent = turns.agent()
    other = agent.start("other")
    upstream = agent.start("a")
    part = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n[" + b"1," * 5
    turns.receive(other, part)
    turns.receive(other, b"1,")
    turns.receive(upstream, part)
    turns.receive(upstream, b"1,")
    return agent


IN_STATES: dict[str, tuple[RequestState, Callable[[Turns], Any]]] = {
    "waiting": (RequestState.WAITING, waiting),
    "sent": (RequestState.SENT, sent),
    "headed": (RequestState.HEADED, answered(STREAM_HEAD)),
    "collecting": (RequestState.COLLECTING, answered(answer(b"[1,2]")[:-1])),
    "refused": (RequestState.COLLECTING, answered(answer(b"[1,2]", 500)[:-1])),
    "parked": (RequestState.COLLECTING, parked),
    "streaming": (RequestState.STREAMING, answered(STREAM_HEAD, sse(b"1"))),
    "delayed": (RequestState.DELAYED, answered(answer(b"{}", 500), config=RETRY)),
}


def request_of(agent: Any, event_id: str = "a") -> Any:
    session = agent.turns.session(agent.link)
    return session._universal._by_event_id[event_id][0]


class TestEnds:
    @pytest.mark.parametrize("name", IN_STATES)
    def test_cancel(self, name: str) -> None:
        state, reach = IN_STATES[name]
        turns = Turns(max_buffered_response_bytes=10)
        agent = reach(turns)
        assert request_of(agent).state is state
        effects = agent.cancel("a")
        last = agent.of("a")[-1]
        assert last["type"] == "universal.done"
        assert last["metadata"]["cancelled"] is True
        record = turns.records[-1]
        assert (record.event_id, record.outcome, record.status) == ("a", Outcome.CANCELLED, 499)
        closed = of_request(effects, turns)
        if state in (RequestState.WAITING, RequestState.DELAYED):
            assert not closed  # a connection being opened is paid for already, a finished exchange left none
        else:
            assert [effect.how for effect in closed] == [CloseHow.ABORT]
        assert "a" not in agent.turns.session(agent.link)._universal._by_event_id
        agent.create("b")  # the session goes on
        turns.advance(1.0)
        agent.cancel("b")
        assert agent.types("b") == ["done"]

    @pytest.mark.parametrize("name", IN_STATES)
    @pytest.mark.parametrize("clean", [False, True])
    def test_disconnect(self, name: str, clean: bool) -> None:
        _, reach = IN_STATES[name]
        turns = Turns(max_buffered_response_bytes=10)
        agent = reach(turns)
        in_flight = {record.link for record in turns.connects} - set(turns.closed)
        connecting = name == "waiting"
        agent.disconnect(clean=clean)
        assert agent.link in turns.closed
        assert connecting or name == "delayed" or in_flight <= set(turns.closed)
        assert {record.outcome for record in turns.records if record.event_id == "a"} == {Outcome.DISCONNECTED}
        assert turns.settle() == 0
        turns.advance(1000.0)
        turns.engine.finish()
        assert not turns.gateway._core.deadlines._heap

    def test_cancel_while_items_wait_behind_a_complete_answer(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100)
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, STREAM_HEAD + b"".join(sse(b'"%d"' % n + b" " * 100) for n in range(50)) + END_CHUNK)
        agent.stall()
        before = len(agent.of("a"))
        assert before < 30
        agent.cancel("a")
        turns.settle()
        assert agent.types("a")[-1] == "done"
        agent.resume()
        assert len(agent.of("a")) == before + 1

    def test_cancel_with_an_unknown_event_id(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.cancel("nobody")
        frame = agent.of("nobody")[0]
        assert frame["type"] == "universal.created"
        assert frame["metadata"]["status"] == 404
        assert frame["response"]["internalCode"] == 90006

    def test_a_finished_request_cannot_be_cancelled(self) -> None:
        turns = Turns()
        agent = answered(answer(b"1"))(turns)
        agent.cancel("a")
        assert [frame["metadata"]["status"] for frame in agent.of("a")] == [200, 404]

    def test_the_answer_that_comes_behind_a_cancellation_is_dropped(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        agent.cancel("a")
        assert upstream in turns.closed
        late = turns.gateway.late_inputs
        turns.engine.engine.handle(PeerClosed(upstream, True), turns.now)
        turns.engine.poll()
        assert turns.gateway.late_inputs == late + 1

    def test_cancel_between_tries_says_nothing_of_the_try_before(self) -> None:
        turns = Turns()
        agent = answered(answer(b"{}", 500, "text/html"), config=RETRY)(turns)
        agent.cancel("a")
        metadata = agent.of("a")[-1]["metadata"]
        assert "contentType" not in metadata
        assert "status" not in metadata

    def test_no_record_when_logging_is_declined(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a", headers={"cf-aig-collect-log": "false"})
        turns.receive(upstream, answer(b"1"))
        assert agent.types("a") == ["created"]
        assert not turns.records

    def test_the_record(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.create("a", query={"n": 1})
        turns.now = 1.0
        upstream = turns.upstream()
        turns.now = 3.0
        turns.receive(upstream, STREAM_HEAD)
        turns.now = 7.0
        turns.receive(upstream, sse(b"[1]") + sse(b"[12]") + END_CHUNK)
        record = turns.records[0]
        assert record.event_id == "a"
        assert (record.account, record.gateway, record.peer) == ("acc", "default", f"peer-{agent.link}")
        assert (record.provider, record.endpoint, record.step) == ("custom-hand", "v1/x", 0)
        assert (record.streamed, record.frames, record.attempts) == (True, 4, 1)
        assert (record.request_bytes, record.response_bytes) == (8, 7)
        assert (record.duration_seconds, record.first_byte_seconds) == (7.0, 3.0)
        assert (record.outcome, record.status, record.error) == (Outcome.DONE, 200, None)


class TestBackPressure:
    def test_a_provider_is_not_read_while_the_client_does_not_read(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100, upstream_high_water_bytes=2000)
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, STREAM_HEAD)
        sent = 0
        while turns.reading.get(upstream, True):
            turns.receive(upstream, sse(b'"' + b"x" * 500 + b'"'))
            agent.stall()
            sent += 1
            assert sent < 12
        before = len(agent.of("a"))
        agent.resume()
        assert turns.reading[upstream]
        assert len(agent.of("a")) == 1 + sent > before

    @pytest.mark.parametrize("clean", [True, False])
    def test_the_end_of_the_stream_behind_data_that_waits(self, clean: bool) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100)
        agent = turns.agent()
        upstream = agent.start("a")
        head = STREAM_HEAD.replace(b"transfer-encoding: chunked", b"x-until: close")
        turns.receive(upstream, head + b"".join(b'data: "%d%b"\n\n' % (n, b" " * 200) for n in range(20)))
        agent.stall()
        turns.feed(PeerClosed(upstream, clean))
        assert agent.types("a")[-1] == "stream"
        agent.resume()
        frames = agent.of("a")
        assert len(frames) == 22
        assert ("error" in frames[-1]["metadata"]) is not clean

    def test_an_answer_before_the_request_was_sent_to_its_end(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a", query="x" * 100_000)
        turns.report(upstream, 50_000)
        turns.receive(upstream, answer(b'"too large"', 413))
        assert agent.of("a")[0]["metadata"]["status"] == 413
        assert upstream in turns.closed  # the rest of the request is in the way of the next one

    def test_progress_of_a_request_that_is_sent_in_time(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a", query="x" * 100_000)
        turns.report(upstream, 50_000)
        turns.report(upstream, 0)
        turns.receive(upstream, answer(b"1"))
        assert agent.types("a") == ["created"]
        assert upstream not in turns.closed


def test_connecting_fails_and_is_retried() -> None:
    turns = Turns()
    agent = turns.agent()
    agent.create("a", config=RETRY)
    turns.feed(ConnectFailed(turns.connects[0].link, ConnectFailure.REFUSED, ""))
    assert len(turns.connects) == 1
    turns.advance(1.0)
    upstream = turns.upstream()
    turns.receive(upstream, answer(b"1"))
    assert agent.types("a") == ["created"]
    assert turns.records[0].attempts == 2


def test_a_try_whose_connection_opens_too_late_leaves_it_to_the_next() -> None:
    turns = Turns()
    agent = turns.agent()
    agent.create("a", config=RETRY | {"requestTimeout": 500, "retryDelay": 100})
    turns.advance(0.65)
    assert len(turns.connects) == 1
    upstream = turns.upstream()
    turns.receive(upstream, answer(b"1"))
    assert agent.types("a") == ["created"]


def test_whole_answers_count_what_they_hold_once() -> None:
    turns = Turns()
    agent = turns.agent()
    upstream = agent.start("a", config=RETRY)
    turns.receive(upstream, answer(b'"error"', 500))
    universal = turns.session(agent.link)._universal
    assert universal is not None
    assert universal._gathered_bytes == len(b'"error"')
    turns.advance(1.0)
    turns.receive(upstream, STREAM_HEAD + chunk(b"d") + chunk(b"ata: 1\n\n"))
    assert agent.types("a") == ["created", "stream"]
    turns.receive(upstream, END_CHUNK)
    assert universal._gathered_bytes == 0
    assert universal._held_bytes == 0


def test_an_ended_request_that_is_still_queued_holds_no_bodies() -> None:
    turns = Turns(client_high_water_bytes=100, client_low_water_bytes=10)
    agent = turns.agent()
    upstream = agent.start("a", query="x" * 1000)
    agent.send(*["?"] * 3)
    agent.stall()
    turns.receive(upstream, answer(b"1"))
    request = request_of(agent)
    assert request.queued
    agent.cancel("a")
    assert request.queued
    assert not request.steps


def test_calls_that_come_too_early_or_too_late_are_harmless() -> None:
    turns = Turns()
    agent = turns.agent()
    agent.create("a")
    request = request_of(agent)
    assert not request.advance(turns.now)
    agent.cancel("a")
    request.cancel(turns.now, tell=True)
    assert agent.types("a") == ["done"]


def broken(*_: object, **__: object) -> None:
    raise ZeroDivisionError


def test_a_bug_in_a_request_ends_its_session(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    agent = turns.agent()
    agent.create("a", config={"requestTimeout": 100})
    monkeypatch.setattr(UniversalRequest, "_time_out", broken)
    turns.advance(0.2)
    assert agent.close_code == 1011
    assert turns.records[0].outcome is Outcome.DISCONNECTED
    assert turns.logs[0].details == {"owner": "UniversalRequest"}


def test_a_second_bug_while_ending_drops_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    agent = turns.agent()
    upstream = agent.start("a", config={"requestTimeout": 100})
    agent.create("b")
    monkeypatch.setattr(UniversalRequest, "_time_out", broken)
    monkeypatch.setattr(UniversalRequest, "cancel", broken)
    turns.advance(0.2)
    assert {upstream, agent.link} <= set(turns.closed)
    assert len(turns.logs) == 2
    turns.advance(1000.0)
    turns.engine.finish()
