"""Where the engine's `Journal` and `Log` effects become lines on a stream.

Both formats write exactly one line per record, and nothing a peer sent can begin another one or move a terminal's
cursor: in text, whatever is not printable is escaped as in a Python literal; JSON is written in ASCII. Wall time is
read here and nowhere else. The query of an endpoint or a path is left out, because some providers take their key there.
A destination that went away (a closed pipe) must not stop the gateway: from then on lines are dropped.
"""

from __future__ import annotations

import abc
import datetime as dt
import enum
import json
import re
import time
import traceback
from typing import TYPE_CHECKING, TextIO, get_type_hints

from aigw_proto._effects import Log, LogLevel
from aigw_proto.gateway import ClosedBy, Outcome, RequestRecord, SessionRecord, TurnRecord
from aigw_proto.mock import MockRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["JsonLog", "LogSink", "TextLog", "make_log", "plain"]

_MAX_FIELD_CHARACTERS = 200
_MAX_JSON_CHARACTERS = 8000  # of one string: an endpoint or a provider's name may be as long as a message
_COLOURS = {
    Outcome.DONE: "\x1b[32m",
    Outcome.ERROR: "\x1b[31m",
    Outcome.REFUSED: "\x1b[33m",
    Outcome.CANCELLED: "\x1b[36m",
    Outcome.DISCONNECTED: "\x1b[36m",
}
_LEVEL_COLOURS = {LogLevel.WARNING: "\x1b[33m", LogLevel.ERROR: "\x1b[31m"}
_TYPES = {RequestRecord: "request", MockRecord: "request", SessionRecord: "session", TurnRecord: "turn"}
_SWITCHED = 101  # the status of a session that was open
_BARE_VALUE = re.compile(r"[^\s\"=]+")
_DIM, _END = "\x1b[2m", "\x1b[0m"


def plain(text: str, most: int = _MAX_FIELD_CHARACTERS) -> str:
    """Return `text` on one line without control characters, cut to `most` characters."""
    text = shortened(text, most)
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def shortened(text: str, most: int = _MAX_JSON_CHARACTERS) -> str:
    """Return `text`, cut to `most` characters."""
    return text if len(text) <= most else text[: most - 1] + "…"


