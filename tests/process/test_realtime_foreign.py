"""Clients and providers that nobody here wrote, with a real `aigw serve` between them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import random
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import aiohttp
import pytest
import trio
import trio_websocket
import websockets.asyncio.client
import websockets.exceptions
import websockets.sync.client

from support.process import Process, serving
from support.realtime_foreign import BODY, LARGE, PATIENCE_SECONDS, Providers, providers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
    from contextlib import AbstractAsyncContextManager

TOKEN = "sesame-token"
KEY = "sk-of-the-client"
SUBPROTOCOLS = ["realtime", f"openai-insecure-api-key.{KEY}"]
SERVERS = ["websockets", "aiohttp"]


@pytest.fixture(scope="module")
def servers() -> Iterator[Providers]:
    with providers() as state:
        yield state


@pytest.fixture(scope="module", params=["plain", "compressed"])
def gateway(request: pytest.FixtureRequest, servers: Providers) -> Iterator[Process]:
    """A gateway that compresses nothing, and one that compresses wherever the other side agrees."""
    compressed = str(request.param == "compressed").lower()
    custom = "".join(
        f"""
        [custom_provider.{name}]
        base_url = "http://127.0.0.1:{port}"
        realtime_url = "ws://127.0.0.1:{port}/live"
        allow_private_address = true
        permessage_deflate = {compressed}
        """
        for name, port in servers.ports.items()
    )
    configuration = f"""
        [server]
        permessage_deflate = {compressed}

        [[gateway]]
        id = "default"
        tokens = ["{TOKEN}"]
        {custom}
        """
    with serving(configuration) as process:
        yield process
        assert TOKEN not in process.log
        assert KEY not in process.log


@pytest.fixture(params=SERVERS)
def url(request: pytest.FixtureRequest, gateway: Process) -> str:
    return f"{gateway.url}/v1/account/default/custom-{request.param}"


class Socket(Protocol):
    """What the scripts need of a library."""

    subprotocol: str | None

    async def send(self, message: str | bytes) -> None: ...

    async def receive(self) -> str | bytes: ...

    async def close(self, code: int, reason: str) -> None: ...

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the end; code and reason of the Close."""
        ...


Connect: TypeAlias = "Callable[[str], AbstractAsyncContextManager[Socket]]"


async def speak(connect: Connect, url: str, servers: Providers) -> None:
    """Say all kinds of things and hear them again; then close."""
    messages: list[str | bytes] = ["Grüße, 世界 🙂 1.10 \\u00e9", "", b"", bytes(range(256)), "x" * 70_000]
    messages.append(random.Random(1).randbytes(LARGE))
    query = f"model={uuid.uuid4()}"
    async with connect(f"{url}?{query}") as socket:
        assert socket.subprotocol == "realtime"
        assert await socket.receive() == "created"
        for message in messages:
            await socket.send(message)
            assert await socket.receive() == message
        for number in range(500):
            await socket.send(f"{number}")
        for number in range(500):
            assert await socket.receive() == f"{number}"
        await socket.close(4001, "done")
    assert servers.close_of(query) in ((4001, "done"), (4001, ""))


async def be_closed(connect: Connect, url: str) -> None:
    """See the provider close, and hang up."""
    for word, code, told in (
        ("/close 3000 session_expired", 3000, "session_expired"),
        ("/close 1000 bis später ✓", 1000, "bis später ✓"),
        ("/close 1011 internal", 1011, "internal"),
        ("/drop", 1011, None),
    ):
        async with connect(f"{url}?model=m") as socket:
            assert await socket.receive() == "created"
            await socket.send(word)
            got_code, got_reason = await socket.closed()
            assert got_code == code
            assert told is None or got_reason in (told, None)


# ---- clients -----------------------------------------------------------------------------------------------------

HEADERS = {"cf-aig-authorization": TOKEN}


