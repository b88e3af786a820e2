from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto.conductor import FLUSH_SECONDS
from aigw_transports._network import End, Faults, join
from aigw_transports._schedule import Schedule


class Owner:
    """Takes what an end of a stream tells."""

    def __init__(self, net: Net, end: End) -> None:
        self.net = net
        self.end = end
        self.data = b""
        self.reads: list[tuple[float, int]] = []
        self.ends: list[bool] = []
        self.reports: list[int] = []
        self.busy_until = 0.0
        end.owner = self
        end.set_reading(True)

    def data_received(self, data: bytes) -> None:
        self.data += data
        self.reads.append((self.net.schedule.now, len(data)))

    def ended(self, clean: bool) -> None:
        self.ends.append(clean)

    def backlog_shrank(self, unsent: int) -> None:
        self.reports.append(unsent)


class Net:
    """A schedule and one stream on it."""

    def __init__(self, faults: Faults | None = None, seed: int = 0) -> None:
        self.schedule = Schedule(random.Random(seed))
        near, far = join(self.schedule, faults or Faults())
        self.near, self.far = Owner(self, near), Owner(self, far)

    def run(self, until: float = float("inf")) -> None:
        while self.schedule.step(until):
            pass


def test_bytes_take_the_latency() -> None:
    net = Net(Faults(latency_seconds=0.5))
    assert net.near.end.send([b"a", b"bc"]) == 0
    net.run()
    assert net.far.data == b"abc"
    assert net.far.reads == [(0.5, 3)]
    assert net.near.reports == net.near.ends == net.far.ends == []


def test_what_the_kernel_cannot_take_waits_and_is_reported() -> None:
    net = Net(Faults(buffer_bytes=10, latency_seconds=1.0))
    assert net.near.end.send([bytes(range(15)), bytes(range(15, 25))]) == 15
    assert net.near.end.send([b"x"]) == 16
    net.run()
    assert net.near.reports == [6, 0]
    assert net.far.data == bytes(range(25)) + b"x"
    assert net.far.reads == [(1.0, 10), (2.0, 10), (3.0, 6)]


def test_a_report_says_only_what_is_less_than_known() -> None:
    net = Net(Faults(buffer_bytes=10))
    net.near.end.send([bytes(30)])
    for end in (net.far, net.far):  # a read frees the kernel; before that is reported, more is sent
        while not end.reads:
            net.schedule.step(float("inf"))
    net.near.end.send([bytes(50)])
    net.run()
    assert net.near.reports == sorted(net.near.reports, reverse=True)
    assert net.near.reports[-1] == 0
    assert len(net.far.data) == 80


def test_a_reader_that_stops_holds_the_sender_up() -> None:
    net = Net(Faults(buffer_bytes=10))
    net.far.end.set_reading(False)
    net.near.end.send([bytes(30)])
    net.run()
    assert net.far.data == b""
    assert net.near.reports == []
    net.far.end.set_reading(True)
    net.run()
    assert len(net.far.data) == 30


def test_a_slow_reader() -> None:
    net = Net(Faults(buffer_bytes=100, max_read_bytes=10, latency_seconds=0.0))
    net.far.end.read_bytes_per_second = 10.0
    net.near.end.send([bytes(30)])
    net.run()
    assert net.far.reads == [(0.0, 10), (1.0, 10), (2.0, 10)]


def test_a_slow_reader_of_a_small_buffer() -> None:
    net = Net(Faults(buffer_bytes=4, latency_seconds=0.1))
    net.far.end.read_bytes_per_second = 2.5
    net.near.end.send([bytes(7)])
    net.run()
    assert [count for _, count in net.far.reads] == [2, 2, 2, 1]
    assert net.far.reads[-1][0] == pytest.approx(0.1 + 6 / 2.5)


def test_half_close() -> None:
    net = Net(Faults(buffer_bytes=10))
    net.near.end.send([bytes(25)])
    net.near.end.end_sending()
    net.run()
    assert len(net.far.data) == 25
    assert net.far.ends == [True]
    net.far.end.send([b"still there"])
    net.run()
    assert net.near.data == b"still there"
    net.far.end.close(flush=True)
    net.run()
    assert net.near.ends == [True]


