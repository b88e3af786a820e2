from __future__ import annotations

import itertools
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._entropy import Entropy
from aigw_proto._errors import LocalProtocolError
from aigw_proto._kinds import Role, Signal
from aigw_proto._limits import WebSocketLimits
from aigw_proto.testing import ConnectionPair, chunkings, run_machine
from aigw_proto.ws import (
    TRANSITIONS,
    BinaryMessage,
    Closed,
    CloseReceived,
    ConnectionState,
    DeflateParameters,
    Delivery,
    Failed,
    MessagePiece,
    Opcode,
    OracleConnection,
    Ping,
    Pong,
    TextMessage,
    Trigger,
    WebSocketEvent,
    WSConnection,
)
from aigw_proto.ws._deflate import Deflater
from support.frames import frame, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

IMPLEMENTATIONS = [WSConnection, OracleConnection]
LIMITS = WebSocketLimits(ping_interval_seconds=30, pong_timeout_seconds=20, close_timeout_seconds=10)


def entropy() -> Entropy:
    return Entropy(lambda count: bytes(index * 89 & 0xFF for index in range(count)))


def new_connection(
    role: Role = Role.SERVER,
    *,
    implementation: type[WSConnection] = WSConnection,
    limits: WebSocketLimits = LIMITS,
    deflate: DeflateParameters | None = None,
    delivery: Delivery = Delivery.MESSAGES,
) -> WSConnection:
    return implementation(role, now=0, limits=limits, entropy=entropy(), deflate=deflate, delivery=delivery)


def sent(connection: WSConnection) -> list[tuple[int, bytes]]:
    return parse(b"".join(connection.data_to_send()))


def in_state(
    state: ConnectionState,
    *,
    role: Role = Role.CLIENT,
    implementation: type[WSConnection] = WSConnection,
    delivery: Delivery = Delivery.MESSAGES,
) -> WSConnection:
    """A connection in `state`, nothing pending. Only a client can stay in ENDING, only a relay be in ANSWERING."""
    if state is ConnectionState.ANSWERING:
        delivery = Delivery.RELAY
    connection = new_connection(role, implementation=implementation, delivery=delivery)
    masked = role is Role.SERVER
    if state is ConnectionState.CLOSING:
        connection.send_close(now=0)
    elif state is ConnectionState.ENDING:
        connection.send_close(1001, now=0)
        assert run_machine(connection, [frame(0x88, masked=masked)])[1:] == []
    elif state is ConnectionState.ANSWERING:
        assert run_machine(connection, [frame(0x88, masked=masked)]) == [CloseReceived(1005, "")]
    elif state is ConnectionState.CLOSED:
        connection.send_close(1001, now=0)
        assert run_machine(connection, [frame(0x88, masked=masked)], eof=True)[-1] == Closed(1005, "", True)
    elif state is ConnectionState.FAILED:
        connection.fail(1008, "no")
        assert run_machine(connection, []) == [Failed(1008, "no")] or connection.next_event() == Failed(1008, "no")
    connection.data_to_send()
    assert connection.state is state
    return connection


def pull(connection: WSConnection) -> list[WebSocketEvent]:
    events: list[WebSocketEvent] = []
    while not isinstance(event := connection.next_event(), Signal):
        events.append(event)
    return events


def apply(trigger: Trigger, connection: WSConnection, *, masked: bool = False) -> list[WebSocketEvent]:
    """Make `trigger` happen and pull what comes of it."""
    match trigger:
        case Trigger.SEND:
            connection.send_text("x")
        case Trigger.SEND_CLOSE:
            connection.send_close(now=0)
        case Trigger.RECEIVE:
            connection.receive_data(frame(0x81, b"x", masked=masked), 0)
        case Trigger.RECEIVE_CLOSE | Trigger.DEFER_CLOSE:
            connection.receive_data(frame(0x88, b"\x03\xe8", masked=masked), 0)
        case Trigger.FAIL:
            connection.fail(1008, "no")
        case Trigger.DEADLINE:
            for now in (30, 60, 90):
                connection.handle_timeout(now)
        case Trigger.STREAM_ENDS:
            connection.receive_eof(0)
    return pull(connection)


