from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._kinds import Role
from aigw_proto.envelopes import (
    EnvelopeFault,
    ErrorCode,
    StepSettings,
    UniversalCreate,
    parse_client_message,
)
from aigw_proto.gateway import GatewaySettings
from aigw_proto.gateway._admission import PreparedStep, authenticate, prepare
from aigw_proto.http import H1Connection, Headers
from aigw_proto.ws import UpgradeOffer
from support.rig import gateway_config


def offer(*headers: tuple[bytes, bytes], subprotocols: tuple[str, ...] = ()) -> UpgradeOffer:
    return UpgradeOffer(b"/", b"h", b"k", subprotocols, (), None, list(headers))


def header(value: bytes) -> tuple[bytes, bytes]:
    return b"cf-aig-authorization", value


PROTECTED = GatewaySettings(authentication=True, tokens=("one", "two.x"))


class TestAuthenticate:
    @pytest.mark.parametrize(
        "good",
        [
            offer(header(b"one")),
            offer(header(b"Bearer one")),
            offer(header(b"BEARER   two.x ")),
            offer(header(b"wrong"), header(b"one")),
            offer(subprotocols=("realtime", "CF-AIG-Authorization.two.x")),
        ],
    )
    def test_a_token_of_the_gateway(self, good: UpgradeOffer) -> None:
        assert authenticate(PROTECTED, good)

    @pytest.mark.parametrize(
        "bad",
        [
            offer(),
            offer(header(b"")),
            offer(header(b"Bearer")),
            offer(header(b"ONE")),
            offer(header(b"one two.x")),
            offer((b"authorization", b"Bearer one")),
            offer(subprotocols=("cf-aig-authorization", "one", "x.cf-aig-authorization.one")),
        ],
    )
    def test_anything_else(self, bad: UpgradeOffer) -> None:
        assert not authenticate(PROTECTED, bad)

    def test_a_token_in_the_place_of_a_providers_key(self) -> None:
        assert authenticate(PROTECTED, offer(), ["sk-own", "one"])
        assert not authenticate(PROTECTED, offer(), ["sk-own", "One", "ö"])

    def test_without_authentication_anybody_may_come(self) -> None:
        assert authenticate(GatewaySettings(), offer())

    def test_without_tokens_nobody_may(self) -> None:
        assert not authenticate(GatewaySettings(authentication=True), offer(header(b"")))
        assert not authenticate(GatewaySettings(authentication=True, tokens=("",)), offer(header(b"")))


def created(text: str) -> UniversalCreate:
    message = parse_client_message(text, max_steps=8, max_event_id_bytes=100)
    assert isinstance(message, UniversalCreate)
    return message


def one(provider: str = "custom-hand", endpoint: str = "v1/x", **changed: Any) -> UniversalCreate:
    fields: dict[str, Any] = {"eventId": "a", "provider": provider, "endpoint": endpoint, "headers": {}, "query": {}}
    return created(json.dumps({"type": "universal.create", "request": {**fields, **changed}}))


def prepared(create: UniversalCreate, gateway: GatewaySettings | None = None, **defaults: Any) -> list[PreparedStep]:
    steps = prepare(gateway_config(), gateway or GatewaySettings(), "acc", StepSettings(**defaults), create)
    assert isinstance(steps, list)
    return steps


def fault(create: UniversalCreate, gateway: GatewaySettings | None = None) -> EnvelopeFault:
    result = prepare(gateway_config(), gateway or GatewaySettings(), "acc", StepSettings(), create)
    assert isinstance(result, EnvelopeFault)
    assert result.event_id == "a"
    return result


