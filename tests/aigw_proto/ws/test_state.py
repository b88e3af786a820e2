from __future__ import annotations

import pytest

from aigw_proto._kinds import Role
from aigw_proto.ws import TRANSITIONS, ConnectionState, Trigger
from aigw_proto.ws._state import AT_ONCE

TERMINAL = {ConnectionState.CLOSED, ConnectionState.FAILED}


@pytest.mark.parametrize("state", ConnectionState)
def test_terminal_states_are_those_without_a_way_out(state: ConnectionState) -> None:
    assert (not TRANSITIONS[state]) == (state in TERMINAL)


def test_every_state_is_reachable_and_every_trigger_is_used() -> None:
    reached = {ConnectionState.OPEN}
    reached |= {target for moves in TRANSITIONS.values() for target in moves.values()}
    assert reached == set(ConnectionState)
    assert {trigger for moves in TRANSITIONS.values() for trigger in moves} == set(Trigger)


def test_no_way_leads_back() -> None:
    order = list(ConnectionState)
    for state, moves in TRANSITIONS.items():
        for target in moves.values():
            assert order.index(target) >= order.index(state)


def test_who_may_send_may_close_and_who_gives_up_may_too() -> None:
    sending = {state for state, moves in TRANSITIONS.items() if Trigger.SEND in moves}
    assert sending == {ConnectionState.OPEN, ConnectionState.ANSWERING}
    assert sending == {state for state, moves in TRANSITIONS.items() if Trigger.SEND_CLOSE in moves}
    assert {state for state, moves in TRANSITIONS.items() if Trigger.FAIL in moves} == set(ConnectionState) - TERMINAL


def test_what_a_role_does_at_once_is_a_legal_move() -> None:
    assert set(AT_ONCE) == set(Role)
    for moves in AT_ONCE.values():
        for state, trigger in moves.items():
            assert trigger in TRANSITIONS[state]
