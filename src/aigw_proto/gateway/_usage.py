"""What one event of a provider says about usage, and what the readers of all dialects share.

A reader gets a whole message and returns a report, or None when the message turns out to be about something else. It
never raises for what a message holds: each field is cut out unparsed and looked at by itself, so that one which is not
what it should be costs no other.

Tokens have the same names whoever counts them. `input` is all that was read and `output` all that was generated;
`input_audio`, `input_cached`, `output_reasoning` and the like are parts of these.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias, TypeVar, cast

import msgspec

from .._kinds import record

__all__ = [
    "NESTED",
    "Report",
    "Slice",
    "as_array",
    "as_count",
    "as_name",
    "as_object",
    "as_seconds",
    "decode",
    "plain",
    "take_counts",
]

Slice: TypeAlias = msgspec.Raw | msgspec.UnsetType
_T = TypeVar("_T")

NESTED: Final = rb"[^{}]*+(?:\{[^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+\}[^{}]*+)*+"
"""A regular expression for the members of an object whose own members nest two levels deep at most."""

_MAX_NAME = 128  # ids and names of models are shorter; what is longer has no place in a log
_MAX_COUNT = 1 << 53
_MAX_SECONDS = 1e9
_VALUE: Final = msgspec.json.Decoder()


@record
class Report:
    """What one event says. What it does not say is None or empty.

    `if_counted` makes an event end a turn only when something was counted since the turn before. `audio_seconds` is
    audio that no other event counts; `audio_until` is a position in the audio of the whole session.
    """

    event: str
    ends_turn: bool = False
    if_counted: bool = False
    status: str | None = None
    response_id: str | None = None
    model: str | None = None
    tokens: Mapping[str, int] = dataclasses.field(default_factory=dict[str, int])
    audio_seconds: float | None = None
    audio_until: float | None = None


def decode(decoder: msgspec.json.Decoder[_T], data: Slice | bytes) -> _T | None:
    """Return what `decoder` makes of `data`; None when it is absent or something else."""
    if isinstance(data, msgspec.UnsetType):
        return None
    try:
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def plain(data: Slice | bytes) -> object:
    """Return the value that `data` is the text of; None when it is none."""
    return decode(_VALUE, data)


def as_object(value: object) -> dict[str, object]:
    """Return `value` when it is an object, else an empty one."""
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def as_array(value: object) -> list[object]:
    """Return `value` when it is an array, else an empty one."""
    return cast("list[object]", value) if isinstance(value, list) else []


def as_name(value: object) -> str | None:
    """Return `value` when it is a name fit for a log."""
    return value if isinstance(value, str) and 0 < len(value) <= _MAX_NAME and value.isprintable() else None


def as_count(value: object) -> int | None:
    """Return `value` when it is a whole number that can be a count of tokens."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < _MAX_COUNT else None


def as_seconds(value: object) -> float | None:
    """Return `value` when it is a number that can be a duration."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _MAX_SECONDS else None


def take_counts(source: Iterable[tuple[str, object]], kinds: Mapping[str, str], into: dict[str, int]) -> None:
    """Add the counts in `source` to `into`, under the names that `kinds` has for them. A part of 0 is left out."""
    for key, value in source:
        kind = kinds.get(key)
        count = as_count(value)
        if kind is not None and count is not None and (count or "_" not in kind):
            into[kind] = into.get(kind, 0) + count
