from __future__ import annotations

from aigw_proto._effects import CloseHow
from aigw_proto.testing import SCENARIOS, Addresses, ToyEngine


def test_scenarios_are_told_apart_by_name() -> None:
    names = [scenario.name for scenario in SCENARIOS]
    assert len(set(names)) == len(names)


def test_every_scenario_makes_fresh_engines() -> None:
    addresses = Addresses("listener", 1, 2, "nowhere")
    for scenario in SCENARIOS:
        engines: list[ToyEngine] = [scenario.listener(), scenario.listener()]
        engines += [scenario.connector(addresses), scenario.connector(addresses)]
        assert len({id(engine) for engine in engines}) == 4


def test_the_control_traces_cover_every_way_to_end() -> None:
    steps = {step for scenario in SCENARIOS for step in (*(scenario.connected or ()), *(scenario.accepted or ()))}
    assert steps >= {f"CloseLink {how.name}" for how in CloseHow}
    assert steps >= {"PeerClosed clean", "PeerClosed broken", "EndSending", "SetReading False", "SetReading True"}
    assert steps >= {"ConnectFailed NAME", "ConnectFailed REFUSED"}