class TestPrepare:
    def test_the_head(self) -> None:
        (step,) = prepared(one(headers={"X-Own": "1", "cf-aig-event-id": "b", "Accept-Encoding": "gzip"}))
        assert step.request.method == b"POST"
        assert step.request.target == b"/v1/x"
        assert step.request.headers == [
            (b"host", b"provider"),
            (b"x-own", b"1"),
            (b"content-type", b"application/json"),
            (b"user-agent", b"aigw"),
            (b"accept-encoding", b"identity"),
            (b"content-length", b"2"),
        ]
        assert (step.provider, step.endpoint, step.body) == ("custom-hand", "v1/x", b"{}")
        assert (step.target.host, step.target.port, step.target.tls) == ("provider", 80, None)

    def test_the_clients_own_fields_are_kept(self) -> None:
        (step,) = prepared(one(headers={"Content-Type": "text/x", "User-Agent": "me"}))
        fields = dict(step.request.headers)
        assert (fields[b"content-type"], fields[b"user-agent"]) == (b"text/x", b"me")
        assert len(fields) == len(step.request.headers)

    def test_settings_of_the_step_go_first(self) -> None:
        (step,) = prepared(one(config={"maxAttempts": 2}), max_attempts=5, retry_delay_seconds=3.0)
        assert step.settings == StepSettings(max_attempts=2, retry_delay_seconds=3.0)

    @pytest.mark.parametrize(
        ("headers", "sent"), [({}, b"Bearer sk"), ({"Authorization": "Bearer own"}, b"Bearer own")]
    )
    def test_a_stored_key(self, headers: dict[str, str], sent: bytes) -> None:
        gateway = GatewaySettings(keys={"openai": {"default": "sk"}})
        (step,) = prepared(one("openai", headers=headers), gateway)
        assert dict(step.request.headers)[b"authorization"] == sent

    def test_the_gateways_token_does_not_get_out(self) -> None:
        gateway = GatewaySettings(tokens=("secret",), keys={"openai": {"default": "sk"}})
        (step,) = prepared(one("openai", headers={"Authorization": "Bearer secret", "x-api-key": "secret"}), gateway)
        assert b"secret" not in b"".join(value for _, value in step.request.headers)
        assert dict(step.request.headers)[b"authorization"] == b"Bearer sk"

    def test_the_gateways_token_in_an_endpoint(self) -> None:
        bad = fault(one(endpoint="v1/x?KEY=secret-token"), GatewaySettings(tokens=("secret-token",)))
        assert bad.code == ErrorCode.INVALID_ENDPOINT
        assert "secret-token" not in bad.message

    def test_faults(self) -> None:
        assert fault(one("nobody")).code == ErrorCode.INVALID_PROVIDER
        assert "request.provider" in fault(one("nobody")).message
        assert fault(one(endpoint="../x")).code == ErrorCode.INVALID_ENDPOINT
        assert fault(one("openai", headers={"cf-aig-byok-alias": "x"})).code == ErrorCode.UNKNOWN_KEY_ALIAS

    def test_the_fault_of_a_later_step_says_which(self) -> None:
        steps = one().steps + one("nobody").steps
        assert "request[1].provider" in fault(UniversalCreate("a", steps)).message

    def test_a_provider_name_is_cut_short(self) -> None:
        assert len(fault(one("x" * 10_000)).message) < 300


SPECIAL = ["Host", "Content-Length", "Transfer-Encoding", "Connection", "Upgrade", "Expect", "TE", "Accept-Encoding"]
NAMES = st.sampled_from(SPECIAL) | st.text("abcXYZ-_!#1", min_size=1, max_size=12)
VALUES = st.sampled_from(["chunked", "100-continue", "7"]) | st.text(st.characters(max_codepoint=0x17F), max_size=20)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=6), st.text(max_size=20), st.text("/v1?&=%#.\\é ", max_size=12))
def test_whatever_is_admitted_can_be_sent(headers: dict[str, str], query: str, endpoint: str) -> None:
    request = {"provider": "custom-hand", "endpoint": endpoint, "headers": headers, "query": query}
    text = json.dumps({"type": "universal.create", "request": request})
    message = parse_client_message(text, max_steps=8, max_event_id_bytes=100)
    if not isinstance(message, UniversalCreate):
        return
    steps = prepare(gateway_config(), GatewaySettings(), "acc", StepSettings(), message)
    if isinstance(steps, EnvelopeFault):
        return
    http = H1Connection(Role.CLIENT, now=0.0)
    http.send_request(steps[0].request)
    http.send_data(steps[0].body)
    http.end_message()
    sent = b"".join(http.data_to_send())
    names: Headers = steps[0].request.headers
    assert len({name for name, _ in names}) == len(names)
    assert sent.count(b"\r\n\r\n") == 1
    assert sent.endswith(b"\r\n\r\n" + steps[0].body)
