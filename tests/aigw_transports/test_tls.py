from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import trustme
from anyio.abc import AnyByteStream, SocketAttribute, SocketStream
from anyio.streams.tls import TLSListener, TLSStream
from cryptography.hazmat.primitives import serialization

from aigw_proto._effects import TlsPolicy
from aigw_proto._inputs import BytesReceived, ConnectFailed, ConnectFailure, Input, LinkConnected, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_proto.testing import Checked, ToyEngine
from aigw_transports._tls import BadTlsFile, client_context
from aigw_transports._tls import server_context as make_server_context
from aigw_transports.anyio import Driver
from support import certificates

LINK = LinkId(1)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def ca_file(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("tls") / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


def server_context(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with authority.issue_cert(*names).private_key_and_cert_chain_pem.tempfile() as path:
        context.load_cert_chain(path)
    context.set_alpn_protocols(["http/1.1"])
    return context


class Client(ToyEngine):
    """Opens a link with TLS, says hello, and ends with what the other side has to say."""

    def __init__(self, port: int, policy: TlsPolicy | None, host: str = "127.0.0.1") -> None:
        super().__init__()
        self.target = (host, port, policy)
        self.seen: list[Input] = []
        self.deadline = 0.0

    def woken(self) -> None:
        host, port, policy = self.target
        self.connect(host, port, policy, ("h2", "http/1.1"))

    def received(self, event: Input) -> None:
        self.seen.append(event)
        match event:
            case LinkConnected(link):
                self.send(link, b"hello")
            case BytesReceived():
                pass
            case PeerClosed(link):
                self.close(link)
                self.drain()
            case ConnectFailed():
                self.drain()
            case _:
                pass


async def talk(port: int, policy: TlsPolicy | None) -> list[Input]:
    engine = Client(port, policy)
    await Driver(Checked(engine)).run()
    return engine.seen


Handler = Callable[[Any], Awaitable[None]]


class QuietListener(TLSListener):
    """Says nothing of handshakes that fail: they are meant to."""

    @staticmethod
    async def handle_handshake_error(exc: BaseException, stream: AnyByteStream) -> None:
        await anyio.aclose_forcefully(stream)


async def meet(context: ssl.SSLContext | None, policy: TlsPolicy, handler: Handler) -> list[Input]:
    """Connect to a server with that context, or to one without TLS; return what the client's engine sees."""
    seen: list[Input] = []
    with anyio.fail_after(20):
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as plain, anyio.create_task_group() as tasks:
            listener = plain if context is None else QuietListener(plain, context)
            tasks.start_soon(listener.serve, handler)
            seen += await talk(plain.extra(SocketAttribute.local_port), policy)
            tasks.cancel_scope.cancel()
    return seen


async def failure(context: ssl.SSLContext | None, policy: TlsPolicy, handler: Handler | None = None) -> ConnectFailed:
    """Return how connecting to that server fails."""
    seen = await meet(context, policy, handler or answer)
    assert len(seen) == 1
    assert isinstance(seen[0], ConnectFailed)
    return seen[0]


async def answer(stream: TLSStream) -> None:
    async with stream:
        await stream.send(b"got " + await stream.receive())


async def refuse_in_clear(stream: SocketStream) -> None:
    async with stream:
        await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@pytest.mark.anyio
async def test_a_good_certificate(authority: trustme.CA, ca_file: str) -> None:
    seen = await meet(server_context(authority, "127.0.0.1"), TlsPolicy(ca_file), answer)
    assert seen[0] == LinkConnected(LINK, "http/1.1")
    assert b"".join(event.data for event in seen if isinstance(event, BytesReceived)) == b"got hello"
    assert seen[-1] == PeerClosed(LINK, clean=True)


@pytest.mark.anyio
async def test_a_certificate_for_another_host(authority: trustme.CA, ca_file: str) -> None:
    failed = await failure(server_context(authority, "api.example.com"), TlsPolicy(ca_file))
    assert failed.failure is ConnectFailure.CERTIFICATE
    assert "IP address mismatch" in failed.detail


@pytest.mark.anyio
async def test_a_certificate_of_an_unknown_authority(ca_file: str) -> None:
    failed = await failure(server_context(trustme.CA(), "127.0.0.1"), TlsPolicy(ca_file))
    assert failed.failure is ConnectFailure.CERTIFICATE
    assert "unable to get local issuer certificate" in failed.detail


@pytest.mark.anyio
async def test_the_systems_authorities_do_not_know_ours(authority: trustme.CA) -> None:
    failed = await failure(server_context(authority, "127.0.0.1"), TlsPolicy())
    assert failed.failure is ConnectFailure.CERTIFICATE


@pytest.mark.anyio
async def test_a_server_without_tls(ca_file: str) -> None:
    failed = await failure(None, TlsPolicy(ca_file), refuse_in_clear)
    assert failed.failure is ConnectFailure.TLS
    assert failed.detail.startswith("127.0.0.1:")


@pytest.mark.anyio
async def test_a_server_with_an_old_protocol_only(authority: trustme.CA, ca_file: str) -> None:
    context = server_context(authority, "127.0.0.1")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    failed = await failure(context, TlsPolicy(ca_file))
    assert failed.failure is ConnectFailure.TLS


@pytest.mark.anyio
async def test_a_missing_ca_file_fails_the_connect(authority: trustme.CA, tmp_path: Path) -> None:
    failed = await failure(server_context(authority, "127.0.0.1"), TlsPolicy(str(tmp_path / "missing.pem")))
    assert failed.failure is ConnectFailure.TLS
    assert "No such file" in failed.detail


async def cut_off(stream: TLSStream) -> None:
    await stream.receive()
    await stream.send(b"HTTP/1.1 200 OK\r\n\r\nhal")
    await stream.transport_stream.aclose()


@pytest.mark.anyio
async def test_an_end_without_close_notify_is_not_clean(authority: trustme.CA, ca_file: str) -> None:
    seen = await meet(server_context(authority, "127.0.0.1"), TlsPolicy(ca_file), cut_off)
    assert seen[-1] == PeerClosed(LINK, clean=False)


def test_contexts_check_everything(ca_file: str) -> None:
    context = client_context(TlsPolicy(ca_file))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert not context.options & ssl.OP_IGNORE_UNEXPECTED_EOF
    assert context.options & ssl.OP_NO_RENEGOTIATION


def test_contexts_are_kept_by_policy_and_protocols(ca_file: str) -> None:
    assert client_context(TlsPolicy(ca_file)) is client_context(TlsPolicy(ca_file))
    assert client_context(TlsPolicy(ca_file)) is not client_context(TlsPolicy())
    assert client_context(TlsPolicy(), ("h2",)) is not client_context(TlsPolicy(), ("http/1.1",))


def test_a_file_that_is_no_certificate(tmp_path: Path) -> None:
    path = tmp_path / "empty.pem"
    path.write_text("nothing", encoding="utf-8")
    with pytest.raises(OSError, match=r"(?i)pem|certificate"):
        client_context(TlsPolicy(str(path)))


# ---- the server's side ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
def test_a_certificate_and_its_key(tmp_path: Path, key_type: trustme.KeyType) -> None:
    context = make_server_context(*certificates.write_files(tmp_path, key_type))
    assert not isinstance(context, BadTlsFile)
    assert context.verify_mode is ssl.CERT_NONE
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION
    assert context.options & ssl.OP_IGNORE_UNEXPECTED_EOF
    assert context.num_tickets == 0


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    certificate, key = certificates.write_files(tmp_path)
    both = tmp_path / "both.pem"
    both.write_bytes(Path(key).read_bytes() + Path(certificate).read_bytes())
    assert not isinstance(make_server_context(str(both), str(both)), BadTlsFile)


def encrypted(key: bytes, form: serialization.PrivateFormat) -> bytes:
    loaded = serialization.load_pem_private_key(key, None)
    return loaded.private_bytes(serialization.Encoding.PEM, form, serialization.BestAvailableEncryption(b"hush"))


TORN = b"-----BEGIN %s-----\nAAAA\n-----END %s-----\n"
TORN_CERTIFICATE, TORN_KEY = (TORN % (kind, kind) for kind in (b"CERTIFICATE", b"PRIVATE KEY"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "{file} cannot be read: No such file or directory"),
        (b"", "expected a PEM file with certificates; {file} is none"),
        (b"0\x82\x01\x0a not PEM", "expected a PEM file with certificates; {file} is none"),
        (TORN_KEY, "expected a PEM file with certificates; {file} is none"),
        (TORN_CERTIFICATE, "a certificate in {file} is damaged"),
        (b"x" * (1 << 20) + b"x", "{file} has more than 1048576 bytes"),
    ],
)
def test_certificates_that_cannot_be_used(tmp_path: Path, content: bytes | None, message: str) -> None:
    _, key = certificates.write_files(tmp_path)
    file = tmp_path / "bad.pem"
    if content is not None:
        file.write_bytes(content)
    assert make_server_context(str(file), key) == BadTlsFile(is_key=False, message=message.format(file=file))


def test_a_chain_with_a_damaged_link(tmp_path: Path) -> None:
    certificate, key = certificates.write_files(tmp_path)
    with Path(certificate).open("ab") as chain:
        chain.write(TORN_CERTIFICATE)
    damaged = BadTlsFile(is_key=False, message=f"a certificate in {certificate} is damaged")
    assert make_server_context(certificate, key) == damaged


def test_a_key_that_is_too_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        error = ssl.SSLError(1, "[SSL: EE_KEY_TOO_SMALL] ee key too small")
        error.reason = "EE_KEY_TOO_SMALL"
        raise error

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", refuse)
    certificate, key = certificates.write_files(tmp_path)
    refused = BadTlsFile(is_key=False, message=f"{certificate} cannot be used: ee key too small")
    assert make_server_context(certificate, key) == refused


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "{file} cannot be read: No such file or directory"),
        (b"", "expected a PEM file with a private key; {file} is none"),
        (TORN_CERTIFICATE, "expected a PEM file with a private key; {file} is none"),
        (TORN_KEY, "the private key in {file} is damaged"),
    ],
)
def test_keys_that_cannot_be_used(tmp_path: Path, content: bytes | None, message: str) -> None:
    certificate, _ = certificates.write_files(tmp_path)
    file = tmp_path / "bad.key"
    if content is not None:
        file.write_bytes(content)
    assert make_server_context(certificate, str(file)) == BadTlsFile(is_key=True, message=message.format(file=file))


@pytest.mark.parametrize(
    "form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL], ids=["new", "old"]
)
def test_a_key_with_a_password(tmp_path: Path, form: serialization.PrivateFormat) -> None:
    certificate, key = certificates.write_files(tmp_path)
    Path(key).write_bytes(encrypted(Path(key).read_bytes(), form))
    wanted = BadTlsFile(is_key=True, message=f"expected a private key without a password; the one in {key} has one")
    assert make_server_context(certificate, key) == wanted


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
def test_a_key_of_another_certificate(tmp_path: Path, key_type: trustme.KeyType) -> None:
    certificate, _ = certificates.write_files(tmp_path)
    (tmp_path / "other").mkdir()
    _, key = certificates.write_files(tmp_path / "other", key_type)
    other = BadTlsFile(is_key=True, message=f"{key} is not the key of the first certificate in {certificate}")
    assert make_server_context(certificate, key) == other
