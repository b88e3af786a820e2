"""Run the fuzz targets under atheris: `make fuzz SECONDS=60 TARGET=codec`, or all of them.

Each target runs in a process of its own, starts from its committed corpus and keeps what it finds in a scratch folder.
`--keep` merges the inputs that reach something new into the corpus. A finding is left in `fuzz-findings/`, its
traceback and the command that replays it are printed, and the exit status is 1. `--replay FILE` runs one input without
atheris.
"""

from __future__ import annotations

import argparse
import importlib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

HERE = Path(__file__).parent
CORPORA = HERE / "corpora"
WORDS = HERE / "words.txt"
FINDINGS = Path("fuzz-findings")
FOUND = "found-"  # begins the names of inputs that once failed, which stay whether they reach anything new or not
MAX_INPUT_BYTES = 4096
UNIT_SECONDS = 20  # one input: more is a finding
MAX_MEMORY_MIB = 1024
GRACE_SECONDS = 120  # importing and instrumenting, and reading the corpus
_STATISTICS = {"executions": rb"stat::number_of_executed_units:\s*(\d+)", "rate": rb"exec_per_sec:\s*(\d+)"}
_COVERAGE = re.compile(rb"cov: (\d+) ft: (\d+)(?: corp: (\d+))?")


class Target(Protocol):
    """A module `fuzz_NAME`."""

    def test_one_input(self, data: bytes) -> None:
        """Check one input; raise when the invariant does not hold."""
        ...


def names() -> list[str]:
    """Return the names of all targets."""
    return sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.py"))


def target(name: str) -> Target:
    """Import a target."""
    return cast("Target", importlib.import_module(f"fuzz.fuzz_{name}"))


def corpus(name: str) -> list[Path]:
    """Return the committed inputs of a target."""
    return sorted((CORPORA / name).iterdir())


def fuzz_here(name: str, options: Sequence[str]) -> None:
    """Hand this process to libFuzzer; does not return."""
    atheris: Any = importlib.import_module("atheris")  # not where the targets are only replayed, and without types
    with atheris.instrument_imports(include=["aigw_proto", "aigw_transports", "h11"]):
        module = target(name)
    # For a merge, libFuzzer starts itself again through a shell, by this name.
    itself = shlex.join([sys.executable, "-m", "fuzz.run", "--here", name])
    atheris.Setup([itself, *options], module.test_one_input)
    atheris.Fuzz()


def fuzz(name: str, seconds: int, scratch: Path) -> bool:
    """Run one target in a process of its own and print a line about it; return whether it found something."""
    FINDINGS.mkdir(exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={MAX_INPUT_BYTES}",
        f"-timeout={UNIT_SECONDS}",
        f"-rss_limit_mb={MAX_MEMORY_MIB}",
        f"-artifact_prefix={FINDINGS}/{name}-",
        "-print_final_stats=1",
        f"-dict={WORDS}",
        str(scratch),
        str(CORPORA / name),
    ]
    finished = _run(name, options, timeout=seconds + GRACE_SECONDS)
    output = finished.stderr + finished.stdout
    numbers = {key: _last(pattern, output) for key, pattern in _STATISTICS.items()}
    coverage = _COVERAGE.findall(output)
    edges, features, kept = coverage[-1] if coverage else (b"0", b"0", b"0")
    found = finished.returncode != 0
    print(
        f"{name:24} {numbers['executions']:>9} inputs {numbers['rate']:>6}/s  {int(edges):>5} edges "
        f"{int(features):>6} features  corpus {int(kept or 0):>5}  {'FOUND SOMETHING' if found else 'nothing found'}",
        flush=True,
    )
    if found:
        _explain(name, output)
    return found


def _run(name: str, options: Sequence[str], timeout: float) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "fuzz.run", "--here", name, *options]
    path = os.pathsep.join([str(HERE.parent), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    return subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, timeout=timeout, check=False
    )


def _last(pattern: bytes, output: bytes) -> int:
    values = cast("list[bytes]", re.findall(pattern, output))
    return int(values[-1]) if values else 0


def _explain(name: str, output: bytes) -> None:
    text = output.decode("utf-8", "replace")
    start = text.find("=== Uncaught Python exception")
    print(text[start if start >= 0 else -4000 :][:4000])
    for line in re.findall(r"Test unit written to (\S+)", text):
        print(f"replay it with: PYTHONPATH=tests {sys.executable} -m fuzz.run --replay {line} {name}")


def keep(name: str, scratch: Path) -> None:
    """Make the corpus anew from the fewest inputs, old and new, that reach all that is reached."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["-merge=1", f"-max_len={MAX_INPUT_BYTES}", folder, str(CORPORA / name), str(scratch)]
        finished = _run(name, options, timeout=600)
        if finished.returncode != 0:
            raise SystemExit(finished.stderr.decode("utf-8", "replace"))
        if not any(Path(folder).iterdir()):
            raise SystemExit(f"nothing came of the merge: {finished.stderr.decode('utf-8', 'replace')}")
        for path in corpus(name):
            if not path.name.startswith(FOUND):
                path.unlink()
        for path in sorted(Path(folder).iterdir()):
            (CORPORA / name / path.name).write_bytes(path.read_bytes())
    print(f"{name:24} {len(corpus(name))} inputs in the corpus, {sum(map(_size, corpus(name)))} bytes")


def _size(path: Path) -> int:
    return path.stat().st_size


def main(arguments: Sequence[str]) -> int:
    """Run what the command line asks for."""
    if arguments[:1] == ["--here"]:
        fuzz_here(arguments[1], arguments[2:])
        return 0
    parser = argparse.ArgumentParser(prog="python -m fuzz.run", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"one of {', '.join(names())}; all by default")
    parser.add_argument("--seconds", type=int, default=60, help="how long each target runs")
    parser.add_argument("--keep", action="store_true", help="merge new inputs into the committed corpus")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="run one input through the target")
    options = parser.parse_args(arguments)
    chosen: list[str] = options.targets or names()
    if unknown := [name for name in chosen if name not in names()]:
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(names())}")
    if options.replay is not None:
        for name in chosen:
            target(name).test_one_input(options.replay.read_bytes())
        return 0
    found = False
    for name in chosen:
        with tempfile.TemporaryDirectory() as folder:
            if fuzz(name, options.seconds, Path(folder)):
                found = True
            elif options.keep:
                keep(name, Path(folder))
    return int(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
