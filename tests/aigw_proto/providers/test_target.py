"""Endpoints joined to addresses: every provider's documented examples, and nothing that leaves the base."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._effects import TlsPolicy
from aigw_proto.providers._address import BaseUrl
from aigw_proto.providers._table import Provider, ProviderTable
from aigw_proto.providers._target import Target, join_target

TABLE = ProviderTable.builtin()


def provider_of(table: ProviderTable | str, slug: str) -> Provider:
    assert isinstance(table, ProviderTable), table
    provider = table.find(slug)
    assert provider is not None
    return provider


def url_of(slug: str, endpoint: str, account: str = "acc") -> str:
    target = join_target(provider_of(TABLE, slug), endpoint, account=account)
    assert isinstance(target, Target), target
    assert target.tls == TlsPolicy()
    assert target.port == 443
    assert target.host_header == target.host.encode()
    return target.host + target.target.decode()


EXAMPLES = [
    ("openai", "chat/completions", "api.openai.com/v1/chat/completions"),
    ("openai", "v1/chat/completions", "api.openai.com/v1/chat/completions"),
    ("openai", "/chat/completions", "api.openai.com/v1/chat/completions"),
    ("openai", "/v1/chat/completions", "api.openai.com/v1/chat/completions"),
    ("openai", "responses", "api.openai.com/v1/responses"),
    ("openai", "v1", "api.openai.com/v1"),
    ("openai", "", "api.openai.com/v1"),
    ("openai", "?x=1", "api.openai.com/v1?x=1"),
    ("openai", "v1beta/x", "api.openai.com/v1/v1beta/x"),
    ("openai", "v2/x", "api.openai.com/v1/v2/x"),
    ("openai", "v1/v1/x", "api.openai.com/v1/v1/x"),
    ("openai", "files?q=/v1/../x&y=%2e%2E", "api.openai.com/v1/files?q=/v1/../x&y=%2e%2E"),
    ("openai", "files?a=?&b=://", "api.openai.com/v1/files?a=?&b=://"),
    ("openai", "x/", "api.openai.com/v1/x/"),
    ("openai", "a//b", "api.openai.com/v1/a//b"),
    ("openai", "modèle?q=é€", "api.openai.com/v1/mod%C3%A8le?q=%C3%A9%E2%82%AC"),
    ("openai", "a%20b%zz", "api.openai.com/v1/a%20b%zz"),
    ("openai", "//evil.example/x", "api.openai.com/v1/evil.example/x"),
    ("openai", "@evil.example/x", "api.openai.com/v1/@evil.example/x"),
    ("openai", ":8080/x", "api.openai.com/v1/:8080/x"),
    ("openai", ".evil.example", "api.openai.com/v1/.evil.example"),
    ("anthropic", "v1/messages", "api.anthropic.com/v1/messages"),
    ("anthropic", "/v1/messages?beta=true", "api.anthropic.com/v1/messages?beta=true"),
    ("anthropic", "", "api.anthropic.com/"),
    ("anthropic", "//evil.example", "api.anthropic.com/evil.example"),
    (
        "google-ai-studio",
        "v1/models/gemini-2.5-flash:generateContent",
        "generativelanguage.googleapis.com/v1/models/gemini-2.5-flash:generateContent",
    ),
    (
        "google-ai-studio",
        "v1beta/models/g:streamGenerateContent?alt=sse&key=K",
        "generativelanguage.googleapis.com/v1beta/models/g:streamGenerateContent?alt=sse&key=K",
    ),
    (
        "workers-ai",
        "@cf/meta/llama-3.1-8b-instruct",
        "api.cloudflare.com/client/v4/accounts/acc/ai/run/@cf/meta/llama-3.1-8b-instruct",
    ),
    ("workers-ai", "/@hf/x/y", "api.cloudflare.com/client/v4/accounts/acc/ai/run/@hf/x/y"),
    ("workers-ai", "run/@cf/x/y", "api.cloudflare.com/client/v4/accounts/acc/ai/run/@cf/x/y"),
    ("workers-ai", "v1/chat/completions", "api.cloudflare.com/client/v4/accounts/acc/ai/v1/chat/completions"),
    ("groq", "chat/completions", "api.groq.com/openai/v1/chat/completions"),
    ("groq", "v1/chat/completions", "api.groq.com/openai/v1/chat/completions"),
    ("groq", "openai/v1/chat/completions", "api.groq.com/openai/v1/chat/completions"),
    ("mistral", "v1/chat/completions", "api.mistral.ai/v1/chat/completions"),
    ("cohere", "v1/chat", "api.cohere.com/v1/chat"),
    ("cohere", "v2/chat", "api.cohere.com/v2/chat"),
    ("perplexity-ai", "chat/completions", "api.perplexity.ai/chat/completions"),
    ("perplexity-ai", "v1/chat/completions", "api.perplexity.ai/v1/chat/completions"),
    ("deepseek", "chat/completions", "api.deepseek.com/chat/completions"),
    ("deepseek", "v1/chat/completions", "api.deepseek.com/v1/chat/completions"),
    ("cerebras", "chat/completions", "api.cerebras.ai/v1/chat/completions"),
    ("cerebras", "v1/chat/completions", "api.cerebras.ai/v1/chat/completions"),
    ("grok", "v1/chat/completions", "api.x.ai/v1/chat/completions"),
    ("grok", "chat/completions", "api.x.ai/v1/chat/completions"),
    ("openrouter", "chat/completions", "openrouter.ai/api/v1/chat/completions"),
    ("openrouter", "v1/chat/completions", "openrouter.ai/api/v1/chat/completions"),
    ("openrouter", "api/v1/chat/completions", "openrouter.ai/api/v1/chat/completions"),
    (
        "azure-openai",
        "My-Res/gpt-4o/chat/completions?api-version=2024-10-21",
        "my-res.openai.azure.com/openai/deployments/gpt-4o/chat/completions?api-version=2024-10-21",
    ),
    ("azure-openai", "/res/openai/v1/responses", "res.openai.azure.com/openai/v1/responses"),
    ("deepgram", "v1/listen?model=nova-3", "api.deepgram.com/v1/listen?model=nova-3"),
    ("cartesia", "tts/bytes", "api.cartesia.ai/tts/bytes"),
    ("elevenlabs", "v1/text-to-speech/VOICE", "api.elevenlabs.io/v1/text-to-speech/VOICE"),
    ("fal", "fal-ai/fast-sdxl", "fal.run/fal-ai/fast-sdxl"),
]


@pytest.mark.parametrize(("slug", "endpoint", "url"), EXAMPLES)
def test_joining(slug: str, endpoint: str, url: str) -> None:
    assert url_of(slug, endpoint) == url


def test_every_provider_has_an_example() -> None:
    assert {slug for slug, _, _ in EXAMPLES} == set(TABLE.slugs)


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("../x", "dot segments"),
        ("a/..", "dot segments"),
        ("./x", "dot segments"),
        ("%2e%2E/x", "dot segments"),
        ("a/.%2e", "dot segments"),
        ("a/..%2fb", "dot segments"),
        ("/..", "dot segments"),
        ("..?x", "dot segments"),
        ("v1/../../admin", "dot segments"),
        ("a\\..\\b", "backslashes"),
        ("a b", "spaces"),
        ("a\r\nhost: evil", "control characters"),
        ("a\x00", "control characters"),
        ("a\x7f", "control characters"),
        ("a?b c", "spaces"),
        ("a#b", "fragments"),
        ("https://evil.example/x", "got a URL"),
        ("HTTP://evil.example", "got a URL"),
        ("é\ud800", "surrogates"),
    ],
)
def test_refused(endpoint: str, problem: str) -> None:
    for slug in TABLE.slugs:
        result = join_target(provider_of(TABLE, slug), endpoint, account="acc")
        assert isinstance(result, str)
        assert result.startswith("expected ")
        assert problem in result


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "res",
        "res/",
        "a.b/dep/x",
        "evil.example%2F/dep/x",
        "-res/dep/x",
        "res-/dep/x",
        "r" * 64 + "/dep/x",
        "@/x",
        "r:1/x",
    ],
)
def test_a_resource_is_one_label(endpoint: str) -> None:
    result = join_target(provider_of(TABLE, "azure-openai"), endpoint, account="acc")
    assert isinstance(result, str)
    assert result.startswith("expected {resource}/{deployment}/")


def test_a_chosen_address_needs_no_resource() -> None:
    provider = provider_of(
        TABLE.with_override("azure-openai", base=BaseUrl(True, "llm.example", 443, "/p")), "azure-openai"
    )
    target = join_target(provider, "res/dep/chat/completions", account="a")
    assert isinstance(target, Target)
    assert (target.host, target.target) == ("llm.example", b"/p/openai/deployments/dep/chat/completions")


def test_the_account_cannot_leave_its_place() -> None:
    assert url_of("workers-ai", "v1/x", "a/../b?c#d é") == (
        "api.cloudflare.com/client/v4/accounts/a%2F..%2Fb%3Fc%23d%20%C3%A9/ai/v1/x"
    )
    for account in ("..", ".", "%2e%2e"):
        result = join_target(provider_of(TABLE, "workers-ai"), "v1/x", account=account)
        assert result == "expected an account without dot segments"
        assert isinstance(join_target(provider_of(TABLE, "openai"), "x", account=account), Target)


@pytest.mark.parametrize(
    ("base", "host_header", "target"),
    [
        (BaseUrl(False, "127.0.0.1", 9000, ""), b"127.0.0.1:9000", b"/chat/completions"),
        (BaseUrl(False, "127.0.0.1", 80, "/p/v1"), b"127.0.0.1", b"/p/v1/chat/completions"),
        (BaseUrl(False, "::1", 443, ""), b"[::1]:443", b"/chat/completions"),
        (BaseUrl(False, "::1", 80, ""), b"[::1]", b"/chat/completions"),
    ],
)
def test_overrides(base: BaseUrl, host_header: bytes, target: bytes) -> None:
    provider = provider_of(TABLE.with_override("openai", base=base), "openai")
    expected = Target(base.host, base.port, None, host_header, target)
    assert join_target(provider, "chat/completions", account="a") == expected


def test_overrides_with_tls() -> None:
    base = BaseUrl(True, "llm.example", 8443, "/v1")
    provider = provider_of(TABLE.with_override("openai", base=base, tls_ca="ca.pem"), "openai")
    assert join_target(provider, "v1/x", account="a") == Target(
        "llm.example", 8443, TlsPolicy("ca.pem"), b"llm.example:8443", b"/v1/x"
    )


@pytest.mark.parametrize(
    ("endpoint", "target"),
    [
        ("v1/chat?x=1&y=%2F", b"/base/v1/v1/chat?x=1&y=%2F"),
        ("/a/b/", b"/base/v1/a/b/"),
        ("", b"/base/v1"),
    ],
)
def test_custom_providers_take_the_path_as_it_is(endpoint: str, target: bytes) -> None:
    base = BaseUrl(True, "llm.example", 443, "/base/v1")
    provider = provider_of(TABLE.with_custom("x", base=base), "custom-x")
    result = join_target(provider, endpoint, account="a")
    assert isinstance(result, Target)
    assert result.target == target


@given(st.sampled_from(TABLE.slugs), st.text(alphabet=st.characters(codec=None, exclude_categories=())), st.text())
def test_any_endpoint_stays_below_the_base(slug: str, endpoint: str, account: str) -> None:
    provider = provider_of(TABLE, slug)
    result = join_target(provider, endpoint, account=account)
    if isinstance(result, Target):
        assert result.host.endswith(provider.base.host.removeprefix("{resource}"))
        assert result.port == provider.base.port
        assert result.target.startswith((provider.base.path.partition("{")[0] or "/").encode())
        assert not result.target.startswith(b"//")
        assert not set(result.target) & {*range(33), 127, ord("#"), ord("\\"), *range(128, 256)}
