"""What differs between providers, as data: address, credential, and how an endpoint is joined to the address.

A base holds the version segment (`/v1`) when the provider's documented base does. People write endpoints with and
without it, because the service this protocol comes from takes both, so a version segment is not repeated where base
and endpoint meet (`_target`). Where the base has none (anthropic, mistral, google-ai-studio, cohere) the endpoint
carries it and goes through as written; so it does for deepseek and perplexity-ai, whose hosts know both forms.
"""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

from .._kinds import record
from ._address import BaseUrl, is_private_host

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["CredentialForm", "PathRule", "Provider", "ProviderTable"]

CUSTOM_PREFIX = "custom-"
_CUSTOM_SLUG = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})")


class PathRule(enum.Enum):
    """How an endpoint is joined to the path of the base."""

    VERBATIM = "behind the base, whatever both hold"
    VERSIONED = "behind the base, whose version segment is not repeated"
    WORKERS_AI = "behind the base, with run/ before the name of a model"


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


_BEARER = CredentialForm("authorization", "Bearer ")


def _https(host: str, path: str = "") -> BaseUrl:
    return BaseUrl(is_secure=True, host=host, port=443, path=path)


_BUILTIN = (
    Provider("openai", _https("api.openai.com", "/v1"), _BEARER),
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
    ),
    Provider(
        "google-ai-studio",
        _https("generativelanguage.googleapis.com"),
        CredentialForm("x-goog-api-key", ""),
        key_headers=("x-goog-api-key", "authorization"),
        key_parameter="key",
    ),
    Provider("groq", _https("api.groq.com", "/openai/v1"), _BEARER),
    Provider("mistral", _https("api.mistral.ai"), _BEARER),
    Provider("deepseek", _https("api.deepseek.com"), _BEARER),
    Provider("openrouter", _https("openrouter.ai", "/api/v1"), _BEARER),
    Provider("perplexity-ai", _https("api.perplexity.ai"), _BEARER),
    Provider("grok", _https("api.x.ai", "/v1"), _BEARER),
    Provider("cerebras", _https("api.cerebras.ai", "/v1"), _BEARER),
    Provider("cohere", _https("api.cohere.com"), _BEARER),
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

    def with_override(
        self, slug: str, *, base: BaseUrl | None = None, tls_ca: str | None = None
    ) -> ProviderTable | str:
        """Move a provider to another address, or trust additional roots for it. A string says what is wrong.

        The operator's word is enough: plain HTTP and private addresses are taken.
        """
        provider = self._providers.get(slug)
        if provider is None:
            return f"expected one of {', '.join(self._providers)}, got {slug!r}"
        base = base or provider.base
        if tls_ca is not None and not base.is_secure:
            return "tls_ca: expected a base_url with https://"
        return self._with(_moved(provider, base, tls_ca or provider.tls_ca))

    def with_custom(
        self, name: str, *, base: BaseUrl, allow_private_address: bool = False, tls_ca: str | None = None
    ) -> ProviderTable | str:
        """Add the provider that is called `custom-NAME`. A string says what is wrong.

        Plain HTTP, `localhost` and private address literals need `allow_private_address`. Host names are not looked
        up: whoever names one vouches for where it points.
        """
        if _CUSTOM_SLUG.fullmatch(name) is None:
            return f"expected a name of up to 63 letters, digits and hyphens, got {name!r}"
        if not allow_private_address and not base.is_secure:
            return "base_url: expected https://, or allow_private_address = true"
        if not allow_private_address and is_private_host(base.host):
            return f"base_url: {base.host} is a private address, which needs allow_private_address = true"
        if tls_ca is not None and not base.is_secure:
            return "tls_ca: expected a base_url with https://"
        provider = Provider(
            CUSTOM_PREFIX + name,
            base,
            _BEARER,
            key_headers=("authorization", "x-api-key", "api-key", "x-goog-api-key"),
            path_rule=PathRule.VERBATIM,
            tls_ca=tls_ca,
        )
        return self._with(provider)

    def redirected(self, base: BaseUrl) -> ProviderTable:
        """Send every provider's requests to one server, at the paths that they have now, below the path of `base`."""
        return ProviderTable(
            _moved(
                provider,
                BaseUrl(base.is_secure, base.host, base.port, base.path + provider.base.path),
                None,
            )
            for provider in self._providers.values()
        )

    def _with(self, provider: Provider) -> ProviderTable:
        return ProviderTable([*self._providers.values(), provider])


def _moved(provider: Provider, base: BaseUrl, tls_ca: str | None) -> Provider:
    return Provider(
        provider.slug,
        base,
        provider.credential,
        key_headers=provider.key_headers,
        key_parameter=provider.key_parameter,
        path_rule=provider.path_rule,
        tls_ca=tls_ca,
    )
