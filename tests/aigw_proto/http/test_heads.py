"""Heads: what they say about the message, and what may not be sent."""

from __future__ import annotations

import h11
import pytest

from aigw_proto import _errors
from aigw_proto.http import Headers, Request, Response
from aigw_proto.http._heads import (
    UNKNOWN,
    declared_length,
    fields,
    to_h11_end,
    to_h11_request,
    to_h11_response,
    tokens,
)


def test_tokens_of_several_lines() -> None:
    headers: Headers = [(b"connection", b"Keep-Alive,Upgrade"), (b"x", b"close"), (b"connection", b" , TE,")]
    assert tokens(headers, b"connection") == [b"keep-alive", b"upgrade", b"te"]


@pytest.mark.parametrize(
    ("headers", "length"),
    [
        ([], None),
        ([(b"content-length", b"0012")], 12),
        ([(b"content-length", b"5"), (b"transfer-encoding", b"chunked")], UNKNOWN),
        ([(b"transfer-encoding", b"chunked")], UNKNOWN),
    ],
)
def test_declared_length(headers: Headers, length: int | None) -> None:
    assert declared_length(headers) == length


def test_requests_are_converted() -> None:
    event = to_h11_request(Request(b"GET", b"/%zz//", [(b"Host", b"a"), (b"X-Y", b"\xff")]))
    assert (event.method, event.target, fields(event)) == (b"GET", b"/%zz//", [(b"host", b"a"), (b"x-y", b"\xff")])


@pytest.mark.parametrize(
    "request_",
    [
        Request(b"GET", b"/", []),
        Request(b"GET", b"/ x", [(b"host", b"a")]),
        Request(b"G T", b"/", [(b"host", b"a")]),
        Request(b"GET", b"/", [(b"host", b"a"), (b"x", b"1\r\ny: 2")]),
        Request(b"GET", b"/", [(b"host", b"a"), (b"transfer-encoding", b"gzip")]),
        Request(b"GET", b"/", [(b"host", b"a")], b"1.0"),
    ],
)
def test_bad_requests_are_refused(request_: Request) -> None:
    with pytest.raises(_errors.LocalProtocolError):
        to_h11_request(request_)


def test_responses_are_converted() -> None:
    event = to_h11_response(Response(200, [(b"A", b"b")], b"Very \xc3\xb6kay"), closing=True)
    assert isinstance(event, h11.Response)
    assert fields(event) == [(b"a", b"b"), (b"connection", b"close")]
    assert isinstance(to_h11_response(Response(103, [])), h11.InformationalResponse)


@pytest.mark.parametrize(
    "response",
    [
        Response(99, []),
        Response(1000, []),
        Response(200, [(b"x", b"\n")]),
        Response(200, [], b"OK\r\nSet-Cookie: a"),
    ],
)
def test_bad_responses_are_refused(response: Response) -> None:
    with pytest.raises(_errors.LocalProtocolError):
        to_h11_response(response)


def test_trailers() -> None:
    assert fields(to_h11_end(None)) == []
    assert fields(to_h11_end([(b"X", b"y")])) == [(b"x", b"y")]
    with pytest.raises(_errors.LocalProtocolError):
        to_h11_end([(b"X", b"\0")])
