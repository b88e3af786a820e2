"""The gateway in an ASGI application: `uvicorn asgi_app:app`. The server has framed the WebSockets, and speaks TLS.

The driver for asyncio runs in the application's lifespan and holds the links to the providers. Each WebSocket of the
application becomes a link of the engine, to which it is a client like any other: it is admitted, limited, logged and
closed as if it had connected by itself.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncGenerator

import anyio
from example_gateway import GRACE_SECONDS, make_engine
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from aigw_proto import Input, ShutdownRequested
from aigw_proto.ws import BinaryMessage, MessageSocket, UpgradeRefused
from aigw_transports.asyncio_protocol import Driver, MessageLink

log = logging.getLogger("asgi_app")


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    """Run the driver as long as the application, and let requests finish at the end."""
    async with anyio.create_task_group() as tasks:
        driver = Driver[Input](make_engine(), journal=lambda record: log.info("%s", record))
        app.state.driver = await tasks.start(driver.run)
        yield
        driver.feed(ShutdownRequested(GRACE_SECONDS))


async def serve(websocket: WebSocket) -> None:
    """Serve one WebSocket: ask the engine, then let messages go both ways until one side closes."""
    scope = websocket.scope
    query: bytes = scope["query_string"]
    socket = MessageSocket(
        now=time.monotonic(),
        target=scope["raw_path"] + (b"?" + query if query else b""),
        headers=list(scope["headers"]),
        subprotocols=scope["subprotocols"],
    )
    driver: Driver[Input] = websocket.app.state.driver
    host, port = scope["client"] or ("unknown", 0)
    async with driver.accept_messages(f"{host}:{port}", socket) as link:
        opened = await link.opening()
        if isinstance(opened, UpgradeRefused):
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in opened.headers}
            await websocket.send_denial_response(Response(opened.body, opened.status, headers))
            return
        await websocket.accept(opened.subprotocol, opened.headers)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(read, websocket, link)
            await write(websocket, link)
            tasks.cancel_scope.cancel()


async def read(websocket: WebSocket, link: MessageLink) -> None:
    """Bring the client's messages. The engine holds this up when it does not want more."""
    while (message := await websocket.receive())["type"] == "websocket.receive":
        if (text := message.get("text")) is not None:
            await link.receive_text(text)
        else:
            await link.receive_binary(message["bytes"])
    link.receive_disconnect(message.get("code"), message.get("reason") or "")


async def write(websocket: WebSocket, link: MessageLink) -> None:
    """Pass on the engine's messages, and its end. A client that does not read holds this up, and so the engine."""
    try:
        async for message in link:
            if isinstance(message, BinaryMessage):
                await websocket.send_bytes(message.data)
            else:
                await websocket.send_text(message.data)
        if link.closed is not None:
            await websocket.close(link.closed.code, link.closed.reason)
    except WebSocketDisconnect as gone:
        link.receive_disconnect(gone.code)


app = Starlette(routes=[WebSocketRoute("/v1/{path:path}", serve)], lifespan=lifespan)
