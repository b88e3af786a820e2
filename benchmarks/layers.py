"""Where a message spends its time in the gateway: samples of its process under load, each counted for one layer.

A sample belongs to the innermost frame that is one of ours, of the loop or of the kernel. So what Python itself does
counts for whoever asked for it. Needs `perf`; without, only the whole is measured.
"""

from __future__ import annotations

import collections
import contextlib
import pathlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator

import processes
import relay
import universal
from handshakes import UNIVERSAL_PATH
from processes import Server
from rounds import Options, Result

WHOLE = "whole process"
LAYERS = {
    "[kernel": "system calls",
    "/uvloop/": "event loop",
    "/aigw_transports/": "driver",
    "/aigw_proto/conductor.": "conductor",
    "/aigw_proto/_transfer.": "conductor",
    "/aigw_proto/ws/": "codec",
    "/aigw_proto/_entropy.": "codec",
    "/aigw_proto/http/": "HTTP",
    "/aigw_proto/": "engine",
}
"""By part of the path of a program or library; the first that fits counts."""
ELSE = "Python"
"""What was called by none of them: what is left of plain Python, and the collector of garbage."""
RELAY = ["--mode", "echo"]
STREAM = universal.message(
    stream=True, max_tokens=universal.CHUNKS, seed=universal.STREAMS["streams, a chunk at a time"]
)
UNIVERSAL = ["--mode", "universal", "--in-flight", str(universal.IN_FLIGHT), "--body"]
CASES: dict[str, tuple[str, list[str], str, int]] = {
    **{
        f"relayed, {case}": (relay.PATH, [*RELAY, *relay.CASES[case]], "done", 2)
        for case in ("50 x 1, 512 B", "10 x 16, 512 B", "10 x 1, 16 KiB")
    },
    "chunk of a stream": (UNIVERSAL_PATH, [*UNIVERSAL, STREAM], "parts", 1),
    "universal request": (UNIVERSAL_PATH, [*UNIVERSAL, universal.message()], "done", 1),
}
"""By name: path, load, what it counts, and how many messages one of it is."""
SAMPLES_PER_SECOND = "997"
STACK_BYTES = "16384"
MEASURED_SECONDS = 1.5
START_SECONDS = 0.4


@contextlib.contextmanager
def sampled(server: Server, file: pathlib.Path) -> Iterator[None]:
    """Take samples of a process."""
    command = ["perf", "record", "-q", "-e", "cpu-clock", "-F", SAMPLES_PER_SECOND, "-o", str(file)]
    command += ["--call-graph", f"dwarf,{STACK_BYTES}", "-p", str(server.pid)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(START_SECONDS)
    try:
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def layer_of(sample: str) -> str:
    """Return the layer of a sample, which is a stack with the innermost frame first."""
    for frame in sample.splitlines():
        for part, layer in LAYERS.items():
            if part in frame:
                return layer
    return ELSE


def counts(file: pathlib.Path) -> collections.Counter[str]:
    """Count samples by layer."""
    command = ["perf", "script", "-i", str(file), "-F", "ip,sym,dso"]
    text = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return collections.Counter(layer_of(sample) for sample in text.split("\n\n") if sample.strip())


def run(_options: Options) -> Result:
    """Measure once each."""
    result = Result("layers", reference=WHOLE)
    with (
        tempfile.TemporaryDirectory() as folder,
        processes.provider() as provider,
        processes.gateway(provider.port) as gateway,
    ):
        file = pathlib.Path(folder) / "samples"
        for case, (path, load, counted, each) in CASES.items():
            with contextlib.ExitStack() as stack:
                running = stack.enter_context(processes.paced(gateway, *load, path=path, seconds=MEASURED_SECONDS))
                if shutil.which("perf"):
                    stack.enter_context(sampled(gateway, file))
                outcome = running.measure()
            cost = outcome["cpu_seconds"] / max(1.0, outcome[counted] * each) * 1e6
            result.add(case, WHOLE, {"cpu_us": cost})
            found = counts(file) if file.exists() else collections.Counter[str]()
            for layer in dict.fromkeys([*LAYERS.values(), ELSE]):
                if found:
                    result.add(case, layer, {"cpu_us": cost * found[layer] / found.total()})
            file.unlink(missing_ok=True)
    return result