def happens(state: ConnectionState, trigger: Trigger, delivery: Delivery) -> bool:
    """Whether `trigger` can be tried: what a peer's Close means depends on the state and on who answers it."""
    deferred = delivery is Delivery.RELAY and state is ConnectionState.OPEN
    if trigger is Trigger.RECEIVE_CLOSE:
        return not deferred
    return trigger is not Trigger.DEFER_CLOSE or deferred


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(
    ("delivery", "state", "trigger"),
    [
        (delivery, state, trigger)
        for delivery, state, trigger in itertools.product(Delivery, ConnectionState, Trigger)
        if (delivery is Delivery.RELAY or state is not ConnectionState.ANSWERING) and happens(state, trigger, delivery)
    ],
)
def test_every_state_and_every_trigger(
    delivery: Delivery, state: ConnectionState, trigger: Trigger, implementation: type[WSConnection]
) -> None:
    connection = in_state(state, implementation=implementation, delivery=delivery)
    target = TRANSITIONS[state].get(trigger)
    assert connection.can_send is (Trigger.SEND in TRANSITIONS[state])
    if target is None:
        if trigger in (Trigger.SEND, Trigger.SEND_CLOSE):
            with pytest.raises(LocalProtocolError):
                apply(trigger, connection)
        else:
            assert apply(trigger, connection) == []
        assert connection.data_to_send() == []
        assert connection.state is state
        return
    events = apply(trigger, connection)
    assert connection.state is target
    closes = [event for event in events if isinstance(event, CloseReceived)]
    expected = delivery is Delivery.RELAY and trigger in (Trigger.RECEIVE_CLOSE, Trigger.DEFER_CLOSE)
    assert closes == [CloseReceived(1000, "")] * expected
    terminal = [event for event in events if isinstance(event, Closed | Failed)]
    assert len(terminal) == (target in (ConnectionState.CLOSED, ConnectionState.FAILED))
    if terminal:
        assert connection.next_timeout() is None
        assert connection.next_event() is Signal.NEED_DATA
        assert isinstance(terminal[0], Failed) == (target is ConnectionState.FAILED)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_a_server_closes_at_once_and_a_client_waits_for_the_end(role: Role, implementation: type[WSConnection]) -> None:
    connection = new_connection(role, implementation=implementation)
    events = apply(Trigger.RECEIVE_CLOSE, connection, masked=role is Role.SERVER)
    assert sent(connection) == [(0x88, b"\x03\xe8")]
    if role is Role.SERVER:
        assert events == [Closed(1000, "", True)]
        return
    assert events == []
    assert connection.state is ConnectionState.ENDING
    deadline = connection.next_timeout()
    assert deadline == 0
    connection.handle_timeout(5)
    assert connection.next_timeout() == 15
    connection.receive_eof(6)
    assert pull(connection) == [Closed(1000, "", True)]


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("deflate", [None, DeflateParameters(), DeflateParameters(True, True, 9, 12)])
def test_two_ends_talk_and_close(implementation: type[WSConnection], deflate: DeflateParameters | None) -> None:
    server = new_connection(implementation=implementation, deflate=deflate)
    client = new_connection(Role.CLIENT, deflate=deflate)
    pair = ConnectionPair(client, server)
    client.send_text("naïve")
    client.send_text(b"bytes")
    client.send_binary(b"\x00\xff")
    client.send_piece(Opcode.TEXT, b"\xc3", finished=False)
    # wsproto breaks a compressed message at a ping between its fragments.
    pings = [] if deflate and implementation is OracleConnection else [b"between"]
    for data in pings:
        client.send_ping(data)
    client.send_piece(Opcode.TEXT, b"\xa9", finished=True)
    client.send_pong(b"unasked")
    server.send_text_chunks([b"a", b"b"])
    server.send_binary(bytes(70_000))
    pair.pump()
    assert pair.right_events == [
        TextMessage("naïve"),
        TextMessage("bytes"),
        BinaryMessage(b"\x00\xff"),
        *map(Ping, pings),
        TextMessage("é"),
        Pong(b"unasked"),
    ]
    assert pair.left_events == [TextMessage("ab"), BinaryMessage(bytes(70_000)), *map(Pong, pings)]
    client.send_close(4000, "done", now=0)
    pair.end_right()
    assert pair.right_events[-1] == Closed(4000, "done", True)
    assert pair.left_events[-1] == Closed(4000, "", True)


