"""The course of one answer: a reply and a fault become the steps that an engine takes on a link.

A script is a generator, so that a body of any size is made while it is sent, and never before the link can take it.
Scripts know nothing of time or of links: a `Wait` names how long, and whoever runs the script says when it is over.
Two kinds of bytes leave: `SendHead` and `SendPiece` go through the HTTP machine, which frames them; `SendRaw` goes past
it, for the answers that no well-behaved machine would print.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final, TypeAlias

from .._effects import CloseHow
from .._kinds import record
from ..http import Headers, Response
from ..ws import DeflateParameters
from ._faults import MockFault
from ._replies import JSON, SSE, Document, EventStream, Reply
from ._talk import Talk

__all__ = ["Finish", "HangUp", "SendHead", "SendPiece", "SendRaw", "Step", "Switch", "Wait", "script", "torn_off"]

PIECE_BYTES: Final = 16 * 1024  # of one step: small against a high-water mark
_DOCUMENT_PIECES: Final = 4  # a cut or a stall in a document should find it begun and unfinished
_HUGE_DELTA_CHARACTERS: Final = 1024
_HUGE_DELTA_MOST: Final = 1024 * 1024
_BODILESS: Final = frozenset({204, 304})


@record
class SendHead:
    """Send the head of the answer; `headers` say how the body is framed."""

    status: int
    headers: Headers


@record
class SendPiece:
    """Send a piece of the body, never empty."""

    data: bytes


@record
class SendRaw:
    """Send bytes as they are; after the first of them the link carries no more HTTP that a machine would know."""

    data: bytes


@record
class Wait:
    """Go on after `seconds`, or never when it is None."""

    seconds: float | None


@record
class Finish:
    """The message is complete; the connection may live on."""


@record
class HangUp:
    """End the link now, when all before it is sent."""

    how: CloseHow


@record
class Switch:
    """Answer 101 with `response`; from then on the link is a WebSocket on which `talk` speaks, under `fault`."""

    response: Response
    deflate: DeflateParameters | None
    talk: Talk
    fault: MockFault


Step: TypeAlias = SendHead | SendPiece | SendRaw | Wait | Finish | HangUp | Switch


def script(reply: Reply | Switch, fault: MockFault, *, method: bytes) -> Iterator[Step]:
    """Return the steps of an answer. The last one is `Finish`, `HangUp` or `Switch`, or there is no last one."""
    if fault.first_byte_delay_seconds:
        yield Wait(fault.first_byte_delay_seconds)
    hang_up = HangUp(CloseHow.ABORT if fault.reset else CloseHow.FLUSH)
    if fault.cut_before:
        yield hang_up
    elif fault.bad_status_line:
        yield SendRaw(b"HTTP/1.1 2x0 Sort Of\r\ncontent-length: 0\r\n\r\n")
        yield hang_up
    elif fault.endless_header:
        yield SendRaw(b"HTTP/1.1 %d Mock\r\nx-endless: " % (101 if isinstance(reply, Switch) else reply.status))
        while True:
            yield SendRaw(b"x" * PIECE_BYTES)
    elif isinstance(reply, Switch):
        yield reply
    elif fault.lying_length is not None:
        body = b"".join(_events(reply, fault))
        length = max(0, len(body) + fault.lying_length)
        yield SendRaw(_raw_head(reply, fault, (b"content-length", b"%d" % length)))
        yield from _paced((body,), fault, raw=True)
        yield hang_up
    elif fault.bad_chunking:
        yield SendRaw(_raw_head(reply, fault, (b"transfer-encoding", b"chunked")))
        first = next(_events(reply, fault))
        yield SendRaw(b"%x\r\n%s\r\nmore or less\r\n" % (len(first), first))
        yield hang_up
    else:
        yield from _framed(reply, fault, hang_up, bodiless=method == b"HEAD" or reply.status in _BODILESS)


def _framed(reply: Reply, fault: MockFault, hang_up: HangUp, *, bodiless: bool) -> Iterator[Step]:
    """Return the steps of an answer whose bytes are HTTP, whatever else is wrong with it."""
    length = _length(reply, fault)
    headers = _headers(reply, fault)
    if reply.status not in _BODILESS:
        headers.append((b"transfer-encoding", b"chunked") if length is None else (b"content-length", b"%d" % length))
    yield SendHead(reply.status, headers)
    if not bodiless:
        events = _events(reply, fault)
        yield from _paced(_gzip(events) if fault.gzip else events, fault, raw=False)
    if fault.stall_after is not None and (fault.cut_after is None or fault.stall_after < fault.cut_after):
        yield Wait(None)
    yield Finish() if fault.cut_after is None else hang_up


def _paced(events: Iterable[bytes], fault: MockFault, *, raw: bool) -> Iterator[Step]:
    """Return the steps of a body up to where it is cut or stalls, in pieces, with the pauses between its events."""
    last = min((limit for limit in (fault.cut_after, fault.stall_after) if limit is not None), default=None)
    send = SendRaw if raw else SendPiece
    for index, event in enumerate(events):
        if index == last:
            return
        if index and fault.chunk_delay_seconds:
            yield Wait(fault.chunk_delay_seconds)
        for start in range(0, len(event), PIECE_BYTES):
            yield send(event[start : start + PIECE_BYTES])


def _headers(reply: Reply, fault: MockFault) -> Headers:
    """Return the header fields of an answer except those that frame it."""
    content_type = JSON if fault.endless_json else SSE if fault.endless_line else reply.content_type
    headers: Headers = []
    if reply.status not in _BODILESS:
        headers.append((b"content-type", content_type if fault.content_type is None else fault.content_type.encode()))
    if isinstance(reply, Document):
        headers.extend(reply.headers)
    if 300 <= reply.status < 400:
        headers.append((b"location", b"https://elsewhere.invalid/"))
    if fault.retry_after_seconds is not None:
        headers.append((b"retry-after", f"{fault.retry_after_seconds:.9g}".encode()))
    if fault.gzip:
        headers.append((b"content-encoding", b"gzip"))
    if fault.close:
        headers.append((b"connection", b"close"))
    return headers


def _raw_head(reply: Reply, fault: MockFault, framing: tuple[bytes, bytes]) -> bytes:
    lines = [b"HTTP/1.1 %d Mock" % reply.status]
    lines += [b"%s: %s" % field for field in (*_headers(reply, fault), framing)]
    return b"\r\n".join([*lines, b"", b""])


def _length(reply: Reply, fault: MockFault) -> int | None:
    """Return the exact size of a body, or None when it is only known at its end."""
    if isinstance(reply, EventStream) or fault.gzip or fault.endless_json or fault.endless_line:
        return None
    before, after = _document_parts(reply, fault)
    return max(len(before) + len(after), fault.huge_bytes or 0)


def _events(reply: Reply, fault: MockFault) -> Iterator[bytes]:
    """Return the events of a stream or the pieces of a document, made one by one."""
    if fault.endless_json or fault.endless_line:
        return _endless(b'{"endless":"' if fault.endless_json else b'data: {"endless":"')
    if isinstance(reply, Document):
        return _document_pieces(reply, fault)
    return _stream_events(reply, fault)


def _endless(opening: bytes) -> Iterator[bytes]:
    yield opening
    while True:
        yield b"x" * PIECE_BYTES


def _document_parts(document: Document, fault: MockFault) -> tuple[bytes, bytes]:
    if fault.malformed is None:
        return document.before, document.after
    if b"}" in document.after:
        return document.before, torn_off(document.after)
    return torn_off(document.before), document.after


def _document_pieces(document: Document, fault: MockFault) -> Iterator[bytes]:
    before, after = _document_parts(document, fault)
    missing = (fault.huge_bytes or 0) - len(before) - len(after)
    if missing > 0:
        yield before
        block = document.filler * PIECE_BYTES
        for _ in range(missing // PIECE_BYTES):
            yield block
        yield block[: missing % PIECE_BYTES] + after
        return
    body = before + after
    apart = fault.stall_after is not None or fault.cut_after is not None or fault.chunk_delay_seconds
    size = max(1, -(-len(body) // _DOCUMENT_PIECES) if apart else len(body))
    for start in range(0, len(body), size):
        yield body[start : start + size]


def _stream_events(stream: EventStream, fault: MockFault) -> Iterator[bytes]:
    events = chain(stream.opening, _deltas(stream, fault), stream.closing)
    for index, event in enumerate(events):
        yield torn_off(event) if index == fault.malformed else event


def _deltas(stream: EventStream, fault: MockFault) -> Iterator[bytes]:
    """Return the deltas of the words, or of filler until the stream has the size asked for."""
    if fault.huge_bytes is None:
        yield from map(stream.delta, stream.words)
        return
    sent = sum(map(len, stream.opening)) + sum(map(len, stream.closing))
    characters = min(fault.huge_bytes // fault.chunks + 1, _HUGE_DELTA_MOST) if fault.chunks else _HUGE_DELTA_CHARACTERS
    while sent < fault.huge_bytes:
        event = stream.delta("x" * characters)
        sent += len(event)
        yield event


def _gzip(events: Iterable[bytes]) -> Iterator[bytes]:
    """Return the events compressed so that each can be inflated as soon as it is there."""
    compressor = zlib.compressobj(wbits=31)
    for event in events:
        yield compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH)
    yield compressor.flush()


def torn_off(data: bytes) -> bytes:
    """Return an event or a document without its last closing brace, or with one opened too many if it has none."""
    at = data.rfind(b"}")
    return data[:at] + data[at + 1 :] if at >= 0 else data.replace(b"data: ", b"data: {", 1)
