from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._inputs import ShutdownRequested
from aigw_proto.envelopes import StepSettings
from aigw_proto.gateway import GatewayConfig, GatewaySettings
from aigw_proto.providers import ProviderTable
from support.rig import gateway_config
from support.turns import Turns

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
TOKEN = "secret.token-1"


def gateway(**fields: Any) -> GatewayConfig:
    return gateway_config(settings=GatewaySettings(**fields))


def protected() -> GatewayConfig:
    return gateway(authentication=True, tokens=("another", TOKEN))


def exchange(turns: Turns, request: str) -> tuple[int, dict[str, str], bytes]:
    """Send a head on a fresh link and return status, headers and body of the answer."""
    link = turns.accept()
    turns.receive(link, request.replace("\n", "\r\n").encode())
    turns.settle()
    output = turns.take(link)
    head, _, body = output.partition(b"\r\n\r\n")
    status, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return int(status.split()[1]), headers, body


def upgrade(target: str = "/v1/acc/default", *extra: str, method: str | None = "GET", **changed: str | None) -> str:
    """Return a valid upgrade request, but for what is changed; None leaves a field out."""
    fields: dict[str, str | None] = {
        "Host": "gateway",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    fields |= {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    return "\n".join([f"{method} {target} HTTP/1.1", *lines, *extra, "", ""])


def plain(method: str, target: str) -> str:
    return f"{method} {target} HTTP/1.1\nHost: gateway\n\n"


class TestPlainRequests:
    def test_health(self) -> None:
        turns = Turns()
        turns.agent()
        status, headers, body = exchange(turns, plain("GET", "/health"))
        assert status == 200
        assert headers["content-type"] == "application/json"
        assert json.loads(body) == {"status": "ok", "connections": 2}

    def test_health_while_draining(self) -> None:
        turns = Turns()
        turns.agent()
        turns.feed(ShutdownRequested(30.0))
        status, _, body = exchange(turns, plain("GET", "/health"))
        assert status == 503
        assert json.loads(body)["status"] == "draining"

    def test_head(self) -> None:
        status, headers, body = exchange(Turns(), plain("HEAD", "/health?x=1"))
        assert (status, body) == (200, b"")
        assert int(headers["content-length"]) > 10

    @pytest.mark.parametrize("method", ["POST", "DELETE", "OPTIONS"])
    def test_another_method(self, method: str) -> None:
        status, headers, body = exchange(Turns(), plain(method, "/health"))
        assert status == 405
        assert headers["allow"] == "GET, HEAD"
        assert json.loads(body)["httpCode"] == 405

    @pytest.mark.parametrize("target", ["/", "/v1", "/v1/acc", "/v2/acc/default", "/healthy", "*"])
    def test_nothing_there(self, target: str) -> None:
        status, _, body = exchange(Turns(), plain("GET" if target != "*" else "OPTIONS", target))
        assert status == 404
        assert json.loads(body)["name"] == "AiGatewayError"

    @pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
    @pytest.mark.parametrize("target", ["/v1/acc/default", "/v1/acc/default/", "/v1/acc/default/openai"])
    def test_the_api_without_an_upgrade(self, method: str, target: str) -> None:
        status, headers, body = exchange(Turns(), plain(method, target))
        assert status == 426
        assert headers["upgrade"] == "websocket"
        assert headers["connection"].lower() == "upgrade"
        assert headers["sec-websocket-version"] == "13"
        assert bool(body) is (method != "HEAD")

    def test_connect(self) -> None:
        assert exchange(Turns(), "CONNECT gateway:80 HTTP/1.1\nHost: gateway:80\n\n")[0] == 404


class TestUpgrade:
    @pytest.mark.parametrize("target", ["/v1/acc/default", "/v1/acc/default/", "/v1/x%20y/default?a=b"])
    def test_accepted(self, target: str) -> None:
        status, headers, body = exchange(Turns(), upgrade(target))
        assert status == 101
        assert headers["sec-websocket-accept"] == "ICX+Yqv66kxgM0FcWaLWlFLwTAI="
        assert "sec-websocket-protocol" not in headers
        assert body == b""

    def test_an_unknown_gateway(self) -> None:
        status, _, body = exchange(Turns(), upgrade("/v1/acc/nothing"))
        assert status == 400
        assert json.loads(body)["error"][0]["code"] == 2001

    @pytest.mark.parametrize(
        ("target", "status", "code", "text"),
        [
            ("/v1/acc/default/nobody", 400, 2008, "'nobody' is no provider"),
            ("/v1/acc/default//openai", 400, 2008, "'' is no provider"),
            ("/v1/acc/default/anthropic/v1/messages", 404, 2008, "anthropic has no realtime API"),
            ("/v1/acc/default/openai/../secret", 400, 90005, "dot segments"),
            ("/v1/acc/other/openai", 400, 2001, "No gateway 'other'"),
        ],
    )
    def test_a_path_that_leads_to_no_providers_websocket(self, target: str, status: int, code: int, text: str) -> None:
        turns = Turns()
        got, _, body = exchange(turns, upgrade(target))
        assert (got, json.loads(body)["internalCode"]) == (status, code)
        assert text in json.loads(body)["message"]
        assert turns.connects == []

    def test_a_setting_of_a_realtime_upgrade_that_cannot_be_kept(self) -> None:
        status, _, body = exchange(Turns(), upgrade("/v1/acc/default/openai", "cf-aig-max-attempts: many"))
        assert (status, "cf-aig-max-attempts" in json.loads(body)["message"]) == (400, True)

    def test_no_secret_is_in_the_line_about_a_refusal(self) -> None:
        turns = Turns(gateway(authentication=True, tokens=(TOKEN,), keys={"openai": {"default": "sk-stored-1"}}))
        for target in (f"/v1/acc/{TOKEN}", "/v1/acc/sk-stored-1", f"/v1/acc/default/{TOKEN}"):
            status, _, body = exchange(turns, upgrade(target, f"cf-aig-authorization: {TOKEN}"))
            assert status == 400
            assert body
            assert "[token]" in str(turns.logs[-1].details["reason"])

    def test_a_stored_key_that_does_not_exist(self) -> None:
        turns = Turns(gateway(keys={"openai": {"default": "sk-1"}}))
        status, _, body = exchange(turns, upgrade("/v1/acc/default/openai", "cf-aig-byok-alias: other"))
        assert (status, json.loads(body)["internalCode"]) == (400, 2040)

    @pytest.mark.parametrize(
        "field",
        [
            f"cf-aig-authorization: {TOKEN}",
            f"cf-aig-authorization: Bearer {TOKEN}",
            f"Sec-WebSocket-Protocol: realtime,cf-aig-authorization.{TOKEN}",
            f"Authorization: Bearer {TOKEN}",
            f"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key.{TOKEN}",
        ],
    )
    def test_a_token_for_a_providers_websocket(self, field: str) -> None:
        turns = Turns(protected())
        link = turns.accept()
        turns.receive(link, upgrade("/v1/acc/default/openai", field).replace("\n", "\r\n").encode())
        assert len(turns.connects) == 1
        turns.take(turns.upstream())

    @pytest.mark.parametrize("target", ["/v1/acc/default/openai", "/v1/acc/default/nobody"])
    def test_without_a_token_nobody_is_told_what_there_is(self, target: str) -> None:
        turns = Turns(protected())
        status, _, body = exchange(turns, upgrade(target, "Authorization: Bearer sk-own"))
        assert (status, json.loads(body)["internalCode"], turns.connects) == (401, 2009, [])

    def test_no_path(self) -> None:
        assert exchange(Turns(), upgrade("/elsewhere"))[0] == 404

    @pytest.mark.parametrize(
        ("changed", "status"),
        [
            ({"Sec_WebSocket_Key": None}, 400),
            ({"Sec_WebSocket_Key": "short"}, 400),
            ({"Sec_WebSocket_Version": None}, 426),
            ({"Sec_WebSocket_Version": "12"}, 426),
            ({"Connection": "keep-alive"}, 400),
            ({"Content_Length": "4"}, 400),
            ({"Host": "two hosts"}, 400),
            ({"method": "POST"}, 405),
        ],
    )
    def test_a_malformed_handshake(self, changed: dict[str, Any], status: int) -> None:
        got, headers, body = exchange(Turns(), upgrade(**changed))
        assert got == status
        assert json.loads(body)["httpCode"] == status
        assert ("sec-websocket-version" in headers) is (status == 426)

    def test_an_upgrade_over_http_1_0(self) -> None:
        assert exchange(Turns(), upgrade().replace("HTTP/1.1", "HTTP/1.0"))[0] in (400, 426)

    def test_an_upgrade_to_something_else(self) -> None:
        assert exchange(Turns(), upgrade(Upgrade="h2c"))[0] == 426

    def test_an_upgrade_of_the_health_page(self) -> None:
        assert exchange(Turns(), upgrade("/health"))[0] == 404

    def test_too_many_connections(self) -> None:
        turns = Turns(max_links=1)
        turns.agent()
        status, _, body = exchange(turns, upgrade())
        assert status == 503
        assert json.loads(body)["internalCode"] == 90012
        assert exchange(turns, plain("GET", "/health"))[0] == 200

    def test_settings_that_cannot_be_understood(self) -> None:
        status, _, body = exchange(Turns(), upgrade("/v1/acc/default", "cf-aig-max-attempts: many"))
        assert status == 400
        assert "cf-aig-max-attempts" in json.loads(body)["message"]

    def test_settings_go_before_those_of_the_gateway(self) -> None:
        turns = Turns(gateway(settings=StepSettings(max_attempts=4, retry_delay_seconds=2.0)))
        agent = turns.agent([(b"cf-aig-max-attempts", b"3")])
        universal = turns.session(agent.link)._universal
        assert universal is not None
        assert universal._defaults == StepSettings(max_attempts=3, retry_delay_seconds=2.0)


class TestAuthentication:
    @pytest.mark.parametrize(
        "fields",
        [
            [],
            ["cf-aig-authorization: wrong"],
            ["cf-aig-authorization:"],
            ["cf-aig-authorization: Bearer"],
            [f"cf-aig-authorization: Basic {TOKEN}"],
            [f"authorization: Bearer {TOKEN}"],
            ["Sec-WebSocket-Protocol: cf-aig-authorization.wrong"],
            [f"Sec-WebSocket-Protocol: cf-aig-authorization{TOKEN}"],
            [f"Sec-WebSocket-Protocol: {TOKEN}"],
        ],
    )
    def test_refused_before_the_upgrade(self, fields: list[str]) -> None:
        turns = Turns(protected())
        status, _, body = exchange(turns, upgrade("/v1/acc/default", *fields))
        assert status == 401
        assert [(log.message, log.details["status"]) for log in turns.logs] == [("upgrade refused", 401)]
        assert TOKEN not in str(turns.logs)
        error = json.loads(body)
        assert error["error"] == [{"code": 2009, "message": "Unauthorized"}]
        assert (error["httpCode"], error["internalCode"], error["success"]) == (401, 2009, False)
        assert TOKEN.encode() not in body

    @pytest.mark.parametrize(
        "field",
        [
            f"cf-aig-authorization: {TOKEN}",
            f"cf-aig-authorization: Bearer {TOKEN}",
            f"CF-AIG-Authorization: bearer  {TOKEN}",
            f"Sec-WebSocket-Protocol: cf-aig-authorization.{TOKEN}",
            f"Sec-WebSocket-Protocol: other, CF-AIG-Authorization.{TOKEN}",
        ],
    )
    def test_accepted(self, field: str) -> None:
        assert exchange(Turns(protected()), upgrade("/v1/acc/default", field))[0] == 101

    def test_an_empty_token_in_the_configuration_lets_nobody_in(self) -> None:
        turns = Turns(gateway(authentication=True, tokens=("",)))
        assert exchange(turns, upgrade("/v1/acc/default", "cf-aig-authorization:"))[0] == 401

    def test_a_token_is_not_needed_without_authentication(self) -> None:
        assert exchange(Turns(), upgrade("/v1/acc/default", "cf-aig-authorization: whatever"))[0] == 101


class TestSubprotocols:
    @pytest.mark.parametrize(
        ("offered", "selected"),
        [
            ("realtime", "realtime"),
            (f"cf-aig-authorization.{TOKEN}", f"cf-aig-authorization.{TOKEN}"),
            (f"cf-aig-authorization.{TOKEN}, realtime", "realtime"),
            (f"xi-api-key.abc, cf-aig-authorization.{TOKEN}", "xi-api-key.abc"),
            (f"openai-insecure-api-key.sk, cf-aig-authorization.{TOKEN}, openai-beta.v1", "openai-beta.v1"),
        ],
    )
    def test_exactly_one_offered_item_is_selected(self, offered: str, selected: str) -> None:
        status, headers, _ = exchange(Turns(), upgrade(Sec_WebSocket_Protocol=offered))
        assert status == 101
        assert headers["sec-websocket-protocol"] == selected

    def test_items_of_several_lines(self) -> None:
        lines = ["Sec-WebSocket-Protocol: xi-api-key.k", "Sec-WebSocket-Protocol: realtime"]
        assert exchange(Turns(), upgrade("/v1/acc/default", *lines))[1]["sec-websocket-protocol"] == "realtime"


def test_gateways_without_providers_still_answer() -> None:
    config = GatewayConfig((), ProviderTable.builtin())
    assert exchange(Turns(config), upgrade())[0] == 400


LINES = [
    "Connection: close",
    "Connection: close, Upgrade",
    "Content-Length: 0",
    "Content-Length: 00",
    "Content-Length: 3",
    "Transfer-Encoding: chunked",
    "Expect: 100-continue",
    "Upgrade: h2c",
    "Upgrade: websocket",
    "Host: other",
    "Sec-WebSocket-Protocol: a, b",
    "Sec-WebSocket-Protocol: é",
    "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99",
    "Sec-WebSocket-Key: x",
    "cf-aig-backoff: never",
    "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
]


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["GET", "HEAD", "POST", "CONNECT", "OPTIONS", "get"]),
    st.sampled_from(["/v1/acc/default", "/v1/acc/none", "/health", "*", "gateway:80", "http://x/v1/a/default"]),
    st.lists(st.sampled_from(LINES), max_size=4),
    st.sampled_from(["1.1", "1.0"]),
    st.sampled_from(["", "abc", "0\r\n\r\n"]),
    st.booleans(),
)
def test_no_request_is_a_bug(
    method: str, target: str, lines: list[str], version: str, body: str, draining: bool
) -> None:
    turns = Turns(protected() if "Host: other" in lines else None)
    if draining:
        turns.receive(turns.accept(), b"GET")  # keeps the gateway from having drained at once
        turns.feed(ShutdownRequested(30.0))
    link = turns.accept()
    head = upgrade(target, *lines, method=method).replace("HTTP/1.1", f"HTTP/{version}")
    turns.receive(link, head.replace("\n", "\r\n").encode("latin-1") + body.encode())
    turns.settle()
    output = turns.take(link)
    turns.advance(30.0)
    assert re.match(rb"HTTP/1.1 \d\d\d ", output + turns.take(link))
    assert not [log for log in turns.logs if log.exception]
