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


@pytest.fixture(scope="module")
def url(provider: str) -> Iterator[str]:
    server = Server(uvicorn.Config(asgi_app.app, lifespan="on", log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIGW_PROVIDERS", provider)
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


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
        peer.socket.shutdown(socket.SHUT_RDWR)
        record = records.session(peer.local_address)
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
