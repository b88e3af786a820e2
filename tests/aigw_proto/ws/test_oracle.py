"""WSConnection against wsproto: same acceptance, same payloads, same close codes.

Exceptions, each with its reason:

* wsproto looks at a header as a whole, ours at the first two octets as soon as they are there. So ours may fail while
  wsproto still waits: then it must fail as well once more octets come.
* wsproto lets Python's decoder wait for the third octet of a surrogate, and may meanwhile find something else.
* wsproto counts the octets of a message as they come, ours adds up what the headers announce. So ours says 1009 while
  wsproto reads on; without a bound both must find the same.
* wsproto refuses close code 1014, which was registered after RFC 6455.
* wsproto breaks a compressed message at a control frame between its fragments, and after a final DEFLATE block.
"""

from __future__ import annotations

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from aigw_proto._entropy import Entropy
from aigw_proto._errors import CloseCode, LocalProtocolError
from aigw_proto._kinds import Role
from aigw_proto._limits import UNLIMITED, WebSocketLimits
from aigw_proto.testing import ConnectionPair, chunkings, run_machine
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    CloseReceived,
    DeflateParameters,
    Delivery,
    Failed,
    MessagePiece,
    Opcode,
    OracleConnection,
    Ping,
    Pong,
    TextMessage,
    WebSocketEvent,
    WSConnection,
)
from aigw_proto.ws._deflate import Deflater
from support.frame_streams import any_stream, valid_messages
from support.frames import frame, parse

SURROGATE = "text is not UTF-8: surrogate"
BOUNDLESS = WebSocketLimits(max_message_bytes=UNLIMITED)
PADDING = bytes(16)  # completes any header, so that wsproto has to look at it


def new(
    implementation: type[WSConnection],
    role: Role,
    *,
    deflate: DeflateParameters | None = None,
    delivery: Delivery = Delivery.MESSAGES,
    limits: WebSocketLimits | None = None,
) -> WSConnection:
    limits = limits or WebSocketLimits()
    entropy = Entropy(bytes)
    return implementation(role, now=0, limits=limits, entropy=entropy, deflate=deflate, delivery=delivery)


def outcome(connection: WSConnection, chunks: list[bytes]) -> tuple[list[WebSocketEvent], int | None]:
    """What was received, and the code of the failure, if any: reasons differ in wording."""
    events: list[WebSocketEvent] = run_machine(connection, chunks)
    if events and isinstance(events[-1], Failed):
        return events[:-1], events[-1].code
    return events, None


def agree(
    wire: bytes, role: Role, deflate: DeflateParameters | None = None, limits: WebSocketLimits | None = None
) -> None:
    events: list[WebSocketEvent] = run_machine(new(WSConnection, role, deflate=deflate, limits=limits), [wire])
    oracle = outcome(new(OracleConnection, role, deflate=deflate, limits=limits), [wire])
    failed = events[-1] if events else None
    if not isinstance(failed, Failed):
        assert (events, None) == oracle
    elif failed.code == CloseCode.MESSAGE_TOO_BIG:
        assert events[:-1] == oracle[0], "nothing but the message that is too big may be missing"
        if limits is BOUNDLESS:  # frames of up to 2^63 octets each may announce more together
            assert oracle[1] in (None, CloseCode.INVALID_PAYLOAD_DATA)
        else:
            agree(wire, role, deflate, BOUNDLESS)
    elif failed.reason == SURROGATE:
        assert events[:-1] == oracle[0][: len(events) - 1]
    elif oracle[1] is not None:
        assert (events[:-1], failed.code) == oracle
    else:
        assert events[:-1] == oracle[0], "nothing but the failure may be missing"
        late = outcome(new(OracleConnection, role, deflate=deflate, limits=limits), [wire, PADDING])
        assert late == (events[:-1], failed.code)


def received_streams() -> st.SearchStrategy[tuple[Role, bytes]]:
    """Streams with the role of who receives them."""
    return st.sampled_from(Role).flatmap(
        lambda role: st.tuples(st.just(role), any_stream(masked=role is Role.SERVER)),
    )


