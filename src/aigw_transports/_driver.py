"""What the drivers of event loops share: how an engine is joined to its links and sinks, and how its end is noted."""

from __future__ import annotations

import abc
import logging
from typing import TYPE_CHECKING, Generic, TypeVar

from aigw_proto._effects import Connect, Deliver, Journal, Log
from aigw_proto.conductor import Conductor

from ._link_table import LinkPorts, LinkTable

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._inputs import Input
    from aigw_proto._kinds import Engine, LinkId

__all__ = ["BaseDriver", "log_to_standard_library"]

InputT = TypeVar("InputT")
LinkT = TypeVar("LinkT", bound=LinkPorts)


def log_to_standard_library(effect: Log) -> None:
    """Write a `Log` effect to the standard library's logger `aigw`."""
    details = " ".join(f"{name}={value}" for name, value in effect.details.items())
    logging.getLogger("aigw").log(effect.level, "%s %s", effect.message, details, exc_info=effect.exception)


class BaseDriver(LinkTable, abc.ABC, Generic[InputT, LinkT]):
    """Carries out what needs no event loop; a driver adds the rest of `Ports` and a `run()`."""

    _links: dict[LinkId, LinkT]

    def __init__(
        self,
        engine: Engine[InputT | Input],
        clock: Callable[[], float],
        journal: Callable[[object], None] | None,
        log: Callable[[Log], None] | None,
        deliver: Callable[[Deliver], None] | None,
    ) -> None:
        super().__init__()
        self._journal = journal
        self._log = log or log_to_standard_library
        self._deliver = deliver
        self._conductor: Conductor[InputT | Input] = Conductor(engine, self, clock)
        self._addresses: tuple[tuple[str, int], ...] = ()
        self._begun = False
        self._error: Exception | None = None

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Host and port of each listener, as bound."""
        return self._addresses

    @property
    def running(self) -> bool:
        """True while the engine takes inputs: from the start of `run()` until it drained, failed or was cancelled."""
        return self._begun and not self._conductor.ended

    def feed(self, event: InputT | Input) -> None:
        """Give the engine an input of its own kind, or a `ShutdownRequested`; RuntimeError when not `running`."""
        if not self.running:
            raise RuntimeError("the driver is not running")
        self._feed(event)

    def _begin(self) -> None:
        if self._begun or self._conductor.ended:
            raise RuntimeError("a driver runs once")
        self._begun = True

    def _feed(self, event: InputT | Input) -> None:
        try:
            self._conductor.feed(event)
        except Exception as error:  # noqa: BLE001 - whatever it is, run() raises it once all links are closed
            self._fail(error)

    def _wake(self) -> None:
        try:
            self._conductor.wake()
        except Exception as error:  # noqa: BLE001 - see above
            self._fail(error)

    def _fail(self, error: Exception) -> None:
        self._conductor.stop()
        self._error = self._error or error
        self._give_up()

    @abc.abstractmethod
    def _give_up(self) -> None:
        """End `run()`: the engine or a sink has failed."""

    # -- ports

    @abc.abstractmethod
    def connect(self, effect: Connect) -> None:
        """See `Ports`."""

    def journal(self, effect: Journal) -> None:
        """See `Ports`."""
        if self._journal is not None:
            self._journal(effect.entry)

    def log(self, effect: Log) -> None:
        """See `Ports`."""
        self._log(effect)

    def deliver(self, effect: Deliver) -> None:
        """See `Ports`."""
        if self._deliver is not None:
            self._deliver(effect)

    @abc.abstractmethod
    def drained(self) -> None:
        """See `Ports`."""

    @abc.abstractmethod
    def arm(self, deadline: float | None) -> None:
        """See `Ports`."""
