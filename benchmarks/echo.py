"""Echo servers, and the handshakes they take in a second."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
from collections.abc import Iterator

import processes
from machine import SERVER_CPU
from processes import Server
from rounds import Options, Result, Sample, interleave, relayed

SCRIPTS: dict[str, list[str]] = {
    "picows": ["echo_picows.py"],
    "aiohttp": ["echo_aiohttp.py"],
    "websockets": ["echo_websockets.py"],
    "aigw": ["echo_aigw.py"],
    "aigw, asyncio loop": ["echo_aigw.py", "--loop", "asyncio"],
    "aigw anyio, asyncio loop": ["echo_aigw.py", "--driver", "anyio", "--loop", "asyncio"],
    "websockets, asyncio loop": ["echo_websockets.py", "--loop", "asyncio"],
}
CASES: dict[str, list[str]] = {
    "50 x 1, 512 B": ["--connections", "50"],
    "10 x 16, 512 B": ["--connections", "10", "--in-flight", "16"],
    "50 x 1, 512 B text": ["--connections", "50", "--text"],
    "10 x 1, 16 KiB": ["--connections", "10", "--size", "16384"],
}


@contextlib.contextmanager
def echoes(options: Options) -> Iterator[dict[str, Server]]:
    """Run all servers; `C` is the provider on their processor, which shows what the load is able to ask for."""
    fast = importlib.util.find_spec("aigw_transports.asyncio_protocol") is not None
    with contextlib.ExitStack() as stack:
        servers = {"C": stack.enter_context(processes.provider(SERVER_CPU))}
        for name, command in SCRIPTS.items():
            if not fast and name.startswith("aigw") and "anyio" not in name:
                continue
            servers[name] = stack.enter_context(processes.started(processes.python(*command), cpu=SERVER_CPU))
        for name, folder in options.also.items():
            command = processes.python(*SCRIPTS["aigw"])
            run = processes.started(command, cpu=SERVER_CPU, environment={"PYTHONPATH": folder})
            servers[f"aigw {name}"] = stack.enter_context(run)
        yield servers


def measure(server: Server, arguments: list[str], seconds: float) -> Sample:
    """Load one server."""
    return relayed(processes.load(server, *arguments, seconds=seconds))


def run(options: Options) -> Result:
    """Measure echoes."""
    result = Result("echo", reference="picows")
    with echoes(options) as servers:
        for case, arguments in CASES.items():
            calls = {
                name: functools.partial(measure, server, arguments, options.seconds) for name, server in servers.items()
            }
            interleave(result, case, calls, options.rounds)
    return result
