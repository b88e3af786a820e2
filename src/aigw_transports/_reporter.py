"""What a link says to its engine: each thing once, in order, and nothing any more once the engine has closed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw_proto._inputs import BytesReceived, BytesSent, Input, PeerClosed

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._kinds import LinkId

__all__ = ["Reporter"]


class Reporter:
    """The base of a driver's links, which keeps the rules that are the same for all of them.

    * `link`: its number.
    * `closing`: the engine has closed the link; set it in `close()`. Whatever is reported from then on is dropped.
    * `ended`: the peer's end, or the loss of the stream, was reported; there is nothing more to read.
    * `broken`: nothing can be sent or read any more.
    """

    def __init__(self, link: LinkId, feed: Callable[[Input], None]) -> None:
        """Report to `feed`."""
        self.link = link
        self.closing = False
        self.ended = False
        self.broken = False
        self._feed = feed
        self._unsent_bytes = 0

    def report(self, event: Input) -> None:
        """Report anything else: the beginning."""
        if not self.closing:
            self._feed(event)

    def report_data(self, data: bytes) -> None:
        """Report bytes of the peer; none are its end."""
        if data:
            self.report(BytesReceived(self.link, data))
        elif not self.ended:
            self._report_end(clean=True)

    def report_loss(self) -> None:
        """Report that the stream is broken; or, behind the peer's end, that nothing waits any more."""
        if not self.broken:
            self.broken = True
            if self.ended:
                self.report_unsent(0)
            else:
                self._report_end(clean=False)

    def report_unsent(self, unsent_bytes: int) -> None:
        """Report how much is unsent, if that is less than the engine knows."""
        if unsent_bytes < self._unsent_bytes:
            self._unsent_bytes = unsent_bytes
            self.report(BytesSent(self.link, unsent_bytes))

    def note_unsent(self, unsent_bytes: int) -> int:
        """Note how much is unsent after a send; return it, as `send()` does."""
        self._unsent_bytes = unsent_bytes
        return unsent_bytes

    def _report_end(self, *, clean: bool) -> None:
        self.ended = True
        self.report(PeerClosed(self.link, clean))
