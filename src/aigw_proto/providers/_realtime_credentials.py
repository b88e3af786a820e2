"""Keys on an upgrade request: where clients put them, and which of them the provider shall see.

SDKs and browsers know many places for a key: headers, query parameters, subprotocol items. `KeySlots` says which of
them a provider's clients use. A client's own key stays where it is, or becomes the provider's header where only the
gateway knows the place. A gateway token in any of them is taken out, and a stored key goes in as the provider's header.
"""

from __future__ import annotations

import re
import urllib.parse
from typing import TYPE_CHECKING

from .._kinds import record
from ..http import Headers
from ._credentials import bare_secret, holds_token, is_token, without_tokens
from ._realtime_path import parameter_name, parameter_value
from ._site import KeySlots

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from ._table import Provider

__all__ = ["Credentials", "choose_subprotocol", "forwarded_headers", "offered_secrets"]

_NO_SLOTS = KeySlots()
_PAIRS = KeySlots(pairs=("token", "bearer"))
_GATEWAY_ITEM = "cf-aig-authorization"
_KEY_ITEMS = frozenset({_GATEWAY_ITEM, "openai-insecure-api-key", "xai-client-secret", "xi-api-key", "fal-api-key"})
_SECRET_ITEMS = _KEY_ITEMS | {*_PAIRS.pairs}
_KEY_HEADERS = frozenset({"authorization", "x-api-key", "api-key", "x-goog-api-key", "xi-api-key"})
_KEY_PARAMETERS = frozenset({"key", "api_key", "api-key", "apikey", "access_token", "token", "authorization"})
_KEY = re.compile(r"[\x21-\x7e]+")

_NOT_FORWARDED = frozenset(
    {
        # RFC 9110 section 7.6.1: about one connection, and this is another
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # the handshake gives its own
        "host",
        "content-length",
        # a refusal's body is looked through for secrets, so it has to come as it is
        "accept-encoding",
        "expect",
        # a browser sends those of the gateway's site, which are nothing to a provider
        "cookie",
    }
)
_PREFIXES = ("sec-websocket-", "proxy-", "cf-aig-", "cf-cache-ttl", "cf-skip-cache")  # the last two: old cf-aig names


@record
class _Item:
    """One subprotocol item, or a pair of them; `key` is what stands where a key may stand, None elsewhere."""

    texts: tuple[str, ...]
    name: str
    key: str | None


class Credentials:
    """What is left of an upgrade request without gateway tokens, and which secrets there are in it.

    Feed it with `take_parameters()` and `take_subprotocols()`, then ask `has_key`.
    """

    __slots__ = ("_provider", "_slots", "_tokens", "has_key", "headers", "query", "secrets", "subprotocols")

    def __init__(
        self, provider: Provider, headers: Iterable[tuple[str, str]], *, gateway_tokens: Collection[str]
    ) -> None:
        """Begin with the headers that `forwarded_headers()` left."""
        self._provider = provider
        self._slots = _slots(provider)
        self._tokens = gateway_tokens
        self.headers = without_tokens(headers, gateway_tokens)
        self.query: list[str] = []
        self.subprotocols: list[str] = []
        self.secrets = [
            bare_secret(value) for name, value in self.headers if name in provider.key_headers or name in _KEY_HEADERS
        ]
        self.has_key = self._has_header()

    def take_parameters(self, query: Iterable[str]) -> None:
        """Take the items of a query; those that carry a gateway token in the place of a key are left out."""
        slots = self._slots.parameters
        for pair in query:
            name, values = parameter_name(pair).lower(), _values(pair)
            if name in slots:
                if any(self._is_token(value) for value in values):
                    continue
                self.has_key = self.has_key or bool(values[0])
            if name in slots or name in _KEY_PARAMETERS:
                self.secrets += values
            self.query.append(pair)

    def take_subprotocols(self, subprotocols: Sequence[str]) -> str | None:
        """Take subprotocol items, and make headers of those that are for the gateway. A string says what is wrong."""
        named = [text.partition(".") for text in subprotocols]
        self.secrets += [value for name, _, value in named if name.lower() in _KEY_ITEMS]
        for item in _items(self._slots, subprotocols):
            if item.key is None:
                if item.name not in _KEY_ITEMS and not self._is_token(item.texts[0]):
                    self.subprotocols += item.texts
                continue
            key = urllib.parse.unquote(item.key)
            if not key or self._is_token(item.key) or self._is_token(key):
                continue
            if item.name not in self._slots.headers:
                self.subprotocols += item.texts
            elif _KEY.fullmatch(key) is None:
                return f"subprotocol {item.name}: expected a key of printable ASCII characters, percent-encoded or not"
            elif not self._has_header():
                self._set_header(key)
            self.secrets += [item.key, key]
            self.has_key = True
        return None

    def add_stored_key(self, key: str) -> None:
        """Put a stored key where the provider expects it, and take out empty ones.

        Programs send empty keys when a variable is not set.
        """
        self._set_header(key)
        self.secrets.append(key)
        self.has_key = True
        self.query = [pair for pair in self.query if parameter_name(pair).lower() not in self._slots.parameters]

    def _has_header(self) -> bool:
        return any(name in self._provider.key_headers and bare_secret(value) for name, value in self.headers)

    def _set_header(self, key: str) -> None:
        form = self._provider.credential
        rest = [field for field in self.headers if field[0] not in self._provider.key_headers]
        self.headers = [*rest, (form.header, form.prefix + key)]

    def _is_token(self, text: str) -> bool:
        return is_token(text, self._tokens) or holds_token(text, self._tokens)


