"""Header fields of a step: from a client's JSON object to what may go on the wire to a provider.

The object is written by people and programs that think of `fetch()`, so it is read as `fetch()` would: names in any
case, white space around values dropped (a key read from a file often ends in a line feed), values within ISO 8859-1.
Whatever could end a field early and begin another is a fault: behind it stand stored keys of other people.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import msgspec

from ._text import kind_of, shorten

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["EXPECTED_VALUE", "clean_value", "encode_headers", "is_forwarded", "parse_headers"]

_MAX_NAME_CHARACTERS = 256  # no known name is half as long; what is remembered about names stays small
_MAX_HEADERS_BYTES = 64 * 1024  # as much as a server takes in a request head
_STRINGS = msgspec.json.Decoder(dict[str, str])
_SLICES = msgspec.json.Decoder(dict[str, msgspec.Raw])
_STRING = msgspec.json.Decoder(str)

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 section 5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 section 5.5, with obs-text

EXPECTED_VALUE = "expected ISO 8859-1 text without control characters"  # the value is not shown: it may be a secret

_HOP_BY_HOP = frozenset(
    {
        # RFC 9110 section 7.6.1: about one connection, and this is another
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        # the gateway knows better: where the request goes, how long its body is, and that it is sent at once and plain
        "host",
        "content-length",
        "content-encoding",
        "expect",
        # bodies are put into frames as they come; a compressed one could not be
        "accept-encoding",
    }
)
_FOR_THE_GATEWAY = ("cf-aig-", "cf-cache-ttl", "cf-skip-cache")  # the last two are old names of the same family


@functools.lru_cache(maxsize=512)
def is_forwarded(name: str) -> bool:
    """Tell whether a header of that name, in lower case, goes to the provider."""
    return name not in _HOP_BY_HOP and not name.startswith(_FOR_THE_GATEWAY)


def parse_headers(text: msgspec.Raw, path: str) -> dict[str, str] | str:
    """Read a `headers` object, given as the slice of valid JSON that holds it; a string says what is wrong.

    Names come back in lower case, each once (the last wins), and include those that are not forwarded. Numbers and
    booleans become their JSON text, as the service's own client library makes them.
    """
    if len(memoryview(text)) > _MAX_HEADERS_BYTES:
        return f"{path}: expected at most {_MAX_HEADERS_BYTES} bytes, got {len(memoryview(text))}"
    try:
        fields = _STRINGS.decode(text)
    except msgspec.ValidationError:
        converted = _convert(text, path)
        if isinstance(converted, str):
            return converted
        fields = converted
    headers: dict[str, str] = {}
    for name, value in fields.items():
        lower = _lower_name(name) if len(name) <= _MAX_NAME_CHARACTERS else None
        if lower is None:
            return f"{path}: expected header names, got {shorten(name)}"
        cleaned = clean_value(value)
        if cleaned is None:
            return f"{path}.{name}: {EXPECTED_VALUE}"
        headers[lower] = cleaned
    return headers


def clean_value(value: str) -> str | None:
    """Return a field value without white space around it; None when it cannot go on the wire."""
    value = value.strip(" \t\r\n")
    if value.isascii() and value.isprintable():
        return value  # the usual case; the pattern costs three times as much
    return value if _VALUE.fullmatch(value) else None


def encode_headers(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return the fields of a step as they go on the wire."""
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]


@functools.lru_cache(maxsize=512)
def _lower_name(name: str) -> str | None:
    """Return a header's name in lower case; None when it is no token."""
    return name.lower() if _TOKEN.fullmatch(name) else None


def _convert(text: msgspec.Raw, path: str) -> dict[str, str] | str:
    if kind_of(text) != "an object":
        return f"{path}: expected an object, got {kind_of(text)}"
    fields: dict[str, str] = {}
    for name, raw in _SLICES.decode(text).items():
        kind = kind_of(raw)
        if kind == "a string":
            fields[name] = _STRING.decode(raw)
        elif kind in ("a number", "a boolean"):
            fields[name] = bytes(raw).decode()
        else:
            return f"{path}.{shorten(name)[1:-1]}: expected a string, got {kind}"
    return fields