def test_close_of_both_at_the_same_time() -> None:
    server, client = new_connection(), new_connection(Role.CLIENT)
    pair = ConnectionPair(client, server)
    server.send_close(1001, "going", now=0)
    client.send_close(None, now=0)
    pair.end_right()
    assert pair.right_events == [Closed(1005, "", True)]
    assert pair.left_events == [Closed(1001, "going", True)]


def test_messages_still_arrive_while_we_close_and_pings_are_answered() -> None:
    connection = in_state(ConnectionState.CLOSING, role=Role.SERVER)
    data = frame(0x81, b"late") + frame(0x89, b"?") + frame(0x88, b"\x03\xe8") + frame(0x81, b"after") + b"\xff\xff"
    assert run_machine(connection, [data]) == [TextMessage("late"), Ping(b"?"), Closed(1000, "", True)]
    assert sent(connection) == [(0x8A, b"?")]


def test_what_was_valid_before_a_violation_is_delivered() -> None:
    for chunks in chunkings(frame(0x81, b"one") + frame(0x89, b"two") + b"\x83\x80" + frame(0x81, b"never")):
        connection = new_connection()
        assert run_machine(connection, chunks) == [
            TextMessage("one"),
            Ping(b"two"),
            Failed(1002, "opcode 0x3 is reserved"),
        ]
        assert sent(connection) == [(0x8A, b"two"), (0x88, b"\x03\xeaopcode 0x3 is reserved")]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (frame(0x81, b"\xff"), 1007),
        (frame(0x01, b"ok") + frame(0x00, b"\xc0"), 1007),
        (frame(0x88, b"\x00"), 1002),
        (frame(0x88, (1005).to_bytes(2, "big")), 1002),
        (frame(0x88, b"\x03\xe8\xff"), 1007),
        (frame(0x81, b"x", masked=False), 1002),
        (b"\x82\xff\x00\x00\x00\x00\x10\x00\x00\x00", 1009),
        (b"\xc2\x80", 1002),
    ],
)
@pytest.mark.parametrize("state", [ConnectionState.OPEN, ConnectionState.CLOSING])
def test_violations(data: bytes, code: int, state: ConnectionState) -> None:
    connection = in_state(state, role=Role.SERVER)
    (event,) = run_machine(connection, [data])
    assert isinstance(event, Failed)
    assert event.code == code
    assert [(head, payload[:2]) for head, payload in sent(connection)] == (
        [(0x88, code.to_bytes(2, "big"))] if state is ConnectionState.OPEN else []
    )


def test_invalid_text_fails_before_the_frame_is_complete() -> None:
    connection = new_connection()
    data = frame(0x81, b"abc\xff" + b"x" * 1000)
    assert run_machine(connection, [data[:11]]) == []
    assert run_machine(connection, [data[11:12]]) == [Failed(1007, "text is not UTF-8: invalid start byte")]


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("tail", [b"", b"\x81", b"\x81\x85\x00\x00\x00\x00ab"])
def test_end_of_the_stream_without_a_close(role: Role, tail: bytes) -> None:
    connection = new_connection(role)
    masked = role is Role.SERVER
    connection.receive_data(frame(0x81, b"last", masked=masked) + (tail if masked else tail[:1]), 0)
    connection.receive_eof(0)
    connection.receive_eof(0)
    connection.receive_data(frame(0x81, b"ignored", masked=masked), 0)
    assert pull(connection) == [TextMessage("last"), Closed(1006, "", False)]
    assert connection.data_to_send() == []


