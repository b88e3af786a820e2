"""One wait at a time, never too short."""

from __future__ import annotations

from aigw_proto._limits import HttpLimits
from aigw_proto.http._patience import Patience, Wait

LIMITS = HttpLimits(head_timeout_seconds=10.0, idle_timeout_seconds=75.0)


def test_waits_for_nothing_at_first() -> None:
    patience = Patience(LIMITS)
    assert (patience.wait, patience.deadline) == (None, None)
    assert patience.expire(1e9) is None


def test_each_wait_has_its_time() -> None:
    patience = Patience(LIMITS)
    for wait, seconds in ((Wait.HEAD, 10.0), (Wait.BODY, 75.0), (Wait.REQUEST, 75.0)):
        patience.start(wait, 100.0)
        assert (patience.wait, patience.deadline) == (wait, 100.0 + seconds)
        assert patience.expire(100.0 + seconds - 0.5) is None
        assert patience.expire(100.0 + seconds) is wait
        assert (patience.wait, patience.deadline) == (None, None)


def test_loose_wait_begins_once_more() -> None:
    patience = Patience(LIMITS)
    patience.start(Wait.REQUEST, 0.0, loose=True)
    assert patience.expire(200.0) is None
    assert patience.deadline == 275.0
    assert patience.expire(275.0) is Wait.REQUEST


def test_stop() -> None:
    patience = Patience(LIMITS)
    patience.start(Wait.HEAD, 0.0)
    patience.stop()
    assert patience.expire(100.0) is None
