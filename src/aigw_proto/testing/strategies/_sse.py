"""Event streams together with the events that they are (WHATWG HTML, "Server-sent events")."""

from __future__ import annotations

from hypothesis import strategies as st

from ..._kinds import record
from ...http import ServerSentEvent
from ._characters import CHARACTERS

__all__ = ["SseStream", "sse_streams"]

_MARK = b"\xef\xbb\xbf"
_ENDINGS = [b"\n", b"\r\n", b"\r"]
_NOISE = [b": comment", b":", b"unknown: field", b"datum: 1", b"data2", b"retry: soon", b"retry: 1.5", b"id: \x00"]
_VALUES = st.one_of(
    st.sampled_from([b"", b"{}", b"[DONE]", b" two spaces", b": colon", b'{"n": 1.10}']),
    st.text(CHARACTERS, max_size=20).map(str.encode),
    st.binary(max_size=20),
).map(lambda value: value.replace(b"\r", b"").replace(b"\n", b""))
_NAMES = st.sampled_from([b"", b"message", b"content_block_delta", b"\xff"])


@record
class SseStream:
    """The bytes of a stream, and the events in it.

    `unterminated` is the block at the end that no blank line ended: the standard discards it, and some decoders are
    told to deliver it.
    """

    data: bytes
    events: tuple[ServerSentEvent, ...]
    unterminated: ServerSentEvent | None


@record
class _Block:
    """The lines of one block, and what they say."""

    lines: list[bytes]
    data: list[bytes]
    event: bytes
    event_id: bytes | None
    retry: int | None


@st.composite
def _blocks(draw: st.DrawFn) -> _Block:
    data = draw(st.lists(_VALUES, max_size=3))
    event = draw(st.none() | _NAMES)
    event_id = draw(st.none() | st.sampled_from([b"", b"7", b"\xff 1"]))
    retry = draw(st.none() | st.integers(0, 10**6))
    fields = [(b"event", event), (b"id", event_id), (b"retry", None if retry is None else b"%d" % retry)]
    lines = [_line(draw, name, value) for name, value in fields if value is not None]
    lines += draw(st.lists(st.sampled_from(_NOISE), max_size=2))
    lines = list(draw(st.permutations(lines)))
    place = 0
    for value in data:  # their order counts, the others' does not
        place = draw(st.integers(place, len(lines)))
        lines.insert(place, _line(draw, b"data", value))
        place += 1
    return _Block(lines, data, event or b"", event_id, retry)


def _line(draw: st.DrawFn, name: bytes, value: bytes) -> bytes:
    if not value and draw(st.booleans()):
        return name
    space = b" " if value.startswith(b" ") or draw(st.booleans()) else b""
    return name + b":" + space + value


@st.composite
def sse_streams(draw: st.DrawFn, *, max_blocks: int = 5) -> SseStream:
    """Draw a stream: fields in any order, comments, unknown fields, all line endings, blocks without data."""
    blocks = draw(st.lists(_blocks(), max_size=max_blocks))
    is_complete = draw(st.booleans())
    wire = _MARK if draw(st.booleans()) else b""
    events: list[ServerSentEvent] = []
    last: ServerSentEvent | None = None
    event_id: bytes | None = None
    retry: int | None = None
    for index, block in enumerate(blocks):
        event_id = event_id if block.event_id is None else block.event_id
        retry = retry if block.retry is None else block.retry
        event = ServerSentEvent(b"\n".join(block.data), block.event, event_id, retry) if block.data else None
        ends = is_complete or index < len(blocks) - 1
        for line in [*block.lines, b""] if ends else block.lines:
            wire += line + _ending(draw, wire, line)
        if event is None:
            continue
        retry = None
        if ends:
            events.append(event)
        else:
            last = event
    return SseStream(wire, tuple(events), last)


def _ending(draw: st.DrawFn, wire: bytes, line: bytes) -> bytes:
    """Return a line ending; behind a line that was ended by CR, a LF alone would end nothing."""
    ending = draw(st.sampled_from(_ENDINGS))
    return b"\r" if ending == b"\n" and not line and wire.endswith(b"\r") else ending
