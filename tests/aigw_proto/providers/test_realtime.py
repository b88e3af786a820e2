"""Plans for WebSockets: what each client that people use sends, and what the provider gets of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._effects import TlsPolicy
from aigw_proto.envelopes import EnvelopeFault, ErrorCode
from aigw_proto.providers._address import BaseUrl
from aigw_proto.providers._dialect import Dialect
from aigw_proto.providers._realtime import RealtimePlan, plan_realtime
from aigw_proto.providers._realtime_credentials import offered_secrets
from aigw_proto.providers._table import Provider, ProviderTable
from aigw_proto.providers._target import Target
from support.realtime_clients import CLIENTS, ELEVENLABS, GOOGLE, LIVE, OPENAI, TOKEN, Client

TABLE = ProviderTable.builtin()
REALTIME = tuple(
    slug for slug in TABLE.slugs if (provider := TABLE.find(slug)) is not None and provider.realtime is not None
)
UPGRADE = (
    ("host", "gateway:8787"),
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits"),
    ("cf-aig-authorization", TOKEN),
)


def provider_of(table: ProviderTable | str, slug: str) -> Provider:
    assert isinstance(table, ProviderTable), table
    provider = table.find_realtime(slug)
    assert provider is not None
    return provider


def plan(
    target: str,
    *headers: tuple[str, str],
    subprotocols: Sequence[str] = (),
    keys: Mapping[str, str] | None = None,
    alias: str | None = None,
    table: ProviderTable | str = TABLE,
) -> RealtimePlan | EnvelopeFault:
    """Plan what follows the gateway in a request target."""
    slug = target.partition("?")[0].split("/", 2)[1]
    return plan_realtime(
        provider_of(table, slug),
        rest=target[1 + len(slug) :],
        account="acc",
        headers=[(name.encode(), value.encode("latin-1")) for name, value in (*UPGRADE, *headers)],
        subprotocols=subprotocols,
        stored_keys=keys or {},
        alias=alias,
        gateway_tokens=(TOKEN, "other-token"),
    )


def planned(
    target: str,
    *headers: tuple[str, str],
    subprotocols: Sequence[str] = (),
    keys: Mapping[str, str] | None = None,
    alias: str | None = None,
    table: ProviderTable | str = TABLE,
) -> RealtimePlan:
    result = plan(target, *headers, subprotocols=subprotocols, keys=keys, alias=alias, table=table)
    assert isinstance(result, RealtimePlan), result
    return result


def shown(made: RealtimePlan | EnvelopeFault) -> str:
    """Return all of a plan but the secrets that it lists."""
    return repr(dataclasses.replace(made, secrets=()) if isinstance(made, RealtimePlan) else made)


def url(target: Target) -> str:
    return f"{'ws' if target.tls is None else 'wss'}://{target.host_header.decode()}{target.target.decode()}"


@pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)
def test_what_clients_send_reaches_the_provider(client: Client) -> None:
    made = planned(client.target, *client.headers, subprotocols=client.offers, keys={})
    assert url(made.target) == client.url
    headers = client.headers if client.becomes is None else client.becomes
    assert made.headers == [(name.encode(), value.encode()) for name, value in headers]
    assert made.subprotocols == (client.offers if client.offered is None else client.offered)
    assert (client.secret in made.secrets) if client.secret is not None else made.secrets == ()
    assert not made.deflate


@pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.secret is not None], ids=lambda client: client.name
)
def test_a_client_s_own_key_goes_before_a_stored_one(client: Client) -> None:
    own = planned(client.target, *client.headers, subprotocols=client.offers)
    stored = planned(
        client.target, *client.headers, subprotocols=client.offers, keys={"default": "STORED"}, alias="nope"
    )
    assert own == stored


@pytest.mark.parametrize(
    "client", [client for client in CLIENTS if client.secret is not None], ids=lambda client: client.name
)
def test_a_gateway_token_in_the_place_of_the_key(client: Client) -> None:
    """What cannot send `cf-aig-authorization` puts the token where it puts a key."""

    def swap(text: str) -> str:
        for mark in (" ", "=", "-key.", "-secret.", "bearer."):
            for key in ("K", "i%3AK"):
                if text.endswith(mark + key) or f"{mark}{key}&" in text:
                    return text.replace(mark + key, mark + TOKEN)
        return TOKEN if text == "K" else text

    target = swap(client.target)
    headers = [(name, swap(value)) for name, value in client.headers]
    offers = [swap(item) for item in client.offers]
    slug = target.partition("?")[0].split("/", 2)[1]
    wire = [(name.encode(), value.encode()) for name, value in headers]
    offered = offered_secrets(provider_of(TABLE, slug), rest=target[1 + len(slug) :], headers=wire, subprotocols=offers)
    assert TOKEN in offered

    provider = provider_of(TABLE, slug)
    made = planned(target, *headers, subprotocols=offers, keys={"default": "STORED"})
    assert TOKEN not in shown(made)
    name, value = provider.credential.header.encode(), (provider.credential.prefix + "STORED").encode()
    assert made.headers[-1] == (name, value)
    assert "STORED" in made.secrets
    bare = planned(target, *headers, subprotocols=offers)
    assert TOKEN not in shown(bare)
    assert bare.headers == made.headers[:-1]


# --- credentials ------------------------------------------------------------------------------------------------------


def test_a_stored_key_for_a_client_without_one() -> None:
    keys = {"default": "STORED", "batch": "BATCH"}
    assert planned("/openai", keys=keys).headers == [(b"authorization", b"Bearer STORED")]
    assert planned("/openai", keys=keys, alias="batch").headers == [(b"authorization", b"Bearer BATCH")]
    assert planned("/openai", keys={"batch": "BATCH"}).headers == []
    assert planned("/google", keys=keys).headers == [(b"x-goog-api-key", b"STORED")]
    assert planned("/google", keys=keys).secrets == ("STORED",)


def test_an_unknown_alias() -> None:
    fault = plan("/google", keys={"default": "STORED"}, alias="nope")
    assert isinstance(fault, EnvelopeFault)
    assert (fault.status, fault.code) == (400, ErrorCode.UNKNOWN_KEY_ALIAS)
    assert "google-ai-studio" in fault.message
    assert "'nope'" in fault.message
    assert "STORED" not in fault.message


def test_a_key_that_is_no_header_value() -> None:
    fault = plan("/fal/x", subprotocols=("fal-api-key.a%0ab",))
    assert isinstance(fault, EnvelopeFault)
    assert (fault.status, fault.code) == (400, ErrorCode.INVALID_FIELD)
    assert "fal-api-key" in fault.message
    assert "a%0ab" not in fault.message


@pytest.mark.parametrize(
    "target",
    [
        f"/openai/{TOKEN}/realtime",
        f"/openai?x={TOKEN}",
        f"/openai?x=a%20{TOKEN}",
        "/openai?x=gateway%2Dtoken",
        "/openai/realtime?model=other-token",
        f"/fal/{TOKEN}",
        f"/elevenlabs?voice_id={TOKEN}",
        f"/azure-openai/{TOKEN}x/{TOKEN}/realtime",
    ],
)
def test_a_token_elsewhere_in_the_target_is_refused(target: str) -> None:
    fault = plan(target)
    assert isinstance(fault, EnvelopeFault)
    assert (fault.status, fault.code) == (400, ErrorCode.INVALID_ENDPOINT)
    assert fault.message.startswith("path: holds a token of this gateway")
    assert TOKEN not in fault.message


def test_a_token_in_any_header_is_left_out() -> None:
    made = planned("/openai", ("referer", f"https://x/?t={TOKEN}"), ("x-y", f"a {TOKEN}"), ("x-z", "1"))
    assert made.headers == [(b"x-z", b"1")]


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "path", "problem"),
    [
        ("/openai/../x", "'/../x'", "dot segments"),
        ("/openai/%2e%2e/x", "'/%2e%2e/x'", "dot segments"),
        ("/openai/a/..%2fb", "'/a/..%2fb'", "dot segments"),
        ("/google//..//x", "'/..//x'", "dot segments"),
        ("/openai/a\\b", "'/a\\\\b'", "backslashes"),
        ("/openai/a b", "'/a b'", "spaces"),
        ("/openai/a\r\nb", "'/a\\r\\nb'", "control characters"),
        ("/openai?a\\b", "'/'", "backslashes"),
        ("/openai/é", "'/é'", "ASCII"),
        ("/openai?é", "'/'", "ASCII"),
        ("/fal", "'/'", "the name of a model"),
        ("/workers-ai?x=1", "'/'", "the parameter model"),
        ("/azure-openai/a.b/d/realtime", "'/a.b/d/realtime'", "Azure resource"),
        (f"/fal/a/{TOKEN}/../b", "'/a/[token]/../b'", "dot segments"),
        ("/openai/../" + "x" * 200, "'/../" + "x" * 96 + "...'", "dot segments"),
    ],
)
def test_bad_paths_are_named(target: str, path: str, problem: str) -> None:
    fault = plan(target)
    assert isinstance(fault, EnvelopeFault)
    assert (fault.status, fault.code) == (400, ErrorCode.INVALID_ENDPOINT)
    assert fault.message.startswith(f"path {path}: expected ")
    assert problem in fault.message


def test_providers_without_a_realtime_api() -> None:
    fault = plan("/groq")
    assert isinstance(fault, EnvelopeFault)
    assert (fault.status, fault.code) == (404, ErrorCode.INVALID_PROVIDER)
    assert "'groq'" in fault.message


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/openai/", OPENAI + "realtime"),
        ("/openai//", OPENAI + "realtime"),
        ("/openai?", OPENAI + "realtime?"),
        ("/openai/realtime?", OPENAI + "realtime?"),
        ("/openai/?model=a%2Fb&&x=%zz&y", OPENAI + "realtime?model=a%2Fb&&x=%zz&y"),
        ("/openai/a//b/%41?c?d/../e", OPENAI + "a//b/%41?c?d/../e"),
        ("/google?key=gateway-token", GOOGLE),
        ("/elevenlabs/?voice_id=V", ELEVENLABS + "text-to-speech/V/stream-input"),
        ("/azure-openai/res/d/realtime", "wss://res.openai.azure.com/openai/v1/realtime?model=d"),
    ],
)
def test_what_needs_no_change_stays(target: str, expected: str) -> None:
    assert url(planned(target).target) == expected


def test_moved_providers() -> None:
    mock = BaseUrl(False, "127.0.0.1", 9000, "/p")
    table = TABLE.redirected(mock)
    assert url(planned("/openai?model=m", table=table).target) == "ws://127.0.0.1:9000/p/v1/realtime?model=m"
    assert url(planned("/openai/v1/responses", table=table).target) == "ws://127.0.0.1:9000/p/v1/responses"
    assert url(planned("/google", table=table).target) == f"ws://127.0.0.1:9000/p/{LIVE}"
    assert url(planned("/fal/a/realtime", table=table).target) == "ws://127.0.0.1:9000/p/a/realtime"
    assert url(planned("/azure-openai/res/d/realtime", table=table).target) == (
        "ws://127.0.0.1:9000/p/openai/v1/realtime?model=d"
    )
    assert url(planned("/workers-ai/@cf/x/y", table=table).target) == (
        "ws://127.0.0.1:9000/p/client/v4/accounts/acc/ai/run/@cf/x/y"
    )


def test_policies() -> None:
    table = TABLE.with_override("openai", base=BaseUrl(True, "h", 8443, "/v1"), tls_ca="ca.pem", deflate=True)
    made = planned("/openai", table=table)
    assert made.target == Target("h", 8443, TlsPolicy("ca.pem"), b"h:8443", b"/v1/realtime")
    assert made.deflate


def test_dialects_and_models() -> None:
    made = planned("/deepgram/v1/listen?model=nova-3")
    assert (made.dialect, made.model) == (Dialect.DEEPGRAM, "nova-3")
    assert planned("/grok/responses").dialect is Dialect.OPENAI_RESPONSES
    assert planned("/google").model is None


# --- anything ---------------------------------------------------------------------------------------------------------

NAMES = st.sampled_from(["authorization", "x-api-key", "xi-api-key", "api-key", "x-goog-api-key", "x", "connection"])
VALUES = st.sampled_from([TOKEN, f"Bearer {TOKEN}", f"Key {TOKEN}", "K", "", "Bearer", f"x;{TOKEN}", "x-api-key"])
PARAMETERS = st.sampled_from(
    ["key", "api_key", "token", "fal_jwt_token", "authorization", "agent_id", "model", "x", ""]
)
ITEMS = st.sampled_from(
    [
        *("token", "bearer", "realtime", "convai", "K", TOKEN, f"bearer.{TOKEN}", f"xi-api-key.{TOKEN}"),
        *("fal-api-key.K", f"fal-api-key.{TOKEN}", f"openai-insecure-api-key.{TOKEN}", f"cf-aig-authorization.{TOKEN}"),
    ]
)


@given(
    st.sampled_from(REALTIME),
    st.text(alphabet="/.%2eabv1?&=@:\\ \r#é", max_size=20),
    st.lists(st.tuples(PARAMETERS, VALUES), max_size=4),
    st.lists(st.tuples(NAMES, VALUES), max_size=4),
    st.lists(ITEMS, max_size=5, unique=True),
)
def test_no_token_leaves_and_no_host_moves(
    slug: str,
    path: str,
    query: list[tuple[str, str]],
    headers: list[tuple[str, str]],
    offers: list[str],
) -> None:
    target = f"/{slug}/{path}?" + "&".join(f"{name}={value.replace(' ', '+')}" for name, value in query)
    made = plan(target, *headers, subprotocols=offers, keys={"default": "STORED"})
    assert TOKEN not in shown(made)
    if isinstance(made, EnvelopeFault):
        assert made.status == 400
        assert "STORED" not in made.message
        return
    site = provider_of(TABLE, slug).realtime
    assert site is not None
    hosts = {site.base.host} if site.other is None else {site.base.host, site.other.host}
    assert any(made.target.host.endswith(host.removeprefix("{resource}")) for host in hosts)
    prefix = site.base.path.replace("{account}", "acc").encode()
    assert made.target.target.startswith(prefix + b"/")
    assert not made.target.target.startswith(b"//")
    assert not set(made.target.target) & {*range(33), 127, ord("#"), ord("\\"), *range(128, 256)}
    assert set(made.subprotocols) <= set(offers)
    assert not {name for name, _ in made.headers} & {b"host", b"connection", b"upgrade", b"cf-aig-authorization"}