# A relay answers a Close itself


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize(("payload", "code", "reason"), [(b"", 1005, ""), (b"\x0f\xa0bye", 4000, "bye")])
def test_a_relay_may_send_until_it_answers_the_peers_close(
    role: Role, implementation: type[WSConnection], payload: bytes, code: int, reason: str
) -> None:
    masked = role is Role.SERVER
    connection = new_connection(role, implementation=implementation, delivery=Delivery.RELAY)
    connection.send_piece(Opcode.TEXT, b"be", finished=False)
    wire = frame(0x81, b"last", masked=masked) + frame(0x88, payload, masked=masked)
    events = run_machine(connection, [wire + frame(0x81, b"after", masked=masked), b"\xff\xff"])
    assert events == [MessagePiece(Opcode.TEXT, b"last", True, True), CloseReceived(code, reason)]
    assert connection.state is ConnectionState.ANSWERING
    assert sent(connection) == [(0x01, b"be")], "no answer by itself"
    within = [connection.sending_message]
    connection.send_piece(Opcode.TEXT, b"gun", finished=True)
    within.append(connection.sending_message)
    assert within == [True, False]
    connection.send_binary(b"more")
    connection.send_ping(b"?")
    connection.send_close(4001, "far side", now=3)
    assert sent(connection) == [(0x80, b"gun"), (0x82, b"more"), (0x89, b"?"), (0x88, b"\x0f\xa1far side")]
    if role is Role.CLIENT:
        assert connection.next_event() is Signal.NEED_DATA, "the server ends the stream"
        connection.receive_eof(4)
    assert pull(connection) == [Closed(code, reason, True)]
    assert connection.next_timeout() is None


@pytest.mark.parametrize("role", Role)
def test_a_relay_that_closed_first_hears_of_the_peers_close_as_well(role: Role) -> None:
    connection = in_state(ConnectionState.CLOSING, role=role, delivery=Delivery.RELAY)
    masked = role is Role.SERVER
    closes = frame(0x82, b"late", masked=masked) + frame(0x88, b"\x03\xe9", masked=masked)
    events = run_machine(connection, [closes])
    assert events[:2] == [MessagePiece(Opcode.BINARY, b"late", True, True), CloseReceived(1001, "")]
    if role is Role.CLIENT:
        assert connection.state is ConnectionState.ENDING
        assert connection.next_timeout() == 10, "the deadline of our Close goes on"
        events += run_machine(connection, [], eof=True)
    assert events[2:] == [Closed(1001, "", True)]
    assert sent(connection) == []


@pytest.mark.parametrize("delivery", [Delivery.MESSAGES, Delivery.PIECES])
def test_who_is_no_relay_never_hears_of_a_close_before_the_end(delivery: Delivery) -> None:
    for closing in (False, True):
        connection = new_connection(delivery=delivery)
        if closing:
            connection.send_close(1001, now=0)
        assert run_machine(connection, [frame(0x88, b"\x03\xe8")]) == [Closed(1000, "", True)]


def test_a_close_between_the_fragments_of_a_message() -> None:
    wire = frame(0x02, b"be") + frame(0x88, b"\x03\xe8") + frame(0x80, b"gun")
    for chunks in chunkings(wire):
        connection = new_connection(delivery=Delivery.RELAY)
        assert run_machine(connection, chunks) == [
            MessagePiece(Opcode.BINARY, b"be", True, False),
            CloseReceived(1000, ""),
        ]
        connection.send_piece(Opcode.TEXT, b"be", finished=False)
        connection.send_close(1000)
        assert sent(connection) == [(0x01, b"be"), (0x88, b"\x03\xe8")]
        assert pull(connection) == [Closed(1000, "", True)]


@pytest.mark.parametrize(
    ("role", "state", "expected"),
    [
        (Role.CLIENT, ConnectionState.OPEN, [Closed(1006, "", False)]),
        (Role.CLIENT, ConnectionState.CLOSING, [Closed(1006, "", False)]),
        (Role.CLIENT, ConnectionState.ANSWERING, [Closed(1005, "", False)]),
        (Role.CLIENT, ConnectionState.ENDING, [Closed(1005, "", True)]),
        (Role.CLIENT, ConnectionState.CLOSED, []),
        (Role.CLIENT, ConnectionState.FAILED, []),
        (Role.SERVER, ConnectionState.OPEN, [Closed(1006, "", False)]),
        (Role.SERVER, ConnectionState.CLOSING, [Closed(1006, "", False)]),
        (Role.SERVER, ConnectionState.ANSWERING, [Closed(1005, "", False)]),
        (Role.SERVER, ConnectionState.CLOSED, []),
        (Role.SERVER, ConnectionState.FAILED, []),
    ],
)
def test_the_stream_of_a_relay_may_end_at_any_time(
    role: Role, state: ConnectionState, expected: list[WebSocketEvent]
) -> None:
    connection = in_state(state, role=role, delivery=Delivery.RELAY)
    connection.receive_eof(1)
    connection.receive_eof(1)
    assert pull(connection) == expected
    assert connection.next_timeout() is None
    assert connection.data_to_send() == []


