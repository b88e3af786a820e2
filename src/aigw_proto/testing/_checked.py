"""`Checked`: an engine wrapper that asserts the contract between engines and drivers on every turn.

The contract has two sides, and so have the complaints: a message that begins with `engine:` blames the engine for an
effect that it must not ask for, one that begins with `driver:` blames whoever feeds the engine for an input that
cannot have happened. A link is followed from birth (`LinkAccepted`, `Connect`) over its opening to its end
(`CloseLink`, `ConnectFailed`); whatever names a link outside of that life is a violation.

The wrapper is an engine itself, so it goes wherever one goes: into a conductor, a driver, a playbook, a world.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Generic, TypeVar

from .._effects import CloseLink, Connect, Drained, EndSending, SendBytes, SetReading
from .._inputs import BytesReceived, BytesSent, ConnectFailed, LinkAccepted, LinkConnected, PeerClosed
from ._traced import describe

if TYPE_CHECKING:
    from .._effects import Effect
    from .._kinds import Engine, LinkId

__all__ = ["Checked", "ContractError"]

InputT = TypeVar("InputT")
_MAX_IDLE_WAKES = 10_000  # wakes at one instant without an effect: more than any bounded turn splits work into


class ContractError(AssertionError):
    """An engine or a driver broke the contract between them. The message says which one and how."""


class _Life(enum.Enum):
    CONNECTING = "connecting"
    OPEN = "open"
    CLOSED = "closed"
    FAILED = "failed to connect"


class _Watched:
    """What is known of one link."""

    __slots__ = ("life", "paused_reads", "peer_closed", "reading", "sending_ended", "sent_bytes", "unsent_bytes")

    def __init__(self, life: _Life) -> None:
        self.life = life
        self.reading = True
        self.paused_reads = 0
        self.peer_closed: PeerClosed | None = None
        self.sending_ended = False
        self.sent_bytes = 0  # since the last report of the driver
        self.unsent_bytes = 0  # by the last report of the driver


class Checked(Generic[InputT]):
    """Wraps `engine` and raises `ContractError` as soon as it, or its driver, breaks the contract."""

    def __init__(self, engine: Engine[InputT], *, max_unsent_bytes: int | None = None) -> None:
        """Watch `engine`; with `max_unsent_bytes`, no link may have more bytes waiting in the driver than that."""
        self._engine = engine
        self._max_unsent_bytes = max_unsent_bytes
        self._links: dict[LinkId, _Watched] = {}
        self._now = float("-inf")
        self._in_turn = False
        self._drained = False
        self._sent_this_turn: set[LinkId] = set()
        self._effects_this_turn = 0
        self._idle_wakes = 0
        self._woken = False
        self._overdue = False

    @property
    def engine(self) -> Engine[InputT]:
        """The engine inside."""
        return self._engine

    @property
    def drained(self) -> bool:
        """True once the engine has said `Drained`."""
        return self._drained

    @property
    def open_links(self) -> tuple[LinkId, ...]:
        """Links that are connecting or open, in order of birth."""
        return tuple(link for link, watched in self._links.items() if watched.life in (_Life.CONNECTING, _Life.OPEN))

    def finish(self) -> None:
        """Assert that the engine has ended every link; call it at the end of a test."""
        if self.open_links:
            raise ContractError(f"engine: links {list(self.open_links)} were never closed")

    def handle(self, event: InputT, now: float) -> None:
        """Check the input, then pass it on."""
        self._begin_turn(now, woken=False)
        self._check_input(event)
        self._engine.handle(event, now)

    def handle_timeout(self, now: float) -> None:
        """Let time pass in the engine."""
        self._begin_turn(now, woken=True)
        self._engine.handle_timeout(now)

    def next_timeout(self) -> float | None:
        """Return the engine's next deadline."""
        return self._engine.next_timeout()

    def poll(self) -> Effect | None:
        """Poll one effect and check it; at the end of the turn, check the next deadline."""
        effect = self._engine.poll()
        if effect is None:
            if self._in_turn:
                self._end_turn()
            return None
        self._effects_this_turn += 1
        if self._drained:
            raise ContractError(f"engine: {describe(effect)} after Drained")
        self._check_effect(effect)
        return effect

    def _begin_turn(self, now: float, *, woken: bool) -> None:
        if self._in_turn:
            raise RuntimeError("the effects of the turn before were not all polled")
        if now < self._now:
            raise ContractError(f"driver: time went back from {self._now} to {now}")
        if self._drained:
            raise ContractError("driver: called the engine after Drained")
        deadline = self._engine.next_timeout()
        self._now = now
        self._in_turn = True
        self._woken = woken
        self._overdue = not woken and deadline is not None and deadline < now
        self._effects_this_turn = 0
        self._sent_this_turn.clear()

    def _end_turn(self) -> None:
        self._in_turn = False
        deadline = self._engine.next_timeout()
        if deadline is not None and deadline < self._now and not self._overdue:
            raise ContractError(f"engine: next_timeout() is {deadline} after it was given {self._now}")
        stuck = self._woken and deadline == self._now and not self._effects_this_turn
        self._idle_wakes = self._idle_wakes + 1 if stuck else 0
        if self._idle_wakes >= _MAX_IDLE_WAKES:
            complaint = f"it claims that work remains, and {self._idle_wakes} wakes brought no effect"
            raise ContractError(f"engine: spins: {complaint}")

    def _watched(self, link: LinkId, life: _Life, what: object, blame: str) -> _Watched:
        watched = self._links.get(link)
        if watched is None:
            raise ContractError(f"{blame}: {describe(what)} names a link that does not exist")
        if watched.life is not life:
            raise ContractError(f"{blame}: {describe(what)} on a link that is {watched.life.value}")
        return watched

    def _check_input(self, event: InputT) -> None:
        if isinstance(event, BytesReceived):  # by far the most frequent, and a pattern costs more
            self._check_bytes(event)
            return
        if isinstance(event, BytesSent):
            self._check_report(event)
            return
        match event:
            case LinkAccepted(link):
                if link % 2 or link in self._links:
                    raise ContractError(f"driver: {describe(event)} is not a fresh even link")
                self._links[link] = _Watched(_Life.OPEN)
            case LinkConnected(link):
                self._watched(link, _Life.CONNECTING, event, "driver").life = _Life.OPEN
            case ConnectFailed(link):
                self._watched(link, _Life.CONNECTING, event, "driver").life = _Life.FAILED
            case PeerClosed(link):
                watched = self._watched(link, _Life.OPEN, event, "driver")
                if watched.peer_closed is not None:
                    raise ContractError(f"driver: {describe(event)} after {describe(watched.peer_closed)}")
                watched.peer_closed = event
            case _:
                pass

    def _check_bytes(self, event: BytesReceived) -> None:
        watched = self._watched(event.link, _Life.OPEN, event, "driver")
        if not event.data:
            raise ContractError("driver: BytesReceived without bytes")
        if watched.peer_closed is not None:
            raise ContractError(f"driver: {describe(event)} after {describe(watched.peer_closed)}")
        if not watched.reading:
            watched.paused_reads += 1
            if watched.paused_reads > 1:
                raise ContractError(f"driver: reads from link {event.link}, which is paused")

    def _check_report(self, event: BytesSent) -> None:
        watched = self._watched(event.link, _Life.OPEN, event, "driver")
        if watched.sent_bytes:
            most = watched.unsent_bytes + watched.sent_bytes
            if not 0 <= event.unsent <= most:
                raise ContractError(f"driver: {describe(event)} when at most {most} bytes can wait")
        elif not 0 <= event.unsent < watched.unsent_bytes:
            raise ContractError(f"driver: {describe(event)} reports no progress")
        watched.unsent_bytes, watched.sent_bytes = event.unsent, 0
        bound = self._max_unsent_bytes
        if bound is not None and event.unsent > bound:
            raise ContractError(f"engine: {describe(event)} is beyond the bound of {bound}")

    def _check_effect(self, effect: Effect) -> None:
        if isinstance(effect, SendBytes):
            self._check_sending(effect)
            return
        match effect:
            case SetReading(link, enabled):
                watched = self._watched(link, _Life.OPEN, effect, "engine")
                if watched.reading == enabled:
                    raise ContractError(f"engine: {describe(effect)} changes nothing")
                watched.reading, watched.paused_reads = enabled, 0
            case EndSending(link):
                self._sendable(effect, link).sending_ended = True
            case CloseLink(link):
                life = _Life.CONNECTING if self._is(link, _Life.CONNECTING) else _Life.OPEN
                self._watched(link, life, effect, "engine").life = _Life.CLOSED
            case Connect(link):
                if not link % 2 or link in self._links:
                    raise ContractError(f"engine: {describe(effect)} is not a fresh odd link")
                self._links[link] = _Watched(_Life.CONNECTING)
            case Drained():
                self.finish()
                self._drained = True
            case _:
                pass

    def _check_sending(self, effect: SendBytes) -> None:
        link, chunks = effect.link, effect.chunks
        watched = self._sendable(effect, link)
        if link in self._sent_this_turn:
            raise ContractError(f"engine: a second SendBytes on link {link} in one turn")
        if not chunks or not all(chunks):
            raise ContractError(f"engine: SendBytes on link {link} with nothing in it")
        self._sent_this_turn.add(link)
        watched.sent_bytes += sum(map(len, chunks))

    def _is(self, link: LinkId, life: _Life) -> bool:
        watched = self._links.get(link)
        return watched is not None and watched.life is life

    def _sendable(self, effect: Effect, link: LinkId) -> _Watched:
        watched = self._watched(link, _Life.OPEN, effect, "engine")
        if watched.sending_ended:
            raise ContractError(f"engine: {type(effect).__name__} on link {link} after EndSending")
        if watched.peer_closed is not None and not watched.peer_closed.clean:
            raise ContractError(f"engine: {type(effect).__name__} on link {link}, which is broken")
        return watched
