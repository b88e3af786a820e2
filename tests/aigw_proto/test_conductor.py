from __future__ import annotations

from collections.abc import Callable

import pytest

from aigw_proto._effects import (
    CloseHow,
    CloseLink,
    Connect,
    Deliver,
    Drained,
    Effect,
    EndSending,
    Journal,
    Log,
    LogLevel,
    SendBytes,
    SetReading,
)
from aigw_proto._inputs import BytesReceived, BytesSent, ConnectFailed, ConnectFailure, Input, LinkAccepted
from aigw_proto._kinds import LinkId
from aigw_proto.conductor import Conductor

LINK = LinkId(0)
OTHER = LinkId(2)


class FakeEngine:
    """Answers each input with the effects that the test has prepared for it."""

    def __init__(self) -> None:
        self.seen: list[tuple[Input | None, float]] = []
        self.answers: dict[str, list[Effect]] = {}
        self.deadline: float | None = None
        self.effects: list[Effect] = []
        self.in_turn = False

    def handle(self, event: Input, now: float) -> None:
        assert not self.in_turn, "re-entered"
        self.seen.append((event, now))
        self.in_turn = True
        self.effects = list(self.answers.get(type(event).__name__, []))

    def handle_timeout(self, now: float) -> None:
        assert not self.in_turn, "re-entered"
        self.seen.append((None, now))
        self.in_turn = True
        self.effects = list(self.answers.get("wake", []))

    def next_timeout(self) -> float | None:
        return self.deadline

    def poll(self) -> Effect | None:
        if self.effects:
            return self.effects.pop(0)
        self.in_turn = False
        return None


class FakePorts:
    """Notes every call; `backlog` is what sends leave behind."""

    def __init__(self) -> None:
        self.calls: list[tuple[object, ...]] = []
        self.armed: list[float | None] = []
        self.backlog = 0
        self.on_connect: Callable[[Connect], None] = lambda effect: None

    def connect(self, effect: Connect) -> None:
        self.calls.append(("connect", effect.link))
        self.on_connect(effect)

    def send(self, link: LinkId, chunks: list[bytes]) -> int:
        self.calls.append(("send", link, b"".join(chunks)))
        return self.backlog

    def set_reading(self, link: LinkId, enabled: bool) -> None:
        self.calls.append(("set_reading", link, enabled))

    def end_sending(self, link: LinkId) -> None:
        self.calls.append(("end_sending", link))

    def close(self, link: LinkId, how: CloseHow) -> None:
        self.calls.append(("close", link, how))

    def journal(self, effect: Journal) -> None:
        self.calls.append(("journal", effect.entry))

    def log(self, effect: Log) -> None:
        self.calls.append(("log", effect.message))

    def deliver(self, effect: Deliver) -> None:
        self.calls.append(("deliver", effect.ticket))

    def drained(self) -> None:
        self.calls.append(("drained",))

    def arm(self, deadline: float | None) -> None:
        self.armed.append(deadline)


class Bench:
    """A conductor between a fake engine and fake ports, with a clock that counts its readings."""

    def __init__(self) -> None:
        self.engine = FakeEngine()
        self.ports = FakePorts()
        self.time = 100.0
        self.conductor: Conductor[Input] = Conductor(self.engine, self.ports, lambda: self.time)

    def events(self) -> list[Input | None]:
        return [event for event, _ in self.engine.seen]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def received(link: LinkId = LINK) -> BytesReceived:
    return BytesReceived(link, b"x")


def test_link_ids_are_even_and_fresh(bench: Bench) -> None:
    assert [bench.conductor.new_link() for _ in range(3)] == [0, 2, 4]


def test_every_effect_reaches_its_port_in_order(bench: Bench) -> None:
    bench.engine.answers["BytesReceived"] = [
        Connect(LinkId(1), "host", 80),
        SendBytes(LINK, [b"a", b"b"]),
        SetReading(LINK, False),
        EndSending(LINK),
        Journal("entry"),
        Log(LogLevel.INFO, "line", {}),
        Deliver(7, "item"),
        CloseLink(LINK, CloseHow.ABORT),
        Drained(),
    ]
    bench.conductor.feed(received())
    assert bench.ports.calls == [
        ("connect", 1),
        ("send", 0, b"ab"),
        ("set_reading", 0, False),
        ("end_sending", 0),
        ("journal", "entry"),
        ("log", "line"),
        ("deliver", 7),
        ("close", 0, CloseHow.ABORT),
        ("drained",),
    ]
    assert bench.engine.seen == [(received(), 100.0)]


def test_a_backlog_is_reported_at_once_and_no_backlog_never(bench: Bench) -> None:
    bench.engine.answers["BytesReceived"] = [SendBytes(LINK, [b"abc"])]
    bench.conductor.feed(received())
    assert bench.events() == [received()]
    assert not bench.conductor.ended
    bench.ports.backlog = 2
    bench.conductor.feed(received())
    assert bench.events() == [received(), received(), BytesSent(LINK, 2)]


def test_a_backlog_that_is_gone_with_the_next_send_is_reported_once(bench: Bench) -> None:
    """The kernel may have taken it in the moment before, when the driver had not yet come to say so."""
    bench.engine.answers["BytesReceived"] = [SendBytes(LINK, [b"abc"])]
    bench.ports.backlog = 2
    bench.conductor.feed(received())
    bench.ports.backlog = 0
    bench.conductor.feed(received())
    bench.conductor.feed(received())
    assert bench.events() == [received(), BytesSent(LINK, 2), received(), BytesSent(LINK, 0), received()]


