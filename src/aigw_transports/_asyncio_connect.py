"""Opening a socket with asyncio: name lookup and happy eyeballs (RFC 8305), as uvloop's loop does not have them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import deque
from typing import TypeAlias

import anyio

__all__ = ["attach", "open_socket", "set_up"]

_ATTEMPT_SECONDS = 0.25  # RFC 8305 section 5: before the next address is tried, too
_MAX_PORT = 65_535
_Address: TypeAlias = "tuple[socket.AddressFamily, tuple[str | int, ...]]"


async def open_socket(host: str, port: int) -> socket.socket:
    """Return a connected socket that does not block.

    Raises OSError; UnicodeError for a name that cannot be, OverflowError for such a port, and ExceptionGroup for what
    went wrong with each of several addresses.
    """
    addresses = await _find(host, port)
    if not 0 <= port <= _MAX_PORT:  # uvloop takes it modulo 65536
        raise OverflowError("connect(): port must be 0-65535.")
    if len(addresses) == 1:
        return await _connect(addresses[0])
    return await _race(deque(addresses))


async def _find(host: str, port: int) -> list[_Address]:
    """Return the addresses of a name in the order in which they are tried: the families take turns, IPv6 first."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        # By way of anyio, which knows newer names than the codec of Python does.
        found = await anyio.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    else:
        return [(socket.AF_INET6 if version == 6 else socket.AF_INET, (host, port))]
    addresses: list[_Address] = [(family, (address[0], port, *address[2:])) for family, _, _, _, address in found]
    later = [address for address in addresses if address[0] != socket.AF_INET6]
    sooner = [address for address in addresses if address[0] == socket.AF_INET6]
    both = min(len(sooner), len(later))
    mixed = [address for pair in zip(sooner, later, strict=False) for address in pair]
    return mixed + sooner[both:] + later[both:]


async def _connect(address: _Address) -> socket.socket:
    family, name = address
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        set_up(opened)
        await asyncio.get_running_loop().sock_connect(opened, name)
    except BaseException:
        opened.close()
        raise
    return opened


async def attach(opened: socket.socket, protocol: asyncio.BufferedProtocol) -> None:
    """Give a connected socket to a transport, whose protocol begins. Nothing else may use it from now on.

    Not by `create_connection()`: uvloop's forgets the socket when the protocol closes the transport at once, so that
    its descriptor is closed twice, the second time for whoever has got the number meanwhile.
    """
    await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, opened)


def set_up(opened: socket.socket) -> None:
    """Make a new socket fit for a transport. Raises OSError when it has broken already."""
    opened.setblocking(False)
    if opened.family in (socket.AF_INET, socket.AF_INET6):
        # asyncio does so only for sockets that name their protocol.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _race(addresses: deque[_Address]) -> socket.socket:
    """Try the next address whenever the one before has failed, or taken its time; the first to connect wins."""
    attempts: set[asyncio.Task[socket.socket]] = set()
    errors: list[Exception] = []
    winner: socket.socket | None = None
    try:
        while winner is None and (addresses or attempts):
            if addresses:
                attempts.add(asyncio.create_task(_connect(addresses.popleft())))
            done, _ = await asyncio.wait(
                attempts, timeout=_ATTEMPT_SECONDS if addresses else None, return_when=asyncio.FIRST_COMPLETED
            )
            for attempt in done:
                error = attempt.exception()
                if isinstance(error, Exception):
                    errors.append(error)
                elif winner is None:
                    winner = attempt.result()
                    attempts.discard(attempt)
            attempts -= {attempt for attempt in done if attempt.exception() is not None}
    finally:
        for attempt in attempts:
            attempt.add_done_callback(_discard)
            attempt.cancel()
    if winner is None:
        raise ExceptionGroup("no address could be connected to", errors)
    return winner


def _discard(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()