class WebsocketsAsyncio:
    def __init__(self, connection: websockets.asyncio.client.ClientConnection) -> None:
        self.connection = connection
        self.subprotocol: str | None = connection.subprotocol

    async def send(self, message: str | bytes) -> None:
        await self.connection.send(message)

    async def receive(self) -> str | bytes:
        return await self.connection.recv()

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code, reason)

    async def closed(self) -> tuple[int | None, str | None]:
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            await self.connection.recv()
        return self.connection.close_code, self.connection.close_reason

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str) -> AsyncGenerator[WebsocketsAsyncio]:
        subprotocols = [websockets.Subprotocol(name) for name in SUBPROTOCOLS]
        async with websockets.asyncio.client.connect(
            url, subprotocols=subprotocols, additional_headers=HEADERS, max_size=None
        ) as connection:
            yield cls(connection)


class WebsocketsSync:
    def __init__(self, connection: websockets.sync.client.ClientConnection) -> None:
        self.connection = connection
        self.subprotocol: str | None = connection.subprotocol

    async def send(self, message: str | bytes) -> None:
        self.connection.send(message)

    async def receive(self) -> str | bytes:
        return self.connection.recv(timeout=PATIENCE_SECONDS)

    async def close(self, code: int, reason: str) -> None:
        self.connection.close(code, reason)

    async def closed(self) -> tuple[int | None, str | None]:
        with pytest.raises(websockets.exceptions.ConnectionClosed):
            self.connection.recv(timeout=PATIENCE_SECONDS)
        return self.connection.close_code, self.connection.close_reason

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str) -> AsyncGenerator[WebsocketsSync]:
        subprotocols = [websockets.Subprotocol(name) for name in SUBPROTOCOLS]
        with websockets.sync.client.connect(
            url, subprotocols=subprotocols, additional_headers=HEADERS, max_size=None
        ) as connection:
            yield cls(connection)


class Aiohttp:
    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self.connection = connection
        self.subprotocol: str | None = connection.protocol

    async def send(self, message: str | bytes) -> None:
        await (self.connection.send_str(message) if isinstance(message, str) else self.connection.send_bytes(message))

    async def receive(self) -> str | bytes:
        message = await self.connection.receive()
        assert message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY), message
        data: str | bytes = message.data
        return data

    async def close(self, code: int, reason: str) -> None:
        await self.connection.close(code=code, message=reason.encode())

    async def closed(self) -> tuple[int | None, str | None]:
        message = await self.connection.receive()
        assert message.type is aiohttp.WSMsgType.CLOSE, message
        return self.connection.close_code, message.extra

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str) -> AsyncGenerator[Aiohttp]:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(url, protocols=SUBPROTOCOLS, headers=HEADERS, max_msg_size=0, compress=15) as connection,
        ):
            yield cls(connection)


class Trio:
    def __init__(self, connection: trio_websocket.WebSocketConnection) -> None:
        self.connection = connection
        self.subprotocol: str | None = connection.subprotocol

    async def send(self, message: str | bytes) -> None:
        await self.connection.send_message(message)

    async def receive(self) -> str | bytes:
        message: str | bytes = await self.connection.get_message()
        return message

    async def close(self, code: int, reason: str) -> None:
        await self.connection.aclose(code, reason)

    async def closed(self) -> tuple[int | None, str | None]:
        with pytest.raises(trio_websocket.ConnectionClosed) as raised:
            await self.connection.get_message()
        assert raised.value.reason is not None
        return raised.value.reason.code, raised.value.reason.reason

    @classmethod
    @contextlib.asynccontextmanager
    async def connect(cls, url: str) -> AsyncGenerator[Trio]:
        async with trio_websocket.open_websocket_url(
            url,
            subprotocols=SUBPROTOCOLS,
            extra_headers=[(name.encode(), value.encode()) for name, value in HEADERS.items()],
            max_message_size=2 * LARGE,
        ) as connection:
            try:
                yield cls(connection)
            finally:  # a connection that the other side has closed is left to the garbage collector
                await connection._stream.aclose()


