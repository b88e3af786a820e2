"""Opening handshakes a second: connect, upgrade, close and again, eight at a time."""

from __future__ import annotations

import functools

import echo
import processes
import relay
from processes import Server
from rounds import Options, Result, Sample, interleave, relayed

LOAD = ["--mode", "handshakes", "--connections", "8"]
UNIVERSAL_PATH = "/v1/bench/bench"


def measure(server: Server, path: str, seconds: float) -> Sample:
    """Open and close sockets of one server."""
    return relayed(processes.load(server, *LOAD, path=path, seconds=seconds))


def run(options: Options) -> Result:
    """Measure handshakes, with servers and through relays."""
    result = Result("handshakes", reference="picows")
    with echo.echoes(options) as servers, processes.gateway(next(iter(servers.values())).port) as gateway:
        calls = {name: functools.partial(measure, server, "/", options.seconds) for name, server in servers.items()}
        calls["aigw gateway"] = functools.partial(measure, gateway, UNIVERSAL_PATH, options.seconds)
        interleave(result, "server", calls, options.rounds)
    with relay.relays(options, variants=False) as servers:
        calls = {
            name: functools.partial(measure, server, relay.PATH, options.seconds) for name, server in servers.items()
        }
        interleave(result, "relay", calls, options.rounds)
    return result
