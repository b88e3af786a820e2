"""What every driver does alike with those who connect to it: its bounds, its patience and its words."""

from __future__ import annotations

import errno
import os
import ssl

__all__ = [
    "ACCEPT_PAUSE_SECONDS",
    "HANDSHAKE_SECONDS",
    "MOST_HANDSHAKES",
    "address_pair",
    "handshake_error",
    "is_passing",
    "readable_address",
]

HANDSHAKE_SECONDS = 10.0
"""From accepting a connection to the end of its TLS handshake: as long as for the request head behind it."""
MOST_HANDSHAKES = 4096
"""Handshakes at once. An honest one takes as long as a few packets travel, so beyond it the oldest is given up."""
ACCEPT_PAUSE_SECONDS = 0.1
"""When the process is out of file descriptors: until others are closed."""
_PASSING = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ECONNABORTED, errno.EPERM, errno.EPROTO}
    | {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.EOPNOTSUPP}
)


def is_passing(error: OSError) -> bool:
    """Say whether accept(2) means one connection, or a while, and not the listener for good."""
    return error.errno in _PASSING


def address_pair(address: tuple[str, int] | tuple[str, int, int, int] | str) -> tuple[str, int]:
    """Return host and port of a socket's address; for a UNIX socket, the path and 0."""
    return (address, 0) if isinstance(address, str) else (address[0], address[1])


def readable_address(address: tuple[str, int] | str) -> str:
    """Return where a connection comes from, as `host:port`; a UNIX socket has a path, or nothing."""
    if isinstance(address, str):
        return address or "local"
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def handshake_error(error: BaseException | None) -> str:
    """Return why a TLS handshake failed, for one line of a log; None means that the client has left."""
    if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) or not isinstance(error, OSError):
        return "the client closed the connection"
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return os.strerror(error.errno) if error.errno else str(error)
