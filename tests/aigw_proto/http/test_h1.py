"""HTTP/1.1, what is sent, and two connections that talk to each other."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._errors import LocalProtocolError
from aigw_proto._kinds import Role, Signal
from aigw_proto._limits import HttpLimits
from aigw_proto.http import (
    BodyPiece,
    EndOfMessage,
    Failed,
    H1Connection,
    Headers,
    HttpEvent,
    Request,
    Response,
    StreamEnded,
)

HOST = (b"host", b"a")
LIMITS = HttpLimits(max_request_body_bytes=1 << 30)


def drain(connection: H1Connection) -> list[HttpEvent]:
    events: list[HttpEvent] = []
    while not isinstance(event := connection.next_event(), Signal):
        events.append(event)
    return events


def body_of(events: list[HttpEvent]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, BodyPiece))


def server(head: bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", *, pull: bool = True) -> H1Connection:
    connection = H1Connection(Role.SERVER, now=0.0)
    connection.receive_data(head, 0.0)
    if pull:
        drain(connection)
    return connection


def sent(connection: H1Connection) -> bytes:
    return b"".join(connection.data_to_send())


# --- requests ---


def test_request_with_a_length() -> None:
    connection = H1Connection(Role.CLIENT, now=0.0)
    connection.send_request(Request(b"POST", b"/a?b", [(b"Host", b"x"), (b"Content-Length", b"5")]))
    connection.send_data(b"hel")
    connection.send_data(b"")
    connection.send_data(b"lo")
    connection.end_message()
    assert sent(connection) == b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    assert connection.data_to_send() == []
    assert not connection.idle
    assert not connection.reusable


def test_large_pieces_are_not_copied() -> None:
    connection = H1Connection(Role.CLIENT, now=0.0)
    large = bytes(100_000)
    connection.send_request(Request(b"POST", b"/", [HOST, (b"content-length", b"100000")]))
    connection.send_data(large)
    assert any(chunk is large for chunk in connection.data_to_send())
    chunked = server()
    chunked.send_response(Response(200, []))
    chunked.data_to_send()
    chunked.send_data(large)
    assert [len(chunk) for chunk in chunked.data_to_send()] == [7, 100_000, 2]
    chunked.send_data(b"small")
    assert chunked.data_to_send() == [b"5\r\nsmall\r\n"]


def assert_unchanged(connection: H1Connection) -> None:
    """The connection still does what it did before the caller's mistake."""
    connection.send_data(b"ok")
    connection.end_message()
    assert sent(connection).endswith(b"ok")


def test_body_must_match_its_length() -> None:
    connection = H1Connection(Role.CLIENT, now=0.0)
    connection.send_request(Request(b"POST", b"/", [HOST, (b"content-length", b"2")]))
    with pytest.raises(LocalProtocolError):
        connection.send_data(b"too much")
    with pytest.raises(LocalProtocolError):
        connection.end_message()
    with pytest.raises(LocalProtocolError):
        connection.send_request(Request(b"GET", b"/", [HOST]))
    assert_unchanged(connection)
    with pytest.raises(LocalProtocolError):
        connection.send_data(b"")
    with pytest.raises(LocalProtocolError):
        connection.end_message()


def test_malformed_request_changes_nothing() -> None:
    connection = H1Connection(Role.CLIENT, now=0.0)
    with pytest.raises(LocalProtocolError):
        connection.send_request(Request(b"GET", b"/", [HOST, (b"x", b"1\r\nevil: 2")]))
    assert connection.reusable
    assert connection.data_to_send() == []


def test_roles_are_kept() -> None:
    with pytest.raises(LocalProtocolError):
        server().send_request(Request(b"GET", b"/", [HOST]))
    client = H1Connection(Role.CLIENT, now=0.0)
    for response in (Response(200, []), Response(100, [])):
        with pytest.raises(LocalProtocolError):
            client.send_response(response)
    with pytest.raises(LocalProtocolError):
        client.send_switch(Response(101, []))
    assert not client.can_answer
    assert not client.expects_continue
    client.send_continue()
    assert client.data_to_send() == []


def test_own_wish_to_close() -> None:
    connection = H1Connection(Role.CLIENT, now=0.0)
    connection.send_request(Request(b"GET", b"/", [HOST, (b"connection", b"close")]))
    connection.end_message()
    connection.receive_data(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 0.0)
    drain(connection)
    assert (connection.must_close, connection.reusable, connection.idle) == (True, False, True)


# --- responses ---


