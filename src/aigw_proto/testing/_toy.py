"""`ToyEngine`: the least that an engine is, for tests of drivers and as a first example."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .._effects import CloseHow, CloseLink, Connect, Drained, Effect, EndSending, SendBytes, SetReading, TlsPolicy
from .._kinds import LinkId

if TYPE_CHECKING:
    from .._inputs import Input

__all__ = ["ToyEngine"]


class ToyEngine:
    """Keeps the contract of an engine; a subclass decides in `received` and `woken` by calling the other methods.

    `deadline` is the time at which `woken` is called, once, or None; `now` is the time of the turn.
    """

    def __init__(self) -> None:
        """Start without links; the first `Connect` gets link 1."""
        self.now = 0.0
        self.deadline: float | None = None
        self._effects: deque[Effect] = deque()
        self._next_link = 1

    def received(self, event: Input) -> None:
        """Override: take one input."""

    def woken(self) -> None:
        """Override: `deadline` has come and was cleared."""

    def connect(self, host: str, port: int, tls: TlsPolicy | None = None, alpn: tuple[str, ...] = ()) -> LinkId:
        """Ask for a link and return its id."""
        link = LinkId(self._next_link)
        self._next_link += 2
        self.ask(Connect(link, host, port, tls, alpn))
        return link

    def send(self, link: LinkId, *chunks: bytes) -> None:
        """Send chunks; at most one call per link and turn."""
        self.ask(SendBytes(link, list(chunks)))

    def set_reading(self, link: LinkId, enabled: bool) -> None:
        """Start or stop reading."""
        self.ask(SetReading(link, enabled))

    def end_sending(self, link: LinkId) -> None:
        """End the sending direction."""
        self.ask(EndSending(link))

    def close(self, link: LinkId, how: CloseHow = CloseHow.FLUSH) -> None:
        """Close a link or withdraw its connect."""
        self.ask(CloseLink(link, how))

    def drain(self) -> None:
        """Say that the engine has ended."""
        self.ask(Drained())

    def ask(self, effect: Effect) -> None:
        """Queue any effect."""
        self._effects.append(effect)

    def handle(self, event: Input, now: float) -> None:
        """See `Engine`."""
        if self._effects:
            raise RuntimeError("the effects of the turn before were not all polled")
        self.now = now
        self.received(event)

    def handle_timeout(self, now: float) -> None:
        """See `Engine`."""
        if self.deadline is not None and now >= self.deadline:
            self.deadline = None
            self.now = now
            self.woken()

    def next_timeout(self) -> float | None:
        """See `Engine`."""
        return self.deadline

    def poll(self) -> Effect | None:
        """See `Engine`."""
        return self._effects.popleft() if self._effects else None
