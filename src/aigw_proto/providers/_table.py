"""What differs between providers, as data: address, credential, and how an endpoint is joined to the address.

A base holds the version segment (`/v1`) when the provider's documented base does. People write endpoints with and
without it, because the service this protocol comes from takes both, so a version segment is not repeated where base
and endpoint meet (`_target`). Where the base has none (anthropic, mistral, google-ai-studio, cohere) the endpoint
carries it and goes through as written; so it does for deepseek and perplexity-ai, whose hosts know both forms.
"""

from __future__ import annotations

import dataclasses
import enum
import re
from typing import TYPE_CHECKING

from .._kinds import record
from ._address import BaseUrl, is_private_host
from ._dialect import Dialect
from ._site import KeySlots, RealtimeRule, RealtimeSite, custom_site, moved_site, pointed_site, redirected_site

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CredentialForm", "PathRule", "Provider", "ProviderTable"]

CUSTOM_PREFIX = "custom-"
_REALTIME_NAMES = {"google": "google-ai-studio"}  # the documented service's realtime API has its own name for it
_CUSTOM_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})")


class PathRule(enum.Enum):
    """How an endpoint is joined to the path of the base."""

    VERBATIM = "behind the base, whatever both hold"
    VERSIONED = "behind the base, whose version segment is not repeated"
    WORKERS_AI = "behind the base, with run/ before the name of a model"
    AZURE_OPENAI = "resource into the host name, deployment below openai/deployments/"


@record
class CredentialForm:
    """Where a key goes: the header in lower case, and what stands before the key in its value."""

    header: str
    prefix: str


@record
class Provider:
    """One provider. `credential` is how a stored key is sent.

    `key_headers` are all headers, `key_parameter` the query parameter, in which a client may bring a key of its own.
    """

    slug: str
    base: BaseUrl
    credential: CredentialForm
    key_headers: tuple[str, ...] = ("authorization",)
    key_parameter: str | None = None
    path_rule: PathRule = PathRule.VERSIONED
    tls_ca: str | None = None
    """PEM file of additional roots; None means the system's."""
    realtime: RealtimeSite | None = None
    """None means that it has no realtime API."""
    deflate: bool = False
    """Whether permessage-deflate is offered on WebSockets to it."""


_BEARER = CredentialForm("authorization", "Bearer ")


def _https(host: str, path: str = "") -> BaseUrl:
    return BaseUrl(is_secure=True, host=host, port=443, path=path)


_wss = _https  # the same port

