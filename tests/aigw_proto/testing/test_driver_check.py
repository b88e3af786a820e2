"""`check_driver` accepts the memory world and catches drivers that do otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto._kinds import Engine, LinkId
from aigw_proto.testing import SCENARIOS, Addresses, check_driver
from aigw_transports.memory import Host, World

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


class Correct:
    """The memory world; subclasses spoil it."""

    host_class: type[Host[Input]] = Host

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        world = World()
        listening = world.host("listener", listener, port=1)
        connecting = world.host("connector", connector(self.addresses()))
        self.spoil(listening)
        self.spoil(connecting)
        world.run(until=lambda: connecting.has_drained)
        if self.shut_down:
            listening.feed(ShutdownRequested(0.0))
        world.run()

    shut_down = True

    def addresses(self) -> Addresses:
        return Addresses("listener", 1, 2, "nowhere")

    def spoil(self, host: Host[Input]) -> None:
        """Override: break something."""


def test_a_correct_driver_passes() -> None:
    check_driver(Correct)


class NeverEnds(Correct):
    shut_down = False


class Misrouted(Correct):
    def addresses(self) -> Addresses:
        return Addresses("listener", 1, 1, "nowhere")


class AbortsInsteadOfFlushing(Correct):
    def spoil(self, host: Host[Input]) -> None:
        close = host.close
        host.close = lambda link, how: close(link, CloseHow.ABORT)  # type: ignore[method-assign] # the fault


class ForgetsToHalfClose(Correct):
    def spoil(self, host: Host[Input]) -> None:
        host.end_sending = lambda link: None  # type: ignore[method-assign] # the fault


class Garbles(Correct):
    def spoil(self, host: Host[Input]) -> None:
        send = host.send

        def garbled(link: LinkId, chunks: list[bytes]) -> int:
            return send(link, [bytes(len(chunk)) for chunk in chunks])

        host.send = garbled  # type: ignore[method-assign] # the fault


class Deaf(Correct):
    def spoil(self, host: Host[Input]) -> None:
        host.arm = lambda deadline: None  # type: ignore[method-assign] # the fault


@pytest.mark.parametrize(
    ("driver", "scenario", "complaint"),
    [
        (NeverEnds, "echo", "listening side: the driver ended before the engine had drained"),
        (Misrouted, "refused", "everything came to rest"),
        (AbortsInsteadOfFlushing, "close with a backlog", "connecting side: expected"),
        (ForgetsToHalfClose, "transfer both ways", "everything came to rest"),
        (Garbles, "transfer both ways", "driver: wrong bytes at offset 0"),
        (Deaf, "transfer both ways", "everything came to rest"),
    ],
)
def test_a_faulty_driver_is_caught(driver: type[Correct], scenario: str, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        check_driver(driver, (BY_NAME[scenario],))


def test_links_that_should_not_be_are_noticed() -> None:
    quiet = dataclasses.replace(BY_NAME["echo"], accepted=())
    with pytest.raises(AssertionError, match="listening side: expected links like"):
        check_driver(Correct, (quiet,))
