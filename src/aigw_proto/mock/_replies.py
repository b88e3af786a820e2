"""What a dialect answers with: a document or a stream of events, in a form that faults can stretch and break.

A document is kept in parts with a filler byte between them, so that it can be made as long as one likes while it stays
valid and is never held whole; a stream is its opening events, a printer of one text delta, and its closing events.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, TypeAlias

import msgspec

from .._kinds import record

__all__ = [
    "JSON",
    "SSE",
    "Document",
    "EventStream",
    "Reply",
    "json_bytes",
    "json_document",
    "sse_event",
    "text_document",
]

JSON: Final = b"application/json"
SSE: Final = b"text/event-stream"
_SLOT: Final = msgspec.Raw(b"\x00")  # a byte that JSON text never holds, so the split cannot go wrong


@record
class Document:
    """A whole body: `before`, any number of `filler` bytes (normally none), `after`."""

    before: bytes
    after: bytes = b""
    filler: bytes = b" "
    content_type: bytes = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()


@record
class EventStream:
    """A body of events: `opening`, one `delta(word)` for each of `words`, then `closing`."""

    opening: tuple[bytes, ...]
    delta: Callable[[str], bytes]
    words: tuple[str, ...]
    closing: tuple[bytes, ...]
    content_type: bytes = SSE
    status: int = 200


Reply: TypeAlias = Document | EventStream


def json_bytes(value: object) -> bytes:
    """Print a JSON value without white space."""
    return msgspec.json.encode(value)


def json_document(value: object, status: int = 200) -> Document:
    """Return a document that white space behind the value makes longer."""
    return Document(json_bytes(value), status=status)


def text_document(build: Callable[[object], object], text: str) -> Document:
    """Return the JSON document that `build` makes around the string `text`, which letters behind it make longer."""
    before, after = json_bytes(build(_SLOT)).split(b"\x00")
    return Document(before + json_bytes(text)[:-1], b'"' + after, filler=b"x")


def sse_event(data: Mapping[str, object], name: str | None = None) -> bytes:
    """Print one server-sent event whose data is a JSON object (WHATWG HTML, section 9.2.6)."""
    field = f"event: {name}\n".encode() if name is not None else b""
    return b"%sdata: %s\n\n" % (field, json_bytes(data))
