"""The published test kit: what this project's own machines, engines and drivers are tested with."""

from ._checked import Checked, ContractError
from ._toy import ToyEngine
from ._traced import Traced, describe

__all__ = ["Checked", "ContractError", "ToyEngine", "Traced", "describe"]
