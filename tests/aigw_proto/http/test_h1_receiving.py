"""HTTP/1.1, what arrives: framing, limits, faults, deadlines, for every cut and for any bytes."""

from __future__ import annotations

import random
import tracemalloc
from collections.abc import Iterable

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
    HttpEvent,
    InformationalResponse,
    Request,
    Response,
    StreamEnded,
)
from aigw_proto.testing import chunkings

LIMITS = HttpLimits(max_head_bytes=200, max_request_body_bytes=50, head_timeout_seconds=10.0, idle_timeout_seconds=75.0)
END = EndOfMessage([])
OK = Response(200, [(b"content-length", b"2")])


def drain(connection: H1Connection) -> tuple[list[HttpEvent], Signal]:
    """Return the events with neighbouring body pieces joined, and the signal behind them."""
    events: list[HttpEvent] = []
    while not isinstance(event := connection.next_event(), Signal):
        if isinstance(event, BodyPiece) and events and isinstance(last := events[-1], BodyPiece):
            events[-1] = BodyPiece(last.data + event.data)
        else:
            events.append(event)
    return events, event


def join(events: Iterable[HttpEvent]) -> list[HttpEvent]:
    joined: list[HttpEvent] = []
    for event in events:
        if isinstance(event, BodyPiece) and joined and isinstance(last := joined[-1], BodyPiece):
            joined[-1] = BodyPiece(last.data + event.data)
        else:
            joined.append(event)
    return joined


def serve(chunks: Iterable[bytes], *, eof: bool = False, limits: HttpLimits = LIMITS) -> list[HttpEvent]:
    """Feed a server that answers each request as soon as it is complete."""
    connection = H1Connection(Role.SERVER, now=0.0, limits=limits)
    events: list[HttpEvent] = []

    def pull() -> None:
        while not isinstance(event := connection.next_event(), Signal):
            events.append(event)
            if isinstance(event, EndOfMessage):
                connection.send_response(OK)
                connection.send_data(b"ok")
                connection.end_message()

    for chunk in chunks:
        connection.receive_data(chunk, 0.0)
        pull()
    if eof:
        connection.receive_eof(0.0)
        pull()
    return join(events)


def request(chunks: Iterable[bytes], *, eof: bool = False, method: bytes = b"GET") -> list[HttpEvent]:
    """Feed a client that has sent one request."""
    connection = client(method)
    events: list[HttpEvent] = []
    for chunk in chunks:
        connection.receive_data(chunk, 0.0)
        events += drain(connection)[0]
    if eof:
        connection.receive_eof(0.0)
        events += drain(connection)[0]
    return join(events)


def client(method: bytes = b"GET", *, upgrade: bool = False) -> H1Connection:
    connection = H1Connection(Role.CLIENT, now=0.0, limits=LIMITS)
    headers = [(b"host", b"a")] + ([(b"upgrade", b"x"), (b"connection", b"upgrade")] if upgrade else [])
    connection.send_request(Request(method, b"/", headers))
    connection.end_message()
    connection.data_to_send()
    return connection


def only_failure(events: list[HttpEvent]) -> Failed:
    failed = events[-1]
    assert isinstance(failed, Failed)
    assert not any(isinstance(event, Failed) for event in events[:-1])
    return failed


# --- requests ---

HOST = (b"host", b"a")
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
GOOD_REQUESTS: list[tuple[bytes, list[HttpEvent]]] = [
    (GET, [Request(b"GET", b"/x", [HOST]), END]),
    (b"\r\n\r\n\n\r\n" + GET, [Request(b"GET", b"/x", [HOST]), END]),
    (GET + b"\r\n" + GET, [Request(b"GET", b"/x", [HOST]), END, Request(b"GET", b"/x", [HOST]), END]),
    (
        b"get //ws/%2e?a=\x7e HTTP/1.1\nHOST:a\nX:  \t b\t \n\tc\nx:\n\n",
        [Request(b"get", b"//ws/%2e?a=~", [HOST, (b"x", b"b\t  c"), (b"x", b"")]), END],
    ),
    (
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello" + GET,
        [
            Request(b"POST", b"/", [HOST, (b"content-length", b"5")]),
            BodyPiece(b"hello"),
            END,
            Request(b"GET", b"/x", [HOST]),
            END,
        ],
    ),
    (
        b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
        + GET,
        [
            Request(b"POST", b"/", [HOST, (b"transfer-encoding", b"chunked")]),
            BodyPiece(b"abcde"),
            EndOfMessage([(b"t", b"1")]),
            Request(b"GET", b"/x", [HOST]),
            END,
        ],
    ),
    (b"GET / HTTP/1.0\r\n\r\nignored", [Request(b"GET", b"/", [], b"1.0"), END]),
]


