"""What the upgrade request carries: the gateway token in one of its two forms, and the caller's own fields.

Caller mistakes raise here, before anything is connected: a line break in a header value would otherwise surface as a
400 from the gateway, or not at all and be an injection.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .._errors import LocalProtocolError
from ._inputs import OpenConnection, TokenForm

if TYPE_CHECKING:
    from ..http import Headers

__all__ = ["check_open", "upgrade_fields"]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_OURS = {"host", "connection", "upgrade", "content-length", "transfer-encoding"}
_AUTHORIZATION = "cf-aig-authorization"


def check_open(request: OpenConnection) -> None:
    """Raise LocalProtocolError for a token, header or subprotocol that cannot be sent."""
    upgrade_fields(request)


def upgrade_fields(request: OpenConnection) -> tuple[Headers, tuple[str, ...]]:
    """Return additional header fields and the subprotocols to offer. Raises LocalProtocolError naming what is wrong."""
    headers: Headers = []
    subprotocols = list(request.subprotocols)
    if request.token is not None:
        if request.token_form is TokenForm.HEADER:
            # The token itself is in no message: messages end up in logs.
            if not request.token or _VALUE.fullmatch(request.token) is None:
                raise LocalProtocolError("token: empty, or holds a character that a header value cannot have")
            headers.append((_AUTHORIZATION.encode(), b"Bearer " + request.token.encode("latin-1")))
        elif _TOKEN.fullmatch(request.token) is None:
            raise LocalProtocolError(
                "token: empty, or holds a character that a subprotocol cannot have; use the header form"
            )
        else:
            subprotocols.insert(0, f"{_AUTHORIZATION}.{request.token}")
    for number, subprotocol in enumerate(request.subprotocols):
        if _TOKEN.fullmatch(subprotocol) is None:
            # Named by its place, because many providers take their key as a subprotocol.
            raise LocalProtocolError(f"subprotocols[{number}]: not a token (RFC 9110 section 5.6.2)")
    if len(set(subprotocols)) < len(subprotocols):
        raise LocalProtocolError("subprotocols: each may be offered once")
    for name, value in request.headers:
        headers.append(_field(name, value, has_token=request.token is not None))
    return headers, tuple(subprotocols)


def _field(name: str, value: str, *, has_token: bool) -> tuple[bytes, bytes]:
    if _TOKEN.fullmatch(name) is None:
        raise LocalProtocolError(f"header {name!r}: not a field name (RFC 9110 section 5.1)")
    lower = name.lower()
    if lower in _OURS or lower.startswith("sec-websocket-"):
        raise LocalProtocolError(f"header {name!r}: belongs to the opening handshake")
    if lower == _AUTHORIZATION and has_token:
        raise LocalProtocolError(f"header {name!r}: given twice, as token too")
    if _VALUE.fullmatch(value) is None:
        raise LocalProtocolError(f"header {name!r}: its value holds a control character or one beyond ISO 8859-1")
    return name.encode(), value.strip(" \t").encode("latin-1")