def test_closing_flushes() -> None:
    net = Net(Faults(buffer_bytes=10))
    net.near.end.send([bytes(25)])
    net.near.end.close(flush=True)
    net.run()
    assert len(net.far.data) == 25
    assert net.far.ends == [True]
    assert net.near.reports == []
    assert net.schedule.now < FLUSH_SECONDS


def test_flushing_to_a_reader_that_stopped_is_given_up() -> None:
    net = Net(Faults(buffer_bytes=10))
    net.far.end.set_reading(False)
    net.near.end.send([bytes(25)])
    net.near.end.close(flush=True)
    net.run()
    assert FLUSH_SECONDS <= net.schedule.now < FLUSH_SECONDS + 1
    net.far.end.set_reading(True)
    net.run()
    assert net.far.data == b""
    assert net.far.ends == [False]


def test_aborting_destroys_what_was_not_read() -> None:
    net = Net()
    net.far.end.set_reading(False)
    net.near.end.send([b"lost"])
    net.near.end.close(flush=False)
    net.run()
    net.far.end.set_reading(True)
    net.run()
    assert net.far.data == b""
    assert net.far.ends == [False]


def test_closing_with_bytes_unread_resets() -> None:
    net = Net()
    net.near.end.set_reading(False)
    net.far.end.send([b"never read"])
    net.run()
    net.near.end.close(flush=True)
    net.run()
    assert net.far.ends == [False]


def test_closing_with_bytes_unread_and_unsent_resets_after_the_last() -> None:
    net = Net(Faults(buffer_bytes=10))
    net.near.end.set_reading(False)
    net.far.end.send([b"unread"])
    net.run()
    net.near.end.send([bytes(25)])
    net.near.end.close(flush=True)
    net.run()
    assert len(net.far.data) >= 20  # what lies in its kernel when the reset arrives is lost
    assert net.far.ends == [False]


def test_bytes_that_come_after_closing_are_answered_by_a_reset() -> None:
    net = Net()
    net.near.end.close(flush=True)
    net.run()
    assert net.far.ends == [True]
    net.far.end.send([b"too late"])
    net.run()
    assert net.far.end.send([b"more"]) == 0
    net.run()
    assert net.far.ends == [True]  # the end is told once


def test_a_reset_after_the_end_leaves_nothing_unsent() -> None:
    net = Net(Faults(buffer_bytes=10))
    net.near.end.close(flush=True)
    net.run()
    assert net.far.end.send([bytes(30)]) == 20
    net.run()
    assert net.far.ends == [True]
    assert net.far.reports == [0]


def test_a_reset_while_paused_is_noticed_by_sending() -> None:
    net = Net()
    net.far.end.set_reading(False)
    net.near.end.close(flush=False)
    net.run()
    assert net.far.ends == []
    assert net.far.end.send([b"for nobody"]) == 0
    net.run()
    assert net.far.ends == [False]


def test_nothing_is_told_after_closing() -> None:
    net = Net(Faults(buffer_bytes=10))
    net.near.end.send([bytes(30)])
    net.far.end.send([b"x"])
    net.far.end.end_sending()
    net.run(until=0.0)
    net.near.end.close(flush=True)
    net.near.end.break_both()
    net.near.end.close(flush=True)
    net.run()
    assert net.near.data == b""
    assert net.near.ends == net.near.reports == []


def test_a_broken_stream_is_told_to_both() -> None:
    net = Net()
    net.near.end.send([b"lost"])
    net.near.end.break_both()
    net.near.end.break_both()
    net.run()
    assert net.near.ends == net.far.ends == [False]
    assert net.far.data == b""


def test_the_seeded_reset() -> None:
    net = Net(Faults(reset=1.0))
    net.near.end.send([b"lost"])
    net.run()
    assert net.near.ends == net.far.ends == [False]


def test_a_stall_holds_up_everything_behind_it() -> None:
    net = Net(Faults(latency_seconds=0.0, stall=1.0, stall_seconds=3.0))
    net.near.end.send([b"a"])
    net.near.end.end_sending()
    net.run()
    assert net.far.reads == [(3.0, 1)]
    assert net.far.ends == [True]


