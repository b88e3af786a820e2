"""Simulation: scenarios run with thousands of seeds in the memory world, and what must hold in each of them.

A scenario is a function of a `World`: it puts hosts and peers into it, lets things happen, and raises AssertionError
when something does not hold. `simulate()` runs one with many seeds in a test, `aigw sim` from the shell. What fails is
named by its seed, and that seed runs the same way again.
"""

from ._plan import bad_link, is_smooth
from ._realtime import Close, End, Leaving, Message, Pace, RealtimeProvider, RealtimeSession
from ._run import SimulationFailed, UnknownScenario, load_scenario, run_seed, simulate
from ._scenarios import SCENARIOS, Scenario
from ._stage import Answer, Stage, StageClient, StageSession
from ._traffic import Traffic, gateway_engine
from ._universal import Request, UniversalClient
from ._universal_provider import Order, UniversalProvider
from ._workers import SEED_SECONDS, Outcome, Summary, run_seeds

__all__ = [
    "SCENARIOS",
    "SEED_SECONDS",
    "Answer",
    "Close",
    "End",
    "Leaving",
    "Message",
    "Order",
    "Outcome",
    "Pace",
    "RealtimeProvider",
    "RealtimeSession",
    "Request",
    "Scenario",
    "SimulationFailed",
    "Stage",
    "StageClient",
    "StageSession",
    "Summary",
    "Traffic",
    "UniversalClient",
    "UniversalProvider",
    "UnknownScenario",
    "bad_link",
    "gateway_engine",
    "is_smooth",
    "load_scenario",
    "run_seed",
    "run_seeds",
    "simulate",
]
