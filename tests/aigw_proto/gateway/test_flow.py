from __future__ import annotations

from aigw_proto.gateway._flow import Gauge, Portions


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
    assert each.level == 101


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


def test_a_growing_backlog_is_no_progress() -> None:
    each = gauge()
    assert not each.report(10)
    assert not each.report(10)
    assert not each.report(20)
    assert each.report(19)


def test_a_low_mark_above_the_high_one_counts_as_the_high_one() -> None:
    each = Gauge(high_bytes=10, low_bytes=100)
    each.report(50)
    each.hand_over()
    assert is_shut(each)
    each.report(10)
    assert not is_shut(each)


def test_portions_hand_everything_on_in_order_and_a_little_at_a_time() -> None:
    portions = Portions()
    reads = [b"a" * 10_000, b"b", b"c" * 4096, bytes(range(256)) * 40]
    for data in reads:
        portions.append(data)
    taken: list[bytes] = []
    while portion := portions.take():
        taken.append(portion)
    assert b"".join(taken) == b"".join(reads)
    assert max(map(len, taken)) == 4096
    assert portions.take() == b""


def test_a_read_no_larger_than_a_portion_is_not_copied() -> None:
    portions = Portions()
    data = bytes(4096)
    portions.append(data)
    assert portions.take() is data


def test_cleared_portions() -> None:
    portions = Portions()
    portions.append(bytes(10_000))
    portions.append(b"x")
    portions.take()
    portions.clear()
    assert portions.take() == b""
    portions.append(b"y")
    assert portions.take() == b"y"
