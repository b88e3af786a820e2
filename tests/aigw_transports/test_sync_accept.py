from __future__ import annotations

import contextlib
import errno
import math
import os
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from aigw_proto._effects import Log
from aigw_proto._inputs import BytesReceived, Input, PeerClosed, ShutdownRequested
from aigw_proto.testing import Checked, ToyEngine
from aigw_transports import _sync_accept, _sync_stream
from aigw_transports._sync_accept import bound_address, listen
from aigw_transports._sync_driver import Driver
from aigw_transports._sync_owner import Owner
from support import certificates
from support.threads import PATIENCE_SECONDS, Running, no_thread_left, reset


@pytest.fixture(autouse=True)
def every_thread_ends() -> Iterator[None]:
    with no_thread_left():
        yield


class Echo(ToyEngine):
    """Answers, and closes."""

    def received(self, event: Input) -> None:
        match event:
            case BytesReceived(link, data):
                self.send(link, data)
                self.close(link)
            case PeerClosed(link):
                self.close(link)
            case ShutdownRequested():
                self.drain()
            case _:
                pass


class Server:
    """An echo server with TLS, and its log."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self.lines: list[Log] = []
        self.running = Running(Driver(Checked(Echo()), log=self.lines.append), listen(), tls)

    def ask(self, *, secure: bool = True) -> bytes:
        with self.running.connect() as raw:
            if not secure:
                raw.sendall(b"hello")
                return raw.recv(100)
            with certificates.client().wrap_socket(raw, server_hostname="localhost") as peer:
                peer.sendall(b"hello")
                return peer.recv(100)

    def reasons(self, count: int) -> list[object]:
        give_up = time.monotonic() + PATIENCE_SECONDS
        while len(self.lines) < count:
            assert time.monotonic() < give_up
            os.sched_yield()
        assert all(line.message == "TLS handshake failed" for line in self.lines)
        return [line.details["error"] for line in self.lines]


@pytest.fixture(name="server")
def secure_server(tmp_path: Path) -> Iterator[Server]:
    it = Server(certificates.server(tmp_path))
    yield it
    it.running.end()


def test_listening_at_each_address_of_a_name() -> None:
    listeners = listen("localhost")
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
        assert len({bound_address(listener)[1] for listener in listeners}) == 1
        assert "127.0.0.1" in {bound_address(listener)[0] for listener in listeners}


def test_an_address_of_ipv6() -> None:
    with contextlib.closing(listen("::1")[0]) as listener:
        assert bound_address(listener)[0] == "::1"
        assert listener.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1


def test_where_nothing_can_be_listened_on() -> None:
    with pytest.raises(OSError, match=r"Name or service not known|not known"):
        listen("no.such.host.invalid")
    with pytest.raises(OverflowError):
        listen("127.0.0.1", 70_000)


def test_with_tls(server: Server) -> None:
    assert server.ask() == b"hello"
    assert server.lines == []


def test_a_client_that_does_not_trust(server: Server) -> None:
    with server.running.connect() as raw, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(raw, server_hostname="localhost")
    assert server.ask() == b"hello"
    assert server.reasons(1) == ["tlsv1 alert unknown ca"]


def test_clients_that_leave_in_the_middle(server: Server) -> None:
    with server.running.connect() as raw:
        raw.sendall(b"\x16\x03\x01")
    reset(server.running.connect())
    with server.running.connect() as raw:
        raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            while raw.recv(100):
                pass
    assert server.ask() == b"hello"
    assert sorted(map(str, server.reasons(3))) == [
        "Connection reset by peer",
        "http request",
        "the client closed the connection",
    ]


def test_a_client_that_says_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sync_accept, "HANDSHAKE_SECONDS", 0.02)
    with server.running.connect() as raw:
        assert raw.recv(1) == b""
    assert server.reasons(1) == ["it took too long"]


def test_too_many_that_say_nothing(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sync_accept, "MOST_HANDSHAKES", 2)
    with server.running.connect() as oldest, server.running.connect(), server.running.connect():
        assert oldest.recv(1) == b""
    assert "it took too long" in server.reasons(1)


def test_handshakes_under_way_end_with_the_server(tmp_path: Path) -> None:
    server = Server(certificates.server(tmp_path))
    with server.running.connect() as raw:
        raw.sendall(b"\x16")
        assert server.ask() == b"hello"  # so the one before was accepted
        server.running.end()
        assert raw.recv(1) == b""
    assert server.lines == []


class Tired(socket.socket):
    """A listener that fails before it accepts."""

    errors: list[int]

    def accept(self) -> tuple[socket.socket, object]:
        if self.errors:
            raise OSError(self.errors.pop(0), "tired")
        return super().accept()


def tired(*errors: int) -> Tired:
    listener = Tired()
    listener.errors = list(errors)
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


def test_running_out_of_file_descriptors_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sync_accept, "ACCEPT_PAUSE_SECONDS", 0.001)
    lines: list[Log] = []
    it = Running(
        Driver(Checked(Echo()), log=lines.append), [tired(errno.EMFILE, errno.EAGAIN, errno.ECONNABORTED, errno.EINTR)]
    )
    with it.connect() as peer:
        peer.sendall(b"hello")
        assert peer.recv(100) == b"hello"
    it.end()
    assert [line.message for line in lines] == ["cannot accept a connection"] * 2


def test_a_listener_that_fails_for_good_ends_the_driver() -> None:
    it = Running(Driver(Checked(Echo())), [tired(errno.EBADF)])
    with contextlib.suppress(ConnectionResetError):
        it.connect().close()
    with pytest.raises(OSError, match="tired"):
        it.wait()


def test_a_connection_that_broke_before_it_was_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _sync_stream.set_up
    broken: list[socket.socket] = []

    def set_up(connected: socket.socket) -> None:
        if not broken:
            broken.append(connected)
            raise OSError(errno.EINVAL, "invalid")
        whole(connected)

    monkeypatch.setattr(_sync_accept, "set_up", set_up)
    server = Server(None)
    with server.running.connect() as peer:
        assert peer.recv(1) == b""
    assert server.ask(secure=False) == b"hello"
    server.running.end()


@pytest.mark.parametrize("kind", ["reader", "acceptor"])
def test_no_more_threads(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Owner.start

    def start(owner: Owner, name: str, *rest: object) -> None:
        if name.startswith(kind):
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        whole(owner, name, *rest)  # type: ignore[arg-type] # passed on

    monkeypatch.setattr(Owner, "start", start)
    if kind == "acceptor":
        listeners = listen()
        with pytest.raises(OSError, match="temporarily unavailable"):
            Driver(Checked(Echo())).run(listeners)
        assert listeners[0].fileno() == -1
        return
    server = Server(certificates.server(tmp_path))
    with server.running.connect() as peer:
        peer.settimeout(PATIENCE_SECONDS)
        assert peer.recv(1) == b""
    server.running.end()
    assert [line.message for line in server.lines] == ["cannot accept a connection"]


def test_a_connection_that_comes_with_the_end() -> None:
    driver = Driver(Checked(Echo()))
    near, far = socket.socketpair()
    with near:
        acceptor = _sync_accept.Acceptor(driver, listen()[0], None)
        acceptor.close()
        acceptor.close()
        acceptor._attach((far, "late"))
        assert near.recv(1) == b""
        while driver.owner.thread_count:
            driver.owner.step(math.inf)
