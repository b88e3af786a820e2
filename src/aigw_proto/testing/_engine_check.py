"""`check_engine`: what `Checked` cannot see, because a correct driver never gives occasion for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from ._checked import Checked
from ._traced import describe

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._kinds import Engine

__all__ = ["check_engine"]

InputT = TypeVar("InputT")
_MAX_WAKES = 10_000


def check_engine(make_engine: Callable[[], Engine[InputT]], events: Sequence[InputT], *, now: float = 1000.0) -> None:
    """Assert that a fresh engine keeps the calling rules of `Engine`.

    The last of `events` must make it ask for something; they are fed at `now`. Checked are: a turn that was not polled
    to its end refuses the next input and loses nothing by it; deadlines are a level; early and late wakes are harmless.
    """
    engine = make_engine()
    checked = Checked(engine)
    _demand(checked.poll() is None, "an effect before the first turn")
    _wake(checked, now)
    for event in events[:-1]:
        checked.handle(event, now)
        _drain(checked)
        _wake(checked, now)
    checked.handle(events[-1], now)
    _refuses(engine, events[-1], now)
    _demand(_drain(checked) > 0, f"{describe(events[-1])} made it ask for nothing, or it was lost by a refused input")
    _demand(engine.poll() is None, "an effect after the turn was drained")
    time = now
    for _ in range(_MAX_WAKES):
        deadline = _level(engine)
        if checked.drained or deadline is None:
            return
        _wake(checked, max(time, deadline - 0.001))  # early
        time = max(time, deadline) + 1.0
        _wake(checked, time)  # late


def _demand(condition: bool, complaint: str) -> None:
    if not condition:
        raise AssertionError(f"engine: {complaint}")


def _refuses(engine: Engine[InputT], event: InputT, now: float) -> None:
    try:
        engine.handle(event, now)
    except RuntimeError:
        return
    raise AssertionError(f"engine: took {describe(event)} before the turn was drained; a RuntimeError was due")


def _level(engine: Engine[InputT]) -> float | None:
    deadline = engine.next_timeout()
    _demand(deadline == engine.next_timeout(), "next_timeout() changes by being asked")
    return deadline


def _wake(checked: Checked[InputT], now: float) -> None:
    if not checked.drained:
        checked.handle_timeout(now)
        _drain(checked)


def _drain(checked: Checked[InputT]) -> int:
    count = 0
    while checked.poll() is not None:
        count += 1
    return count
