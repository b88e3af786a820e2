"""TLS between a socket's stream and a link: the user of the one, the stream of the other.

It lives in the owner thread, as links do: a TLS session must not be used by two threads at once, and this way the
threads of the socket move nothing but ciphertext.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from ._tls_session import TlsSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from ._sync_owner import Owner, Timer
    from ._sync_stream import Stream, User

__all__ = ["CLOSE_NOTIFY_SECONDS", "SecureStream"]

CLOSE_NOTIFY_SECONDS = 1.0
"""How long a closed TLS link waits for the peer's close_notify; ours is sent at once."""


class SecureStream:
    """A stream with TLS on another. Either `opened` or `failed` is called once; neither after `close()`.

    `opened` gets the protocol that ALPN chose, and returns the user from then on; `failed` gets the reason, None when
    the peer has left.
    """

    __slots__ = (
        "_closing", "_failed", "_held", "_opened", "_over", "_owner", "_paused", "_peer_ended", "_session", "_stream",
        "_timer", "_user",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        stream: Stream,
        session: TlsSession,
        opened: Callable[[str | None], User],
        failed: Callable[[Exception | None], object],
    ) -> None:
        """Take over a stream that has not begun; `handshake()` is next."""
        self._owner = owner
        self._stream = stream
        self._session = session
        self._opened = opened
        self._failed = failed
        self._user: User | None = None
        self._over = False  # nothing of the peer is looked at any more
        self._closing = False
        self._peer_ended = False
        self._paused = False
        self._held = False  # reading waits until the peer has taken our answers to what it sent
        self._timer: Timer | None = None

    def handshake(self) -> None:
        """Begin. Raises OSError when there cannot be another thread; the stream is closed then."""
        self._stream.begin(self)
        self._advance()

    # -- what the stream below tells

    def receive(self, data: bytes) -> None:
        """See `User`."""
        if not self._over:
            self._session.receive_data(data)
            self._advance()

    def receive_eof(self) -> None:
        """See `User`."""
        if not self._over:
            self._session.receive_eof()
            self._advance()

    def receive_loss(self, error: Exception | None) -> None:
        """See `User`."""
        if not self._over:
            self._fail(error)

    def progress(self) -> None:
        """See `User`."""
        if self._held and not self._stream.waiting_bytes:
            self._held = False
            self._update_reading()
        if self._user is not None and not self._over:
            self._user.progress()

    # -- what the link asks for

    @property
    def waiting_bytes(self) -> int:
        """How many encrypted bytes the kernel has not taken."""
        return self._stream.waiting_bytes

    def begin(self, user: User) -> None:
        """See `Stream`. It has begun with the handshake."""

    def write(self, data: bytes) -> None:
        """Encrypt and send."""
        if self._over:
            return
        try:
            self._session.encrypt(data)
        except ssl.SSLError as error:  # the session has failed
            self._fail(error)
        else:
            self._flush()

    def set_reading(self, enabled: bool) -> None:
        """See `Stream`."""
        self._paused = not enabled
        self._update_reading()

    def end_sending(self) -> None:
        """Send close_notify. What the peer sends is still heard."""
        if not self._over:
            self._notify()

    def close(self) -> None:
        """Send close_notify, so that the peer knows that nothing was cut off; discard what comes until the peer's."""
        if self._closing:
            return
        self._closing = True
        if self._user is not None and not self._over:
            self._notify()
        if self._user is None or self._over or self._peer_ended:
            self._leave()
        else:
            self._timer = self._owner.call_later(CLOSE_NOTIFY_SECONDS, self._leave)
            self._held = self._paused = False
            self._update_reading()

    def reset(self) -> None:
        """See `Stream`."""
        self._over = True
        self._stream.reset()

    # --

    def _leave(self) -> None:
        self._over = True
        if self._timer is not None:
            self._timer.cancel()
        self._stream.close()

    def _fail(self, error: Exception | None) -> None:
        """Note that no more can come of it; whoever waits for it is told, and closes it."""
        self._over = True
        if self._closing:
            self._leave()
        elif self._user is not None:
            self._user.receive_loss(error)
        else:
            self._stream.close()
            self._failed(error)

    def _advance(self) -> None:
        """Look at what has arrived."""
        try:
            if self._user is None:
                if not self._session.handshake():
                    self._flush()
                    return
                self._flush()
                if self._over:
                    return
                self._user = self._opened(self._session.alpn)
            self._decrypt(self._user)
        except ssl.SSLError as error:
            self._flush()  # tell the peer why
            if not self._over:
                self._fail(error)

    def _decrypt(self, user: User) -> None:
        while not self._over and not self._peer_ended and (data := self._session.decrypt()) is not None:
            if data:
                user.receive(data)
            else:
                self._peer_ended = True
                user.receive_eof()
                if self._closing:
                    self._leave()
        if self._session.has_outgoing:  # answers, such as new keys: a peer that makes us write has to read
            self._flush()
            if self._stream.waiting_bytes:
                self._held = True
                self._update_reading()

    def _notify(self) -> None:
        try:
            self._session.close_notify()
        except ssl.SSLError as error:
            self._fail(error)
        else:
            self._flush()

    def _flush(self) -> None:
        if self._session.has_outgoing:
            self._stream.write(self._session.outgoing())

    def _update_reading(self) -> None:
        if not self._over:
            self._stream.set_reading(not (self._paused or self._held))
