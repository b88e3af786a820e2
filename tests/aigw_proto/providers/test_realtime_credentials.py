"""Keys on upgrade requests: every place for one, and that a gateway token never stays in any of them."""

from __future__ import annotations

import pytest

from aigw_proto.providers._address import BaseUrl
from aigw_proto.providers._realtime_credentials import (
    Credentials,
    choose_subprotocol,
    forwarded_headers,
    offered_secrets,
)
from aigw_proto.providers._table import Provider, ProviderTable

TOKEN = "gateway-token"
URL = BaseUrl(True, "rt.example", 443, "/v1/realtime")
_table = ProviderTable.builtin().with_custom("x", base=URL, realtime=URL)
assert isinstance(_table, ProviderTable)
TABLE = _table


def provider_of(slug: str) -> Provider:
    provider = TABLE.find_realtime(slug)
    assert provider is not None
    return provider


def credentials(
    slug: str,
    *headers: tuple[str, str],
    query: str = "",
    subprotocols: tuple[str, ...] = (),
    tokens: tuple[str, ...] = (TOKEN,),
) -> Credentials:
    found = Credentials(provider_of(slug), headers, gateway_tokens=tokens)
    found.take_parameters(query.split("&") if query else [])
    assert found.take_subprotocols(subprotocols) is None
    return found


# --- headers ----------------------------------------------------------------------------------------------------------


def test_what_is_not_forwarded() -> None:
    headers = [
        (b"host", b"gateway"),
        (b"connection", b"keep-alive, Upgrade, X-Hop"),
        (b"connection", b"x-other"),
        (b"upgrade", b"websocket"),
        (b"keep-alive", b"1"),
        (b"te", b"trailers"),
        (b"trailer", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"proxy-authorization", b"Basic x"),
        (b"proxy-connection", b"x"),
        (b"content-length", b"0"),
        (b"sec-websocket-key", b"x"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-protocol", b"realtime"),
        (b"sec-websocket-extensions", b"permessage-deflate"),
        (b"cf-aig-authorization", b"x"),
        (b"cf-aig-metadata", b"{}"),
        (b"cf-cache-ttl", b"1"),
        (b"x-hop", b"1"),
        (b"X-Other", b"1"),
        (b"accept-encoding", b"gzip, br"),
        (b"expect", b"100-continue"),
        (b"cookie", b"session=of-the-gateway-s-site"),
    ]
    assert forwarded_headers(headers) == []


def test_everything_else_is_forwarded_as_it_came() -> None:
    headers = [
        (b"Content-Type", b"application/json"),
        (b"x-stainless-lang", b"python"),
        (b"origin", b"https://app.example"),
        (b"user-agent", b"x/1"),
        (b"openai-beta", b"realtime=v1"),
        (b"sec-fetch-mode", b"websocket"),
        (b"x-aigw-mock", b"close=1011"),
        (b"x-twice", b"1"),
        (b"x-twice", b"\xe9"),
        (b"authorization", b"Bearer K"),
    ]
    assert forwarded_headers(headers) == [(name.decode().lower(), value.decode("latin-1")) for name, value in headers]


@pytest.mark.parametrize(
    ("slug", "header", "value"),
    [
        ("openai", "authorization", "Bearer K"),
        ("openai", "authorization", "bearer K"),
        ("google", "x-goog-api-key", "K"),
        ("google", "authorization", "Token K"),
        ("cartesia", "x-api-key", "K"),
        ("cartesia", "authorization", "Bearer K"),
        ("elevenlabs", "xi-api-key", "K"),
        ("fal", "authorization", "Key K"),
        ("deepgram", "authorization", "Token K"),
        ("workers-ai", "authorization", "Bearer K"),
        ("azure-openai", "api-key", "K"),
        ("azure-openai", "authorization", "Bearer K"),
        ("grok", "authorization", "Bearer K"),
        ("custom-x", "authorization", "Bearer K"),
        ("custom-x", "x-api-key", "K"),
    ],
)
def test_keys_in_headers(slug: str, header: str, value: str) -> None:
    found = credentials(slug, (header, value), ("x", "y"))
    assert found.has_key
    assert found.headers == [(header, value), ("x", "y")]
    assert found.secrets == ["K"]
    mine = credentials(slug, (header, value.replace("K", TOKEN)), ("x", "y"))
    assert not mine.has_key
    assert mine.headers == [("x", "y")]
    wire = [(header.upper().encode(), value.encode())]
    assert offered_secrets(provider_of(slug), rest="", headers=wire, subprotocols=()) == ["K"]


def test_secrets_for_others_are_secrets_too() -> None:
    found = credentials("openai", ("x-api-key", "K"), query="token=L%2B&x=1")
    assert not found.has_key
    assert found.secrets == ["K", "L+", "L%2B"]
    assert found.query == ["token=L%2B", "x=1"]
    assert (
        offered_secrets(provider_of("openai"), rest="?token=L", headers=[(b"x-api-key", b"K")], subprotocols=()) == []
    )


# --- parameters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "name"),
    [
        ("google", "key"),
        ("google", "api_key"),
        ("google", "access_token"),
        ("cartesia", "api_key"),
        ("cartesia", "access_token"),
        ("elevenlabs", "xi-api-key"),
        ("elevenlabs", "authorization"),
        ("elevenlabs", "token"),
        ("elevenlabs", "single_use_token"),
        ("elevenlabs", "conversation_signature"),
        ("fal", "fal_jwt_token"),
        ("azure-openai", "api-key"),
        ("azure-openai", "Authorization"),
        ("custom-x", "api_key"),
        ("custom-x", "token"),
    ],
)
def test_keys_in_parameters(slug: str, name: str) -> None:
    found = credentials(slug, query=f"a=1&{name}=K%2B&b")
    assert found.has_key
    assert found.query == ["a=1", f"{name}=K%2B", "b"]
    assert found.secrets == ["K+", "K%2B"]
    mine = credentials(slug, query=f"a=1&{name}={TOKEN}&b")
    assert not mine.has_key
    assert mine.query == ["a=1", "b"]
    rest = f"/x?a=1&{name}=K%2B"
    assert offered_secrets(provider_of(slug), rest=rest, headers=[], subprotocols=()) == ["K+", "K%2B"]


