"""From a provider and an endpoint to the server and the request target.

An endpoint is a client's text in the path of a request that may carry a stored key of somebody else. So it never
moves the host, and it never leaves the base path: what servers might normalise differently (dot segments, backslashes,
fragments, white space) is refused, not repaired. Everything else goes through as written, the query string untouched.
"""

from __future__ import annotations

import re
import string
import urllib.parse

from .._effects import TlsPolicy
from .._kinds import record
from ._address import is_dot_segment
from ._table import PathRule, Provider

__all__ = ["Target", "join_target"]

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\#]")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_VERSION = re.compile(r"v[0-9][a-z0-9]*")
_KEEP = string.printable  # only what is not ASCII is encoded


@record
class Target:
    """Where a request goes. `host` has no brackets; `target` is in origin-form (RFC 9112 section 3.2.1)."""

    host: str
    port: int
    tls: TlsPolicy | None
    host_header: bytes
    target: bytes


def join_target(provider: Provider, endpoint: str, *, account: str) -> Target | str:
    """Join an endpoint, with its query string, to a provider's address; a string says what is wrong with it.

    `account` is the account in the gateway's URL, which some addresses contain.
    """
    if _FORBIDDEN.search(endpoint):
        return "expected a path without spaces, control characters, backslashes and fragments"
    if _ABSOLUTE.match(endpoint):
        return "expected a path below the provider's address, got a URL"
    if not endpoint.isascii():
        try:
            endpoint = urllib.parse.quote(endpoint, safe=_KEEP)
        except UnicodeEncodeError:
            return "expected text without surrogates"
    path, mark, query = endpoint.partition("?")
    path = path.lstrip("/")  # a leading slash is tolerated; two would look like the beginning of a host
    if ("." in path or "%" in path) and any(is_dot_segment(segment) for segment in path.split("/")):
        return "expected a path without dot segments"
    base = provider.base.path
    if "{account}" in base:
        if is_dot_segment(account):
            return "expected an account without dot segments"
        base = base.replace("{account}", urllib.parse.quote(account.encode("utf-8", "replace"), safe=""))
    if provider.path_rule is PathRule.WORKERS_AI:
        path = _workers_ai_path(path)
    elif provider.path_rule is PathRule.VERSIONED:
        path = _without_version(base, path)
    target = f"{base}/{path}" if path or not base else base
    return _target(provider, target + mark + query)


def _target(provider: Provider, target: str) -> Target:
    base = provider.base
    host = f"[{base.host}]" if ":" in base.host else base.host
    default_port = 443 if base.is_secure else 80
    authority = host if base.port == default_port else f"{host}:{base.port}"
    tls = TlsPolicy(provider.tls_ca) if base.is_secure else None
    return Target(base.host, base.port, tls, authority.encode("ascii"), target.encode("ascii"))


def _workers_ai_path(path: str) -> str:
    """Models are called below `run/`, which clients leave out; `run/…` and `v1/…` are paths of the API."""
    return f"run/{path}" if path.startswith("@") else path


def _without_version(base: str, path: str) -> str:
    """Drop from `path` what the base ends in: its version segment, or all of it.

    The service's own client sends `v1/chat/completions` where the documented base is `…/v1`; SDKs whose default base
    is the bare host (groq's) send `openai/v1/chat/completions`.
    """
    version = base.rpartition("/")[2]
    if _VERSION.fullmatch(version) is None:
        return path
    for overlap in (base[1:], version):
        if path == overlap or path.startswith(overlap + "/"):
            return path[len(overlap) + 1 :]
    return path
