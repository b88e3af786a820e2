from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from aigw_proto._effects import CloseHow, Log, LogLevel
from aigw_proto._inputs import BytesReceived, Input, LinkAccepted
from aigw_proto._kinds import LinkId
from aigw_transports import _asyncio_accept
from aigw_transports._anyio_link import _reset_on_close
from aigw_transports._anyio_tls import SecureStream
from aigw_transports._asyncio_accept import Acceptor, bound_address, listen
from aigw_transports._asyncio_link import READ_BYTES, Link, Owner
from support import certificates
from support.loops import each_loop

pytestmark = [pytest.mark.anyio, each_loop]


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return certificates.server(tmp_path)


class Echoing:
    """A host whose links echo, with everything that it was told."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.reads_on = not isinstance(self.loop, asyncio.BaseEventLoop)
        self.links: dict[LinkId, Link] = {}
        self.peers: list[str] = []
        self.owners: set[Owner] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.lines: list[Log] = []
        self.failures: list[Exception] = []
        self.news = anyio.Event()

    def feed_link(self, event: Input) -> None:
        if isinstance(event, BytesReceived):
            self.links[event.link].send([event.data])
            self.links[event.link].close(CloseHow.FLUSH)

    def opened(self, owner: Owner) -> None:
        self.owners.add(owner)
        self.news.set()

    def lost(self, owner: Owner) -> None:
        self.owners.discard(owner)
        self.news.set()

    def accept(self, peer: str) -> Link:
        number = LinkId(2 * len(self.links))
        self.peers.append(peer)
        self.links[number] = Link(self, number, LinkAccepted(number, peer))
        return self.links[number]

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def log(self, effect: Log) -> None:
        self.lines.append(effect)
        self.news.set()

    def failed(self, error: Exception) -> None:
        self.failures.append(error)
        self.news.set()

    async def line(self) -> tuple[str, str]:
        """Wait for the next line; return whom it is about, and why."""
        while not self.lines:
            await self.news.wait()
            self.news = anyio.Event()
        line = self.lines.pop(0)
        assert (line.level, line.message, line.exception) == (LogLevel.INFO, "TLS handshake failed", None)
        assert list(line.details) == ["peer", "error"]
        return str(line.details["peer"]), str(line.details["error"])

    async def until_empty(self) -> None:
        while self.owners or self.tasks:
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def accepting(context: ssl.SSLContext | None) -> AsyncGenerator[tuple[Echoing, tuple[str, int]], None]:
    """Listen, and echo."""
    with anyio.fail_after(20):
        [listener] = await listen()
        host = Echoing()
        acceptor = Acceptor(host, listener, context)
        try:
            yield host, bound_address(listener)
        finally:
            acceptor.close()
        acceptor.close()  # does nothing more
        await host.until_empty()
    assert not host.lines
    assert not host.failures


async def talk(address: tuple[str, int]) -> None:
    """Say something, and hear it again."""
    async with SecureStream(await anyio.connect_tcp(*address), certificates.client(), "127.0.0.1") as stream:
        await stream.handshake()
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"


async def until_closed(stream: ByteStream) -> None:
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


def local_name(stream: SocketStream) -> str:
    return f"127.0.0.1:{stream.extra(SocketAttribute.local_port)}"


async def test_without_tls() -> None:
    async with accepting(None) as (host, address):
        for _ in range(70):
            async with await anyio.connect_tcp(*address) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
                assert host.peers[-1] == local_name(stream)


async def test_who_gets_through_is_handed_on(context: ssl.SSLContext) -> None:
    async with accepting(context) as (_, address), anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(talk, address)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http request"),
        (b"\x16\x03\x01\x00\x05nonse", "wrong version number|unexpected message|length|bad"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(506), "length|parse|bad|no shared|extension|cipher"),
        (bytes(5000), "wrong version number"),
    ],
)
async def test_what_is_no_handshake_is_closed(context: ssl.SSLContext, sent: bytes, reason: str) -> None:
    async with accepting(context) as (host, address):
        async with await anyio.connect_tcp(*address) as stream:
            await stream.send(sent)
            await until_closed(stream)
            peer, said = await host.line()
            assert peer == local_name(stream)
            assert any(word in said for word in reason.split("|")), said
        await talk(address)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_goes_away(context: ssl.SSLContext, sent: bytes, reset: bool) -> None:
    async with accepting(context) as (host, address):
        stream = await anyio.connect_tcp(*address)
        name = local_name(stream)
        while not host.owners:
            await anyio.lowlevel.checkpoint()
        if sent:
            await stream.send(sent)
        if reset:
            _reset_on_close(stream)
        await stream.aclose()
        assert await host.line() == (name, "Connection reset by peer" if reset else "the client closed the connection")
        await talk(address)


async def test_a_client_that_does_not_trust_us(context: ssl.SSLContext) -> None:
    async with accepting(context) as (host, address):
        async with SecureStream(await anyio.connect_tcp(*address), ssl.create_default_context(), "127.0.0.1") as stream:
            with pytest.raises(ssl.SSLCertVerificationError):
                await stream.handshake()
        assert (await host.line())[1] == "tlsv1 alert unknown ca"


async def test_a_client_that_says_nothing(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_accept, "HANDSHAKE_SECONDS", 0.05)
    async with accepting(context) as (host, address), await anyio.connect_tcp(*address) as silent:
        await until_closed(silent)
        assert await host.line() == (local_name(silent), "it took too long")


async def test_those_who_say_nothing_keep_nobody_out(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_accept, "MOST_HANDSHAKES", 3)
    async with accepting(context) as (host, address):
        silent = [await anyio.connect_tcp(*address) for _ in range(3)]
        for _ in range(3):
            await talk(address)
        await until_closed(silent[0])
        assert await host.line() == (local_name(silent[0]), "it took too long")
        assert not host.lines  # who got through made room
        for stream in silent[1:]:
            name = local_name(stream)
            await stream.aclose()
            assert await host.line() == (name, "the client closed the connection")
        await silent[0].aclose()


async def test_closing_gives_handshakes_up(context: ssl.SSLContext) -> None:
    async with accepting(context) as (host, address):
        silent = await anyio.connect_tcp(*address)
        while not host.owners:
            await anyio.lowlevel.checkpoint()
    await until_closed(silent)
    await silent.aclose()


class Tired(socket.socket):
    """A listener that fails before it accepts."""

    errors: tuple[int, ...] = ()

    def accept(self) -> tuple[socket.socket, Any]:
        if self.errors:
            number, *rest = self.errors
            self.errors = tuple(rest)
            raise OSError(number, "tired")
        return super().accept()


def tired(*errors: int) -> Tired:
    listener = Tired()
    listener.errors = errors
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return listener


async def test_running_out_of_file_descriptors_is_survived(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_accept, "ACCEPT_PAUSE_SECONDS", 0.001)
    with anyio.fail_after(20):
        listener = tired(errno.EMFILE, errno.EINTR, errno.ECONNABORTED)
        host = Echoing()
        acceptor = Acceptor(host, listener, None)
        async with await anyio.connect_tcp(*bound_address(listener)) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
        acceptor.close()
        await host.until_empty()
    assert [(line.level, line.message) for line in host.lines] == [(LogLevel.WARNING, "cannot accept a connection")] * 2


async def test_closing_in_the_pause() -> None:
    with anyio.fail_after(20):
        listener = tired(errno.EMFILE)
        host = Echoing()
        acceptor = Acceptor(host, listener, None)
        async with await anyio.connect_tcp(*bound_address(listener)):
            await host.news.wait()
            acceptor.close()


async def test_a_listener_that_fails_for_good_says_so() -> None:
    with anyio.fail_after(20):
        listener = tired(errno.EBADF)
        host = Echoing()
        acceptor = Acceptor(host, listener, None)
        async with await anyio.connect_tcp(*bound_address(listener)):
            await host.news.wait()
        acceptor.close()
    assert [getattr(error, "errno", None) for error in host.failures] == [errno.EBADF]


async def test_a_connection_that_has_gone_already(monkeypatch: pytest.MonkeyPatch) -> None:
    gone: list[socket.socket] = []

    def set_up(opened: socket.socket) -> None:
        gone.append(opened)
        raise OSError(errno.EINVAL, "gone")

    monkeypatch.setattr(_asyncio_accept, "set_up", set_up)
    async with accepting(None) as (_, address), await anyio.connect_tcp(*address) as stream:
        await until_closed(stream)
        assert [connection.fileno() for connection in gone] == [-1]


async def test_a_socket_with_a_path(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    with anyio.fail_after(20), socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        host = Echoing()
        acceptor = Acceptor(host, listener, None)
        assert bound_address(listener) == (path, 0)
        async with await anyio.connect_unix(path) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
        assert host.peers == ["local"]
        acceptor.close()
        await host.until_empty()
