"""The opening handshake as values: what makes an HTTP request an upgrade, and what makes an answer one (RFC 6455).

Nothing here knows a connection. The functions take and return the heads that `aigw_proto.http` parses and prints, so an
engine decides between a check and its answer whatever it has to decide: the path, a token, the provider behind.

Requests are checked against every rule of section 4.2.1, but only those: real clients send capital and small letters,
lists in one line or several, lists without spaces, and all kinds of headers that have no business in a GET.
Refusals say what would have been right: 405 names the method (RFC 9110 section 15.5.6), 426 the protocol and the
version (RFC 6455 section 4.2.2), everything else is 400.
"""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from wsproto.utilities import generate_accept_token

from .._errors import LocalProtocolError
from .._kinds import record
from ..http._events import Headers, Request, Response
from ._negotiation import DeflatePolicy, answer_offers, check_answer, is_token, offer, split_extensions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .._entropy import Entropy
    from ._deflate import DeflateParameters

__all__ = [
    "UpgradeAccepted",
    "UpgradeOffer",
    "UpgradeRefused",
    "accept_upgrade",
    "check_response",
    "check_upgrade",
    "new_key",
    "upgrade_request",
    "wants_upgrade",
]

_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_HOST = re.compile(rb"(?:\[[0-9A-Za-z:.%_~-]+\]|[0-9A-Za-z._~!$&'()*+,;=%-]+)(?::([0-9]{0,5}))?")
_TARGET = re.compile(rb"(?:/|[A-Za-z][A-Za-z0-9+.-]*://).*", re.DOTALL)
_MAX_PORT = 65535
_VERSION = b"13"

_Fields = dict[bytes, list[bytes]]  # the values of each header, its name in lower case
_NO_VALUES: list[bytes] = []  # never changed

OURS = frozenset(
    {
        b"connection",
        b"content-length",
        b"host",
        b"sec-websocket-accept",
        b"sec-websocket-extensions",
        b"sec-websocket-key",
        b"sec-websocket-protocol",
        b"sec-websocket-version",
        b"transfer-encoding",
        b"upgrade",
    }
)


@record
class UpgradeOffer:
    """A client's valid wish to open a WebSocket.

    `target` is the request target as it was on the wire: percent signs, double slashes and all. `subprotocols` and
    `extensions` are in the client's order of preference; `extensions` are unparsed.
    """

    target: bytes
    host: bytes
    key: bytes
    subprotocols: tuple[str, ...]
    extensions: tuple[str, ...]
    origin: bytes | None
    headers: Headers


@record
class UpgradeRefused:
    """No WebSocket.

    On a server: answer with `status` and `headers`; the body is the caller's. On a client: `status` is what the server
    answered (101 when its answer was an invalid handshake), `headers` are the server's and `body` is the beginning of
    its body. `reason` is for people.
    """

    status: int
    headers: Headers
    reason: str
    body: bytes = b""


@record
class UpgradeAccepted:
    """A WebSocket was agreed on. `headers` are those of the 101."""

    subprotocol: str | None
    deflate: DeflateParameters | None
    headers: Headers


def new_key(entropy: Entropy) -> bytes:
    """Return a fresh `Sec-WebSocket-Key`: sixteen random bytes in base64 (RFC 6455 section 4.1)."""
    return base64.b64encode(entropy.take(16))


def _by_name(headers: Headers) -> _Fields:
    fields: _Fields = {}
    for name, value in headers:
        lower = name.lower()
        if lower in fields:
            fields[lower].append(value)
        else:
            fields[lower] = [value]
    return fields


def _values(fields: _Fields, wanted: bytes) -> list[bytes]:
    return fields.get(wanted, _NO_VALUES)


def _items(fields: _Fields, wanted: bytes) -> list[bytes]:
    """Return the items of a list header, from all of its lines; empty items do not count (RFC 9110 section 5.6.1)."""
    return [
        stripped for value in _values(fields, wanted) for item in value.split(b",") if (stripped := item.strip(b" \t"))
    ]


