from __future__ import annotations

import random

from aigw_transports._schedule import Schedule, Wakeup

FOREVER = float("inf")


def test_callbacks_run_in_order_of_time_then_of_scheduling() -> None:
    schedule = Schedule(random.Random(0))
    ran: list[tuple[str, float]] = []

    def note(name: str) -> None:
        ran.append((name, schedule.now))

    schedule.at(2.0, lambda: note("late"))
    schedule.after(1.0, lambda: note("first"))
    schedule.at(1.0, lambda: note("second"))
    assert schedule.step(0.5) is False
    while schedule.step(FOREVER):
        pass
    assert ran == [("first", 1.0), ("second", 1.0), ("late", 2.0)]


def test_the_past_means_now() -> None:
    schedule = Schedule(random.Random(0))
    schedule.now = 5.0
    schedule.at(1.0, lambda: None)
    assert schedule.step(5.0)
    assert schedule.now == 5.0


def test_what_is_cancelled_takes_no_time() -> None:
    schedule = Schedule(random.Random(0))
    wakeup = schedule.at(9.0, lambda: None)
    wakeup.cancel()
    assert schedule.step(FOREVER) is False
    assert schedule.now == 0.0


def test_a_wakeup_is_taken_once() -> None:
    calls: list[int] = []
    wakeup = Wakeup(lambda: calls.append(1))
    taken = wakeup.take()
    assert taken is not None
    taken()
    assert wakeup.take() is None
    assert calls == [1]


def test_chance() -> None:
    schedule = Schedule(random.Random(0))
    state = schedule.random.getstate()
    assert not schedule.chance(0.0)
    assert schedule.random.getstate() == state  # what cannot happen draws nothing
    assert schedule.chance(1.0)
    draws = [schedule.chance(0.3) for _ in range(1000)]
    assert 200 < sum(draws) < 400


def test_what_a_jump_of_the_clock_has_passed_happens_late_and_in_order() -> None:
    schedule = Schedule(random.Random(1))
    seen: list[tuple[str, float]] = []
    schedule.at(1.0, lambda: seen.append(("first", schedule.now)))
    schedule.at(2.0, lambda: seen.append(("second", schedule.now)))
    schedule.now = 10.0
    while schedule.step(float("inf")):
        pass
    assert seen == [("first", 10.0), ("second", 10.0)]


def test_what_was_withdrawn_at_once_does_not_hide_what_comes_later() -> None:
    schedule = Schedule(random.Random(1))
    ran: list[float] = []
    schedule.at(5.0, lambda: ran.append(schedule.now))
    schedule.after(0.0, lambda: ran.append(-1.0)).cancel()
    assert schedule.step(FOREVER)
    assert ran == [5.0]


def test_what_is_due_at_once_comes_behind_what_was_due_before() -> None:
    schedule = Schedule(random.Random(1))
    ran: list[str] = []

    def first() -> None:
        schedule.after(0.0, lambda: ran.append("last"))

    schedule.at(1.0, first)
    schedule.at(1.0, lambda: ran.append("second"))
    schedule.at(1.0, lambda: ran.append("third"))
    while schedule.step(FOREVER):
        pass
    assert ran == ["second", "third", "last"]
    schedule.after(0.0, lambda: ran.append("never"))
    assert not schedule.step(0.5)
