"""A WebSocket echo client: `python echo_client.py URL`. It sends back what it receives until the server closes.

With `--autobahn`, URL is that of the Autobahn fuzzing server: the client runs all of its cases.
"""

from __future__ import annotations

import argparse
import sys

import anyio
from echo_engine import EchoEngine

from aigw_proto import Input
from aigw_proto.client import parse_url
from aigw_transports.anyio import Driver


async def run(url: str, *, echo: bool = True) -> str | bytes:
    """Run one connection to its end; return the last message when nothing is echoed. Exits when there is none."""
    server = parse_url(url)
    if isinstance(server, str):
        sys.exit(f"{url}: {server}")
    engine = EchoEngine(server, echo=echo)
    driver: Driver[Input] = Driver(engine)
    await driver.run()
    if engine.last is None:
        sys.exit(f"{url}: {engine.problem}")
    return engine.last.received


async def run_autobahn(url: str) -> None:
    """Run all cases of a fuzzing server, then have it write its reports."""
    count = int(await run(f"{url}/getCaseCount", echo=False))
    for case in range(1, count + 1):
        print(f"case {case} of {count}", flush=True)
        await run(f"{url}/runCase?case={case}&agent=aigw")
    await run(f"{url}/updateReports?agent=aigw")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send back every WebSocket message until the server closes.")
    parser.add_argument("url", help="ws://HOST:PORT/PATH or wss://...")
    parser.add_argument("--autobahn", action="store_true", help="run all cases of the Autobahn fuzzing server at URL")
    options = parser.parse_args()
    if options.autobahn:
        anyio.run(run_autobahn, options.url.rstrip("/"))
    else:
        anyio.run(run, options.url)
