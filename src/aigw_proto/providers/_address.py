"""Addresses of providers: base URLs as operators write them, and which hosts are private.

A base URL is read once, at start, and strictly: it decides where stored keys are sent. Hosts that different programs
read differently (`127.1`, `0x7f.0.0.1`, `2130706433`) are refused rather than guessed at.
"""

from __future__ import annotations

import ipaddress
import re
import urllib.parse

from .._kinds import record

__all__ = ["BaseUrl", "is_dot_segment", "is_private_host", "parse_base_url", "parse_realtime_url"]

_UNSAFE = re.compile(r"[^\x21-\x7e]|[\\<>\"`{}|^]")
_NAME = re.compile(
    r"(?!.{254})(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?"
)
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_HTTP = ("https", "http")
_WEBSOCKET = ("wss", "ws")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@record
class BaseUrl:
    """Where a provider is. `host` has no brackets; `path` begins with a slash or is empty, and does not end in one.

    `is_secure` means TLS: `https://` where requests go, `wss://` where WebSockets do.
    """

    is_secure: bool
    host: str
    port: int
    path: str


def parse_base_url(text: str) -> BaseUrl | str:
    """Read `http://` or `https://`, host, optional port and path; a string says what is wrong.

    `{account}` in the path stands for the account in the gateway's URL.
    """
    return _parse(text, _HTTP)


def parse_realtime_url(text: str) -> BaseUrl | str:
    """Read `ws://` or `wss://` as `parse_base_url()` reads a base URL; a string says what is wrong."""
    return _parse(text, _WEBSOCKET)


def _parse(text: str, schemes: tuple[str, str]) -> BaseUrl | str:
    secure, plain = schemes
    if _UNSAFE.search(text.replace("{account}", "")):
        return "expected a URL without spaces and special characters; write other alphabets in punycode"
    try:
        parts = urllib.parse.urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return f"expected a URL: {error}"
    if parts.scheme not in schemes:
        return f"expected a URL that begins with {secure}:// or {plain}://"
    if "@" in parts.netloc:
        return "expected a URL without user name and password"
    if "?" in text or "#" in text:
        return "expected a URL without query and fragment"
    if not host or not _is_host(host, bracketed="[" in parts.netloc):
        return "expected a URL with a host name, an IPv4 address in four decimal parts or an IPv6 address in brackets"
    if port == 0:
        return "expected a port from 1 to 65535"
    if parts.path.startswith("//") or any(is_dot_segment(segment) for segment in parts.path.split("/")):
        return "expected a path without dot segments, and with one slash at its beginning"
    is_secure = parts.scheme == secure
    return BaseUrl(is_secure, host, port or (443 if is_secure else 80), parts.path.rstrip("/"))


def is_dot_segment(segment: str) -> bool:
    """Tell whether some server on the way may take a path segment for `.` or `..` (RFC 3986 section 3.3).

    Percent-encoded dots count (WHATWG URL), and so do parts beside an encoded slash or backslash, which some
    servers decode before they look at the path, and dots with parameters (`..;x`), which Java servers cut off.
    """
    plain = segment.lower().replace("%2e", ".").replace("%5c", "%2f").replace("\\", "%2f").replace("%3b", ";")
    return any(part.partition(";")[0] in (".", "..") for part in plain.split("%2f"))


def is_private_host(host: str) -> bool:
    """Tell whether a host is `localhost` or an IP literal that is not on the public internet.

    Names are not resolved: where a name points is the operator's knowledge. An IPv4 address in an unusual spelling is
    taken for private; one inside an IPv6 address (mapped, NAT64, 6to4, Teredo) counts as what it stands for.
    """
    name = host.lower().strip("[]").rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _ENDS_IN_NUMBER.fullmatch(name) is not None  # some resolvers take it for an address: not to be trusted
    return any(not candidate.is_global or candidate.is_multicast for candidate in _meanings(address))


def _meanings(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses that packets to this one may reach: those embedded in it, or itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]
    if address.sixtofour is not None:
        return [address.sixtofour]
    if address.teredo is not None:
        return list(address.teredo)
    if address in _NAT64 or (int(address) >> 32 == 0 and int(address) > 1):  # the second: IPv4-compatible, RFC 4291
        return [ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)]
    return [address]


def _is_host(host: str, *, bracketed: bool) -> bool:
    try:
        if bracketed:  # a zone would name an interface of this machine: nothing a provider has
            return "%" not in host and bool(ipaddress.IPv6Address(host))
        if _ENDS_IN_NUMBER.fullmatch(host):
            return bool(ipaddress.IPv4Address(host))
    except ValueError:
        return False
    return _NAME.fullmatch(host) is not None