_BUILTIN = (
    Provider(
        "openai",
        _https("api.openai.com", "/v1"),
        _BEARER,
        realtime=RealtimeSite(
            _wss("api.openai.com", "/v1"),
            "/v1/realtime",
            RealtimeRule.OPENAI,
            Dialect.OPENAI_REALTIME,
            KeySlots(items=("openai-insecure-api-key",)),
        ),
    ),
    Provider(
        "anthropic",
        _https("api.anthropic.com"),
        CredentialForm("x-api-key", ""),
        key_headers=("x-api-key", "authorization"),  # OAuth tokens come as the latter
    ),
    Provider(
        "workers-ai",
        _https("api.cloudflare.com", "/client/v4/accounts/{account}/ai"),
        _BEARER,
        path_rule=PathRule.WORKERS_AI,
        realtime=RealtimeSite(
            _wss("api.cloudflare.com", "/client/v4/accounts/{account}/ai"), "", RealtimeRule.WORKERS_AI, Dialect.UNKNOWN
        ),
    ),
    Provider(
        "google-ai-studio",
        _https("generativelanguage.googleapis.com"),
        CredentialForm("x-goog-api-key", ""),
        key_headers=("x-goog-api-key", "authorization"),
        key_parameter="key",
        realtime=RealtimeSite(
            _wss("generativelanguage.googleapis.com"),
            "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
            RealtimeRule.GOOGLE,
            Dialect.GEMINI_LIVE,
            KeySlots(parameters=("key", "api_key", "access_token")),
        ),
    ),
    Provider("groq", _https("api.groq.com", "/openai/v1"), _BEARER),
    Provider("mistral", _https("api.mistral.ai"), _BEARER),
    Provider("deepseek", _https("api.deepseek.com"), _BEARER),
    Provider("openrouter", _https("openrouter.ai", "/api/v1"), _BEARER),
    Provider("perplexity-ai", _https("api.perplexity.ai"), _BEARER),
    Provider(
        "grok",
        _https("api.x.ai", "/v1"),
        _BEARER,
        realtime=RealtimeSite(
            _wss("api.x.ai", "/v1"),
            "/v1/realtime",
            RealtimeRule.OPENAI,
            Dialect.OPENAI_REALTIME,
            KeySlots(items=("xai-client-secret", "openai-insecure-api-key")),
        ),
    ),
    Provider("cerebras", _https("api.cerebras.ai", "/v1"), _BEARER),
    Provider("cohere", _https("api.cohere.com"), _BEARER),
    Provider(
        "azure-openai",
        _https("{resource}.openai.azure.com"),
        CredentialForm("api-key", ""),
        key_headers=("api-key", "authorization"),  # Entra tokens come as the latter
        path_rule=PathRule.AZURE_OPENAI,
        realtime=RealtimeSite(
            _wss("{resource}.openai.azure.com"),
            "",
            RealtimeRule.AZURE_OPENAI,
            Dialect.OPENAI_REALTIME,
            KeySlots(parameters=("api-key", "authorization"), headers=("openai-insecure-api-key",)),
        ),
    ),
    Provider(
        "deepgram",
        _https("api.deepgram.com"),
        CredentialForm("authorization", "Token "),
        realtime=RealtimeSite(
            _wss("api.deepgram.com"),
            "/v1/listen",
            RealtimeRule.DEEPGRAM,
            Dialect.DEEPGRAM,
            KeySlots(pairs=("token", "bearer")),
            other=_wss("agent.deepgram.com"),
        ),
    ),
    Provider(
        "cartesia",
        _https("api.cartesia.ai"),
        CredentialForm("x-api-key", ""),
        key_headers=("x-api-key", "authorization"),
        realtime=RealtimeSite(
            _wss("api.cartesia.ai"),
            "/tts/websocket",
            RealtimeRule.PLAIN,
            Dialect.CARTESIA,
            KeySlots(parameters=("api_key", "access_token")),
        ),
    ),
    Provider(
        "elevenlabs",
        _https("api.elevenlabs.io"),
        CredentialForm("xi-api-key", ""),
        key_headers=("xi-api-key", "authorization"),
        realtime=RealtimeSite(
            _wss("api.elevenlabs.io"),
            "",
            RealtimeRule.ELEVENLABS,
            Dialect.UNKNOWN,
            KeySlots(
                # the last one is a signed URL's
                parameters=("xi-api-key", "authorization", "token", "single_use_token", "conversation_signature"),
                items=("bearer",),
                headers=("xi-api-key",),
            ),
        ),
    ),
    Provider(
        "fal",
        _https("fal.run"),
        CredentialForm("authorization", "Key "),
        realtime=RealtimeSite(
            _wss("ws.fal.run"),
            "",
            RealtimeRule.FAL,
            Dialect.FAL,
            KeySlots(parameters=("fal_jwt_token",), headers=("fal-api-key",)),
            other=_wss("fal.run"),
        ),
    ),
)


