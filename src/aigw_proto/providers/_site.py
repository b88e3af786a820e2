"""Where a provider's WebSockets are, as data: server, prefix, default path, dialect, and where its keys may stand.

A site is moved in two ways. When a provider's base URL is changed, its WebSockets go along: same server, and the new
path in place of the old one. An operator's realtime URL goes before that and names the very path that a bare gateway
path goes to; what its prefix is for all other paths follows from how much of it is the provider's own path.
"""

from __future__ import annotations

import dataclasses
import enum

from .._kinds import record
from ._address import BaseUrl
from ._dialect import Dialect

__all__ = ["KeySlots", "RealtimeRule", "RealtimeSite", "custom_site", "moved_site", "pointed_site", "redirected_site"]

_REALTIME = "/realtime"


class RealtimeRule(enum.Enum):
    """What a provider does in its own way when a gateway path becomes one of its own."""

    PLAIN = "a bare path goes to the default, any other behind the prefix"
    OPENAI = "as PLAIN; the end of the path says which of OpenAI's dialects is spoken"
    GOOGLE = "as PLAIN; the parameter api_key is called key"
    DEEPGRAM = "as PLAIN; voice agents are on another host"
    ELEVENLABS = "agent_id or voice_id says what a bare path means"
    FAL = "the path is the model; those that end in realtime are on another host"
    WORKERS_AI = "the model is in the path, or in the parameter model of a bare path"
    AZURE_OPENAI = "the first segment is the resource, a label of the host name"


@record
class KeySlots:
    """Where a client may put a key on an upgrade request besides `Provider.key_headers`. All names in lower case.

    `parameters` are of the query. Of subprotocol items, `items` are named `NAME.KEY` and go to the provider so;
    `headers` are too, and become the provider's header, percent-decoded; `pairs` are two items, `NAME` and the key.
    """

    parameters: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    pairs: tuple[str, ...] = ()


@record
class RealtimeSite:
    """Where a provider's WebSockets are.

    `base.path` is the prefix before an extra path, `bare` the whole path that a bare gateway path goes to, empty where
    the rule needs more to know. `other` is the second server of rules that know two, with the same prefix.
    """

    base: BaseUrl
    bare: str
    rule: RealtimeRule
    dialect: Dialect
    keys: KeySlots = dataclasses.field(default_factory=KeySlots)
    other: BaseUrl | None = None


_CUSTOM_KEYS = KeySlots(
    parameters=("api_key", "api-key", "access_token", "token"),
    items=("openai-insecure-api-key", "bearer"),
    pairs=("token", "bearer"),
)


def custom_site(url: BaseUrl) -> RealtimeSite:
    """Return the site of a provider that is known by its realtime URL only.

    The end of the path decides on the dialect: nearly everything at `/realtime` speaks OpenAI's.
    """
    base = dataclasses.replace(url, path=url.path.removesuffix(_REALTIME))
    return RealtimeSite(base, url.path or "/", RealtimeRule.OPENAI, Dialect.UNKNOWN, _CUSTOM_KEYS)


def moved_site(site: RealtimeSite, old: BaseUrl, new: BaseUrl) -> RealtimeSite:
    """Return a site that goes where its provider's base URL went."""
    path = new.path if site.base.path == old.path else site.base.path
    return _placed(site, dataclasses.replace(new, path=path))


def pointed_site(site: RealtimeSite, url: BaseUrl) -> RealtimeSite:
    """Return a site at an operator's URL; one without a path names the server only, and all paths stay.

    A bare path goes to exactly the path of `url`. Other paths go behind what is left of it without the provider's own
    (`/realtime`, `/tts/websocket`, ...) at its end.
    """
    if not url.path:
        return _placed(site, dataclasses.replace(url, path=site.base.path))
    if not site.bare:
        return _placed(site, url)  # there is no one path that a bare one goes to
    tail = site.bare.removeprefix(site.base.path)
    placed = _placed(site, dataclasses.replace(url, path=url.path.removesuffix(tail)))
    return dataclasses.replace(placed, bare=url.path)


def redirected_site(site: RealtimeSite, base: BaseUrl) -> RealtimeSite:
    """Return a site at another server with the paths that it has now, below the path of `base`."""
    return _placed(site, dataclasses.replace(base, path=base.path + site.base.path))


def _placed(site: RealtimeSite, base: BaseUrl) -> RealtimeSite:
    bare = base.path + site.bare.removeprefix(site.base.path) if site.bare else ""
    return dataclasses.replace(site, base=base, bare=bare, other=base if site.other is not None else None)
