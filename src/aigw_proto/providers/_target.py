"""From a provider and an endpoint to the server and the request target.

An endpoint is a client's text in the path of a request that may carry a stored key of somebody else. So it never
moves the host, and it never leaves the base path: what servers might normalise differently (dot segments, backslashes,
fragments, white space) is refused, not repaired. Everything else goes through as written, the query string untouched.
"""

from __future__ import annotations

import dataclasses
import re
import string
import urllib.parse

from .._effects import TlsPolicy
from .._kinds import record
from ._address import BaseUrl, is_dot_segment
from ._table import PathRule, Provider

__all__ = ["Target", "check_path", "fill_account", "join_target", "make_target", "split_azure", "without_version"]

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\#]")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")  # of a host name (RFC 1123 section 2.1)
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
    path, mark, query = endpoint.partition("?")
    path = path.lstrip("/")  # a leading slash is tolerated; two would look like the beginning of a host
    problem = check_path(path, query)
    if problem is not None:
        return problem
    if _ABSOLUTE.match(endpoint):
        return "expected a path below the provider's address, got a URL"
    base = fill_account(provider.base, account)
    if isinstance(base, str):
        return base
    try:
        path, query = (text if text.isascii() else urllib.parse.quote(text, safe=_KEEP) for text in (path, query))
    except UnicodeEncodeError:
        return "expected text without surrogates"
    rule = provider.path_rule
    if rule is PathRule.AZURE_OPENAI:
        split = split_azure(base, path)
        if isinstance(split, str):
            return split
        base, path = split
        path = path if path.startswith("openai/") else f"openai/deployments/{path}"
    elif rule is PathRule.WORKERS_AI:
        path = _workers_ai_path(path)
    elif rule is PathRule.VERSIONED:
        path = without_version(base.path, path)
    target = f"{base.path}/{path}" if path or not base.path else base.path
    return make_target(base, provider.tls_ca, target + mark + query)


def check_path(path: str, query: str) -> str | None:
    """Say what is wrong with a client's path and query: whatever some server may read differently. None: nothing."""
    if _FORBIDDEN.search(path) or _FORBIDDEN.search(query):
        return "expected a path without spaces, control characters, backslashes and fragments"
    if ("." in path or "%" in path) and any(is_dot_segment(segment) for segment in path.split("/")):
        return "expected a path without dot segments"
    return None


def fill_account(base: BaseUrl, account: str) -> BaseUrl | str:
    """Put the account of the gateway's URL where a base asks for it; a string says what is wrong with it."""
    if "{account}" not in base.path:
        return base
    if is_dot_segment(account):
        return "expected an account without dot segments"
    quoted = urllib.parse.quote(account.encode("utf-8", "replace"), safe="")
    return dataclasses.replace(base, path=base.path.replace("{account}", quoted))


def split_azure(base: BaseUrl, path: str) -> tuple[BaseUrl, str] | str:
    """Take the resource, the first segment of `path`, into the host name; a string says what is wrong.

    A base without a place for it is one that an operator chose: the resource is then of no use.
    """
    resource, _, rest = path.partition("/")
    if _LABEL.fullmatch(resource) is None or not rest:
        return "expected {resource}/{deployment}/... or {resource}/openai/..., with the name of an Azure resource"
    return dataclasses.replace(base, host=base.host.replace("{resource}", resource.lower())), rest


def make_target(base: BaseUrl, tls_ca: str | None, target: str) -> Target:
    """Return the target that an origin-form `target` of ASCII text is on the server of `base`."""
    host = f"[{base.host}]" if ":" in base.host else base.host
    default_port = 443 if base.is_secure else 80
    authority = host if base.port == default_port else f"{host}:{base.port}"
    tls = TlsPolicy(tls_ca) if base.is_secure else None
    return Target(base.host, base.port, tls, authority.encode("ascii"), target.encode("ascii"))


def _workers_ai_path(path: str) -> str:
    """Models are called below `run/`, which clients leave out; `run/…` and `v1/…` are paths of the API."""
    return f"run/{path}" if path.startswith("@") else path


def without_version(base: str, path: str) -> str:
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
