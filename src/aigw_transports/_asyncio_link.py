"""One link of the asyncio driver: the protocol of a transport, which is a socket's or has TLS on top of one.

The transport is told to complain (`pause_writing`) as soon as the kernel does not take a write whole. What comes then
waits here and goes on in blocks, one whenever the transport's buffer is empty, so that progress is reported; the
transport holds one block at most. A link that is not held up writes at once and has nothing to remember.

What is read goes through one buffer for all links: asyncio allocates 256 KiB for each read otherwise, which costs more
than all else that a small message does, and hands so much on at once. So does uvloop, whose own way to read would save
0.3 us; but a link that the engine stops may be held up with what one read brought, so a read has to be small.

`write()` is given one block for all chunks instead of `writelines()`: that joined them too up to Python 3.11, and did
not call `pause_writing` in releases of 3.12 and 3.13 (CVE-2024-12254).

uvloop reads a socket up to 32 times before it looks at the next. So a link that has read as much as it could rests
until all others had their turn; asyncio does that by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Protocol, cast

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, BytesSent, Input, PeerClosed
from aigw_proto.conductor import FLUSH_SECONDS

from ._backlog import JOIN_BYTES, SLICE_BYTES, Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._kinds import LinkId

    from ._asyncio_tls import SecureState

__all__ = ["READ_BYTES", "Home", "Link", "Owner", "reset"]

READ_BYTES = 64 * 1024
"""How much is read at a time."""
_JOIN_BYTES = JOIN_BYTES  # these two are numbers of C in the compiled build
_SLICE_BYTES = SLICE_BYTES
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: frees what the kernel still held for the peer, too


class Owner(Protocol):
    """What has a socket."""

    def reset(self) -> None:
        """Close it at once, without regard to what waits."""
        ...


class Home(Protocol):
    """Where links live: whom they feed, and who waits until the last has gone."""

    loop: asyncio.AbstractEventLoop
    read_buffer: memoryview
    """Of `READ_BYTES`. What a read brings is taken out at once, so all transports of a loop can share it."""
    reads_on: bool
    """The loop does not look at the next socket after a read, so a link has to see to it that others are read, too."""

    def feed_link(self, event: Input) -> None:
        """Take what happened to a link. What it raises is given to `failed`."""
        ...

    def failed(self, error: Exception) -> None:
        """End: `error` is a bug, or nobody can connect any more."""
        ...

    def opened(self, owner: Owner) -> None:
        """Note that `owner` has a socket now, so that it can be reset when all ends."""
        ...

    def lost(self, owner: Owner) -> None:
        """Note that the socket is closed."""
        ...


class LinkState:
    """All that a link is, in the form that can be compiled. See `Link`."""

    __slots__ = (
        "_backlog", "_blocked", "_buffer", "_ending", "_feed", "_full_bytes", "_handed_bytes", "_home", "_lost",
        "_paused", "_reported_bytes", "_resting", "_timer", "_told_end", "_transport", "birth", "closing",
        "link", "withdraw",
    )  # fmt: skip

    def __init__(self, home: Home, link: LinkId, birth: Input) -> None:
        """Prepare a link; `birth` is fed when it opens, and `withdraw` is what a close does before."""
        self.link = link
        self.birth = birth
        self.closing = False
        self.withdraw: Callable[[], object] | None = None
        self._home = home
        self._feed = home.feed_link
        self._buffer = home.read_buffer
        self._full_bytes = len(home.read_buffer)
        self._transport: asyncio.Transport | SecureState | None = None
        self._backlog = Backlog()  # empty while the transport takes everything
        self._blocked = False
        self._handed_bytes = 0  # of the last block; the transport's own count is of encrypted bytes under TLS
        self._reported_bytes = 0
        self._ending = False
        self._paused = False
        self._resting = False
        self._told_end = False
        self._lost = False
        self._timer: asyncio.TimerHandle | None = None

    # -- ports

    def send(self, chunks: list[bytes]) -> int:
        """Hand chunks to the kernel; return how many bytes of this link it has not taken."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return 0  # broken: the engine is about to hear of it
        size = 0
        for chunk in chunks:
            size += len(chunk)
        if self._blocked:
            self._backlog.extend(chunks)
        elif size <= _JOIN_BYTES or (len(chunks) == 1 and size <= _SLICE_BYTES):
            self._handed_bytes = size
            transport.write(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        else:
            self._backlog.extend(chunks)
            self._pump()
        if not self._blocked:
            return 0
        self._reported_bytes = self._unsent_bytes()
        return self._reported_bytes

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading. Behind the peer's end there is nothing, and asyncio would tell the end again."""
        transport = self._transport
        if transport is None or self._told_end or transport.is_closing():
            return
        self._paused = not enabled
        if not enabled:
            transport.pause_reading()
        elif not self._resting:
            transport.resume_reading()

    def end_sending(self) -> None:
        """End the sending direction behind what waits."""
        self._ending = True
        if not self._blocked:
            self._send_eof()

    def close(self, how: CloseHow) -> None:
        """Feed nothing any more, and close: at once, or when all that waits is sent."""
        self.closing = True
        transport = self._transport
        if transport is None or how is CloseHow.ABORT:
            self.reset()
        elif self._lost:
            pass
        elif self._blocked:
            self._timer = self._home.loop.call_later(FLUSH_SECONDS, self.reset)
            self.set_reading(True)  # for nothing: what lies unread at the end would turn it into a reset
        else:
            transport.close()

    def reset(self) -> None:
        """Drop what waits, here and in the kernel, and close at once; before it opens, see that it never does."""
        self.closing = True
        if self._transport is None:
            if self.withdraw is not None:
                self.withdraw()
        elif not self._lost:
            reset(self._transport)

    # -- what the transport tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin on a socket."""
        self._home.opened(self)
        self.begin(cast("asyncio.Transport", transport))

    def begin(self, transport: asyncio.Transport | SecureState) -> None:
        """Begin on any transport."""
        self._transport = transport
        transport.set_write_buffer_limits(high=0)
        if self.closing:  # a connect may succeed in the moment in which it is withdrawn
            reset(transport)
        else:
            self._tell(self.birth)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Lend the buffer for one read."""
        del sizehint
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Feed what was read."""
        if nbytes == self._full_bytes and self._home.reads_on:
            self._rest()
        self._receive(self._buffer[:nbytes].tobytes())

    def data_received(self, data: bytes) -> None:
        """Feed bytes of the peer."""
        self._receive(data)

    def eof_received(self) -> bool:
        """Tell the peer's end; the transport stays open, for the answer."""
        self._tell_end(clean=True)
        return True

    def pause_writing(self) -> None:
        """Note that the kernel has not taken everything."""
        self._blocked = True

    def resume_writing(self) -> None:
        """Go on with what waits: the kernel has taken everything."""
        self._blocked = False
        self._handed_bytes = 0
        self._pump()
        if not self._blocked and (self._ending or self.closing):
            self._home.loop.call_soon(self._finish)  # asyncio goes on with the transport as soon as this returns
        self._tell_unsent(self._unsent_bytes() if self._blocked else 0)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell what the engine does not know: that nothing can be sent or read any more, or that nothing waits."""
        del exc  # the reason is of no use: whatever it is, the stream is broken
        self._lost = True
        self._blocked = False
        self._backlog.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._told_end:
            self._tell_unsent(0)
        else:
            self._tell_end(clean=False)
        self._home.lost(self)

    def _receive(self, data: bytes) -> None:
        if self._paused and self._transport is not None:  # uvloop begins to read when the birth has been told
            self._transport.pause_reading()
        if not self.closing:
            self._tell(BytesReceived(self.link, data))

    def _rest(self) -> None:
        """Read no more in this pass of the loop."""
        if self._transport is not None:
            self._resting = True
            self._transport.pause_reading()
            self._home.loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self._resting = False
        if not self._paused:
            self.set_reading(True)

    def _pump(self) -> None:
        transport = self._transport
        while transport is not None and self._backlog and not self._blocked:
            block = self._backlog.next_block()
            self._handed_bytes = len(block)
            transport.write(block)

    def _finish(self) -> None:
        """Do what had to wait until everything was sent."""
        if self._ending:
            self._send_eof()
        if self.closing and self._transport is not None and not self._transport.is_closing():
            self._transport.close()

    def _send_eof(self) -> None:
        self._ending = False
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # reset by the peer, which reading or writing will find out
                self._transport.write_eof()

    def _unsent_bytes(self) -> int:
        waiting = self._transport.get_write_buffer_size() if self._transport is not None else 0
        return self._backlog.size_bytes + min(self._handed_bytes, waiting)

    def _tell_end(self, *, clean: bool) -> None:
        if not self.closing and not self._told_end:
            self._told_end = True
            self._tell(PeerClosed(self.link, clean))

    def _tell_unsent(self, unsent: int) -> None:
        if unsent < self._reported_bytes and not self.closing:
            self._reported_bytes = unsent
            self._tell(BytesSent(self.link, unsent))

    def _tell(self, event: Input) -> None:
        try:
            self._feed(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, the driver raises it once all links are closed
            self._home.failed(error)


class Link(LinkState, asyncio.BufferedProtocol):
    """One link. The ports never wait; nothing is fed any more once it is closing.

    Only the second base, by which asyncio knows how a protocol is to be given what was read, is not compiled.
    """

    __slots__ = ()


def reset(transport: asyncio.Transport | SecureState) -> None:
    """Close at once, with a reset instead of an end."""
    raw: socket.socket | None = transport.get_extra_info("socket")
    if raw is not None:
        with contextlib.suppress(OSError):  # the connection may be gone already
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()
