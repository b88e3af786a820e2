"""What the tests of the examples share: a fake provider, a client of other hands, programs that are told to stop."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.from_thread
import pytest
import trustme
import websockets.exceptions
from websockets.sync.client import ClientConnection, connect

from aigw_proto import (
    BytesReceived,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
    TlsPolicy,
)
from aigw_proto.mock import MockEngine
from aigw_proto.testing import Checked, ToyEngine
from aigw_transports.asyncio_protocol import Driver, serve
from support import certificates

if TYPE_CHECKING:
    from aigw_proto import Engine

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
PATIENCE_SECONDS = 60  # only for what hangs
NOBODY = "x" * 64 + ".invalid"  # no name has so long a label
QUERY = {"model": "m", "messages": [{"role": "user", "content": "Hello there"}]}


@contextlib.contextmanager
def served(engine: Engine[Input], *, tls: ssl.SSLContext | None = None) -> Generator[tuple[str, int]]:
    """Run an engine on loopback in a thread; gives its address."""
    with anyio.from_thread.start_blocking_portal() as portal:
        running, driver = portal.start_task(functools.partial(_serve, engine, tls))
        try:
            yield driver.addresses[0]
        finally:
            portal.call(driver.feed, ShutdownRequested(0.0))
            running.result(PATIENCE_SECONDS)


async def _serve(
    engine: Engine[Input],
    tls: ssl.SSLContext | None,
    *,
    task_status: anyio.abc.TaskStatus[Driver[Input]],
) -> None:
    await serve(engine, tls=tls, log=lambda _: None, task_status=task_status)


@contextlib.contextmanager
def mock_provider() -> Generator[str]:
    """Run the fake provider; gives its URL."""
    with served(MockEngine()) as (host, port):
        yield f"http://{host}:{port}"


@contextlib.contextmanager
def example(name: str, *arguments: str, provider: str) -> Generator[tuple[subprocess.Popen[str], str]]:
    """Run an example as a program that serves the gateway; gives the process and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        env={**os.environ, "AIGW_PROVIDERS": provider},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on ws://127.0.0.1:"), process.communicate()[1]
        yield process, line.split()[-1]
    finally:
        process.kill()
        process.communicate()


def ask(peer: ClientConnection, event_id: str, *, stream: bool = False) -> None:
    query = {**QUERY, "stream": True} if stream else QUERY
    request = {"provider": "openai", "endpoint": "chat/completions", "headers": {}, "query": query}
    peer.send(json.dumps({"type": "universal.create", "eventId": event_id, "request": request}))


def receive(peer: ClientConnection) -> dict[str, object]:
    message: dict[str, object] = json.loads(peer.recv(timeout=PATIENCE_SECONDS))
    return message


def talk_to(url: str) -> None:
    """Have a universal and a realtime conversation with a gateway, and be refused something."""
    with connect(f"{url}/v1/local/default", compression=None, max_size=None) as peer:
        ask(peer, "one")
        created = receive(peer)
        assert created["type"] == "universal.created"
        assert "You said: Hello there" in json.dumps(created["response"])
        for number in range(5):
            ask(peer, str(number), stream=True)
        kinds = [receive(peer)["type"]]
        while kinds.count("universal.done") < 5:
            kinds.append(receive(peer)["type"])
        assert kinds.count("universal.stream") >= 25
    assert peer.close_code == 1000
    with connect(f"{url}/v1/local/default/openai?model=gpt-realtime", subprotocols=None, max_size=None) as session:
        assert receive(session)["type"] == "session.created"
        session.send(json.dumps({"type": "response.create", "response": {"instructions": "Say hello"}}))
        while receive(session)["type"] != "response.done":
            pass
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        connect(f"{url}/v1/local/default/nobody")
    assert refused.value.response.status_code == 400
    assert b"nobody" in (refused.value.response.body or b"")


def stop_within_a_request(process: subprocess.Popen[str], url: str) -> None:
    """Tell a program to stop while a stream is under way, which is still finished."""
    with connect(f"{url}/v1/local/default", compression=None, max_size=None) as peer:
        ask(peer, "last", stream=True)
        first = receive(peer)
        process.send_signal(signal.SIGTERM)
        kinds = [first["type"]]
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            while True:
                kinds.append(receive(peer)["type"])
    assert kinds[-1] == "universal.done"
    assert peer.close_code == 1001
    _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    assert (process.returncode, "Traceback" in errors) == (0, False), errors


@contextlib.contextmanager
def refusing_port() -> Generator[int]:
    """Give a port of loopback at which connecting is refused, and which nobody else gets."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening
        yield taken.getsockname()[1]


class Fetch(ToyEngine):
    """Asks a server for something over TLS, once; keeps its answer, or why there is none."""

    def __init__(self, port: int, ca_file: str) -> None:
        super().__init__()
        self.deadline = 0.0
        self.port = port
        self.ca_file = ca_file
        self.answer = b""
        self.alpn: str | None = None
        self.failed: ConnectFailed | None = None

    def woken(self) -> None:
        self.connect("localhost", self.port, TlsPolicy(self.ca_file), ("http/1.1",))

    def received(self, event: Input) -> None:
        match event:
            case LinkConnected(link, alpn):
                self.alpn = alpn
                self.send(link, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            case BytesReceived(_, data):
                self.answer += data
            case PeerClosed(link):
                self.close(link)
                self.drain()
            case ConnectFailed():
                self.failed = event
                self.drain()
            case _:
                pass


def check_tls(run: Callable[[Engine[Input]], None], folder: Path) -> None:
    """Check that a driver speaks TLS to providers, and only to those with a certificate: `run` runs an engine on it."""
    authority = folder / "authority.pem"
    authority.write_bytes(certificates.authority().cert_pem.bytes())
    stranger = folder / "stranger.pem"
    stranger.write_bytes(trustme.CA().cert_pem.bytes())
    with served(MockEngine(), tls=certificates.server(folder)) as (_, port):
        fetch = Fetch(port, str(authority))
        run(Checked(fetch))
        assert fetch.answer.startswith(b"HTTP/1.1 ")
        assert fetch.alpn == "http/1.1"
        fetch = Fetch(port, str(stranger))
        run(Checked(fetch))
        assert fetch.failed is not None
        assert fetch.failed.failure is ConnectFailure.CERTIFICATE
    with served(MockEngine()) as (_, port):
        fetch = Fetch(port, str(authority))
        run(Checked(fetch))
        assert fetch.failed is not None
        assert fetch.failed.failure in {ConnectFailure.TLS, ConnectFailure.OTHER}


def check_no_tls(run: Callable[[Engine[Input]], None]) -> None:
    """Check that a driver without TLS sends nothing where TLS was asked for."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fetch = Fetch(listener.getsockname()[1], "")
        run(Checked(fetch))
        assert fetch.failed is not None
        assert fetch.failed.failure is ConnectFailure.TLS
        listener.settimeout(0.0)
        with pytest.raises(BlockingIOError):
            listener.accept()


class Broken(ToyEngine):
    """Has a bug that shows when it is woken, with a link open."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.deadline = 0.0
        self.port = port

    def woken(self) -> None:
        self.connect("127.0.0.1", self.port)

    def received(self, event: Input) -> None:
        raise ZeroDivisionError


def check_failure(run: Callable[[Engine[Input]], None]) -> None:
    """Check that what an engine raises comes out of its driver, which leaves no connection open."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(ZeroDivisionError):
            run(Broken(listener.getsockname()[1]))
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(PATIENCE_SECONDS)
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) == b""
