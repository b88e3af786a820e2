from __future__ import annotations

import sys
from typing import cast

import pytest

from aigw_proto import client as core
from aigw_proto._effects import Deliver
from aigw_proto.envelopes import Metadata, Step
from aigw_transports._client_errors import RequestTimedOut
from aigw_transports._sync_calls import Calls, is_terminal
from aigw_transports._sync_connection import GONE
from aigw_transports._sync_owner import Owner

STEPS = (Step("p", "e", (), b"{}"),)
METADATA = cast("Metadata", None)  # which nobody looks at here
CHUNK = core.ChunkReceived(b"{}", None)
FINISHED = core.StreamFinished(METADATA)


class Runner:
    """A driver that does nothing."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.running = True
        self.fed: list[object] = []

    def feed_here(self, event: object) -> None:
        self.fed.append(event)


@pytest.fixture(name="runner")
def make_runner() -> Runner:
    return Runner()


@pytest.fixture(name="calls")
def make_calls(runner: Runner) -> Calls:
    calls = Calls(None)
    calls.connection.attach(runner)
    return calls


def test_each_call_has_a_ticket_and_gets_what_belongs_to_it(calls: Calls, runner: Runner) -> None:
    first, second = calls.start(STEPS, None, None), calls.start(STEPS, "name", 5.0)
    assert len(calls) == 2
    runner.owner.finish()
    assert runner.fed == [core.CreateRequest(1, STEPS, None, None), core.CreateRequest(2, STEPS, "name", 5.0)]
    calls.deliver(Deliver(2, CHUNK))
    calls.deliver(Deliver(1, FINISHED))
    calls.deliver(Deliver(3, CHUNK))  # of nobody
    assert (first.next(), first.over) == (FINISHED, True)
    assert (second.next(), second.over) == (CHUNK, False)
    first.release()
    second.release()
    second.release()
    runner.owner.finish()
    assert runner.fed[2:] == [core.CancelRequest(2)]
    assert len(calls) == 0


def test_a_call_that_nobody_waits_for_any_more_is_not_sent(calls: Calls, runner: Runner) -> None:
    calls.connection.take(core.SendingAllowed(False))
    call = calls.start(STEPS, None, 0.001)
    with pytest.raises(RequestTimedOut):
        call.next()
    call.release()
    runner.owner.finish()
    calls.connection.take(core.SendingAllowed(True))
    assert runner.fed == []


def test_a_call_that_nobody_waits_for_any_more_keeps_no_body(calls: Calls, runner: Runner) -> None:
    body = bytes(1_000_000)
    before = sys.getrefcount(body)
    calls.connection.take(core.SendingAllowed(False))
    call = calls.start((Step("p", "e", (), body),), None, 0.0)
    runner.owner.finish()
    assert sys.getrefcount(body) > before
    call.release()
    runner.owner.finish()
    assert sys.getrefcount(body) == before


def test_a_call_released_in_the_moment_it_would_be_sent_is_not_sent(calls: Calls, runner: Runner) -> None:
    call = calls.start(STEPS, None, None)
    call.release()  # the owner has not heard of either
    runner.owner.finish()
    assert runner.fed == []


def test_nobody_waits_for_a_driver_that_does_not_run(calls: Calls, runner: Runner) -> None:
    call = calls.start(STEPS, None, None)
    runner.owner.finish()
    calls.deliver(Deliver(1, CHUNK))
    runner.running = False
    assert [call.next(), call.next()] == [CHUNK, GONE]
    assert call.over
    closed = calls.start(STEPS, None, None)
    lost = core.ConnectionLost(1012, "", clean=True, closed_by=core.ClosedBy.PEER)
    calls.connection.take(lost)
    assert [closed.next(), closed.next()] == [GONE, lost]


def test_an_item_that_is_there_is_taken_although_it_is_late(calls: Calls, runner: Runner) -> None:
    call = calls.start(STEPS, None, 0.0)
    call.mailbox.put(FINISHED)
    assert call.next() == FINISHED


def test_the_end_of_the_driver_ends_all_calls(calls: Calls, runner: Runner) -> None:
    call, waiting = calls.start(STEPS, None, None), calls.start(STEPS, None, None)
    runner.owner.finish()
    calls.connection.take(core.SendingAllowed(False))
    late = calls.start(STEPS, None, None)
    runner.owner.finish()
    calls.abandon()
    assert [call.next(), waiting.next(), late.next()] == [GONE] * 3
    call.release()
    runner.owner.finish()
    assert not any(isinstance(event, core.CancelRequest) for event in runner.fed)


def test_notices_are_logged_and_not_without_end(calls: Calls, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(100):
        calls.deliver(Deliver(core.CONNECTION_TICKET, core.ConnectionNotice("odd", str(number))))
    assert caplog.messages[:10] == [f"odd: {number}" for number in range(10)]
    assert len(caplog.messages) == 11


def test_frames_are_shown_to_who_wants_them() -> None:
    frames: list[str] = []
    for calls in (Calls(frames.append), Calls(None)):
        calls.deliver(Deliver(core.CONNECTION_TICKET, core.FrameReceived("{}")))
    assert frames == ["{}"]


@pytest.mark.parametrize(
    ("item", "ends"), [(CHUNK, False), (core.StreamStarted(METADATA), False), (FINISHED, True), (GONE, True)]
)
def test_what_is_the_last_of_a_call(item: core.RequestItem, ends: bool) -> None:
    assert is_terminal(item) is ends
