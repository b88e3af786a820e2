"""`aigw serve` on wss://, with clients that nobody here wrote and some that nobody wants."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import ssl
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect

from support import certificates

if TYPE_CHECKING:
    from .conftest import Process, Start

CREATE = {
    "type": "universal.create",
    "request": {
        "eventId": "one",
        "provider": "openai",
        "endpoint": "chat/completions",
        "query": {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]},
    },
}
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def options(folder: Path, key_type: trustme.KeyType = trustme.KeyType.ECDSA) -> list[str]:
    certificate, key = certificates.write_files(folder, key_type)
    return ["serve", "--port", "0", "--tls-certificate", certificate, "--tls-key", key]


def converse(address: tuple[str, int], tls: ssl.SSLContext | None = None) -> None:
    """Be a good neighbour: send a request, get its answer, say goodbye."""
    url = f"wss://{address[0]}:{address[1]}/v1/local/default"
    with connect(url, ssl=tls or certificates.client(), open_timeout=60) as socket_:
        socket_.send(json.dumps(CREATE))
        frame = json.loads(socket_.recv(timeout=60))
        assert frame["response"]["choices"][0]["message"]["content"] == "You said: Hello there"
    assert socket_.close_code == 1000


def read_to_the_end(sock: socket.socket) -> bytes:
    """Read until the peer ends in order; an end without close_notify is an error."""
    parts: list[bytes] = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def secure(address: tuple[str, int]) -> ssl.SSLSocket:
    """Connect with a client that minds how a stream ends."""
    context = certificates.client()
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context.wrap_socket(
        socket.create_connection(address, timeout=30), server_hostname="127.0.0.1", suppress_ragged_eofs=False
    )


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
def test_serves_and_drains(start: Start, tmp_path: Path, transport: str, key_type: trustme.KeyType) -> None:
    process = start(*options(tmp_path, key_type), "--transport", transport)
    assert process.popen.stdout is not None
    line = process.popen.stdout.readline()
    host, _, port = line.removeprefix("listening on wss://").strip().partition(":")
    address = host, int(port)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        tls = certificates.client()
        tls.maximum_version = version
        converse(address, tls)
    connection = http.client.HTTPSConnection(*address, context=certificates.client(), timeout=30)
    connection.request("GET", "/health")
    assert json.loads(connection.getresponse().read())["status"] == "ok"
    connection.close()
    with connect(f"wss://{host}:{port}/v1/local/default", ssl=certificates.client()) as socket_:
        assert process.stop(signal.SIGTERM) == 0
        assert list(socket_) == []
        assert socket_.close_code == 1001
    assert "handshake" not in process.log()
    assert "Traceback" not in process.log()


def failed_handshakes(process: Process, count: int) -> list[str]:
    """Wait until that many handshakes have failed; return why, in order."""
    while len(lines := [line for line in process.log().splitlines() if "TLS handshake failed" in line]) < count:
        assert process.popen.poll() is None, process.log()
        os.sched_yield()
    assert all(" info: TLS handshake failed peer=127.0.0.1:" in line for line in lines), lines
    return [line.partition(" error=")[2].strip('"') for line in lines]


def test_bad_neighbours(start: Start, tmp_path: Path, transport: str) -> None:
    process = start(*options(tmp_path), "--transport", transport)
    address = process.address()
    silent = socket.create_connection(address, timeout=30)
    for count, sent in enumerate(
        (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(506),
            b"\xff" * 1000,
        )
    ):
        with socket.create_connection(address, timeout=30) as bad:
            bad.sendall(sent)
            assert b"HTTP" not in read_to_the_end(bad)
        failed_handshakes(process, count + 1)
        converse(address)
    with socket.create_connection(address, timeout=30) as cut:
        cut.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        converse(address)  # who comes after it has been accepted, so it has been, too
        cut.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    failed_handshakes(process, 4)
    with socket.create_connection(address, timeout=30) as plain, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")
    reasons = failed_handshakes(process, 5)
    converse(address)
    assert (reasons[0], *reasons[2:]) == (
        "http request",
        "wrong version number",
        "Connection reset by peer",
        "tlsv1 alert unknown ca",
    )
    assert process.stop(signal.SIGTERM) == 0  # although one of them has said nothing yet
    assert silent.recv(1) == b""
    silent.close()
    assert len(failed_handshakes(process, 0)) == 5
    assert "Traceback" not in process.log()


def test_what_is_not_served_ends_at_once(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "aigw.toml"
    file.write_text(
        f"""
        [server]
        port = 0
        tls_certificate = "{Path(certificates.write_files(tmp_path)[0]).name}"
        tls_key = "server.key"
        [[gateway]]
        id = "closed"
        tokens = ["sesame"]
        [limits]
        linger_timeout_seconds = 3600
        """
    )
    process = start("serve", "--config", str(file))
    address = process.address()
    with secure(address) as client:
        client.sendall(b"nonsense\r\n\r\n")
        assert read_to_the_end(client).startswith(b"HTTP/1.1 400 ")
    url = f"wss://{address[0]}:{address[1]}/v1/a/closed"
    with pytest.raises(InvalidStatus, match="401"), connect(url, ssl=certificates.client()):
        pass
    with connect(url, ssl=certificates.client(), additional_headers={"cf-aig-authorization": "sesame"}) as socket_:
        socket_.send(b"binary")
        with pytest.raises(ConnectionClosedError, match="1003"):
            socket_.recv(timeout=30)
    assert process.stop(signal.SIGTERM) == 0


def test_a_realtime_session(start: Start, tmp_path: Path, transport: str) -> None:
    process = start(*options(tmp_path), "--transport", transport)
    host, port = process.address()
    url = f"wss://{host}:{port}/v1/local/default/openai/realtime?model=m"
    echo = {"x-aigw-mock-echo": "1"}
    with connect(url, ssl=certificates.client(), additional_headers=echo, max_size=None) as socket_:
        for message in ("", "grüß dich", b"\x00\xff", bytes(range(256)) * 8192, "x" * 2_000_000):
            socket_.send(message)
            assert socket_.recv(timeout=60) == message
        socket_.close(4000, "enough")
    assert (socket_.close_code, socket_.close_reason) == (4000, "enough")
    assert process.stop(signal.SIGTERM) == 0
    assert " 101 openai/v1/realtime closed by client 4000 enough" in process.log().replace('"', "")


def test_our_own_client(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = start(*options(tmp_path))
    address = process.address()
    url = f"wss://{address[0]}:{address[1]}/v1/local/default"
    call = ("call", "--url", url, "openai", "chat/completions", '{"model": "m", "messages": []}')
    distrustful = start(*call)
    assert distrustful.wait() == 1
    assert "certificate" in distrustful.log()
    authority = tmp_path / "authority.pem"
    certificates.authority().cert_pem.write_to_path(str(authority))
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    trustful = start(*call)
    assert trustful.wait() == 0, trustful.log()
    assert process.stop(signal.SIGTERM) == 0


def test_mistakes_are_told_before_anything_starts(start: Start, tmp_path: Path) -> None:
    certificate, _ = certificates.write_files(tmp_path)
    process = start("serve", "--tls-certificate", certificate, "--tls-key", certificate)
    assert process.wait() == 2
    assert process.log() == f"aigw: --tls-key: expected a PEM file with a private key; {certificate} is none\n"
