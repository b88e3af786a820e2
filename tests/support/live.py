"""A gateway and a fake provider on loopback sockets, in one process with the test; and gateways played by hand."""

from __future__ import annotations

import functools
import os
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import anyio
from anyio.streams.tls import TLSStream

from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto._kinds import Signal
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.mock import MockEngine
from aigw_proto.providers import BaseUrl, ProviderTable
from aigw_proto.ws import Closed, Opening, UpgradeOffer, WebSocketEvent, WSConnection
from aigw_transports.anyio import Driver, serve

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from aigw_proto._kinds import Engine

TIMEOUT_SECONDS = 60.0  # for a test that hangs; none comes near it


def run(backend: str, main: Callable[[], Awaitable[None]]) -> None:
    """Run a test's coroutine on that backend."""

    async def bounded() -> None:
        with anyio.fail_after(TIMEOUT_SECONDS):
            await main()

    anyio.run(bounded, backend=backend)


@asynccontextmanager
async def running(engine: Engine[Input], journal: Callable[[object], None] | None = None) -> AsyncGenerator[int, None]:
    """Run an engine on a free loopback port."""
    async with anyio.create_task_group() as tasks:
        driver: Driver[Input] = await tasks.start(functools.partial(serve, engine, journal=journal))
        yield driver.addresses[0][1]
        driver.feed(ShutdownRequested(0.0))


@asynccontextmanager
async def live_gateway(
    settings: Sequence[GatewaySettings] = (GatewaySettings(),), journal: Callable[[object], None] | None = None
) -> AsyncGenerator[str, None]:
    """Run a gateway with every provider at the mock; gives the address of gateway `default`."""
    async with running(MockEngine()) as mock_port:
        providers = ProviderTable.builtin().redirected(
            BaseUrl(is_secure=False, host="127.0.0.1", port=mock_port, path="")
        )
        engine = GatewayEngine(
            GatewayConfig(tuple(settings), providers), random_bytes=os.urandom, epoch_unix_seconds=1.7e9
        )
        async with running(engine, journal) as port:
            yield f"ws://127.0.0.1:{port}/v1/local/default"


class Hand:
    """A gateway's end of one connection, for a test to play."""

    def __init__(self, stream: ByteStream) -> None:
        self.stream = stream
        self.opening = Opening.server(now=anyio.current_time())
        self.ws: WSConnection | None = None

    async def accept(self) -> None:
        """Answer the upgrade with a 101."""
        while not isinstance(self.opening.next_event(), UpgradeOffer):
            self.opening.receive_data(await self.stream.receive(), anyio.current_time())
        self.opening.accept()
        await self.flush()
        self.opening.next_event()
        self.ws = self.opening.connection(now=anyio.current_time())

    async def reject(self, status: int, body: bytes) -> None:
        """Answer the upgrade with an error."""
        while not isinstance(self.opening.next_event(), UpgradeOffer):
            self.opening.receive_data(await self.stream.receive(), anyio.current_time())
        self.opening.reject(status, body)
        await self.flush()

    async def next_event(self) -> WebSocketEvent:
        """Wait for the next event of the WebSocket; Close and pings are answered."""
        assert self.ws is not None
        while isinstance(event := self.ws.next_event(), Signal):
            try:
                self.ws.receive_data(await self.stream.receive(), anyio.current_time())
            except anyio.EndOfStream:
                self.ws.receive_eof(anyio.current_time())
        await self.flush()
        return event

    async def read_to_end(self) -> Closed:
        """Read to the end, answering Close."""
        while not isinstance(event := await self.next_event(), Closed):
            pass
        return event

    async def flush(self) -> None:
        """Send what is queued."""
        for chunk in (self.ws or self.opening).data_to_send():
            await self.stream.send(chunk)


@asynccontextmanager
async def played(
    play: Callable[[Hand], Awaitable[None]], tls: ssl.SSLContext | None = None
) -> AsyncGenerator[str, None]:
    """Listen with a gateway that is played by hand, one call of `play` for each connection."""

    async def handle(stream: ByteStream) -> None:
        try:
            if tls is not None:
                stream = await TLSStream.wrap(stream, ssl_context=tls, server_side=True, standard_compatible=False)
        except (ssl.SSLError, anyio.EndOfStream, anyio.BrokenResourceError):
            await stream.aclose()
            return
        async with stream:
            await play(Hand(stream))

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        yield f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}/v1/local/default"
        tasks.cancel_scope.cancel()
    await listener.aclose()
