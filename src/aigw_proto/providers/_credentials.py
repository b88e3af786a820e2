"""Which key a request carries: the client's own, a stored one, or none.

A client's own key goes before a stored one. SDKs know one place for a key, so many clients put the gateway's token
there; such a token is meant for the gateway, is taken out, and never reaches a provider. Without any key the
request goes out without one, and the provider's own answer says so.
"""

from __future__ import annotations

import functools
import hmac
import re
import urllib.parse
from typing import TYPE_CHECKING

from ..envelopes import EnvelopeFault, ErrorCode

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from ._table import Provider

__all__ = [
    "apply_credential",
    "bare_secret",
    "brings_key",
    "hide_tokens",
    "holds_token",
    "is_token",
    "select_key",
    "strip_token",
    "without_tokens",
]

_LEAST_TOKEN_LENGTH = 8  # what is shorter is found by chance in texts that hold no secret
DEFAULT_ALIAS = "default"
_SCHEMES = ("bearer", "token", "key")


def apply_credential(
    provider: Provider,
    headers: Iterable[tuple[str, str]],
    *,
    stored_key: str | None,
    gateway_tokens: Collection[str],
    endpoint: str = "",
) -> tuple[tuple[str, str], ...]:
    """Return the headers with the key that the provider shall see. Names are in lower case.

    Gateway tokens are taken out, whatever header they are in. `endpoint` is looked at for a key in its query string.
    """
    kept = without_tokens(headers, gateway_tokens)
    if stored_key is None or brings_key(provider, kept, gateway_tokens=(), endpoint=endpoint):
        return tuple(kept)
    form = provider.credential
    # what is left in the key headers is empty, as programs send it when their variable is not set
    rest = [field for field in kept if field[0] not in provider.key_headers]
    return (*rest, (form.header, form.prefix + stored_key))


def brings_key(
    provider: Provider, headers: Iterable[tuple[str, str]], *, gateway_tokens: Collection[str], endpoint: str = ""
) -> bool:
    """Tell whether the client brought a key of its own for this provider."""
    for name, value in without_tokens(headers, gateway_tokens):
        if name in provider.key_headers and bare_secret(value):
            return True
    if provider.key_parameter is None:
        return False
    query = strip_token(provider, endpoint, gateway_tokens=gateway_tokens).partition("?")[2]
    return any(_is_parameter(pair, provider.key_parameter) and _parameter_value(pair) for pair in query.split("&"))


def strip_token(provider: Provider, endpoint: str, *, gateway_tokens: Collection[str]) -> str:
    """Return the endpoint without a gateway token in the provider's key parameter; otherwise as it is."""
    path, mark, query = endpoint.partition("?")
    parameter = provider.key_parameter
    if parameter is None or not mark:
        return endpoint
    pairs = query.split("&")
    kept = [
        pair
        for pair in pairs
        if not (_is_parameter(pair, parameter) and is_token(_parameter_value(pair), gateway_tokens))
    ]
    if len(kept) == len(pairs):
        return endpoint
    return path + mark + "&".join(kept) if kept else path


def select_key(slug: str, keys: Mapping[str, str], alias: str | None) -> str | EnvelopeFault | None:
    """Choose from a provider's stored keys, by alias: the named one, else `default`, else none.

    An alias that does not exist is a fault with the text of the documented service.
    """
    if alias is None:
        return keys.get(DEFAULT_ALIAS)
    key = keys.get(alias)
    if key is not None:
        return key
    configured = ", ".join(f"'{name}'" for name in keys) or "none"
    text = f"Provider '{slug}' has no BYOK credential named '{alias}'. Configured aliases: {configured}"
    return EnvelopeFault(400, ErrorCode.UNKNOWN_KEY_ALIAS, text)


def without_tokens(headers: Iterable[tuple[str, str]], tokens: Collection[str]) -> list[tuple[str, str]]:
    """Return the headers that hold no gateway token."""
    return [
        (name, value)
        for name, value in headers
        if not (is_token(bare_secret(value), tokens) or is_token(value, tokens) or holds_token(value, tokens))
    ]


def holds_token(text: str, tokens: Collection[str]) -> bool:
    """Tell whether a gateway token stands anywhere in `text`: in a cookie, behind a tab, in a path.

    Tokens of a few characters are not looked for, since they stand in much that has nothing to do with them.
    """
    return any(pattern.search(text) is not None for pattern in _patterns(tokens))


def hide_tokens(text: str, tokens: Collection[str]) -> str:
    """Return `text` with `[token]` for every gateway token that `holds_token()` sees in it."""
    for pattern in _patterns(tokens):
        text = pattern.sub("[token]", text)
    return text


def _patterns(tokens: Collection[str]) -> list[re.Pattern[str]]:
    return [_pattern(token) for token in tokens if len(token) >= _LEAST_TOKEN_LENGTH]


@functools.lru_cache(maxsize=1024)
def _pattern(token: str) -> re.Pattern[str]:
    return re.compile(rf"(?<![\w-]){re.escape(token)}(?![\w-])")


def bare_secret(value: str) -> str:
    """Return a key header's value without its scheme; empty when there is nothing but the scheme."""
    first, _, rest = value.strip().partition(" ")
    return rest.strip() if first.lower() in _SCHEMES else value.strip()


def is_token(secret: str, tokens: Collection[str]) -> bool:
    """Compare so that the time an answer takes tells nothing about a token but its length."""
    found = False
    for token in tokens:
        if token and len(token) == len(secret):
            found |= hmac.compare_digest(secret.encode("utf-8", "replace"), token.encode())
    return found


def _is_parameter(pair: str, name: str) -> bool:
    return urllib.parse.unquote_plus(pair.partition("=")[0]) == name


def _parameter_value(pair: str) -> str:
    return urllib.parse.unquote_plus(pair.partition("=")[2])
