from __future__ import annotations

import enum

import pytest

from aigw_proto.gateway import _state as state


@pytest.mark.parametrize(
    ("table", "states", "triggers", "ends"),
    [
        (
            state.SESSION_TRANSITIONS,
            state.SessionState,
            state.SessionTrigger,
            {state.SessionState.CLOSED, state.SessionState.HANDED_OVER},
        ),
        (state.REALTIME_TRANSITIONS, state.RealtimeState, state.RealtimeTrigger, {state.RealtimeState.ENDED}),
        (state.REQUEST_TRANSITIONS, state.RequestState, state.RequestTrigger, {state.RequestState.ENDED}),
        (state.UPSTREAM_TRANSITIONS, state.UpstreamState, state.UpstreamTrigger, {state.UpstreamState.DEAD}),
    ],
)
def test_tables_are_whole(
    table: dict[enum.Enum, dict[enum.Enum, enum.Enum]],
    states: type[enum.Enum],
    triggers: type[enum.Enum],
    ends: set[enum.Enum],
) -> None:
    assert set(table) == set(states)
    used = {trigger for row in table.values() for trigger in row}
    assert used == set(triggers)
    assert {each for each, row in table.items() if not row} == ends
    reached = {next(iter(states))}
    while True:
        more = {target for each in reached for target in table[each].values()} | reached
        if more == reached:
            break
        reached = more
    assert reached == set(states)
    for each in states:  # every state can end
        seen, frontier = {each}, {each}
        while frontier:
            frontier = {target for source in frontier for target in table[source].values()} - seen
            seen |= frontier
        assert seen & ends