def test_parameters_with_a_scheme() -> None:
    assert credentials("azure-openai", query=f"Authorization=Bearer%20{TOKEN}").query == []
    assert credentials("elevenlabs", query=f"authorization=Bearer+{TOKEN}").query == []
    assert not credentials("elevenlabs", query="authorization=Bearer%20").has_key
    found = offered_secrets(provider_of("elevenlabs"), rest="?authorization=Bearer+K", headers=[], subprotocols=())
    assert found == ["K", "Bearer+K"]


def test_a_token_is_found_in_any_spelling() -> None:
    tokens = ("a+b/c==",)
    assert credentials("google", query="key=a%2Bb%2Fc%3D%3D", tokens=tokens).query == []
    assert credentials("google", query="key=a+b/c==", tokens=tokens).query == []
    assert "a+b/c==" in offered_secrets(provider_of("google"), rest="?key=a+b/c==", headers=[], subprotocols=())


# --- subprotocols -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "item"),
    [
        ("openai", "openai-insecure-api-key.K"),
        ("openai", "OpenAI-Insecure-API-Key.K"),
        ("grok", "xai-client-secret.K"),
        ("grok", "openai-insecure-api-key.K"),
        ("elevenlabs", "bearer.K"),
        ("custom-x", "openai-insecure-api-key.K"),
    ],
)
def test_items_that_the_provider_reads(slug: str, item: str) -> None:
    found = credentials(slug, subprotocols=("realtime", item, "x"))
    assert found.has_key
    assert found.subprotocols == ["realtime", item, "x"]
    assert "K" in found.secrets
    assert found.headers == []
    mine = credentials(slug, subprotocols=("realtime", item[:-1] + TOKEN, "x"))
    assert (mine.has_key, mine.headers, mine.subprotocols) == (False, [], ["realtime", "x"])
    assert offered_secrets(provider_of(slug), rest="", headers=[], subprotocols=("realtime", item)) == ["K"]


