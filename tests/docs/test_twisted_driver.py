from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.selectreactor import SelectReactor
from twisted_driver import TwistedDriver

from aigw_proto import Engine, Input, ShutdownRequested
from aigw_proto.testing import SCENARIOS, Addresses, Scenario, check_driver
from support.examples import (
    NOBODY,
    PATIENCE_SECONDS,
    check_failure,
    check_no_tls,
    example,
    refusing_port,
    stop_within_a_request,
    talk_to,
)


class DriverUnderTest:
    """Two drivers on one reactor, which is not the one that Twisted installs."""

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        reactor: Any = SelectReactor()
        problems: list[object] = []

        def begin() -> None:
            serving = TwistedDriver(listener, reactor)
            host, port = serving.listen("127.0.0.1", 0)
            ended = serving.start()
            ended.addErrback(problems.append)
            ended.addCallback(lambda _: reactor.stop())
            connecting = TwistedDriver(connector(Addresses(host, port, closed_port, NOBODY)), reactor).start()
            connecting.addErrback(problems.append)
            connecting.addCallback(lambda _: serving.feed(ShutdownRequested(0.0)))

        def give_up() -> None:
            problems.append("it hangs")
            reactor.stop()

        with refusing_port() as closed_port:
            reactor.callWhenRunning(begin)
            reactor.callLater(PATIENCE_SECONDS, give_up)
            reactor.run(installSignalHandlers=False)
        for reader in reactor.removeAll():
            reader.connectionLost(None)
        assert problems == []


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_check_driver(scenario: Scenario) -> None:
    check_driver(DriverUnderTest, (scenario,))


def test_the_gateway_on_it(provider: str) -> None:
    with example("twisted_driver.py", provider=provider) as (process, url):
        talk_to(url)
        stop_within_a_request(process, url)


def run(engine: Engine[Input]) -> None:
    reactor: Any = SelectReactor()
    problems: list[Any] = []

    def begin() -> None:
        TwistedDriver(engine, reactor).start().addErrback(problems.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run(installSignalHandlers=False)
    for reader in reactor.removeAll():
        reader.connectionLost(None)
    for problem in problems:
        raise problem.value


def test_no_tls() -> None:
    check_no_tls(run)


def test_an_engine_that_fails() -> None:
    check_failure(run)
