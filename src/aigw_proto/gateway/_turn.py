"""What one turn collects: effects in order, sends coalesced by link, reading switched at most once by link.

Deadlines of many owners live in one heap. A deadline that moves later (the common case: every byte postpones a
keep-alive) leaves its heap entry where it is; when that entry comes up, the owner is simply asked again. So an owner
costs one entry, and activity costs nothing.

Whoever has work gets it done in quanta. Those who come with something new go before those who have had a quantum and
are not done: what a voice needs is there at once, however many floods are worked off beside it. Every few quanta one is
for the others, so that nobody waits for ever.
"""

from __future__ import annotations

import heapq
from collections import deque
from typing import TYPE_CHECKING

from .._effects import CloseHow, CloseLink, Effect, EndSending, SetReading
from .._kinds import LinkId
from .._transfer import SendBytes

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Actor", "Deadlines", "Rota", "Turn"]

_STALE_KEPT = 64  # below this a rebuild costs more than the entries
_QUANTA_OF_NEWCOMERS = 3  # before one of the others has its turn


class Turn:
    """Effects of the turn under way."""

    __slots__ = ("_effects", "_not_reading", "_polled", "_reading_changes", "_sends", "sent_bytes")

    def __init__(self) -> None:
        """Start with no effects."""
        self._effects: list[Effect] = []
        self._polled = 0
        self._sends: dict[LinkId, SendBytes] = {}
        self._not_reading: set[LinkId] = set()
        self._reading_changes: dict[LinkId, bool] = {}
        self.sent_bytes = 0

    def is_drained(self) -> bool:
        """Return whether every effect was polled."""
        return self._polled == len(self._effects)

    def emit(self, effect: Effect) -> None:
        """Append an effect that needs no coalescing."""
        self._effects.append(effect)

    def send(self, link: LinkId, chunks: Sequence[bytes]) -> int:
        """Append chunks to what this turn sends on `link`; return how many bytes they hold."""
        count = 0
        for chunk in chunks:
            count += len(chunk)
        if not count:
            return 0
        self.sent_bytes += count
        pending = self._sends.get(link)
        if pending is None:
            pending = SendBytes(link, [chunk for chunk in chunks if chunk])
            self._sends[link] = pending
            self._effects.append(pending)
        else:
            pending.chunks.extend([chunk for chunk in chunks if chunk])
        return count

    def set_reading(self, link: LinkId, enabled: bool) -> None:
        """Want reading on or off; becomes an effect at the end of the turn if it is a change."""
        if enabled == (link in self._not_reading) or link in self._reading_changes:
            self._reading_changes[link] = enabled

    def end_sending(self, link: LinkId) -> None:
        """Flush, then end the sending direction."""
        self._effects.append(EndSending(link))

    def close(self, link: LinkId, how: CloseHow) -> None:
        """Close the link and forget what was wanted of it."""
        self._reading_changes.pop(link, None)
        self._not_reading.discard(link)
        self._effects.append(CloseLink(link, how))

    def finish(self) -> None:
        """End the turn: nothing is coalesced with what follows."""
        if self.sent_bytes:
            self._sends.clear()
            self.sent_bytes = 0
        if self._reading_changes:
            for link, enabled in self._reading_changes.items():
                if enabled == (link in self._not_reading):
                    if enabled:
                        self._not_reading.discard(link)
                    else:
                        self._not_reading.add(link)
                    self._effects.append(SetReading(link, enabled))
            self._reading_changes.clear()

    def poll(self) -> Effect | None:
        """Move out the next effect."""
        effects = self._effects
        if self._polled == len(effects):
            if effects:
                effects.clear()
                self._polled = 0
            return None
        self._polled += 1
        return effects[self._polled - 1]


