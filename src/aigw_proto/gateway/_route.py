"""Which gateway a request target names (RFC 9112 section 3.2.1, origin form)."""

from __future__ import annotations

from urllib.parse import unquote_to_bytes

from .._kinds import record

__all__ = ["Route", "parse_route"]

_VERSION = b"v1"
_MAX_NAME_BYTES = 128  # twice the longest gateway name that the hosted service allows


@record
class Route:
    """A target below `/v1/{account}/{gateway}`.

    `rest` is what follows, byte for byte, with the query string unless there is nothing else; it begins with `slug`,
    the provider.
    """

    account: str
    gateway_id: str
    slug: str
    rest: str


def parse_route(target: bytes) -> Route | None:
    """Return the route, or None when the target names no gateway.

    The target is cut by hand: a URL parser would take the start of a path like `//name` for a host.
    """
    path, mark, query = target.partition(b"?")
    pieces = path.split(b"/", 4)
    if len(pieces) < 4 or pieces[0] or pieces[1] != _VERSION:
        return None
    account, gateway_id = _name(pieces[2]), _name(pieces[3])
    if not account or not gateway_id:
        return None
    rest = pieces[4].decode("latin-1") if len(pieces) > 4 else ""
    slug = rest.partition("/")[0]
    return Route(account, gateway_id, slug, rest + (mark + query).decode("latin-1") if rest else "")


def _name(segment: bytes) -> str | None:
    name = unquote_to_bytes(segment)
    if len(name) > _MAX_NAME_BYTES:
        return None
    try:
        return name.decode()
    except UnicodeDecodeError:
        return None