@pytest.mark.parametrize(
    ("slug", "item", "header", "value"),
    [
        ("elevenlabs", "xi-api-key.K", "xi-api-key", "K"),
        ("elevenlabs", "XI-API-KEY.K.L", "xi-api-key", "K.L"),
        ("fal", "fal-api-key.id%3Asecret", "authorization", "Key id:secret"),
        ("azure-openai", "openai-insecure-api-key.K", "api-key", "K"),
    ],
)
def test_items_that_become_a_header(slug: str, item: str, header: str, value: str) -> None:
    found = credentials(slug, subprotocols=("convai", item))
    assert found.has_key
    assert found.subprotocols == ["convai"]
    assert found.headers == [(header, value)]
    assert value.removeprefix("Key ") in found.secrets
    assert item.partition(".")[2] in found.secrets


def test_tokens_in_items_that_become_a_header() -> None:
    found = credentials("fal", subprotocols=(f"fal-api-key.{TOKEN}", "x"))
    assert (found.has_key, found.headers, found.subprotocols) == (False, [], ["x"])
    tokens = ("id:secret",)
    assert credentials("fal", subprotocols=("fal-api-key.id%3Asecret",), tokens=tokens).headers == []
    offered = offered_secrets(provider_of("fal"), rest="", headers=[], subprotocols=("fal-api-key.id%3Asecret",))
    assert offered == ["id%3Asecret", "id:secret"]


def test_a_header_goes_before_an_item() -> None:
    found = credentials("elevenlabs", ("xi-api-key", "H"), subprotocols=("xi-api-key.I",))
    assert found.headers == [("xi-api-key", "H")]
    empty = credentials("elevenlabs", ("xi-api-key", ""), subprotocols=("xi-api-key.I",))
    assert empty.headers == [("xi-api-key", "I")]


@pytest.mark.parametrize("key", ["a%0d%0ahost:%20evil", "a%20b", "%C3%A9", "%00"])
def test_an_item_cannot_become_two_headers(key: str) -> None:
    found = Credentials(provider_of("fal"), [], gateway_tokens=())
    problem = found.take_subprotocols([f"fal-api-key.{key}"])
    assert problem is not None
    assert problem.startswith("subprotocol fal-api-key: expected a key")
    assert found.headers == []


@pytest.mark.parametrize(("slug", "name"), [("deepgram", "token"), ("deepgram", "bearer"), ("custom-x", "token")])
def test_pairs(slug: str, name: str) -> None:
    found = credentials(slug, subprotocols=(name, "K", "x"))
    assert found.has_key
    assert found.subprotocols == [name, "K", "x"]
    assert found.secrets == ["K", "K"]
    mine = credentials(slug, subprotocols=(name, TOKEN, "x"))
    assert (mine.has_key, mine.subprotocols) == (False, ["x"])
    assert offered_secrets(provider_of(slug), rest="", headers=[], subprotocols=(name, "K", "x")) == ["K"]
    split = credentials(slug, subprotocols=(name, "cf-aig-authorization.T", "K"))
    assert split.subprotocols == [name, "K"]
    assert not credentials(slug, subprotocols=(name,)).has_key
    assert credentials(slug, subprotocols=(name,)).subprotocols == [name]


