"""The cost of a relayed message with few and many sessions, and with small and large messages."""

from __future__ import annotations

import contextlib
import functools

import processes
import relay
from machine import SERVER_CPU
from processes import PacedLoad
from rounds import Options, Result, Sample, interleave, relayed

SESSIONS = (1, 10, 100, 1000, 5000)
WINDOW = 10
SIZES = (64, 512, 4096, 16384, 65536, 262_144, 1_048_576)


def measure(load: PacedLoad) -> Sample:
    """Let the load go on for one round."""
    return relayed(load.measure(), each=2)


def sessions(options: Options) -> Result:
    """Measure with ten messages in flight, which go round through all sessions. Each count has relays of its own."""
    result = Result("sessions", reference="10")
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(processes.provider())
        loads: dict[str, dict[str, PacedLoad]] = {"tcp": {}, "aigw": {}}
        for count in SESSIONS:
            command = processes.python("relay_tcp.py", str(provider.port))
            servers = {
                "tcp": stack.enter_context(processes.started(command, cpu=SERVER_CPU)),
                "aigw": stack.enter_context(processes.gateway(provider.port)),
            }
            arguments = ["--connections", str(count), "--window", str(min(count, WINDOW))]
            for name, server in servers.items():
                paced = processes.paced(server, *arguments, path=relay.PATH, seconds=options.seconds)
                loads[name][str(count)] = stack.enter_context(paced)
        for name, counts in loads.items():
            calls = {count: functools.partial(measure, load) for count, load in counts.items()}
            interleave(result, name, calls, options.rounds)
    return result


def sizes(options: Options) -> Result:
    """Measure with ten sessions that have one message each in flight."""
    result = Result("sizes", reference="tcp")
    with relay.relays(options, variants=False) as servers:
        for size in SIZES:
            load = ["--connections", "10", "--size", str(size)]
            calls = {
                name: functools.partial(relay.measure, server, load, options.seconds)
                for name, server in servers.items()
            }
            interleave(result, str(size), calls, options.rounds)
    return result
