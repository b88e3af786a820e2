"""Upgrade heads without h11: what is taken, h11 takes too, and makes the same of it."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aigw_proto import LocalProtocolError, Role, Signal
from aigw_proto.http import BodyPiece, EndOfMessage, H1Connection, Request, Response
from aigw_proto.http._heads import fields
from aigw_proto.http._upgrade_head import read_switch, read_upgrade_request, write_switch, write_upgrade_request

HEAD = b"GET /v1/a/b?c=%20 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection:\tUpgrade \r\nX-Empty:\r\n\r\n"
FIELDS = [
    b"Host: x",
    b"host:y",
    b"Upgrade: websocket",
    b"Connection: Upgrade",
    b"Content-Length: 0",
    b"Expect: 100-continue",
]
PIECES = [
    *FIELDS,
    b" folded",
    b"X-Latin: \xe9",
    b"X y: z",
    b"Nothing",
    b"X: a  b\t",
    b"X:",
    b": x",
    b"Transfer-Encoding: chunked",
    b"X: \x7f",
]


def by_h11(head: bytes) -> Request | None:
    """Return the request that h11 finds, if it does not refuse it."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(head)
    try:
        event = connection.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Request)
    return Request(event.method, event.target, fields(event), event.http_version)


def test_an_ordinary_head() -> None:
    request = read_upgrade_request(HEAD)
    assert request is not None
    assert request.target == b"/v1/a/b?c=%20"
    assert request.headers[2:] == [(b"connection", b"Upgrade"), (b"x-empty", b"")]
    assert request == by_h11(HEAD)


@given(
    lines=st.lists(st.sampled_from(PIECES) | st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=6),
    target=st.sampled_from([b"/", b"/\x7f", b"/a b", b"*", b"/\xff", b""]),
    end=st.sampled_from([b"\r\n", b"\n"]),
)
@example(lines=FIELDS[:4:2], target=b"/", end=b"\r\n")
def test_what_is_taken_is_what_h11_makes_of_it(lines: list[bytes], target: bytes, end: bytes) -> None:
    head = end.join([b"GET " + target + b" HTTP/1.1", *lines, b"", b""])
    request = read_upgrade_request(head)
    if request is not None:
        assert request == by_h11(head)


@pytest.mark.parametrize(
    "head",
    [
        HEAD.replace(b"GET", b"POST"),
        HEAD.replace(b"1.1", b"1.0"),
        HEAD.replace(b"Upgrade:", b"X-Upgrade:"),
        HEAD.replace(b"X-Empty", b"Host"),
        HEAD.replace(b"X-Empty:", b"Content-Length: 5"),
        HEAD.replace(b"X-Empty:", b"Transfer-Encoding: chunked"),
        HEAD.replace(b"X-Empty:", b"Expect: 100-continue"),
        HEAD.replace(b"x\r\n", b"x\n"),
        HEAD + b"x",
    ],
)
def test_the_rest_is_for_h11(head: bytes) -> None:
    assert read_upgrade_request(head) is None


FIELD = st.tuples(
    st.sampled_from([b"Upgrade", b"x y", b"", b"X-A", b"content-length", b"\xe9"]),
    st.sampled_from([b"websocket", b"", b" x", b"x\t", b"a b", b"a\r\nb", b"\x7f", b"\xe9", b"1"]),
)


@given(headers=st.lists(FIELD, max_size=4), reason=st.sampled_from([b"Switching Protocols", b"", b"\n"]))
def test_a_switch_is_written_as_h11_writes_it(headers: list[tuple[bytes, bytes]], reason: bytes) -> None:
    written = write_switch(Response(101, headers, reason))
    if written is not None:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(HEAD)
        connection.next_event()
        event = h11.InformationalResponse(status_code=101, headers=headers, reason=reason)
        assert written == connection.send(event)


def test_a_switch() -> None:
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    assert write_switch(Response(101, [(b"Upgrade", b"websocket")], b"Switching Protocols")) == head
    assert write_switch(Response(101, [(b"Upgrade", b"web\nsocket")], b"")) is None
    assert write_switch(Response(101, [], b"\r\n")) is None
    assert write_switch(Response(101, [])) is None, "it gets the usual reason"


def upgrade(*more: tuple[bytes, bytes], method: bytes = b"GET", target: bytes = b"/") -> Request:
    return Request(method, target, [(b"Upgrade", b"websocket"), (b"Host", b"x"), (b"Connection", b"Upgrade"), *more])


def asked() -> h11.Connection:
    """Return a client's h11 that has sent an upgrade request."""
    connection = h11.Connection(h11.CLIENT)
    request = upgrade()
    connection.send(h11.Request(method=request.method, target=request.target, headers=request.headers))
    connection.send(h11.EndOfMessage())
    return connection


@given(
    headers=st.lists(FIELD | st.just((b"hOst", b"y")), max_size=3),
    target=st.sampled_from([b"/", b"/\xff", b"", b"/a b"]),
    method=st.sampled_from([b"GET", b"POST"]),
)
def test_a_request_is_written_as_h11_writes_it(
    headers: list[tuple[bytes, bytes]], target: bytes, method: bytes
) -> None:
    request = upgrade(*headers, method=method, target=target)
    written = write_upgrade_request(request)
    if written is not None:
        event = h11.Request(method=method, target=target, headers=request.headers)
        assert written == h11.Connection(h11.CLIENT).send(event)


def test_a_request() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    assert write_upgrade_request(upgrade()) == head
    assert write_upgrade_request(upgrade(method=b"POST")) is None
    assert write_upgrade_request(upgrade((b"Content-Length", b"0"))) is None
    assert write_upgrade_request(upgrade((b"x", b"\xe9"))) is None


