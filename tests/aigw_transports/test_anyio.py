from __future__ import annotations

import functools
import socket
from collections.abc import Callable

import anyio
import pytest

from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto._kinds import Engine
from aigw_proto.testing import SCENARIOS, Addresses, Scenario, check_driver
from aigw_transports.anyio import Driver, serve


class AnyioDriver:
    """The anyio driver under test, on one backend."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        anyio.run(self.main, listener, connector, backend=self.backend)

    async def main(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        with socket.socket() as taken, anyio.fail_after(30):
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connecting is refused, and nobody else gets it
            closed_port: int = taken.getsockname()[1]
            async with anyio.create_task_group() as tasks:
                driver: Driver[Input] = await tasks.start(functools.partial(serve, listener))
                host, port = driver.addresses[0]
                addresses = Addresses(host, port, closed_port, "x" * 64 + ".invalid")  # no name has so long a label
                await Driver(connector(addresses)).run()
                driver.feed(ShutdownRequested(0.0))


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_check_driver(scenario: Scenario, backend: str) -> None:
    check_driver(lambda: AnyioDriver(backend), (scenario,))
