from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from aigw_proto._effects import Log, LogLevel
from aigw_transports import _anyio_accept, _anyio_link
from aigw_transports._anyio_accept import SecureListener, bound_address, peer_name
from aigw_transports._anyio_tls import SecureStream
from support import certificates

pytestmark = pytest.mark.anyio


@pytest.fixture
def context(tmp_path: Path) -> ssl.SSLContext:
    return certificates.server(tmp_path)


class Lines:
    """Collects what is logged, and lets a test wait for it."""

    def __init__(self) -> None:
        self.lines: list[Log] = []
        self.news = anyio.Event()

    def __call__(self, line: Log) -> None:
        self.lines.append(line)
        self.news.set()

    async def next(self) -> tuple[str, str]:
        """Wait for the next line; return whom it is about, and why."""
        while not self.lines:
            await self.news.wait()
            self.news = anyio.Event()
        line = self.lines.pop(0)
        assert (line.level, line.message, line.exception) == (LogLevel.INFO, "TLS handshake failed", None)
        assert list(line.details) == ["peer", "error"]
        return str(line.details["peer"]), str(line.details["error"])


async def echo(stream: ByteStream) -> None:
    async with stream:
        await stream.send(await stream.receive())


@asynccontextmanager
async def listening(context: ssl.SSLContext) -> AsyncGenerator[tuple[SecureListener, Lines], None]:
    """Listen with TLS, and echo."""
    lines = Lines()
    with anyio.fail_after(20):
        plain = (await anyio.create_tcp_listener(local_host="127.0.0.1")).listeners[0]
        async with SecureListener(plain, context, lines) as listener, anyio.create_task_group() as tasks:
            tasks.start_soon(listener.serve, echo)
            yield listener, lines
            tasks.cancel_scope.cancel()
    assert not lines.lines


async def dial(listener: SecureListener) -> SocketStream:
    return await anyio.connect_tcp(*bound_address(listener))


async def talk(listener: SecureListener) -> None:
    """Say something, and hear it again."""
    async with SecureStream(await dial(listener), certificates.client(), "127.0.0.1") as stream:
        await stream.handshake()
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"


async def until_closed(stream: ByteStream) -> None:
    try:
        while True:
            await stream.receive()
    except (anyio.EndOfStream, anyio.BrokenResourceError):
        return


async def until_accepted(listener: SecureListener) -> None:
    while not listener._handshakes:
        await anyio.lowlevel.checkpoint()


def local_name(stream: SocketStream) -> str:
    return f"127.0.0.1:{stream.extra(SocketAttribute.local_port)}"


async def test_who_gets_through_is_handed_on(context: ssl.SSLContext) -> None:
    async with listening(context) as (listener, _), anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(talk, listener)


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "http request"),
        (b"\x16\x03\x01\x00\x05nonse", "wrong version number|unexpected message|length|bad"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(506), "length|parse|bad|no shared|extension|cipher"),
        (b"\xff" * 100, "wrong version number"),
        (bytes(5000), "wrong version number"),
    ],
)
async def test_what_is_no_handshake_is_closed(context: ssl.SSLContext, sent: bytes, reason: str) -> None:
    async with listening(context) as (listener, lines):
        async with await dial(listener) as stream:
            await stream.send(sent)
            await until_closed(stream)
            peer, said = await lines.next()
            assert peer == local_name(stream)
            assert any(word in said for word in reason.split("|")), said
            assert said.isprintable()
        await talk(listener)


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01\x02"])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_client_that_goes_away(context: ssl.SSLContext, sent: bytes, reset: bool) -> None:
    async with listening(context) as (listener, lines):
        stream = await dial(listener)
        name = local_name(stream)
        await until_accepted(listener)
        if sent:
            await stream.send(sent)
        if reset:
            _anyio_link._reset_on_close(stream)
        await stream.aclose()
        assert await lines.next() == (name, "Connection reset by peer" if reset else "the client closed the connection")
        await talk(listener)


async def test_a_client_that_does_not_trust_us(context: ssl.SSLContext) -> None:
    async with listening(context) as (listener, lines):
        async with SecureStream(await dial(listener), ssl.create_default_context(), "127.0.0.1") as stream:
            with pytest.raises(ssl.SSLCertVerificationError):
                await stream.handshake()
        assert (await lines.next())[1] == "tlsv1 alert unknown ca"


async def test_a_client_that_says_nothing(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(context) as (listener, lines):
        monkeypatch.setattr(_anyio_accept, "HANDSHAKE_SECONDS", 0.05)
        async with await dial(listener) as silent:
            await until_closed(silent)
            assert await lines.next() == (local_name(silent), "it took too long")


async def test_those_who_say_nothing_keep_nobody_out(context: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_anyio_accept, "MOST_HANDSHAKES", 3)
    async with listening(context) as (listener, lines):
        silent = [await dial(listener) for _ in range(3)]
        for _ in range(3):
            await talk(listener)
        await until_closed(silent[0])
        assert await lines.next() == (local_name(silent[0]), "it took too long")
        assert not lines.lines  # who got through made room
        for stream in silent[1:]:
            name = local_name(stream)
            await stream.aclose()
            assert await lines.next() == (name, "the client closed the connection")
        await silent[0].aclose()


async def test_closing_gives_handshakes_up(context: ssl.SSLContext) -> None:
    lines = Lines()
    with anyio.fail_after(20):
        plain = (await anyio.create_tcp_listener(local_host="127.0.0.1")).listeners[0]
        listener = SecureListener(plain, context, lines)
        async with await dial(listener) as silent, anyio.create_task_group() as handshakes:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(listener.serve, echo, handshakes)
                await until_accepted(listener)
                tasks.cancel_scope.cancel()
            await listener.aclose()
            await until_closed(silent)
    assert not lines.lines


async def test_what_a_bug_leaves_is_closed(context: ssl.SSLContext) -> None:
    def broken(line: Log) -> None:
        raise ZeroDivisionError

    with anyio.fail_after(20):
        plain = (await anyio.create_tcp_listener(local_host="127.0.0.1")).listeners[0]
        async with SecureListener(plain, context, broken) as listener:
            with pytest.raises(ExceptionGroup):
                await meet_a_bug(listener)


async def meet_a_bug(listener: SecureListener) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, echo)
        async with await dial(listener) as stream:
            await stream.send(b"GET / HTTP/1.1\r\n\r\n")
            await until_closed(stream)


class Named(ByteStream):
    """A stream that only has an address."""

    def __init__(self, *address: Any) -> None:
        self.address = address

    async def receive(self, max_bytes: int = 65536) -> bytes:
        raise NotImplementedError

    async def send(self, item: bytes) -> None:
        raise NotImplementedError

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        raise NotImplementedError

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {SocketAttribute.remote_address: lambda: self.address[0]} if self.address else {}


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ([("127.0.0.1", 80)], "127.0.0.1:80"),
        ([("::1", 80)], "[::1]:80"),
        ([""], "local"),
        (["/run/socket"], "/run/socket"),
        ([], "unknown"),
    ],
)
async def test_peers_have_readable_names(address: list[Any], name: str) -> None:
    assert peer_name(Named(*address)) == name


async def test_what_the_system_says_is_said() -> None:
    error = anyio.BrokenResourceError()
    error.__cause__ = TimeoutError("timed out")
    assert _anyio_accept._in_words(error) == "timed out"
    assert _anyio_accept._in_words(anyio.BrokenResourceError()) == "the client closed the connection"
    nameless = ssl.SSLError(1, "Something new")
    nameless.reason = ""
    assert "something new" in _anyio_accept._in_words(nameless)
