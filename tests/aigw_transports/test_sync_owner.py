from __future__ import annotations

import math
import threading
import time

import pytest

from aigw_transports._sync_owner import Owner
from support.threads import PATIENCE_SECONDS


def test_what_is_posted_is_done_in_order_in_one_thread() -> None:
    owner = Owner()
    done: list[tuple[int, threading.Thread]] = []

    def work(number: int) -> None:
        done.append((number, threading.current_thread()))

    for number in range(3):
        owner.post(work, number)
    owner.step(math.inf)
    assert done == [(number, threading.current_thread()) for number in range(3)]


def test_a_step_ends_although_there_is_always_more_to_do() -> None:
    owner = Owner()
    done: list[str] = []

    def again(_: None) -> None:
        done.append("again")
        owner.post(again, None)

    owner.post(again, None)
    owner.post(again, None)
    owner.call_later(0.0, lambda: done.append("timer"))
    owner.step(math.inf)
    assert done[-1] == "timer"
    assert 2 <= done.count("again") <= 3


@pytest.mark.parametrize("deadline", [-math.inf, 0.0])
def test_a_deadline_in_the_past_waits_for_nobody(deadline: float) -> None:
    owner = Owner()
    owner.step(deadline)
    done: list[int] = []
    owner.post(done.append, 1)
    owner.step(deadline)
    assert done == [1]


def test_timers_in_order_and_not_when_cancelled() -> None:
    owner = Owner()
    done: list[str] = []
    owner.call_later(0.002, lambda: done.append("b"))
    owner.call_later(0.001, lambda: done.append("a"))
    owner.call_later(0.0, lambda: done.append("never")).cancel()
    owner.call_later(1000.0, lambda: done.append("later"))
    until = time.monotonic() + PATIENCE_SECONDS
    while len(done) < 2:
        owner.step(math.inf)
        assert time.monotonic() < until
    assert done == ["a", "b"]


def test_a_thread_and_its_end() -> None:
    owner = Owner()
    names: list[str] = []
    ended: list[bool] = []
    owner.start("some", lambda: names.append(threading.current_thread().name), lambda: ended.append(True))
    while owner.thread_count:
        owner.step(math.inf)
    assert (names, ended) == (["aigw-some"], [True])


def test_an_exception_of_a_thread_is_raised_in_the_owner() -> None:
    owner = Owner()
    ended: list[bool] = []

    def body() -> None:
        raise ZeroDivisionError

    owner.start("bug", body, lambda: ended.append(True))
    with pytest.raises(ZeroDivisionError):
        owner.step(math.inf)
    while not ended:
        owner.step(math.inf)


def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    owner = Owner()
    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        owner.start("one", print, print)
    assert not owner.thread_count


def test_finishing_does_everything_whatever_fails() -> None:
    owner = Owner()
    done: list[int] = []

    def fail(_: None) -> None:
        raise ZeroDivisionError

    owner.post(fail, None)
    owner.post(done.append, 1)
    with pytest.raises(ZeroDivisionError):
        owner.finish()
    assert done == [1]
    owner.finish()