class LogSink(abc.ABC):
    """Common part of both formats: the stream, the clock and what to do when the stream fails."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time) -> None:
        """Write to `stream`; `clock` gives Unix seconds."""
        self._stream = stream
        self._clock = clock

    @abc.abstractmethod
    def journal(self, entry: object) -> None:
        """Write one record of a `Journal` effect."""

    @abc.abstractmethod
    def log(self, effect: Log) -> None:
        """Write one line for the operator."""

    def note(self, message: str, **details: str | float | bool | None) -> None:
        """Write a line of the application's own, the same way as the engine's."""
        self.log(Log(LogLevel.INFO, message, details))

    def caution(self, message: str) -> None:
        """Write a warning of the application's own."""
        self.log(Log(LogLevel.WARNING, message, {}))

    def _write(self, line: str) -> None:
        try:
            self._stream.write(line + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            return  # the reader of the log is gone; the gateway's clients are not

    def _now(self) -> str:
        moment = dt.datetime.fromtimestamp(self._clock(), dt.UTC)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextLog(LogSink):
    """Lines for people: time, status, where it went, how it ended, how long it took, whose it was."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.time, *, colour: bool = False) -> None:
        """Write to `stream`, with terminal colours when `colour`."""
        super().__init__(stream, clock)
        self._colour = colour

    def journal(self, entry: object) -> None:
        """Write one record on one line."""
        if isinstance(entry, RequestRecord):
            line = self._request_line(entry)
        elif isinstance(entry, SessionRecord):
            line = self._session_line(entry)
        elif isinstance(entry, TurnRecord):
            line = _turn_line(entry)
        else:
            line = _mock_line(entry) if isinstance(entry, MockRecord) else plain(str(entry))
        self._write(f"{self._stamp()} {line}")

    def _request_line(self, entry: RequestRecord) -> str:
        what = f"{entry.status} {plain(entry.provider)}/{plain(without_query(entry.endpoint))}"
        step = f" step={entry.step}" if entry.step else ""
        attempts = f" attempts={entry.attempts}" if entry.attempts > 1 else ""
        kind = f"stream of {entry.frames} frames" if entry.streamed else "document"
        sizes = f"{size(entry.request_bytes)} in, {size(entry.response_bytes)} out"
        first = "" if entry.first_byte_seconds is None else f" (first {entry.first_byte_seconds:.3f} s)"
        outcome = self._paint(_COLOURS[entry.outcome], entry.outcome.value)
        return f"{what} {outcome}{step}{attempts} {kind}, {sizes}, {entry.duration_seconds:.3f} s{first}" + _named(
            event=entry.event_id, log=entry.log_id, peer=entry.peer, error=entry.error or None
        )

    def _session_line(self, entry: SessionRecord) -> str:
        outcome, words = _session_outcome(entry)
        return (
            f"{entry.status} {plain(entry.provider)}{plain(without_query(entry.path))}"
            f" {self._paint(_COLOURS[outcome], words)}{_close_of(entry)}, {_traffic(entry)},"
            f" {_count(entry.turns, 'turn')}, {entry.duration_seconds:.3f} s (opening {entry.opening_seconds:.3f} s)"
            + _named(model=entry.model, tokens=_tokens(entry.tokens), log=entry.log_id, peer=entry.peer)
            + _named(error=entry.error or None)
        )

    def log(self, effect: Log) -> None:
        """Write one line; the traceback of a bug follows on lines of its own."""
        level = effect.level.name.lower()
        painted = self._paint(_LEVEL_COLOURS.get(effect.level, ""), level)
        line = f"{self._stamp()} {painted}: {plain(effect.message, 1000)}{_pairs(effect.details)}"
        if effect.exception is not None:
            trace = "".join(traceback.format_exception(effect.exception)).rstrip("\n")
            line += "".join("\n    " + plain(part, 1000) for part in trace.split("\n"))
        self._write(line)

    def _stamp(self) -> str:
        return self._paint(_DIM, self._now())

    def _paint(self, colour: str, text: str) -> str:
        return f"{colour}{text}{_END}" if self._colour and colour else text


class JsonLog(LogSink):
    """One JSON object per line, for machines: `type` says what it is, `time` is RFC 3339 in UTC."""

    def journal(self, entry: object) -> None:
        """Write one record with the names of its fields."""
        if isinstance(entry, (RequestRecord, SessionRecord, TurnRecord, MockRecord)):
            fields: dict[str, object] = {name: getattr(entry, name) for name in get_type_hints(type(entry))}
            for name in ("endpoint", "path", "target"):
                if name in fields:
                    fields[name] = without_query(str(fields[name]))
            fields = {name: shortened(value) if isinstance(value, str) else value for name, value in fields.items()}
            if isinstance(entry, (SessionRecord, TurnRecord)):
                fields["tokens"] = dict(entry.tokens)
            self._dump({"time": self._now(), "type": _TYPES[type(entry)], **fields})
        else:
            self._dump({"time": self._now(), "type": "record", "record": str(entry)})

    def log(self, effect: Log) -> None:
        """Write one line; a bug's traceback is the string `exception`."""
        line: dict[str, object] = {
            "time": self._now(),
            "type": "log",
            "level": effect.level.name.lower(),
            "message": effect.message,
            "details": dict(effect.details),
        }
        if effect.exception is not None:
            line["exception"] = "".join(traceback.format_exception(effect.exception))
        self._dump(line)

    def _dump(self, line: Mapping[str, object]) -> None:
        self._write(json.dumps(line, separators=(",", ":"), default=_as_json))


def make_log(log_format: str, stream: TextIO) -> LogSink:
    """Return the sink for `--log-format`: `json`, or `text` with colour when `stream` is a terminal."""
    if log_format == "json":
        return JsonLog(stream)
    return TextLog(stream, colour=stream.isatty())


def size(count: int) -> str:
    """Print a number of bytes for people."""
    if count < 10_000:
        return f"{count} B"
    if count < 10_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1_000_000:.1f} MB"


