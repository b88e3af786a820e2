"""Whose key a request carries, and that a gateway token never leaves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.envelopes import EnvelopeFault, ErrorCode
from aigw_proto.providers._address import BaseUrl
from aigw_proto.providers._credentials import (
    apply_credential,
    brings_key,
    hide_tokens,
    holds_token,
    select_key,
    strip_token,
)
from aigw_proto.providers._table import Provider, ProviderTable

TOKENS = ("gateway-token", "other-token")
TABLE = ProviderTable.builtin()


def provider_of(slug: str) -> Provider:
    provider = TABLE.find(slug)
    assert provider is not None
    return provider


def apply(slug: str, *headers: tuple[str, str], key: str | None = "stored", endpoint: str = "") -> dict[str, str]:
    fields = apply_credential(provider_of(slug), headers, stored_key=key, gateway_tokens=TOKENS, endpoint=endpoint)
    assert len(dict(fields)) == len(fields)
    return dict(fields)


@pytest.mark.parametrize(
    ("slug", "header", "value"),
    [
        ("openai", "authorization", "Bearer stored"),
        ("workers-ai", "authorization", "Bearer stored"),
        ("cohere", "authorization", "Bearer stored"),
        ("anthropic", "x-api-key", "stored"),
        ("google-ai-studio", "x-goog-api-key", "stored"),
    ],
)
def test_a_stored_key_has_the_provider_s_form(slug: str, header: str, value: str) -> None:
    assert apply(slug, ("x", "y")) == {"x": "y", header: value}
    assert apply(slug, ("x", "y"), key=None) == {"x": "y"}


@pytest.mark.parametrize(
    ("slug", "header", "value"),
    [
        ("openai", "authorization", "Bearer mine"),
        ("openai", "authorization", "mine"),
        ("cohere", "authorization", "Token mine"),
        ("anthropic", "x-api-key", "mine"),
        ("anthropic", "authorization", "Bearer oauth"),
        ("google-ai-studio", "x-goog-api-key", "mine"),
    ],
)
def test_the_client_s_own_key_wins(slug: str, header: str, value: str) -> None:
    assert apply(slug, (header, value), ("x", "y")) == {header: value, "x": "y"}
    assert brings_key(provider_of(slug), [(header, value)], gateway_tokens=TOKENS)


def test_a_key_in_another_provider_s_header_is_none() -> None:
    assert apply("openai", ("x-api-key", "mine")) == {"x-api-key": "mine", "authorization": "Bearer stored"}


@pytest.mark.parametrize("value", ["gateway-token", "Bearer gateway-token", "bearer  other-token", "Key other-token"])
@pytest.mark.parametrize("header", ["authorization", "x-api-key", "x-goog-api-key", "xi-api-key", "x-anything"])
def test_a_gateway_token_is_taken_out(header: str, value: str) -> None:
    for slug in TABLE.slugs:
        assert apply(slug, (header, value), ("x", "y"), key=None) == {"x": "y"}
        assert not brings_key(provider_of(slug), [(header, value)], gateway_tokens=TOKENS)
        form = provider_of(slug).credential
        assert apply(slug, (header, value)) == {form.header: form.prefix + "stored"}


@pytest.mark.parametrize(
    "value", ["Bearer gateway-toke", "gateway-tokenx", "Bearer", "GATEWAY-TOKEN", "xgateway-token", "é"]
)
def test_what_is_no_token_stays(value: str) -> None:
    assert apply("openai", ("authorization", value), key=None) == {"authorization": value}


def test_an_empty_key_is_none() -> None:
    assert apply("openai", ("authorization", "Bearer ")) == {"authorization": "Bearer stored"}
    assert apply("anthropic", ("x-api-key", ""), ("authorization", "Bearer")) == {"x-api-key": "stored"}
    assert apply("openai", ("authorization", "Bearer "), key=None) == {"authorization": "Bearer "}


def test_an_empty_token_in_the_configuration_matches_nothing() -> None:
    fields = apply_credential(provider_of("openai"), [("x", "")], stored_key=None, gateway_tokens=("",))
    assert fields == (("x", ""),)


@pytest.mark.parametrize(
    ("endpoint", "brings", "stripped"),
    [
        ("m:g?alt=sse&key=mine", True, "m:g?alt=sse&key=mine"),
        ("m:g?k%65y=mine", True, "m:g?k%65y=mine"),
        ("m:g?alt=sse&key=gateway-token", False, "m:g?alt=sse"),
        ("m:g?key=gateway%2Dtoken&alt=sse", False, "m:g?alt=sse"),
        ("m:g?key=gateway-token", False, "m:g"),
        ("m:g?key=gateway-token&key=mine", True, "m:g?key=mine"),
        ("m:g?key=", False, "m:g?key="),
        ("m:g?keys=x", False, "m:g?keys=x"),
        ("m:g?", False, "m:g?"),
        ("m:g", False, "m:g"),
    ],
)
def test_keys_in_the_query_string(endpoint: str, brings: bool, stripped: str) -> None:
    google = provider_of("google-ai-studio")
    assert brings_key(google, [], gateway_tokens=TOKENS, endpoint=endpoint) is brings
    assert strip_token(google, endpoint, gateway_tokens=TOKENS) == stripped
    expected = {} if brings else {"x-goog-api-key": "stored"}
    assert apply("google-ai-studio", endpoint=stripped) == expected
    assert strip_token(provider_of("openai"), endpoint, gateway_tokens=TOKENS) == endpoint
    assert not brings_key(provider_of("openai"), [], gateway_tokens=TOKENS, endpoint=endpoint)


def test_custom_providers_take_keys_in_any_usual_header() -> None:
    table = TABLE.with_custom("x", base=BaseUrl(True, "llm.example", 443, ""))
    assert isinstance(table, ProviderTable)
    provider = table.find("custom-x")
    assert provider is not None
    for header in ("authorization", "x-api-key", "api-key"):
        fields = apply_credential(provider, [(header, "mine")], stored_key="stored", gateway_tokens=TOKENS)
        assert fields == ((header, "mine"),)
    assert apply_credential(provider, [], stored_key="stored", gateway_tokens=TOKENS) == (
        ("authorization", "Bearer stored"),
    )


def test_selecting_a_stored_key() -> None:
    keys = {"default": "d", "team-b": "b"}
    assert select_key("openai", keys, None) == "d"
    assert select_key("openai", keys, "team-b") == "b"
    assert select_key("openai", keys, "default") == "d"
    assert select_key("openai", {}, None) is None
    assert select_key("openai", {"team-b": "b"}, None) is None


def test_an_unknown_alias() -> None:
    assert select_key("openai", {"a": "1", "b": "2"}, "c") == EnvelopeFault(
        400,
        ErrorCode.UNKNOWN_KEY_ALIAS,
        "Provider 'openai' has no BYOK credential named 'c'. Configured aliases: 'a', 'b'",
    )
    fault = select_key("openai", {}, "c")
    assert isinstance(fault, EnvelopeFault)
    assert fault.message.endswith("Configured aliases: none")


HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["authorization", "x-api-key", "x-goog-api-key", "x"]),
        st.sampled_from(["Bearer ", "bearer ", "Token ", "Key ", ""]).flatmap(
            lambda scheme: st.sampled_from([*TOKENS, "mine", ""]).map(lambda secret: scheme + secret)
        ),
    ),
    unique_by=lambda field: field[0],
)


@given(st.sampled_from(TABLE.slugs), HEADERS, st.none() | st.just("stored"))
def test_no_token_goes_to_a_provider(slug: str, headers: list[tuple[str, str]], key: str | None) -> None:
    result = apply(slug, *headers, key=key)
    assert not any(token in value for value in result.values() for token in TOKENS)
    assert {name: value for name, value in headers if value.endswith("mine")}.items() <= result.items()
    form = provider_of(slug).credential
    if key and not brings_key(provider_of(slug), headers, gateway_tokens=TOKENS):
        assert result[form.header] == form.prefix + key


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("authorization", "Bearer\tgateway-token"),
        ("authorization", "Basic gateway-token"),
        ("cookie", "session=1; token=gateway-token"),
        ("x-anything", "a gateway-token b"),
    ],
)
def test_a_token_does_not_leave_in_any_other_form(name: str, value: str) -> None:
    assert name not in apply("openai", (name, value), key=None)


def test_a_token_in_an_endpoint_is_seen() -> None:
    assert holds_token("v1/x;key=gateway-token", TOKENS)
    assert not holds_token("v1/x", TOKENS)
    assert not holds_token("v1/short", ("short",))


def test_tokens_are_hidden() -> None:
    assert hide_tokens("a gateway-token, other-token; xgateway-token", TOKENS) == "a [token], [token]; xgateway-token"
    assert hide_tokens("short", ("short",)) == "short"
