"""The streams of the memory world's network, which behave badly on request.

A stream is two one-way pipes. What a sender writes waits in its *backlog* (the bytes a driver would hold), moves into
the *kernel* as far as the buffer has room, arrives after the latency, and waits there until the receiver reads. Reading
makes room, room takes bytes from the backlog, and that is reported to the sender: so back-pressure travels exactly as
on a socket. An end that closes with bytes unread, or gets bytes after closing, answers with a reset, which destroys
what the other side has not read yet, as TCP does.

Nothing here knows engines; `aigw_transports.memory` joins the ends of a stream to hosts and scripted peers.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from aigw_proto.conductor import FLUSH_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ._schedule import Schedule, Wakeup

__all__ = ["End", "Faults", "Receiver", "join"]


@dataclass(frozen=True, slots=True)
class Faults:
    """How a link misbehaves; the defaults are a healthy local network. Chances are between 0 and 1."""

    latency_seconds: float = 0.001
    """From being sent to being readable, one way."""
    jitter_seconds: float = 0.0
    """Added to the latency, drawn anew for each segment; order is kept."""
    buffer_bytes: int = 128 * 1024
    """What the kernels hold per direction: sent or received, and not read yet."""
    max_read_bytes: int = 64 * 1024
    """The most that one read returns."""
    torn: float = 0.0
    """Chance that a read returns less than there is, cut anywhere."""
    stall: float = 0.0
    """Chance that a segment is held up by `stall_seconds`, with everything behind it."""
    stall_seconds: float = 1.0
    """See `stall`."""
    reset: float = 0.0
    """Chance, for each read, that the stream breaks instead."""
    refuse: float = 0.0
    """Chance that connecting is refused."""
    silent: bool = False
    """Connecting is never answered."""
    connect_seconds: float = 0.0
    """How much longer than a round trip connecting takes: a listener that is slow to accept."""
    bytes_per_second: float | None = None
    """Bandwidth of each direction; None is without bound."""
    read_bytes_per_second: float | None = None
    """How fast both ends read, until one says otherwise; None is at once. See `Peer.set_reading`."""
    half_close: float = 0.0
    """Chance, for each read, that the direction ends there, in order, although more was sent: what a proxy does that
    dies for one direction. What still comes on it meets a reset."""

    def __post_init__(self) -> None:
        """Check the values. Raises ValueError, which names the field."""
        for name in ("torn", "stall", "reset", "refuse", "half_close"):
            self._check(name, lambda value: 0 <= value <= 1, "a chance between 0 and 1")
        for name in ("latency_seconds", "jitter_seconds", "stall_seconds", "connect_seconds"):
            self._check(name, lambda value: 0 <= value < math.inf, "seconds")
        for name in ("buffer_bytes", "max_read_bytes"):
            self._check(name, lambda value: value >= 1, "at least one byte")
        for name in ("bytes_per_second", "read_bytes_per_second"):
            if getattr(self, name) is not None:
                self._check(name, lambda value: value > 0, "None, or more than 0")

    def _check(self, name: str, is_good: Callable[[float], bool], expected: str) -> None:
        value: object = getattr(self, name)
        if not isinstance(value, (int, float)) or not is_good(value):
            raise ValueError(f"Faults: {name}: expected {expected}, got {value!r}")


class Receiver(Protocol):
    """Who owns an end of a stream."""

    @property
    def busy_until(self) -> float:
        """A time before which it reads nothing: it has work to do."""
        ...

    def data_received(self, data: bytes) -> None:
        """Take bytes that were read."""
        ...

    def ended(self, clean: bool) -> None:
        """Learn, once, that nothing more will be read; the stream is broken when it is not `clean`."""
        ...

    def backlog_shrank(self, unsent: int) -> None:
        """Learn that the kernel took bytes that had to wait."""
        ...


class End:
    """One end of a stream. The methods of the first group are for its owner, the rest for the end at the other side."""

    def __init__(self, schedule: Schedule, faults: Faults) -> None:
        """Make an end that is joined to itself; see `join`."""
        self.owner: Receiver | None = None
        self.peer: End = self
        self.taken_bytes = 0
        """How much of what was sent the other side has read."""
        self.read_bytes_per_second = faults.read_bytes_per_second
        """How fast the owner reads; None is at once."""
        self._schedule = schedule
        self._faults = faults
        self._backlog: deque[memoryview] = deque()
        self._backlog_bytes = 0
        self._reported_bytes = 0
        self._travelling_bytes = 0  # left the backlog, not yet read at the other side
        self._last_arrival = 0.0
        self._line_free_at = 0.0  # when the last segment has left, at the bandwidth there is
        self._severed = False  # the other side was told that this direction has ended
        self._ending = False
        self._eof_sent = False
        self._arrived = bytearray()
        self._eof_arrived = False
        self._reading = False
        self._read_wakeup: Wakeup | None = None
        self._next_read = 0.0  # not before, for an owner that reads slowly
        self._told_end = False
        self._closed = False
        self._broken = False
        self._flush_wakeup: Wakeup | None = None

    @property
    def unsent_bytes(self) -> int:
        """What waits in the backlog."""
        return self._backlog_bytes

    @property
    def unread_bytes(self) -> int:
        """What has arrived, and its owner has not read."""
        return len(self._arrived)

    @property
    def has_ended(self) -> bool:
        """Its owner was told that nothing more will be read."""
        return self._told_end

    @property
    def is_still(self) -> bool:
        """Nothing that was sent waits or is on its way, and nothing that has come is about to be read."""
        to_be_read = self._reading and (self._arrived or self._read_wakeup is not None)
        return not self._backlog_bytes and self._last_arrival <= self._schedule.now and not to_be_read

    @property
    def has_news(self) -> bool:
        """Something is on its way to the owner, or waits until it reads: bytes, or the end of the stream."""
        peer, now = self.peer, self._schedule.now
        waits = bool(self._arrived) or ((self._eof_arrived or self._broken) and not self._told_end)
        return waits or bool(peer.unsent_bytes) or peer.last_arrival > now

    @property
    def last_arrival(self) -> float:
        """When what was sent last arrives at the other side."""
        return self._last_arrival

    def send(self, chunks: Sequence[bytes]) -> int:
        """Send; return how many bytes wait in the backlog."""
        if self._broken:
            self._schedule.after(0.0, self._tell_broken)  # writing is how a paused reader learns of a reset
            return 0
        size = sum(map(len, chunks))
        if not self._backlog and self._travelling_bytes + size <= self._faults.buffer_bytes:  # as nearly always
            data = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            self._travelling_bytes += size
            self._reported_bytes = 0
            self._travel(lambda: self.peer.arrive(data), size)
            return 0
        self._backlog.extend(map(memoryview, chunks))
        self._backlog_bytes += size
        self._push()
        self._reported_bytes = self._backlog_bytes
        return self._backlog_bytes

    def set_reading(self, enabled: bool) -> None:
        """Start or stop reading. A new end does not read."""
        self._reading = enabled
        self._read_soon()

    def end_sending(self) -> None:
        """Send FIN behind the backlog."""
        self._ending = True
        self._push()

    def close(self, *, flush: bool) -> None:
        """Let go of the stream: the owner hears nothing any more."""
        self._closed, self._reading, self.owner = True, False, None
        if not flush:
            self._reset()
        elif self._backlog:
            self._flush_wakeup = self._schedule.after(FLUSH_SECONDS, self._reset)
        else:
            self._push()

    def break_both(self) -> None:
        """Break the stream on both sides at once, as a cable does."""
        self.arrive_reset()
        self.peer.arrive_reset()

    def arrive(self, data: bytes) -> None:
        """Take bytes from the network."""
        if self._broken:
            return
        self._arrived += data
        if self._severed or (self._closed and not self._backlog):
            self._reset()
        self._read_soon()

    def arrive_eof(self) -> None:
        """Take a FIN from the network."""
        self._eof_arrived = True
        self._read_soon()

    def arrive_reset(self) -> None:
        """Take a RST from the network: what was not read or sent is lost."""
        if self._broken:
            return
        self._destroy()
        if self._reported_bytes and self._told_end:
            self._schedule.after(0.0, self._report)
        self._read_soon()

    def acknowledge(self, count: int) -> None:
        """Learn that the other side read `count` bytes."""
        self._travelling_bytes -= count
        self.taken_bytes += count
        if self._backlog:
            self._push()
        if self._backlog_bytes < self._reported_bytes:
            self._schedule.after(0.0, self._report)

    def _push(self) -> None:
        """Move bytes from the backlog into the kernel as far as there is room, and what ends the stream behind them."""
        room = self._faults.buffer_bytes - self._travelling_bytes
        segment: list[memoryview] = []
        while self._backlog and room > 0:
            chunk = self._backlog.popleft()
            if len(chunk) > room:
                self._backlog.appendleft(chunk[room:])
                chunk = chunk[:room]
            segment.append(chunk)
            room -= len(chunk)
        if segment:
            data = b"".join(segment)
            self._backlog_bytes -= len(data)
            self._travelling_bytes += len(data)
            self._travel(lambda: self.peer.arrive(data), len(data))
        if self._backlog or self._broken:
            return
        if self._flush_wakeup is not None:
            self._flush_wakeup.cancel()
        if self._closed and self._arrived:
            self._reset()
        elif (self._closed or self._ending) and not self._eof_sent:
            self._eof_sent = True
            self._travel(self.peer.arrive_eof)

    def _travel(self, arrive: Callable[[], None], count: int = 0) -> None:
        """Let something of `count` bytes arrive at the other side, in order."""
        faults, schedule = self._faults, self._schedule
        seconds = faults.latency_seconds
        if faults.bytes_per_second:
            self._line_free_at = max(self._line_free_at, schedule.now) + count / faults.bytes_per_second
            seconds += self._line_free_at - schedule.now
        if faults.jitter_seconds:
            seconds += schedule.random.random() * faults.jitter_seconds
        if schedule.chance(faults.stall):
            seconds += faults.stall_seconds
        self._last_arrival = max(self._last_arrival, schedule.now + seconds)
        schedule.at(self._last_arrival, arrive)

    def _read_soon(self) -> None:
        if self._reading and self._read_wakeup is None and (self._arrived or self._eof_arrived or self._broken):
            self._read_wakeup = self._schedule.at(self._next_read, self._read)

    def _read(self) -> None:
        self._read_wakeup = None
        owner, faults, schedule = self.owner, self._faults, self._schedule
        if owner is None or not self._reading:
            return
        if owner.busy_until > schedule.now:
            self._read_wakeup = schedule.at(owner.busy_until, self._read)
        elif self._broken:
            self._tell_broken()
        elif not self._arrived:
            self._tell_end(clean=True)
        elif schedule.chance(faults.reset):
            self.break_both()
        elif schedule.chance(faults.half_close):
            self._sever()
        else:
            rate = self.read_bytes_per_second
            count = min(len(self._arrived), faults.max_read_bytes, max(1, int(rate)) if rate else faults.max_read_bytes)
            if schedule.chance(faults.torn):
                count = schedule.random.randint(1, count)
            data = bytes(self._arrived[:count])
            del self._arrived[:count]
            self._next_read = schedule.now + (count / rate if rate else 0.0)
            self.peer.acknowledge(count)
            owner.data_received(data)
            self._read_soon()

    def _sever(self) -> None:
        """End this direction in order, in front of what has arrived."""
        self._severed = True
        self.peer.acknowledge(len(self._arrived))
        self._arrived.clear()
        self._tell_end(clean=True)

    def _report(self) -> None:
        if self.owner is not None and self._backlog_bytes < self._reported_bytes:
            self._reported_bytes = self._backlog_bytes
            self.owner.backlog_shrank(self._backlog_bytes)

    def _tell_broken(self) -> None:
        self._tell_end(clean=False)

    def _tell_end(self, *, clean: bool) -> None:
        if self.owner is not None and not self._told_end:
            self._told_end = True
            self.owner.ended(clean)

    def _reset(self) -> None:
        if not self._broken:
            self._destroy()
            self._travel(self.peer.arrive_reset)

    def _destroy(self) -> None:
        self._broken = True
        self._backlog.clear()
        self._arrived.clear()
        self._backlog_bytes = 0
        if self._flush_wakeup is not None:
            self._flush_wakeup.cancel()


def join(schedule: Schedule, faults: Faults) -> tuple[End, End]:
    """Return the two ends of a new stream."""
    near, far = End(schedule, faults), End(schedule, faults)
    near.peer, far.peer = far, near
    return near, far
