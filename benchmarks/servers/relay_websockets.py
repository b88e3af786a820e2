"""A relay with websockets."""

from __future__ import annotations

import asyncio

import serving
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve

options = serving.arguments(__doc__)


async def pump(source: Connection, target: Connection) -> None:
    """Pass on messages until one side closes, then close the other."""
    try:
        async for message in source:
            await target.send(message)
    except websockets.ConnectionClosed:
        pass
    await target.close()


async def relay(client: ServerConnection) -> None:
    """Open the provider's socket and join the two."""
    assert client.request is not None
    url = f"ws://127.0.0.1:{options.provider}{client.request.path}"
    async with connect(url, compression=None, max_size=None, proxy=None) as provider:
        await asyncio.gather(pump(client, provider), pump(provider, client))


async def main() -> None:
    """Serve until the process is ended."""
    async with serve(relay, "127.0.0.1", 0, compression=None, max_size=None, backlog=4096) as server:
        serving.listening(next(iter(server.sockets)).getsockname()[1])
        await asyncio.Event().wait()


serving.run(main, options.loop)
