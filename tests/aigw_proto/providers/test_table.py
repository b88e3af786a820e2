"""The table of providers, its overrides, and custom providers."""

from __future__ import annotations

import pytest

from aigw_proto.providers._address import BaseUrl
from aigw_proto.providers._dialect import Dialect
from aigw_proto.providers._site import RealtimeSite
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
        ("azure-openai", "{resource}.openai.azure.com", "", "api-key"),
        ("cartesia", "api.cartesia.ai", "", "x-api-key"),
        ("elevenlabs", "api.elevenlabs.io", "", "xi-api-key"),
    ],
)
def test_builtin(slug: str, host: str, path: str, header: str) -> None:
    provider = ProviderTable.builtin().find(slug)
    assert provider is not None
    assert provider.slug == slug
    assert provider.base == BaseUrl(True, host, 443, path)
    assert provider.credential == CredentialForm(header, "Bearer " if header == "authorization" else "")
    assert provider.credential.header in provider.key_headers


@pytest.mark.parametrize(
    ("slug", "host", "prefix"), [("deepgram", "api.deepgram.com", "Token "), ("fal", "fal.run", "Key ")]
)
def test_builtin_with_schemes_of_their_own(slug: str, host: str, prefix: str) -> None:
    provider = found(ProviderTable.builtin(), slug)
    assert provider.base == BaseUrl(True, host, 443, "")
    assert provider.credential == CredentialForm("authorization", prefix)


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


def test_realtime_names() -> None:
    table = ProviderTable.builtin()
    assert table.find_realtime("google") is table.find("google-ai-studio")
    assert table.find_realtime("google-ai-studio") is table.find("google-ai-studio")
    assert table.find_realtime("opnai") is None
    assert {slug for slug in table.slugs if found(table, slug).realtime is not None} == {
        "openai", "workers-ai", "google-ai-studio", "grok", "azure-openai", "deepgram", "cartesia", "elevenlabs", "fal"
    }  # fmt: skip


@pytest.mark.parametrize("slug", ProviderTable.builtin().slugs)
def test_websockets_are_where_requests_are(slug: str) -> None:
    provider = found(ProviderTable.builtin(), slug)
    site = provider.realtime
    if site is not None:
        assert site.base.path == provider.base.path
        assert site.base.is_secure
        assert site.base.host.rpartition(".")[2] == provider.base.host.rpartition(".")[2]
        assert site.bare.startswith(site.base.path) or not site.bare
        assert not provider.deflate


def site_of(table: ProviderTable | str, slug: str) -> RealtimeSite:
    site = found(table, slug).realtime
    assert site is not None
    return site


def test_websockets_move_along() -> None:
    site = site_of(
        ProviderTable.builtin().with_override("openai", base=BaseUrl(False, "eu.example", 80, "/x/v1")), "openai"
    )
    assert (site.base, site.bare) == (BaseUrl(False, "eu.example", 80, "/x/v1"), "/x/v1/realtime")
    assert found(ProviderTable.builtin().with_override("groq", base=MOCK), "groq").realtime is None


def test_a_realtime_url_goes_before_a_base_url() -> None:
    table = ProviderTable.builtin().with_override(
        "openai", base=MOCK, realtime=BaseUrl(True, "rt.example", 443, "/a/realtime")
    )
    assert found(table, "openai").base == MOCK
    site = site_of(table, "openai")
    assert (site.base, site.bare) == (BaseUrl(True, "rt.example", 443, "/a"), "/a/realtime")


def test_a_realtime_url_makes_a_realtime_api() -> None:
    site = site_of(
        ProviderTable.builtin().with_override("groq", realtime=BaseUrl(True, "rt.example", 443, "/x")), "groq"
    )
    assert (site.base, site.bare, site.dialect) == (BaseUrl(True, "rt.example", 443, "/x"), "/x", Dialect.UNKNOWN)


def test_compression_is_a_choice_for_each_provider() -> None:
    table = changed(ProviderTable.builtin().with_override("openai", deflate=True))
    assert found(table, "openai").deflate
    assert found(table.with_override("openai", base=PUBLIC), "openai").deflate
    assert not found(table.with_override("openai", deflate=False), "openai").deflate
    assert not found(table, "grok").deflate
    assert found(table.with_custom("x", base=PUBLIC, deflate=True), "custom-x").deflate


def test_a_custom_realtime_url() -> None:
    table = ProviderTable().with_custom("x", base=PUBLIC, realtime=BaseUrl(True, "rt.example", 443, "/v1/realtime"))
    site = site_of(table, "custom-x")
    assert (site.base, site.bare) == (BaseUrl(True, "rt.example", 443, "/v1"), "/v1/realtime")
    assert found(ProviderTable().with_custom("x", base=PUBLIC), "custom-x").realtime is None


@pytest.mark.parametrize(
    ("realtime", "problem"),
    [
        (BaseUrl(False, "rt.example", 80, ""), "realtime_url: expected wss://, or allow_private_address = true"),
        (BaseUrl(True, "10.0.0.1", 443, ""), "realtime_url: 10.0.0.1 is a private address"),
    ],
)
def test_a_private_custom_realtime_url_has_to_be_allowed(realtime: BaseUrl, problem: str) -> None:
    result = ProviderTable().with_custom("x", base=PUBLIC, realtime=realtime)
    assert isinstance(result, str)
    assert result.startswith(problem)
    table = ProviderTable().with_custom("x", base=PUBLIC, realtime=realtime, allow_private_address=True)
    assert site_of(table, "custom-x").base == realtime


def test_roots_for_websockets_alone() -> None:
    wss = BaseUrl(True, "rt.example", 443, "")
    assert (
        found(ProviderTable.builtin().with_override("openai", base=MOCK, realtime=wss, tls_ca="x"), "openai").tls_ca
        == "x"
    )
    table = ProviderTable().with_custom("x", base=MOCK, realtime=wss, allow_private_address=True, tls_ca="x")
    assert found(table, "custom-x").tls_ca == "x"


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
    assert site_of(redirected, "openai").base == BaseUrl(False, "127.0.0.1", 9000, "/mock/v1")
    assert site_of(redirected, "openai").bare == "/mock/v1/realtime"
    assert site_of(redirected, "fal").other == BaseUrl(False, "127.0.0.1", 9000, "/mock")
    assert found(redirected, "anthropic").realtime is None