@settings(max_examples=50)
@given(
    st.integers(0, 1 << 32),
    st.lists(st.binary(min_size=1, max_size=300), max_size=20),
    st.integers(1, 500),
    st.sampled_from([0.0, 0.5, 1.0]),
)
def test_no_fault_but_a_reset_loses_or_reorders_bytes(
    seed: int, chunks: list[bytes], buffer: int, chance: float
) -> None:
    faults = Faults(torn=chance, stall=chance, stall_seconds=0.01, jitter_seconds=0.1, buffer_bytes=buffer)
    net = Net(faults, seed)
    for chunk in chunks:
        net.near.end.send([chunk])
        net.run(until=net.schedule.now + 0.001)
    net.near.end.end_sending()
    net.run()
    assert net.far.data == b"".join(chunks)
    assert net.far.ends == [True]


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_gives_the_same_run(seed: int) -> None:
    faults = Faults(torn=0.5, stall=0.2, jitter_seconds=0.1, buffer_bytes=100)
    runs: list[list[tuple[float, int]]] = []
    for used in (seed, seed, seed + 100):
        net = Net(faults, used)
        net.near.end.send([bytes(1000)])
        net.run()
        runs.append(net.far.reads)
    assert runs[0] == runs[1] != runs[2]


def test_a_bandwidth_spreads_what_is_sent_in_time() -> None:
    net = Net(Faults(latency_seconds=0.5, bytes_per_second=1000.0))
    net.near.end.send([b"x" * 100])
    net.near.end.send([b"y" * 300])
    net.run()
    assert [time for time, _ in net.far.reads] == [pytest.approx(0.6), pytest.approx(0.9)]
    assert [count for _, count in net.far.reads] == [100, 300]


def test_a_line_that_was_idle_owes_nothing() -> None:
    net = Net(Faults(latency_seconds=0.0, bytes_per_second=1000.0))
    net.near.end.send([b"x" * 100])
    net.run()
    net.schedule.now = 5.1
    net.near.end.send([b"y" * 100])
    net.run()
    assert [time for time, _ in net.far.reads] == [pytest.approx(0.1), pytest.approx(5.2)]


def test_both_ends_read_at_the_rate_of_their_link() -> None:
    net = Net(Faults(latency_seconds=0.0, read_bytes_per_second=10.0))
    net.near.end.send([b"x" * 25])
    net.run()
    assert net.far.reads == [(0.0, 10), (1.0, 10), (2.0, 5)]


def test_who_is_busy_reads_later() -> None:
    net = Net(Faults(latency_seconds=0.0))
    net.far.busy_until = 3.0
    net.near.end.send([b"x"])
    net.near.end.end_sending()
    net.run()
    assert net.far.reads == [(3.0, 1)]
    assert net.far.ends == [True]


def test_a_half_closed_direction_ends_in_order_and_the_other_one_goes_on() -> None:
    net = Net(Faults(half_close=1.0))
    net.near.end.send([b"x" * 10])
    net.run()
    assert (net.far.data, net.far.ends) == (b"", [True])
    net.far.end._faults = net.near.end._faults = Faults()
    net.far.end.send([b"still here"])
    net.run()
    assert net.near.data == b"still here"


def test_what_comes_after_a_half_close_meets_a_reset() -> None:
    net = Net(Faults(half_close=1.0))
    net.near.end.send([b"x" * 10])
    net.run()
    net.near.end.send([b"more"])
    net.run()
    assert net.near.ends == [False]
    assert net.far.ends == [True]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("torn", 2),
        ("torn", "x"),
        ("reset", -0.1),
        ("half_close", float("nan")),
        ("latency_seconds", -1),
        ("stall_seconds", float("inf")),
        ("buffer_bytes", 0),
        ("max_read_bytes", 0),
        ("bytes_per_second", -5),
        ("read_bytes_per_second", 0),
    ],
)
def test_faults_that_make_no_sense(name: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"Faults: {name}: expected"):
        replace(Faults(), **{name: value})  # type: ignore[arg-type]  # whatever somebody may write
