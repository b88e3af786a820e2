from __future__ import annotations

from collections import deque
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._kinds import Signal
from aigw_proto.testing import ConnectionPair, chunkings, run_machine


class Lines:
    """Understands lines; answers `ping` with `pong`, and says `tick` every five seconds when told to `start`."""

    def __init__(self) -> None:
        self.buffer = b""
        self.output: deque[bytes] = deque()
        self.eof = False
        self.deadline: float | None = None

    def receive_data(self, data: bytes, now: float) -> None:
        self.buffer += data
        if b"start\n" in data:
            self.deadline = now + 5.0

    def receive_eof(self, now: float) -> None:
        self.eof = True

    def next_event(self) -> bytes | Signal:
        line, found, rest = self.buffer.partition(b"\n")
        if found:
            self.buffer = rest
            if line == b"ping":
                self.output.append(b"pong\n")
            return line
        if self.eof:
            self.eof = False
            return b"<end>"
        return Signal.NEED_DATA

    def data_to_send(self) -> list[bytes]:
        output = list(self.output)
        self.output.clear()
        return output

    def next_timeout(self) -> float | None:
        return self.deadline

    def handle_timeout(self, now: float) -> None:
        if self.deadline is not None and now >= self.deadline:
            self.output.append(b"tick\n")
            self.deadline = now + 5.0


@given(st.binary(max_size=300), st.integers(0, 1 << 64))
def test_chunkings_lose_nothing(data: bytes, seed: int) -> None:
    ways = list(chunkings(data, seed=seed, cuts=3))
    assert all(b"".join(chunks) == data for chunks in ways)
    assert all(chunk for chunks in ways for chunk in chunks)
    assert ways == list(chunkings(data, seed=seed, cuts=3))
    assert len(ways) == (6 if len(data) > 1 else 1)


def test_chunkings_cover_the_extremes() -> None:
    ways = list(chunkings(b"abcdef"))
    assert ways[:3] == [[b"abcdef"], [b"a", b"b", b"c", b"d", b"e", b"f"], [b"abc", b"def"]]
    assert len(ways) == 11


def test_running_a_machine() -> None:
    for chunks in chunkings(b"one\ntwo\nthr"):
        assert run_machine(Lines(), chunks) == [b"one", b"two"]
        assert run_machine(Lines(), chunks, eof=True) == [b"one", b"two", b"<end>"]


def bytewise(data: bytes) -> list[bytes]:
    return [data[index : index + 1] for index in range(len(data))]


@pytest.mark.parametrize("cut", [None, bytewise])
def test_a_pair_talks(cut: Callable[[bytes], list[bytes]] | None) -> None:
    left, right = Lines(), Lines()
    pair = ConnectionPair(left, right, cut=cut)
    left.output.append(b"ping\nhello\n")
    right.output.append(b"welcome\n")
    pair.pump()
    assert pair.right_events == [b"ping", b"hello"]
    assert pair.left_events == [b"welcome", b"pong"]


def test_a_pair_ends() -> None:
    left = Lines()
    pair = ConnectionPair(left, Lines())
    left.output.append(b"bye\n")
    pair.end_left()
    assert pair.right_events == [b"bye", b"<end>"]
    pair.end_right()
    assert pair.left_events == [b"<end>"]


def test_a_pair_keeps_time() -> None:
    left = Lines()
    pair = ConnectionPair(left, Lines(), now=100.0)
    pair.advance(1.0)
    assert pair.now == 101.0
    left.output.append(b"start\n")
    pair.pump()
    pair.advance(12.0)
    assert pair.left_events == [b"tick", b"tick"]
    assert pair.now == 113.0


class Parrot(Lines):
    """Repeats every line."""

    def next_event(self) -> bytes | Signal:
        event = super().next_event()
        if isinstance(event, bytes):
            self.output.append(event + b"\n")
        return event


class Impatient(Lines):
    """Has a deadline that never moves."""

    def handle_timeout(self, now: float) -> None:
        self.deadline = now


def test_a_pair_that_never_ends_is_stopped() -> None:
    left = Parrot()
    pair = ConnectionPair(left, Parrot())
    left.output.append(b"hello\n")
    with pytest.raises(AssertionError, match="never stop talking"):
        pair.pump()
    impatient = Impatient()
    impatient.deadline = 0.0
    waiting = ConnectionPair(impatient, Lines())
    with pytest.raises(AssertionError, match="never move on"):
        waiting.advance(1.0)
