"""Opening a stream with anyio: name lookup, happy eyeballs, TLS, and what went wrong in the words of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
from anyio.streams.tls import TLSAttribute

from aigw_proto._inputs import ConnectFailed

from ._anyio_tls import SecureStream
from ._connect_errors import not_opened, not_secured
from ._tls import client_context

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from aigw_proto._effects import Connect, TlsPolicy

__all__ = ["negotiated_protocol", "open_stream"]


async def open_stream(effect: Connect) -> ByteStream | ConnectFailed:
    """Open the stream that `effect` asks for, or say why not. Never raises for the network's doing."""
    try:
        stream: ByteStream = await anyio.connect_tcp(effect.host, effect.port)
    except (OSError, ValueError, OverflowError, ExceptionGroup) as error:
        # Beside the network's errors: names that IDNA cannot take, and, in a group, port numbers that do not exist.
        return not_opened(effect, error)
    if effect.tls is None:
        return stream
    try:
        return await _secure(stream, effect, effect.tls)
    except (OSError, ValueError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        return not_secured(effect, error)


async def _secure(stream: ByteStream, effect: Connect, policy: TlsPolicy) -> ByteStream:
    try:
        secure = SecureStream(stream, client_context(policy, effect.alpn), effect.host)
        await secure.handshake()
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    return secure


def negotiated_protocol(stream: ByteStream) -> str | None:
    """Return the protocol that ALPN chose, if any."""
    return stream.extra(TLSAttribute.alpn_protocol, None)  # noqa: S610 - not a database
