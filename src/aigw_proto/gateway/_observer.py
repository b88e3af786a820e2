"""Looks at the messages of a realtime session on their way: counts them and notes what the provider says of usage.

It alters and delays nothing, and what it keeps is bounded. A piece costs two or three additions; of a provider's
message the first bytes decide whether it is read.
"""

from __future__ import annotations

from typing import Final

import msgspec

from .._kinds import record
from ..providers import Dialect
from ..ws._events import MessagePiece, Opcode
from ._bill import Bill
from ._reading import Reader
from ._usage import Report, Slice, as_name, decode, plain

__all__ = ["Observer", "Turn"]

UNFINISHED: Final = "unfinished"
_MAX_FIRST_BYTES = 64 * 1024


@record
class Turn:
    """What happened since the turn before. `TurnRecord` explains the fields."""

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


class _First(msgspec.Struct):
    """Where the first message of a client names a model: OpenAI Responses, Cartesia, Gemini."""

    model: Slice = msgspec.UNSET
    model_id: Slice = msgspec.UNSET
    setup: Slice = msgspec.UNSET


_FIRST: Final = msgspec.json.Decoder(_First)
_TEXT: Final = Opcode.TEXT


class Observer:
    """Watches one session. Feed it every piece of either side in order; pieces of the two sides may be mixed."""

    __slots__ = (
        "_asked_at",
        "_before",
        "_bill",
        "_counted_by",
        "_reader",
        "_session_id",
        "_status",
        "_turn_ended_at",
        "client_bytes",
        "client_messages",
        "model",
        "provider_bytes",
        "provider_messages",
        "turns",
    )

    def __init__(self, dialect: Dialect, *, now: float, max_bytes: int, model: str | None) -> None:
        """Begin when the session opens.

        `max_bytes` bounds what is kept of one message. `model` is what the request named; the provider may know better.
        """
        self._reader = Reader.of(dialect, max_bytes=max_bytes)
        self._bill = Bill()
        self._asked_at: float | None = None
        self._turn_ended_at = now
        self._before = (0, 0, 0, 0)
        self._counted_by = ""
        self._status: str | None = None
        self._session_id: str | None = None
        self.model = model
        self.client_messages = 0
        self.client_bytes = 0
        self.provider_messages = 0
        self.provider_bytes = 0
        self.turns = 0

    @property
    def tokens(self) -> dict[str, int]:
        """The tokens of all turns that have ended."""
        return self._bill.tokens

    def client_piece(self, piece: MessagePiece, now: float) -> None:
        """Count a piece of a client's message."""
        self.client_bytes += len(piece.data)
        if piece.finished:
            self.client_messages += 1
        if self._asked_at is None:
            self._asked_at = now
            if self.model is None and piece.started and piece.finished and self.client_messages == 1:
                self._learn_model(piece.data)

    def provider_piece(self, piece: MessagePiece, now: float) -> Turn | None:
        """Count a piece of a provider's message; return the turn that ends with it."""
        data = piece.data
        self.provider_bytes += len(data)
        if piece.finished:
            self.provider_messages += 1
        reader = self._reader
        if reader is None or not (reader.in_binary or piece.opcode is _TEXT):
            return None
        if piece.started and piece.finished:
            if not reader.is_worth(data):
                return None
            report = reader.read(data)
        else:
            report = reader.add(data, started=piece.started, finished=piece.finished)
        return None if report is None else self._note(report, now)

    def last(self, now: float) -> Turn | None:
        """Return what the provider counted since the last turn; None when that is nothing. For the end of a session."""
        if not self._bill.is_open:
            return None
        return self._end(Report(event=self._counted_by, status=UNFINISHED), now)

    def _learn_model(self, data: bytes) -> None:
        first = decode(_FIRST, data) if len(data) <= _MAX_FIRST_BYTES else None
        if first is None:
            return
        setup = decode(_FIRST, first.setup) or _First()
        names = (as_name(plain(each)) for each in (first.model, first.model_id, setup.model))
        self.model = next((name for name in names if name is not None), None)

    def _note(self, report: Report, now: float) -> Turn | None:
        if self._bill.note(report):
            self._counted_by = report.event
        self._status = report.status or self._status
        if not report.ends_turn:
            self._session_id = report.response_id or self._session_id
        self.model = report.model or self.model
        if not report.ends_turn or (report.if_counted and not self._bill.is_open):
            return None
        return self._end(report, now)

    def _end(self, report: Report, now: float) -> Turn:
        counted = (self.client_messages, self.client_bytes, self.provider_messages, self.provider_bytes)
        before, self._before = self._before, counted
        began_at = self._turn_ended_at if self._asked_at is None else self._asked_at
        self._asked_at, self._turn_ended_at = None, now
        tokens, audio_seconds = self._bill.close()
        status, self._status = report.status or self._status, None
        self.turns += 1
        return Turn(
            event=report.event,
            status=status,
            response_id=report.response_id or self._session_id,
            tokens=tokens,
            audio_seconds=audio_seconds,
            client_messages=counted[0] - before[0],
            client_bytes=counted[1] - before[1],
            provider_messages=counted[2] - before[2],
            provider_bytes=counted[3] - before[3],
            duration_seconds=now - began_at,
        )