def test_what_a_relay_gathered_goes_with_the_stream() -> None:
    connection = new_connection(delivery=Delivery.RELAY)
    assert run_machine(connection, [frame(0x82, b"never whole")[:-1]], eof=True) == [Closed(1006, "", False)]


def test_the_end_behind_a_close_waits_for_who_pulls() -> None:
    connection = new_connection(delivery=Delivery.RELAY)
    connection.receive_data(frame(0x88, b"\x03\xe8"), 0)
    connection.receive_eof(0)
    assert connection.next_event() == CloseReceived(1000, "")
    assert connection.state is ConnectionState.ANSWERING
    assert pull(connection) == [Closed(1000, "", False)]


def test_a_relay_may_fail_while_it_owes_a_close() -> None:
    connection = in_state(ConnectionState.ANSWERING, role=Role.SERVER)
    connection.fail(1011, "lost")
    assert sent(connection) == [(0x88, b"\x03\xf3lost")]
    assert pull(connection) == [Failed(1011, "lost")]


def test_a_bad_answer_changes_nothing() -> None:
    connection = in_state(ConnectionState.ANSWERING)
    for misuse in MISUSES:
        with pytest.raises(LocalProtocolError):
            misuse(connection)
    assert connection.state is ConnectionState.ANSWERING
    assert connection.data_to_send() == []


@pytest.mark.parametrize("role", Role)
def test_a_close_that_nobody_answers(role: Role) -> None:
    connection = new_connection(role, delivery=Delivery.RELAY)
    connection.receive_data(frame(0x88, masked=role is Role.SERVER), 5)
    assert pull(connection) == [CloseReceived(1005, "")]
    assert connection.next_timeout() == 5, "due at once, to learn the time"
    connection.handle_timeout(7)
    assert connection.next_timeout() == 17
    connection.receive_data(b"ignored", 16)
    connection.set_reading(False, 16)
    connection.set_reading(True, 16)
    connection.handle_timeout(16.9)
    assert connection.data_to_send() == [], "no ping to who sends no more"
    connection.handle_timeout(17)
    assert pull(connection) == [Failed(1006, "the peer's Close was not answered")]
    assert connection.data_to_send() == []
    assert connection.next_timeout() is None


def test_an_answer_does_not_prolong_the_deadline() -> None:
    connection = in_state(ConnectionState.ANSWERING)
    connection.handle_timeout(2)
    connection.send_close(1000, now=9)
    assert connection.next_timeout() == 12
    connection.handle_timeout(12)
    assert pull(connection) == [Closed(1005, "", True)]
    early = in_state(ConnectionState.ANSWERING)
    early.send_close(1000, now=9)
    assert early.next_timeout() == 19, "the first time that became known"
    timeless = in_state(ConnectionState.ANSWERING)
    timeless.send_close(1000)
    assert timeless.next_timeout() == 0
    timeless.handle_timeout(4)
    assert timeless.next_timeout() == 14


# Misuse


def test_a_client_needs_entropy() -> None:
    with pytest.raises(LocalProtocolError):
        WSConnection(Role.CLIENT, now=0)
    assert WSConnection(Role.SERVER, now=0).state is ConnectionState.OPEN


