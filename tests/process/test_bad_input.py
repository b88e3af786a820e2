"""What a real gateway answers to mistakes: of clients before and after the upgrade, and of providers."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
from typing import TYPE_CHECKING, Any

import pytest
import websockets.sync.client

from support.process import Process, running, serving
from support.raw import UPGRADE, Raw, masked

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def mock() -> Iterator[Process]:
    with running("mock", "--port", "0") as process:
        yield process


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def gateway(mock: Process) -> Iterator[Process]:
    configuration = f"""
        [[gateway]]
        id = "default"
        authentication = false

        [[gateway]]
        id = "plain"
        authentication = false
        strict = true

        [[gateway]]
        id = "closed"
        tokens = ["secret-token"]

        [custom_provider.mock]
        base_url = "{mock.url}"
        allow_private_address = true

        [custom_provider.gone]
        base_url = "http://127.0.0.1:{closed_port()}"
        allow_private_address = true

        [limits]
        max_message_bytes = 1_000_000
        max_response_bytes = 1_000_000
        upstream_idle_timeout_seconds = 1.0
        linger_timeout_seconds = 1.0
    """
    with serving(configuration) as process:
        yield process


# ---- before the upgrade --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (UPGRADE % (b"/v1/a/closed", b""), 401, 2009),
        (UPGRADE % (b"/v1/a/closed", b"cf-aig-authorization: Bearer wrong\r\n"), 401, 2009),
        (UPGRADE % (b"/v1/a/closed", b"Sec-WebSocket-Protocol: cf-aig-authorization.wrong\r\n"), 401, 2009),
        (UPGRADE % (b"/v1/a/nobody", b""), 400, 2001),
        (UPGRADE % (b"/elsewhere", b""), 404, None),
        (b"GET /v1/a/default HTTP/1.1\r\nHost: x\r\n\r\n", 426, None),
        (b"POST /v1/a/default HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 426, None),
        (b"GET /v1/a/default/openai/models HTTP/1.1\r\nHost: x\r\n\r\n", 426, None),
        (b"POST /health HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 405, None),
        (b"GET /elsewhere HTTP/1.1\r\nHost: x\r\n\r\n", 404, None),
        (b"nonsense\r\n\r\n", 400, None),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, None),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 70_000, 431, None),
        (UPGRADE.replace(b"13", b"12") % (b"/v1/a/default", b""), 426, None),
        (UPGRADE.replace(b"AAAA==", b"") % (b"/v1/a/default", b""), 400, None),
        (UPGRADE % (b"/v1/a/default", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"), 400, None),
        (UPGRADE % (b"/v1/a/default", b"cf-aig-max-attempts: many\r\n"), 400, None),
    ],
)
def test_refused_before_the_upgrade(gateway: Process, request_bytes: bytes, status: int, code: int | None) -> None:
    with Raw(gateway) as client:
        client.socket.sendall(request_bytes)
        got, fields, body = client.response()
    assert got == status, body
    assert fields["content-type"] == "application/json"
    assert body["success"] is False
    assert body["error"][0]["message"] == body["message"] != ""
    assert body["httpCode"] == status
    if code is not None:
        assert body["error"][0]["code"] == body["internalCode"] == code
    if status == 426:
        assert fields["upgrade"] == "websocket"
        assert fields["sec-websocket-version"] == "13"


def test_health_on_the_same_port(gateway: Process) -> None:
    with Raw(gateway) as client:
        for _ in range(2):
            client.socket.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            status, _, body = client.response()
            assert (status, body["status"]) == (200, "ok")


# ---- frames --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (masked(b"\x82\x83", b"abc"), 1003),
        (masked(b"\x81\x82", b"\xc3\x28"), 1007),
        (b"\x81\x02{}", 1002),
        (masked(b"\xc1\x82", b"{}"), 1002),
        (masked(b"\x83\x82", b"{}"), 1002),
        (masked(b"\x81\xfe\x00\x02", b"{}"), 1002),
        (masked(b"\x09\x80", b""), 1002),
        (masked(b"\x80\x80", b""), 1002),
        (b"\x81\xff" + struct.pack("!Q", 1_000_001) + bytes(4), 1009),
        (b"\x81\xff" + struct.pack("!Q", 1 << 63) + bytes(4), 1002),
        (masked(b"\x88\x81", b"x"), 1002),
        (masked(b"\x88\x82", b"\x03\xed"), 1002),
    ],
)
def test_frames_that_end_the_socket(gateway: Process, frames: bytes, code: int) -> None:
    with Raw(gateway) as client:
        client.upgrade()
        client.socket.sendall(frames)
        assert client.close_code() == code


def test_a_client_in_the_middle_of_a_large_message_still_gets_the_close_code(gateway: Process) -> None:
    with Raw(gateway) as client:
        client.upgrade()
        client.socket.sendall(b"\x81\xff" + struct.pack("!Q", 50_000_000) + bytes(4))
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.socket.sendall(bytes(100_000))
        assert client.close_code() == 1009


# ---- messages ------------------------------------------------------------------------------------------------------


def step(**fields: Any) -> dict[str, Any]:
    base: dict[str, Any] = {
        "eventId": "e",
        "provider": "openai",
        "endpoint": "chat/completions",
        "headers": {},
        "query": {},
    }
    merged: dict[str, Any] = base | fields
    return {name: value for name, value in merged.items() if value is not None}


def create(**fields: Any) -> str:
    return json.dumps({"type": "universal.create", "request": step(**fields)})


def socket_to(gateway: Process, name: str = "default") -> websockets.sync.client.ClientConnection:
    return websockets.sync.client.connect(f"{gateway.url}/v1/a/{name}", max_size=None)


def receive(client: websockets.sync.client.ClientConnection) -> dict[str, Any]:
    frame: dict[str, Any] = json.loads(client.recv(timeout=60))
    return frame


BAD_MESSAGES = [
    ("{", None, "JSON"),
    ("[]", None, "object"),
    ("1", None, ""),
    ("", None, ""),
    ("{}", None, "type"),
    ('{"type":"universal.destroy","eventId":"e"}', None, "type"),
    ('{"type":7}', None, "type"),
    ('{"type":"universal.create"}', None, "request"),
    ('{"type":"universal.create","request":7}', None, "request"),
    ('{"type":"universal.create","request":[]}', None, "request"),
    ('{"type":"universal.cancel"}', None, "eventId"),
    ('{"type":"universal.cancel","eventId":"never-sent"}', "never-sent", "never-sent"),
    (create(provider=None), "e", "provider"),
    (create(provider=""), "e", "rovider"),
    (create(provider="nobody"), "e", "nobody"),
    (create(provider=["openai"]), "e", "provider"),
    (create(endpoint=None), "e", "endpoint"),
    (create(endpoint=5), "e", "endpoint"),
    (create(endpoint="http://evil.example/"), "e", "endpoint"),
    (create(endpoint="../../admin"), "e", "endpoint"),
    (create(endpoint="a b\r\nc"), "e", "endpoint"),
    (create(query=None), "e", "query"),
    (create(headers=[]), "e", "headers"),
    (create(headers={"x": {}}), "e", "headers"),
    (create(headers={"x y": "1"}), "e", "headers"),
    (create(headers={"x": "1\r\ny: 2"}), "e", "headers"),
    (create(config={"maxAttempts": "many"}), "e", "maxAttempts"),
    (create(config={"requestTimeout": -1}), "e", "requestTimeout"),
    (create(config=3), "e", "config"),
    (create(eventId=7), None, "eventId"),
    (create(headers={"cf-aig-byok-alias": "other"}), "e", "other"),
    ("[" * 100_000, None, ""),
]


@pytest.mark.parametrize(("text", "event_id", "named"), BAD_MESSAGES, ids=range(len(BAD_MESSAGES)))
def test_bad_messages_are_answered_and_the_socket_stays_open(
    gateway: Process, text: str, event_id: str | None, named: str
) -> None:
    with socket_to(gateway) as client:
        client.send(text)
        frame = receive(client)
        assert frame["type"] == "universal.created"
        assert frame["metadata"]["contentType"] == "application/json"
        assert 400 <= frame["metadata"]["status"] < 500
        assert frame["metadata"]["eventId"] == event_id if event_id else frame["metadata"]["eventId"]
        error = frame["response"]["error"][0]
        assert named in error["message"], error
        assert error["code"] == (2008 if "rovider" in named or named == "nobody" else error["code"])
        client.send(create(provider="custom-mock", eventId="after"))
        assert receive(client)["metadata"]["eventId"] == "after"


# ---- providers -----------------------------------------------------------------------------------------------------


def ask(gateway: Process, fault: str, *, stream: bool, name: str = "default", **fields: Any) -> list[dict[str, Any]]:
    """Send one request to the mock with a fault; return all frames, up to the last."""
    query = {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "one two three four five"}]}
    fields = {"provider": "custom-mock", "headers": {"x-aigw-mock": fault}, "query": query} | fields
    with socket_to(gateway, name) as client:
        client.send(create(**fields))
        frames = [receive(client)]
        while frames[-1]["type"] != "universal.done" and "response" not in frames[0]:
            frames.append(receive(client))
        return frames


@pytest.mark.parametrize(("name", "status"), [("default", 502), ("plain", 400)])
def test_a_provider_that_refuses_the_connection(gateway: Process, name: str, status: int) -> None:
    [frame] = ask(gateway, "", stream=False, provider="custom-gone", name=name)
    assert frame["metadata"]["eventId"] == "e"
    assert frame["metadata"].get("status") == (None if name == "plain" else status)
    assert frame["response"]["httpCode"] == status
    assert frame["response"]["error"][0]["code"] == 2005


@pytest.mark.parametrize(("name", "status"), [("default", 504), ("plain", 400)])
def test_a_provider_that_does_not_answer_in_time(gateway: Process, name: str, status: int) -> None:
    [frame] = ask(gateway, "first_byte_delay=60", stream=False, config={"requestTimeout": 100}, name=name)
    assert frame["response"]["httpCode"] == status
    assert frame["response"]["error"][0]["code"] == 2005


@pytest.mark.parametrize("fault", ["cut_before", "cut_after=0", "bad_status_line", "lying_length=100", "bad_chunking"])
def test_a_provider_that_breaks_off_a_document(gateway: Process, fault: str) -> None:
    [frame] = ask(gateway, fault, stream=False)
    assert frame["metadata"]["status"] == 502, frame
    assert frame["response"]["error"][0]["code"] == 2005


@pytest.mark.parametrize("fault", ["cut_after=2", "reset,cut_after=2", "stall_after=2", "bad_chunking"])
def test_a_provider_that_breaks_off_a_stream(gateway: Process, fault: str) -> None:
    frames = ask(gateway, fault, stream=True)
    types = [frame["type"] for frame in frames]
    assert types[0] == "universal.created"
    assert types[-1] == "universal.done"
    assert set(types[1:-1]) <= {"universal.stream"}
    assert frames[-1]["metadata"]["error"]
    if "2" in fault:
        assert len(types) == 4


def test_what_is_not_json_comes_as_a_string(gateway: Process) -> None:
    [frame] = ask(gateway, "malformed", stream=False)
    assert isinstance(frame["response"], str)
    frames = ask(gateway, "malformed", stream=True)
    assert any(isinstance(frame.get("response"), str) for frame in frames)


def test_a_lie_about_the_content_type_loses_nothing(gateway: Process) -> None:
    [frame] = ask(gateway, "content_type=text/event-stream", stream=False)
    assert frame["response"]["choices"]
    frames = ask(gateway, "content_type=application/json", stream=True)
    assert frames[-1]["type"] == "universal.done"
    assert len(frames) > 4
    [frame] = ask(gateway, "content_type=text/plain", stream=False)
    assert frame["response"]["choices"]


@pytest.mark.parametrize(
    ("fault", "stream", "status"),
    [("endless_header", False, 502), ("endless_json", False, 502), ("huge=2000000", False, 502), ("gzip", False, 502)],
)
def test_too_much_or_unreadable(gateway: Process, fault: str, stream: bool, status: int) -> None:
    [frame] = ask(gateway, fault, stream=stream)
    assert frame["metadata"]["status"] == status
    assert frame["response"]["error"][0]["message"]


def test_torn_answers_are_whole_again(gateway: Process) -> None:
    frames = ask(gateway, "torn", stream=True)
    text = "".join(
        choice["delta"].get("content") or ""
        for frame in frames[1:-1]
        for choice in frame["response"].get("choices", [])
    )
    assert text == "You said: one two three four five"


def test_no_secret_is_in_any_log(gateway: Process) -> None:
    ask(gateway, "", stream=False, headers={"authorization": "Bearer provider-secret"})
    with Raw(gateway) as client:
        client.socket.sendall(
            UPGRADE % (b"/v1/a/closed?api_key=query-secret", b"cf-aig-authorization: Bearer guess\r\n")
        )
        client.response()
    gateway.wait_for_log("upgrade refused")  # who was refused, and why, is there
    for secret in ("provider-secret", "query-secret", "guess", "secret-token"):
        assert secret not in gateway.log