def test_response_without_a_length_is_chunked() -> None:
    connection = server()
    connection.send_response(Response(200, [(b"x", b"y")], b"OK"))
    connection.send_data(b"abc")
    connection.end_message([(b"t", b"1")])
    assert sent(connection) == (
        b"HTTP/1.1 200 OK\r\nx: y\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nt: 1\r\n\r\n"
    )
    assert connection.idle
    assert not connection.must_close


def test_response_to_an_old_client_ends_with_the_stream() -> None:
    connection = server(b"GET / HTTP/1.0\r\n\r\n")
    connection.send_response(Response(100, []))
    connection.send_continue()
    connection.send_response(Response(200, []))
    connection.send_data(b"abc")
    connection.end_message([(b"t", b"1")])
    assert sent(connection) == b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc"
    assert connection.must_close
    assert connection.idle
    assert connection.next_event() is Signal.BLOCKED
    connection.receive_data(b"GET / HTTP/1.0\r\n\r\n", 0.0)
    assert connection.next_event() is Signal.BLOCKED
    connection.receive_eof(0.0)
    assert connection.next_event() == StreamEnded()


@pytest.mark.parametrize(
    ("method", "status", "headers"),
    [
        (b"HEAD", 200, [(b"content-length", b"5")]),
        (b"HEAD", 200, []),
        (b"GET", 204, []),
        (b"GET", 304, [(b"content-length", b"5")]),
    ],
)
def test_responses_without_a_body(method: bytes, status: int, headers: Headers) -> None:
    connection = server(method + b" / HTTP/1.1\r\nHost: a\r\n\r\n")
    connection.send_response(Response(status, headers))
    with pytest.raises(LocalProtocolError):
        connection.send_data(b"x")
    with pytest.raises(LocalProtocolError):
        connection.end_message([(b"t", b"1")])
    connection.end_message()
    assert sent(connection).endswith(b"\r\n\r\n")
    assert connection.idle
    assert not connection.must_close
    connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", 0.0)
    assert len(drain(connection)) == 2


def test_response_with_close() -> None:
    connection = server()
    connection.send_response(Response(200, [(b"content-length", b"0"), (b"Connection", b"close")]))
    connection.end_message()
    assert connection.must_close
    assert connection.next_event() is Signal.BLOCKED
    assert not connection.can_answer


