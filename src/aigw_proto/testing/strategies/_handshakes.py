"""Opening handshakes of WebSockets over HTTP/1.1, good ones and such with one fault (RFC 6455 section 4)."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import TypeAlias

from hypothesis import strategies as st
from wsproto.utilities import generate_accept_token

from ..._kinds import record

__all__ = ["Handshake", "upgrade_requests", "upgrade_responses"]

_Fields: TypeAlias = list[tuple[str, str]]
_TOKENS = st.text("abcxyzABCXYZ0189-_.", min_size=1, max_size=12)
_EXTRA = st.tuples(st.just("X-").flatmap(lambda prefix: _TOKENS.map(prefix.__add__)), st.text("az09 =;,/", max_size=20))
_TARGETS = st.sampled_from(["/", "/v1/acme/default", "/a//b?c=%20&d=;", "http://gateway.example/x?y"])
_HOSTS = st.sampled_from(["gateway", "127.0.0.1:8787", "[::1]:80", "a.b-c.example"])
_OFFERS = st.sampled_from(
    [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        'permessage-deflate; server_max_window_bits="10"; client_no_context_takeover',
        'x-unknown; a="b, c; \\"d\\""',
        "permessage-deflate; server_max_window_bits=99",
    ]
)


@record
class Handshake:
    """One half of an opening handshake as it is on the wire.

    `fault` says what is wrong with it; None means that whoever reads it has to accept it.
    """

    data: bytes
    fault: str | None


_REQUEST_FAULTS: dict[str, Callable[[str, _Fields], tuple[str, _Fields]]] = {
    "the method is not GET": lambda line, fields: (line.replace("GET", "POST", 1), fields),
    "the version is HTTP/1.0": lambda line, fields: (line.replace("HTTP/1.1", "HTTP/1.0"), fields),
    "there is no Host": lambda line, fields: (line, _without(fields, "host")),
    "there are two Hosts": lambda line, fields: (line, [*fields, ("Host", "other.example")]),
    "Upgrade is missing": lambda line, fields: (line, _without(fields, "upgrade")),
    "Upgrade names another protocol": lambda line, fields: (line, _changed(fields, "upgrade", "h2c")),
    "Connection is missing": lambda line, fields: (line, _without(fields, "connection")),
    "Connection does not list upgrade": lambda line, fields: (line, _changed(fields, "connection", "keep-alive")),
    "the key is missing": lambda line, fields: (line, _without(fields, "sec-websocket-key")),
    "there are two keys": lambda line, fields: (line, [*fields, ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==")]),
    "the key is short": lambda line, fields: (line, _changed(fields, "sec-websocket-key", "c2hvcnQ=")),
    "the version of the protocol is missing": lambda line, fields: (line, _without(fields, "sec-websocket-version")),
    "the version of the protocol is not 13": lambda line, fields: (
        line,
        _changed(fields, "sec-websocket-version", "8"),
    ),
    "there is a body": lambda line, fields: (line, [*fields, ("Content-Length", "3")]),
    "a subprotocol is named twice": lambda line, fields: (line, [*fields, ("Sec-WebSocket-Protocol", "twice, twice")]),
}
_RESPONSE_FAULTS: dict[str, Callable[[str, _Fields], tuple[str, _Fields]]] = {
    "the status is not 101": lambda line, fields: (line.replace("101", "200", 1), fields),
    "Upgrade is missing": lambda line, fields: (line, _without(fields, "upgrade")),
    "Upgrade names another protocol": lambda line, fields: (line, _changed(fields, "upgrade", "h2c")),
    "Connection is missing": lambda line, fields: (line, _without(fields, "connection")),
    "Connection does not list upgrade": lambda line, fields: (line, _changed(fields, "connection", "keep-alive")),
    "the accept value is missing": lambda line, fields: (line, _without(fields, "sec-websocket-accept")),
    "the accept value is wrong": lambda line, fields: (line, _changed(fields, "sec-websocket-accept", "AAAA")),
    "a subprotocol was not offered": lambda line, fields: (
        line,
        [*_without(fields, "sec-websocket-protocol"), ("Sec-WebSocket-Protocol", "never-offered")],
    ),
    "an extension was not offered": lambda line, fields: (
        line,
        [*fields, ("Sec-WebSocket-Extensions", "x-never-offered")],
    ),
}


@st.composite
def upgrade_requests(draw: st.DrawFn, *, valid: bool | None = None) -> Handshake:
    """Draw a client's request: a good one, one with a fault, or with `valid` None either.

    Real clients differ in the order and the letters of names, in lists on one line or several, in what else they send.
    """
    line = f"GET {draw(_TARGETS)} HTTP/1.1"
    fields: _Fields = [
        ("Host", draw(_HOSTS)),
        *_list(draw, "Upgrade", [draw(st.sampled_from(["websocket", "WebSocket"]))], ["x-other/1"]),
        *_list(draw, "Connection", [draw(st.sampled_from(["Upgrade", "upgrade"]))], ["keep-alive"]),
        ("Sec-WebSocket-Key", base64.b64encode(draw(st.binary(min_size=16, max_size=16))).decode()),
        ("Sec-WebSocket-Version", "13"),
    ]
    for name in draw(st.lists(_TOKENS, max_size=3, unique=True)):
        fields.append(("Sec-WebSocket-Protocol", name))
    for offer in draw(st.lists(_OFFERS, max_size=2)):
        fields.append(("Sec-WebSocket-Extensions", offer))
    if draw(st.booleans()):
        fields.append(("Origin", "https://app.example"))
    return _handshake(draw, line, fields, _REQUEST_FAULTS, valid)


@st.composite
def upgrade_responses(
    draw: st.DrawFn, key: bytes, *, subprotocols: Sequence[str] = (), valid: bool | None = None
) -> Handshake:
    """Draw a server's answer to a request with this `key` that offered `subprotocols` and no extension.

    It is a good one, one with a fault, or with `valid` None either.
    """
    line = "HTTP/1.1 101" + draw(st.sampled_from([" Switching Protocols", " ", " OK"]))
    fields: _Fields = [
        ("Upgrade", draw(st.sampled_from(["websocket", "WebSocket"]))),
        *_list(draw, "Connection", [draw(st.sampled_from(["Upgrade", "upgrade"]))], ["keep-alive"]),
        ("Sec-WebSocket-Accept", generate_accept_token(key).decode()),
    ]
    chosen = draw(st.none() | st.sampled_from([*subprotocols])) if subprotocols else None
    if chosen is not None:
        fields.append(("Sec-WebSocket-Protocol", chosen))
    return _handshake(draw, line, fields, _RESPONSE_FAULTS, valid)


def _handshake(
    draw: st.DrawFn,
    line: str,
    fields: _Fields,
    faults: dict[str, Callable[[str, _Fields], tuple[str, _Fields]]],
    valid: bool | None,
) -> Handshake:
    fields = list(draw(st.permutations([*fields, *draw(st.lists(_EXTRA, max_size=2))])))
    fault: str | None = None
    if not (draw(st.booleans()) if valid is None else valid):
        fault = draw(st.sampled_from(list(faults)))
        line, fields = faults[fault](line, fields)
    lines = [line]
    for name, value in fields:
        written = draw(st.sampled_from([name, name.lower(), name.upper()]))
        lines.append(f"{written}:{draw(st.sampled_from([' ', '', '  ']))}{value}")
    return Handshake("\r\n".join([*lines, "", ""]).encode("ascii"), fault)


def _list(draw: st.DrawFn, name: str, items: list[str], others: list[str]) -> _Fields:
    """Write a list header with `items` and perhaps `others`, in one line or several."""
    items = list(draw(st.permutations([*items, *draw(st.sampled_from([[], others]))])))
    if draw(st.booleans()):
        return [(name, item) for item in items]
    return [(name, draw(st.sampled_from([", ", ","])).join(items))]


def _without(fields: _Fields, name: str) -> _Fields:
    return [field for field in fields if field[0].lower() != name]


def _changed(fields: _Fields, name: str, value: str) -> _Fields:
    return [(field[0], value) if field[0].lower() == name else field for field in fields]
