"""Adds up what a provider counts, from one turn to the next and over a whole session.

Providers count in three ways. Some report increments. Some report positions in the audio of the session, of which the
part behind the last known position is new. And some report the same generation several times, more of it each time;
such reports have the same input, and the newest of them counts.
"""

from __future__ import annotations

from collections.abc import Mapping

from ._usage import Report

__all__ = ["Bill"]


class Bill:
    """What was counted since the last turn, and the tokens of the whole session."""

    __slots__ = ("_generation", "_position", "_seconds", "_settled", "tokens")

    def __init__(self) -> None:
        """Start with nothing counted."""
        self._settled: dict[str, int] = {}
        self._generation: Mapping[str, int] = {}
        self._seconds: float | None = None
        self._position = 0.0
        self.tokens: dict[str, int] = {}

    @property
    def is_open(self) -> bool:
        """Whether anything was counted since the last turn."""
        return bool(self._seconds) or any(self._settled.values()) or any(self._generation.values())

    def note(self, report: Report) -> bool:
        """Count what a report says; return whether it counts anything."""
        if report.tokens:
            if report.tokens.get("input") != self._generation.get("input"):
                _add(self._generation, self._settled)
            self._generation = report.tokens
        seconds = report.audio_seconds
        if report.audio_until is not None:
            seconds = max(report.audio_until - self._position, 0.0)
            self._position = max(report.audio_until, self._position)
        if seconds is not None:
            self._seconds = (self._seconds or 0.0) + seconds
        return bool(report.tokens) or seconds is not None

    def close(self) -> tuple[dict[str, int], float | None]:
        """End a turn: return its tokens and seconds of audio."""
        tokens, seconds = self._settled, self._seconds
        _add(self._generation, tokens)
        _add(tokens, self.tokens)
        self._settled, self._generation, self._seconds = {}, {}, None
        return tokens, None if seconds is None else round(seconds, 6)


def _add(counts: Mapping[str, int], into: dict[str, int]) -> None:
    for kind, count in counts.items():
        into[kind] = into.get(kind, 0) + count
