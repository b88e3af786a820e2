"""TLS on an anyio stream, for links that are opened and for links that are accepted.

`send_eof()` sends close_notify, behind which the peer is still heard. One task may receive while another one sends.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute

from ._anyio_outlet import Outlet
from ._tls_session import TlsSession

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SecureStream"]

_READ_BYTES = 64 * 1024


class SecureStream(ByteStream):
    """A stream with TLS over `transport`. Call `handshake()` first; `aclose()` only closes the transport.

    Errors of TLS are `ssl.SSLError`, those of the transport are its own.
    """

    def __init__(self, transport: ByteStream, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        """Be the client of the server with that name, or, without one, a server."""
        self.transport = transport
        self._outlet = Outlet(transport)
        self._session = TlsSession(context, server_hostname)
        self._sending = anyio.Lock(fast_acquire=True)

    async def handshake(self) -> None:
        """Agree on keys with the peer. A peer with which that fails is told why."""
        while True:
            try:
                is_done = self._session.handshake()
            except ssl.SSLError:
                await self._send_alert()
                raise
            if is_done:
                await self.flush()
                return
            await self._exchange()

    async def receive(self, max_bytes: int = _READ_BYTES) -> bytes:
        """Return the next bytes of the peer; EndOfStream behind its close_notify."""
        while True:
            try:
                decrypted = self._session.decrypt(max_bytes)
            except ssl.SSLError:
                await self._send_alert()
                raise
            if decrypted:
                return decrypted
            if decrypted is not None:
                raise anyio.EndOfStream
            await self._exchange()

    async def send(self, item: bytes) -> None:
        """Encrypt and send; returns when the transport has taken it."""
        self._session.encrypt(item)
        await self.flush()

    def send_now(self, item: bytes) -> bool:
        """Encrypt and send what the kernel takes; return whether it took all. If not, `flush()` before the next."""
        self._session.encrypt(item)
        if self._sending.locked() or self._outlet.waits:
            return False
        return self._outlet.send_now(self._session.outgoing())

    async def flush(self) -> None:
        """Wait until the kernel has taken everything."""
        if self._outlet.waits or self._session.has_outgoing:
            async with self._sending:  # the task that receives has answers to send, such as new keys
                await self._outlet.flush()
                if self._session.has_outgoing and not self._outlet.send_now(self._session.outgoing()):
                    await self._outlet.flush()

    async def send_eof(self) -> None:
        """Send close_notify. What the peer sends can still be received."""
        self._session.close_notify()
        await self.flush()

    async def aclose(self) -> None:
        """Close the transport, without a close_notify."""
        await self.transport.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the transport, and what the handshake has found."""
        attributes: Mapping[Any, Callable[[], Any]] = cast("Any", self.transport).extra_attributes
        return {
            **attributes,
            TLSAttribute.alpn_protocol: lambda: self._session.alpn,
            TLSAttribute.tls_version: lambda: self._session.version,
        }

    async def _exchange(self) -> None:
        """Send what the protocol has to say, and wait for bytes of the peer."""
        if self._session.has_outgoing:  # not for what the task that sends is waiting with
            await self.flush()
        try:
            self._session.receive_data(await self.transport.receive(_READ_BYTES))
        except anyio.EndOfStream:
            self._session.receive_eof()

    async def _send_alert(self) -> None:
        with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self.flush()