def run_asyncio(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await main()

    asyncio.run(bounded())


def run_trio(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            await main()

    trio.run(bounded)


CLIENTS: dict[str, tuple[Connect, Callable[[Callable[[], Awaitable[None]]], None]]] = {
    "websockets-asyncio": (WebsocketsAsyncio.connect, run_asyncio),
    "websockets-sync": (WebsocketsSync.connect, run_asyncio),
    "aiohttp": (Aiohttp.connect, run_asyncio),
    "trio-websocket": (Trio.connect, run_trio),
}


@pytest.mark.parametrize("client", CLIENTS)
def test_a_conversation(url: str, servers: Providers, client: str) -> None:
    connect, run = CLIENTS[client]
    run(functools.partial(speak, connect, url, servers))


@pytest.mark.parametrize("client", CLIENTS)
def test_what_ends_a_session(url: str, servers: Providers, client: str) -> None:
    connect, run = CLIENTS[client]
    run(functools.partial(be_closed, connect, url))


def test_compression_is_the_gateways_matter(url: str, request: pytest.FixtureRequest) -> None:
    with websockets.sync.client.connect(f"{url}?model=m", additional_headers=HEADERS) as connection:
        assert bool(connection.protocol.extensions) == ("compressed" in request.node.name)
        assert connection.recv(timeout=PATIENCE_SECONDS) == "created"


def test_a_refusal_in_websockets(url: str) -> None:
    with pytest.raises(websockets.exceptions.InvalidStatus) as refused:
        websockets.sync.client.connect(f"{url}?refuse", additional_headers=HEADERS)
    response = refused.value.response
    assert response.status_code == 401
    assert response.headers["Retry-After"] == "7"
    assert (response.body or b"").decode() == BODY


def test_a_refusal_in_aiohttp(url: str) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(f"{url}?refuse", headers=HEADERS)
            assert refused.value.status == 401
            assert refused.value.headers is not None
            assert refused.value.headers["Retry-After"] == "7"

    run_asyncio(main)


# ---- Node --------------------------------------------------------------------------------------------------------

SCRIPT = Path(__file__).with_name("realtime_foreign.cjs")


def run_node(*arguments: str) -> str | None:
    """Run Node; what it prints, or None when it fails."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node is not installed")
    done = subprocess.run([node, *arguments], capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    return done.stdout if done.returncode == 0 else None


def node_command(library: str) -> list[str]:
    """Return the options that make a WebSocket of this kind available; skips when nothing does."""
    if library == "ws":
        if run_node("-e", "require.resolve('ws')") is None:
            pytest.skip("Node finds no package ws: npm install ws, and name its node_modules in NODE_PATH")
        return []
    for options in ([], ["--experimental-websocket"]):
        if run_node(*options, "-e", "new WebSocket('ws://127.0.0.1:1').onerror = () => process.exit(0)") is not None:
            return options
    pytest.skip("this Node has no WebSocket of its own")


@pytest.mark.parametrize("library", ["ws", "native"])
def test_node(url: str, servers: Providers, library: str) -> None:
    protocols = [*SUBPROTOCOLS, f"cf-aig-authorization.{TOKEN}"]
    query = f"model={uuid.uuid4()}-"
    printed = run_node(*node_command(library), str(SCRIPT), library, f"{url}?{query}", *protocols)
    assert printed is not None
    spoken, closed, expired, dropped, refused = map(json.loads, printed.splitlines())
    assert spoken["protocol"] == "realtime"
    assert spoken["messages"] == [
        "created", "Grüße, 世界 🙂 1.10", "", {"binary": [0, 255, 128, 10]}, {"binary": []}, "x" * 70_000
    ]  # fmt: skip
    assert servers.close_of(f"{query}speak") in ((4001, "done ✓"), (4001, ""))
    assert spoken["code"] in (4001, 1000), "what the provider answered; aiohttp's answer is always 1000"
    assert spoken["clean"]
    assert servers.close_of(f"{query}close") in ((1005, ""), (0, "")), "no status, which is 0 in aiohttp"
    assert closed["code"] in (1005, 1000)
    assert closed["clean"]
    assert (expired["code"], expired["reason"], expired["clean"]) == (3000, "session_expired", True)
    assert (dropped["code"], dropped["clean"]) == (1011, True)
    if library == "ws":
        assert (refused["status"], refused["retryAfter"], refused["body"]) == (401, "7", BODY)
    else:
        assert refused["protocol"] is None
