"""Faults on demand: what a provider may do wrong, as one flat record and the text that names it.

The same text, a SPEC, comes in a request header (`x-aigw-mock: status=429,retry_after=2`) and on the command line
(`aigw mock --fault`). It is a list of items between commas; an item is a name, or a name and a value:

=======================  =======================================================================================
`status=NNN`             answer with this status; from 400 on the body is an error in the provider's own form
`retry_after=S`          add a `Retry-After` header
`first_byte_delay=S`     wait before the first byte of the answer
`chunk_delay=S`          wait between events
`chunks=N`               the text has N words (repeated or cut), so a stream has N deltas
`stall_after=N`          silence for ever after N events
`cut_after=N`            end the stream after N events, in mid-answer; 0 is after the head
`cut_before`             end the stream before any byte of the answer
`reset`                  with `cut_after` or `cut_before`: abort the link instead of ending it in order
`malformed`, `=N`        the JSON of the document is torn off, or that of event N (1 when not given)
`torn`                   every byte of the answer in a turn of its own
`huge=BYTES`             the body has at least this size: a document exactly, a stream by many deltas
`content_type=X`         claim this content type
`lying_length=N`         `Content-Length` promises N bytes more than follow (10 when not given); negative: fewer
`bad_chunking`           garbage where a chunk's size belongs, after the first event
`bad_status_line`        a status line that is none
`endless_header`         a header field without end
`endless_line`           a line of the event stream without end
`endless_json`           a JSON document without end
`gzip`                   the body is gzipped although nobody asked
`close`                  `Connection: close` after the answer
`early_close_idle=S`     the kept-alive connection is closed S seconds after the answer, unannounced
`times=K`                only the first K requests with the same `x-aigw-mock-key` (or else the same SPEC) are hit
=======================  =======================================================================================

Times are seconds with an optional fraction. Events are those of a stream; a document counts as up to four pieces.

Where a WebSocket is opened, the faults of a status, of the time and the bytes before the answer, and `torn` and `times`
mean the same. `chunks`, `chunk_delay`, `malformed`, `stall_after` and `cut_after` go on to mean the provider's messages
in place of events, counted from the 101, and these are added:

==========================  ======================================================================================
`close=CODE`                the provider closes with this code, legal or not; `close=none`: without a status
`close_after=N`             it does so after N of its messages; 0, or not given, is right behind the 101
`close_reason=TEXT`         and gives this reason
`hold_close`                a Close is never answered, and the link stays open until the client ends it
`no_pong`                   a ping is never answered
`late_pong=S`               a ping is answered S seconds late
`glued`                     what the provider says unasked is in the same bytes as the 101
`giant_frame=BYTES`         its first message is one frame of at least this size (white space behind the JSON)
`endless_fragments`, `=B`   its first message goes on in fragments of B bytes (16 when not given; 0: empty) for ever
`bad_frame=N`               a frame with a reserved opcode after N messages
`bad_accept`                the 101 has the wrong `Sec-WebSocket-Accept`
`subprotocol=NAME`          the 101 selects this subprotocol, offered or not
==========================  ======================================================================================
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from typing import Any, Final

from .._errors import CloseCode
from .._kinds import record
from ..ws._negotiation import is_token

__all__ = ["MockFault", "find_conflict", "parse_fault"]

MAX_SECONDS: Final = 86_400.0
MAX_COUNT: Final = 1 << 40
MAX_CHUNKS: Final = 1_000_000  # the words of an answer are listed before the first is sent
MAX_FRAGMENT_BYTES: Final = 16 * 1024  # a fragment is made at once
_NO_STATUS: Final = int(CloseCode.NO_STATUS_RECEIVED)


@record
class MockFault:
    """What goes wrong with an answer. The default is nothing; the fields are the items of a SPEC.

    At most one of `cut_before`, `huge_bytes`, `lying_length`, `bad_chunking`, `bad_status_line`, `endless_header`,
    `endless_line` and `endless_json` may be set: they shape the same bytes (`find_conflict` says so); likewise at most
    one of `giant_frame_bytes` and `endless_fragments`. In `close_code` 1005 means no status at all. `spec` is the text
    the record was made from.
    """

    status: int | None = None
    retry_after_seconds: float | None = None
    first_byte_delay_seconds: float = 0.0
    chunk_delay_seconds: float = 0.0
    chunks: int | None = None
    stall_after: int | None = None
    cut_after: int | None = None
    cut_before: bool = False
    reset: bool = False
    malformed: int | None = None
    torn: bool = False
    huge_bytes: int | None = None
    content_type: str | None = None
    lying_length: int | None = None
    bad_chunking: bool = False
    bad_status_line: bool = False
    endless_header: bool = False
    endless_line: bool = False
    endless_json: bool = False
    gzip: bool = False
    close: bool = False
    early_close_idle_seconds: float | None = None
    times: int | None = None
    close_code: int | None = None
    close_after: int = 0
    close_reason: str = ""
    hold_close: bool = False
    no_pong: bool = False
    late_pong_seconds: float | None = None
    glued: bool = False
    giant_frame_bytes: int | None = None
    endless_fragments: int | None = None
    bad_frame: int | None = None
    bad_accept: bool = False
    subprotocol: str | None = None
    spec: str = ""


class _BadValueError(ValueError):
    """The value of an item is wrong; the message says what was expected."""


def _flag(text: str | None) -> bool:
    if text is not None:
        raise _BadValueError("takes no value")
    return True


def _seconds(text: str | None) -> float:
    if text is None or re.fullmatch(r"[0-9]{1,9}(\.[0-9]{0,9})?|\.[0-9]{1,9}", text) is None:
        raise _BadValueError("expected seconds, such as 0.5")
    seconds = float(text)
    if seconds > MAX_SECONDS:
        raise _BadValueError(f"expected at most {MAX_SECONDS:.0f} seconds")
    return seconds


def _integer(lowest: int, highest: int, default: int | None = None) -> Callable[[str | None], int]:
    def parse(text: str | None) -> int:
        if text is None and default is not None:
            return default
        if text is None or re.fullmatch(r"-?[0-9]{1,15}", text) is None or not lowest <= int(text) <= highest:
            raise _BadValueError(f"expected a whole number from {lowest} to {highest}")
        return int(text)

    return parse


def _media_type(text: str | None) -> str:
    if not text or not text.isascii() or not text.isprintable():
        raise _BadValueError("expected a content type, such as text/plain")
    return text


def _close_code(text: str | None) -> int:
    return _NO_STATUS if text == "none" else _integer(0, 0xFFFF)(text)


def _text(text: str | None) -> str:
    if not text:
        raise _BadValueError("expected a text")
    return text


def _token(text: str | None) -> str:
    if text is None or not is_token(text):
        raise _BadValueError("expected a name, such as realtime")
    return text


_count = _integer(0, MAX_COUNT)
_FIELDS: Final[dict[str, tuple[str, Callable[[str | None], bool | int | float | str]]]] = {
    "status": ("status", _integer(200, 599)),
    "retry_after": ("retry_after_seconds", _seconds),
    "first_byte_delay": ("first_byte_delay_seconds", _seconds),
    "chunk_delay": ("chunk_delay_seconds", _seconds),
    "chunks": ("chunks", _integer(1, MAX_CHUNKS)),
    "stall_after": ("stall_after", _count),
    "cut_after": ("cut_after", _count),
    "cut_before": ("cut_before", _flag),
    "reset": ("reset", _flag),
    "malformed": ("malformed", _integer(0, MAX_COUNT, default=1)),
    "torn": ("torn", _flag),
    "huge": ("huge_bytes", _integer(1, MAX_COUNT)),
    "content_type": ("content_type", _media_type),
    "lying_length": ("lying_length", _integer(-MAX_COUNT, MAX_COUNT, default=10)),
    "bad_chunking": ("bad_chunking", _flag),
    "bad_status_line": ("bad_status_line", _flag),
    "endless_header": ("endless_header", _flag),
    "endless_line": ("endless_line", _flag),
    "endless_json": ("endless_json", _flag),
    "gzip": ("gzip", _flag),
    "close": ("close", _flag),
    "early_close_idle": ("early_close_idle_seconds", _seconds),
    "times": ("times", _integer(1, MAX_COUNT)),
    "close=": ("close_code", _close_code),
    "close_after": ("close_after", _count),
    "close_reason": ("close_reason", _text),
    "hold_close": ("hold_close", _flag),
    "no_pong": ("no_pong", _flag),
    "late_pong": ("late_pong_seconds", _seconds),
    "glued": ("glued", _flag),
    "giant_frame": ("giant_frame_bytes", _integer(1, MAX_COUNT)),
    "endless_fragments": ("endless_fragments", _integer(0, MAX_FRAGMENT_BYTES, default=16)),
    "bad_frame": ("bad_frame", _count),
    "bad_accept": ("bad_accept", _flag),
    "subprotocol": ("subprotocol", _token),
}
_SHAPES: Final = (
    "cut_before",
    "huge",
    "lying_length",
    "bad_chunking",
    "bad_status_line",
    "endless_header",
    "endless_line",
    "endless_json",
)
_FRAME_SHAPES: Final = ("giant_frame", "endless_fragments")
_NOTHING: Final = MockFault()


def find_conflict(fault: MockFault) -> str | None:
    """Return a sentence that says which fields of a fault exclude each other, or None when it can be played."""
    for shapes in (_SHAPES, _FRAME_SHAPES):
        found = [name for name in shapes if getattr(fault, field := _FIELDS[name][0]) != getattr(_NOTHING, field)]
        if len(found) > 1:
            return f"{' and '.join(found)} exclude each other"
    return None


def parse_fault(text: str) -> MockFault | str:
    """Return the fault that a SPEC names, or a sentence that says what is wrong with it."""
    values: dict[str, Any] = {}
    for item in text.split(","):
        name, equals, value = (part.strip() for part in item.partition("="))
        if name not in _FIELDS:
            return f"unknown fault {name!r}; known are {', '.join(_FIELDS)}" if name else "an item is empty"
        # `close` alone is HTTP's, with a value it is the WebSocket's.
        field, parse = _FIELDS.get(name + equals, _FIELDS[name])
        if field in values:
            return f"{name} is given twice"
        try:
            values[field] = parse(value if equals else None)
        except _BadValueError as error:
            return f"{name}: {error}"
    fault = dataclasses.replace(_NOTHING, **values, spec=text)
    return find_conflict(fault) or fault
