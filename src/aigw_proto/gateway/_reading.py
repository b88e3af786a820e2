"""Reads what a provider says of usage out of its messages, of which most are not read at all.

A message that comes in several pieces is kept while it may be worth reading, up to a bound. When it outgrows that, only
its two ends are kept: usage stands at the end of the messages that can be so large. The next message is looked at as if
nothing had happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from .._kinds import record
from ..providers import Dialect
from ._glance import HEAD_BYTES, Glance, Marked, Named, Verdict
from ._usage import Report
from ._usage_gemini import GEMINI_MARKS, read_gemini, read_gemini_ends
from ._usage_openai import REALTIME_EVENTS, RESPONSES_EVENTS, read_openai, read_openai_ends
from ._usage_speech import (
    AGENT_EVENTS,
    CARTESIA_EVENTS,
    DEEPGRAM_EVENTS,
    DEEPGRAM_MARKS,
    ELEVENLABS_MARKS,
    FAL_EVENTS,
    read_agent,
    read_cartesia,
    read_deepgram,
    read_elevenlabs,
    read_fal,
)

__all__ = ["Reader"]

_END_BYTES = 16 * 1024  # behind the usage of a response stand its metadata: 16 pairs of up to 576 bytes


def _nothing(head: bytes, tail: bytes) -> Report | None:  # noqa: ARG001 - the form of a reader of ends
    return None


@record
class _Language:
    """How the messages of a dialect are recognised and read."""

    glance: Glance
    read: Callable[[bytes], Report | None]
    read_ends: Callable[[bytes, bytes], Report | None] = _nothing
    in_binary: bool = False


_LANGUAGES: Final = {
    Dialect.OPENAI_REALTIME: _Language(Named(REALTIME_EVENTS), read_openai, read_openai_ends),
    Dialect.OPENAI_RESPONSES: _Language(Named(RESPONSES_EVENTS), read_openai, read_openai_ends),
    Dialect.GEMINI_LIVE: _Language(Marked(GEMINI_MARKS), read_gemini, read_gemini_ends, in_binary=True),
    Dialect.ELEVENLABS_AGENT: _Language(Named(AGENT_EVENTS), read_agent),
    Dialect.ELEVENLABS_SPEECH: _Language(Marked(ELEVENLABS_MARKS), read_elevenlabs),
    Dialect.CARTESIA: _Language(Named(CARTESIA_EVENTS), read_cartesia),
    Dialect.DEEPGRAM: _Language(Named(DEEPGRAM_EVENTS, marks=DEEPGRAM_MARKS), read_deepgram),
    Dialect.FAL: _Language(Named(FAL_EVENTS), read_fal),
}


class Reader:
    """Reads the messages of one provider's connection."""

    __slots__ = ("_glance", "_head", "_is_sure", "_kept", "_max_bytes", "_read", "_read_ends", "in_binary", "is_worth")

    def __init__(self, language: _Language, *, max_bytes: int) -> None:
        """Keep no more than `max_bytes` of a message."""
        self._glance = language.glance
        self._read = language.read
        self._read_ends = language.read_ends
        self._max_bytes = max_bytes
        self._kept: bytearray | None = None
        self._head: bytes | None = None
        self._is_sure = False
        self.in_binary = language.in_binary
        self.is_worth = language.glance.whole
        """Asks whether a whole message is worth reading."""

    @classmethod
    def of(cls, dialect: Dialect, *, max_bytes: int) -> Reader | None:
        """Return a reader for `dialect`; None when nothing is known about its messages."""
        language = _LANGUAGES.get(dialect)
        return None if language is None else cls(language, max_bytes=max_bytes)

    def read(self, message: bytes) -> Report | None:
        """Read a whole message."""
        if len(message) > self._max_bytes:
            return self._read_ends(message[:HEAD_BYTES], message[-_END_BYTES:])
        return self._read(message)

    def add(self, data: bytes, *, started: bool, finished: bool) -> Report | None:
        """Take a piece of a message that comes in several; return what the message says with its last one."""
        if started:
            self._kept, self._head, self._is_sure = bytearray(), None, False
        kept = self._kept
        if kept is None:
            return None
        before = len(kept)
        kept += data
        if self._head is not None or len(kept) > self._max_bytes:
            return self._overflow(kept, finished=finished)
        if finished:
            self._kept = None
            message = bytes(kept)
            return self._read(message) if self._is_sure or self.is_worth(message) else None
        if before < HEAD_BYTES and not self._is_sure:
            verdict = self._glance.begun(bytes(kept[:HEAD_BYTES]))
            self._is_sure = verdict is Verdict.READ
            if verdict is Verdict.SKIP:
                self._kept = None
        return None

    def _overflow(self, kept: bytearray, *, finished: bool) -> Report | None:
        if self._head is None:
            self._head = bytes(kept[:HEAD_BYTES])
        tail = bytes(kept[-_END_BYTES:])
        self._kept = None if finished else bytearray(tail)
        return self._read_ends(self._head, tail) if finished else None
