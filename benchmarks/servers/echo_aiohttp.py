"""Echo with aiohttp."""

from __future__ import annotations

import asyncio

import aiohttp
import serving
from aiohttp import web


async def echo(request: web.Request) -> web.WebSocketResponse:
    """Send back every message."""
    socket = web.WebSocketResponse(compress=False, max_msg_size=0)
    await socket.prepare(request)
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            await socket.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await socket.send_bytes(message.data)
    return socket


async def main() -> None:
    """Serve until the process is ended."""
    application = web.Application()
    application.router.add_get("/{path:.*}", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    serving.listening(runner.addresses[0][1])
    await asyncio.Event().wait()


serving.run(main, serving.arguments(__doc__).loop)
