"""The memory of a real gateway stays bounded, whatever its peers do or fail to do."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import zlib
from typing import TYPE_CHECKING

import pytest

from support.process import Process, running, serving
from support.raw import Raw, masked

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024
ALLOWED_GROWTH = 8 * MIB


@pytest.fixture(scope="module")
def mock() -> Iterator[Process]:
    with running("mock", "--port", "0") as process:
        yield process


@pytest.fixture
def gateway(mock: Process) -> Iterator[Process]:
    configuration = f"""
        [server]
        permessage_deflate = true

        [[gateway]]
        id = "default"
        authentication = false

        [custom_provider.mock]
        base_url = "{mock.url}"
        allow_private_address = true

        [limits]
        max_message_bytes = 1_000_000
        max_response_bytes = 1_000_000
        linger_timeout_seconds = 1.0
        stuck_timeout_seconds = 120.0

        [limits.sse]
        max_line_bytes = 1_000_000
        max_event_bytes = 1_000_000
    """
    with serving(configuration) as process:
        warm_up(process)
        yield process


def create(event_id: str, fault: str, *, stream: bool = True) -> bytes:
    step = {
        "eventId": event_id,
        "provider": "custom-mock",
        "endpoint": "chat/completions",
        "headers": {"x-aigw-mock": fault},
        "query": {"model": "m", "stream": stream, "messages": [{"role": "user", "content": "hello"}]},
    }
    text = json.dumps({"type": "universal.create", "request": step}).encode()
    return masked(b"\x81\xfe" + len(text).to_bytes(2, "big"), text)


def warm_up(gateway: Process) -> None:
    """Let the process reach its usual size: the first requests of each kind load what they need."""
    for fault in ("huge=3000000", "endless_json"):
        with Raw(gateway) as client:
            client.upgrade()
            client.socket.sendall(create("warm", fault))
            client.read_until(b"universal.done", b"errors", b'"error"')


def test_a_client_that_stops_reading_during_a_large_stream(gateway: Process) -> None:
    with Raw(gateway) as client:
        client.upgrade()
        before = gateway.resident_bytes()
        client.socket.sendall(create("flood", "huge=200000000"))
        assert client.socket.recv(100)
        # The kernels' buffers fill, then nothing moves any more: that is when everything that piles up has.
        gateway.wait_until_quiet()
        assert gateway.resident_bytes() - before < ALLOWED_GROWTH
        received = client.drain(200_000_000)
        assert received >= 200_000_000
        assert gateway.resident_bytes() - before < ALLOWED_GROWTH


@pytest.mark.parametrize("fault", ["endless_line", "endless_json", "endless_header", "huge=100000000"])
def test_a_provider_without_end(gateway: Process, fault: str) -> None:
    before = gateway.resident_bytes()
    with Raw(gateway) as client:
        client.upgrade()
        client.socket.sendall(create("endless", fault, stream=fault == "endless_line"))
        client.read_until(b'"error"')
    assert gateway.resident_bytes() - before < ALLOWED_GROWTH


def test_a_request_head_without_end(gateway: Process) -> None:
    before = gateway.resident_bytes()
    with Raw(gateway) as client, contextlib.suppress(OSError):
        client.socket.sendall(b"GET / HTTP/1.1\r\nX: ")
        for _ in range(200):
            client.socket.sendall(b"a" * MIB)
    assert gateway.resident_bytes() - before < ALLOWED_GROWTH


@pytest.mark.parametrize("opening", [b"\x01\xff", b"\x81\xff"])
def test_a_frame_without_end(gateway: Process, opening: bytes) -> None:
    before = gateway.resident_bytes()
    with Raw(gateway) as client:
        client.upgrade()
        client.socket.sendall(masked(opening + (1 << 40).to_bytes(8, "big"), b""))
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.socket.sendall(b"a" * MIB)
        assert client.close_code() == 1009
    assert gateway.resident_bytes() - before < ALLOWED_GROWTH


def test_a_message_of_endless_fragments(gateway: Process) -> None:
    before = gateway.resident_bytes()
    with Raw(gateway) as client:
        client.upgrade()
        client.socket.sendall(masked(b"\x01\x80", b""))
        with contextlib.suppress(OSError):
            for _ in range(30):
                client.socket.sendall(masked(b"\x00\xfe\xff\xff", b"a" * 65535))
        assert client.close_code() == 1009
    assert gateway.resident_bytes() - before < ALLOWED_GROWTH


def test_a_deflate_bomb(gateway: Process) -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = b"".join([bomb.compress(b"a" * MIB) for _ in range(512)] + [bomb.flush(zlib.Z_SYNC_FLUSH)[:-4]])
    before = gateway.resident_bytes()
    with Raw(gateway) as client:
        fields = client.upgrade(extensions=b"permessage-deflate")
        assert "permessage-deflate" in fields["sec-websocket-extensions"]
        with contextlib.suppress(OSError):
            client.socket.sendall(masked(b"\xc1\xff" + len(data).to_bytes(8, "big"), data))
        assert client.close_code() == 1009
    assert gateway.resident_bytes() - before < ALLOWED_GROWTH


def test_pings_of_a_client_that_never_reads(gateway: Process) -> None:
    before = gateway.resident_bytes()
    with Raw(gateway) as client:
        client.upgrade()
        client.socket.setblocking(False)
        pings = masked(b"\x89\xfd", b"p" * 125) * 500
        sent, pending = 0, b""
        while sent < 100 * MIB and select.select([], [client.socket], [], 1.0)[1]:
            pending = pending or pings
            try:
                count = client.socket.send(pending)
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
            pending = pending[count:]
            sent += count
        assert gateway.resident_bytes() - before < ALLOWED_GROWTH


def test_answers_to_bad_messages_that_are_never_read(gateway: Process) -> None:
    before = gateway.resident_bytes()
    with Raw(gateway) as client:
        client.upgrade()
        client.socket.setblocking(False)
        messages, sent = masked(b"\x81\x81", b"{") * 5000, 0
        while sent < 20 * MIB and select.select([], [client.socket], [], 1.0)[1]:
            try:
                sent += client.socket.send(messages)
            except (BlockingIOError, BrokenPipeError, ConnectionResetError):
                break
        gateway.wait_until_quiet()
        assert gateway.resident_bytes() - before < ALLOWED_GROWTH


def test_connections_that_say_nothing_are_cheap(gateway: Process) -> None:
    before = gateway.resident_bytes()
    with contextlib.ExitStack() as stack:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", gateway.port)))
        with Raw(gateway) as client:
            client.upgrade()
        assert gateway.resident_bytes() - before < ALLOWED_GROWTH
