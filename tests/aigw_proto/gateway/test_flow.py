from __future__ import annotations

from aigw_proto.gateway._flow import Gauge


def gauge() -> Gauge:
    return Gauge(high_bytes=100, low_bytes=40)


def is_shut(each: Gauge) -> bool:
    return each.shut  # asked through a function, since a checker takes an attribute for a constant


def test_shuts_above_the_high_mark_only() -> None:
    each = gauge()
    each.add(100)
    assert not is_shut(each)
    each.add(1)
    assert is_shut(each)
    assert each.level == each.peak == 101


def test_opens_at_the_end_of_the_turn_when_the_driver_took_everything() -> None:
    each = gauge()
    each.add(500)
    each.hand_over()
    assert not is_shut(each)
    assert each.level == 0


def test_a_reported_backlog_keeps_it_shut_until_the_low_mark() -> None:
    each = gauge()
    each.add(500)
    each.hand_over()
    assert not each.report(500)
    assert is_shut(each)
    assert each.report(41)
    assert is_shut(each)
    each.hand_over()
    assert is_shut(each)
    assert each.report(40)
    assert not is_shut(each)


def test_between_the_marks_nothing_changes() -> None:
    each = gauge()
    each.report(70)
    assert not is_shut(each)
    each.report(101)
    each.report(70)
    assert is_shut(each)
    assert each.peak == 0  # only what the engine queued counts as its peak


def test_a_growing_backlog_is_no_progress() -> None:
    each = gauge()
    assert not each.report(10)
    assert not each.report(10)
    assert not each.report(20)
    assert each.report(19)
