"""The published test kit: what this project's own machines, engines and drivers are tested with."""

from ._checked import Checked, ContractError
from ._pairs import ConnectionPair, chunkings, run_machine
from ._playbook import Placeholder, Playbook
from ._toy import ToyEngine
from ._traced import Traced, describe

__all__ = [
    "Checked",
    "ConnectionPair",
    "ContractError",
    "Placeholder",
    "Playbook",
    "ToyEngine",
    "Traced",
    "chunkings",
    "describe",
    "run_machine",
]
