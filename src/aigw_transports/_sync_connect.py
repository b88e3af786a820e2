"""Opening a socket in a thread: name lookup and happy eyeballs (RFC 8305), until it is open or withdrawn."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import TypeAlias, TypeGuard

from ._sync_wait import WRITABLE, Alarm

__all__ = ["Address", "Attempt", "find_addresses"]

_ATTEMPT_SECONDS = 0.25  # RFC 8305 section 5: before the next address is tried, too
_Name: TypeAlias = "tuple[str, int] | tuple[str, int, int, int]"
Address: TypeAlias = "tuple[socket.AddressFamily, _Name]"


class Attempt:
    """One attempt to connect to a host, at whichever of its addresses answers first."""

    def __init__(self, host: str, port: int) -> None:
        """Prepare it. Raises OSError when there are too many open files."""
        self._host = host
        self._port = port
        self._alarm = Alarm()
        self.looking_up = True  # from the beginning, so that who sees that it is not knows that it soon ends
        """Whether it cannot be ended before the system has answered."""
        self._pending: dict[int, socket.socket] = {}
        self._errors: list[Exception] = []

    def withdraw(self) -> None:
        """End it; a name lookup that is under way goes on for as long as the system wants. From another thread."""
        self._alarm.ring()

    def close(self) -> None:
        """Free what it needed, once `open()` has ended. It may still be withdrawn."""
        self._alarm.close()

    def open(self) -> socket.socket:
        """Return a connected socket.

        Raises OSError; UnicodeError for a name that cannot be, OverflowError for such a port, and ExceptionGroup for
        what went wrong with each of several addresses.
        """
        try:
            addresses = deque(find_addresses(self._host, self._port))
        finally:
            self.looking_up = False
        if self._alarm.rung:
            raise _withdrawn()
        try:
            while addresses or self._pending:
                opened = self._begin(*addresses.popleft()) if addresses else None
                if opened is None and self._pending:
                    opened = self._wait(_ATTEMPT_SECONDS if addresses else None)
                if opened is not None:
                    return opened
        finally:
            for loser in self._pending.values():
                loser.close()
        if len(self._errors) == 1:
            raise self._errors[0]
        raise ExceptionGroup("no address could be connected to", self._errors)

    def _begin(self, family: socket.AddressFamily, address: _Name) -> socket.socket | None:
        """Begin to connect; return the socket if it is open at once, as one on the same machine may be."""
        try:
            opened = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            self._errors.append(error)
            return None
        self._pending[opened.fileno()] = opened
        opened.setblocking(False)
        try:
            number = opened.connect_ex(address)
        except OverflowError as error:
            self._give_up(opened, error)
            return None
        if number == 0:
            return self._pending.pop(opened.fileno())
        if number not in (errno.EINPROGRESS, errno.EWOULDBLOCK):
            self._give_up(opened, OSError(number, os.strerror(number)))
        return None

    def _wait(self, seconds: float | None) -> socket.socket | None:
        """Wait until one is connected, one or more have failed, or the time has passed."""
        ready = self._alarm.wait(self._pending.values(), WRITABLE, seconds)
        if self._alarm.rung:
            raise _withdrawn()
        for number in ready:
            candidate = self._pending[number]
            error = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if not error:
                return self._pending.pop(number)
            self._give_up(candidate, OSError(error, os.strerror(error)))
        return None

    def _give_up(self, candidate: socket.socket, error: Exception) -> None:
        self._errors.append(error)
        del self._pending[candidate.fileno()]
        candidate.close()


def _withdrawn() -> OSError:
    return ConnectionAbortedError(errno.ECONNABORTED, os.strerror(errno.ECONNABORTED))


def find_addresses(host: str, port: int, flags: int = 0) -> list[Address]:
    """Return the addresses of a name in the order in which they are tried: the families take turns, IPv6 first.

    Raises OSError, UnicodeError for a name that cannot be and OverflowError for such a port.
    """
    if not 0 <= port <= 65_535:
        raise OverflowError("port must be 0-65535.")
    found = socket.getaddrinfo(_ascii(host), port, type=socket.SOCK_STREAM, flags=flags)
    addresses: list[Address] = []
    for family, _, _, _, address in found:
        if _is_whole(address) and (family, address) not in addresses:
            addresses.append((family, address))
    later = [each for each in addresses if each[0] != socket.AF_INET6]
    sooner = [each for each in addresses if each[0] == socket.AF_INET6]
    both = min(len(sooner), len(later))
    mixed = [address for pair in zip(sooner, later, strict=False) for address in pair]
    return mixed + sooner[both:] + later[both:]


def _is_whole(address: _Name | tuple[int, bytes]) -> TypeGuard[_Name]:
    """Tell addresses from what a Python that was built without IPv6 says of one of those."""
    return isinstance(address[0], str)


def _ascii(host: str) -> bytes:
    """Return a name as the system wants it; the codec of Python knows the names of 2003 only."""
    try:
        return host.encode("ascii")
    except UnicodeEncodeError:
        import idna  # noqa: PLC0415 - it has large tables, and is rarely needed

        return idna.encode(host, uts46=True)
