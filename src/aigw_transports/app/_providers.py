"""The `[provider.X]` and `[custom_provider.X]` tables of the configuration, laid over the built-in providers."""

from __future__ import annotations

import dataclasses
import re
import ssl
from typing import TYPE_CHECKING

from aigw_proto.providers import (
    BaseUrl,
    CredentialForm,
    Provider,
    ProviderTable,
    is_private_host,
    parse_base_url,
    parse_realtime_url,
)

from ._toml import suggestion

if TYPE_CHECKING:
    from ._toml import Table

__all__ = ["read_providers"]

_HEADER = re.compile(r"[a-z0-9!#$%&'*+.^_`|~-]+")
_RESERVED = re.compile(r"cf-aig-.*|host|connection|content-length|transfer-encoding|upgrade|te|trailer|keep-alive")


def read_providers(root: Table) -> tuple[ProviderTable, tuple[str, ...]]:
    """Read both kinds of tables; return the providers there are, and warnings."""
    table = ProviderTable.builtin()
    warnings: list[str] = []
    overrides = root.table("provider")
    for slug in overrides.names():
        table = _read_override(table, overrides, slug, warnings)
    customs = root.table("custom_provider")
    for name in customs.names():
        table = _read_custom(table, customs, name)
    return table, tuple(warnings)


def _read_override(table: ProviderTable, parent: Table, slug: str, warnings: list[str]) -> ProviderTable:
    entry = parent.table(slug)
    base = entry.checked("base_url", parse_base_url, BaseUrl)
    realtime = entry.checked("realtime_url", parse_realtime_url, BaseUrl)
    deflate = entry.boolean("permessage_deflate", None)
    tls_ca = _read_tls_ca(entry)
    entry.finish()
    provider = table.find(slug)
    if provider is None:
        hint = suggestion(slug, table.slugs) or f"; one of {', '.join(table.slugs)}"
        parent.add(slug, f"expected the name of a built-in provider{hint}; your own go into [custom_provider.NAME]")
        return table
    urls = (url for url in (base, realtime) if url is not None)
    exposed = dict.fromkeys(url.host for url in urls if not url.is_secure and not is_private_host(url.host))
    warnings += [f"{entry.path}: keys for {slug} are sent to {host} without encryption" for host in exposed]
    _check_deflate(entry, has_realtime=provider.realtime is not None)
    changed = table.with_override(slug, base=base, realtime=realtime, tls_ca=tls_ca, deflate=deflate)
    return _accept(table, changed, entry)


def _read_custom(table: ProviderTable, parent: Table, name: str) -> ProviderTable:
    entry = parent.table(name)
    entry.string("base_url", required=True)
    base = entry.checked("base_url", parse_base_url, BaseUrl)
    realtime = entry.checked("realtime_url", parse_realtime_url, BaseUrl)
    deflate = entry.boolean("permessage_deflate", default=False)
    private = entry.boolean("allow_private_address", default=False)
    tls_ca = _read_tls_ca(entry)
    form = _read_credential(entry)
    entry.finish()
    _check_deflate(entry, has_realtime=False)
    if base is None:
        return table
    changed = table.with_custom(
        name, base=base, realtime=realtime, allow_private_address=private, tls_ca=tls_ca, deflate=deflate
    )
    table = _accept(table, changed, entry)
    return _with_credential(table, f"custom-{name}", form) if form is not None else table


def _accept(table: ProviderTable, changed: ProviderTable | str, entry: Table) -> ProviderTable:
    """Take the changed table, or note what is wrong with it at the key that its message begins with."""
    if isinstance(changed, ProviderTable):
        return changed
    key, colon, rest = changed.partition(": ")
    if colon and key in ("base_url", "realtime_url", "tls_ca"):
        entry.add(key, rest)
    else:
        entry.problems.add(entry.path, changed)
    return table


def _check_deflate(entry: Table, *, has_realtime: bool) -> None:
    if entry.has("permessage_deflate") and not has_realtime and not entry.has("realtime_url"):
        entry.add("permessage_deflate", "expected realtime_url beside it: the provider has no realtime API of its own")


def _read_tls_ca(entry: Table) -> str | None:
    file = entry.file("tls_ca")
    if file is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=file)
    except ssl.SSLError:
        entry.add("tls_ca", f"expected a PEM file with certificates; {file} is none")
    except OSError as error:
        entry.add("tls_ca", f"{file} cannot be read: {error.strerror}")
    return file


def _read_credential(entry: Table) -> CredentialForm | None:
    if not entry.has("credential_header"):
        entry.string("credential_header")
        if entry.has("credential_prefix"):
            entry.add("credential_prefix", "expected credential_header beside it")
        entry.string("credential_prefix")
        return None
    header = entry.string("credential_header").lower()
    prefix = entry.string("credential_prefix")
    if header and (not _HEADER.fullmatch(header) or _RESERVED.fullmatch(header)):
        entry.add("credential_header", "expected the name of a header that may carry a key, such as x-api-key")
    if not prefix.isascii():
        entry.add("credential_prefix", 'expected ASCII text, such as "Bearer "')
    return CredentialForm(header, prefix)


def _with_credential(table: ProviderTable, slug: str, form: CredentialForm) -> ProviderTable:
    """Send the stored keys of one provider in another header."""

    def changed(provider: Provider) -> Provider:
        if provider.slug != slug:
            return provider
        key_headers = tuple(dict.fromkeys((form.header, *provider.key_headers)))
        return dataclasses.replace(provider, credential=form, key_headers=key_headers)

    found = (table.find(name) for name in table.slugs)
    return ProviderTable(changed(provider) for provider in found if provider is not None)