def without_query(endpoint: str) -> str:
    """Return the endpoint's path; a query is shown as `?…`."""
    path, mark, _ = endpoint.partition("?")
    return path + "?…" if mark else path


def _turn_line(entry: TurnRecord) -> str:
    status = f" {plain(entry.status)}" if entry.status else ""
    audio = None if entry.audio_seconds is None else f"{entry.audio_seconds:.3f}s"
    return (
        f"turn {entry.turn} {plain(entry.provider)} {plain(entry.event)}{status}, {_traffic(entry)},"
        f" {entry.duration_seconds:.3f} s (until {entry.at_seconds:.3f} s)"
        + _named(model=entry.model, tokens=_tokens(entry.tokens), audio=audio, response=entry.response_id)
        + _named(session=entry.session_id, peer=entry.peer)
    )


def _mock_line(entry: MockRecord) -> str:
    sent, received = f"{size(entry.sent_bytes)} out", ""
    if entry.status == _SWITCHED:
        received = f"{_count(entry.received_messages, 'message')} of {size(entry.received_bytes)} in, "
        sent = f"{_count(entry.sent_messages, 'message')} of {sent}"
    close = None if entry.close_code is None else str(entry.close_code)
    return (
        f"{entry.status} {plain(entry.method)} {plain(without_query(entry.target))} {entry.outcome} "
        f"{received}{sent}, {entry.duration_seconds:.3f} s "
        f"request={entry.number}"
        + _named(peer=entry.peer, close=close, reason=entry.close_reason or None, fault=entry.fault or None)
    )


def _session_outcome(entry: SessionRecord) -> tuple[Outcome, str]:
    """Return how a session ended: as what kind of outcome, and in words."""
    if entry.status == _SWITCHED:
        return (Outcome.ERROR if entry.error else Outcome.DONE), f"closed by {entry.closed_by.value}"
    if entry.closed_by is ClosedBy.CLIENT:
        return Outcome.DISCONNECTED, "given up by client"
    return Outcome.REFUSED, f"refused by {entry.closed_by.value}"


def _close_of(entry: SessionRecord) -> str:
    """Return code and reason of whoever closed first; nothing for a session that was never open."""
    if entry.status != _SWITCHED:
        return ""
    code, reason = {
        ClosedBy.CLIENT: (entry.client_close, entry.client_reason),
        ClosedBy.PROVIDER: (entry.provider_close, entry.provider_reason),
        ClosedBy.GATEWAY: (entry.sent_to_client, ""),  # the reason is the error
    }[entry.closed_by]
    shown = "" if code is None else f" {code}"
    return f"{shown} {json.dumps(plain(reason), ensure_ascii=False)}" if reason else shown


def _traffic(entry: SessionRecord | TurnRecord) -> str:
    came = f"{_count(entry.client_messages, 'message')} of {size(entry.client_bytes)} in"
    return f"{came}, {_count(entry.provider_messages, 'message')} of {size(entry.provider_bytes)} out"


def _tokens(tokens: Mapping[str, int]) -> str | None:
    return ",".join(f"{kind}:{count}" for kind, count in tokens.items()) or None


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _named(**values: str | None) -> str:
    """Return ` key=value` for each value that there is."""
    return "".join(f" {key}={_value(value)}" for key, value in values.items() if value is not None)


def _pairs(details: Mapping[str, str | int | float | bool | None]) -> str:
    return "".join(f" {key}={_value(str(value))}" for key, value in details.items())


def _value(text: str) -> str:
    shown = plain(text)
    return shown if _BARE_VALUE.fullmatch(shown) else json.dumps(shown, ensure_ascii=False)


def _as_json(value: object) -> object:
    return value.value if isinstance(value, enum.Enum) else str(value)
