"""Any bytes, in any cuts: the lines that splitting the whole text gives, within the limit.

The input: the limit in one byte, then the stream.
"""

from __future__ import annotations

from aigw_proto.http import JsonLine, NdjsonDecoder, NdjsonEvent, NdjsonFailed
from aigw_proto.testing import run_machine
from fuzz.script import Script, cuts

LIMITS = [1 << 24, 20, 3]


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    limit = script.choice(LIMITS)
    stream = script.rest()

    def run(chunks: list[bytes]) -> list[NdjsonEvent]:
        decoder = NdjsonDecoder(max_line_bytes=limit)
        events: list[NdjsonEvent] = run_machine(decoder, chunks, eof=True)
        decoder.receive_data(b"late\n", 0.0)
        assert run_machine(decoder, []) == []
        return events

    events = run([stream])
    for chunks in cuts(stream):
        assert run(chunks) == events
    lines = stream.split(b"\n")
    expected = [JsonLine(stripped) for line in lines if (stripped := line.strip(b" \t\r\n"))]
    if events and isinstance(events[-1], NdjsonFailed):
        assert max(map(len, lines)) >= limit
        assert events[:-1] == expected[: len(events) - 1]
    else:
        assert events == expected
        assert max(map(len, lines)) <= limit