class Actor:
    """What the engine calls: who owns a link, has deadlines, works in quanta, has sent something.

    A class and not an interface, so that compiled callers find the methods without looking for them. Every actor has
    the first four methods, and of the others those that its part asks for. `scheduled` belongs to `Deadlines` and
    starts as None; `queued` belongs to `Rota`, or to whoever else lets it work, and starts as False.
    """

    __slots__ = ("queued", "scheduled")

    queued: bool
    scheduled: float | None

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or None."""
        raise NotImplementedError

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        raise NotImplementedError

    def crash(self, now: float) -> None:
        """End after a bug, with everything that hangs on it."""
        raise NotImplementedError

    def drop(self, now: float) -> None:
        """Let go of every link after a second bug, while ending; nothing is said to anybody."""
        raise NotImplementedError

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes that arrived on the link."""
        raise NotImplementedError

    def receive_eof(self, *, clean: bool, now: float) -> None:
        """Note that nothing more will arrive on the link."""
        raise NotImplementedError

    def sent(self, unsent: int, now: float) -> None:
        """Take the driver's backlog of the link."""
        raise NotImplementedError

    def hand_over(self) -> None:
        """End the turn: the driver has the output now."""
        raise NotImplementedError

    def work(self, now: float) -> None:
        """Do one quantum of work."""
        raise NotImplementedError

    def drain(self, now: float) -> None:
        """Take nothing new from the client, and end with what is under way."""
        raise NotImplementedError

    def end_now(self, now: float) -> None:
        """End, whatever is under way."""
        raise NotImplementedError


class Deadlines:
    """The earliest deadline of many owners."""

    __slots__ = ("_count", "_heap", "_stale")

    def __init__(self) -> None:
        """Start with no owners."""
        self._heap: list[tuple[float, int, Actor]] = []
        self._count = 0  # breaks ties, so that owners are never compared
        self._stale = 0  # entries that no longer count, kept until they come up or outnumber the others

    def touch(self, owner: Actor) -> None:
        """Look at an owner's deadline again after anything was done with it."""
        deadline = owner.next_timeout()
        if deadline is not None and (owner.scheduled is None or deadline < owner.scheduled):
            self._supersede(owner)
            owner.scheduled = deadline
            self._count += 1
            heapq.heappush(self._heap, (deadline, self._count, owner))

    def forget(self, owner: Actor) -> None:
        """Drop an owner that has ended: nothing may keep it in memory until a deadline that no longer matters."""
        self._supersede(owner)
        owner.scheduled = None

    def earliest(self) -> float | None:
        """Return a time at or before the earliest deadline; None when there is none."""
        heap = self._heap
        while heap and heap[0][2].scheduled != heap[0][0]:
            heapq.heappop(heap)
            self._stale -= 1
        return heap[0][0] if heap else None

    def pop_due(self, now: float) -> Actor | None:
        """Take out the next owner that has to be looked at by `now`; the caller lets it time out, then touches it."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            deadline, _, owner = heapq.heappop(heap)
            if owner.scheduled != deadline:
                self._stale -= 1
                continue
            owner.scheduled = None
            actual = owner.next_timeout()
            if actual is not None and actual <= now:
                return owner
            self.touch(owner)
        return None

    def _supersede(self, owner: Actor) -> None:
        if owner.scheduled is None:
            return
        self._stale += 1
        if self._stale > _STALE_KEPT and self._stale * 2 > len(self._heap):
            owner.scheduled = None
            self._heap = [entry for entry in self._heap if entry[2].scheduled == entry[0]]
            heapq.heapify(self._heap)
            self._stale = 0


class Rota:
    """Who works next; `waiting` counts them."""

    __slots__ = ("_at_work", "_fresh", "_quanta", "_worn", "waiting")

    def __init__(self) -> None:
        """Start with nobody."""
        self._fresh: deque[Actor] = deque()
        self._worn: deque[Actor] = deque()
        self._quanta = 0  # that newcomers had one after the other while others waited
        self._at_work: Actor | None = None
        self.waiting = 0

    def add(self, worker: Actor, again: bool = False) -> None:
        """Let `worker` have a quantum, unless it waits for one already.

        It goes behind the newcomers when it is at work, or goes on, `again`, with what had to stop.
        """
        if not worker.queued:
            worker.queued = True
            self.waiting += 1
            if again or worker is self._at_work:
                self._worn.append(worker)
            else:
                self._fresh.append(worker)

    def take(self) -> Actor:
        """Take out who is next, and is at work until `rest()`. Raises IndexError when there is nobody."""
        if self._fresh and (self._quanta < _QUANTA_OF_NEWCOMERS or not self._worn):
            self._quanta = self._quanta + 1 if self._worn else 0
            worker = self._fresh.popleft()
        else:
            self._quanta = 0
            worker = self._worn.popleft()
        worker.queued = False
        self.waiting -= 1
        self._at_work = worker
        return worker

    def rest(self) -> None:
        """End a quantum."""
        self._at_work = None
