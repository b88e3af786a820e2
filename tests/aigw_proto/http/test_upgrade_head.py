"""Upgrade heads without h11: what is taken, h11 takes too, and makes the same of it."""

from __future__ import annotations

import h11
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aigw_proto import Role, Signal
from aigw_proto.http import EndOfMessage, H1Connection, Request, Response
from aigw_proto.http._heads import fields
from aigw_proto.http._upgrade_head import read_upgrade_request, write_switch

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


class TestOnAConnection:
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