@given(
    lines=st.lists(st.sampled_from(PIECES) | st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=5),
    start=st.sampled_from([b"HTTP/1.1 101 Switching", b"HTTP/1.1 101 ", b"HTTP/1.1 101", b"HTTP/1.0 101 x"]),
)
@example(lines=FIELDS[:4:2], start=b"HTTP/1.1 101 x")
def test_an_answer_is_read_as_h11_reads_it(lines: list[bytes], start: bytes) -> None:
    head = b"\r\n".join([start, *lines, b"", b""])
    response = read_switch(head)
    if response is not None:
        connection = asked()
        connection.receive_data(head)
        event = connection.next_event()
        assert isinstance(event, h11.InformationalResponse)
        assert connection.their_state is h11.SWITCHED_PROTOCOL
        assert response == Response(101, fields(event), event.reason)


def test_an_answer() -> None:
    head = b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n"
    assert read_switch(head) == Response(101, [(b"upgrade", b"websocket")], b"Switching")
    assert read_switch(head.replace(b"101", b"200")) is None
    assert read_switch(head.replace(b"Upgrade", b"Content-Length")) is None


class TestOnAClientsConnection:
    def connection(self) -> H1Connection:
        http = H1Connection(Role.CLIENT, now=0.0)
        http.send_request(upgrade())
        http.end_message()
        assert b"".join(http.data_to_send()) == write_upgrade_request(upgrade())
        return http

    def test_a_switch(self) -> None:
        http = self.connection()
        http.receive_data(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\nrest", 0.0)
        assert http.next_event() == Response(101, [(b"upgrade", b"websocket")], b"Switching")
        assert http.next_event() is Signal.SWITCHED
        assert http.unconsumed() == b"rest"

    def test_a_switch_that_h11_has_to_look_at(self) -> None:
        http = self.connection()
        http.receive_data(b"HTTP/1.1 101 Switching\r\nX: \xe9\r\n\r\n", 0.0)
        assert http.next_event() == Response(101, [(b"x", b"\xe9")], b"Switching")
        assert http.next_event() is Signal.SWITCHED

    def test_another_answer_and_another_request(self) -> None:
        http = self.connection()
        http.receive_data(b"HTTP/1.1 401 No\r\ncontent-length: 2\r\n\r\nno", 0.0)
        assert http.next_event() == Response(401, [(b"content-length", b"2")], b"No")
        assert http.next_event() == BodyPiece(b"no")
        assert http.next_event() == EndOfMessage([])
        http.send_request(upgrade())
        http.end_message()
        http.receive_data(b"HTTP/1.1 101 Switching\r\n\r\n", 0.0)
        assert http.next_event() == Response(101, [], b"Switching")

    def test_an_answer_before_the_end_of_the_request(self) -> None:
        http = H1Connection(Role.CLIENT, now=0.0)
        http.send_request(upgrade())
        http.receive_data(b"HTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n", 0.0)
        assert http.next_event() == Response(403, [(b"content-length", b"0")], b"No")

    def test_it_has_no_body(self) -> None:
        http = H1Connection(Role.CLIENT, now=0.0)
        http.send_request(upgrade())
        with pytest.raises(LocalProtocolError):
            http.send_data(b"x")
        with pytest.raises(LocalProtocolError):
            http.end_message([(b"x", b"y")])
        http.end_message()
        with pytest.raises(LocalProtocolError):
            http.end_message()


class TestOnAServersConnection:
    def test_a_switch_without_h11(self) -> None:
        http = H1Connection(Role.SERVER, now=0.0)
        http.receive_data(HEAD + b"rest", 0.0)
        assert http.next_event() == by_h11(HEAD)
        assert http.can_answer
        assert not http.expects_continue
        http.send_switch(Response(101, [(b"Upgrade", b"websocket")]))
        assert http.next_event() is Signal.SWITCHED
        assert b"".join(http.data_to_send()).startswith(b"HTTP/1.1 101 ")
        assert http.unconsumed() == b"rest"

    @pytest.mark.parametrize("status", [101, 426])
    def test_an_answer_after_the_end_was_pulled(self, status: int) -> None:
        http = H1Connection(Role.SERVER, now=0.0)
        http.receive_data(HEAD, 0.0)
        http.next_event()
        assert http.next_event() == EndOfMessage([])
        assert http.next_event() is Signal.BLOCKED
        if status == 101:
            http.send_switch(Response(101, [(b"Upgrade", b"websocket")]))
            assert http.next_event() is Signal.SWITCHED
        else:
            http.send_response(Response(status, [(b"content-length", b"0")]))
            http.end_message()
            assert http.idle
        assert b"".join(http.data_to_send()).startswith(b"HTTP/1.1 %d " % status)

    def test_any_other_answer_shows_h11_the_head(self) -> None:
        http = H1Connection(Role.SERVER, now=0.0)
        http.receive_data(HEAD, 0.0)
        assert isinstance(http.next_event(), Request)
        http.send_response(Response(426, [(b"content-length", b"0")]))
        http.end_message()
        assert http.next_event() == EndOfMessage([])
        assert b"".join(http.data_to_send()).startswith(b"HTTP/1.1 426 ")
        http.receive_data(HEAD, 0.0)  # the next one is read by h11, which is there now
        assert http.next_event() == by_h11(HEAD)
        assert http.can_answer

    def test_a_switch_that_h11_has_to_look_at(self) -> None:
        http = H1Connection(Role.SERVER, now=0.0)
        http.receive_data(HEAD, 0.0)
        http.next_event()
        http.send_switch(Response(101, [(b"x", b"\xe9")], b"Switching Protocols"))
        assert b"".join(http.data_to_send()) == b"HTTP/1.1 101 Switching Protocols\r\nx: \xe9\r\n\r\n"
        assert http.next_event() is Signal.SWITCHED
