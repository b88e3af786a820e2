from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto import Entropy, Role
from aigw_proto.testing import run_machine
from aigw_proto.testing.strategies import (
    WebSocketMessage,
    cuts,
    doubtful_frame_streams,
    frame_streams,
    frames,
    messages,
)
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    Failed,
    Opcode,
    Ping,
    Pong,
    TextMessage,
    WebSocketEvent,
    WSConnection,
)
from support.frames import parse

OTHER = {Role.CLIENT: Role.SERVER, Role.SERVER: Role.CLIENT}


def read(sender: Role, chunks: list[bytes]) -> list[WebSocketEvent]:
    connection = WSConnection(OTHER[sender], now=0.0, entropy=Entropy(bytes))
    events: list[WebSocketEvent] = run_machine(connection, chunks, eof=True)
    return events


@given(sender=st.sampled_from(Role), data=st.data())
def test_a_frame_is_one_legal_frame(sender: Role, data: st.DataObject) -> None:
    wire = data.draw(frames(sender))
    assert len(parse(wire)) == 1
    assert (wire[1] & 0x80 != 0) == (sender is Role.CLIENT)
    first, *_ = read(sender, [wire])
    assert isinstance(first, TextMessage | BinaryMessage | Ping | Pong | Closed)


@settings(max_examples=50)
@given(sender=st.sampled_from(Role), data=st.data())
def test_a_stream_is_legal_however_it_arrives(sender: Role, data: st.DataObject) -> None:
    wire = data.draw(frame_streams(sender))
    events = read(sender, [wire])
    assert isinstance(events[-1], Closed)
    assert read(sender, data.draw(cuts(wire[:2000]))) is not None
    assert read(sender, data.draw(cuts(wire, max_cuts=3)) if len(wire) < 2000 else [wire]) == events


@given(message=messages())
def test_a_text_is_utf_8(message: WebSocketMessage) -> None:
    whole = b"".join(message.fragments)
    if message.opcode is Opcode.TEXT:
        whole.decode()
    elif message.opcode in {Opcode.PING, Opcode.PONG}:
        assert len(message.fragments) == 1
        assert len(whole) <= 125


@given(message=messages(controls=False))
def test_there_may_be_no_control_frames(message: WebSocketMessage) -> None:
    assert message.opcode in {Opcode.TEXT, Opcode.BINARY}


def test_streams_have_control_frames_between_fragments_and_end_with_or_without_a_close() -> None:
    seen: set[object] = set()

    @given(wire=frame_streams(Role.SERVER))
    def collect(wire: bytes) -> None:
        heads = [head for head, _ in parse(wire)]
        seen.update(itertools.pairwise(heads))
        seen.add(heads[-1:] == [0x88])

    collect()
    assert seen >= {(0x01, 0x89), (0x02, 0x8A), (0x89, 0x80), True, False}


def test_doubtful_streams_fail_in_many_ways() -> None:
    reasons: set[str] = set()

    @given(wire=doubtful_frame_streams(Role.CLIENT))
    def collect(wire: bytes) -> None:
        last = read(Role.CLIENT, [wire])[-1]
        if isinstance(last, Failed):
            reasons.add(last.reason)

    collect()
    assert len(reasons) > 8, reasons
