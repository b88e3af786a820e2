"""Relays between a client and a provider: the whole gateway beside what does less."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator

import processes
from machine import SERVER_CPU
from processes import Server
from rounds import Options, Result, Sample, interleave, relayed

PATH = "/v1/bench/bench/openai?model=m"
APART = "/v1/bench/bench/openai?model=apart"
"""A path by which the provider too writes each message by itself."""
CASES: dict[str, list[str]] = {
    "50 x 1, 512 B": ["--connections", "50"],
    "10 x 16, 512 B": ["--connections", "10", "--in-flight", "16"],
    "10 x 16 apart, 512 B": ["--connections", "10", "--in-flight", "16", "--apart"],
    "50 x 1, 512 B text": ["--connections", "50", "--text"],
    "10 x 1, 16 KiB": ["--connections", "10", "--size", "16384"],
}


@contextlib.contextmanager
def relays(options: Options, *, peers: bool = True, variants: bool = True) -> Iterator[dict[str, Server]]:
    """Run all relays, and the provider behind them, which stands among them as `none`."""
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        provider = start(processes.provider())
        port = provider.port
        servers = {"none": provider}

        def script(name: str) -> Server:
            return start(processes.started(processes.python(name, str(port)), cpu=SERVER_CPU))

        servers["tcp"] = script("relay_tcp.py")
        servers["aigw"] = start(processes.gateway(port))
        for name, folder in options.also.items():
            servers[f"aigw {name}"] = start(processes.gateway(port, environment={"PYTHONPATH": folder}))
        if variants:
            servers["aigw pure"] = start(processes.gateway(port, environment={"AIGW_PURE": "1"}))
            servers["aigw anyio"] = start(processes.gateway(port, "--transport", "anyio"))
        if peers:
            for name in ("picows", "aiohttp", "websockets"):
                servers[name] = script(f"relay_{name}.py")
            if processes.haproxy_path():
                servers["haproxy"] = start(processes.haproxy(port))
        yield servers


def measure(server: Server, arguments: list[str], seconds: float) -> Sample:
    """Load one relay."""
    path = APART if "--apart" in arguments else PATH
    return relayed(processes.load(server, *arguments, path=path, seconds=seconds), each=2)


def run(options: Options) -> Result:
    """Measure relays."""
    result = Result("relay", reference="tcp")
    with relays(options) as servers:
        for case, arguments in CASES.items():
            calls = {
                name: functools.partial(measure, server, arguments, options.seconds) for name, server in servers.items()
            }
            interleave(result, case, calls, options.rounds)
    return result
