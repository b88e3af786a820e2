"""The stages that the fidelity table is played on."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from support.process import Process
from support.realtime_loop import Loop
from support.realtime_stage import SMALL, MemoryStage, SocketStage, Stage, serving_relay

if TYPE_CHECKING:
    from collections.abc import Iterator

DIRECT, RELAYS = ["memory-direct", "sockets-direct"], ["memory", "process"]


class Theatre:
    """The sockets and processes that the tests share."""

    def __init__(self) -> None:
        self.stack = ExitStack()
        self.loop = Loop(SMALL)
        self.stack.callback(self.loop.close)
        self._gateways: dict[bool, Process] = {}

    def gateway(self, *, hurried: bool) -> Process:
        if hurried not in self._gateways:
            serving = serving_relay(self.loop.port, self.loop.dead_port, hurried=hurried)
            self._gateways[hurried] = self.stack.enter_context(serving)
        return self._gateways[hurried]

    def stage(self, kind: str, *, hurried: bool = False) -> Stage:
        match kind:
            case "memory":
                return MemoryStage(relay=True, hurried=hurried)
            case "memory-direct":
                return MemoryStage(relay=False)
            case "process":
                return SocketStage(self.loop, self.gateway(hurried=hurried))
            case _:
                return SocketStage(self.loop, None)


@pytest.fixture(scope="session")
def theatre() -> Iterator[Theatre]:
    theatre = Theatre()
    with theatre.stack:
        yield theatre


def played(stage: Stage) -> Iterator[Stage]:
    """Give the stage to a test; see that nothing stays open, and clear what a failed test has left."""
    try:
        yield stage
        stage.finish()
    finally:
        stage.clear()


@pytest.fixture(params=[*DIRECT, *RELAYS])
def stage(request: pytest.FixtureRequest, theatre: Theatre) -> Iterator[Stage]:
    """With a gateway and without: it must not make a difference."""
    yield from played(theatre.stage(request.param))


@pytest.fixture(params=RELAYS)
def relay(request: pytest.FixtureRequest, theatre: Theatre) -> Iterator[Stage]:
    """With a gateway: for what only a gateway does."""
    yield from played(theatre.stage(request.param))


@pytest.fixture(params=RELAYS)
def hurried(request: pytest.FixtureRequest, theatre: Theatre) -> Iterator[Stage]:
    """With a gateway that does not wait long for anything."""
    yield from played(theatre.stage(request.param, hurried=True))
