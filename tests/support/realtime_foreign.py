"""Providers that nobody here wrote: WebSocket servers of other libraries, in a thread of their own."""

from __future__ import annotations

import asyncio
import http
import queue
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import aiohttp
import aiohttp.web
import websockets.asyncio.server
import websockets.exceptions

if TYPE_CHECKING:
    from collections.abc import Generator

    from websockets.http11 import Request, Response

PATIENCE_SECONDS = 60
BODY = '{"error": {"message": "Incorrect API key provided: é", "code": "invalid_api_key"}}'
LARGE = 2 << 20

# Every provider greets, sends each message back, and does what a text says that begins with a slash:
#   /close CODE REASON   closes with them         /drop   hangs up without a Close
# A query with `refuse` gets 401 instead of an upgrade. The Close that a client sends is noted under the whole query.


class Providers:
    """The servers' ports, and the Closes that clients have sent to them."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}
        self.closes: queue.Queue[tuple[str, int, str]] = queue.Queue()
        self.failure: BaseException | None = None
        self._seen: dict[str, tuple[int, str]] = {}

    def close_of(self, query: str) -> tuple[int, str]:
        """Wait for the Close that the client of that session sent; its code (1005 for none) and reason."""
        while query not in self._seen:
            name, code, reason = self.closes.get(timeout=PATIENCE_SECONDS)
            self._seen[name] = code, reason
        return self._seen.pop(query)


@contextmanager
def providers() -> Generator[Providers]:
    """Run one server of each library until the block ends."""
    state = Providers()
    loop = asyncio.new_event_loop()
    ready, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        async with websockets.asyncio.server.serve(
            lambda connection: _serve_websockets(connection, state),
            "127.0.0.1",
            0,
            process_request=_refuse_websockets,
            select_subprotocol=_select_websockets,
            max_size=None,
        ) as server:
            state.ports["websockets"] = server.sockets[0].getsockname()[1]
            runner = aiohttp.web.AppRunner(_aiohttp_app(state), shutdown_timeout=1.0)
            await runner.setup()
            site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            state.ports["aiohttp"] = runner.addresses[0][1]
            ready.set()
            await stop.wait()
            await runner.cleanup()

    def run() -> None:
        try:
            loop.run_until_complete(main())
        except BaseException as failure:  # noqa: BLE001 - it is raised again where somebody sees it
            state.failure = failure
        finally:
            ready.set()
            loop.close()

    thread = threading.Thread(target=run)
    thread.start()
    ready.wait(PATIENCE_SECONDS)
    try:
        yield state
    finally:
        if state.failure is None:
            loop.call_soon_threadsafe(stop.set)
        thread.join(PATIENCE_SECONDS)
    if state.failure is not None:
        raise state.failure


async def _serve_websockets(connection: websockets.asyncio.server.ServerConnection, state: Providers) -> None:
    await connection.send("created")
    try:
        async for message in connection:
            if isinstance(message, str) and message.startswith("/close"):
                _, code, reason = message.split(" ", 2)
                await connection.close(int(code), reason)
            elif message == "/drop":
                connection.transport.abort()
            else:
                await connection.send(message)
    except websockets.exceptions.ConnectionClosedError:
        pass
    close = connection.protocol.close_rcvd
    if close is not None and connection.request is not None:
        state.closes.put((connection.request.path.partition("?")[2], close.code, close.reason))


def _refuse_websockets(connection: websockets.asyncio.server.ServerConnection, request: Request) -> Response | None:
    if "refuse" not in request.path:
        return None
    response = connection.respond(http.HTTPStatus.UNAUTHORIZED, BODY)
    response.headers["Retry-After"] = "7"
    return response


def _select_websockets(_: websockets.asyncio.server.ServerConnection, offered: object) -> websockets.Subprotocol | None:
    name = websockets.Subprotocol("realtime")
    return name if isinstance(offered, (list, tuple)) and name in offered else None


def _aiohttp_app(state: Providers) -> aiohttp.web.Application:
    async def serve(request: aiohttp.web.Request) -> aiohttp.web.StreamResponse:
        if "refuse" in request.query_string:
            headers = {"Retry-After": "7", "Content-Type": "text/plain; charset=utf-8"}
            return aiohttp.web.Response(status=401, text=BODY, headers=headers)
        socket = aiohttp.web.WebSocketResponse(protocols=["realtime"], max_msg_size=0)
        await socket.prepare(request)
        await socket.send_str("created")
        async for message in socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                await socket.send_bytes(message.data)
            elif message.data.startswith("/close"):
                _, code, reason = message.data.split(" ", 2)
                await socket.close(code=int(code), message=reason.encode())
            elif message.data == "/drop":
                assert request.transport is not None
                request.transport.abort()
            else:
                await socket.send_str(message.data)
        if socket.close_code is not None:
            state.closes.put((request.query_string, socket.close_code, ""))
        return socket

    app = aiohttp.web.Application()
    app.router.add_get("/{path:.*}", serve)
    return app
