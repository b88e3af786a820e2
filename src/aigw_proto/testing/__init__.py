"""The published test kit: what this project's own machines, engines and drivers are tested with."""

from ._checked import Checked, ContractError
from ._driver_check import DriverUnderTest, check_driver
from ._engine_check import check_engine
from ._pairs import ConnectionPair, chunkings, run_machine
from ._playbook import Placeholder, Playbook
from ._scenario_engines import Addresses
from ._scenarios import SCENARIOS, Scenario
from ._toy import ToyEngine
from ._traced import Traced, describe

__all__ = [
    "SCENARIOS",
    "Addresses",
    "Checked",
    "ConnectionPair",
    "ContractError",
    "DriverUnderTest",
    "Placeholder",
    "Playbook",
    "Scenario",
    "ToyEngine",
    "Traced",
    "check_driver",
    "check_engine",
    "chunkings",
    "describe",
    "run_machine",
]
