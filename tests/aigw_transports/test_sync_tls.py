"""Both ends in one owner thread: each is a `SecureStream` on the stream of a socket."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from aigw_transports import _sync_tls
from aigw_transports._sync_stream import SocketStream, User
from aigw_transports._sync_tls import SecureStream
from aigw_transports._tls_session import TlsSession
from support import certificates
from support.owners import Stage, Witness, stage
from support.threads import read_all, reset

MIB = 1024 * 1024


@pytest.fixture(name="here")
def make_stage() -> Iterator[Stage]:
    with stage() as it:
        yield it


class Peculiar(TlsSession):
    """A session that does otherwise on request."""

    broken = False
    answer = b""

    def encrypt(self, data: bytes) -> None:
        if self.broken:
            raise ssl.SSLError("it is broken")
        super().encrypt(data)

    def close_notify(self) -> None:
        if self.broken:
            raise ssl.SSLError("it is broken")
        super().close_notify()

    def decrypt(self, most: int = 1 << 30) -> bytes | None:
        data = super().decrypt(most)
        if self.answer and data == b"new keys":
            self.encrypt(self.answer)
        return data


class End:
    """One end of a connection, and what it has come to."""

    def __init__(self, here: Stage, stream: SocketStream, session: Peculiar) -> None:
        self.session = session
        self.user = Witness()
        self.protocols: list[str | None] = []
        self.errors: list[Exception | None] = []
        self.secure = SecureStream(here.owner, stream, session, self.opened, self.errors.append)

    def opened(self, alpn: str | None) -> User:
        self.protocols.append(alpn)
        self.secure.begin(self.user)
        return self.user


def ends(here: Stage, folder: Path, client: ssl.SSLContext | None = None) -> tuple[End, End]:
    """Return a client and a server in the midst of their handshake."""
    near, peer = here.connection()
    peer.setblocking(True)
    far = SocketStream(here.owner, peer, here.streams.discard)
    here.streams.add(far)
    trusting = client or certificates.client()
    first = End(here, near, Peculiar(trusting, "localhost"))
    second = End(here, far, Peculiar(certificates.server(folder), None))
    first.secure.handshake()
    second.secure.handshake()
    return first, second


def open_ends(here: Stage, folder: Path) -> tuple[End, End]:
    client, server = ends(here, folder)
    here.until(lambda: client.protocols and server.protocols)
    return client, server


def test_bytes_both_ways_and_an_orderly_end(here: Stage, tmp_path: Path) -> None:
    client, server = open_ends(here, tmp_path)
    client.secure.write(b"hello")
    here.until(lambda: server.user.received)
    server.secure.write(b"answer")
    server.secure.end_sending()
    here.until(lambda: client.user.ends)
    client.secure.write(b"still heard")
    here.until(lambda: bytes(server.user.received) == b"hellostill heard")
    client.secure.close()
    client.secure.close()
    here.until(lambda: server.user.ends)
    server.secure.close()
    here.until(lambda: not here.streams)
    assert client.user.received == b"answer"
    assert (client.user.ends, server.user.ends) == (["eof"], ["eof"])
    assert (client.errors, server.errors) == ([], [])


def test_much_at_once_waits_and_goes_on(here: Stage, tmp_path: Path) -> None:
    client, server = open_ends(here, tmp_path)
    server.secure.set_reading(False)
    client.secure.write(bytes(16 * MIB))
    assert client.secure.waiting_bytes
    server.secure.set_reading(True)
    here.until(lambda: len(server.user.received) == 16 * MIB)
    assert client.user.steps
    assert client.secure.waiting_bytes == 0


def test_pausing(here: Stage, tmp_path: Path) -> None:
    client, server = open_ends(here, tmp_path)
    server.secure.set_reading(False)
    client.secure.write(b"x")
    here.until(lambda: server.secure._stream._held)  # type: ignore[attr-defined] # it is a socket's
    assert server.user.reads == 0
    server.secure.set_reading(True)
    assert server.user.received == b"x"


def test_a_certificate_that_is_not_trusted(here: Stage, tmp_path: Path) -> None:
    client, server = ends(here, tmp_path, ssl.create_default_context())
    here.until(lambda: client.errors and server.errors)
    assert isinstance(client.errors[0], ssl.SSLCertVerificationError)
    assert isinstance(server.errors[0], ssl.SSLError)  # the alert says why
    here.until(lambda: not here.streams)
    assert (client.protocols, server.protocols) == ([], [])


@pytest.mark.parametrize(("data", "kind"), [(b"GET / HTTP/1.1\r\n\r\n", ssl.SSLError), (b"", ssl.SSLError)])
def test_a_peer_that_does_not_speak_tls(here: Stage, tmp_path: Path, data: bytes, kind: type[Exception]) -> None:
    stream, peer = here.connection()
    with peer:
        server = End(here, stream, Peculiar(certificates.server(tmp_path), None))
        server.secure.handshake()
        peer.sendall(data)
        peer.shutdown(socket.SHUT_WR)
        here.until(lambda: server.errors)
        assert isinstance(server.errors[0], kind)
        read_all(peer)
        here.until(lambda: not here.streams)
        server.secure.receive(b"late")
        server.secure.receive_eof()
        server.secure.receive_loss(None)
        server.secure.write(b"late")
        server.secure.end_sending()
        server.secure.set_reading(True)
    assert len(server.errors) == 1


def test_a_peer_that_breaks_the_handshake(here: Stage, tmp_path: Path) -> None:
    stream, peer = here.connection()
    server = End(here, stream, Peculiar(certificates.server(tmp_path), None))
    server.secure.handshake()
    reset(peer)
    here.until(lambda: server.errors)
    assert isinstance(server.errors[0], ConnectionResetError)
    here.until(lambda: not here.streams)


def test_giving_a_handshake_up_says_nothing(here: Stage, tmp_path: Path) -> None:
    stream, peer = here.connection()
    with peer:
        server = End(here, stream, Peculiar(certificates.server(tmp_path), None))
        server.secure.handshake()
        server.secure.close()
        assert peer.recv(1) == b""
        here.until(lambda: not here.streams)
    assert (server.errors, server.protocols) == ([], [])


def test_garbage_behind_the_handshake(here: Stage, tmp_path: Path) -> None:
    client, server = open_ends(here, tmp_path)
    client.secure._stream.write(b"garbage" * 10)
    here.until(lambda: server.user.ends)
    assert server.user.ends == ["SSLError"]
    server.secure.close()
    here.until(lambda: client.user.ends)


def test_a_reset(here: Stage, tmp_path: Path) -> None:
    client, server = open_ends(here, tmp_path)
    client.secure.reset()
    here.until(lambda: server.user.ends)
    assert server.user.ends == ["ConnectionResetError"]
    server.secure.close()
    here.until(lambda: not here.streams)


def test_a_cut_is_no_end_to_a_client_that_minds(here: Stage, tmp_path: Path) -> None:
    strict = certificates.client()
    strict.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    client, server = ends(here, tmp_path, strict)
    here.until(lambda: client.protocols and server.protocols)
    server.secure._stream.close()
    here.until(lambda: client.user.ends)
    assert client.user.ends == ["SSLEOFError"]


def test_closing_waits_for_the_peers_close_notify_but_not_for_ever(
    here: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_sync_tls, "CLOSE_NOTIFY_SECONDS", 0.02)
    client, server = open_ends(here, tmp_path)
    client.secure.close()
    here.until(lambda: server.user.ends)
    assert len(here.streams) == 2  # it is waited for, and nobody answers
    here.until(lambda: len(here.streams) == 1)


def test_what_breaks_while_closing_closes(here: Stage, tmp_path: Path) -> None:
    client, server = open_ends(here, tmp_path)
    client.secure.close()
    server.secure.reset()
    here.until(lambda: not here.streams)
    assert client.user.ends == []


def test_a_session_that_fails_while_sending(here: Stage, tmp_path: Path) -> None:
    client, _ = open_ends(here, tmp_path)
    client.session.broken = True
    client.secure.write(b"x")
    assert client.user.ends == ["SSLError"]
    client.secure.close()


def test_a_session_that_fails_while_ending(here: Stage, tmp_path: Path) -> None:
    client, server = open_ends(here, tmp_path)
    client.session.broken = server.session.broken = True
    client.secure.close()
    server.secure.end_sending()
    assert server.user.ends == ["SSLError"]
    server.secure.close()
    here.until(lambda: not here.streams)
    assert client.user.ends == []


def test_a_peer_that_makes_us_write_has_to_read(here: Stage, tmp_path: Path) -> None:
    """As requests for new keys do, each of which is answered; here each byte is, and with much."""
    client, server = open_ends(here, tmp_path)
    server.session.answer = bytes(16 * MIB)
    client.secure.set_reading(False)
    client.secure.write(b"new keys")
    here.until(lambda: server.secure.waiting_bytes)
    here.until(lambda: server.secure._held)
    client.secure.write(b"more")
    here.owner.step(0.0)
    assert server.user.received == b"new keys"
    client.secure.set_reading(True)
    here.until(lambda: bytes(server.user.received) == b"new keysmore")
    here.until(lambda: len(client.user.received) == 16 * MIB)
