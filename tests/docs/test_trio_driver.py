from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from trio_driver import TrioDriver

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
            trio.run(self.main, listener, connector, closed_port)

    async def main(
        self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]], closed_port: int
    ) -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            serving = TrioDriver(listener)
            host, port = await serving.listen("127.0.0.1", 0)
            async with trio.open_nursery() as tasks:
                tasks.start_soon(serving.run)
                await TrioDriver(connector(Addresses(host, port, closed_port, NOBODY))).run()
                serving.feed(ShutdownRequested(0.0))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_check_driver(scenario: Scenario) -> None:
    check_driver(DriverUnderTest, (scenario,))


def test_the_gateway_on_it(provider: str) -> None:
    with example("trio_driver.py", provider=provider) as (process, url):
        talk_to(url)
        stop_within_a_request(process, url)


def run(engine: Engine[Input]) -> None:
    async def main() -> None:
        with trio.fail_after(PATIENCE_SECONDS):
            await TrioDriver(engine).run()

    trio.run(main)


def test_tls(tmp_path: Path) -> None:
    check_tls(run, tmp_path)


def test_an_engine_that_fails() -> None:
    check_failure(run)
