"""One accepted link of the mock: HTTP first, and after an upgrade a WebSocket.

What is spoken is a phase (`_answering.py`, `_socket.py`); the link gives it time and budget, and ends with it. What is
true of a link whatever is spoken on it (stores, back-pressure, the stuck deadline) is its wire (`_wire.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from .._effects import CloseHow, Effect
from .._kinds import LinkId
from .._limits import HttpLimits
from ..http import Request
from ._answering import Answering, Course
from ._limits import MockLimits
from ._wire import Expiry, Wire

__all__ = ["MockLink", "Phase"]


class Phase(Protocol):
    """What is spoken on a link."""

    @property
    def successor(self) -> Phase | None:
        """What is spoken from now on instead."""
        ...

    def advance(self, now: float, budget: int) -> int:
        """Go on as far as time, the link and `budget` bytes allow; return what it cost."""
        ...

    def received(self) -> None:
        """Note that bytes came."""
        ...

    def peer_left(self, now: float) -> None:
        """Note that the peer will send no more."""
        ...

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None."""
        ...

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        ...

    def drain(self, now: float) -> None:
        """End in order, with what is under way or at once."""
        ...

    def fail(self, now: float) -> None:
        """Give the link up after a bug, and say so to the peer where that can be said."""
        ...

    def end(self, outcome: str, now: float) -> None:
        """Write the record of what was under way, if anything was: the link is given up."""
        ...


class MockLink:
    """One connection of a client to the mock provider; owned by `MockEngine`."""

    def __init__(
        self,
        link: LinkId,
        peer: str,
        *,
        now: float,
        http: HttpLimits,
        limits: MockLimits,
        begin: Callable[[Request, bytes, float], Course],
    ) -> None:
        """Start reading; `begin(request, body, now)` is asked for the course of every answer."""
        self.link = link
        self.peer = peer
        self.queued = False
        """Whether the engine has the link in its queue of those that can go on."""
        self.scheduled: float | None = None
        """The deadline under which the engine has the link in its heap."""
        self._wire = Wire(link, limits)
        self._phase: Phase = Answering(self._wire, peer, now=now, http=http, begin=begin)

    @property
    def ready(self) -> bool:
        """Whether only the turn's budget stopped the link."""
        return self._wire.ready

    @property
    def closed(self) -> bool:
        """Whether the link is given up: its last effects are waiting, and nothing else happens on it."""
        return self._wire.closed is not None

    # --- what the world did ------------------------------------------------------------------------------------------

    def receive(self, data: bytes) -> None:
        """Take bytes from the peer."""
        self._wire.receive(data)
        self._phase.received()

    def peer_closed(self, now: float, *, clean: bool) -> None:
        """Note that the peer will send no more, or that the stream broke."""
        self._wire.eof = True
        if self._wire.lingering or not clean:
            self._give_up(CloseHow.ABORT, "disconnected", now)
        else:
            self._phase.peer_left(now)

    def sent(self, unsent: int, now: float) -> None:
        """Note how many bytes the driver still holds."""
        self._wire.sent(unsent, now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of the link."""
        deadlines = (self._wire.next_timeout(), self._phase.next_timeout())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        self._phase.handle_timeout(now)
        while (expiry := self._wire.handle_timeout(now)) is not None:
            if expiry is Expiry.STUCK:
                self._give_up(CloseHow.ABORT, "stuck", now)
            else:
                self._give_up(CloseHow.FLUSH, "cut", now)

    def drain(self, now: float) -> None:
        """End the connection with what is under way, or at once when it is idle."""
        self._phase.drain(now)

    def shut_down(self, now: float) -> None:
        """End the connection now, whatever is under way."""
        self._give_up(CloseHow.ABORT, "shutdown", now)

    def fail(self, now: float) -> None:
        """Give the link up after a bug."""
        self._phase.fail(now)
        self._wire.close(CloseHow.FLUSH)

    def _give_up(self, how: CloseHow, outcome: str, now: float) -> None:
        if not self.closed:
            self._wire.close(how)
            self._phase.end(outcome, now)

    # --- what the link does ------------------------------------------------------------------------------------------

    def advance(self, now: float, budget: int) -> int:
        """Go on as far as time, the link and `budget` bytes allow; return what it cost.

        Afterwards `ready` says whether there is more to do at once.
        """
        self._wire.ready = False
        if self.closed or self._wire.lingering:
            return 0
        spent = self._phase.advance(now, budget)
        if self._phase.successor is not None:
            self._phase = self._phase.successor
        return spent

    def take_effects(self) -> list[Effect]:
        """Move out what this turn asks of the driver, in the order in which it has to happen."""
        return self._wire.take_effects()
