"""Echo with this project: the engine on one of its drivers."""

from __future__ import annotations

import functools
import importlib

import anyio
import serving
from fast_echo import EchoEngine

options = serving.arguments(__doc__)
driver_module = "asyncio_protocol" if options.driver == "asyncio" else "anyio"


async def main() -> None:
    """Serve until the process is ended."""
    serve = importlib.import_module(f"aigw_transports.{driver_module}").serve
    async with anyio.create_task_group() as tasks:
        driver = await tasks.start(functools.partial(serve, EchoEngine()))
        serving.listening(driver.addresses[0][1])


serving.run(main, options.loop)
