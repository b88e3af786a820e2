from __future__ import annotations

import dataclasses

import pytest

from aigw_proto._kinds import Role, Signal, record


@record
class Point:
    x: int
    y: int = 0


def test_a_record_is_a_value_with_slots() -> None:
    point = Point(1)
    assert point == Point(1, 0)
    assert point != Point(2)
    assert repr(point) == "Point(x=1, y=0)"
    assert dataclasses.astuple(point) == (1, 0)
    assert not hasattr(point, "__dict__")
    with pytest.raises(AttributeError):
        object.__setattr__(point, "z", 1)


def test_a_record_matches_by_position() -> None:
    match Point(3, 4):
        case Point(x, y):
            assert (x, y) == (3, 4)


def test_signals_and_roles_explain_themselves() -> None:
    assert [signal.name for signal in Signal] == ["NEED_DATA", "BLOCKED", "SWITCHED"]
    assert all(" " in signal.value for signal in Signal)
    assert {role.value for role in Role} == {"client", "server"}