def test_a_backlog_goes_ahead_of_inputs_that_wait(bench: Bench) -> None:
    bench.ports.backlog = 2
    failed = ConnectFailed(LinkId(1), ConnectFailure.NAME, "no such host")
    bench.ports.on_connect = lambda effect: bench.conductor.feed(failed)
    bench.engine.answers["BytesReceived"] = [Connect(LinkId(1), "host", 80), SendBytes(LINK, [b"abc"])]
    bench.conductor.feed(received())
    assert bench.events() == [received(), BytesSent(LINK, 2), failed]


def test_nothing_is_fed_for_a_link_after_its_close(bench: Bench) -> None:
    bench.ports.backlog = 2
    failed = ConnectFailed(LinkId(1), ConnectFailure.NAME, "no such host")
    accepted = LinkAccepted(OTHER, "peer")

    def fail_at_once(effect: Connect) -> None:
        bench.conductor.feed(failed)
        bench.conductor.feed(accepted)

    bench.ports.on_connect = fail_at_once
    bench.engine.answers["BytesReceived"] = [
        SendBytes(LINK, [b"abc"]),
        Connect(LinkId(1), "host", 80),
        CloseLink(LinkId(1)),
        CloseLink(LINK),
    ]
    bench.conductor.feed(received())
    assert bench.events() == [received(), accepted]


def test_the_timer_is_armed_when_the_deadline_changes(bench: Bench) -> None:
    bench.conductor.start()
    assert bench.ports.armed == []
    bench.engine.deadline = 105.0
    bench.conductor.feed(received())
    bench.conductor.feed(received())
    assert bench.ports.armed == [105.0]
    bench.engine.deadline = None
    bench.conductor.feed(received())
    assert bench.ports.armed == [105.0, None]


def test_a_timer_that_fired_is_armed_again_even_for_the_same_time(bench: Bench) -> None:
    bench.engine.deadline = 105.0
    bench.conductor.start()
    bench.conductor.wake()
    assert bench.ports.armed == [105.0, 105.0]
    assert bench.events() == [None, None]


def test_work_that_remains_arms_the_timer_for_now(bench: Bench) -> None:
    bench.engine.deadline = 100.0
    bench.conductor.feed(received())
    assert bench.ports.armed == [100.0]


def test_an_engine_that_feeds_itself_cannot_keep_the_driver(bench: Bench) -> None:
    bench.ports.backlog = 1
    bench.engine.answers["BytesReceived"] = bench.engine.answers["BytesSent"] = [SendBytes(LINK, [b"abc"])]
    bench.conductor.feed(received())
    assert len(bench.engine.seen) == 64
    assert bench.ports.armed == [100.0]
    bench.time = 101.0
    bench.ports.backlog = 0
    bench.conductor.wake()
    assert bench.events()[64:] == [BytesSent(LINK, 1), BytesSent(LINK, 0), None]
    assert bench.ports.armed == [100.0]  # nothing is left and there is no deadline: the timer that fired stays off


def test_what_was_left_over_comes_before_the_next_input(bench: Bench) -> None:
    bench.ports.backlog = 1
    bench.engine.answers["BytesReceived"] = bench.engine.answers["BytesSent"] = [SendBytes(LINK, [b"abc"])]
    bench.conductor.feed(received())
    bench.ports.backlog = 0
    bench.conductor.feed(LinkAccepted(OTHER, "peer"))
    assert bench.events()[64:] == [BytesSent(LINK, 1), BytesSent(LINK, 0), LinkAccepted(OTHER, "peer")]
    assert bench.ports.armed == [100.0, None]


def test_after_drained_the_engine_is_never_called(bench: Bench) -> None:
    failed = ConnectFailed(LinkId(1), ConnectFailure.NAME, "no such host")
    bench.ports.on_connect = lambda effect: bench.conductor.feed(failed)
    bench.engine.answers["BytesReceived"] = [Connect(LinkId(1), "host", 80), Drained()]
    bench.engine.deadline = 105.0
    bench.conductor.feed(received())
    assert bench.conductor.ended
    bench.conductor.feed(received())
    bench.conductor.wake()
    assert bench.events() == [received()]
    assert bench.ports.armed == []


def test_a_stopped_conductor_never_calls_the_engine(bench: Bench) -> None:
    bench.conductor.stop()
    bench.conductor.feed(received())
    assert bench.conductor.ended
    assert bench.events() == []


def test_a_wake_from_within_a_port_waits_for_its_turn(bench: Bench) -> None:
    bench.ports.on_connect = lambda effect: bench.conductor.wake()
    bench.engine.answers["BytesReceived"] = [Connect(LinkId(1), "host", 80)]
    bench.conductor.feed(received())
    assert bench.events() == [received(), None]


class BrokenEngine(FakeEngine):
    def handle(self, event: Input, now: float) -> None:
        super().handle(event, now)
        raise ZeroDivisionError


def test_an_exception_comes_out_and_is_the_end() -> None:
    engine = BrokenEngine()
    conductor: Conductor[Input] = Conductor(engine, FakePorts(), lambda: 0.0)
    with pytest.raises(ZeroDivisionError):
        conductor.feed(received())
    assert conductor.ended
    conductor.feed(received())
    assert len(engine.seen) == 1
