"""What the asyncio driver listens with. The loops' own servers log a traceback for every connection that fails."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio.abc import SocketAttribute

from aigw_proto._effects import Log, LogLevel

from ._accepting import (
    ACCEPT_PAUSE_SECONDS,
    HANDSHAKE_SECONDS,
    MOST_HANDSHAKES,
    address_pair,
    handshake_error,
    is_passing,
    readable_address,
)
from ._asyncio_connect import attach, set_up
from ._asyncio_link import Home, Link
from ._asyncio_tls import SecureTransport

if TYPE_CHECKING:
    import socket
    from collections.abc import Coroutine

__all__ = ["Acceptor", "Host", "bound_address", "listen"]

_ACCEPTS_PER_CALL = 64  # then others have their turn


class Host(Home, Protocol):
    """A home that takes guests."""

    def accept(self, peer: str) -> Link:
        """Return a fresh link for a connection that was accepted."""
        ...

    def start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run `work` as a task that the host waits for at its end."""
        ...

    def log(self, effect: Log) -> None:
        """Write one line."""
        ...


async def listen(host: str = "127.0.0.1", port: int = 0) -> list[socket.socket]:
    """Listen at each address of `host`, on `port`, or on a free one for 0. Raises OSError."""
    multi = await anyio.create_tcp_listener(local_host=host, local_port=port)
    return [listener.extra(SocketAttribute.raw_socket) for listener in multi.listeners]  # noqa: S610 - no database


def bound_address(listener: socket.socket) -> tuple[str, int]:
    """Return host and port of a listener."""
    return address_pair(listener.getsockname())


class Acceptor:
    """Accepts on one listener, with TLS when there is a context. Closes what does not get through its handshake."""

    def __init__(self, host: Host, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        """Begin to accept. The listener is closed with `close()`."""
        self._host = host
        self._listener = listener
        self._context = context
        self._handshakes: dict[SecureTransport, tuple[str, asyncio.TimerHandle]] = {}
        self._pause: asyncio.TimerHandle | None = None
        listener.setblocking(False)
        self._resume()

    def close(self) -> None:
        """Stop listening, and give up the handshakes under way."""
        if self._pause is not None:
            self._pause.cancel()
        if self._listener.fileno() >= 0:
            self._host.loop.remove_reader(self._listener)
        self._listener.close()
        for secure, (_, timer) in self._handshakes.items():
            timer.cancel()
            secure.abort()
        self._handshakes.clear()

    def _resume(self) -> None:
        self._host.loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        for _ in range(_ACCEPTS_PER_CALL):
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._host.loop.remove_reader(self._listener)
                if not is_passing(error):
                    self._host.failed(error)
                    return
                self._host.log(Log(LogLevel.WARNING, "cannot accept a connection", {"error": str(error)}))
                self._pause = self._host.loop.call_later(ACCEPT_PAUSE_SECONDS, self._resume)
                return
            peer = address if isinstance(address, str) else address_pair(address)
            self._host.start(self._attach(connection, readable_address(peer)))

    async def _attach(self, connection: socket.socket, peer: str) -> None:
        try:
            set_up(connection)
        except OSError:  # it has gone already
            connection.close()
            return
        await attach(
            connection, self._host.accept(peer) if self._context is None else self._secure(self._context, peer)
        )

    def _secure(self, context: ssl.SSLContext, peer: str) -> SecureTransport:
        if len(self._handshakes) >= MOST_HANDSHAKES:
            self._give_up(next(iter(self._handshakes)))

        def make_link(_: str | None) -> Link:
            self._end(secure)
            return self._host.accept(peer)

        def failed(error: Exception | None) -> None:
            self._log(self._end(secure), handshake_error(error))

        secure = SecureTransport(self._host, context, None, make_link, failed)
        self._handshakes[secure] = peer, self._host.loop.call_later(HANDSHAKE_SECONDS, self._give_up, secure)
        return secure

    def _end(self, secure: SecureTransport) -> str:
        peer, timer = self._handshakes.pop(secure)
        timer.cancel()
        return peer

    def _give_up(self, secure: SecureTransport) -> None:
        secure.abort()
        self._log(self._end(secure), "it took too long")

    def _log(self, peer: str, reason: str) -> None:
        self._host.log(Log(LogLevel.INFO, "TLS handshake failed", {"peer": peer, "error": reason}))
