"""The scenario of slow readers holds for the gateway as it is, and notices one that keeps too much."""

from __future__ import annotations

import functools
from typing import Any

import pytest

from aigw_transports.memory import World
from aigw_transports.simulation import SimulationFailed, Traffic, _pressure, simulate
from aigw_transports.simulation._pressure import pressure


def test_it_holds() -> None:
    simulate(pressure, range(12))


def test_it_uses_both_apis() -> None:
    worlds = [World(seed) for seed in range(8)]
    for world in worlds:
        pressure(world)
    assert {world.counts["requests"] > 0 for world in worlds} == {True, False}
    assert {world.counts["sessions"] > 0 for world in worlds} == {True, False}


@pytest.mark.parametrize(
    ("bound", "size", "complaint"),
    [
        ("most_kept_bytes", -10_000, "bytes, where -10000 are allowed"),  # what it says of its own counts against it
        ("most_unsent_bytes", 400, "is beyond the bound of 400"),
    ],
)
def test_more_than_is_allowed_is_noticed(
    monkeypatch: pytest.MonkeyPatch, bound: str, size: int, complaint: str
) -> None:
    monkeypatch.setattr(_pressure, "Traffic", functools.partial(_replacing, bound, size))
    with pytest.raises(SimulationFailed, match=complaint):
        simulate(pressure, range(12))


def _replacing(bound: str, size: int, *args: Any, **fields: Any) -> Traffic:
    return Traffic(*args, **(fields | {bound: size}))
