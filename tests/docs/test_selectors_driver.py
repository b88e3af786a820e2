from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest
from selectors_driver import SelectorsDriver

from aigw_proto import Input, ShutdownRequested
from aigw_proto.testing import SCENARIOS, Addresses, Scenario, check_driver

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto import Engine


class DriverUnderTest:
    """Two drivers that take steps in turn, in one thread."""

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        give_up = time.monotonic() + 30
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connecting is refused, and nobody else gets it
            serving = SelectorsDriver(listener)
            host, port = serving.listen("127.0.0.1", 0)
            addresses = Addresses(host, port, taken.getsockname()[1], "x" * 64 + ".invalid")
            connecting = SelectorsDriver(connector(addresses))
            while connecting.running:
                connecting.step(0.001)
                serving.step(0.001)
                assert time.monotonic() < give_up
            serving.feed(ShutdownRequested(0.0))
            while serving.running:
                serving.step(0.001)
                assert time.monotonic() < give_up


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_the_driver_of_the_documentation_is_a_driver(scenario: Scenario) -> None:
    check_driver(DriverUnderTest, (scenario,))
