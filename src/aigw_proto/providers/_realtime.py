"""From an upgrade request and a provider to the upgrade request that the gateway makes of it.

A plan is made before anything is sent, and whatever can be known to fail is found here. It changes as little as it
can: the client and the provider speak to each other, and what neither of them wrote can only surprise them.
"""

from __future__ import annotations

import urllib.parse
from typing import TYPE_CHECKING

from .._kinds import record
from ..envelopes import EnvelopeFault, ErrorCode
from ..http import Headers
from ._credentials import hide_tokens, holds_token, select_key
from ._dialect import Dialect
from ._realtime_credentials import Credentials, forwarded_headers
from ._realtime_path import find_place
from ._target import Target, check_path, make_target

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ._table import Provider

__all__ = ["RealtimePlan", "plan_realtime"]

_MAX_SHOWN_CHARACTERS = 100


@record
class RealtimePlan:
    """One WebSocket to a provider, ready to be opened.

    `headers` are those besides what the handshake itself gives, `subprotocols` are offered to the provider. `model` is
    what the request says, None when it says nothing. `secrets` are all keys in it, in every spelling, and never to be
    logged or shown; nor is the query of `target.target`.
    """

    target: Target
    headers: Headers
    subprotocols: tuple[str, ...]
    deflate: bool
    dialect: Dialect
    model: str | None
    secrets: tuple[str, ...]


def plan_realtime(
    provider: Provider,
    *,
    rest: str,
    account: str,
    headers: Headers,
    subprotocols: Sequence[str],
    stored_keys: Mapping[str, str],
    alias: str | None,
    gateway_tokens: Collection[str],
) -> RealtimePlan | EnvelopeFault:
    """Plan the WebSocket that a client's upgrade request asks for, or say what is wrong with the request.

    `rest` is what follows the provider's name in the request target, with the query, byte for byte. `stored_keys` are
    this provider's, by alias; `alias` is the one that the request names, which matters only when it brings no key.
    """
    site = provider.realtime
    if site is None:
        return EnvelopeFault(404, ErrorCode.INVALID_PROVIDER, f"Provider '{provider.slug}' has no realtime API")
    path, mark, query = rest.partition("?")
    path = path.lstrip("/")  # SDKs whose base URL ends in a slash write two
    if (problem := _check(path, query)) is not None:
        return _fault(path, problem, gateway_tokens)
    credentials = Credentials(provider, forwarded_headers(headers), gateway_tokens=gateway_tokens)
    credentials.take_parameters(query.split("&") if query else ())
    if (problem := credentials.take_subprotocols(subprotocols)) is not None:
        return EnvelopeFault(400, ErrorCode.INVALID_FIELD, problem)
    if not credentials.has_key:
        key = select_key(provider.slug, stored_keys, alias)
        if isinstance(key, EnvelopeFault):
            return key
        if key is not None:
            credentials.add_stored_key(key)
    place = find_place(site, path, credentials.query, account)
    if isinstance(place, str):
        return _fault(path, place, gateway_tokens)
    left = "&".join(place.query)
    target = place.path + (f"?{left}" if left else mark if not query else "")
    if holds_token(target, gateway_tokens) or holds_token(urllib.parse.unquote(target), gateway_tokens):
        message = "path: holds a token of this gateway, which is not for the provider"
        return EnvelopeFault(400, ErrorCode.INVALID_ENDPOINT, message)
    return RealtimePlan(
        make_target(place.base, provider.tls_ca, target),
        [(name.encode("latin-1"), value.encode("latin-1")) for name, value in credentials.headers],
        tuple(credentials.subprotocols),
        provider.deflate,
        place.dialect,
        place.model,
        tuple(secret for secret in dict.fromkeys(credentials.secrets) if secret),
    )


def _check(path: str, query: str) -> str | None:
    if not (path + query).isascii():
        return "expected ASCII; write other characters percent-encoded"
    return check_path(path, query)


def _fault(path: str, problem: str, gateway_tokens: Collection[str]) -> EnvelopeFault:
    shown = "/" + hide_tokens(path, gateway_tokens)
    shown = shown if len(shown) <= _MAX_SHOWN_CHARACTERS else shown[:_MAX_SHOWN_CHARACTERS] + "..."
    return EnvelopeFault(400, ErrorCode.INVALID_ENDPOINT, f"path {shown!r}: {problem}")
