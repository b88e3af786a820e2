"""What a relay adds to the way of one 1 KiB message when nothing else is under way: there and back, halved."""

from __future__ import annotations

import functools

import processes
import relay
from processes import Server
from rounds import Options, Result, Sample, interleave

LOAD = ["--connections", "1", "--size", "1024", "--text"]


def measure(server: Server, seconds: float) -> Sample:
    """Send one message after the other."""
    outcome = processes.load(server, *LOAD, path=relay.PATH, seconds=seconds)
    return {"p50_us": outcome["p50_us"] / 2, "p99_us": outcome["p99_us"] / 2}


def run(options: Options) -> Result:
    """Measure the way through each relay, then take off the way without one."""
    result = Result("latency", reference="tcp")
    case = "1 x 1, 1 KiB text"
    with relay.relays(options) as servers:
        calls = {name: functools.partial(measure, server, options.seconds) for name, server in servers.items()}
        interleave(result, case, calls, options.rounds)
    contenders = result.cases[case]
    for measures in contenders.values():
        for measure_name in ("p50_us", "p99_us"):
            direct = contenders["none"][measure_name]
            measures[f"added_{measure_name}"] = [
                through - without for through, without in zip(measures[measure_name], direct, strict=True)
            ]
    return result
