"""Gateway addresses: `ws://` and `wss://` URLs (RFC 6455 section 3, RFC 3986) taken apart by hand.

`urllib.parse.urlsplit` is not used: it removes tabs and line breaks without a word, and takes much for valid that
would then fail far away, in a resolver or as a 400 from the gateway. Here every refusal names the part that is wrong.
"""

from __future__ import annotations

import re

from .._kinds import record

__all__ = ["GatewayUrl", "parse_url"]

_DEFAULT_PORTS = {"ws": 80, "wss": 443}
_MEANT = {"http": "ws", "https": "wss"}
_MOST_CHARACTERS = 8192
_URL = re.compile(r"(?P<scheme>[^:/?#]*)://(?P<authority>[^/?#]*)(?P<target>[^#]*)(?P<fragment>#.*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[^\]]*\]|[^:\[\]]*)(?::(?P<port>.*))?")
_NAME = re.compile(r"[A-Za-z0-9._~-]+")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?")
_TARGET = re.compile(r"(?:[A-Za-z0-9._~!$&'()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*")


@record
class GatewayUrl:
    """Where a gateway listens, ready for `Connect` and for the request head.

    `host` has no brackets; `host_header` is the `Host` field's value; `target` is in origin form with the query.
    """

    secure: bool
    host: str
    port: int
    host_header: bytes
    target: bytes


def parse_url(text: str) -> GatewayUrl | str:
    """Take a `ws://` or `wss://` URL apart, or say which part of it is wrong and what was expected there."""
    if len(text) > _MOST_CHARACTERS:
        return f"URL: longer than {_MOST_CHARACTERS} characters"
    if any(character <= " " or character == "\x7f" for character in text):
        return "URL: spaces and control characters are not allowed"
    match = _URL.fullmatch(text)
    if match is None:
        return "URL: expected ws://HOST[:PORT]/v1/ACCOUNT/GATEWAY or the same with wss://"
    scheme = match["scheme"].lower()
    default_port = _DEFAULT_PORTS.get(scheme)
    if default_port is None:
        hint = f" (did you mean {_MEANT[scheme]}://?)" if scheme in _MEANT else ""
        return f"scheme: expected ws or wss, got {match['scheme']!r}{hint}"
    if match["fragment"] is not None:
        return "fragment: a WebSocket URL has none (RFC 6455 section 3)"
    located = _locate(match["authority"], default_port)
    if isinstance(located, str):
        return located
    target = match["target"]
    if _TARGET.fullmatch(target) is None:
        return "path: holds a character that must be percent-encoded"
    host, port = located
    shown = f"[{host}]" if ":" in host else host
    header = shown if port == default_port else f"{shown}:{port}"
    if not target.startswith("/"):
        target = "/" + target
    return GatewayUrl(scheme == "wss", host.replace("%25", "%"), port, header.encode(), target.encode())


def _locate(authority: str, default_port: int) -> tuple[str, int] | str:
    if "@" in authority:
        return "user: credentials do not belong into the URL; give the gateway token as the token argument"
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return f"host: cannot read {authority!r}"
    host, port = match["host"], match["port"]
    if not host:
        return "host: missing"
    if host.startswith("["):
        host = host[1:-1]
        if ":" not in host or _IPV6.fullmatch(host) is None:
            return f"host: [{host}] is not an IPv6 address"
    elif _NAME.fullmatch(host) is None:
        return f"host: {host!r} holds a character that names do not have (write international names as xn--…)"
    if not port:
        return host, default_port
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        return f"port: expected a number from 1 to 65535, got {port!r}"
    return host, int(port)