@given(received_streams())
@example((Role.SERVER, b"\x01\x80\0\0\0\0\0\xff\0\0\0\x01\0\0\0\0\0\0\0\0\x80"))  # too big, and bad UTF-8
@example((Role.CLIENT, b"\x89\x01x\x82\x7f\0\0\0\x01\0\0\0\0data"))  # too big, and good so far
@example((Role.CLIENT, b"\x02\x01x\x80\x7f\x7f" + b"\xff" * 7))  # too big for any bound
@settings(max_examples=300)
def test_same_acceptance_and_payloads(received: tuple[Role, bytes]) -> None:
    role, wire = received
    assume(b"\x03\xf6" not in wire)
    for masked_code in parse_close_codes(wire):
        assume(masked_code != 1014)
    agree(wire, role)


def parse_close_codes(wire: bytes) -> list[int]:
    """Close codes in a stream that is good enough to be read at all."""
    try:
        return [int.from_bytes(data[:2], "big") for head, data in parse(wire) if head & 0x0F == 0x08 and len(data) > 1]
    except (AssertionError, IndexError):
        return []


@given(
    messages=valid_messages(),
    role=st.sampled_from(Role),
    fresh=st.booleans(),
    bits=st.integers(9, 15),
    change=st.none() | st.tuples(st.integers(0, 300), st.integers(0, 255)),
)
@settings(max_examples=100)
def test_same_compressed_messages(
    messages: list[tuple[Opcode, list[bytes]]],
    role: Role,
    fresh: bool,
    bits: int,
    change: tuple[int, int] | None,
) -> None:
    deflate = DeflateParameters(fresh, fresh, bits, bits)
    masked = role is Role.SERVER
    deflater = Deflater(window_bits=bits, no_context_takeover=fresh)
    wire = b""
    for opcode, fragments in messages:
        if opcode in (Opcode.PING, Opcode.PONG):
            wire += frame(0x80 | opcode, fragments[0], masked=masked)
            continue
        for index, fragment in enumerate(fragments):
            last = index == len(fragments) - 1
            payload = deflater.compress(fragment, finished=last)
            if change is not None and change[0] < len(payload):
                payload = payload[: change[0]] + bytes((change[1],)) + payload[change[0] + 1 :]
            head = (0x80 if last else 0) | (0x40 | opcode if index == 0 else 0)
            wire += frame(head, payload, masked=masked)
    ours = outcome(new(WSConnection, role, deflate=deflate), [wire])
    oracle = outcome(new(OracleConnection, role, deflate=deflate), [wire])
    if change is None:
        assert ours == oracle
        assert ours[1] is None
    else:
        # A change may have set BFINAL, and then wsproto goes its own way; up to there nothing may differ.
        shared = min(len(ours[0]), len(oracle[0]))
        assert ours[0][: max(shared - 1, 0)] == oracle[0][: max(shared - 1, 0)]


def test_what_wsproto_does_otherwise() -> None:
    bad_gateway = frame(0x88, (1014).to_bytes(2, "big"))
    assert run_machine(new(WSConnection, Role.SERVER), [bad_gateway]) == [Closed(1014, "", True)]
    assert isinstance(run_machine(new(OracleConnection, Role.SERVER), [bad_gateway])[0], Failed)

    half = b"\x88\xfe"
    assert isinstance(run_machine(new(WSConnection, Role.SERVER), [half])[0], Failed)
    agree(half, Role.SERVER)
    surrogate = frame(0x01, b"\xed\xa0")
    assert isinstance(run_machine(new(WSConnection, Role.SERVER), [surrogate])[0], Failed)
    assert run_machine(new(OracleConnection, Role.SERVER), [surrogate]) == []
    agree(surrogate, Role.SERVER)

    data = Deflater(window_bits=15, no_context_takeover=False).compress(b"compressed", finished=True)
    wire = frame(0x42, data[:4]) + frame(0x89) + frame(0x80, data[4:])
    deflate = DeflateParameters()
    ours = run_machine(new(WSConnection, Role.SERVER, deflate=deflate), [wire])
    assert ours == [Ping(b""), BinaryMessage(b"compressed")]
    assert run_machine(new(OracleConnection, Role.SERVER, deflate=deflate), [wire]) != ours


