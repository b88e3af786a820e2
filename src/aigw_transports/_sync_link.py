"""One link of the sync driver: the user of a stream, which is a socket's or has TLS on top of one.

It lives in the owner thread. A link that is not held up sends at once and has nothing to remember; what the kernel does
not take goes on in blocks, one whenever it has taken the one before, so that progress is reported.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, BytesSent, Input, PeerClosed
from aigw_proto.conductor import FLUSH_SECONDS

from ._backlog import JOIN_BYTES, SLICE_BYTES, Backlog

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._kinds import LinkId

    from ._sync_owner import Owner, Timer
    from ._sync_stream import Stream

__all__ = ["Link"]


class Link:
    """One link. The ports never wait; nothing is fed any more once it is closing."""

    __slots__ = (
        "_backlog", "_ending", "_feed", "_handed_bytes", "_lost", "_owner", "_reported_bytes", "_stream", "_timer",
        "_told_end", "closing", "link", "withdraw",
    )  # fmt: skip

    def __init__(self, owner: Owner, link: LinkId, feed: Callable[[Input], None]) -> None:
        """Prepare a link that is not open yet; `withdraw` is what a close does before it is."""
        self.link = link
        self.closing = False
        self.withdraw: Callable[[], object] | None = None
        self._owner = owner
        self._feed = feed
        self._stream: Stream | None = None
        self._backlog = Backlog()  # empty while the kernel takes everything
        self._handed_bytes = 0  # of the last block; the stream's own count is of encrypted bytes under TLS
        self._reported_bytes = 0
        self._ending = False
        self._told_end = False
        self._lost = False
        self._timer: Timer | None = None

    def begin(self, stream: Stream, birth: Input) -> None:
        """Report `birth`, and move bytes until the link is closed.

        Raises OSError when there cannot be another thread; the stream is closed then, and nothing was fed.
        """
        stream.begin(self)
        self._stream = stream
        self._feed(birth)

    # -- ports

    def send(self, chunks: list[bytes]) -> int:
        """Hand chunks to the kernel; return how many bytes of this link it has not taken."""
        stream = self._stream
        if stream is None or self._lost:
            return 0  # the engine is about to hear of it
        size = sum(map(len, chunks))
        if stream.waiting_bytes:
            self._backlog.extend(chunks)
        elif size <= JOIN_BYTES or (len(chunks) == 1 and size <= SLICE_BYTES):
            self._handed_bytes = size
            stream.write(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        else:
            self._backlog.extend(chunks)
            self._pump(stream)
        self._reported_bytes = self._unsent_bytes(stream)
        return self._reported_bytes

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading."""
        if self._stream is not None and not self._told_end:
            self._stream.set_reading(enabled)

    def end_sending(self) -> None:
        """End the sending direction behind what waits."""
        self._ending = True
        self._finish()

    def close(self, how: CloseHow) -> None:
        """Feed nothing any more, and close: at once, or when everything that waits is sent."""
        self.closing = True
        if self._stream is None or how is CloseHow.ABORT:
            self.reset()
            return
        if not self._lost and self._stream.waiting_bytes:
            self._timer = self._owner.call_later(FLUSH_SECONDS, self.reset)
            self._stream.set_reading(True)  # for nothing: what lies unread at the end would turn it into a reset
        self._finish()

    def reset(self) -> None:
        """Drop what waits, here and in the kernel, and close at once; before it opens, see that it never does."""
        self.closing = True
        if self._stream is not None:
            self._stream.reset()
        elif self.withdraw is not None:
            self.withdraw()

    # -- what the stream tells

    def receive(self, data: bytes) -> None:
        """See `User`."""
        if not self.closing and not self._told_end:
            self._feed(BytesReceived(self.link, data))

    def receive_eof(self) -> None:
        """See `User`."""
        self._tell_end(clean=True)

    def receive_loss(self, error: Exception | None) -> None:
        """See `User`. Tells what the engine does not know; the reason is of no use to it."""
        del error
        self._lost = True
        self._backlog.clear()
        if self._told_end:
            self._tell_unsent(0)
        else:
            self._tell_end(clean=False)
        self._reported_bytes = 0
        self._finish()

    def progress(self) -> None:
        """See `User`."""
        if self._stream is not None:
            self._pump(self._stream)
            self._tell_unsent(self._unsent_bytes(self._stream))
            self._finish()

    # --

    def _pump(self, stream: Stream) -> None:
        while self._backlog and not stream.waiting_bytes:
            block = self._backlog.next_block()
            self._handed_bytes = len(block)
            stream.write(block)

    def _unsent_bytes(self, stream: Stream) -> int:
        return self._backlog.size_bytes + min(self._handed_bytes, stream.waiting_bytes)

    def _finish(self) -> None:
        """Do what had to wait until everything was sent."""
        stream = self._stream
        if stream is None or (stream.waiting_bytes and not self._lost):
            return
        if self._ending and not self._lost:
            self._ending = False
            stream.end_sending()
        if self.closing:
            if self._timer is not None:
                self._timer.cancel()
            stream.close()

    def _tell_end(self, *, clean: bool) -> None:
        if not self.closing and not self._told_end:
            self._told_end = True
            self._feed(PeerClosed(self.link, clean))

    def _tell_unsent(self, unsent: int) -> None:
        if unsent < self._reported_bytes and not self.closing:
            self._reported_bytes = unsent
            self._feed(BytesSent(self.link, unsent))
