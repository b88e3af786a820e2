"""Any bytes, in any cuts: the events that the standard's rules give when applied to the whole text, within the limits.

The input: options in one byte, then the stream.
"""

from __future__ import annotations

import re

from aigw_proto import SseLimits
from aigw_proto.http import ServerSentEvent, SseDecoder, SseEvent, SseFailed
from aigw_proto.testing import run_machine
from fuzz.script import Script, cuts

LIMITS = [
    SseLimits(),
    SseLimits(max_line_bytes=12, max_event_bytes=10),
    SseLimits(max_line_bytes=30, max_event_bytes=9),
]
LINE_ENDING = re.compile(rb"\r\n|\n|\r")
MAX_RETRY_DIGITS = 18


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    options = script.octet()
    limits, unterminated = LIMITS[options // 2 % len(LIMITS)], bool(options & 1)
    stream = script.rest()

    def run(chunks: list[bytes]) -> list[SseEvent]:
        decoder = SseDecoder(limits=limits, deliver_unterminated=unterminated)
        events: list[SseEvent] = run_machine(decoder, chunks, eof=True)
        decoder.receive_data(b"data: late\n\n", 0.0)
        assert run_machine(decoder, []) == []
        return events

    events = run([stream])
    for chunks in cuts(stream):
        assert run(chunks) == events
    expected = reference(stream, unterminated=unterminated)
    if events and isinstance(failed := events[-1], SseFailed):
        assert limits is not LIMITS[0], failed.reason
        assert events[:-1] == expected[: len(events) - 1]
    else:
        assert events == expected
    for event in events:
        assert isinstance(event, SseFailed) or len(event.data) <= limits.max_event_bytes


def reference(stream: bytes, *, unterminated: bool) -> list[ServerSentEvent]:
    """Interpret a whole stream line by line, as "Server-sent events" in the HTML standard says."""
    *lines, rest = LINE_ENDING.split(stream.removeprefix(b"\xef\xbb\xbf"))
    if unterminated:
        lines += [rest, b""] if rest else [b""]
    events: list[ServerSentEvent] = []
    data: list[bytes] = []
    kind, event_id, retry = b"", None, None
    for line in lines:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data:
                events.append(ServerSentEvent(b"\n".join(data), kind, event_id, retry))
                retry = None
            data, kind = [], b""
        elif name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value
        elif name == b"id" and b"\0" not in value:
            event_id = value
        elif name == b"retry" and re.fullmatch(rb"[0-9]{1,%d}" % MAX_RETRY_DIGITS, value):
            retry = int(value)
    return events
