"""Every engine of this project keeps the calling rules, and `check_engine` notices one that does not."""

from __future__ import annotations

import pytest

from aigw_proto._effects import Effect, Journal
from aigw_proto._inputs import BytesReceived, Input, LinkAccepted, ShutdownRequested
from aigw_proto._kinds import LinkId
from aigw_proto.client import ClientEngine, GatewayUrl, OpenConnection, parse_url
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.mock import MockEngine
from aigw_proto.providers import ProviderTable
from aigw_proto.testing import ToyEngine, check_engine

LINK = LinkId(0)
ACCEPTED = LinkAccepted(LINK, "peer")
STOP: list[Input] = [ShutdownRequested(0.0)]
REQUEST = BytesReceived(LINK, b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
VISIT: list[Input] = [ACCEPTED, REQUEST]


def test_the_gateway() -> None:
    config = GatewayConfig(gateways=(GatewaySettings(),), providers=ProviderTable.builtin())
    check_engine(lambda: GatewayEngine(config, random_bytes=bytes, epoch_unix_seconds=0.0), VISIT)


def test_the_mock() -> None:
    check_engine(MockEngine, VISIT)


def test_the_client() -> None:
    url = parse_url("ws://localhost/v1/account/gateway")
    assert isinstance(url, GatewayUrl)
    check_engine(lambda: ClientEngine(random_bytes=bytes), [OpenConnection(url)])


class Correct(ToyEngine):
    """Asks for something, and has a few deadlines."""

    def received(self, event: Input) -> None:
        self.ask(Journal(event))
        self.deadline = self.now + 5.0

    def woken(self) -> None:
        self.ask(Journal("woken"))
        if self.now < 1015.0:
            self.deadline = self.now + 5.0


class Impatient(Correct):
    """Never comes to rest."""

    def woken(self) -> None:
        self.deadline = self.now + 1.0


class Ending(Correct):
    """Drains at its deadline."""

    def woken(self) -> None:
        self.drain()


@pytest.mark.parametrize("engine", [Correct, Impatient, Ending])
def test_a_correct_engine_passes(engine: type[ToyEngine]) -> None:
    check_engine(engine, STOP * 2)


class TakesEverything(Correct):
    def handle(self, event: Input, now: float) -> None:
        self._effects.clear()
        super().handle(event, now)


class LosesEffects(Correct):
    def handle(self, event: Input, now: float) -> None:
        if self._effects:
            self._effects.clear()
            raise RuntimeError
        super().handle(event, now)


class Premature(Correct):
    def __init__(self) -> None:
        super().__init__()
        self.drain()


class Drifting(Correct):
    def next_timeout(self) -> float | None:
        if self.deadline is not None:
            self.deadline += 1.0
        return self.deadline


class Haunted(Correct):
    """Has one more effect when its turn seemed to be drained."""

    def poll(self) -> Effect | None:
        effect = super().poll()
        if effect is None and self.deadline is not None:
            self.deadline = None
            self.ask(Journal("late"))
        return effect


@pytest.mark.parametrize(
    ("engine", "complaint"),
    [
        (TakesEverything, "took ShutdownRequested.* before the turn was drained"),
        (LosesEffects, "made it ask for nothing, or it was lost"),
        (Premature, "an effect before the first turn"),
        (Haunted, "an effect after the turn was drained"),
        (Drifting, "next_timeout\\(\\) changes by being asked"),
    ],
)
def test_a_faulty_engine_is_caught(engine: type[ToyEngine], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_engine(engine, STOP)
