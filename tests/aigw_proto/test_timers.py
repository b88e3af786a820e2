from __future__ import annotations

import enum

from aigw_proto._timers import TimerTable


class Name(enum.Enum):
    PING = enum.auto()
    CLOSE = enum.auto()
    IDLE = enum.auto()


def test_nothing_is_armed_at_first() -> None:
    table: TimerTable[Name] = TimerTable()
    assert table.earliest is None
    assert table.deadline(Name.PING) is None
    assert table.expire(1e9) is None


def test_earliest_is_a_level() -> None:
    table: TimerTable[Name] = TimerTable()
    table.arm(Name.PING, 5.0)
    table.arm(Name.CLOSE, 3.0)
    assert table.earliest == 3.0
    table.arm(Name.IDLE, 9.0)
    assert table.earliest == 3.0
    table.disarm(Name.IDLE)
    table.disarm(Name.CLOSE)
    assert table.earliest == 5.0
    table.arm(Name.PING, 7.0)
    assert table.earliest == table.deadline(Name.PING) == 7.0
    table.disarm(Name.IDLE)
    table.clear()
    assert table.earliest is None


def test_deadlines_expire_in_order_and_once() -> None:
    table: TimerTable[Name] = TimerTable()
    table.arm(Name.IDLE, 3.0)
    table.arm(Name.PING, 1.0)
    table.arm(Name.CLOSE, 2.0)
    assert table.expire(0.999) is None
    assert table.expire(2.0) is Name.PING
    assert table.expire(2.0) is Name.CLOSE
    assert table.expire(2.0) is None
    assert table.earliest == 3.0
