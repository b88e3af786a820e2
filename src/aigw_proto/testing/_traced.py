"""Readable lines for inputs and effects, and an engine wrapper that writes them."""

from __future__ import annotations

import dataclasses
import enum
from typing import TYPE_CHECKING, Generic, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable

    from .._effects import Effect
    from .._kinds import Engine

__all__ = ["Traced", "describe"]

InputT = TypeVar("InputT")
_MOST_BYTES = 60  # or characters, of one value: enough to recognise a request line or a frame
_MOST_ITEMS = 8


def describe(value: object) -> str:
    """Return a short one-line form of a record, with long bytes and texts cut: `SendBytes(link=0, chunks=[b'hi'])`."""
    if isinstance(value, (bytes, str)):
        more = len(value) - _MOST_BYTES
        return repr(value) if more <= 0 else f"{value[:_MOST_BYTES]!r}+{more}"
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, (list, tuple)):
        items = cast("list[object] | tuple[object, ...]", value)
        inside = ", ".join(map(describe, items[:_MOST_ITEMS]))
        rest = f", and {len(items) - _MOST_ITEMS} more" if len(items) > _MOST_ITEMS else ""
        return f"[{inside}{rest}]" if isinstance(value, list) else f"({inside}{rest})"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (f"{field.name}={describe(getattr(value, field.name))}" for field in dataclasses.fields(value))
        return f"{type(value).__name__}({', '.join(fields)})"
    return repr(value)


class Traced(Generic[InputT]):
    """Wraps an engine and writes each input (`<`), wake and effect (`>`) as a line: `0.002 gateway < PeerClosed(…)`."""

    def __init__(self, engine: Engine[InputT], name: str, write: Callable[[str], None]) -> None:
        """Write what passes through `engine`, called `name`."""
        self._engine = engine
        self._name = name
        self._write = write
        self._now = 0.0

    def handle(self, event: InputT, now: float) -> None:
        """Write the input and pass it on."""
        self._now = now
        self._line("<", describe(event))
        self._engine.handle(event, now)

    def handle_timeout(self, now: float) -> None:
        """Write that time passed and pass it on."""
        self._now = now
        self._line("<", "wake")
        self._engine.handle_timeout(now)

    def next_timeout(self) -> float | None:
        """Return the engine's next deadline."""
        return self._engine.next_timeout()

    def poll(self) -> Effect | None:
        """Poll one effect and write it."""
        effect = self._engine.poll()
        if effect is not None:
            self._line(">", describe(effect))
        return effect

    def _line(self, arrow: str, text: str) -> None:
        self._write(f"{self._now:.6f} {self._name} {arrow} {text}")