@pytest.mark.parametrize(("wire", "expected"), GOOD_REQUESTS)
def test_requests_for_every_cut(wire: bytes, expected: list[HttpEvent]) -> None:
    for chunks in chunkings(wire):
        assert serve(chunks) == expected
        assert serve(chunks, eof=True) == [*expected, StreamEnded()]


BAD_REQUESTS: list[tuple[bytes, int]] = [
    (b"\x16\x03\x01", 400),  # TLS
    (b"GET /\r\n\r\n", 400),
    (b"GET / x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nx : y\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nx: a\x00b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nx: a\rb\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", 501),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505),
    (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 51\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n33\r\n" + b"x" * 51, 413),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\na: b\x00\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n: b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nHost: " + b"a" * 200 + b"\r\n\r\n", 431),
    (b"GET /" + b"a" * 200, 431),
    (b"\r\nGET /" + b"a" * 200, 431),
    (b"\r" + b"a" * 300, 400),
    (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 40 + b"\r\n", 431),
]


@pytest.mark.parametrize(("wire", "status"), BAD_REQUESTS)
def test_bad_requests_for_every_cut(wire: bytes, status: int) -> None:
    for chunks in chunkings(wire):
        failed = only_failure(serve(chunks))
        assert (failed.status, failed.received_any) == (status, True)
        assert failed.reason


def test_head_limit_is_exact_for_every_cut() -> None:
    start = b"GET / HTTP/1.1\r\nHost: a\r\nx: "
    fits = start + b"y" * (200 - len(start) - 4) + b"\r\n\r\n"
    assert len(fits) == 200
    for chunks in chunkings(fits):
        assert isinstance(serve(chunks)[0], Request)
    for chunks in chunkings(fits.replace(b"yy", b"yyy", 1)):
        assert only_failure(serve(chunks)).status == 431


@pytest.mark.parametrize("end", range(1, len(GET)))
def test_stream_ending_within_a_head(end: int) -> None:
    for chunks in chunkings(GET[:end], cuts=1):
        assert only_failure(serve(chunks, eof=True)).status == 400


