"""TLS on an anyio stream, for links that are opened and for links that are accepted.

anyio's `TLSStream` cannot end one direction, keeps back the alert that tells a peer why its handshake failed, and ends
without a word while bytes of the peer are still to be decrypted. Here `send_eof()` sends close_notify, behind which the
peer is still heard (RFC 8446 section 6.1). One task may receive while another one sends.
"""

from __future__ import annotations

import contextlib
import ssl
from typing import TYPE_CHECKING, Any, cast

import anyio
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["SecureStream"]

_READ_BYTES = 64 * 1024
_EVERYTHING = 1 << 30  # more than can be waiting: no more is taken from the transport before that is used up


class SecureStream(ByteStream):
    """A stream with TLS over `transport`. Call `handshake()` first; `aclose()` only closes the transport.

    Errors of TLS are `ssl.SSLError`, those of the transport are its own.
    """

    def __init__(self, transport: ByteStream, context: ssl.SSLContext, server_hostname: str | None = None) -> None:
        """Be the client of the server with that name, or, without one, a server."""
        self.transport = transport
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self._sending = anyio.Lock(fast_acquire=True)
        self._decrypted_early = b""

    async def handshake(self) -> None:
        """Agree on keys with the peer. A peer with which that fails is told why."""
        while True:
            try:
                self._object.do_handshake()
            except ssl.SSLWantReadError:
                await self._exchange()
            except ssl.SSLError:
                await self._send_alert()
                raise
            else:
                await self._flush()
                return

    async def receive(self, max_bytes: int = _READ_BYTES) -> bytes:
        """Return the next bytes of the peer; EndOfStream behind its close_notify."""
        if self._decrypted_early:
            data, self._decrypted_early = self._decrypted_early[:max_bytes], self._decrypted_early[max_bytes:]
            return data
        while True:
            try:
                decrypted = self._decrypt(max_bytes)
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
        rest = memoryview(item)
        while rest:
            rest = rest[self._object.write(rest) :]
        await self._flush()

    async def send_eof(self) -> None:
        """Send close_notify. What the peer sends can still be received."""
        # OpenSSL reads on to find the peer's close_notify, and gives up when it finds anything else there.
        self._decrypted_early += self._decrypt(_EVERYTHING) or b""
        with contextlib.suppress(ssl.SSLWantReadError):  # the peer's has not come yet
            self._object.unwrap()
        await self._flush()

    async def aclose(self) -> None:
        """Close the transport, without a close_notify."""
        await self.transport.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        """Those of the transport, and what the handshake has found."""
        attributes: Mapping[Any, Callable[[], Any]] = cast("Any", self.transport).extra_attributes
        return {
            **attributes,
            TLSAttribute.alpn_protocol: self._object.selected_alpn_protocol,
            TLSAttribute.tls_version: self._object.version,
        }

    def _decrypt(self, most: int) -> bytes | None:
        """Return what has arrived, of several records together; b"" at the peer's end, None when more must come."""
        parts: list[bytes] = []
        while most > 0:
            try:
                part = self._object.read(most)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:  # the end, when ours was sent before
                part = b""
            except ssl.SSLError:
                if not parts:
                    raise
                break  # the next call meets it again
            if not part:
                return b"".join(parts)
            parts.append(part)
            most -= len(part)
        return b"".join(parts) or None

    async def _exchange(self) -> None:
        """Send what the protocol has to say, and wait for bytes of the peer."""
        await self._flush()
        try:
            self._incoming.write(await self.transport.receive(_READ_BYTES))
        except anyio.EndOfStream:
            self._incoming.write_eof()

    async def _flush(self) -> None:
        if self._outgoing.pending:
            async with self._sending:  # the task that receives has answers to send, such as new keys
                await self.transport.send(self._outgoing.read())

    async def _send_alert(self) -> None:
        with contextlib.suppress(OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._flush()