def _has_token(fields: _Fields, wanted: bytes, token: bytes) -> bool:
    return token in [item.lower() for item in _items(fields, wanted)]


def wants_upgrade(request: Request) -> bool:
    """Whether a request asks to switch to WebSocket at all, validly or not: its `Upgrade` lists `websocket`.

    In HTTP/1.0 the header has no meaning (RFC 9110 section 7.8).
    """
    return request.http_version != b"1.0" and _has_token(_by_name(request.headers), b"upgrade", b"websocket")


def check_upgrade(request: Request) -> UpgradeOffer | UpgradeRefused:
    """Check a request against RFC 6455 section 4.2.1. Never raises."""
    fields = _by_name(request.headers)
    refusal = _check_head(request, fields) or _check_version(fields)
    if refusal is not None:
        return refusal
    keys = _values(fields, b"sec-websocket-key")
    if len(keys) != 1 or _KEY.fullmatch(keys[0]) is None:
        return _refuse("exactly one Sec-WebSocket-Key of sixteen bytes in base64 is needed")
    subprotocols = tuple(item.decode("latin-1") for item in _items(fields, b"sec-websocket-protocol"))
    if (fault := _check_subprotocols(subprotocols)) is not None:
        return _refuse(fault)
    origins = _values(fields, b"origin")
    if len(origins) > 1:
        return _refuse("there is more than one Origin")
    return UpgradeOffer(
        target=request.target,
        host=_values(fields, b"host")[0],
        key=keys[0],
        subprotocols=subprotocols,
        extensions=tuple(split_extensions(_values(fields, b"sec-websocket-extensions"))),
        origin=origins[0] if origins else None,
        headers=request.headers,
    )


def _refuse(reason: str, *, status: int = 400, headers: Headers | None = None) -> UpgradeRefused:
    return UpgradeRefused(status, headers or [], reason)


