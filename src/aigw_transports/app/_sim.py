"""`aigw sim`: runs scenarios of the simulation from the shell."""

from __future__ import annotations

import re
import signal
import time
from typing import TYPE_CHECKING, TextIO

from ..simulation import SCENARIOS, SimulationFailed, Summary, load_scenario, run_seed, run_seeds

if TYPE_CHECKING:
    from ..simulation import Outcome

__all__ = ["list_scenarios", "parse_seeds", "run_sim"]

_BAR = 30
_SECONDS_BETWEEN_BARS = 0.2
_MOST_TRACE_LINES = 1_000_000


def parse_seeds(text: str) -> range:
    """Return the seeds that `A..B` means, both included, or the one that `A` means. Raises ValueError."""
    found = re.fullmatch(r"(\d{1,18})(?:\.\.(\d{1,18}))?", text, re.ASCII)
    if found is None:
        raise ValueError(f"expected seeds as A..B, got {text!r}")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise ValueError(f"expected seeds as A..B with A not beyond B, got {text!r}")
    return range(first, last + 1)


def list_scenarios() -> str:
    """Return a line for each scenario that comes with the project."""
    lines = [f"  {name:<12}{(scenario.__doc__ or '').partition(chr(10))[0]}" for name, scenario in SCENARIOS.items()]
    return "\n".join(lines)


class _Screen:
    """Failures as they come, and a progress bar on a terminal."""

    def __init__(self, out: TextIO, err: TextIO, total: int) -> None:
        self._out, self._err, self._total = out, err, total
        self.done = self.failed = 0
        self._started = time.monotonic()
        self._drawn_at = 0.0
        self._has_bar = err.isatty()

    def advance(self, outcome: Outcome) -> None:
        self.done += outcome.seeds
        self.failed += len(outcome.failures)
        if outcome.failures:
            self._wipe()
            self._out.write("".join(f"{failed}\n\n" for failed in outcome.failures))
            self._out.flush()
        now = time.monotonic()
        if self._has_bar and (now - self._drawn_at > _SECONDS_BETWEEN_BARS or self.done == self._total):
            self._drawn_at = now
            self._draw(now)

    def _draw(self, now: float) -> None:
        full = _BAR * self.done // self._total
        rate = self.done / max(now - self._started, 1e-9)
        left = (self._total - self.done) / max(rate, 1e-9)
        text = f"{self.done} of {self._total} seeds, {rate:.0f} a second, {left:.0f} s left, {self.failed} failed"
        self._err.write(f"\r[{'#' * full}{' ' * (_BAR - full)}] {text}\x1b[K")
        self._err.flush()

    def _wipe(self) -> None:
        if self._has_bar:
            self._err.write("\r\x1b[K")
            self._err.flush()

    def end(self) -> None:
        if self._has_bar:
            self._err.write("\n")


def run_sim(name: str, seeds: range, *, trace: bool, jobs: int, failures: int, out: TextIO, err: TextIO) -> int:
    """Run a scenario; print what failed, and a summary. The status is 1 when a seed failed. Raises UnknownScenario.

    SIGTERM ends it as Ctrl-C does, with all of its processes.
    """
    if trace:
        return _run_traced(name, seeds, out)
    screen = _Screen(out, err, len(seeds))
    before = signal.signal(signal.SIGTERM, _leave)
    try:
        summary = run_seeds(name, seeds, jobs=jobs, progress=screen.advance, most_failures=failures)
    except (KeyboardInterrupt, SystemExit):
        screen.end()
        err.write(f"interrupted after {_count(screen.done, 'seed')}, {screen.failed} failed\n")
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
    screen.end()
    out.write(_sum_up(name, summary, len(seeds)))
    return 1 if summary.failures else 0


def _leave(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _run_traced(name: str, seeds: range, out: TextIO) -> int:
    scenario = load_scenario(name)
    for seed in seeds:
        try:
            world = run_seed(scenario, seed, trace_lines=_MOST_TRACE_LINES, name=name)
        except SimulationFailed as failed:
            out.writelines(f"{line}\n" for line in failed.trace)
            out.write(f"{name}, seed {seed}: {failed.complaint}\nat {failed.place}\n")
            return 1
        out.writelines(f"{line}\n" for line in world.trace)
        out.write(f"{name}, seed {seed}: held, {world.time:.3f} s of virtual time\n")
    return 0


def _sum_up(name: str, summary: Summary, total: int) -> str:
    failed = f"{len(summary.failures)} FAILED" if summary.failures else "none failed"
    stopped = f", stopped there of {_count(total, 'seed')}" if summary.seeds < total else ""
    lines = [f"{name}: {_count(summary.seeds, 'seed')} in {summary.seconds:.1f} s, {failed}{stopped}"]
    hours = f"{summary.virtual_seconds / 3600:.2f} hours of virtual time"
    if summary.messages:
        what = f"{summary.requests} requests, {summary.sessions} realtime sessions and {summary.messages} messages"
        rate = summary.messages / 10 / max(summary.seconds, 1e-9)
        lines.append(f"{what} in {hours}; {rate:.0f} times ten messages a second")
    else:
        lines.append(hours)
    return "".join(f"{line}\n" for line in lines)
