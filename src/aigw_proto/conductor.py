"""The turn loop that every driver shares: input, engine, effects, timer.

One turn is: hand one input (or the passing of time) to the engine, poll all of its effects, then carry them out
through the driver's ports. Effects run after the turn; an effect that feeds back (a send that leaves a backlog, a
connect that fails at once) is queued and becomes a turn of its own, so the engine is never re-entered.

Three promises hold for every driver because they are kept here and not there:

* Nothing is fed for a link after its `CloseLink`, not even what was queued before it.
* A call runs a bounded number of turns. The rest waits for the timer, which is then armed for now, so that an engine
  that keeps itself busy cannot keep the driver from its sockets.
* After `Drained`, or after it raised, the engine is never called again.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, assert_never

from ._effects import (
    CloseHow,
    CloseLink,
    Connect,
    Deliver,
    Drained,
    Effect,
    EndSending,
    Journal,
    Log,
    SetReading,
)
from ._kinds import Engine, LinkId
from ._transfer import BytesSent, SendBytes

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["FLUSH_SECONDS", "Conductor", "Ports"]

InputT = TypeVar("InputT")
FLUSH_SECONDS = 10.0
"""How long a link that was closed with `CloseHow.FLUSH` keeps sending to a peer that does not read.

A bound of the drivers, the same for all, because `CloseLink` is the last that an engine says of a link.
"""
_TURNS_PER_CALL = (
    64  # enough for every answer of one relayed read; at 10 us a turn, others wait less than a millisecond
)


class Ports(Protocol):
    """What a driver does for an engine. None of these may block, raise for a peer's doing, or call the engine."""

    def connect(self, effect: Connect) -> None:
        """Start opening a link; answer later with `LinkConnected` or `ConnectFailed`."""
        ...

    def send(self, link: LinkId, chunks: list[bytes]) -> int:
        """Send chunks in order; return how many bytes of this link the kernel has not taken yet, old ones included."""
        ...

    def set_reading(self, link: LinkId, enabled: bool) -> None:
        """Start or stop reading from a link."""
        ...

    def end_sending(self, link: LinkId) -> None:
        """Flush and end the sending direction, or do nothing where the stream has no half-close."""
        ...

    def close(self, link: LinkId, how: CloseHow) -> None:
        """Close a link or withdraw its connect; feed nothing for it afterwards. Flushing ends by `FLUSH_SECONDS`."""
        ...

    def journal(self, effect: Journal) -> None:
        """Write one record."""
        ...

    def log(self, effect: Log) -> None:
        """Write one line."""
        ...

    def deliver(self, effect: Deliver) -> None:
        """Hand an item to the embedding program."""
        ...

    def drained(self) -> None:
        """Stop: the engine has ended."""
        ...

    def arm(self, deadline: float | None) -> None:
        """Set the one timer: call `Conductor.wake()` at `deadline` (monotonic seconds), or never for None.

        A deadline that has passed means that work remains: look at the sockets once, then wake.
        """
        ...


