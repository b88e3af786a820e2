"""A real `aigw serve`, driven by WebSocket clients that nobody here wrote."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
import trio
import trio_websocket
import websockets.asyncio.client
import websockets.sync.client

from support.process import Process, serving

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

MANY = 500
CONFIGURATION = f"""
[[gateway]]
id = "default"
authentication = false

[[gateway]]
id = "closed"
tokens = ["a-token"]

[limits]
max_in_flight = {MANY}
"""


@pytest.fixture(scope="module")
def gateway() -> Iterator[Process]:
    with serving(CONFIGURATION, "--mock") as process:
        yield process


def message(event_id: str, *, stream: bool = False, fault: str = "", provider: str = "openai", **query: Any) -> str:
    step = {
        "eventId": event_id,
        "provider": provider,
        "endpoint": "chat/completions",
        "headers": {"authorization": "Bearer key", **({"x-aigw-mock": fault} if fault else {})},
        "query": {
            "model": "m",
            "messages": [{"role": "user", "content": f"I am {event_id}"}],
            "stream": stream,
            **query,
        },
    }
    return json.dumps({"type": "universal.create", "request": step})


class Script:
    """What a client does, without knowing the library that carries it."""

    def __init__(self, send: Callable[[str], Awaitable[None]], receive: Callable[[], Awaitable[str]]) -> None:
        self.send = send
        self._receive = receive

    async def receive(self) -> dict[str, Any]:
        frame: dict[str, Any] = json.loads(await self._receive())
        return frame

    async def reply(self) -> None:
        await self.send(message("one"))
        frame = await self.receive()
        assert frame["type"] == "universal.created"
        assert frame["metadata"]["eventId"] == "one"
        assert frame["metadata"]["status"] == 200
        assert frame["metadata"]["contentType"].startswith("application/json")
        assert frame["response"]["choices"][0]["message"]["content"] == "You said: I am one"

    async def stream(self) -> None:
        await self.send(message("two", stream=True))
        first = await self.receive()
        assert first["type"] == "universal.created"
        assert "response" not in first
        text = ""
        while (frame := await self.receive())["type"] == "universal.stream":
            assert frame["metadata"]["eventId"] == "two"
            for choice in frame["response"]["choices"]:
                text += choice["delta"].get("content") or ""
        assert frame["type"] == "universal.done"
        assert text == "You said: I am two"

    async def errors(self) -> None:
        await self.send(message("three", fault="status=429,retry_after=1"))
        frame = await self.receive()
        assert frame["metadata"]["status"] == 429
        assert "error" in frame["response"]
        await self.send(message("four", provider="nobody"))
        frame = await self.receive()
        assert frame["metadata"]["eventId"] == "four"
        assert frame["response"]["error"][0]["code"] == 2008

    async def cancel(self) -> None:
        await self.send(message("five", stream=True, fault="stall_after=2"))
        types = [(await self.receive())["type"] for _ in range(3)]
        assert types == ["universal.created", "universal.stream", "universal.stream"]
        await self.send(json.dumps({"type": "universal.cancel", "eventId": "five"}))
        frame = await self.receive()
        assert frame["type"] == "universal.done"
        assert frame["metadata"]["cancelled"] is True

    async def many(self) -> None:
        """All are under way at once: none is answered before the last was sent."""
        for number in range(MANY):
            await self.send(message(f"m{number}", fault="first_byte_delay=1.5"))
        seen: set[str] = set()
        while len(seen) < MANY:
            frame = await self.receive()
            event_id = frame["metadata"]["eventId"]
            assert event_id not in seen
            seen.add(event_id)
            assert frame["metadata"]["status"] == 200, frame
            assert frame["response"]["choices"][0]["message"]["content"] == f"You said: I am {event_id}"

    async def all(self) -> None:
        await self.reply()
        await self.stream()
        await self.errors()
        await self.cancel()
        await self.many()


def url(gateway: Process, name: str = "default") -> str:
    return f"{gateway.url}/v1/account/{name}"


def test_websockets_asyncio(gateway: Process) -> None:
    async def main() -> None:
        async with websockets.asyncio.client.connect(url(gateway)) as socket:

            async def receive() -> str:
                data = await socket.recv()
                assert isinstance(data, str)
                return data

            await Script(socket.send, receive).all()

    asyncio.run(asyncio.wait_for(main(), 120))


def test_websockets_sync(gateway: Process) -> None:
    with websockets.sync.client.connect(url(gateway)) as socket:

        async def send(text: str) -> None:
            socket.send(text)

        async def receive() -> str:
            data = socket.recv(timeout=60)
            assert isinstance(data, str)
            return data

        coroutine = Script(send, receive).all()
        with pytest.raises(StopIteration):
            coroutine.send(None)  # nothing in it ever waits


def test_aiohttp(gateway: Process) -> None:
    async def main() -> None:
        async with aiohttp.ClientSession() as session, session.ws_connect(url(gateway)) as socket:
            await Script(socket.send_str, socket.receive_str).all()

    asyncio.run(asyncio.wait_for(main(), 120))


def test_trio_websocket(gateway: Process) -> None:
    async def main() -> None:
        with trio.fail_after(120):
            async with trio_websocket.open_websocket_url(url(gateway)) as socket:

                async def receive() -> str:
                    data = await socket.get_message()
                    assert isinstance(data, str)
                    return data

                await Script(socket.send_message, receive).all()

    trio.run(main)


def test_a_token_in_the_header_or_in_a_subprotocol(gateway: Process) -> None:
    address = url(gateway, "closed")
    for value in ("Bearer a-token", "a-token"):
        with websockets.sync.client.connect(address, additional_headers={"cf-aig-authorization": value}) as socket:
            assert socket.subprotocol is None
    item = websockets.Subprotocol("cf-aig-authorization.a-token")
    with websockets.sync.client.connect(address, subprotocols=[item]) as socket:
        assert socket.subprotocol == item
    with websockets.sync.client.connect(address, subprotocols=[item, websockets.Subprotocol("mine")]) as socket:
        assert socket.subprotocol == "mine"
    assert "a-token" not in gateway.log


def test_abrupt_disconnect_cancels_what_is_under_way(gateway: Process) -> None:
    async def main() -> None:
        socket = await websockets.asyncio.client.connect(url(gateway))
        for number in range(3):
            await socket.send(message(f"gone-{number}", stream=True, fault="stall_after=1"))
        for _ in range(6):
            await socket.recv()
        socket.transport.abort()

    asyncio.run(asyncio.wait_for(main(), 60))
    gateway.wait_for_log('"disconnected"', 3)
    gone = {record["event_id"] for record in gateway.records if record.get("outcome") == "disconnected"}
    assert gone >= {"gone-0", "gone-1", "gone-2"}


def test_closing_in_order_gets_an_answer(gateway: Process) -> None:
    with websockets.sync.client.connect(url(gateway)) as socket:
        socket.send(message("x", stream=True, fault="stall_after=1"))
        socket.recv(timeout=60)
        socket.close(1000, "enough")
        assert socket.close_code == 1000
