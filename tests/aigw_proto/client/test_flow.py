from __future__ import annotations

from aigw_proto.client import ClientLimits
from aigw_proto.client._flow import Flow

LIMITS = ClientLimits(
    high_water_bytes=100, low_water_bytes=50, sending_high_water_bytes=100, sending_low_water_bytes=50
)


def test_reading_stops_above_high_water_and_resumes_below_low() -> None:
    flow = Flow(LIMITS)
    flow.delivered(100)
    assert flow.reading
    flow.delivered(1)
    assert not flow.reading
    flow.consumed(50)
    assert not flow.reading
    flow.consumed(1)
    assert flow.reading
    flow.delivered(50)
    assert flow.reading


def test_more_consumed_than_held_counts_as_nothing_held() -> None:
    flow = Flow(LIMITS)
    flow.delivered(10)
    flow.consumed(1000)
    flow.delivered(101)
    assert not flow.reading


def test_sending_has_the_same_shape() -> None:
    flow = Flow(LIMITS)
    states: list[bool] = []
    for unsent in (100, 101, 60, 51, 50, 100):
        flow.unsent(unsent)
        states.append(flow.sending)
    assert states == [True, False, False, False, True, True]