class Turns:
    """What a `Conductor` does, for inputs of any kind: a compiled class cannot be generic."""

    __slots__ = ("_armed", "_backlogged", "_clock", "_ended", "_engine", "_next_link", "_ports", "_queue", "_running")

    def __init__(self, engine: Engine[Any], ports: Ports, clock: Callable[[], float]) -> None:
        """Join `engine` and `ports`; `clock` gives monotonic seconds."""
        self._engine = engine
        self._ports = ports
        self._clock = clock
        self._queue: deque[object] = deque()  # None is for time that passes
        self._running = False
        self._ended = False
        self._armed: float | None = None
        self._backlogged: set[LinkId] = set()  # the last send left something behind
        self._next_link = 0

    @property
    def ended(self) -> bool:
        """True after `Drained`, `stop()` or an exception from the engine: whatever is fed from then on is dropped."""
        return self._ended

    def new_link(self) -> LinkId:
        """Return a fresh id for a link that the driver is about to report with `LinkAccepted`."""
        link = LinkId(self._next_link)
        self._next_link += 2
        return link

    def feed(self, event: Any) -> None:
        """Run the turn of one input, and those of whatever its effects feed back."""
        if self._running or self._queue:
            self._queue.append(event)
            if self._running:
                return
            event = self._queue.popleft()
        self._run(event)

    def wake(self) -> None:
        """Let time pass: the driver's timer fired. Early and late calls are harmless."""
        self._armed = None
        self.feed(None)

    def start(self) -> None:
        """Arm the timer for an engine that has deadlines before its first input."""
        self.wake()

    def stop(self) -> None:
        """Never call the engine again: the driver has ended for a reason of its own."""
        self._ended = True

    def _run(self, event: object) -> None:
        queue = self._queue
        if self._ended:
            queue.clear()
            return
        self._running = True
        try:
            self._turn(event)
            turns = _TURNS_PER_CALL - 1
            while queue and turns:
                turns -= 1
                self._turn(queue.popleft())
        except BaseException:
            self._ended = True
            raise
        finally:
            self._running = False
        if self.ended:
            return
        deadline = self._clock() if queue else self._engine.next_timeout()
        if deadline != self._armed:
            self._armed = deadline
            self._ports.arm(deadline)

    def _turn(self, event: object) -> None:
        engine = self._engine
        now = self._clock()
        if event is None:
            engine.handle_timeout(now)
        else:
            engine.handle(event, now)
        # Polled to the end before any effect runs: an effect must never see a half-finished turn.
        effects: list[Effect] = []
        while (effect := engine.poll()) is not None:
            effects.append(effect)
        for effect in effects:
            if isinstance(effect, SendBytes):
                self._send(effect)
            else:
                self._perform(effect)

    def _send(self, effect: SendBytes) -> None:
        link = effect.link
        backlog = self._ports.send(link, effect.chunks)
        if backlog or link in self._backlogged:
            self._report(link, backlog)

    def _perform(
        self, effect: Connect | SetReading | EndSending | CloseLink | Journal | Log | Deliver | Drained
    ) -> None:
        ports = self._ports
        match effect:  # most frequent first: each case is an isinstance check
            case SetReading():
                ports.set_reading(effect.link, effect.enabled)
            case Deliver():
                ports.deliver(effect)
            case CloseLink():
                ports.close(effect.link, effect.how)
                self._forget(effect.link)
            case Connect():
                ports.connect(effect)
            case EndSending():
                ports.end_sending(effect.link)
            case Journal():
                ports.journal(effect)
            case Log():
                ports.log(effect)
            case Drained():
                self._ended = True
                self._queue.clear()
                ports.drained()
            case _:
                assert_never(effect)

    def _report(self, link: LinkId, backlog: int) -> None:
        """Tell the engine what a send left behind; also that an earlier backlog went with it, which nobody else says.

        Ahead of inputs that wait: the engine must know the backlog before it produces more for this link.
        """
        if backlog:
            self._backlogged.add(link)
        else:
            self._backlogged.discard(link)
        self._queue.appendleft(BytesSent(link, backlog))

    def _forget(self, link: LinkId) -> None:
        """Drop what is queued for a link that was just closed: a backlog report, an answer to its connect."""
        self._backlogged.discard(link)
        queue = self._queue
        if queue:  # rare and short: nearly every turn starts with an empty queue
            kept = [event for event in queue if getattr(event, "link", None) != link]
            queue.clear()
            queue.extend(kept)


class Conductor(Turns, Generic[InputT]):
    """Runs one engine on one driver's ports. Not thread-safe: one owner calls it."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __init__(self, engine: Engine[InputT | BytesSent], ports: Ports, clock: Callable[[], float]) -> None:
            """Join `engine` and `ports`; `clock` gives monotonic seconds."""

        def feed(self, event: InputT | BytesSent) -> None:
            """Run the turn of one input, and those of whatever its effects feed back."""
