"""What a realtime provider says: acts, and the talk that makes them.

A talk is one dialect in one session. It says something unasked (`greet`) and answers each message it hears. What it
learns from a message it learns at once; what it says is lazy, so that an answer of any length is made while it is sent,
and one that is cancelled ends early. Talks know nothing of time, links or faults.
"""

from __future__ import annotations

import abc
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from .._kinds import record
from ..ws import Opcode
from ._replies import json_bytes

__all__ = ["Act", "Echo", "Hang", "Say", "SayPiece", "Talk", "say_json"]


@record
class Say:
    """Send a whole message."""

    data: bytes
    text: bool = True


@record
class SayPiece:
    """Send the next fragment of a message."""

    opcode: Opcode
    data: bytes
    finished: bool


@record
class Hang:
    """Send Close with `code`, None for one without a status, and say nothing more."""

    code: int | None
    reason: str = ""


Act: TypeAlias = Say | SayPiece | Hang


class Talk(abc.ABC):
    """One provider's side of one session."""

    subprotocols: tuple[str, ...] = ()
    """The subprotocols that the provider selects, the best first."""
    echoes = False
    """Whether every message comes back as it is, and none is heard."""

    def greet(self) -> Iterable[Act]:
        """Return what the provider says before it is asked anything."""
        return ()

    @abc.abstractmethod
    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take a message of the client and return the answer, to be said behind all that is still to be said."""


class Echo(Talk):
    """Returns what it gets; with `greeting` it says that first."""

    echoes = True

    def __init__(self, subprotocols: tuple[str, ...], greeting: Say | None = None) -> None:
        """Select one of `subprotocols`."""
        self.subprotocols = subprotocols
        self._greeting = greeting

    def greet(self) -> Iterable[Act]:
        """Return the greeting, if there is one."""
        return () if self._greeting is None else (self._greeting,)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Return the message; for sessions that hear whole messages."""
        return (Say(message.encode(), text=True) if isinstance(message, str) else Say(message, text=False),)


def say_json(value: Mapping[str, object], *, text: bool = True) -> Say:
    """Return the message of a JSON object."""
    return Say(json_bytes(value), text)