def test_what_is_never_offered_to_a_provider() -> None:
    items = ("cf-aig-authorization.T", "CF-AIG-Authorization.U", "xi-api-key.V", "fal-api-key.W", "convai")
    found = credentials("deepgram", subprotocols=items)
    assert (found.has_key, found.subprotocols) == (False, ["convai"])
    assert found.secrets == ["T", "U", "V", "W"]
    others = ("openai-insecure-api-key.K", "openai-organization.o", "openai-beta.realtime-v1", "xai-client-secret.X")
    assert credentials("elevenlabs", subprotocols=others).subprotocols == list(others[1:3])


def test_a_token_in_any_other_item() -> None:
    assert credentials("openai", subprotocols=("realtime", TOKEN, f"x.{TOKEN}")).subprotocols == ["realtime"]
    assert credentials("openai", subprotocols=("realtime", "short"), tokens=("short",)).subprotocols == ["realtime"]


def test_empty_items_are_left_out() -> None:
    found = credentials("openai", subprotocols=("realtime", "openai-insecure-api-key."))
    assert (found.has_key, found.subprotocols) == (False, ["realtime"])


# --- stored keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("slug", "field"),
    [
        ("openai", ("authorization", "Bearer S")),
        ("grok", ("authorization", "Bearer S")),
        ("custom-x", ("authorization", "Bearer S")),
        ("workers-ai", ("authorization", "Bearer S")),
        ("azure-openai", ("api-key", "S")),
        ("google", ("x-goog-api-key", "S")),
        ("cartesia", ("x-api-key", "S")),
        ("elevenlabs", ("xi-api-key", "S")),
        ("fal", ("authorization", "Key S")),
        ("deepgram", ("authorization", "Token S")),
    ],
)
def test_a_stored_key_has_the_provider_s_form(slug: str, field: tuple[str, str]) -> None:
    found = credentials(slug, ("authorization", "Bearer "), ("x", "y"), query="a=1")
    found.add_stored_key("S")
    assert found.headers == [("x", "y"), field]
    assert (found.has_key, found.query) == (True, ["a=1"])
    assert "S" in found.secrets


def test_a_stored_key_takes_the_place_of_empty_ones() -> None:
    found = credentials("google", query="api_key=&a=1&key")
    assert not found.has_key
    found.add_stored_key("S")
    assert found.query == ["a=1"]


def test_providers_without_a_realtime_api_have_no_slots_but_headers() -> None:
    found = offered_secrets(
        provider_of("groq"), rest="?key=K", headers=[(b"authorization", b"Bearer L")], subprotocols=("token", "M")
    )
    assert found == ["L"]


# --- the answer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offered", "upstream", "chosen"),
    [
        ((), None, None),
        ((), "realtime", None),
        (("realtime", "openai-insecure-api-key.K"), "realtime", "realtime"),
        (("realtime", "openai-insecure-api-key.K"), None, "realtime"),
        (("openai-insecure-api-key.K", "openai-beta.realtime-v1", "realtime"), None, "realtime"),
        (("openai-insecure-api-key.K", "openai-beta.realtime-v1"), None, "openai-beta.realtime-v1"),
        (("a", "b"), "b", "b"),
        (("a", "b"), "c", "a"),
        (("cf-aig-authorization.T",), None, "cf-aig-authorization.T"),
        (("xi-api-key.K", "cf-aig-authorization.T"), None, "xi-api-key.K"),
        (("cf-aig-authorization.T", "convai", "bearer.T"), None, "convai"),
        (("bearer.T", "cf-aig-authorization.T"), None, "bearer.T"),
        (("token", "K"), "token", "token"),
        (("token", "K"), None, "token"),
        (("cf-aig-authorization.T", "Bearer", "K"), None, "Bearer"),
        (("token",), None, "token"),
        (("CF-AIG-Authorization.T", "FAL-API-KEY.K", "x.y"), None, "x.y"),
    ],
)
def test_choosing(offered: tuple[str, ...], upstream: str | None, chosen: str | None) -> None:
    assert choose_subprotocol(offered, upstream) == chosen
