from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from aigw_transports._tls_session import TlsSession
from support import certificates

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def move(source: TlsSession, target: TlsSession) -> None:
    if source.has_outgoing:
        target.receive_data(source.outgoing())


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def ends(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[TlsSession, TlsSession]:
    """A client and a server that have shaken hands."""
    context = certificates.client()
    context.maximum_version = request.param
    context.set_alpn_protocols(["h2", "http/1.1"])
    client, server = TlsSession(context, "127.0.0.1"), TlsSession(certificates.server(tmp_path), None)
    done = [False, False]
    while not all(done):
        done[0] = done[0] or client.handshake()
        move(client, server)
        done[1] = done[1] or server.handshake()
        move(server, client)
    return client, server


def test_both_know_what_was_chosen(ends: tuple[TlsSession, TlsSession]) -> None:
    client, server = ends
    assert client.alpn == server.alpn == "http/1.1"
    assert client.version == server.version
    assert client.version in ("TLSv1.2", "TLSv1.3")


def test_bytes_both_ways(ends: tuple[TlsSession, TlsSession]) -> None:
    for near, far in (ends, ends[::-1]):
        assert far.decrypt() is None
        near.encrypt(b"hello")
        near.encrypt(bytes(100_000))
        move(near, far)
        assert far.decrypt(3) == b"hel"
        assert far.decrypt() == b"lo" + bytes(100_000)
        assert far.decrypt() is None


def test_the_end_of_one_direction_leaves_the_other(ends: tuple[TlsSession, TlsSession]) -> None:
    client, server = ends
    client.encrypt(b"last words")
    client.close_notify()
    client.close_notify()  # says nothing more
    move(client, server)
    assert server.decrypt() == b"last words"
    assert [server.decrypt(), server.decrypt()] == [b"", b""]
    server.encrypt(b"answer")
    move(server, client)
    assert client.decrypt() == b"answer"
    server.close_notify()
    move(server, client)
    assert client.decrypt() == b""


def test_what_is_undecrypted_when_the_own_end_is_said(ends: tuple[TlsSession, TlsSession]) -> None:
    client, server = ends
    server.encrypt(b"early")
    move(server, client)
    client.close_notify()
    client.close_notify()
    assert client.decrypt(2) == b"ea"
    assert client.decrypt() == b"rly"
    assert client.decrypt() is None


def test_a_cut_stream_is_an_error_for_a_client_only(ends: tuple[TlsSession, TlsSession]) -> None:
    client, server = ends
    client.receive_eof()
    with pytest.raises(ssl.SSLEOFError):
        client.decrypt()
    server.receive_eof()
    assert server.decrypt() == b""


def test_a_record_may_come_in_pieces(ends: tuple[TlsSession, TlsSession]) -> None:
    client, server = ends
    client.encrypt(b"one")
    client.encrypt(b"two")
    records = client.outgoing()
    got = b""
    for number in range(len(records)):
        server.receive_data(records[number : number + 1])
        got += server.decrypt() or b""
    assert got == b"onetwo"


def test_what_came_before_garbage_is_decrypted(ends: tuple[TlsSession, TlsSession]) -> None:
    client, server = ends
    client.encrypt(b"good")
    server.receive_data(client.outgoing() + b"\x17\x03\x03\x00\x20" + bytes(32))
    assert server.decrypt() == b"good"
    for _ in range(2):
        with pytest.raises(ssl.SSLError):
            server.decrypt()
    assert server.has_outgoing  # the alert


def test_a_handshake_that_fails_leaves_an_alert(tmp_path: Path) -> None:
    client, server = (
        TlsSession(ssl.create_default_context(), "127.0.0.1"),
        TlsSession(certificates.server(tmp_path), None),
    )
    assert not client.handshake()
    move(client, server)
    assert not server.handshake()
    move(server, client)
    with pytest.raises(ssl.SSLCertVerificationError):
        client.handshake()
    move(client, server)
    with pytest.raises(ssl.SSLError, match="ALERT_UNKNOWN_CA"):
        server.handshake()