@pytest.mark.parametrize(
    "framing", [b"content-length: 5\r\n\r\nhell", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n"]
)
def test_stream_ending_within_a_request_body(framing: bytes) -> None:
    for chunks in chunkings(b"POST / HTTP/1.1\r\nhost: a\r\n" + framing, cuts=1):
        assert only_failure(serve(chunks, eof=True)).status == 400


@pytest.mark.parametrize("blank", [b"", b"\r", b"\r\n", b"\n\r\n"])
def test_stream_ending_between_requests(blank: bytes) -> None:
    assert serve([blank], eof=True) == [StreamEnded()]
    assert serve([GET + blank], eof=True)[2:] == [StreamEnded()]


def test_pipelined_requests_wait_for_the_answer() -> None:
    connection = H1Connection(Role.SERVER, now=0.0)
    connection.receive_data(GET + GET, 0.0)
    assert drain(connection) == ([Request(b"GET", b"/x", [HOST]), END], Signal.BLOCKED)
    connection.send_response(OK)
    assert drain(connection) == ([], Signal.BLOCKED)
    connection.send_data(b"ok")
    connection.end_message()
    assert not connection.idle
    assert drain(connection) == ([Request(b"GET", b"/x", [HOST]), END], Signal.BLOCKED)


def test_terminal_event_comes_once_and_input_is_ignored_after_it() -> None:
    connection = H1Connection(Role.SERVER, now=0.0)
    connection.receive_data(b"\x00", 0.0)
    assert isinstance(connection.next_event(), Failed)
    connection.receive_data(GET, 0.0)
    connection.receive_eof(0.0)
    connection.handle_timeout(1e9)
    assert connection.next_event() is Signal.NEED_DATA
    assert connection.next_timeout() is None
    assert connection.must_close


def test_headers_that_cost_h11_quadratic_time_are_refused() -> None:
    # 60 KiB of spaces before a forbidden character: ten seconds in h11. A test has no clock, so it looks at the reason.
    limits = HttpLimits()
    head = b"GET / HTTP/1.1\r\nHost: a\r\nx:" + b" " * 60_000 + b"\x0b\r\n\r\n"
    failed = only_failure(serve([head], limits=limits))
    assert (failed.status, failed.reason) == (400, "the head holds a forbidden character")
    fine = head.replace(b"\x0b", b"y")
    assert serve([fine], limits=limits)[0] == Request(b"GET", b"/", [HOST, (b"x", b"y")])


def test_endless_head_is_bounded() -> None:
    connection = H1Connection(Role.SERVER, now=0.0, limits=HttpLimits())
    line = b"x" * 65536
    tracemalloc.start()
    try:
        connection.receive_data(b"GET / HTTP/1.1\r\nHost: a\r\nx: ", 0.0)
        for _ in range(400):
            connection.receive_data(line, 0.0)
            connection.next_event()
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()
    assert connection.next_event() is Signal.NEED_DATA


# --- responses ---

GOOD_RESPONSES: list[tuple[bytes, bytes, list[HttpEvent], bool]] = [
    (
        b"GET",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
        [Response(200, [(b"content-length", b"2")], b"OK"), BodyPiece(b"ok"), END],
        True,
    ),
    (b"GET", b"HTTP/1.1 204\r\nX: y\r\n\r\n", [Response(204, [(b"x", b"y")]), END], True),
    (b"GET", b"HTTP/1.1 304 \r\ncontent-length: 9\r\n\r\n", [Response(304, [(b"content-length", b"9")]), END], True),
    (b"HEAD", b"HTTP/1.1 200 \r\ncontent-length: 9\r\n\r\n", [Response(200, [(b"content-length", b"9")]), END], True),
    (
        b"HEAD",
        b"HTTP/1.1 200 \r\ntransfer-encoding: chunked\r\n\r\n",
        [Response(200, [(b"transfer-encoding", b"chunked")]), END],
        True,
    ),
    (
        b"GET",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n",
        [
            InformationalResponse(100, []),
            InformationalResponse(103, [(b"link", b"x")]),
            Response(200, [(b"content-length", b"0")]),
            END,
        ],
        True,
    ),
    (
        b"POST",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx: y\r\n\r\n",
        [Response(200, [(b"transfer-encoding", b"chunked")], b"OK"), BodyPiece(b"abc"), EndOfMessage([(b"x", b"y")])],
        True,
    ),
    (
        b"GET",
        b"HTTP/1.1 200 OK\r\nconnection: Close\r\ncontent-length: 2\r\n\r\nok",
        [Response(200, [(b"connection", b"Close"), (b"content-length", b"2")], b"OK"), BodyPiece(b"ok"), END],
        False,
    ),
    (
        b"GET",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        [Response(200, [(b"content-length", b"2")], b"OK", b"1.0"), BodyPiece(b"ok"), END],
        False,
    ),
    (
        b"GET",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 7\r\n\r\n1\r\na\r\n0\r\n\r\n",
        [
            Response(200, [(b"transfer-encoding", b"chunked"), (b"content-length", b"7")], b"OK"),
            BodyPiece(b"a"),
            END,
        ],
        False,
    ),
]


@pytest.mark.parametrize(("method", "wire", "expected", "kept"), GOOD_RESPONSES)
def test_responses_for_every_cut(method: bytes, wire: bytes, expected: list[HttpEvent], kept: bool) -> None:
    for chunks in chunkings(wire):
        connection = client(method)
        events: list[HttpEvent] = []
        for chunk in chunks:
            connection.receive_data(chunk, 0.0)
            events += drain(connection)[0]
        assert join(events) == expected
        assert connection.reusable is kept
        assert connection.must_close is not kept
        assert connection.idle
        assert connection.next_event() is Signal.BLOCKED
        connection.receive_eof(0.0)
        assert not connection.reusable
        assert connection.next_event() == StreamEnded()
        assert connection.next_event() is Signal.NEED_DATA


def test_body_until_the_end_of_the_stream_for_every_cut() -> None:
    for chunks in chunkings(b"HTTP/1.1 200 OK\r\n\r\nall of it"):
        assert request(chunks)[1:] == [BodyPiece(b"all of it")]
        assert request(chunks, eof=True)[1:] == [BodyPiece(b"all of it"), END, StreamEnded()]


BAD_RESPONSES = [
    b"\x15\x03\x01",
    b"\r\nHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/2.0 200 OK\r\n\r\n",
    b"HTTP/1.1 20 OK\r\n\r\n",
    b"ICY 200 OK\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",  # not asked for
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: two\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello!!",
    b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200,
    b"HTTP/1.1 102 Processing\r\n\r\n" * 1001,
]


@pytest.mark.parametrize("wire", BAD_RESPONSES)
def test_bad_responses_for_every_cut(wire: bytes) -> None:
    for chunks in chunkings(wire, cuts=3):
        failed = only_failure(request(chunks))
        assert (failed.status, failed.received_any) == (502, True)


@pytest.mark.parametrize("wire", [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x81\x02hi", b"HTTQ"])
def test_what_cannot_become_an_answer_is_not_waited_for(wire: bytes) -> None:
    for chunks in chunkings(wire):
        assert only_failure(request(chunks)).reason == "this is not HTTP"


def test_lying_length() -> None:
    wire = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nonly"
    for chunks in chunkings(wire):
        events = request(chunks, eof=True)
        assert events[1] == BodyPiece(b"only")
        assert only_failure(events).received_any


def test_stream_ending_before_the_response_tells_whether_a_retry_is_safe() -> None:
    assert request([], eof=True) == [Failed(502, "the stream ended before a whole head arrived", received_any=False)]
    assert only_failure(request([b"H"], eof=True)).received_any
    assert only_failure(request([b"HTTP/1.1 100 \r\n\r\n"], eof=True)).received_any


def test_received_any_is_of_the_request_under_way() -> None:
    connection = client()
    connection.receive_data(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 0.0)
    drain(connection)
    connection.send_request(Request(b"GET", b"/", [HOST]))
    connection.end_message()
    connection.receive_eof(1.0)
    failed = connection.next_event()
    assert isinstance(failed, Failed)
    assert not failed.received_any


def test_idle_client_hears_of_the_end_and_of_unasked_bytes() -> None:
    fresh = H1Connection(Role.CLIENT, now=0.0)
    assert (fresh.reusable, fresh.next_event()) == (True, Signal.BLOCKED)
    fresh.receive_eof(1.0)
    assert not fresh.reusable
    assert fresh.next_event() == StreamEnded()
    other = H1Connection(Role.CLIENT, now=0.0)
    other.receive_data(b"HTTP/1.1 408 Request Timeout\r\n\r\n", 1.0)
    assert not other.reusable
    assert not other.idle
    with pytest.raises(LocalProtocolError):
        other.send_request(Request(b"GET", b"/", [HOST]))
    assert other.next_event() == Failed(502, "bytes arrived that answer no request")


def test_final_response_before_the_request_is_sent() -> None:
    connection = H1Connection(Role.CLIENT, now=0.0)
    connection.send_request(Request(b"POST", b"/", [HOST, (b"content-length", b"5")]))
    connection.receive_data(b"HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno", 0.0)
    assert drain(connection) == (
        [Response(413, [(b"content-length", b"2")], b"No"), BodyPiece(b"no"), END],
        Signal.BLOCKED,
    )
    assert not connection.idle
    assert not connection.reusable
    connection.send_data(b"hello")
    connection.end_message()
    assert connection.reusable


def test_bytes_behind_an_early_answer_are_a_fault() -> None:
    connection = H1Connection(Role.CLIENT, now=0.0)
    connection.send_request(Request(b"POST", b"/", [HOST, (b"content-length", b"5")]))
    connection.receive_data(b"HTTP/1.1 413 No\r\ncontent-length: 0\r\n\r\nmore", 0.0)
    assert drain(connection)[0][-1] == Failed(502, "bytes arrived behind the answer")


@pytest.mark.parametrize("tail", [b"", b"\x81\x00tail"])
def test_client_switches_for_every_cut(tail: bytes) -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"
    for chunks in chunkings(head + tail):
        connection = client(upgrade=True)
        events: list[HttpEvent] = []
        signal = Signal.NEED_DATA
        for chunk in chunks:
            connection.receive_data(chunk, 0.0)
            new, signal = drain(connection)
            events += new
        headers = [(b"upgrade", b"x"), (b"connection", b"upgrade")]
        assert (events, signal) == ([Response(101, headers, b"Switching Protocols")], Signal.SWITCHED)
        assert connection.unconsumed() == tail
        assert connection.unconsumed() == b""
        assert not connection.reusable


def test_connect_switches_a_client() -> None:
    connection = client(b"CONNECT")
    connection.receive_data(b"HTTP/1.1 200 OK\r\n\r\nraw", 0.0)
    assert drain(connection) == ([Response(200, [], b"OK")], Signal.SWITCHED)
    assert connection.unconsumed() == b"raw"


def test_unconsumed_needs_a_switch() -> None:
    with pytest.raises(LocalProtocolError):
        H1Connection(Role.CLIENT, now=0.0).unconsumed()


def test_refused_upgrade_is_an_ordinary_response() -> None:
    connection = client(upgrade=True)
    connection.receive_data(b"HTTP/1.1 403 No\r\ncontent-length: 2\r\n\r\nno", 0.0)
    events, signal = drain(connection)
    assert [type(event) for event in events] == [Response, BodyPiece, EndOfMessage]
    assert signal is Signal.BLOCKED
    assert connection.reusable


# --- any bytes ---

FRAGMENTS = st.sampled_from(
    [
        *(
            b"GET / HTTP/1.1",
            b"POST /a HTTP/1.1",
            b"HTTP/1.1 200 OK",
            b"HTTP/1.1 101 X",
            b"HTTP/1.0 204 ",
            b"PRI * HTTP/2.0",
        ),
        *(b"\r\n", b"\r\n", b"\n", b"\r", b" ", b"\0", b"\xff", b":", b"Host: a", b"Content-Length: 3", b"upgrade: x"),
        *(
            b"Transfer-Encoding: chunked",
            b"Connection: close",
            b"Connection: upgrade",
            b"3\r\nabc\r\n",
            b"0\r\n\r\n",
            b"abc",
        ),
    ]
)


@settings(max_examples=200)
@given(
    wire=st.one_of(st.binary(max_size=80), st.lists(FRAGMENTS, max_size=25).map(b"".join)),
    seed=st.integers(0, 1000),
    server=st.booleans(),
)
def test_any_bytes_give_the_same_events_for_every_cut(wire: bytes, seed: int, server: bool) -> None:
    generator = random.Random(seed)
    cuts = sorted(generator.sample(range(len(wire) + 1), min(3, len(wire))))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    run = serve if server else request
    assert run([wire], eof=True) == run(pieces, eof=True) == run([wire[i : i + 1] for i in range(len(wire))], eof=True)


@pytest.mark.parametrize("max_head_bytes", [(1 << 63) - 1, 1 << 80])
def test_head_without_bound_behind_empty_lines_and_behind_another(max_head_bytes: int) -> None:
    connection = H1Connection(Role.SERVER, now=0.0, limits=HttpLimits(max_head_bytes=max_head_bytes))
    connection.receive_data(b"\r\n\r\n" + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 2, 0.0)
    request = Request(b"GET", b"/", [(b"host", b"x")])
    assert drain(connection) == ([request, END], Signal.BLOCKED)
    connection.send_response(Response(204, []))
    connection.end_message()
    assert drain(connection) == ([request, END], Signal.BLOCKED)
