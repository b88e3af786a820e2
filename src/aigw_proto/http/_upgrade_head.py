"""The head of an ordinary upgrade request and of its 101, read and written without h11.

Nearly every connection to a gateway begins with a GET that asks for an upgrade, and ends its HTTP there: h11's states
and its checks of one header after the other, in Python, are a third of what such a connection costs. So a head that
is plain beyond doubt is matched by one pattern. What the pattern takes, h11 takes too, with the same result, which the
tests compare; whatever else a head may be (a body, `Expect`, bytes above 0x7e, a folded line, a mistake) is left to
h11, which knows what to say of it. The same goes for the answer.
"""

from __future__ import annotations

import re

from ._events import Headers, Request, Response

__all__ = ["read_upgrade_request", "write_switch"]

_NAME = rb"[-!#$%&'*+.^_`|~0-9A-Za-z]"
_VALUE = rb"[\t -~]"
# Possessive throughout: no head makes it go back.
_HEAD = re.compile(rb"GET ([!-~]++) HTTP/1\.1\r\n((?:%b++:%b*+\r\n)++)\r\n" % (_NAME, _VALUE))
_FIELD = re.compile(rb"%b++:%b*+" % (_NAME, _VALUE))
_REASON = re.compile(_VALUE + rb"*+")
_FOR_H11 = frozenset({b"content-length", b"transfer-encoding", b"expect"})
_SPACE = b" \t"


def read_upgrade_request(head: bytes) -> Request | None:
    """Return the request of a whole head when it is a plain GET with `Upgrade`, one Host and no body; else None."""
    match = _HEAD.fullmatch(head)
    if match is None:
        return None
    headers: Headers = []
    hosts = 0
    upgrades = False
    for line in match[2].split(b"\r\n")[:-1]:
        name, _, value = line.partition(b":")
        name = name.lower()
        if name in _FOR_H11:
            return None
        if name == b"host":
            hosts += 1
        elif name == b"upgrade":
            upgrades = True
        headers.append((name, value.strip(_SPACE)))
    return Request(b"GET", match[1], headers) if upgrades and hosts == 1 else None


def write_switch(response: Response) -> bytes | None:
    """Return the head of a 101; None when one of its fields needs a closer look."""
    lines = [b"HTTP/1.1 101 " + response.reason]
    if _REASON.fullmatch(response.reason) is None:
        return None
    for name, value in response.headers:
        line = name + b": " + value
        if _FIELD.fullmatch(line) is None or value != value.strip(_SPACE) or name.lower() in _FOR_H11:
            return None
        lines.append(line)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
