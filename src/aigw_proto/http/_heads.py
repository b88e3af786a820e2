"""Between our records and h11's events, and what a head says about the message it begins (RFC 9112 section 6)."""

from __future__ import annotations

import re
from http import HTTPStatus

import h11

from .._errors import LocalProtocolError
from ._events import Headers, Request, Response

__all__ = ["UNKNOWN", "declared_length", "fields", "to_h11_end", "to_h11_request", "to_h11_response", "tokens"]

UNKNOWN = -1
"""The length of a body that is not known in advance."""

_PHRASES = {status.value: status.phrase.encode() for status in HTTPStatus}
_NOT_IN_A_REASON = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


def fields(event: h11.Request | h11.Response | h11.InformationalResponse | h11.EndOfMessage) -> Headers:
    """Return the header fields of an event, names in lower case."""
    return [(name.lower(), value) for name, value in event.headers.raw_items()]


def tokens(headers: Headers, wanted: bytes) -> list[bytes]:
    """Return the items of a comma-separated header in lower case; names have to be in lower case already."""
    return [
        item.strip() for name, value in headers if name == wanted for item in value.lower().split(b",") if item.strip()
    ]


def declared_length(headers: Headers) -> int | None:
    """Return the length that headers frame a body with: `UNKNOWN` when chunked, None when they say nothing.

    For headers that h11 has checked.
    """
    length = None
    for name, value in headers:
        if name == b"transfer-encoding":
            return UNKNOWN
        if name == b"content-length":
            length = int(value)
    return length


def to_h11_request(request: Request) -> h11.Request:
    """Convert; raises LocalProtocolError for what HTTP/1.1 does not allow."""
    if request.http_version != b"1.1":
        raise LocalProtocolError("requests are sent as HTTP/1.1")
    try:
        return h11.Request(method=request.method, target=request.target, headers=request.headers)
    except h11.LocalProtocolError as error:
        raise LocalProtocolError(str(error)) from error


def to_h11_response(response: Response, *, closing: bool = False) -> h11.Response | h11.InformationalResponse:
    """Convert; `closing` adds `Connection: close`, and a status without a reason gets the usual one.

    Raises LocalProtocolError for what HTTP/1.1 does not allow.
    """
    if _NOT_IN_A_REASON.search(response.reason) is not None:
        raise LocalProtocolError("a reason phrase holds a forbidden character")  # h11 would send it
    headers = [*response.headers, (b"connection", b"close")] if closing else response.headers
    reason = response.reason or _PHRASES.get(response.status, b"")
    kind = h11.InformationalResponse if response.status < 200 else h11.Response
    try:
        return kind(status_code=response.status, headers=headers, reason=reason)
    except h11.LocalProtocolError as error:
        raise LocalProtocolError(str(error)) from error


def to_h11_end(trailers: Headers | None) -> h11.EndOfMessage:
    """Convert; raises LocalProtocolError for malformed trailers."""
    try:
        return h11.EndOfMessage(headers=trailers or [])
    except h11.LocalProtocolError as error:
        raise LocalProtocolError(str(error)) from error
