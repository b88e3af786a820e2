"""Running scenarios, seed by seed, in one process or several."""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import importlib
import importlib.util
import multiprocessing
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ..memory import World
from ._scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "Outcome",
    "SimulationFailed",
    "Summary",
    "UnknownScenario",
    "load_scenario",
    "run_seed",
    "run_seeds",
    "simulate",
]

_TRACE_LINES = 40  # of a failure, when not all are asked for
_MOST_TRACE_LINES = 1_000_000
_BATCH_SEEDS = 50


class UnknownScenario(ValueError):  # noqa: N818 - it is named for what it says
    """There is no scenario of that name."""


class SimulationFailed(AssertionError):  # noqa: N818 - it is named for what it says
    """A seed at which something does not hold. `__cause__` is what the scenario raised."""

    def __init__(self, scenario: str, seed: int, complaint: str, trace: Sequence[str]) -> None:
        """Say which scenario failed, at which seed, and how; with the end of the trace."""
        self.scenario = scenario
        self.seed = seed
        self.complaint = complaint
        self.trace = tuple(trace)
        super().__init__(scenario, seed, complaint, self.trace)

    @property
    def command(self) -> str:
        """The command that runs this seed again, with its whole trace."""
        return f"aigw sim --scenario {self.scenario} --seeds {self.seed}..{self.seed} --trace"

    def __str__(self) -> str:
        lines = [f"{self.scenario}, seed {self.seed}: {self.complaint}"]
        if self.trace:
            lines += ["the last inputs and effects:", *(f"  {line}" for line in self.trace[-_TRACE_LINES:])]
        return "\n".join([*lines, f"to run it again: {self.command}"])


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What came of some seeds."""

    seeds: int
    failures: tuple[SimulationFailed, ...]
    virtual_seconds: float
    counts: tuple[int, int, int]
    """Requests, realtime sessions, and messages of either."""


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What came of a run."""

    seeds: int
    failures: tuple[SimulationFailed, ...]
    seconds: float
    """Of the clock on the wall."""
    virtual_seconds: float
    requests: int
    sessions: int
    messages: int


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
        module = _load_file(Path(place)) if place.endswith(".py") else importlib.import_module(place)
        found = getattr(module, function)
    except (ImportError, OSError, AttributeError) as error:
        raise UnknownScenario(f"no scenario {name!r}: {error}") from error
    if not callable(found):
        raise UnknownScenario(f"no scenario {name!r}: {function} is not a function")
    return cast("Scenario", found)


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
    path = Path(file)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{function}"


def run_seed(scenario: Scenario, seed: int, *, trace_lines: int = 0) -> World:
    """Run one seed of a scenario; return its world. Raises SimulationFailed.

    A seed that fails is run once more, to write the trace, which takes as long again as the run: `trace_lines` is how
    much of it is kept in any case.
    """
    world = World(seed, trace_lines=trace_lines)
    try:
        scenario(world)
    except Exception as error:
        failed = SimulationFailed(name_of(scenario), seed, _complaint(error), _trace(scenario, world))
        raise failed from error
    return world


def _complaint(error: Exception) -> str:
    text = str(error).partition("\n")[0]
    if isinstance(error, AssertionError) and text:
        return text
    return f"{type(error).__name__}: {text}"


def _trace(scenario: Scenario, world: World) -> list[str]:
    if world.trace:
        return world.trace
    again = World(world.seed, trace_lines=_MOST_TRACE_LINES)
    try:
        scenario(again)
    except Exception:  # noqa: BLE001 - the same as before
        return again.trace
    return ["(the seed did not fail again: the scenario depends on something beside its world)"]


def simulate(scenario: Scenario, seeds: Sequence[int]) -> None:
    """Run a scenario with many seeds, in a test. Raises SimulationFailed at the first one that fails."""
    for seed in seeds:
        run_seed(scenario, seed)


def run_seeds(
    name: str, seeds: range, *, jobs: int = 1, progress: Callable[[Outcome], None] | None = None, most_failures: int = 5
) -> Summary:
    """Run the scenario `name` with all seeds, on `jobs` processes; stop after `most_failures`.

    `progress` is called with each part of the whole. Raises UnknownScenario.
    """
    if not __debug__:
        raise RuntimeError("the observers of a simulation assert, and python -O leaves assertions out")
    load_scenario(name)
    started = time.monotonic()
    outcomes: list[Outcome] = []
    failures: list[SimulationFailed] = []
    batches = [seeds[at : at + _BATCH_SEEDS] for at in range(0, len(seeds), _BATCH_SEEDS)]
    for outcome in _outcomes(functools.partial(_run_batch, name), batches, jobs):
        outcomes.append(outcome)
        failures += outcome.failures
        if progress is not None:
            progress(outcome)
        if len(failures) >= most_failures:
            break
    requests, sessions, messages = (sum(outcome.counts[place] for outcome in outcomes) for place in range(3))
    return Summary(
        seeds=sum(outcome.seeds for outcome in outcomes),
        failures=tuple(failures[:most_failures]),
        seconds=time.monotonic() - started,
        virtual_seconds=sum(outcome.virtual_seconds for outcome in outcomes),
        requests=requests,
        sessions=sessions,
        messages=messages,
    )


def _outcomes(run: Callable[[range], Outcome], batches: list[range], jobs: int) -> Iterator[Outcome]:
    if jobs == 1 or len(batches) == 1:
        yield from map(run, batches)
        return
    # Not forked: a program that uses this may have threads.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(min(jobs, len(batches)), mp_context=context) as pool:
        try:
            yield from pool.map(run, batches)
        finally:
            pool.shutdown(cancel_futures=True)


def _run_batch(name: str, seeds: range) -> Outcome:
    scenario = load_scenario(name)
    failures: list[SimulationFailed] = []
    virtual_seconds = 0.0
    requests = sessions = messages = 0
    for seed in seeds:
        try:
            world = run_seed(scenario, seed)
        except SimulationFailed as failed:
            failures.append(failed)
            continue
        virtual_seconds += world.time
        requests += world.counts["requests"]
        sessions += world.counts["sessions"]
        messages += world.counts["messages"]
    return Outcome(len(seeds), tuple(failures), virtual_seconds, (requests, sessions, messages))
