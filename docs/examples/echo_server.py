"""A WebSocket echo server: `python echo_server.py [--host H] [--port P]`. Ctrl-C stops it."""

from __future__ import annotations

import argparse
import contextlib
import functools

import anyio
from echo_engine import EchoEngine

import aigw_transports.anyio
from aigw_proto import Input
from aigw_transports.anyio import Driver


async def main(host: str, port: int) -> None:
    """Serve until cancelled; say where when it is ready."""
    async with anyio.create_task_group() as tasks:
        serve = functools.partial(aigw_transports.anyio.serve, EchoEngine(), host=host, port=port)
        driver: Driver[Input] = await tasks.start(serve)
        bound_host, bound_port = driver.addresses[0]
        print(f"listening on ws://{bound_host}:{bound_port}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Send back every WebSocket message.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        anyio.run(main, options.host, options.port)
