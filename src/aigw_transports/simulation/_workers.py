"""Running a scenario with many seeds, in this process or in several.

A worker takes some seeds at a time and tells what came of them; in between it notes which seed it is at, so that one
that does not end can be named. Workers are killed when they are not needed any more, whatever they do; whose parent has
gone finds nobody to tell and ends by itself.
"""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import multiprocessing.connection
import signal
import time
from collections import deque
from typing import TYPE_CHECKING

from ._run import SimulationFailed, load_scenario, run_seed

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from multiprocessing.connection import Connection
    from multiprocessing.sharedctypes import Synchronized

__all__ = ["SEED_SECONDS", "Outcome", "Summary", "run_seeds"]

SEED_SECONDS = 60.0
"""Of the clock on the wall: a seed that takes longer is taken for one that does not end."""
_BATCH_SEEDS = 20
_LOOK_SECONDS = 1.0


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
    """How many were run: not all when there were too many failures, or somebody interrupted it."""
    failures: tuple[SimulationFailed, ...]
    seconds: float
    """Of the clock on the wall."""
    virtual_seconds: float
    requests: int
    sessions: int
    messages: int


def run_seeds(
    name: str, seeds: range, *, jobs: int = 1, progress: Callable[[Outcome], None] | None = None, most_failures: int = 5
) -> Summary:
    """Run the scenario `name` with all seeds, on `jobs` processes; stop after `most_failures`.

    `progress` is called with each part of the whole. With several processes, a seed that takes more than
    `SEED_SECONDS` fails and ends the run. Raises UnknownScenario, and RuntimeError under `python -O`.
    """
    if not __debug__:
        raise RuntimeError("the observers of a simulation assert, and python -O leaves assertions out")
    load_scenario(name)
    started = time.monotonic()
    outcomes: list[Outcome] = []
    batches = deque(seeds[at : at + _BATCH_SEEDS] for at in range(0, len(seeds), _BATCH_SEEDS))
    failures = 0
    with contextlib.closing(_outcomes(name, batches, jobs, most_failures)) as parts:
        for outcome in parts:
            outcomes.append(outcome)
            failures += len(outcome.failures)
            if progress is not None:
                progress(outcome)
            if failures >= most_failures:
                break
    requests, sessions, messages = (sum(outcome.counts[place] for outcome in outcomes) for place in range(3))
    return Summary(
        seeds=sum(outcome.seeds for outcome in outcomes),
        failures=tuple(failed for outcome in outcomes for failed in outcome.failures),
        seconds=time.monotonic() - started,
        virtual_seconds=sum(outcome.virtual_seconds for outcome in outcomes),
        requests=requests,
        sessions=sessions,
        messages=messages,
    )


def _outcomes(name: str, batches: deque[range], jobs: int, most_failures: int) -> Generator[Outcome, None, None]:
    if jobs == 1 or len(batches) == 1:
        for batch in batches:
            yield _run_batch(name, batch, most_failures, lambda _: None)
        return
    workers = [_Worker(name, most_failures) for _ in range(min(jobs, len(batches)))]
    try:
        for worker in workers:
            worker.give(batches.popleft())
        while busy := [worker for worker in workers if worker.batch is not None]:
            ready = multiprocessing.connection.wait([worker.pipe for worker in busy], _LOOK_SECONDS)
            for worker in busy:
                if worker.pipe in ready:
                    yield worker.take()
                    if batches and not worker.is_over:
                        worker.give(batches.popleft())
                elif worker.is_late():
                    yield worker.fail(f"has not ended after {SEED_SECONDS:g} s of the clock on the wall")
                    return
    finally:
        for worker in workers:
            worker.kill()


class _Worker:
    """A process, as its parent sees it."""

    def __init__(self, name: str, most_failures: int) -> None:
        # Not forked: a program that uses this may have threads.
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.batch: range | None = None
        self.is_over = False
        self._name = name
        self._at: Synchronized[int] = context.Value("q", -1)
        self._seen: tuple[int, float] = (-1, 0.0)
        self._process = context.Process(target=_work, args=(name, most_failures, other, self._at), daemon=True)
        self._process.start()
        other.close()  # so that the end of the process can be read here

    def give(self, batch: range) -> None:
        """Let it run some seeds."""
        self.batch = batch
        self._seen = (-1, time.monotonic())
        with contextlib.suppress(BrokenPipeError):  # that it has ended is found when its answer is read
            self.pipe.send(batch)

    def take(self) -> Outcome:
        """Return what came of them; a process that has ended has failed at the seed that it was at."""
        try:
            outcome: Outcome = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            return self.fail(f"ended its process, with status {self._process.exitcode}")
        self.batch = None
        return outcome

    def is_late(self) -> bool:
        """Say whether it has been at one seed for too long. What comes before the first one may take its time."""
        at, now = int(self._at.value), time.monotonic()
        if at != self._seen[0]:
            self._seen = at, now
        return at >= 0 and now - self._seen[1] > SEED_SECONDS

    def fail(self, complaint: str) -> Outcome:
        """Return what is known of seeds that did not come to an end."""
        batch, at = self.batch or range(0), int(self._at.value)
        self.batch, self.is_over = None, True
        seed = at if at in batch else batch.start
        return Outcome(seed - batch.start + 1, (SimulationFailed(self._name, seed, complaint),), 0.0, (0, 0, 0))

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


def _work(name: str, most_failures: int, pipe: Connection[Outcome, range], at: Synchronized[int]) -> None:
    """Run seeds until the parent has gone; in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the parent decides

    def note(seed: int) -> None:
        at.value = seed

    with contextlib.suppress(EOFError, OSError):
        while True:
            pipe.send(_run_batch(name, pipe.recv(), most_failures, note))


def _run_batch(name: str, seeds: range, most_failures: int, note: Callable[[int], None]) -> Outcome:
    scenario = load_scenario(name)
    failures: list[SimulationFailed] = []
    virtual_seconds = 0.0
    count = requests = sessions = messages = 0
    for seed in seeds:
        note(seed)
        count += 1
        try:
            world = run_seed(scenario, seed, name=name)
        except SimulationFailed as failed:
            failures.append(failed)
            if len(failures) >= most_failures:
                break
            continue
        virtual_seconds += world.time
        requests += world.counts["requests"]
        sessions += world.counts["sessions"]
        messages += world.counts["messages"]
    return Outcome(count, tuple(failures), virtual_seconds, (requests, sessions, messages))
