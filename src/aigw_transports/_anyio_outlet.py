"""Sending on a stream of anyio without waiting, as long as the kernel takes what is sent.

`send()` of a stream yields to the other tasks each time, so that a task of its own has to call it, and costs more than
all else that a small message does. So the socket is written to straight away while nothing waits, and the stream sends
only what the kernel has not taken.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from anyio.abc import SocketAttribute

if TYPE_CHECKING:
    import socket

    from anyio.abc import ByteStream

__all__ = ["Outlet"]


class Outlet:
    """The sending direction of a stream. A stream without a socket has all sent by `flush()`."""

    __slots__ = ("_raw", "_rest", "_stream")

    def __init__(self, stream: ByteStream) -> None:
        """Send on `stream`, on which nobody else may send from now on."""
        self._stream = stream
        self._rest = b""
        # Where sockets are not files they cannot be written to like files.
        raw: socket.socket | None = stream.extra(SocketAttribute.raw_socket, None)  # noqa: S610 - not a database
        self._raw = raw if os.name == "posix" else None

    @property
    def waits(self) -> bool:
        """True when the kernel has not taken everything: `flush()`, then go on."""
        return bool(self._rest)

    def send_now(self, data: bytes) -> bool:
        """Send what the kernel takes and keep the rest for `flush()`; return whether it took all. Not while it `waits`.

        Raises OSError when the connection is broken.
        """
        try:
            # Asked for each time: a socket that was closed has no number, and the one it had may be another's now.
            sent = 0 if self._raw is None else os.write(self._raw.fileno(), data)
        except BlockingIOError:
            sent = 0
        self._rest = data[sent:]
        return not self._rest

    async def flush(self) -> None:
        """Wait until the kernel has taken the rest. Raises what the stream's `send()` does."""
        rest = self._rest
        if rest:
            await self._stream.send(rest)
            self._rest = b""
