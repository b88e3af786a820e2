"""`check_driver`: the one suite that every driver passes, so that they cannot drift apart.

Two engines talk to each other through the driver under test; both are `Checked`, and what each of them experiences is
noted as a *control trace*: the inputs and effects of a link in order, without what a driver may vary (how bytes are cut
and when a backlog is reported) and with the number of bytes instead. A trace must be equal to the scenario's, which the
memory world gives as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from .._effects import CloseLink, Connect, EndSending, SendBytes, SetReading
from .._inputs import BytesReceived, ConnectFailed, Input, LinkAccepted, LinkConnected, PeerClosed
from ._checked import Checked
from ._scenario_engines import Addresses
from ._scenarios import SCENARIOS, Scenario

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._effects import Effect
    from .._kinds import Engine, LinkId

__all__ = ["DriverUnderTest", "check_driver"]


class DriverUnderTest(Protocol):
    """What `check_driver` needs to know about a driver."""

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        """Run `listener` at a free address and, on a driver of its own, the engine that `connector` makes.

        When the connecting engine has drained, feed `ShutdownRequested(0.0)` to `listener`; return when that has
        drained, too. An exception of an engine must come out of here; a driver that hangs should be given up after
        half a minute.
        """
        ...


def check_driver(make_driver: Callable[[], DriverUnderTest], scenarios: tuple[Scenario, ...] = SCENARIOS) -> None:
    """Run all scenarios, each on a driver of its own. Raises AssertionError when the driver does otherwise."""
    for scenario in scenarios:
        _check(make_driver(), scenario)


def _check(driver: DriverUnderTest, scenario: Scenario) -> None:
    listener = _Recorder(Checked(scenario.listener()), counted=scenario.counted)
    connectors: list[_Recorder] = []

    def connect(addresses: Addresses) -> _Recorder:
        connectors.append(_Recorder(Checked(scenario.connector(addresses)), counted=scenario.counted))
        return connectors[-1]

    driver.run(listener, connect)
    _compare(scenario, "connecting", connectors[-1], scenario.connected)
    _compare(scenario, "listening", listener, scenario.accepted)


class _Recorder:
    """Wraps an engine and notes its control trace."""

    def __init__(self, engine: Checked[Input], *, counted: bool) -> None:
        self._engine = engine
        self._counted = counted
        self._traces: dict[LinkId, list[str]] = {}
        self._received: dict[LinkId, int] = {}
        self._sent: dict[LinkId, int] = {}

    @property
    def drained(self) -> bool:
        return self._engine.drained

    def traces(self) -> list[tuple[str, ...]]:
        """Return the control trace of each link, in order of birth."""
        traces: list[tuple[str, ...]] = []
        for link, steps in self._traces.items():
            counts = (f"received {self._received.get(link, 0)} bytes", f"sent {self._sent.get(link, 0)} bytes")
            traces.append((*steps, *counts) if self._counted else tuple(steps))
        return traces

    def handle(self, event: Input, now: float) -> None:
        match event:
            case LinkAccepted(link) | LinkConnected(link):
                self._note(link, type(event).__name__)
            case ConnectFailed(link, failure):
                self._note(link, f"ConnectFailed {failure.name}")
            case PeerClosed(link, clean):
                self._note(link, "PeerClosed clean" if clean else "PeerClosed broken")
            case BytesReceived(link, data):
                self._received[link] = self._received.get(link, 0) + len(data)
            case _:
                pass
        self._engine.handle(event, now)

    def handle_timeout(self, now: float) -> None:
        self._engine.handle_timeout(now)

    def next_timeout(self) -> float | None:
        return self._engine.next_timeout()

    def poll(self) -> Effect | None:
        effect = self._engine.poll()
        match effect:
            case Connect(link) | EndSending(link):
                self._note(link, type(effect).__name__)
            case SetReading(link, enabled):
                self._note(link, f"SetReading {enabled}")
            case CloseLink(link, how):
                self._note(link, f"CloseLink {how.name}")
            case SendBytes(link, chunks):
                self._sent[link] = self._sent.get(link, 0) + sum(map(len, chunks))
            case _:
                pass
        return effect

    def _note(self, link: LinkId, step: str) -> None:
        self._traces.setdefault(link, []).append(step)


def _compare(scenario: Scenario, side: str, recorder: _Recorder, expected: tuple[str, ...] | None) -> None:
    where = f"scenario {scenario.name!r}, {side} side"
    if not recorder.drained:
        raise AssertionError(f"{where}: the driver ended before the engine had drained")
    if expected is None:
        return
    traces = recorder.traces()
    if bool(traces) != bool(expected):
        raise AssertionError(f"{where}: expected links like {expected}, got {traces}")
    for trace in traces:
        equal = trace == expected if scenario.ordered else sorted(trace) == sorted(expected)
        if not equal:
            raise AssertionError(f"{where}: expected\n  {expected}\ngot\n  {trace}")
