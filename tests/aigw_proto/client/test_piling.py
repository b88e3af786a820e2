"""More small messages than a turn holds: what is undecoded stays bounded, and nothing stays paused."""

from __future__ import annotations

from typing import Protocol

import pytest

from aigw_proto import client as core
from aigw_proto._effects import CloseHow, CloseLink, Deliver, Effect, SetReading
from aigw_proto._inputs import BytesReceived, ShutdownRequested
from aigw_proto.ws import Closed
from support.client_bench import LINK, Bench, LineBench, RealtimeBench, frame

CONNECTION = core.CONNECTION_TICKET
PILE = core.ClientLimits(turn_messages=10)
UNKNOWN = b'\x81\x0c{"type":"x"}'  # tells the program of either engine something that does not count as held


class Make(Protocol):
    def __call__(self, *, limits: core.ClientLimits | None = None) -> LineBench: ...


@pytest.fixture(params=[Bench, RealtimeBench])
def make(request: pytest.FixtureRequest) -> Make:
    kind: Make = request.param
    return kind


def readings(effects: list[Effect]) -> list[bool]:
    return [effect.enabled for effect in effects if isinstance(effect, SetReading)]


def test_bytes_on_top_of_undecoded_ones_stop_reading_until_all_are_decoded(make: Make) -> None:
    bench = make(limits=PILE)
    bench.open()
    assert readings(bench.feed(BytesReceived(LINK, UNKNOWN * 25))) == []
    assert readings(bench.feed(BytesReceived(LINK, UNKNOWN * 25))) == [False]
    assert readings(bench.feed(BytesReceived(LINK, UNKNOWN * 5))) == []  # a read that was under way
    assert readings(bench.wait()) == []
    assert bench.engine.next_timeout() == bench.now
    assert readings(bench.wait()) == []
    assert readings(bench.wait()) == [True]
    assert bench.engine.next_timeout() != bench.now
    assert len(bench.items(CONNECTION)) == 1 + 55
    assert not any(isinstance(item, core.ReadingPaused) for item in bench.items(CONNECTION))
    bench.finish()


def test_reads_that_are_decoded_before_the_next_never_stop_reading(make: Make) -> None:
    bench = make(limits=PILE)
    bench.open()
    before = len(bench.effects)
    for _ in range(5):
        bench.feed(BytesReceived(LINK, UNKNOWN * 25))
        bench.settle()
        bench.feed(BytesReceived(LINK, UNKNOWN * 5))
        bench.feed(BytesReceived(LINK, UNKNOWN * 5))
    assert readings(bench.effects[before:]) == []
    bench.finish()


@pytest.mark.parametrize("closing", [False, True])
def test_undecoded_bytes_of_a_flood_are_bounded(make: Make, closing: bool) -> None:
    bench = make(limits=PILE)
    bench.open()
    if closing:
        bench.feed(core.CloseConnection())
    read, received, decoded, most, pauses = UNKNOWN * 400, 0, 0, 0, 0
    reading = True
    for _ in range(2000):  # a driver that looks at its socket before it does any work
        turn = bench.feed(BytesReceived(LINK, read)) if reading else bench.wait()
        received += 400 if reading else 0
        decoded += 10
        most = max(most, received - decoded)
        for enabled in readings(turn):
            reading, pauses = enabled, pauses + (not enabled)
        assert reading or bench.engine.next_timeout() == bench.now
    assert most < 2 * 400
    assert received > 1000
    assert pauses <= received // 800 + 1  # once for what is read between two pauses


def test_work_that_is_left_when_the_stream_ends_is_done(make: Make) -> None:
    bench = make(limits=PILE)
    bench.open()
    bench.feed(BytesReceived(LINK, UNKNOWN * 15))
    assert readings(bench.feed(BytesReceived(LINK, UNKNOWN * 15))) == [False]
    bench.end()
    bench.settle()
    assert len(bench.items(CONNECTION)) == 1 + 30 + (1 if isinstance(bench, Bench) else 2)
    assert bench.items(CONNECTION)[-1] == core.ConnectionLost(1006, "", clean=False, closed_by=core.ClosedBy.NETWORK)
    assert bench.last(CloseLink) == CloseLink(LINK, CloseHow.FLUSH)
    bench.engine.finish()


def test_reading_waits_for_the_program_and_then_for_the_pile() -> None:
    bench = RealtimeBench(limits=core.ClientLimits(turn_messages=10, high_water_bytes=2000, low_water_bytes=500))
    bench.open()
    bench.say(*["x" * 3000] * 2)
    assert bench.effects[-2:] == [SetReading(LINK, enabled=False), Deliver(CONNECTION, core.ReadingPaused(paused=True))]
    assert bench.engine.next_timeout() != bench.now
    bench.say(*[""] * 25)  # a read that was under way
    assert len(bench.messages()) == 1
    bench.feed(core.Consumed({CONNECTION: 100_000}))
    assert len(bench.messages()) == 2
    assert bench.engine.next_timeout() != bench.now
    while not readings(turn := bench.feed(core.Consumed({CONNECTION: 100_000}))):
        assert len(bench.messages()) < 27
    assert readings(turn) == [True]
    assert len(bench.messages()) == 27
    paused = [item.paused for item in bench.items(CONNECTION) if isinstance(item, core.ReadingPaused)]
    assert (paused[0], paused[-1]) == (True, False)
    bench.finish()


def test_a_close_at_the_end_of_a_turn_goes_on_with_what_the_program_left_undecoded() -> None:
    bench = Bench(limits=core.ClientLimits(high_water_bytes=2000, low_water_bytes=500))
    bench.open()
    event_id = bench.create(1)
    bench.feed(ShutdownRequested(60.0))
    assert bench.gateway is not None
    bench.gateway.send_text(frame("created", event_id, "x" * 3000))
    bench.gateway.send_close(1001, "")
    bench.answer()  # the last request has ended, so this side says Close
    assert bench.engine.next_timeout() == bench.now
    bench.settle()
    assert readings(bench.effects) == []
    bench.hear()
    assert isinstance(bench.heard[-1], Closed)
    bench.end()
    assert isinstance(bench.items(CONNECTION)[-1], core.ConnectionLost)
    assert bench.engine.drained
