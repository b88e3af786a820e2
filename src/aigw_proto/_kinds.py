"""The words that every layer shares: link ids, roles, signals, records, and the two interfaces.

A *machine* understands one protocol on one byte stream. An *engine* owns many links and decides what happens on
all of them. Neither performs I/O, reads a clock or draws randomness: time comes in as an argument, bytes come in and
go out as values.
"""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, NewType, Protocol, TypeVar, dataclass_transform

if TYPE_CHECKING:
    from ._effects import Effect

__all__ = ["Engine", "LinkId", "Machine", "Role", "Signal", "record"]

LinkId = NewType("LinkId", int)
"""Names one byte stream for the life of an engine; never reused.

Links that the driver opened (accepted) are even, links that the engine opened (`Connect`) are odd, so that both sides
number them without asking each other, as QUIC does with its streams (RFC 9000 section 2.1).
"""

_T = TypeVar("_T")
EventT_co = TypeVar("EventT_co", covariant=True)
InputT_contra = TypeVar("InputT_contra", contravariant=True)


@dataclass_transform(frozen_default=True)
def record(cls: type[_T]) -> type[_T]:
    """Make a slotted dataclass that type checkers treat as frozen.

    Freezing at run time would cost an `object.__setattr__` per field on the hot path; the type checker forbids
    assignment for free.
    """
    return dataclasses.dataclass(slots=True)(cls)


class Role(enum.Enum):
    """Which end of a connection a machine plays."""

    CLIENT = "client"
    SERVER = "server"


class Signal(enum.Enum):
    """What `Machine.next_event()` returns when there is no event."""

    NEED_DATA = "feed more bytes, or let time pass"
    BLOCKED = "the next step is yours; more bytes will not help"
    SWITCHED = "this protocol is over; take unconsumed() to its successor"


class Machine(Protocol[EventT_co]):
    """One protocol on one byte stream.

    Peer mistakes are events; caller mistakes raise `LocalProtocolError` and change nothing. A terminal event comes
    exactly once; after it, input is ignored. `now` is monotonic seconds and never decreases.
    """

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes from the peer; parses nothing."""
        ...

    def receive_eof(self, now: float) -> None:
        """Note that the peer will send no more bytes; idempotent."""
        ...

    def next_event(self) -> EventT_co | Signal:
        """Parse one event and move the state with it, or say why there is none. Never raises for a peer's bytes."""
        ...

    def data_to_send(self) -> list[bytes]:
        """Move the pending output to the caller; empty when there is none."""
        ...

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in monotonic seconds, or None. Ask again after every other call."""
        ...

    def handle_timeout(self, now: float) -> None:
        """Let time pass; early and late calls are harmless."""
        ...


class Engine(Protocol[InputT_contra]):
    """Many links and all sessions on them. Only `aigw_proto.conductor.Conductor` calls an engine."""

    def handle(self, event: InputT_contra, now: float) -> None:
        """Take one input. Raises RuntimeError when effects of the turn before were not all polled."""
        ...

    def handle_timeout(self, now: float) -> None:
        """Let time pass; early and late calls are harmless."""
        ...

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, `now` itself when work remains, or None."""
        ...

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn; None when the turn is drained."""
        ...
