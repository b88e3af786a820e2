"""The gateway in Starlette under uvicorn, with clients that nobody here wrote."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import socket
import threading
from collections.abc import Generator, Iterator

import asgi_app
import pytest
import uvicorn
import websockets.exceptions
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from aigw_proto.gateway import ClosedBy, RequestRecord, SessionRecord
from support.examples import PATIENCE_SECONDS, talk_to

MIB = 1024 * 1024
REALTIME = "/v1/local/default/openai?model=gpt-realtime"


class Server(uvicorn.Server):
    """In a thread, where no signals are."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.contextmanager
def serving(provider: str) -> Generator[tuple[str, Server]]:
    server = Server(uvicorn.Config(asgi_app.app, lifespan="on", log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIGW_PROVIDERS", provider)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}", server
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def url(provider: str) -> Iterator[str]:
    with serving(provider) as (url, _):
        yield url


class Records(logging.Handler):
    """Keeps what the application journals."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.queue: queue.Queue[object] = queue.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.args, tuple)
        self.queue.put(record.args[0])

    def session(self, address: tuple[str, int]) -> SessionRecord:
        """Wait for the session of that client to end."""
        host, port = address
        while True:
            record = self.queue.get(timeout=PATIENCE_SECONDS)
            if isinstance(record, SessionRecord) and record.peer == f"{host}:{port}":
                return record


@pytest.fixture
def records(caplog: pytest.LogCaptureFixture) -> Iterator[Records]:
    caplog.set_level(logging.INFO, "asgi_app")
    handler = Records()
    asgi_app.log.addHandler(handler)
    yield handler
    asgi_app.log.removeHandler(handler)


@contextlib.contextmanager
def echo(url: str) -> Generator[ClientConnection]:
    with connect(
        f"{url}{REALTIME}",
        additional_headers={"x-aigw-mock-echo": "1"},
        compression=None,
        max_size=None,
        max_queue=1,
        close_timeout=0.1,
    ) as peer:
        yield peer


def test_conversations(url: str, records: Records) -> None:
    talk_to(url)
    record = records.queue.get(timeout=PATIENCE_SECONDS)
    assert isinstance(record, RequestRecord)
    assert record.peer.startswith("127.0.0.1:")  # the client's, not the server's
    assert int(record.peer.partition(":")[2]) != int(url.rpartition(":")[2])


def test_messages_come_as_they_were(url: str, records: Records) -> None:
    with echo(url) as peer:
        for text in ("", "hello", "€" * 40_000):
            peer.send(text)
            assert peer.recv(timeout=PATIENCE_SECONDS) == text
        for size in (0, 65_536, 4 * MIB):
            data = os.urandom(size)
            peer.send(data)
            assert peer.recv(timeout=PATIENCE_SECONDS) == data
        local = peer.local_address
        peer.close(4001, "had enough")
    record = records.session(local)
    assert (record.closed_by, record.client_close) == (ClosedBy.CLIENT, 4001)


def test_a_subprotocol_is_agreed_on(url: str) -> None:
    with connect(f"{url}{REALTIME}", subprotocols=[Subprotocol("realtime"), Subprotocol("other")]) as peer:
        assert peer.subprotocol == "realtime"


@pytest.mark.parametrize(
    ("fault", "code", "reason"), [("close=4007,close_reason=no more", 4007, "no more"), ("close=none", 1000, "")]
)
def test_the_provider_closes(url: str, fault: str, code: int, reason: str) -> None:
    with (
        connect(f"{url}{REALTIME}", additional_headers={"x-aigw-mock": fault}) as peer,
        contextlib.suppress(websockets.exceptions.ConnectionClosed),
    ):
        while True:
            peer.recv(timeout=PATIENCE_SECONDS)
    assert (peer.close_code, peer.close_reason) == (code, reason)


def test_a_client_is_lost(url: str, records: Records) -> None:
    with echo(url) as peer:
        peer.send("still here")
        assert peer.recv(timeout=PATIENCE_SECONDS) == "still here"
        local = peer.local_address
        peer.socket.shutdown(socket.SHUT_RDWR)
        record = records.session(local)
    assert record.closed_by is ClosedBy.CLIENT
    assert record.client_close in {1005, 1006}  # a server need not say which


def test_a_client_that_does_not_read_is_not_read(url: str) -> None:
    with echo(url) as silent:
        silent.socket.settimeout(0.5)  # sending 64 MiB blocks: somebody would have to hold them
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as caught:
            send_much(silent)
    assert isinstance(caught.value.__cause__, TimeoutError)
    with echo(url) as other:
        other.send("still there?")
        assert other.recv(timeout=PATIENCE_SECONDS) == "still there?"


def send_much(peer: ClientConnection) -> None:
    chunk = os.urandom(MIB)
    for _ in range(64):
        peer.send(chunk)


def test_the_server_stops_within_a_session(provider: str, records: Records) -> None:
    with serving(provider) as (url, server), echo(url) as peer:
        peer.send("still here")
        assert peer.recv(timeout=PATIENCE_SECONDS) == "still here"
        local = peer.local_address
        server.should_exit = True
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            peer.recv(timeout=PATIENCE_SECONDS)
        assert peer.close_code == 1012
        record = records.session(local)
    assert record.client_close == 1012
    assert not asgi_app.app.state.driver.running


def test_a_client_that_leaves_before_it_is_answered(provider: str, records: Records) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        serving("http://{}:{}".format(*silent.getsockname())) as (
            url,
            _,
        ),
    ):
        host, _, port = url.removeprefix("ws://").partition(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(
                f"GET {REALTIME} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
            )
            connection, _ = silent.accept()  # of the gateway, which does not answer before the provider does
            address = client.getsockname()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
            record = records.session(address)
    assert record.status == 401
