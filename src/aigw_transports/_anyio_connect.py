"""Opening a stream with anyio: name lookup, happy eyeballs, TLS, and what went wrong in the words of the engine."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, cast

import anyio
from anyio.streams.tls import TLSAttribute

from aigw_proto._inputs import ConnectFailed, ConnectFailure

from ._anyio_tls import SecureStream
from ._tls import client_context

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anyio.abc import ByteStream

    from aigw_proto._effects import Connect, TlsPolicy

__all__ = ["negotiated_protocol", "open_stream"]

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ETIMEDOUT}


async def open_stream(effect: Connect) -> ByteStream | ConnectFailed:
    """Open the stream that `effect` asks for, or say why not. Never raises for the network's doing."""
    try:
        stream: ByteStream = await anyio.connect_tcp(effect.host, effect.port)
    except (OSError, ValueError, OverflowError, ExceptionGroup) as error:
        # Beside the network's errors: names that IDNA cannot take, and, in a group, port numbers that do not exist.
        return _failed(effect, _classify(error), error)
    if effect.tls is None:
        return stream
    try:
        return await _secure(stream, effect, effect.tls)
    except ssl.SSLCertVerificationError as error:
        return _failed(effect, ConnectFailure.CERTIFICATE, error.verify_message)
    except (OSError, ValueError, anyio.BrokenResourceError, anyio.EndOfStream) as error:
        return _failed(effect, ConnectFailure.TLS, error)


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


def _failed(effect: Connect, failure: ConnectFailure, cause: BaseException | str) -> ConnectFailed:
    text = cause if isinstance(cause, str) else "; ".join(dict.fromkeys(map(_in_words, _leaves(cause))))
    return ConnectFailed(effect.link, failure, f"{effect.host}:{effect.port}: {text}")


def _in_words(error: BaseException) -> str:
    """Return what the operating system calls an error: asyncio and trio each add words of their own."""
    if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) and error.errno is not None:
        resolving = isinstance(error, socket.gaierror)
        return str(error.strerror) if resolving else os.strerror(error.errno)
    return str(error) or repr(error)


def _classify(error: BaseException) -> ConnectFailure:
    numbers: set[int | None] = set()
    for leaf in _leaves(error):
        if isinstance(leaf, (socket.gaierror, UnicodeError)):
            return ConnectFailure.NAME
        numbers.add(leaf.errno if isinstance(leaf, OSError) else None)
    if errno.ECONNREFUSED in numbers:
        return ConnectFailure.REFUSED
    return ConnectFailure.UNREACHABLE if numbers & _UNREACHABLE else ConnectFailure.OTHER


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """Yield what really went wrong: anyio sums the attempts at several addresses up in one error with a cause."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    elif isinstance(error, OSError) and error.errno is None and error.__cause__ is not None:
        yield from _leaves(error.__cause__)
    else:
        yield error
