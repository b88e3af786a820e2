"""The scenarios of limits hold for the gateway as it is, and notice when something comes too late."""

from __future__ import annotations

import pytest

from aigw_transports.simulation import End, RealtimeSession, SimulationFailed, Traffic, _bounded, simulate
from aigw_transports.simulation._bounded import bounded, draining


def test_they_hold() -> None:
    simulate(bounded, range(30))
    simulate(draining, range(20))


def test_what_comes_too_late_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bounded, "_LATE_SECONDS", -0.1)
    complaints: set[str] = set()
    for seed in range(30):
        try:
            simulate(bounded, [seed])
        except SimulationFailed as failed:
            complaints.add(" ".join(failed.complaint.split()[1:3]).rstrip("0123456789. "))
    assert {"s0: closed", "took"} <= complaints


def test_what_is_too_large_for_one_and_not_for_the_other_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(_: RealtimeSession, end: End) -> None:
        assert end.got_close is None, "closed"

    monkeypatch.setattr(_bounded, "_judge_size", none)
    with pytest.raises(SimulationFailed, match="closed"):
        simulate(bounded, range(40))


def test_who_waits_for_what_nobody_has_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bounded, "_UPSTREAM_IDLE_SECONDS", 9.0)
    with pytest.raises(SimulationFailed, match="waits, although its provider has said all"):
        simulate(_bounded._bounded_waiting, range(40))


def test_who_is_kept_by_a_gateway_that_shuts_down_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    shut_down = Traffic.shut_down

    def later(traffic: Traffic, grace_seconds: float) -> None:
        traffic.world.after(3.0, lambda: shut_down(traffic, grace_seconds))

    monkeypatch.setattr(Traffic, "shut_down", later)
    with pytest.raises(SimulationFailed, match="a connection on which nothing was asked is kept"):
        simulate(draining, [0])
