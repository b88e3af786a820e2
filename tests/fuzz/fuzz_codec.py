"""Any bytes, in any cuts: equal events and answers, within the limits, read as wsproto reads them, and as sent again.

The input: role, delivery, compression and limits in a byte each, then what arrives on the connection.
"""

from __future__ import annotations

from aigw_proto import Entropy, Role, WebSocketLimits
from aigw_proto.testing import run_machine
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    CloseReceived,
    DeflateParameters,
    Delivery,
    Failed,
    MessagePiece,
    OracleConnection,
    Ping,
    Pong,
    TextMessage,
    WebSocketEvent,
    WSConnection,
)
from fuzz.script import Script, cuts
from support.frames import parse

ROLES = [Role.SERVER, Role.CLIENT]
DELIVERIES = [Delivery.MESSAGES, Delivery.PIECES, Delivery.RELAY]
COMPRESSIONS = [
    None,
    DeflateParameters(False, False, 15, 15),
    DeflateParameters(True, True, 15, 15),
    DeflateParameters(False, True, 9, 8),
]
LIMITS = [
    WebSocketLimits(),
    WebSocketLimits(max_message_bytes=20, max_frame_bytes=15),
    WebSocketLimits(max_fragments=3, max_pending_control_bytes=40),
    WebSocketLimits(piece_bytes=7, relayed_piece_bytes=5, max_message_bytes=1000),
]
MAX_CONTROL_FRAME_BYTES = 125 + 2 + 4
INVALID_DATA, TOO_BIG = 1007, 1009
CLOSE_FRAME = 0x88
ABRUPT = Closed(1006, "", clean=False)
REFUSED_CODE = 1014  # registered after RFC 6455; wsproto refuses it
PADDING = bytes(16)  # completes any header, so that wsproto has to look at it
Ends = tuple[list[WebSocketEvent], bytes]


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    role, delivery = script.choice(ROLES), script.choice(DELIVERIES)
    deflate, limits = script.choice(COMPRESSIONS), script.choice(LIMITS)
    wire = script.rest()

    def run(chunks: list[bytes]) -> Ends:
        connection = WSConnection(
            role, now=0.0, limits=limits, entropy=Entropy(bytes), deflate=deflate, delivery=delivery
        )
        events: list[WebSocketEvent] = run_machine(connection, chunks, eof=True)
        check_ending(connection, events)
        return events, b"".join(connection.data_to_send())

    events, answers = run([wire])
    check_limits(events, answers, limits, delivery)
    for chunks in cuts(wire):
        check_alike((events, answers), run(chunks), delivery)
    if limits is LIMITS[0] and deflate is None:
        check_oracle(wire, role)
    if delivery is Delivery.MESSAGES:
        check_round_trip(events, role, deflate)


def check_ending(connection: WSConnection, events: list[WebSocketEvent]) -> None:
    """Exactly one terminal event, the last; nothing comes after it, and there is nothing left to wait for."""
    if not isinstance(events[-1], Closed | Failed):
        assert isinstance(events[-1], CloseReceived)  # which the caller has to answer
        connection.send_close(None, now=0.0)
        assert isinstance(connection.next_event(), Closed)
    assert not any(isinstance(event, Closed | Failed) for event in events[:-1])
    assert connection.next_timeout() is None
    connection.receive_data(b"\x81\x00\x89\x00", 0.0)
    assert not isinstance(connection.next_event(), Ping | TextMessage | MessagePiece | Closed | Failed)


def check_limits(events: list[WebSocketEvent], answers: bytes, limits: WebSocketLimits, delivery: Delivery) -> None:
    """Nothing that was handed over is larger than its limit."""
    assert len(answers) <= limits.max_pending_control_bytes + 2 * MAX_CONTROL_FRAME_BYTES
    for event in events:
        match event:
            case TextMessage(text):
                assert len(text.encode()) <= limits.max_message_bytes
            case BinaryMessage(data):
                assert len(data) <= limits.max_message_bytes
            case MessagePiece():
                assert len(event.data) <= limits.piece_bytes
                assert event.finished or event.data or delivery is Delivery.RELAY
            case _:
                pass


def joined(events: list[WebSocketEvent]) -> list[WebSocketEvent]:
    """Join the pieces that follow each other: how many they are depends on the cuts."""
    result: list[WebSocketEvent] = []
    for event in events:
        last = result[-1] if result else None
        if isinstance(event, MessagePiece) and isinstance(last, MessagePiece) and not last.finished:
            assert event.opcode is last.opcode
            assert not event.started
            result[-1] = MessagePiece(event.opcode, last.data + event.data, last.started, event.finished)
        else:
            result.append(event)
    return result


