"""TLS between a socket's transport and a link: the protocol of the one, the transport of the other.

asyncio and uvloop have such a layer each; `TlsSession` says what links cannot do with them.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any, cast

from ._tls_session import TlsSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._asyncio_link import Home, Link

__all__ = ["CLOSE_NOTIFY_SECONDS", "SecureTransport"]

CLOSE_NOTIFY_SECONDS = 1.0
"""How long a closed TLS link waits for the peer's close_notify; ours is sent at once."""


class SecureState:
    """All that it is, in the form that can be compiled. See `SecureTransport`."""

    __slots__ = (
        "_blocked", "_closing", "_failed", "_held", "_home", "_link", "_make_link", "_over", "_paused", "_peer_ended",
        "_resting", "_session", "_timer", "_transport",
    )  # fmt: skip

    def __init__(
        self,
        home: Home,
        context: ssl.SSLContext,
        server_hostname: str | None,
        make_link: Callable[[str | None], Link],
        failed: Callable[[Exception | None], None],
    ) -> None:
        """Be the client of the server with that name, or, without one, a server.

        `make_link` gets the protocol that ALPN chose, `failed` the reason, None when the peer has left.
        """
        self._home = home
        self._session = TlsSession(context, server_hostname)
        self._make_link = make_link
        self._failed = failed
        self._link: Link | None = None
        self._transport: asyncio.Transport | None = None
        self._over = False  # nothing of the peer is looked at any more
        self._closing = False
        self._peer_ended = False
        self._blocked = False
        self._paused = False
        self._resting = False  # see `Home.reads_on`
        self._held = False  # reading waits until the peer has taken our answers to what it sent
        self._timer: asyncio.TimerHandle | None = None

    # -- what the socket's transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin the handshake."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=0)
        self._home.opened(self)
        if self._over:
            self._transport.abort()
        else:
            self._advance()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the buffer for one read."""
        del sizehint
        return self._home.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Take bytes of the peer."""
        if nbytes == len(self._home.read_buffer) and self._home.reads_on:
            self._resting = True
            self._update_reading()
            self._home.loop.call_soon(self._read_on)
        if not self._over:
            self._session.receive_data(self._home.read_buffer[:nbytes])
            self._advance()

    def eof_received(self) -> bool:
        """Take the end of the peer's bytes; the transport stays open."""
        if not self._over:
            self._session.receive_eof()
            self._advance()
        return True

    def pause_writing(self) -> None:
        """Note that the kernel has not taken everything."""
        self._blocked = True
        if self._link is not None:
            self._link.pause_writing()

    def resume_writing(self) -> None:
        """Go on: the kernel has taken everything."""
        self._blocked = False
        if self._held:
            self._held = False
            self._update_reading()
        if self._link is not None:
            self._link.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Pass the end on."""
        if self._timer is not None:
            self._timer.cancel()
        if self._link is not None:
            self._link.connection_lost(exc)
        elif not self._over:
            self._over = True
            self._failed(exc)
        self._home.lost(self)

    # -- what the link asks for

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        try:
            self._session.encrypt(data)
        except ssl.SSLError:  # the session has failed; the link learns of it when the connection is lost
            self.abort()
        else:
            self._flush()

    def write_eof(self) -> None:
        """Send close_notify. What the peer sends is still heard."""
        self._notify()

    def close(self) -> None:
        """Send close_notify, so that the peer knows that nothing was cut off; discard what comes until the peer's."""
        self._closing = True
        self._timer = self._home.loop.call_later(CLOSE_NOTIFY_SECONDS, self.abort)
        if self._transport is None or self._transport.is_closing():
            return
        self._notify()
        if self._peer_ended:
            self._transport.close()
        else:
            self._held = self._paused = False
            self._update_reading()

    def abort(self) -> None:
        """Close at once."""
        self._over = True
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Close at once, with a reset unless the handshake was still under way."""
        if self._link is not None:
            self._link.reset()
        else:
            self.abort()

    def pause_reading(self) -> None:
        """Stop reading."""
        self._paused = True
        self._update_reading()

    def resume_reading(self) -> None:
        """Start reading."""
        self._paused = False
        self._update_reading()

    def set_write_buffer_limits(self, high: int) -> None:
        """Do nothing: the limits were set before the handshake."""

    def get_write_buffer_size(self) -> int:
        """Return how many encrypted bytes the kernel has not taken."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def is_closing(self) -> bool:
        """Say whether nothing can be sent any more."""
        return self._over or self._transport is None or self._transport.is_closing()

    def get_extra_info(self, name: str) -> Any:
        """Return what the socket's transport knows."""
        return None if self._transport is None else self._transport.get_extra_info(name)

    # --

    def _advance(self) -> None:
        """Look at what has arrived."""
        try:
            if self._link is None:
                if not self._session.handshake():
                    self._flush()
                    return
                self._flush()
                self._link = self._make_link(self._session.alpn)
                self._link.begin(self)
            self._decrypt(self._link)
        except ssl.SSLError as error:
            self._flush()  # tell the peer why
            over, self._over = self._over, True
            if self._link is None and not over:
                self._failed(error)
            if self._transport is not None:
                self._transport.abort()

    def _decrypt(self, link: Link) -> None:
        while not self._over and not self._peer_ended and (data := self._session.decrypt()) is not None:
            if data:
                link.data_received(data)
            else:
                self._peer_ended = True
                link.eof_received()
                if self._closing and self._transport is not None:
                    self._transport.close()
        if self._session.has_outgoing:  # answers, such as new keys: a peer that makes us write has to read
            self._flush()
            if self._blocked:
                self._held = True
                self._update_reading()

    def _notify(self) -> None:
        try:
            self._session.close_notify()
        except ssl.SSLError:
            self.abort()
        else:
            self._flush()

    def _flush(self) -> None:
        if self._transport is not None and self._session.has_outgoing:
            self._transport.write(self._session.outgoing())

    def _read_on(self) -> None:
        self._resting = False
        self._update_reading()

    def _update_reading(self) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._peer_ended:
            return
        if self._paused or self._held or self._resting:
            transport.pause_reading()
        else:
            transport.resume_reading()


class SecureTransport(SecureState, asyncio.BufferedProtocol):
    """Give it to a socket's transport as protocol. A link begins on it when the handshake is done.

    Either `make_link`, which returns that link, or `failed` is called once; neither after `abort()`. Only the second
    base is not compiled; see `Link`.
    """

    __slots__ = ()
