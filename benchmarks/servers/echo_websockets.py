"""Echo with websockets."""

from __future__ import annotations

import asyncio

import serving
import websockets
from websockets.asyncio.server import ServerConnection, serve


async def echo(socket: ServerConnection) -> None:
    """Send back every message."""
    try:
        async for message in socket:
            await socket.send(message)
    except websockets.ConnectionClosed:
        return  # between a message and its echo


async def main() -> None:
    """Serve until the process is ended."""
    async with serve(echo, "127.0.0.1", 0, compression=None, max_size=None) as server:
        serving.listening(next(iter(server.sockets)).getsockname()[1])
        await asyncio.Event().wait()


serving.run(main, serving.arguments(__doc__).loop)
