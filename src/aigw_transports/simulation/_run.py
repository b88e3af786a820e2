"""Running a scenario with a seed, and what is said when it fails."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..memory import World
from ._scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["SimulationFailed", "UnknownScenario", "load_scenario", "name_of", "run_seed", "simulate"]

_TRACE_LINES = 40  # of a failure, when not all are asked for
_MOST_TRACE_LINES = 1_000_000


class UnknownScenario(ValueError):  # noqa: N818 - it is named for what it says
    """There is no scenario of that name."""


class SimulationFailed(AssertionError):  # noqa: N818 - it is named for what it says
    """A seed at which something does not hold. `__cause__` is what the scenario raised."""

    def __init__(self, scenario: str, seed: int, complaint: str, place: str = "", trace: Sequence[str] = ()) -> None:
        """Say which scenario failed, at which seed, how and where; with the trace."""
        self.scenario = scenario
        self.seed = seed
        self.complaint = complaint
        self.place = place
        self.trace = tuple(trace)
        super().__init__(scenario, seed, complaint, place, self.trace)

    @property
    def command(self) -> str:
        """The command that runs this seed again, with its whole trace."""
        return f"aigw sim --scenario {self.scenario} --seeds {self.seed}..{self.seed} --trace"

    def __str__(self) -> str:
        lines = [f"{self.scenario}, seed {self.seed}: {self.complaint}"]
        if self.place:
            lines.append(f"at {self.place}")
        if self.trace:
            lines += ["the last inputs and effects:", *(f"  {line}" for line in self.trace[-_TRACE_LINES:])]
        return "\n".join([*lines, f"to run it again: {self.command}"])


def load_scenario(name: str) -> Scenario:
    """Return a scenario of this package by its name, or a function of somebody else's: `FILE.py:NAME`, `MODULE:NAME`.

    Raises UnknownScenario.
    """
    if name in SCENARIOS:
        return SCENARIOS[name]
    place, colon, function = name.rpartition(":")
    if not colon:
        raise UnknownScenario(f"there is no scenario {name!r}; there are {', '.join(SCENARIOS)}, and FILE.py:FUNCTION")
    try:
        module = _load_file(Path(place)) if place.endswith(".py") else _load_module(place)
        found = getattr(module, function)
    except (Exception, SystemExit) as error:  # it is somebody else's file, and may raise anything
        kind = "" if isinstance(error, (ImportError, OSError, AttributeError)) else f"{type(error).__name__}: "
        raise UnknownScenario(f"no scenario {name!r}: {kind}{error}") from error
    if not callable(found):
        raise UnknownScenario(f"no scenario {name!r}: {function} is not a function")
    return cast("Scenario", found)


def _load_module(name: str) -> object:
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))  # as for `python -m`; a command has only what is installed
    return importlib.import_module(name)


def _load_file(path: Path) -> object:
    name = path.stem
    if name in sys.modules and getattr(sys.modules[name], "__file__", None) == str(path.resolve()):
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def name_of(scenario: Scenario) -> str:
    """Return the name by which `load_scenario` finds it again."""
    for name, known in SCENARIOS.items():
        if known is scenario:
            return name
    function = getattr(scenario, "__qualname__", repr(scenario))
    file = getattr(sys.modules.get(scenario.__module__), "__file__", None)
    if file is None:
        return f"{scenario.__module__}:{function}"
    return f"{_shown(Path(file))}:{function}"


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def run_seed(scenario: Scenario, seed: int, *, trace_lines: int = 0, name: str | None = None) -> World:
    """Run one seed of a scenario; return its world. Raises SimulationFailed.

    A seed that fails is run once more, to write the trace, which takes as long again as the run: `trace_lines` is how
    much of it is kept in any case. `name` is what the scenario is called in what is said of a failure.
    """
    world = World(seed, trace_lines=trace_lines)
    try:
        _play(scenario, world)
    except (Exception, SystemExit) as error:
        called = name or name_of(scenario)
        failed = SimulationFailed(called, seed, _complaint(error), _place(error, scenario), _trace(scenario, world))
        raise failed from error
    return world


def _play(scenario: Scenario, world: World) -> None:
    result: object = scenario(world)  # type: ignore[func-returns-value]  # those that are none may return something
    if result is not None:
        if inspect.iscoroutine(result):
            result.close()
        kind = type(result).__name__
        raise TypeError(f"a scenario is a plain function, and this one returned a {kind}: nothing of it may have run")


def _complaint(error: BaseException) -> str:
    text = str(error).partition("\n")[0]
    if isinstance(error, AssertionError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _place(error: BaseException, scenario: Scenario) -> str:
    """Say where an error came from: the innermost line in the file of the scenario, or else of all."""
    frames = traceback.extract_tb(error.__traceback__)
    code = getattr(scenario, "__code__", None)
    own = [frame for frame in frames if code is not None and frame.filename == code.co_filename] or frames
    return f"{_shown(Path(own[-1].filename))}:{own[-1].lineno}: {own[-1].line}" if own else ""


def _trace(scenario: Scenario, world: World) -> list[str]:
    if world.trace:
        return world.trace
    again = World(world.seed, trace_lines=_MOST_TRACE_LINES)
    try:
        _play(scenario, again)
    except (Exception, SystemExit):  # noqa: BLE001 - the same as before
        return again.trace
    return ["(the seed did not fail again: the scenario depends on something beside its world)"]


def simulate(scenario: Scenario, seeds: Sequence[int]) -> None:
    """Run a scenario with many seeds, in a test. Raises SimulationFailed at the first one that fails."""
    for seed in seeds:
        run_seed(scenario, seed)
