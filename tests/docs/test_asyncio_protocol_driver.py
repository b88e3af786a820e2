from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from asyncio_protocol_driver import AsyncioDriver

from aigw_proto import Engine, Input, ShutdownRequested
from aigw_proto.testing import SCENARIOS, Addresses, Scenario, check_driver
from support.examples import (
    NOBODY,
    PATIENCE_SECONDS,
    check_failure,
    check_tls,
    example,
    refusing_port,
    stop_within_a_request,
    talk_to,
)


class DriverUnderTest:
    """Two drivers on one loop."""

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        with refusing_port() as closed_port:
            asyncio.run(asyncio.wait_for(self.main(listener, connector, closed_port), PATIENCE_SECONDS))

    async def main(
        self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]], closed_port: int
    ) -> None:
        serving = AsyncioDriver(listener)
        host, port = await serving.listen("127.0.0.1", 0)
        running = asyncio.create_task(serving.run())
        await AsyncioDriver(connector(Addresses(host, port, closed_port, NOBODY))).run()
        serving.feed(ShutdownRequested(0.0))
        await running


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_check_driver(scenario: Scenario) -> None:
    check_driver(DriverUnderTest, (scenario,))


def test_the_gateway_on_it(provider: str) -> None:
    with example("asyncio_protocol_driver.py", provider=provider) as (process, url):
        talk_to(url)
        stop_within_a_request(process, url)


def run(engine: Engine[Input]) -> None:
    async def main() -> None:
        await AsyncioDriver(engine).run()

    asyncio.run(asyncio.wait_for(main(), PATIENCE_SECONDS))


def test_tls(tmp_path: Path) -> None:
    check_tls(run, tmp_path)


def test_an_engine_that_fails() -> None:
    check_failure(run)
