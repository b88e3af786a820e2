"""What the anyio driver listens with: the TLS handshakes of clients, and how addresses are written."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.abc import ByteStream, Listener, SocketAttribute

from aigw_proto._effects import Log, LogLevel

from ._accepting import HANDSHAKE_SECONDS, MOST_HANDSHAKES, address_pair, handshake_error, readable_address
from ._anyio_link import hold_back
from ._anyio_tls import SecureStream

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from anyio.abc import TaskGroup

__all__ = ["SecureListener", "bound_address", "peer_name"]

_BROKEN = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)


class SecureListener(Listener[ByteStream]):
    """Hands on connections whose TLS handshake is done, and closes those that do not get there.

    Closing it gives up the handshakes under way.
    """

    def __init__(self, listener: Listener[ByteStream], context: ssl.SSLContext, log: Callable[[Log], None]) -> None:
        """Accept with `listener`, which is closed with this one. `log` gets one line for each failed handshake."""
        self._listener = listener
        self._context = context
        self._log = log
        self._handshakes: dict[anyio.CancelScope, None] = {}
        self._closed = False

    async def serve(self, handler: Callable[[ByteStream], Any], task_group: TaskGroup | None = None) -> None:
        """Accept until closed; every connection is a task, in which the handshake comes first."""

        async def secured(stream: ByteStream) -> None:
            secure = await self._secure(stream)
            if secure is not None:
                await handler(secure)

        await self._listener.serve(secured, task_group)

    async def aclose(self) -> None:
        """Stop listening."""
        self._closed = True
        for scope in self._handshakes:
            scope.cancel()
        await self._listener.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the listener within."""
        attributes: Mapping[Any, Callable[[], Any]] = cast("Any", self._listener).extra_attributes
        return attributes

    async def _secure(self, stream: ByteStream) -> SecureStream | None:
        peer = peer_name(stream)  # which nobody knows any more when the connection is gone
        secure = None
        try:
            reason = await self._handshake(candidate := SecureStream(stream, self._context))
            if reason is None:
                secure = candidate
            elif not self._closed:
                self._log(Log(LogLevel.INFO, "TLS handshake failed", {"peer": peer, "error": reason}))
        finally:
            if secure is None:
                await anyio.aclose_forcefully(stream)
        return secure

    async def _handshake(self, stream: SecureStream) -> str | None:
        """Do the handshake, or say why it failed."""
        hold_back(stream)
        if len(self._handshakes) >= MOST_HANDSHAKES:
            oldest = next(iter(self._handshakes))
            del self._handshakes[oldest]
            oldest.cancel()
        scope = anyio.CancelScope(deadline=anyio.current_time() + HANDSHAKE_SECONDS)
        self._handshakes[scope] = None
        try:
            with scope:
                await stream.handshake()
                return None
        except _BROKEN as error:
            return _in_words(error)
        finally:
            self._handshakes.pop(scope, None)
        return "it took too long"


def peer_name(stream: ByteStream) -> str:
    """Return where a stream comes from, as `host:port`; a UNIX socket has a path, or nothing."""
    address: tuple[str, int] | str = stream.extra(SocketAttribute.remote_address, "unknown")  # noqa: S610 - no database
    return readable_address(address_pair(address) if isinstance(address, tuple) else address)


def bound_address(listener: Listener[ByteStream]) -> tuple[str, int]:
    """Return host and port of a listener."""
    return address_pair(listener.extra(SocketAttribute.local_address))  # noqa: S610 - no database


def _in_words(error: Exception) -> str:
    return handshake_error(error if isinstance(error, OSError) else error.__cause__)  # anyio wraps what the system says
