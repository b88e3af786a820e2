"""For tests of machines: ways to cut a byte stream, a way to run one, and two machines that talk to each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from .._kinds import Machine, Signal

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["ConnectionPair", "chunkings", "run_machine"]

EventT = TypeVar("EventT")
LeftT = TypeVar("LeftT")
RightT = TypeVar("RightT")
_MAX_ROUNDS = 10_000


def chunkings(data: bytes, *, seed: int = 0, cuts: int = 8) -> Iterator[list[bytes]]:
    """Yield `data` cut in different ways: whole, byte by byte, in halves, and `cuts` times at seeded places.

    A machine must give the same events for all of them. Chunks are never empty.
    """
    if not data:
        yield []
        return
    yield [data]
    if len(data) == 1:
        return
    yield [data[index : index + 1] for index in range(len(data))]
    yield [data[: len(data) // 2], data[len(data) // 2 :]]
    state = seed
    for number in range(cuts):
        most = max(2, len(data) // (number + 1))
        chunks: list[bytes] = []
        start = 0
        while start < len(data):
            state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)  # Knuth's MMIX generator
            end = start + 1 + (state >> 33) % most
            chunks.append(data[start:end])
            start = end
        yield chunks


def run_machine(
    machine: Machine[EventT], chunks: Iterable[bytes], *, now: float = 0.0, eof: bool = False
) -> list[EventT]:
    """Feed chunks, and the end of the stream if `eof`; return all events up to where the machine stops giving any."""
    events: list[EventT] = []
    for chunk in chunks:
        machine.receive_data(chunk, now)
        events += _events(machine)
    if eof:
        machine.receive_eof(now)
        events += _events(machine)
    return events


def _events(machine: Machine[EventT]) -> Iterator[EventT]:
    while not isinstance(event := machine.next_event(), Signal):
        yield event


def _whole(data: bytes) -> tuple[bytes]:
    return (data,)


class ConnectionPair(Generic[LeftT, RightT]):
    """Two machines joined by a wire without latency. Act on the machines, then `pump()`.

    Events gather in `left_events` and `right_events`; `now` is the clock of both.
    """

    def __init__(
        self,
        left: Machine[LeftT],
        right: Machine[RightT],
        *,
        now: float = 0.0,
        cut: Callable[[bytes], Iterable[bytes]] | None = None,
    ) -> None:
        """Join two machines; `cut` says how each piece of output arrives, whole unless given."""
        self.left = left
        self.right = right
        self.now = now
        self.left_events: list[LeftT] = []
        self.right_events: list[RightT] = []
        self._cut = cut or _whole

    def pump(self) -> None:
        """Carry bytes both ways until both are quiet."""
        for _ in range(_MAX_ROUNDS):
            to_right = self._carry(self.left, self.right, self.right_events)
            to_left = self._carry(self.right, self.left, self.left_events)
            if not to_right and not to_left:
                return
        raise AssertionError("the two machines never stop talking")

    def advance(self, seconds: float) -> None:
        """Let time pass, waking both machines at their deadlines and carrying what they say."""
        end = self.now + seconds
        for _ in range(_MAX_ROUNDS):
            deadlines = [time for time in (self.left.next_timeout(), self.right.next_timeout()) if time is not None]
            if not deadlines or min(deadlines) > end:
                self.now = end
                return
            self.now = max(self.now, min(deadlines))
            self.left.handle_timeout(self.now)
            self.right.handle_timeout(self.now)
            self.pump()
        raise AssertionError("the deadlines never move on")

    def end_left(self) -> None:
        """End the stream that `left` sends: everything pending arrives, then the end."""
        self.pump()
        self.right.receive_eof(self.now)
        self.pump()

    def end_right(self) -> None:
        """End the stream that `right` sends: everything pending arrives, then the end."""
        self.pump()
        self.left.receive_eof(self.now)
        self.pump()

    def _carry(self, source: Machine[object], target: Machine[EventT], events: list[EventT]) -> bool:
        data = b"".join(source.data_to_send())
        for chunk in self._cut(data) if data else ():
            target.receive_data(chunk, self.now)
            events += _events(target)
        count = len(events)
        events += _events(target)
        return bool(data) or len(events) > count
