"""Runs simulations by seed until one fails, on whatever `aigw_proto` is imported: here, on a mutant's.

    python -m simulation.mutant_judges JUDGE MOST_SEEDS SOURCE

Seed 0 of every simulation of the judge comes first, then seed 1, and so on. The last line that is printed is the
verdict, as JSON; see `Verdict` in `run_mutants`. SOURCE is where the package has to come from. A seed that does not
come to an end is a catch as well: only work is counted, so a run that takes this long has not met a busy machine but a
loop without an end.
"""

from __future__ import annotations

import importlib
import json
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn

import aigw_proto
from aigw_proto.ws import IMPLEMENTATION

__all__ = ["simulations"]

_SCENARIOS = {"universal": 1, "realtime": 1, "mixed": 1, "bounded": 1, "draining": 1, "pressure": 2, "crowd": 20}
"""Those that look for mistakes, and how much longer than the others they take."""
_SECONDS_PER_SEED = 20.0  # of the processor; the slowest take one
_MOST_MEMORY_BYTES = 2 << 30  # a loop that gathers something must not take the machine with it
_MOST_CHARACTERS = 300

Simulation = tuple[Callable[[int], object], int]
"""Runs one seed, raising when something is wrong, and how many seeds are worth trying."""


class _HangError(BaseException):
    """A seed did not end. No Exception, which an engine would catch and log."""


def simulations(judge: str, most_seeds: int) -> dict[str, Simulation]:
    """Return the simulations of a judge by name: those of `aigw sim`, or those of the test suite."""
    if judge == "sim":
        public = importlib.import_module("aigw_transports.simulation")
        run_seed: Callable[[object, int], object] = public.run_seed
        scenarios: dict[str, object] = public.SCENARIOS
        return {name: (_of(run_seed, scenarios[name]), most_seeds // cost) for name, cost in _SCENARIOS.items()}
    found: dict[str, Simulation] = {}
    for name, run in (
        ("test_gateway_interleavings", "simulate"),
        ("test_realtime_simulation", "simulate"),
        ("test_universal_simulation", "simulate"),
        ("test_realtime_client_simulation", "run"),
        ("test_client_simulation", "run"),
    ):
        module = importlib.import_module(f"simulation.{name}")
        found[name] = getattr(module, run), min(most_seeds, module.SEEDS)
    return found


def _of(run_seed: Callable[[object, int], object], scenario: object) -> Callable[[int], object]:
    return lambda seed: run_seed(scenario, seed)


def _judge(judge: str, most_seeds: int) -> dict[str, object]:
    found = simulations(judge, most_seeds)
    runs = 0
    for seed in range(most_seeds):
        for name, (run, seeds) in found.items():
            if seed >= seeds:
                continue
            runs += 1
            signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS_PER_SEED)
            try:
                run(seed)
            except (Exception, _HangError) as error:  # noqa: BLE001 - whatever a mutant raises is a catch
                signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
                return {"caught_by": name, "seed": seed, "runs": runs, "complaint": _complaint(error)}
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.0)
    return {"caught_by": None, "seed": None, "runs": runs, "complaint": ""}


def _complaint(error: BaseException) -> str:
    """Return the innermost of what went wrong, in one line."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(str(error).split()) or "a condition does not hold"
    return f"{type(error).__name__}: {text}"[:_MOST_CHARACTERS]


def _hang(_number: int, _frame: FrameType | None) -> NoReturn:
    raise _HangError(f"it has not ended after {_SECONDS_PER_SEED:g} s of work")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY_BYTES, _MOST_MEMORY_BYTES))
    signal.signal(signal.SIGVTALRM, _hang)
    if not Path(aigw_proto.__file__).is_relative_to(sys.argv[3]) or IMPLEMENTATION != "pure":
        sys.exit(f"{aigw_proto.__file__} is not the package to be judged")
    verdict = _judge(sys.argv[1], int(sys.argv[2]))
    print(json.dumps(verdict))