def forwarded_headers(headers: Headers) -> list[tuple[str, str]]:
    """Return the headers that are for the provider, names in lower case (RFC 9110 section 7.6.1)."""
    fields = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers]
    listed = {item.strip().lower() for name, value in fields if name == "connection" for item in value.split(",")}
    return [
        (name, value)
        for name, value in fields
        if name not in _NOT_FORWARDED and name not in listed and not name.startswith(_PREFIXES)
    ]


def offered_secrets(provider: Provider, *, rest: str, headers: Headers, subprotocols: Sequence[str]) -> list[str]:
    """Return every secret that stands where this provider's key may stand, so that it can be a gateway token instead.

    Many SDKs cannot send `cf-aig-authorization` and know that one place only. `rest` is what follows the provider's
    name in the request target.
    """
    slots = _slots(provider)
    found = [
        bare_secret(value.decode("latin-1"))
        for name, value in headers
        if name.decode("latin-1").lower() in provider.key_headers
    ]
    for pair in rest.partition("?")[2].split("&"):
        if parameter_name(pair).lower() in slots.parameters:
            found += _values(pair)
    for item in _items(slots, subprotocols):
        if item.key is not None:
            found += [item.key, urllib.parse.unquote(item.key)]
    return [secret for secret in dict.fromkeys(found) if secret]


def choose_subprotocol(offered: Sequence[str], selected_upstream: str | None) -> str | None:
    """Choose the one item to select for the client; None when it offered none.

    Browsers and others fail a connection that selects none of what they offered. What the provider selected goes
    first, then an item without a secret, a plain name before one with a value; if all carry secrets, the first is
    echoed, since it is the client's own.
    """
    if selected_upstream is not None and selected_upstream in offered:
        return selected_upstream
    firsts = [item.texts[0] for item in _items(_PAIRS, offered)]
    plain = [text for text in firsts if "." not in text]
    harmless = [text for text in firsts if text.partition(".")[0].lower() not in _SECRET_ITEMS]
    return next(iter([*plain, *harmless, *offered]), None)


def _slots(provider: Provider) -> KeySlots:
    return provider.realtime.keys if provider.realtime is not None else _NO_SLOTS


def _values(pair: str) -> list[str]:
    """Return the spellings of a key in a query's item: decoded and without scheme, then as written."""
    return [bare_secret(parameter_value(pair)), pair.partition("=")[2]]


def _items(slots: KeySlots, subprotocols: Iterable[str]) -> list[_Item]:
    """Put subprotocol items in order; names in lower case. Those of the gateway itself may stand between two others."""
    items: list[_Item] = []
    texts = iter([text for text in subprotocols if not text.lower().startswith(_GATEWAY_ITEM + ".")])
    for text in texts:
        name, dot, key = text.partition(".")
        name = name.lower()
        if not dot and name in slots.pairs and (second := next(texts, None)) is not None:
            items.append(_Item((text, second), name, second))
        elif dot and (name in slots.items or name in slots.headers):
            items.append(_Item((text,), name, key))
        else:
            items.append(_Item((text,), name, None))
    return items
