"""TLS without a socket: bytes of the peer go in, bytes for the peer come out. Each driver moves them in its own way.

The streams of anyio and the transports of asyncio have TLS of their own, with which a link cannot keep its promises:
neither can end one direction and still be heard (asyncio ends both when the peer ends its own, so that an answer is
lost), and both keep back the alert that tells a peer why its handshake failed. Here close_notify ends one direction, as
RFC 8446 section 6.1 wants it.
"""

from __future__ import annotations

import contextlib
import ssl

__all__ = ["TlsSession"]

_EVERYTHING = 1 << 30  # more than can be waiting
_RECORD_BYTES = 16 * 1024  # the most that one read of OpenSSL returns, and what is allocated for it


class TlsSession:
    """One end of a connection. Whatever a method may have to say to the peer waits in `outgoing()`, errors included.

    All errors are `ssl.SSLError`.
    """

    __slots__ = ("_decrypted_early", "_ended", "_incoming", "_object", "_outgoing")

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        """Be the client of the server with that name, or, without one, a server."""
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._object = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_hostname is None, server_hostname=server_hostname
        )
        self._decrypted_early = b""
        self._ended = False  # in whatever way: reading says it again and again

    @property
    def alpn(self) -> str | None:
        """The protocol that the handshake chose (RFC 7301), if any."""
        return self._object.selected_alpn_protocol()

    @property
    def version(self) -> str | None:
        """The version of TLS, once known."""
        return self._object.version()

    def receive_data(self, data: bytes | memoryview) -> None:
        """Copy bytes of the peer; nothing is looked at."""
        self._incoming.write(data)

    def receive_eof(self) -> None:
        """Note that the peer's bytes have ended, with or without a close_notify."""
        self._incoming.write_eof()

    @property
    def has_outgoing(self) -> bool:
        """True when `outgoing()` has something."""
        return bool(self._outgoing.pending)

    def outgoing(self) -> bytes:
        """Move out what is for the peer; empty when there is nothing."""
        return self._outgoing.read()

    def handshake(self) -> bool:
        """Go on with the handshake; return whether it is done. Otherwise bytes of the peer are needed."""
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def encrypt(self, data: bytes) -> None:
        """Encrypt bytes for the peer."""
        taken = 0
        while taken < len(data):
            taken += self._object.write(memoryview(data)[taken:] if taken else data)

    def decrypt(self, most: int = _EVERYTHING) -> bytes | None:
        """Return what has arrived, of several records together; b"" at the peer's end, None when more must come."""
        if self._decrypted_early:
            data, self._decrypted_early = self._decrypted_early[:most], self._decrypted_early[most:]
            return data
        return self._decrypt(most)

    def close_notify(self) -> None:
        """End our direction. What the peer sends can still be decrypted."""
        # OpenSSL reads on to find the peer's close_notify, and gives up when it finds anything else there.
        self._decrypted_early += self._decrypt(_EVERYTHING) or b""
        with contextlib.suppress(ssl.SSLWantReadError):  # the peer's has not come yet
            self._object.unwrap()

    def _decrypt(self, most: int) -> bytes | None:
        parts: list[bytes] = []
        # Asked before it is read: that nothing is there would else be an exception, which costs more than a message.
        while most > 0 and (self._ended or self._incoming.pending or self._object.pending() or self._incoming.eof):
            try:
                part = self._object.read(min(most, _RECORD_BYTES))
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:  # the end, when ours was sent before
                part = b""
            except ssl.SSLError:
                self._ended = True
                if not parts:
                    raise
                break  # the next call meets it again
            if not part:
                self._ended = True
                return b"".join(parts)
            parts.append(part)
            most -= len(part)
        return b"".join(parts) or None
