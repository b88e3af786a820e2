"""Looks at the messages of a realtime session on their way: counts them and finds what the provider says of usage.

It alters and delays nothing. A piece costs two additions; the first bytes of a provider's message decide whether it is
read at all, and only then is it kept until it is whole. What is kept is bounded, also for a message that is not: one
that outgrows the bound is let go, and the next is looked at as if nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .._kinds import record
from ..providers._dialect import Dialect
from ._glance import HEAD_BYTES, Glance, Named, Verdict
from ._usage import Report
from ._usage_openai import REALTIME_EVENTS, RESPONSES_EVENTS, read_openai

__all__ = ["Observer", "Turn"]


@record
class Turn:
    """What happened since the turn before. See `TurnRecord` for the fields."""

    event: str
    status: str | None
    response_id: str | None
    tokens: dict[str, int]
    audio_seconds: float | None
    client_messages: int
    client_bytes: int
    provider_messages: int
    provider_bytes: int
    duration_seconds: float


@record
class _Language:
    glance: Glance
    read: Callable[[bytes], Report | None]
    in_binary: bool = False


_LANGUAGES: Final = {
    Dialect.OPENAI_REALTIME: _Language(Named(REALTIME_EVENTS), read_openai),
    Dialect.OPENAI_RESPONSES: _Language(Named(RESPONSES_EVENTS), read_openai),
}


class Observer:
    """Counts one session. Feed every piece of either side, in order, whole messages or parts of them."""

    __slots__ = (
        "_asked_at",
        "_before",
        "_began_at",
        "_glance",
        "_in_binary",
        "_kept",
        "_kept_bytes",
        "_max_bytes",
        "_pending",
        "_read",
        "_sure",
        "client_bytes",
        "client_messages",
        "model",
        "provider_bytes",
        "provider_messages",
        "tokens",
        "turns",
    )

    def __init__(self, dialect: Dialect, *, now: float, max_bytes: int, model: str | None) -> None:
        """Begin when the session opens. `model` is what the request named; the provider may know better."""
        language = _LANGUAGES.get(dialect)
        self._glance = None if language is None else language.glance
        self._read = None if language is None else language.read
        self._in_binary = language is not None and language.in_binary
        self._max_bytes = max_bytes
        self._kept: list[bytes] | None = None
        self._kept_bytes = 0
        self._sure = False
        self._before = (0, 0, 0, 0)
        self._began_at = now
        self._asked_at: float | None = None
        self._pending: dict[str, int] = {}
        self.model = model
        self.client_messages = 0
        self.client_bytes = 0
        self.provider_messages = 0
        self.provider_bytes = 0
        self.turns = 0
        self.tokens: dict[str, int] = {}

    def client_piece(self, data: bytes, *, text: bool, started: bool, finished: bool, now: float) -> None:
        """Count a piece of a client's message."""
        if started and text and self._asked_at is None:
            self._asked_at = now
        self.client_bytes += len(data)
        if finished:
            self.client_messages += 1

    def provider_piece(self, data: bytes, *, text: bool, started: bool, finished: bool, now: float) -> Turn | None:
        """Count a piece of a provider's message; return the turn that ends with it."""
        self.provider_bytes += len(data)
        if finished:
            self.provider_messages += 1
            if started:
                if (text or self._in_binary) and self._glance is not None and self._glance.whole(data):
                    return self._note(data, now)
                return None
        elif started:
            self._kept = [] if self._glance is not None and (text or self._in_binary) else None
            self._kept_bytes = 0
            self._sure = False
        return self._gather(data, finished=finished, now=now)

    def last(self, now: float) -> Turn | None:
        """Return what the provider counted since the last turn; None when that is nothing."""
        return None if not self._pending else self._end(Report(event="", tokens=self._pending), now)

    def _gather(self, data: bytes, *, finished: bool, now: float) -> Turn | None:
        kept = self._kept
        if kept is None or self._glance is None:
            return None
        kept.append(data)
        self._kept_bytes += len(data)
        if self._kept_bytes > self._max_bytes:
            self._kept = None
        elif finished:
            self._kept = None
            message = b"".join(kept)
            if self._sure or self._glance.whole(message):
                return self._note(message, now)
        elif not self._sure and self._kept_bytes - len(data) < HEAD_BYTES:
            verdict = self._glance.begun(b"".join(kept)[:HEAD_BYTES])
            self._sure = verdict is Verdict.READ
            if verdict is Verdict.PASS:
                self._kept = None
        return None

    def _note(self, message: bytes, now: float) -> Turn | None:
        report = None if self._read is None else self._read(message)
        if report is None:
            return None
        self.model = report.model or self.model
        return self._end(report, now) if report.ends_turn else None

    def _end(self, report: Report, now: float) -> Turn:
        for kind, count in report.tokens.items():
            self.tokens[kind] = self.tokens.get(kind, 0) + count
        self.turns += 1
        counted = (self.client_messages, self.client_bytes, self.provider_messages, self.provider_bytes)
        before, self._before = self._before, counted
        began_at, self._began_at = self._began_at, now
        return Turn(
            event=report.event,
            status=report.status,
            response_id=report.response_id,
            tokens=dict(report.tokens),
            audio_seconds=report.audio_seconds,
            client_messages=counted[0] - before[0],
            client_bytes=counted[1] - before[1],
            provider_messages=counted[2] - before[2],
            provider_bytes=counted[3] - before[3],
            duration_seconds=now - began_at,
        )