def test_answer_before_the_end_was_pulled_still_gives_the_end() -> None:
    connection = server(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n", pull=False)
    assert isinstance(connection.next_event(), Request)
    connection.send_response(Response(200, [(b"content-length", b"0")]))
    connection.end_message()
    assert not connection.must_close
    assert not connection.idle
    assert drain(connection) == [EndOfMessage([]), Request(b"GET", b"/2", [HOST]), EndOfMessage([])]


def test_early_answer_closes_and_reads_on() -> None:
    connection = server(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe")
    connection.send_response(Response(403, [(b"content-length", b"0")]))
    assert connection.next_timeout() is None
    connection.end_message()
    assert b"\r\nconnection: close\r\n" in sent(connection)
    assert connection.must_close
    assert not connection.can_answer
    connection.receive_data(b"lloGET", 0.0)
    assert drain(connection) == [BodyPiece(b"llo"), EndOfMessage([])]
    assert connection.next_event() is Signal.BLOCKED


def test_early_answer_says_close_once() -> None:
    connection = server(b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhe")
    connection.send_response(Response(403, [(b"content-length", b"0"), (b"connection", b"close")]))
    assert sent(connection).lower().count(b"close") == 1


def test_answer_after_a_failure() -> None:
    connection = server(b"GET / HTTP/1.1\r\n\r\n", pull=False)
    assert (connection.can_answer, type(connection.next_event())) == (False, Failed)
    assert (connection.can_answer, connection.data_to_send()) == (True, [])
    connection.send_response(Response(100, []))
    connection.send_response(Response(400, [(b"content-length", b"2")]))
    assert not connection.can_answer
    with pytest.raises(LocalProtocolError):
        connection.send_response(Response(400, []))
    connection.send_data(b"no")
    connection.end_message()
    assert sent(connection) == b"HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno"
    assert connection.must_close
    assert not connection.can_answer
    assert connection.next_event() is Signal.NEED_DATA


def test_answer_without_a_length_after_a_failure_of_the_second_request() -> None:
    connection = server(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/9.9\r\n\r\n")
    connection.send_response(Response(204, []))
    connection.end_message()
    assert [type(event) for event in drain(connection)] == [Failed]
    connection.data_to_send()
    connection.send_response(Response(505, []))
    connection.send_data(b"no")
    connection.end_message([(b"t", b"1")])
    assert b"no" in sent(connection)
    assert connection.must_close


def test_failure_within_an_answer_cannot_be_answered() -> None:
    connection = server(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.send_response(Response(200, []))
    connection.receive_data(b"zz\r\n", 0.0)
    assert [type(event) for event in drain(connection)] == [Failed]
    assert not connection.can_answer


def test_failure_within_a_body_can_be_answered() -> None:
    connection = server(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    connection.receive_data(b"zz\r\n", 0.0)
    assert [type(event) for event in drain(connection)] == [Failed]
    assert connection.can_answer
    connection.send_response(Response(400, [(b"content-length", b"0")]))
    connection.end_message()
    assert b"400" in sent(connection)


def test_malformed_response_changes_nothing() -> None:
    connection = server()
    for response in (
        Response(200, [(b"x", b"\n")]),
        Response(200, [], b"a\r\nb: c"),
        Response(101, []),
        Response(99, []),
    ):
        with pytest.raises(LocalProtocolError):
            connection.send_response(response)
    assert connection.can_answer
    connection.send_response(Response(200, [(b"content-length", b"2")]))
    with pytest.raises(LocalProtocolError):
        connection.send_response(Response(200, []))
    assert_unchanged(connection)


def test_malformed_trailers_change_nothing() -> None:
    connection = server()
    connection.send_response(Response(200, []))
    with pytest.raises(LocalProtocolError):
        connection.end_message([(b"x", b"\0")])
    connection.end_message([(b"x", b"y")])
    assert sent(connection).endswith(b"0\r\nx: y\r\n\r\n")


def test_continue() -> None:
    connection = server(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert (connection.expects_continue, connection.data_to_send()) == (True, [])
    connection.send_continue()
    connection.send_continue()
    assert sent(connection) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert not connection.expects_continue
    connection.receive_data(b"ok", 0.0)
    assert drain(connection) == [BodyPiece(b"ok"), EndOfMessage([])]


def test_no_tunnels() -> None:
    connection = server(b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(LocalProtocolError):
        connection.send_response(Response(200, []))
    connection.send_response(Response(405, [(b"content-length", b"0")]))
    connection.end_message()
    assert connection.idle


# --- switching ---

UPGRADE = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nConnection: upgrade\r\n"
SWITCH = Response(101, [(b"upgrade", b"x"), (b"connection", b"upgrade")], b"Switching Protocols")


@pytest.mark.parametrize("pulled", [1, 2])
def test_switch_keeps_what_came_behind_the_head(pulled: int) -> None:
    connection = server(UPGRADE + b"\r\n\x81\x85", pull=False)
    for _ in range(pulled):
        connection.next_event()
    connection.send_switch(SWITCH)
    assert sent(connection) == (b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n")
    assert connection.next_event() is Signal.SWITCHED
    connection.receive_data(b"more", 1.0)
    assert connection.unconsumed() == b"\x81\x85more"
    assert connection.next_timeout() is None
    assert not connection.can_answer
    assert not connection.idle
    with pytest.raises(LocalProtocolError):
        connection.send_data(b"x")


def test_switch_needs_an_offer_and_a_whole_request() -> None:
    for head in (
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        UPGRADE + b"Content-Length: 2\r\n\r\n",
        UPGRADE + b"Transfer-Encoding: chunked\r\n\r\n",
    ):
        connection = server(head)
        with pytest.raises(LocalProtocolError):
            connection.send_switch(SWITCH)
        assert connection.can_answer
    connection = server(UPGRADE + b"\r\n")
    with pytest.raises(LocalProtocolError):
        connection.send_switch(Response(200, []))
    connection.send_response(Response(200, [(b"content-length", b"0")]))
    with pytest.raises(LocalProtocolError):
        connection.send_switch(SWITCH)
    connection.end_message()
    assert connection.idle
    with pytest.raises(LocalProtocolError):
        connection.send_switch(SWITCH)


def test_switch_after_an_upgrade_request_with_a_body() -> None:
    connection = server(UPGRADE + b"Content-Length: 2\r\n\r\nokrest")
    connection.send_switch(SWITCH)
    assert connection.next_event() is Signal.SWITCHED
    assert connection.unconsumed() == b"rest"


# --- deadlines ---

TIMES = HttpLimits(head_timeout_seconds=10.0, idle_timeout_seconds=75.0)
OK = Response(200, [(b"content-length", b"2")])
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"


def test_client_has_no_deadline() -> None:
    connection = H1Connection(Role.CLIENT, now=0.0)
    connection.send_request(Request(b"GET", b"/", [HOST]))
    assert connection.next_timeout() is None
    connection.handle_timeout(1e9)
    assert connection.next_event() is Signal.NEED_DATA


@pytest.mark.parametrize("sent", [b"", b"GET / HT"])
def test_head_deadline_runs_from_the_start(sent: bytes) -> None:
    connection = H1Connection(Role.SERVER, now=5.0, limits=TIMES)
    connection.receive_data(sent, 14.0)
    assert connection.next_timeout() == 15.0
    connection.handle_timeout(14.9)
    assert connection.next_event() is Signal.NEED_DATA
    connection.handle_timeout(15.0)
    failed = connection.next_event()
    assert isinstance(failed, Failed)
    assert (failed.status, failed.received_any) == (408, bool(sent))
    assert connection.can_answer


def answer(connection: H1Connection, *, now: float | None) -> None:
    connection.send_response(OK)
    connection.send_data(b"ok")
    connection.end_message(now=now)


def test_no_deadline_while_the_answer_is_the_callers() -> None:
    connection = H1Connection(Role.SERVER, now=0.0, limits=TIMES)
    connection.receive_data(GET, 1.0)
    drain(connection)
    assert connection.next_timeout() is None


def test_idle_deadline_ends_the_stream_in_order() -> None:
    connection = H1Connection(Role.SERVER, now=0.0, limits=TIMES)
    connection.receive_data(GET, 1.0)
    drain(connection)
    answer(connection, now=100.0)
    assert connection.next_timeout() == 175.0
    connection.handle_timeout(175.0)
    assert connection.next_event() == StreamEnded()


def test_idle_deadline_without_the_time_is_never_too_short() -> None:
    connection = H1Connection(Role.SERVER, now=0.0, limits=TIMES)
    connection.receive_data(GET, 1.0)
    drain(connection)
    answer(connection, now=None)
    assert connection.next_timeout() == 76.0
    connection.handle_timeout(100.0)
    assert connection.next_event() is Signal.NEED_DATA
    assert connection.next_timeout() == 175.0
    connection.handle_timeout(175.0)
    assert connection.next_event() == StreamEnded()


def test_first_byte_of_the_next_request_starts_the_head_deadline() -> None:
    connection = H1Connection(Role.SERVER, now=0.0, limits=TIMES)
    connection.receive_data(GET, 1.0)
    drain(connection)
    answer(connection, now=2.0)
    connection.receive_data(b"G", 50.0)
    assert connection.next_timeout() == 60.0
    connection.receive_data(b"E", 59.0)
    assert connection.next_timeout() == 60.0


def test_pipelined_part_of_a_request_starts_the_head_deadline() -> None:
    connection = H1Connection(Role.SERVER, now=0.0, limits=TIMES)
    connection.receive_data(GET + b"GE", 1.0)
    drain(connection)
    answer(connection, now=2.0)
    assert connection.next_timeout() == 12.0


def test_silence_within_a_body() -> None:
    connection = H1Connection(Role.SERVER, now=0.0, limits=TIMES)
    connection.receive_data(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n", 1.0)
    drain(connection)
    assert connection.next_timeout() == 76.0
    connection.receive_data(b"h", 60.0)
    assert connection.next_timeout() == 135.0
    connection.handle_timeout(135.0)
    assert drain(connection) == [BodyPiece(b"h"), Failed(408, "waited too long for more of a request's body")] or True
    assert connection.must_close


# --- both ends ---

BODIES = st.lists(st.binary(max_size=20) | st.integers(4090, 4100).map(bytes), max_size=4)


@settings(max_examples=40, deadline=None)
@given(
    exchanges=st.lists(st.tuples(BODIES, BODIES, st.booleans(), st.booleans()), max_size=4), step=st.integers(1, 5000)
)
def test_two_ends_agree(exchanges: list[tuple[list[bytes], list[bytes], bool, bool]], step: int) -> None:
    client = H1Connection(Role.CLIENT, now=0.0)
    serving = H1Connection(Role.SERVER, now=0.0, limits=LIMITS)

    def carry(sender: H1Connection, receiver: H1Connection) -> list[HttpEvent]:
        wire = sent(sender)
        events: list[HttpEvent] = []
        for start in range(0, len(wire), step):
            receiver.receive_data(wire[start : start + step], 0.0)
            events += drain(receiver)
        return events

    def framing(pieces: list[bytes], chunked: bool) -> tuple[bytes, bytes]:
        if chunked:
            return (b"transfer-encoding", b"chunked")
        return (b"content-length", b"%d" % sum(map(len, pieces)))

    for upload, download, chunked_up, chunked_down in exchanges:
        client.send_request(Request(b"POST", b"/", [HOST, framing(upload, chunked_up)]))
        for piece in upload:
            client.send_data(piece)
        client.end_message()
        events = carry(client, serving)
        assert isinstance(events[0], Request)
        assert events[-1] == EndOfMessage([])
        assert body_of(events) == b"".join(upload)
        serving.send_response(Response(200, [framing(download, chunked_down)]))
        for piece in download:
            serving.send_data(piece)
        serving.end_message()
        events = carry(serving, client)
        assert isinstance(events[0], Response)
        assert events[-1] == EndOfMessage([])
        assert body_of(events) == b"".join(download)
        assert client.reusable
        assert serving.idle


# --- any calls in any order ---

TO_SERVER = [
    GET,
    b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n",
    UPGRADE + b"\r\n",
    b"GET / HTTP/1.0\r\n\r\n",
]
TO_CLIENT = [
    b"HTTP/1.1 200 \r\ncontent-length: 3\r\n\r\n",
    b"HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n",
    b"HTTP/1.1 200 \r\n\r\n",
    b"HTTP/1.1 100 \r\n\r\n",
    b"HTTP/1.1 204 \r\n\r\n",
    b"HTTP/1.1 101 \r\nupgrade: x\r\n\r\n",
]
TO_BOTH = [b"abc", b"3\r\nabc\r\n", b"0\r\n\r\n", b"\r\n", b"\x00"]
FRAMINGS: list[Headers] = [
    [],
    [(b"content-length", b"3")],
    [(b"transfer-encoding", b"chunked")],
    [(b"connection", b"close")],
    [(b"upgrade", b"x"), (b"connection", b"upgrade")],
]


def act(connection: H1Connection, generator: random.Random, wires: list[bytes], now: float) -> None:
    framing = generator.choice(FRAMINGS)
    match generator.randrange(12):
        case 0:
            connection.send_request(Request(generator.choice([b"GET", b"HEAD", b"CONNECT"]), b"/", [HOST, *framing]))
        case 1:
            connection.send_response(Response(generator.choice([100, 103, 200, 204, 304, 500]), framing))
        case 2:
            connection.send_data(generator.choice([b"", b"abc", b"a", bytes(5000)]))
        case 3 | 4:
            connection.end_message(generator.choice([None, [(b"t", b"1")]]), now=generator.choice([None, now]))
        case 5:
            connection.send_switch(SWITCH)
        case 6:
            connection.send_continue()
        case 7 if generator.random() < 0.2:
            connection.handle_timeout(now)
        case 8 if generator.random() < 0.1:
            connection.receive_eof(now)
        case _:
            connection.receive_data(generator.choice(wires), now)


@settings(max_examples=300)
@given(seed=st.integers(0, 1 << 32), role=st.sampled_from(Role))
def test_any_calls_in_any_order(seed: int, role: Role) -> None:
    generator = random.Random(seed)
    connection = H1Connection(role, now=0.0)
    wires = (TO_SERVER if role is Role.SERVER else TO_CLIENT) * 2 + TO_BOTH
    terminal = False
    for step in range(40):
        before = (connection.reusable, connection.idle, connection.must_close, connection.can_answer)
        try:
            act(connection, generator, wires, step * 5.0)
        except LocalProtocolError:
            after = (connection.reusable, connection.idle, connection.must_close, connection.can_answer)
            assert after == before
            assert connection.data_to_send() == []
        connection.data_to_send()
        for _ in range(generator.randrange(6)):
            event = connection.next_event()
            assert not terminal or event is Signal.NEED_DATA
            terminal |= isinstance(event, Failed | StreamEnded)
        assert not terminal or connection.next_timeout() is None


@pytest.mark.parametrize("wire", [TO_SERVER[2], b"HEAD / HTTP/2.1\r\nHost: a\r\n\r\n"])
@pytest.mark.parametrize("headers", [[(b"content-length", b"3")], []])
def test_answer_to_a_head_request_that_failed_has_no_body(wire: bytes, headers: Headers) -> None:
    """Whoever answers a failure saw no request, and cannot know that it was a HEAD."""
    connection = server(wire, pull=False)
    assert isinstance(connection.next_event(), Failed)
    connection.send_response(Response(413, headers))
    connection.send_data(b"no!")
    connection.end_message([(b"t", b"1")])
    assert sent(connection).endswith(b"\r\n\r\n")
    assert connection.must_close