class ProviderTable:
    """Providers by slug. Never changes: what changes it returns a new one."""

    __slots__ = ("_providers",)

    def __init__(self, providers: Iterable[Provider] = ()) -> None:
        """Keep `providers`; of several with one slug the last counts."""
        self._providers = {provider.slug: provider for provider in providers}

    @classmethod
    def builtin(cls) -> ProviderTable:
        """Return the known providers at their own addresses."""
        return cls(_BUILTIN)

    def find(self, slug: str) -> Provider | None:
        """Return the provider of that slug; custom ones are called `custom-NAME`."""
        return self._providers.get(slug)

    @property
    def slugs(self) -> tuple[str, ...]:
        """The slugs in this table, in order."""
        return tuple(self._providers)

    def find_realtime(self, slug: str) -> Provider | None:
        """Return the provider that a realtime path names: `find()`, and `google` for google-ai-studio."""
        return self._providers.get(_REALTIME_NAMES.get(slug, slug))

    def with_override(
        self,
        slug: str,
        *,
        base: BaseUrl | None = None,
        realtime: BaseUrl | None = None,
        tls_ca: str | None = None,
        deflate: bool | None = None,
    ) -> ProviderTable | str:
        """Move a provider to another address, or trust additional roots for it. A string says what is wrong.

        WebSockets go where `base` does, unless `realtime` says where. The operator's word is enough: plain HTTP and
        private addresses are taken.
        """
        provider = self._providers.get(slug)
        if provider is None:
            return f"expected one of {', '.join(self._providers)}, got {slug!r}"
        site = provider.realtime
        if base is not None and site is not None:
            site = moved_site(site, provider.base, base)
        if realtime is not None:
            site = pointed_site(site, realtime) if site is not None else custom_site(realtime)
        base = base or provider.base
        if tls_ca is not None and not _is_anywhere_secure(base, site):
            return "tls_ca: expected a base_url with https://"
        return self._with(
            dataclasses.replace(
                provider,
                base=base,
                tls_ca=tls_ca or provider.tls_ca,
                realtime=site,
                deflate=provider.deflate if deflate is None else deflate,
            )
        )

    def with_custom(
        self,
        name: str,
        *,
        base: BaseUrl,
        realtime: BaseUrl | None = None,
        allow_private_address: bool = False,
        tls_ca: str | None = None,
        deflate: bool = False,
    ) -> ProviderTable | str:
        """Add the provider that is called `custom-NAME`. A string says what is wrong.

        Plain HTTP, `localhost` and private address literals need `allow_private_address`. Host names are not looked
        up: whoever names one vouches for where it points. Without `realtime` it has no realtime API.
        """
        if _CUSTOM_SLUG.fullmatch(name) is None:
            return f"expected a name of up to 63 letters, digits and hyphens, got {name!r}"
        if not allow_private_address:
            problem = _check_public(base, "base_url", "https://")
            if problem is None and realtime is not None:
                problem = _check_public(realtime, "realtime_url", "wss://")
            if problem is not None:
                return problem
        site = custom_site(realtime) if realtime is not None else None
        if tls_ca is not None and not _is_anywhere_secure(base, site):
            return "tls_ca: expected a base_url with https://"
        provider = Provider(
            CUSTOM_PREFIX + name,
            base,
            _BEARER,
            key_headers=("authorization", "x-api-key", "api-key", "x-goog-api-key"),
            path_rule=PathRule.VERBATIM,
            tls_ca=tls_ca,
            realtime=site,
            deflate=deflate,
        )
        return self._with(provider)

    def redirected(self, base: BaseUrl) -> ProviderTable:
        """Send every provider's requests and WebSockets to one server, at their paths, below the path of `base`."""
        return ProviderTable(_redirected(provider, base) for provider in self._providers.values())

    def _with(self, provider: Provider) -> ProviderTable:
        return ProviderTable([*self._providers.values(), provider])


def _redirected(provider: Provider, base: BaseUrl) -> Provider:
    return dataclasses.replace(
        provider,
        base=dataclasses.replace(base, path=base.path + provider.base.path),
        tls_ca=None,
        realtime=redirected_site(provider.realtime, base) if provider.realtime is not None else None,
    )


def _check_public(url: BaseUrl, key: str, scheme: str) -> str | None:
    if not url.is_secure:
        return f"{key}: expected {scheme}, or allow_private_address = true"
    if is_private_host(url.host):
        return f"{key}: {url.host} is a private address, which needs allow_private_address = true"
    return None


def _is_anywhere_secure(base: BaseUrl, site: RealtimeSite | None) -> bool:
    return base.is_secure or (site is not None and site.base.is_secure)
