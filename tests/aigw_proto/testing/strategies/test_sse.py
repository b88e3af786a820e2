from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto.http import ServerSentEvent, SseDecoder, SseEvent
from aigw_proto.testing import run_machine
from aigw_proto.testing.strategies import SseStream, cuts, sse_streams


def read(stream: SseStream, chunks: list[bytes], *, deliver_unterminated: bool) -> list[SseEvent]:
    events: list[SseEvent] = run_machine(SseDecoder(deliver_unterminated=deliver_unterminated), chunks, eof=True)
    return events


@settings(max_examples=50)
@given(stream=sse_streams(), data=st.data())
def test_the_events_are_those_of_the_stream(stream: SseStream, data: st.DataObject) -> None:
    chunks = data.draw(cuts(stream.data))
    assert read(stream, chunks, deliver_unterminated=False) == list(stream.events)
    last = [] if stream.unterminated is None else [stream.unterminated]
    assert read(stream, chunks, deliver_unterminated=True) == [*stream.events, *last]


@settings(max_examples=50)
@given(stream=sse_streams(max_blocks=1))
def test_the_number_of_blocks_is_bounded(stream: SseStream) -> None:
    assert len(stream.events) + (stream.unterminated is not None) <= 1
    assert all(isinstance(event, ServerSentEvent) for event in stream.events)
