"""The heads of an ordinary upgrade request and of its 101, read and written without h11, by server and client.

Nearly every connection to a gateway begins with a GET that asks for an upgrade, and ends its HTTP there: h11's states
and its checks of one header after the other, in Python, are a third of what such a connection costs. So a head that
is plain beyond doubt is matched by one pattern. What the pattern takes, h11 takes too, with the same result, which the
tests compare; whatever else a head may be (a body, `Expect`, bytes above 0x7e, a folded line, a mistake) is left to
h11, which knows what to say of it. The same goes for the answer, and for a client's request.
"""

from __future__ import annotations

import re

from ._events import Headers, Request, Response

__all__ = ["read_switch", "read_upgrade_request", "write_switch", "write_upgrade_request"]

_NAME = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]"
_VALUE = rb"[\t -~]"
# Possessive throughout: no head makes it go back.
_REQUEST = re.compile(rb"GET ([!-~]++) HTTP/1\.1\r\n((?:%b++:%b*+\r\n)++)\r\n" % (_NAME, _VALUE))
_SWITCH = re.compile(rb"HTTP/1\.1 101 ([ -~]*+)\r\n((?:%b++:%b*+\r\n)++)\r\n" % (_NAME, _VALUE))
_TARGET = re.compile(rb"[!-~]++")
_FIELD = re.compile(rb"%b++:%b*+" % (_NAME, _VALUE))
_REASON = re.compile(_VALUE + rb"++")
_FOR_H11 = frozenset({b"content-length", b"transfer-encoding", b"expect"})
_SPACE = b" \t"


def read_upgrade_request(head: bytes) -> Request | None:
    """Return the request of a whole head when it is a plain GET with `Upgrade`, one Host and no body; else None."""
    match = _REQUEST.fullmatch(head)
    if match is None:
        return None
    headers = _fields(match[2])
    return Request(b"GET", match[1], headers) if _is_plain([name for name, _ in headers]) else None


def write_upgrade_request(request: Request) -> bytes | None:
    """Return the head of such a request; None when it is another one, or needs a closer look."""
    if request.method != b"GET" or request.http_version != b"1.1" or _TARGET.fullmatch(request.target) is None:
        return None
    if not _is_plain([name.lower() for name, _ in request.headers]):
        return None
    # Host goes first, as RFC 9110 section 7.2 asks and as h11 writes it.
    headers = sorted(request.headers, key=lambda field: field[0].lower() != b"host")
    return _head(b"GET " + request.target + b" HTTP/1.1", headers)


def read_switch(head: bytes) -> Response | None:
    """Return the 101 of a whole head; None when it is another answer, or needs a closer look."""
    match = _SWITCH.fullmatch(head)
    if match is None:
        return None
    headers = _fields(match[2])
    return None if any(name in _FOR_H11 for name, _ in headers) else Response(101, headers, match[1])


def write_switch(response: Response) -> bytes | None:
    """Return the head of a 101; None when one of its fields needs a closer look, or when it has no reason yet."""
    if _REASON.fullmatch(response.reason) is None or any(name.lower() in _FOR_H11 for name, _ in response.headers):
        return None
    return _head(b"HTTP/1.1 101 " + response.reason, response.headers)


def _is_plain(names: list[bytes]) -> bool:
    return b"upgrade" in names and names.count(b"host") == 1 and _FOR_H11.isdisjoint(names)


def _fields(lines: bytes) -> Headers:
    headers: Headers = []
    for line in lines.split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        headers.append((name.lower(), value.strip(_SPACE)))
    return headers


def _head(start: bytes, headers: Headers) -> bytes | None:
    lines = [start]
    for name, value in headers:
        line = name + b": " + value
        if _FIELD.fullmatch(line) is None or value != value.strip(_SPACE):
            return None
        lines.append(line)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
