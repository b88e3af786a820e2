"""Run benchmarks: python benchmarks/run.py [NAME ...] [--rounds N] [--seconds S] [--also NAME=FOLDER]

All results are medians of short rounds in which every contender had its turn, so that a busy machine slows all alike.
Figures in brackets are in proportion to the contender that the benchmark is held against.
"""

from __future__ import annotations

import argparse
import fcntl
import pathlib
import tempfile

import codec_results
import echo
import handshakes
import latency
import layers
import memory
import peers
import processes
import relay
import scale
import universal
from rounds import RESULTS, Options

BENCHES = {
    "codec": codec_results.run,
    "handshakes": handshakes.run,
    "echo": echo.run,
    "relay": relay.run,
    "latency": latency.run,
    "universal": universal.run,
    "memory": memory.run,
    "sessions": scale.sessions,
    "sizes": scale.sizes,
    "layers": layers.run,
}
MORE = {"peers": peers.run}
"""Only when asked for."""


def main() -> None:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", choices=[[], *BENCHES, *MORE], help="default: all but peers")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.3, help="of each contender in each round")
    parser.add_argument(
        "--also", action="append", default=[], help="another build: a name, and the folder of its source"
    )
    parser.add_argument("--results", type=pathlib.Path, default=RESULTS)
    arguments = parser.parse_args()
    also = dict(item.split("=", 1) for item in arguments.also)
    options = Options(arguments.rounds, arguments.seconds, also)
    processes.build()
    with (pathlib.Path(tempfile.gettempdir()) / "aigw-benchmarks.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two runs on one machine would measure each other
        measure(arguments.names or list(BENCHES), options, arguments.results)


def measure(names: list[str], options: Options, folder: pathlib.Path) -> None:
    """Run benchmarks one after the other; write and print each result as it is there."""
    for name in names:
        result = {**BENCHES, **MORE}[name](options)
        result.write(folder)
        result.show()


if __name__ == "__main__":
    main()
