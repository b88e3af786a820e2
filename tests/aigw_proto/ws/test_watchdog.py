from __future__ import annotations

from aigw_proto._limits import WebSocketLimits
from aigw_proto.ws._watchdog import Expiry, Watchdog

LIMITS = WebSocketLimits(ping_interval_seconds=30, pong_timeout_seconds=20, close_timeout_seconds=10)


def deadline_of(watchdog: Watchdog) -> float | None:
    return watchdog.deadline  # read through a function, since type checkers take an attribute to stay what it was


def test_silence_brings_a_ping_and_then_the_end() -> None:
    watchdog = Watchdog(LIMITS, 100.0)
    assert watchdog.deadline == 130
    assert watchdog.expire(129.9, False) is Expiry.NOTHING
    assert watchdog.expire(131, False) is Expiry.PING
    assert watchdog.deadline == 151
    assert watchdog.expire(150, False) is Expiry.NOTHING
    assert watchdog.expire(151, False) is Expiry.GIVE_UP


def test_any_octet_is_life() -> None:
    watchdog = Watchdog(LIMITS, 0)
    watchdog.heard(10)
    assert watchdog.deadline == 40
    assert watchdog.expire(40, False) is Expiry.PING
    watchdog.heard(59)
    assert watchdog.deadline == 89
    assert watchdog.expire(89, False) is Expiry.PING


def test_without_an_interval_there_is_no_deadline() -> None:
    watchdog = Watchdog(WebSocketLimits(ping_interval_seconds=None), 0)
    assert watchdog.deadline is None
    watchdog.heard(1)
    assert watchdog.deadline is None
    assert watchdog.expire(1e9, False) is Expiry.NOTHING


def test_what_was_not_pulled_is_not_silence() -> None:
    watchdog = Watchdog(LIMITS, 0)
    assert watchdog.expire(30, True) is Expiry.NOTHING
    assert watchdog.deadline == 60
    assert watchdog.expire(60, False) is Expiry.PING
    assert watchdog.expire(80, True) is Expiry.NOTHING
    assert watchdog.deadline == 110


def test_nobody_is_blamed_while_the_caller_does_not_read() -> None:
    watchdog = Watchdog(LIMITS, 0)
    watchdog.listen(5, True)
    assert deadline_of(watchdog) == 30
    assert watchdog.expire(30, False) is Expiry.PING
    watchdog.listen(31, False)
    assert deadline_of(watchdog) is None
    watchdog.listen(32, False)
    watchdog.heard(33)
    assert deadline_of(watchdog) is None
    watchdog.listen(500, True)
    assert deadline_of(watchdog) == 530


def test_close_deadline_from_a_known_time() -> None:
    watchdog = Watchdog(LIMITS, 0)
    before = watchdog.closing
    watchdog.close_sent(7)
    assert (before, watchdog.closing) == (False, True)
    assert watchdog.deadline == 17
    watchdog.heard(16)
    watchdog.listen(16, False)
    watchdog.listen(16, True)
    assert watchdog.deadline == 17
    assert watchdog.expire(17, True) is Expiry.GIVE_UP


def test_close_deadline_counts_from_the_next_known_time() -> None:
    by_timeout = Watchdog(LIMITS, 3)
    by_timeout.close_sent(None)
    assert by_timeout.closing
    assert by_timeout.deadline == 3
    assert by_timeout.expire(50, False) is Expiry.NOTHING
    assert by_timeout.deadline == 60
    by_data = Watchdog(LIMITS, 3)
    by_data.close_sent(None)
    by_data.heard(50)
    assert by_data.deadline == 60


def test_stopped_is_silent_for_good() -> None:
    watchdog = Watchdog(LIMITS, 0)
    watchdog.stop()
    watchdog.heard(1)
    watchdog.listen(1, False)
    assert watchdog.deadline is None
    assert watchdog.expire(1e9, False) is Expiry.NOTHING