@given(messages=valid_messages(), deflate=st.sampled_from([None, DeflateParameters(), DeflateParameters(True, True)]))
@settings(max_examples=60)
def test_the_oracle_reads_what_we_send_and_the_other_way_round(
    messages: list[tuple[Opcode, list[bytes]]], deflate: DeflateParameters | None
) -> None:
    for left_kind, right_kind in ((WSConnection, OracleConnection), (OracleConnection, WSConnection)):
        left = new(left_kind, Role.CLIENT, deflate=deflate)
        pair = ConnectionPair(left, new(right_kind, Role.SERVER, deflate=deflate))
        expected: list[WebSocketEvent] = []
        for opcode, fragments in messages:
            whole = b"".join(fragments)
            if opcode is Opcode.PING:
                left.send_ping(whole)
                expected.append(Ping(whole))
            elif opcode is Opcode.PONG:
                left.send_pong(whole)
                expected.append(Pong(whole))
            else:
                for index, fragment in enumerate(fragments):
                    left.send_piece(opcode, fragment, finished=index == len(fragments) - 1)
                expected.append(TextMessage(whole.decode()) if opcode is Opcode.TEXT else BinaryMessage(whole))
        pair.pump()
        assert pair.right_events == expected
        pings = [Pong(event.data) for event in expected if isinstance(event, Ping)]
        assert pair.left_events == pings


# The oracle is selectable, so it keeps the same promises.


def test_oracle_in_pieces() -> None:
    wire = frame(0x01) + frame(0x00, b"t\xc3") + frame(0x80, b"\xa9") + frame(0x82, b"\xff") + frame(0x81)
    for chunks in chunkings(wire, cuts=1):
        events = run_machine(new(OracleConnection, Role.SERVER, delivery=Delivery.PIECES), chunks)
        assert b"".join(event.data for event in events if isinstance(event, MessagePiece)) == "té".encode() + b"\xff"
        assert all(isinstance(event, MessagePiece) and event.started for event in events[-2:])


def test_oracle_as_a_relay() -> None:
    wire = frame(0x01) + frame(0x00, b"t\xc3") + frame(0x00) + frame(0x80, b"\xa9") + frame(0x82) + frame(0x88)
    for implementation in (WSConnection, OracleConnection):
        connection = new(implementation, Role.SERVER, delivery=Delivery.RELAY)
        events = run_machine(connection, [wire])
        pieces = [event for event in events if isinstance(event, MessagePiece)]
        assert b"".join(piece.data for piece in pieces) == "té".encode()
        assert [piece.started for piece in pieces] == [True, False, False, False, True]
        assert [piece.finished for piece in pieces] == [False, False, False, True, True]
        assert events[5:] == [CloseReceived(1005, "")]
        within = [connection.sending_message]
        connection.send_piece(Opcode.TEXT, b"x", finished=False)
        within.append(connection.sending_message)
        assert within == [False, True]
        connection.send_close(1001)
        assert parse(b"".join(connection.data_to_send())) == [(0x01, b"x"), (0x88, b"\x03\xe9")]
        assert connection.next_event() == Closed(1005, "", True)


def test_oracle_limits_messages() -> None:
    connection = new(OracleConnection, Role.SERVER, limits=WebSocketLimits(max_message_bytes=10))
    events = run_machine(connection, [frame(0x82, b"x" * 10), frame(0x02, b"x" * 6), frame(0x80, b"x" * 5)])
    assert events == [BinaryMessage(b"x" * 10), Failed(1009, "message is larger than 10 bytes")]


def test_oracle_refuses_misuse() -> None:
    connection = new(OracleConnection, Role.SERVER)
    connection.send_piece(Opcode.TEXT, b"\xc3", finished=False)
    with pytest.raises(LocalProtocolError):
        connection.send_text("another")
    with pytest.raises(LocalProtocolError):
        connection.send_piece(Opcode.BINARY, b"", finished=True)
    with pytest.raises(LocalProtocolError):
        connection.send_ping(b"x" * 126)
    connection.send_piece(Opcode.TEXT, b"\xa9", finished=True)
    assert b"".join(data for _, data in parse(b"".join(connection.data_to_send()))) == "é".encode()
    connection.send_text_chunks([b"a", b"b"])
    connection.send_binary(b"c")
    assert parse(b"".join(connection.data_to_send())) == [(0x81, b"ab"), (0x82, b"c")]
    connection.send_close(None)
    assert parse(b"".join(connection.data_to_send())) == [(0x88, b"")]
    assert run_machine(connection, [frame(0x89, b"late"), frame(0x88, b"\x03\xe8")]) == [
        Ping(b"late"),
        Closed(1000, "", True),
    ]
    assert connection.data_to_send() == []
