"""Requests and streams to HTTP providers over one WebSocket, 32 under way."""

from __future__ import annotations

import contextlib
import functools
import json

import processes
from handshakes import UNIVERSAL_PATH
from processes import Server
from rounds import Options, Result, Sample, interleave

IN_FLIGHT = 32
CHUNKS = 400
QUERY: dict[str, object] = {"model": "m", "messages": [{"role": "user", "content": "Say hello"}]}
STREAMS = {"streams, a chunk at a time": 6400, "streams, as fast as they come": 0}
"""By case: microseconds between two chunks of a stream. The first is as much as a process can do on a busy machine."""


def message(**more: object) -> str:
    """Return what a client sends for one request."""
    request = {"provider": "openai", "endpoint": "chat/completions", "headers": {"Authorization": "Bearer k"}}
    return json.dumps({"type": "universal.create", "request": {**request, "query": {**QUERY, **more}}})


def requests(server: Server, seconds: float) -> Sample:
    """Keep requests under way on one socket."""
    load = ["--mode", "universal", "--in-flight", str(IN_FLIGHT), "--body", message()]
    return per_item(processes.load(server, *load, path=UNIVERSAL_PATH, seconds=seconds), "done")


def posts(server: Server, seconds: float, path: str = "/v1/chat/completions", headers: str = "") -> Sample:
    """Keep requests under way over HTTP, each on a connection of its own."""
    load = ["--mode", "http", "--connections", str(IN_FLIGHT), "--body", json.dumps(QUERY), "--headers", headers]
    return per_item(processes.load(server, *load, path=path, seconds=seconds), "done")


def streams(server: Server, seconds: float, between: int) -> Sample:
    """Keep streams under way on one socket."""
    body = message(stream=True, max_tokens=CHUNKS, seed=between)
    load = ["--mode", "universal", "--in-flight", str(IN_FLIGHT), "--body", body]
    return per_item(processes.load(server, *load, path=UNIVERSAL_PATH, seconds=seconds), "parts")


def per_item(outcome: Sample, what: str) -> Sample:
    """Return items a second and CPU microseconds an item."""
    count = max(1.0, outcome[what])
    return {
        "rate": count / outcome["seconds"],
        "cpu_us": outcome["cpu_seconds"] / count * 1e6,
        "busy": outcome["cpu_seconds"] / outcome["seconds"],
        "load_busy": outcome["load_cpu_seconds"] / outcome["seconds"],
    }


def run(options: Options) -> Result:
    """Measure the universal API. `none` posts to the provider itself."""
    result = Result("universal", reference="aigw")
    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(processes.provider())
        builds: dict[str, dict[str, str]] = {"aigw": {}, "aigw pure": {"AIGW_PURE": "1"}}
        builds |= {f"aigw {name}": {"PYTHONPATH": folder} for name, folder in options.also.items()}
        servers = {
            name: stack.enter_context(processes.gateway(provider.port, environment=environment))
            for name, environment in builds.items()
        }
        calls = {name: functools.partial(requests, server, options.seconds) for name, server in servers.items()}
        calls["none"] = functools.partial(posts, provider, options.seconds)
        interleave(result, "requests", calls, options.rounds)
        for case, between in STREAMS.items():
            calls = {
                name: functools.partial(streams, server, options.seconds, between) for name, server in servers.items()
            }
            interleave(result, case, calls, options.rounds)
    return result
