"""What went wrong with a connection that could not be opened, in the words of the engine; the same for all drivers."""

from __future__ import annotations

import errno
import os
import socket
import ssl
from typing import TYPE_CHECKING, cast

from aigw_proto._inputs import ConnectFailed, ConnectFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aigw_proto._effects import Connect

__all__ = ["not_opened", "not_secured"]

_UNREACHABLE = {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN, errno.ETIMEDOUT}


def not_opened(effect: Connect, error: BaseException) -> ConnectFailed:
    """Answer `effect`: no stream could be opened."""
    return _failed(effect, _classify(error), error)


def not_secured(effect: Connect, error: BaseException) -> ConnectFailed:
    """Answer `effect`: the stream is open, but the TLS handshake failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return _failed(effect, ConnectFailure.CERTIFICATE, error.verify_message)
    return _failed(effect, ConnectFailure.TLS, error)


def _failed(effect: Connect, failure: ConnectFailure, cause: BaseException | str) -> ConnectFailed:
    text = cause if isinstance(cause, str) else "; ".join(dict.fromkeys(map(_in_words, _leaves(cause))))
    return ConnectFailed(effect.link, failure, f"{effect.host}:{effect.port}: {text}")


def _in_words(error: BaseException) -> str:
    """Return what the operating system calls an error: event loops each add words of their own."""
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
    """Yield what really went wrong: anyio sums attempts at several addresses up, and wraps what the system says."""
    if isinstance(error, BaseExceptionGroup):
        for inner in cast("BaseExceptionGroup[BaseException]", error).exceptions:
            yield from _leaves(inner)
    elif getattr(error, "errno", None) is None and error.__cause__ is not None:
        yield from _leaves(error.__cause__)
    else:
        yield error
