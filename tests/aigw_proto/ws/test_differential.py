"""WSConnection against the frame parser of `websockets`: same acceptance, same payloads, same close codes.

Exceptions, each with its reason:

* `websockets` does not check that lengths are minimal (in control frames neither), nor that they stay below 2^63.
* It checks flags and the size of control frames only when the whole frame has arrived; until then it waits.
* It refuses a Close within a fragmented message, which RFC 6455 section 5.5.1 does not.
* In a Close with a bad code and a bad reason it names the reason, ours the code.
* It leaves UTF-8 and assembly to its drivers; both are done here, a frame at a time. So ours may fail within a frame
  that `websockets` has not delivered yet.
"""

from __future__ import annotations

import codecs

from hypothesis import event, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ProtocolError
from websockets.frames import Frame
from websockets.frames import Opcode as FrameOpcode
from websockets.protocol import CLIENT, SERVER, Protocol

from aigw_proto._entropy import Entropy
from aigw_proto._kinds import Role
from aigw_proto.testing import run_machine
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
from support.frame_streams import any_stream, valid_messages, valid_stream
from support.frames import parse

UNCHECKED_THERE = {
    "payload length is not minimally encoded",
    "payload length has its most significant bit set",
    "control frame is longer than 125 bytes",  # when it is not, but its length is written in a long form
}


def ours(wire: bytes, role: Role) -> list[WebSocketEvent]:
    connection = WSConnection(role, now=0, entropy=Entropy(bytes))
    events: list[WebSocketEvent] = run_machine(connection, [wire])
    if events and isinstance(events[-1], Closed):
        return events
    if connection.state.name == "ENDING":
        closed: list[WebSocketEvent] = run_machine(connection, [], eof=True)
        events += closed
    return events


def theirs(wire: bytes, role: Role) -> tuple[list[WebSocketEvent], Protocol]:
    """Read with `websockets`; text is checked after each frame, as its drivers do after each message."""
    protocol = Protocol(SERVER if role is Role.SERVER else CLIENT, max_size=None)
    protocol.receive_data(wire)
    events: list[WebSocketEvent] = []
    decoder = codecs.getincrementaldecoder("utf-8")()
    data: list[bytes] = []
    text = False
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        payload = bytes(frame.data)
        match frame.opcode:
            case FrameOpcode.PING:
                events.append(Ping(payload))
            case FrameOpcode.PONG:
                events.append(Pong(payload))
            case FrameOpcode.CLOSE:
                assert protocol.close_rcvd is not None
                events.append(Closed(int(protocol.close_rcvd.code), protocol.close_rcvd.reason, True))
            case _:
                if frame.opcode is not FrameOpcode.CONT:
                    text, data = frame.opcode is FrameOpcode.TEXT, []
                    decoder.reset()
                data.append(payload)
                if text:
                    try:
                        decoder.decode(payload, frame.fin)
                    except UnicodeDecodeError:
                        return [*events, Failed(1007, "")], protocol
                    pending = decoder.getstate()[0]
                    if (
                        pending[:1] == b"\xed" and pending[1:] >= b"\xa0"
                    ):  # a surrogate; Python waits for the rest of it
                        return [*events, Failed(1007, "")], protocol
                if frame.fin:
                    whole = b"".join(data)
                    events.append(TextMessage(whole.decode()) if text else BinaryMessage(whole))
    if protocol.parser_exc is not None:
        events.append(Failed(1007 if isinstance(protocol.parser_exc, UnicodeDecodeError) else 1002, ""))
    return events, protocol


def strip(events: list[WebSocketEvent]) -> list[WebSocketEvent]:
    """Drop the wording of a failure."""
    return [Failed(event.code, "") if isinstance(event, Failed) else event for event in events]


@given(data=st.data(), role=st.sampled_from(Role))
@settings(max_examples=100)
def test_valid_streams_are_read_alike(data: st.DataObject, role: Role) -> None:
    wire = data.draw(valid_stream(masked=role is Role.SERVER))
    assert ours(wire, role) == theirs(wire, role)[0]


@given(data=st.data(), role=st.sampled_from(Role))
@settings(max_examples=300)
def test_any_stream_is_read_alike(data: st.DataObject, role: Role) -> None:
    wire = data.draw(any_stream(masked=role is Role.SERVER))
    mine, (other, protocol) = ours(wire, role), theirs(wire, role)
    if strip(mine) == other:
        event("the same")
        return
    last = mine[-1] if mine else None
    if isinstance(last, Failed):
        assert strip(mine[:-1]) == strip(other)[: len(mine) - 1]
        if last.reason in UNCHECKED_THERE:
            event("length not checked there")
        elif other[-1:] == [Failed(1007, "")] and last.reason.startswith("close code"):
            event("Close with two faults")
        else:
            event("earlier here")
            assert len(other) == len(mine) - 1
            assert protocol.parser_exc is None
    else:
        event("Close within a message")
        assert isinstance(last, Closed)
        assert isinstance(protocol.parser_exc, ProtocolError)
        assert str(protocol.parser_exc) == "incomplete fragmented message"
        assert mine[:-1] == other[:-1]


@given(messages=valid_messages(), role=st.sampled_from(Role))
@settings(max_examples=60)
def test_websockets_reads_what_we_send(messages: list[tuple[Opcode, list[bytes]]], role: Role) -> None:
    connection = WSConnection(
        role, now=0, entropy=Entropy(lambda count: bytes(index * 7 & 0xFF for index in range(count)))
    )
    expected: list[WebSocketEvent] = []
    for opcode, fragments in messages:
        whole = b"".join(fragments)
        if opcode is Opcode.PING:
            connection.send_ping(whole)
            expected.append(Ping(whole))
        elif opcode is Opcode.PONG:
            connection.send_pong(whole)
            expected.append(Pong(whole))
        elif len(fragments) == 1 and opcode is Opcode.TEXT:
            connection.send_text_chunks([whole[:3], whole[3:]])
            expected.append(TextMessage(whole.decode()))
        else:
            for index, fragment in enumerate(fragments):
                connection.send_piece(opcode, fragment, finished=index == len(fragments) - 1)
            expected.append(TextMessage(whole.decode()) if opcode is Opcode.TEXT else BinaryMessage(whole))
    connection.send_close(3333, "end")
    wire = b"".join(connection.data_to_send())
    assert len(parse(wire)) > len(messages)
    other = Role.SERVER if role is Role.CLIENT else Role.CLIENT
    assert theirs(wire, other)[0] == [*expected, Closed(3333, "end", True)]
