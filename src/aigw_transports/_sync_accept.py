"""What the sync driver listens with: a thread for each listener, and the TLS handshakes of clients."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING, Protocol

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
from ._sync_connect import find_addresses
from ._sync_stream import SocketStream, Stream, User, set_up
from ._sync_tls import SecureStream
from ._sync_wait import READABLE, Alarm
from ._tls_session import TlsSession

if TYPE_CHECKING:
    from ._sync_owner import Owner, Timer

__all__ = ["Acceptor", "Host", "bound_address", "listen"]

_BACKLOG = 65_536  # what the system allows at most, whatever that is


class Host(Protocol):
    """Where connections go that were accepted. All of it is called in the owner thread."""

    owner: Owner

    def stream(self, connected: socket.socket) -> SocketStream:
        """Return a stream on a socket that was set up."""
        ...

    def accept(self, peer: str, stream: Stream) -> User:
        """Return the fresh link that now uses `stream`. Raises OSError when there cannot be another thread."""
        ...

    def log(self, effect: Log) -> None:
        """Write one line."""
        ...


def listen(host: str = "127.0.0.1", port: int = 0) -> list[socket.socket]:
    """Listen at each address of `host`, on `port`, or on a free one, the same at each, for 0. Raises OSError."""
    listeners: list[socket.socket] = []
    try:
        for family, address in sorted(find_addresses(host, port, flags=socket.AI_PASSIVE | socket.AI_ADDRCONFIG)):
            listener = socket.socket(family, socket.SOCK_STREAM)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], bound_address(listeners[0])[1] or port, *address[2:]))
            listener.listen(_BACKLOG)
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def bound_address(listener: socket.socket) -> tuple[str, int]:
    """Return host and port of a listener."""
    return address_pair(listener.getsockname())


class Acceptor:
    """Accepts on one listener, with TLS when there is a context. Closes what does not get through its handshake."""

    def __init__(self, host: Host, listener: socket.socket, context: ssl.SSLContext | None) -> None:
        """Begin to accept. Takes the listener over. Raises OSError when there cannot be another thread."""
        self._host = host
        self._listener = listener
        self._context = context
        self._handshakes: dict[SecureStream, tuple[str, Timer]] = {}
        self._closed = False
        listener.setblocking(False)
        self._alarm = Alarm()
        try:
            host.owner.start(f"acceptor-{listener.fileno()}", self._accept, self._thread_ended)
        except OSError:
            self._thread_ended()
            raise

    def close(self) -> None:
        """Stop listening, and give up the handshakes under way."""
        if self._closed:
            return
        self._closed = True
        self._alarm.ring()
        for secure, (_, timer) in self._handshakes.items():
            timer.cancel()
            secure.close()
        self._handshakes.clear()

    def _thread_ended(self) -> None:
        self._listener.close()
        self._alarm.close()

    # -- the thread

    def _accept(self) -> None:
        """Accept one connection after the other. Raises OSError when the listener is of no use any more."""
        owner = self._host.owner
        while not self._alarm.rung:
            if not self._alarm.wait((self._listener,), READABLE):
                continue
            try:
                connection, address = self._listener.accept()
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as error:
                if not is_passing(error):
                    raise
                owner.post(self._tell, str(error))
                self._alarm.wait((), READABLE, ACCEPT_PAUSE_SECONDS)
            else:
                peer = address if isinstance(address, str) else address_pair(address)
                owner.post(self._attach, (connection, readable_address(peer)))

    # -- what it posts

    def _tell(self, error: str) -> None:
        self._host.log(Log(LogLevel.WARNING, "cannot accept a connection", {"error": error}))

    def _attach(self, accepted: tuple[socket.socket, str]) -> None:
        connection, peer = accepted
        if self._closed:
            connection.close()
            return
        try:
            set_up(connection)
        except OSError:  # it has gone already
            connection.close()
            return
        stream = self._host.stream(connection)
        try:
            if self._context is None:
                self._host.accept(peer, stream)
            else:
                self._secure(stream, self._context, peer)
        except OSError as error:  # of the system, which has no more threads
            self._tell(str(error))

    def _secure(self, stream: SocketStream, context: ssl.SSLContext, peer: str) -> None:
        if len(self._handshakes) >= MOST_HANDSHAKES:
            self._give_up(next(iter(self._handshakes)))

        def opened(_: str | None) -> User:
            self._end(secure)
            return self._host.accept(peer, secure)

        def failed(error: Exception | None) -> None:
            self._log(self._end(secure), handshake_error(error))

        secure = SecureStream(self._host.owner, stream, TlsSession(context, None), opened, failed)
        timer = self._host.owner.call_later(HANDSHAKE_SECONDS, lambda: self._give_up(secure))
        self._handshakes[secure] = peer, timer
        try:
            secure.handshake()
        except OSError:
            self._end(secure)
            raise

    def _end(self, secure: SecureStream) -> str:
        peer, timer = self._handshakes.pop(secure)
        timer.cancel()
        return peer

    def _give_up(self, secure: SecureStream) -> None:
        self._log(self._end(secure), "it took too long")
        secure.close()

    def _log(self, peer: str, reason: str) -> None:
        self._host.log(Log(LogLevel.INFO, "TLS handshake failed", {"peer": peer, "error": reason}))