MISUSES: list[Callable[[WSConnection], None]] = [
    lambda c: c.send_text("\ud800"),
    lambda c: c.send_ping(b"x" * 126),
    lambda c: c.send_pong(b"x" * 126),
    lambda c: c.send_piece(Opcode.CLOSE, b"", finished=True),
    lambda c: c.send_close(1005),
    lambda c: c.send_close(999),
    lambda c: c.send_close(None, "reason"),
    lambda c: c.fail(1006, "never on the wire"),
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_misuse_changes_nothing(misuse: Callable[[WSConnection], None]) -> None:
    connection = new_connection()
    with pytest.raises(LocalProtocolError):
        misuse(connection)
    assert connection.state is ConnectionState.OPEN
    assert connection.data_to_send() == []
    assert connection.next_timeout() == 30
    assert connection.next_event() is Signal.NEED_DATA


@pytest.mark.parametrize("role", Role)
def test_a_relayed_piece_is_sent_as_it_came(role: Role) -> None:
    connection, same = new_connection(role), new_connection(role)
    for opcode, data, started, finished in (
        (Opcode.TEXT, b"one", True, True),
        (Opcode.BINARY, b"tw", True, False),
        (Opcode.BINARY, b"", False, False),
        (Opcode.BINARY, b"o", False, True),
    ):
        connection.relay_piece(MessagePiece(opcode, data, started, finished))
        assert connection.sending_message is not finished
        same.send_piece(opcode, data, finished=finished)
        assert sent(connection) == sent(same)
    connection.relay_piece(MessagePiece(Opcode.TEXT, b"begun", True, False))
    with pytest.raises(LocalProtocolError):
        connection.relay_piece(MessagePiece(Opcode.BINARY, b"other", False, True))


SENDS: list[Callable[[WSConnection], None]] = [
    lambda c: c.send_text("x"),
    lambda c: c.send_binary(b"x"),
    lambda c: c.send_text_chunks([b"x"]),
    lambda c: c.send_piece(Opcode.TEXT, b"x", finished=True),
    lambda c: c.relay_piece(MessagePiece(Opcode.TEXT, b"x", True, True)),
    lambda c: c.send_ping(),
    lambda c: c.send_pong(),
    lambda c: c.send_close(),
]


@pytest.mark.parametrize("send", SENDS)
@pytest.mark.parametrize("state", [state for state in ConnectionState if Trigger.SEND not in TRANSITIONS[state]])
def test_nothing_is_sent_unless_open(state: ConnectionState, send: Callable[[WSConnection], None]) -> None:
    connection = in_state(state)
    with pytest.raises(LocalProtocolError):
        send(connection)
    assert connection.data_to_send() == []
    assert connection.state is state


def test_failing_by_the_callers_will() -> None:
    connection = new_connection()
    connection.receive_data(frame(0x81, b"one") + frame(0x81, b"two"), 0)
    assert connection.next_event() == TextMessage("one")
    connection.fail(1008, "r" * 200)
    assert sent(connection) == [(0x88, b"\x03\xf0" + b"r" * 123)]
    connection.receive_data(frame(0x81, b"three"), 0)
    connection.fail(1011, "again")
    assert pull(connection) == [Failed(1008, "r" * 200)]
    assert sent(connection) == []


# Time


def test_keep_alive() -> None:
    server, client = new_connection(), new_connection(Role.CLIENT)
    pair = ConnectionPair(client, server)
    pair.advance(100)
    assert Ping(b"") in pair.left_events
    assert Pong(b"") in pair.right_events
    assert server.state is client.state is ConnectionState.OPEN


def test_a_dead_peer_is_given_up_without_a_close() -> None:
    connection = new_connection()
    assert connection.next_timeout() == 30
    connection.handle_timeout(30)
    assert sent(connection) == [(0x89, b"")]
    assert connection.next_timeout() == 50
    connection.handle_timeout(50)
    assert pull(connection) == [Failed(1006, "no sign of life after a ping")]
    assert sent(connection) == []
    connection.handle_timeout(1000)
    assert pull(connection) == []


def test_a_peer_that_never_answers_our_close() -> None:
    connection = in_state(ConnectionState.CLOSING)
    assert connection.next_timeout() == 10
    connection.handle_timeout(10)
    assert pull(connection) == [Failed(1006, "no Close in answer to ours")]


def test_a_server_that_never_ends_the_stream() -> None:
    connection = in_state(ConnectionState.CLOSING)
    assert apply(Trigger.RECEIVE_CLOSE, connection) == []
    assert connection.next_timeout() == 10, "the deadline of our Close goes on"
    connection.handle_timeout(10)
    assert pull(connection) == [Closed(1000, "", True)]


def test_the_close_deadline_counts_from_when_it_is_known() -> None:
    connection = new_connection()
    connection.send_close()
    assert connection.next_timeout() == 0
    connection.handle_timeout(100)
    assert connection.next_timeout() == 110


def test_silence_does_not_count_while_nobody_reads() -> None:
    connection = new_connection()
    connection.set_reading(False, 5)
    assert connection.next_timeout() is None
    connection.set_reading(True, 500)
    assert connection.next_timeout() == 530
    connection.receive_data(frame(0x81, b"x"), 501)
    connection.handle_timeout(531)
    assert connection.data_to_send() == [], "what was not pulled is not silence"
    assert pull(connection) == [TextMessage("x")]
    connection.handle_timeout(561)
    assert sent(connection) == [(0x89, b"")]


def test_no_deadline_without_an_interval() -> None:
    assert new_connection(limits=WebSocketLimits(ping_interval_seconds=None)).next_timeout() is None


# Bounds


@pytest.mark.parametrize("delivery", Delivery)
def test_a_deflate_bomb_is_refused_before_it_is_inflated(delivery: Delivery) -> None:
    bomb = Deflater(window_bits=15, no_context_takeover=False).compress(bytes(32 << 20), finished=True)
    connection = new_connection(
        limits=WebSocketLimits(max_message_bytes=1 << 20), deflate=DeflateParameters(), delivery=delivery
    )
    data = frame(0xC2, bomb)
    total, largest = 0, 0
    failed: Failed | None = None
    tracemalloc.start()
    connection.receive_data(data, 0)
    while not isinstance(event := connection.next_event(), Signal):
        if isinstance(event, MessagePiece):
            total += len(event.data)
            largest = max(largest, len(event.data))
        elif isinstance(event, Failed):
            failed = event
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    if delivery is Delivery.MESSAGES:
        assert failed is not None
        assert failed.code == 1009
        assert total == 0
        assert peak < 4 << 20
    else:
        assert (failed, total, largest) == (None, 32 << 20, 65536)
        assert peak < 1 << 20


@pytest.mark.parametrize("delivery", [Delivery.PIECES, Delivery.RELAY])
def test_an_endless_frame_costs_no_memory(delivery: Delivery) -> None:
    connection = new_connection(delivery=delivery)
    connection.receive_data(b"\x81\xff" + ((1 << 63) - 1).to_bytes(8, "big") + bytes(4), 0)
    chunk = b"x" * 65536
    tracemalloc.start()
    for _ in range(200):
        connection.receive_data(chunk, 0)
        assert [type(event) for event in pull(connection)] == [MessagePiece]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_endless_empty_fragments_are_one_event_each_for_a_relay() -> None:
    connection = new_connection(delivery=Delivery.RELAY, limits=WebSocketLimits(max_fragments=1000))
    connection.receive_data(frame(0x01) + frame(0x00) * 2000, 0)
    for index in range(1000):
        assert connection.next_event() == MessagePiece(Opcode.TEXT, b"", index == 0, False)
    assert pull(connection) == [Failed(1009, "message has more than 1000 fragments")]


def test_a_flood_of_pings_that_nobody_answers_costs_no_memory() -> None:
    connection = new_connection()
    flood = frame(0x89, b"x" * 125) * 400
    tracemalloc.start()
    for _ in range(20):
        connection.receive_data(flood, 0)
        assert len(pull(connection)) == 400
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 256 * 1024
    pongs = sent(connection)
    assert sum(len(payload) for _, payload in pongs) < 70_000


def test_a_collected_message_of_tiny_fragments_takes_little_more_than_its_size() -> None:
    connection = new_connection()
    connection.receive_data(frame(0x02), 0)
    fragments = frame(0x00, b"ab") * 1000
    tracemalloc.start()
    for _ in range(20):
        connection.receive_data(fragments, 0)
        assert pull(connection) == []
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 100_000
    connection.receive_data(frame(0x80), 0)
    assert pull(connection) == [BinaryMessage(b"ab" * 20_000)]


def test_fragments_are_bounded() -> None:
    connection = new_connection(limits=WebSocketLimits(max_fragments=10))
    events = run_machine(connection, [frame(0x01) + frame(0x00) * 10])
    assert events == [Failed(1009, "message has more than 10 fragments")]


def test_a_message_may_be_as_large_as_the_limit_with_pings_inside() -> None:
    limits = WebSocketLimits(max_message_bytes=100)
    wire = frame(0x02, b"x" * 60) + frame(0x89, b"p" * 125) + frame(0x80, b"x" * 40)
    connection = new_connection(limits=limits)
    assert run_machine(connection, [wire]) == [Ping(b"p" * 125), BinaryMessage(b"x" * 100)]


# Any bytes


@given(
    junk=st.one_of(
        st.binary(max_size=300),
        st.lists(
            st.sampled_from(
                [
                    frame(0x81, b"text"),
                    frame(0x01, b"\xc3"),
                    frame(0x80, b"\xa9"),
                    frame(0x89, b"p"),
                    frame(0x88, b"\x03\xe8"),
                    frame(0x82, b"y" * 200),
                    frame(0xC1, b"\xcaI\x01\x00"),
                    b"\x00",
                    frame(0x00),
                ]
            ),
            max_size=8,
        ).map(b"".join),
    ),
    role=st.sampled_from(Role),
    deflate=st.booleans(),
    delivery=st.sampled_from(Delivery),
    eof=st.booleans(),
)
@settings(max_examples=200)
def test_any_bytes_give_the_same_events_however_they_are_cut(
    junk: bytes, role: Role, deflate: bool, delivery: Delivery, eof: bool
) -> None:
    outcomes: list[tuple[list[object], list[tuple[int, bytes]]]] = []
    for chunks in chunkings(junk, cuts=2):
        connection = new_connection(role, deflate=DeflateParameters() if deflate else None, delivery=delivery)
        events = run_machine(connection, chunks, eof=eof)
        terminal = [event for event in events if isinstance(event, Closed | Failed)]
        assert terminal == events[-1:] if terminal else True
        assert len(terminal) <= 1
        outcomes.append((merge(events), sent(connection)))
    assert all(outcome == outcomes[0] for outcome in outcomes)


def merge(events: Sequence[object]) -> list[object]:
    """Join the pieces of messages, so that only the payload counts; pings between them come first then."""
    merged: list[object] = []
    pieces: list[bytes] = []
    for event in events:
        if not isinstance(event, MessagePiece):
            merged.append(event)
            continue
        pieces = [event.data] if event.started else [*pieces, event.data]
        if event.finished:
            merged.append((event.opcode, b"".join(pieces)))
    return merged


@given(
    sends=st.lists(
        st.one_of(
            st.text(max_size=50),
            st.binary(max_size=50),
            st.lists(st.binary(max_size=30), min_size=1, max_size=4),
        ),
        max_size=6,
    ),
    deflate=st.sampled_from([None, DeflateParameters(), DeflateParameters(True, True, 8, 8)]),
    role=st.sampled_from(Role),
    cuts=st.lists(st.integers(1, 60), min_size=1, max_size=5),
)
@settings(max_examples=60)
def test_what_one_end_sends_the_other_receives(
    sends: list[str | bytes | list[bytes]], deflate: DeflateParameters | None, role: Role, cuts: list[int]
) -> None:
    def cut(data: bytes) -> list[bytes]:
        chunks: list[bytes] = []
        sizes = itertools.cycle(cuts)
        position = 0
        while position < len(data):
            size = next(sizes)
            chunks.append(data[position : position + size])
            position += size
        return chunks

    left = new_connection(role, deflate=deflate)
    right = new_connection(Role.SERVER if role is Role.CLIENT else Role.CLIENT, deflate=deflate)
    pair = ConnectionPair(left, right, cut=cut)
    expected: list[WebSocketEvent] = []
    for send in sends:
        if isinstance(send, str):
            left.send_text(send)
            expected.append(TextMessage(send))
        elif isinstance(send, bytes):
            left.send_binary(send)
            expected.append(BinaryMessage(send))
        else:
            for index, data in enumerate(send):
                left.send_piece(Opcode.BINARY, data, finished=index == len(send) - 1)
            expected.append(BinaryMessage(b"".join(send)))
    pair.pump()
    assert pair.right_events == expected
    assert pair.left_events == []
