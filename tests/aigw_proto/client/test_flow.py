from __future__ import annotations

from aigw_proto.client import ClientLimits
from aigw_proto.client._flow import Flow

LIMITS = ClientLimits(
    high_water_bytes=100,
    low_water_bytes=50,
    sending_high_water_bytes=100,
    sending_low_water_bytes=50,
    stall_timeout_seconds=20.0,
)


def reads(flow: Flow) -> bool:
    return flow.reading  # through a function, because type checkers take a level for constant


def test_reading_stops_above_high_water_and_resumes_below_low() -> None:
    flow = Flow(LIMITS)
    flow.delivered(1, 60, 0.0)
    flow.delivered(2, 40, 0.0)
    assert reads(flow)
    flow.delivered(1, 1, 0.0)
    assert not reads(flow)
    flow.consumed({1: 50}, 0.0)
    assert not reads(flow)
    flow.consumed({1: 1, 3: 5}, 0.0)
    assert reads(flow)
    flow.delivered(1, 50, 0.0)
    assert reads(flow)


def test_more_consumed_than_held_counts_as_nothing_held() -> None:
    flow = Flow(LIMITS)
    flow.delivered(1, 10, 0.0)
    flow.consumed({1: 1000}, 0.0)
    flow.delivered(1, 101, 0.0)
    assert not reads(flow)
    flow.forget(1)
    flow.forget(1)
    assert reads(flow)


def test_a_connection_that_is_read_does_not_stall() -> None:
    flow = Flow(LIMITS)
    flow.delivered(1, 100, 0.0)
    assert flow.next_stall() is None
    assert flow.give_up([1, 2], 1000.0) is None


def test_the_fullest_is_given_up_when_somebody_waits() -> None:
    flow = Flow(LIMITS)
    flow.delivered(1, 60, 5.0)
    flow.delivered(2, 70, 6.0)
    assert flow.next_stall() == 26.0
    flow.consumed({1: 1}, 10.0)
    assert flow.next_stall() == 30.0
    assert flow.give_up([1, 2, 3], 29.0) is None
    assert flow.give_up([1, 2, 3], 30.0) == 2
    assert not reads(flow)
    assert flow.give_up([1, 3], 30.0) == 1
    assert reads(flow)
    assert flow.give_up([3], 30.0) is None


def test_a_slow_program_is_left_in_peace() -> None:
    flow = Flow(LIMITS)
    flow.delivered(1, 60, 0.0)
    flow.delivered(2, 70, 0.0)
    assert flow.give_up([1, 2], 20.0) is None
    assert flow.next_stall() == 40.0


def test_stalling_can_be_allowed() -> None:
    flow = Flow(ClientLimits(high_water_bytes=100, stall_timeout_seconds=None))
    flow.delivered(1, 101, 0.0)
    assert not reads(flow)
    assert flow.next_stall() is None
    assert flow.give_up([2], 1e9) is None


def test_sending_has_the_same_shape() -> None:
    flow = Flow(LIMITS)
    states: list[bool] = []
    for unsent in (100, 101, 60, 51, 50, 100):
        flow.unsent(unsent)
        states.append(flow.sending)
    assert states == [True, False, False, False, True, True]
