from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import pytest
import trustme
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.tls import TLSAttribute

from aigw_transports._anyio_tls import SecureStream
from support import certificates

pytestmark = pytest.mark.anyio
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
MIB = 1024 * 1024


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def client(request: pytest.FixtureRequest) -> ssl.SSLContext:
    context = certificates.client()
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.maximum_version = request.param
    return context


@pytest.fixture
def server(tmp_path: Path) -> ssl.SSLContext:
    return certificates.server(tmp_path)


@asynccontextmanager
async def connection() -> AsyncGenerator[tuple[ByteStream, ByteStream], None]:
    """Give both ends of a loopback connection."""
    ends: list[ByteStream] = []
    accepted = anyio.Event()

    async def keep(stream: ByteStream) -> None:
        ends.append(stream)
        accepted.set()

    with anyio.fail_after(20):
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(listener.serve, keep)
            async with await anyio.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port)) as stream:
                await accepted.wait()
                async with ends[0]:
                    yield stream, ends[0]
            tasks.cancel_scope.cancel()


async def shake_hands(*streams: SecureStream) -> None:
    async with anyio.create_task_group() as tasks:
        for stream in streams:
            tasks.start_soon(stream.handshake)


@asynccontextmanager
async def secured(
    client: ssl.SSLContext, server: ssl.SSLContext
) -> AsyncGenerator[tuple[SecureStream, SecureStream], None]:
    """Give both ends of a connection whose handshake is done: the client's, the server's."""
    async with connection() as (near, far):
        ends = SecureStream(near, client, "127.0.0.1"), SecureStream(far, server)
        await shake_hands(*ends)
        yield ends


async def read_exactly(stream: SecureStream, count: int) -> bytes:
    data = b""
    while len(data) < count:
        data += await stream.receive()
    assert len(data) == count
    return data


@pytest.mark.parametrize("key_type", list(trustme.KeyType))
async def test_bytes_both_ways(client: ssl.SSLContext, key_type: trustme.KeyType, tmp_path: Path) -> None:
    payload = bytes(range(256)) * 4096
    async with secured(client, certificates.server(tmp_path, key_type)) as ends:
        for sender, receiver in (ends, ends[::-1]):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sender.send, payload)
                assert await read_exactly(receiver, MIB) == payload
            assert sender.extra(TLSAttribute.alpn_protocol) == "http/1.1"
            assert sender.extra(SocketAttribute.remote_port) == receiver.extra(SocketAttribute.local_port)
        assert ends[0].extra(TLSAttribute.tls_version) == client.maximum_version.name.replace("_", ".")


async def test_what_came_together_is_received_together(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    async with secured(client, server) as (near, far):
        for _ in range(100):
            near._session.encrypt(b"x" * 10)
        await near.send(b"y")
        assert await far.receive(995) == b"x" * 995
        assert await far.receive(995) == b"x" * 5 + b"y"


async def test_one_direction_ends_before_the_other(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    async with secured(client, server) as (near, far):
        await far.send(b"all")
        await far.send_eof()
        assert await near.receive() == b"all"
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await near.receive()
        await near.send(b"heard")
        assert await far.receive() == b"heard"
        await near.send_eof()
        for _ in range(2):
            with pytest.raises(anyio.EndOfStream):
                await far.receive()
        await far.send_eof()


async def test_ending_keeps_what_is_not_decrypted_yet(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    async with secured(client, server) as (near, far):
        near._session.encrypt(b"0123456789")
        near._session.encrypt(b"abc")
        await near.send(b"z")
        assert await far.receive(2) == b"01"
        await far.send_eof()
        await near.send(b"more")
        assert [await far.receive(9), await far.receive(9)] == [b"23456789a", b"bcz"]
        assert await far.receive() == b"more"
        with pytest.raises(anyio.EndOfStream):
            await near.receive()


async def test_ending_after_the_peer(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    async with secured(client, server) as (near, far):
        near._session.encrypt(b"last words")
        await near.send_eof()
        assert await far.receive(4) == b"last"
        await far.send_eof()
        assert await far.receive() == b" words"
        for stream in (near, far):
            with pytest.raises(anyio.EndOfStream):
                await stream.receive()


async def test_a_stream_that_is_cut(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    client.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    async with secured(client, server) as (near, far):
        await far.send(b"half")
        await far.transport.send_eof()
        assert await near.receive() == b"half"
        with pytest.raises(ssl.SSLError):
            await near.receive()
    async with secured(client, server) as (near, far):
        await near.send(b"half")
        await near.transport.send_eof()
        assert await far.receive() == b"half"
        with pytest.raises(anyio.EndOfStream):
            await far.receive()


async def test_garbage_behind_good_bytes(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    async with secured(client, server) as (near, far):
        near._session.encrypt(b"good")
        await near.transport.send(near._session.outgoing() + b"\x17\x03\x03\x00\x20" + bytes(32))
        assert await far.receive() == b"good"
        with pytest.raises(ssl.SSLError):
            await far.receive()
        with pytest.raises(ssl.SSLError, match="alert"):
            await near.receive()
        with pytest.raises(ssl.SSLError):
            await far.send_eof()


@pytest.mark.parametrize("gone", [False, True], ids=["is told why", "is gone"])
async def test_a_client_that_is_too_old(server: ssl.SSLContext, gone: bool) -> None:
    client = certificates.client()
    client.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    async with connection() as (near, far):
        stream = SecureStream(near, client, "127.0.0.1")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refuse, SecureStream(far, server), "UNSUPPORTED_PROTOCOL", gone)
            with pytest.raises((ssl.SSLError, anyio.BrokenResourceError), match=None if gone else "alert protocol"):
                await stream.handshake()


async def refuse(stream: SecureStream, reason: str, gone: bool = False) -> None:
    if gone:
        stream.transport = Gone(stream.transport)
    with pytest.raises(ssl.SSLError) as caught:
        await stream.handshake()
    assert caught.value.reason == reason
    await stream.aclose()


class Gone(ByteStream):
    """A transport on which nothing can be sent any more."""

    def __init__(self, transport: ByteStream) -> None:
        self.transport = transport

    async def receive(self, max_bytes: int = 65536) -> bytes:
        return await self.transport.receive(max_bytes)

    async def send(self, item: bytes) -> None:
        raise anyio.BrokenResourceError

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        await self.transport.aclose()


async def test_a_server_that_is_not_trusted(server: ssl.SSLContext) -> None:
    async with connection() as (near, far):
        stream = SecureStream(near, ssl.create_default_context(), "127.0.0.1")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(refuse, SecureStream(far, server), "TLSV1_ALERT_UNKNOWN_CA")
            with pytest.raises(ssl.SSLCertVerificationError):
                await stream.handshake()


async def test_two_tasks_at_once(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    payload = bytes(8 * MIB)
    async with secured(client, server) as ends, anyio.create_task_group() as tasks:
        for stream in ends:
            tasks.start_soon(stream.send, payload)
        for stream in ends:
            tasks.start_soon(read_exactly, stream, len(payload))
