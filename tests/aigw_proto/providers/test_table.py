"""The table of providers, its overrides, and custom providers."""

from __future__ import annotations

import pytest

from aigw_proto.providers._address import BaseUrl
from aigw_proto.providers._table import CredentialForm, PathRule, Provider, ProviderTable

PUBLIC = BaseUrl(True, "llm.example", 443, "/base")
MOCK = BaseUrl(False, "127.0.0.1", 9000, "")


@pytest.mark.parametrize(
    ("slug", "host", "path", "header"),
    [
        ("openai", "api.openai.com", "/v1", "authorization"),
        ("anthropic", "api.anthropic.com", "", "x-api-key"),
        ("workers-ai", "api.cloudflare.com", "/client/v4/accounts/{account}/ai", "authorization"),
        ("google-ai-studio", "generativelanguage.googleapis.com", "", "x-goog-api-key"),
        ("groq", "api.groq.com", "/openai/v1", "authorization"),
        ("mistral", "api.mistral.ai", "", "authorization"),
        ("deepseek", "api.deepseek.com", "", "authorization"),
        ("openrouter", "openrouter.ai", "/api/v1", "authorization"),
        ("perplexity-ai", "api.perplexity.ai", "", "authorization"),
        ("grok", "api.x.ai", "/v1", "authorization"),
        ("cerebras", "api.cerebras.ai", "/v1", "authorization"),
        ("cohere", "api.cohere.com", "", "authorization"),
    ],
)
def test_builtin(slug: str, host: str, path: str, header: str) -> None:
    provider = ProviderTable.builtin().find(slug)
    assert provider is not None
    assert provider.slug == slug
    assert provider.base == BaseUrl(True, host, 443, path)
    assert provider.credential == CredentialForm(header, "Bearer " if header == "authorization" else "")
    assert provider.credential.header in provider.key_headers


def test_slugs_are_exact() -> None:
    table = ProviderTable.builtin()
    assert len(table.slugs) == 17
    assert table.find("OpenAI") is None
    assert table.find("google") is None
    assert table.find("") is None


def changed(table: ProviderTable | str) -> ProviderTable:
    assert isinstance(table, ProviderTable), table
    return table


def found(table: ProviderTable | str, slug: str) -> Provider:
    provider = changed(table).find(slug)
    assert provider is not None
    return provider


def test_an_override_moves_a_provider() -> None:
    before = ProviderTable.builtin()
    after = changed(before.with_override("anthropic", base=MOCK))
    assert found(after, "anthropic").base == MOCK
    assert found(after, "anthropic").credential == CredentialForm("x-api-key", "")
    assert found(before, "anthropic").base.host == "api.anthropic.com"
    assert after.slugs == before.slugs


def test_an_override_adds_roots() -> None:
    table = changed(ProviderTable.builtin().with_override("openai", tls_ca="ca.pem"))
    assert found(table, "openai").tls_ca == "ca.pem"
    moved = table.with_override("openai", base=PUBLIC)
    assert (found(moved, "openai").base, found(moved, "openai").tls_ca) == (PUBLIC, "ca.pem")


def test_bad_overrides() -> None:
    table = ProviderTable.builtin()
    problem = table.with_override("opnai", base=MOCK)
    assert isinstance(problem, str)
    assert "openai" in problem
    assert "'opnai'" in problem
    assert table.with_override("openai", base=MOCK, tls_ca="x") == "tls_ca: expected a base_url with https://"


def test_a_custom_provider() -> None:
    provider = found(ProviderTable.builtin().with_custom("my-llm", base=PUBLIC, tls_ca="ca.pem"), "custom-my-llm")
    assert provider.base == PUBLIC
    assert provider.tls_ca == "ca.pem"
    assert provider.path_rule is PathRule.VERBATIM
    assert "x-api-key" in provider.key_headers
    assert changed(ProviderTable().with_custom("x", base=PUBLIC)).find("x") is None


@pytest.mark.parametrize(
    "base",
    [
        MOCK,
        BaseUrl(False, "internal.example", 80, ""),
        BaseUrl(True, "localhost", 443, ""),
        BaseUrl(True, "10.0.0.1", 443, ""),
        BaseUrl(True, "::1", 443, ""),
    ],
)
def test_private_custom_providers_have_to_be_allowed(base: BaseUrl) -> None:
    problem = ProviderTable().with_custom("x", base=base)
    assert isinstance(problem, str)
    assert problem.startswith("base_url: ")
    assert "allow_private_address" in problem
    assert found(ProviderTable().with_custom("x", base=base, allow_private_address=True), "custom-x").base == base


@pytest.mark.parametrize("name", ["", "-x", "a b", "a/b", "a.b", "é", "x" * 64])
def test_bad_names(name: str) -> None:
    problem = ProviderTable().with_custom(name, base=PUBLIC)
    assert isinstance(problem, str)
    assert problem.startswith("expected a name")


def test_roots_without_tls() -> None:
    problem = ProviderTable().with_custom("x", base=MOCK, allow_private_address=True, tls_ca="ca.pem")
    assert problem == "tls_ca: expected a base_url with https://"


def test_redirecting_keeps_the_paths() -> None:
    table = changed(ProviderTable.builtin().with_override("openai", tls_ca="ca.pem"))
    redirected = table.redirected(BaseUrl(False, "127.0.0.1", 9000, "/mock"))
    assert redirected.slugs == table.slugs
    assert found(redirected, "openai").base == BaseUrl(False, "127.0.0.1", 9000, "/mock/v1")
    assert found(redirected, "openai").tls_ca is None
    assert found(redirected, "anthropic").base == BaseUrl(False, "127.0.0.1", 9000, "/mock")
    assert found(redirected, "anthropic").credential == CredentialForm("x-api-key", "")