def check_alike(whole: Ends, cut: Ends, delivery: Delivery) -> None:
    """Hold two ways of reading the same bytes against each other.

    Of a message that is never completed, what was handed over before the failure may be more or less, and so may what
    a relay still holds back for a longer piece; compressed data that it holds back may also be wrong unnoticed.
    """
    one, other = joined(whole[0]), joined(cut[0])
    held_back = delivery is Delivery.RELAY and ABRUPT in (one[-1], other[-1]) and one[-1] != other[-1]
    assert held_back or plain_answers(whole[1]) == plain_answers(cut[1]), "the answers differ"
    one[-1], other[-1] = plain_failure(one[-1]), plain_failure(other[-1])
    if one == other:
        return
    assert delivery is not Delivery.MESSAGES, (one, other)
    assert held_back or one[-1] == other[-1]
    left, left_piece = unfinished(one[:-1])
    right, right_piece = unfinished(other[:-1])
    assert left == right
    assert isinstance(one[-1], Failed) or delivery is Delivery.RELAY
    assert left_piece.startswith(right_piece) or right_piece.startswith(left_piece)


def plain_failure(event: WebSocketEvent) -> WebSocketEvent:
    """Leave out what exactly is wrong with data (1007): with two faults it depends on how much of them was there."""
    return Failed(event.code, "") if isinstance(event, Failed) and event.code == INVALID_DATA else event


def plain_answers(answers: bytes) -> list[tuple[int, bytes]]:
    """Read the answers, and leave out the same in the Close that repeats it."""
    frames = parse(answers)
    if frames and frames[-1][0] == CLOSE_FRAME and frames[-1][1][:2] == INVALID_DATA.to_bytes(2, "big"):
        frames[-1] = (CLOSE_FRAME, b"")
    return frames


def unfinished(events: list[WebSocketEvent]) -> tuple[list[WebSocketEvent], bytes]:
    """Take off the piece of a message that never ends, if there is one."""
    if events and isinstance(last := events[-1], MessagePiece) and not last.finished:
        return events[:-1], last.data
    return events, b""


def check_oracle(wire: bytes, role: Role) -> None:
    """Hold our codec against wsproto; `tests/aigw_proto/ws/test_oracle.py` gives the reasons of the exceptions."""
    ours, code = outcome(WSConnection(role, now=0.0, entropy=Entropy(bytes)), [wire])
    theirs, their_code = outcome(OracleConnection(role, now=0.0, entropy=Entropy(bytes)), [wire])
    if code is None:
        ended: list[WebSocketEvent] = run_machine(WSConnection(role, now=0.0, entropy=Entropy(bytes)), [wire], eof=True)
        if isinstance(last := ended[-1], Closed) and last.code == REFUSED_CODE:
            return
        if their_code is not None or ours != theirs:
            raise AssertionError(f"read {ours}, wsproto read {theirs} and failed with {their_code}")
        return
    assert ours == theirs[: len(ours)]
    if their_code is None and ours == theirs and code != TOO_BIG:  # it counts what came, not what was declared
        theirs, their_code = outcome(OracleConnection(role, now=0.0, entropy=Entropy(bytes)), [wire, PADDING])
        assert their_code is not None, f"failed with {code}, wsproto read {theirs}"


def outcome(connection: WSConnection, chunks: list[bytes]) -> tuple[list[WebSocketEvent], int | None]:
    """Return what was received, and the code of the failure, if any."""
    events: list[WebSocketEvent] = run_machine(connection, chunks)
    if events and isinstance(events[-1], Failed):
        return events[:-1], events[-1].code
    return events, None


def check_round_trip(events: list[WebSocketEvent], role: Role, deflate: DeflateParameters | None) -> None:
    """Send again what was received, from the other end; it must arrive again."""
    other = Role.CLIENT if role is Role.SERVER else Role.SERVER
    sender = WSConnection(other, now=0.0, entropy=Entropy(bytes), deflate=deflate)
    expected: list[WebSocketEvent] = []
    for event in events:
        match event:
            case TextMessage(text):
                sender.send_text(text)
            case BinaryMessage(payload):
                sender.send_binary(payload)
            case Ping(payload):
                sender.send_ping(payload)
            case Pong(payload):
                sender.send_pong(payload)
            case _:
                continue
        expected.append(event)
    receiver = WSConnection(role, now=0.0, entropy=Entropy(bytes), deflate=deflate)
    arrived: list[WebSocketEvent] = run_machine(receiver, [b"".join(sender.data_to_send())])
    assert arrived == expected
