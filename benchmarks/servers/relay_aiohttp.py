"""A relay with aiohttp."""

from __future__ import annotations

import asyncio

import aiohttp
import serving
from aiohttp import web

options = serving.arguments(__doc__)
SESSION = web.AppKey("session", aiohttp.ClientSession)
Socket = web.WebSocketResponse | aiohttp.ClientWebSocketResponse


async def pump(source: Socket, target: Socket) -> None:
    """Pass on messages until one side closes, then close the other."""
    async for message in source:
        if message.type is aiohttp.WSMsgType.TEXT:
            await target.send_str(message.data)
        elif message.type is aiohttp.WSMsgType.BINARY:
            await target.send_bytes(message.data)
    await target.close()


async def relay(request: web.Request) -> web.WebSocketResponse:
    """Open the provider's socket and join the two."""
    url = f"ws://127.0.0.1:{options.provider}{request.path_qs}"
    async with request.app[SESSION].ws_connect(url, max_msg_size=0) as provider:
        client = web.WebSocketResponse(compress=False, max_msg_size=0)
        await client.prepare(request)
        await asyncio.gather(pump(client, provider), pump(provider, client))
    return client


async def main() -> None:
    """Serve until the process is ended."""
    application = web.Application()
    application.router.add_get("/{path:.*}", relay)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        application[SESSION] = session
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
        serving.listening(runner.addresses[0][1])
        await asyncio.Event().wait()


serving.run(main, options.loop)