def _upgrade_headers() -> Headers:
    return [(b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-version", _VERSION)]


def _check_head(request: Request, fields: _Fields) -> UpgradeRefused | None:
    if request.method != b"GET":
        return _refuse("a WebSocket is opened with GET", status=405, headers=[(b"allow", b"GET")])
    if request.http_version != b"1.1":
        return _refuse("a WebSocket is opened over HTTP/1.1")
    if _TARGET.fullmatch(request.target) is None:
        return _refuse("the request target is not a path")
    hosts = _values(fields, b"host")
    if len(hosts) != 1 or not _is_host(hosts[0]):
        return _refuse("exactly one valid Host is needed")
    if not _has_token(fields, b"upgrade", b"websocket"):
        return _refuse("Upgrade does not list websocket", status=426, headers=_upgrade_headers())
    if not _has_token(fields, b"connection", b"upgrade"):
        return _refuse("Connection does not list upgrade")
    if b"transfer-encoding" in fields or any(value != b"0" for value in _values(fields, b"content-length")):
        # The bytes behind this head would be a body to one reader and frames to another.
        return _refuse("a WebSocket is opened with a request without a body")
    return None


def _check_version(fields: _Fields) -> UpgradeRefused | None:
    if _values(fields, b"sec-websocket-version") == [_VERSION]:
        return None
    return _refuse(
        "exactly one Sec-WebSocket-Version is needed, and it has to be 13",
        status=426,
        headers=_upgrade_headers(),
    )


def _is_host(value: bytes) -> bool:
    match = _HOST.fullmatch(value)
    return match is not None and int(match[1] or 0) <= _MAX_PORT


def _check_subprotocols(subprotocols: Collection[str]) -> str | None:
    if not all(is_token(item) for item in subprotocols):
        return "a subprotocol is not a token (RFC 9110 section 5.6.2)"
    if len(set(subprotocols)) != len(subprotocols):
        return "a subprotocol is named twice"
    return None


def _check_extra(headers: Headers | None) -> Headers:
    for name, _ in headers or ():
        if name.lower() in OURS:
            raise LocalProtocolError(f"the handshake itself gives the header {name.decode('latin-1')}")
    return headers or []


def accept_upgrade(
    offer: UpgradeOffer,
    *,
    subprotocol: str | None = None,
    deflate: DeflatePolicy | None = None,
    headers: Headers | None = None,
) -> tuple[Response, UpgradeAccepted]:
    """Return the 101 to a valid offer, and what it agrees on. Send it with `H1Connection.send_switch()`.

    Without `deflate` no compression is accepted. Raises LocalProtocolError for a subprotocol that was not offered, for
    a header that the handshake itself gives, and for impossible window bits.
    """
    answer: Headers = [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Accept", generate_accept_token(offer.key)),
    ]
    if subprotocol is not None:
        if subprotocol not in offer.subprotocols:
            raise LocalProtocolError("the subprotocol was not offered")
        answer.append((b"Sec-WebSocket-Protocol", subprotocol.encode("ascii")))
    agreed: DeflateParameters | None = None
    if deflate is not None and (chosen := answer_offers(offer.extensions, deflate)) is not None:
        text, agreed = chosen
        answer.append((b"Sec-WebSocket-Extensions", text.encode("ascii")))
    answer += _check_extra(headers)
    return Response(101, answer, b"Switching Protocols"), UpgradeAccepted(subprotocol, agreed, answer)


def upgrade_request(
    *,
    host: bytes,
    target: bytes,
    key: bytes,
    subprotocols: Sequence[str] = (),
    deflate: DeflatePolicy | None = None,
    headers: Headers | None = None,
) -> Request:
    """Return the request that opens a WebSocket (RFC 6455 section 4.1). Make `key` with `new_key()`.

    Raises LocalProtocolError for a malformed host, target, key or subprotocol, for a header that the handshake itself
    gives, and for impossible window bits.
    """
    if not _is_host(host):
        raise LocalProtocolError("the host is malformed")
    if _TARGET.fullmatch(target) is None:
        raise LocalProtocolError("the target is not a path")
    if _KEY.fullmatch(key) is None:
        raise LocalProtocolError("the key is not sixteen bytes in base64")
    if (fault := _check_subprotocols(subprotocols)) is not None:
        raise LocalProtocolError(fault)
    request: Headers = [
        (b"Host", host),
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", key),
        (b"Sec-WebSocket-Version", _VERSION),
    ]
    if subprotocols:
        request.append((b"Sec-WebSocket-Protocol", ", ".join(subprotocols).encode("ascii")))
    if deflate is not None:
        request.append((b"Sec-WebSocket-Extensions", offer(deflate).encode("ascii")))
    request += _check_extra(headers)
    return Request(b"GET", target, request)


def check_response(
    response: Response, *, key: bytes, subprotocols: Sequence[str], deflate: DeflatePolicy | None
) -> UpgradeAccepted | UpgradeRefused:
    """Check a server's answer against the request (RFC 6455 section 4.1, "the client MUST validate"). Never raises.

    After `UpgradeRefused` for a 101 the stream has to be dropped: nobody can tell what follows on it.
    """
    fields = _by_name(response.headers)

    def refuse(reason: str) -> UpgradeRefused:
        return UpgradeRefused(response.status, response.headers, reason)

    if response.status != 101:
        return refuse(f"the server answered {response.status}")
    if [item.lower() for item in _items(fields, b"upgrade")] != [b"websocket"]:
        return refuse("the answer does not upgrade to websocket")
    if not _has_token(fields, b"connection", b"upgrade"):
        return refuse("the answer's Connection does not list upgrade")
    if _values(fields, b"sec-websocket-accept") != [generate_accept_token(key)]:
        return refuse("the answer's Sec-WebSocket-Accept does not match the key")
    chosen = _values(fields, b"sec-websocket-protocol")
    if len(chosen) > 1 or any(value.decode("latin-1") not in subprotocols for value in chosen):
        return refuse("the answer chose a subprotocol that was not offered")
    agreed = check_answer(split_extensions(_values(fields, b"sec-websocket-extensions")), deflate)
    if isinstance(agreed, str):
        return refuse(agreed)
    return UpgradeAccepted(chosen[0].decode("ascii") if chosen else None, agreed, response.headers)
