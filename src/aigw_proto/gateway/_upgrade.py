"""Plain HTTP on the gateway's port, and the decision whether an upgrade is accepted.

Whoever is refused is refused here, with a status and a JSON body, before the upgrade: accepting a WebSocket only to
close it would hide the reason from every client library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._effects import LogLevel
from .._kinds import record
from ..envelopes import EnvelopeFault, ErrorCode, StepSettings, gateway_error, merge_settings, parse_settings
from ..http import Failed, H1Connection, Headers, HttpEvent, Request, Response, StreamEnded
from ..providers import RealtimePlan, choose_subprotocol, hide_tokens, offered_secrets, plan_realtime
from ..ws import UpgradeAccepted, UpgradeOffer, UpgradeRefused, accept_upgrade, check_upgrade, wants_upgrade
from ._admission import authenticate
from ._config import GatewaySettings, secrets_of
from ._route import Route, parse_route

if TYPE_CHECKING:
    from ._core import Core

__all__ = ["RealtimeUpgrade", "Upgrade", "answer_http"]

_HEALTH = b"/health"
_UPGRADE_HEADERS: Headers = [(b"upgrade", b"websocket"), (b"connection", b"upgrade"), (b"sec-websocket-version", b"13")]


@record
class Upgrade:
    """An accepted upgrade; the 101 is queued."""

    account: str
    gateway: GatewaySettings
    defaults: StepSettings
    accepted: UpgradeAccepted


@record
class RealtimeUpgrade:
    """An upgrade that a provider has to accept first; the client's request waits for its answer.

    `stored_secrets` are keys of the gateway's that the client must not get to see.
    """

    account: str
    gateway: GatewaySettings
    provider: str
    plan: RealtimePlan
    offer: UpgradeOffer
    stored_secrets: tuple[str, ...]
    open_timeout_seconds: float | None
    collect_log: bool


@record
class _Refusal:
    status: int
    code: int
    message: str
    headers: Headers


def answer_http(core: Core, http: H1Connection, event: HttpEvent, peer: str) -> Upgrade | RealtimeUpgrade | bool:
    """Act on one HTTP event. True: everything is answered that will be, end the connection."""
    if isinstance(event, Request):
        return _answer_request(core, http, event, peer)
    if isinstance(event, Failed):
        if http.can_answer:
            _respond(http, event.status, gateway_error(event.status, ErrorCode.INVALID_FIELD, event.reason), [], b"")
        return True
    return isinstance(event, StreamEnded)


def _answer_request(core: Core, http: H1Connection, request: Request, peer: str) -> Upgrade | RealtimeUpgrade | bool:
    path = request.target.partition(b"?")[0]
    if path == _HEALTH and not wants_upgrade(request):
        if request.method in (b"GET", b"HEAD"):
            status = b"draining" if core.draining else b"ok"
            body = b'{"status":"%b","connections":%d}' % (status, len(core.sessions))
            _respond(http, 503 if core.draining else 200, body, [], request.method)
        else:
            refusal = _Refusal(405, ErrorCode.INVALID_FIELD, "Method not allowed", [(b"allow", b"GET, HEAD")])
            _refuse(http, refusal, request.method)
        return False
    decision = _decide(core, request)
    if isinstance(decision, _Refusal):
        if wants_upgrade(request):
            reason = hide_tokens(decision.message, secrets_of(*core.config.gateways))
            details: dict[str, str | int | float | bool | None]
            details = {"peer": peer, "status": decision.status, "reason": reason}
            core.log(LogLevel.WARNING, "upgrade refused", details)
        _refuse(http, decision, request.method)
        return False
    if isinstance(decision, RealtimeUpgrade):
        return decision
    response, upgrade = decision
    http.send_switch(response)
    return upgrade


def _decide(core: Core, request: Request) -> _Refusal | RealtimeUpgrade | tuple[Response, Upgrade]:
    route = parse_route(request.target)
    if route is None:
        return _Refusal(404, ErrorCode.INVALID_FIELD, "Not found: the API is at /v1/{account}/{gateway}", [])
    if not wants_upgrade(request):
        message = "This is a WebSocket API: send an upgrade request"
        return _Refusal(426, ErrorCode.INVALID_FIELD, message, _UPGRADE_HEADERS)
    if core.draining or len(core.sessions) > core.config.limits.max_links:
        message = "The gateway is shutting down" if core.draining else "The gateway has no room for more connections"
        return _Refusal(503, ErrorCode.SHUTTING_DOWN, message, [])
    gateway = core.config.find(route.account, route.gateway_id)
    if gateway is None:
        message = f"No gateway {route.gateway_id!r} is configured for account {route.account!r}"
        return _Refusal(400, ErrorCode.GATEWAY_NOT_FOUND, message, [])
    offer = check_upgrade(request)
    if isinstance(offer, UpgradeRefused):
        return _Refusal(offer.status, ErrorCode.INVALID_FIELD, offer.reason, offer.headers)
    if route.rest:
        return _decide_realtime(core, route, gateway, offer)
    if not authenticate(gateway, offer):
        return _unauthorized()
    settings = parse_settings(offer.headers)
    if isinstance(settings, EnvelopeFault):
        return _Refusal(settings.status, settings.code, settings.message, [])
    response, accepted = accept_upgrade(
        offer, subprotocol=choose_subprotocol(offer.subprotocols, None), deflate=core.config.deflate
    )
    return response, Upgrade(route.account, gateway, merge_settings(settings, gateway.settings), accepted)


def _decide_realtime(
    core: Core, route: Route, gateway: GatewaySettings, offer: UpgradeOffer
) -> _Refusal | RealtimeUpgrade:
    provider = core.config.providers.find_realtime(route.slug)
    rest = route.rest[len(route.slug) :]
    secrets: list[str] = []
    if provider is not None:
        secrets = offered_secrets(provider, rest=rest, headers=offer.headers, subprotocols=offer.subprotocols)
    if not authenticate(gateway, offer, secrets):
        return _unauthorized()
    if provider is None:
        message = f"Invalid provider: {route.slug[:100]!r} is no provider of this gateway"
        return _Refusal(400, ErrorCode.INVALID_PROVIDER, message, [])
    if provider.realtime is None:
        message = f"{provider.slug} has no realtime API; the universal API is at /v1/{{account}}/{{gateway}}"
        return _Refusal(404, ErrorCode.INVALID_PROVIDER, message, [])
    asked = parse_settings(offer.headers)
    if isinstance(asked, EnvelopeFault):
        return _Refusal(asked.status, asked.code, asked.message, [])
    settings = merge_settings(asked, gateway.settings)
    stored = gateway.keys.get(provider.slug, {})
    plan = plan_realtime(
        provider,
        rest=rest,
        account=route.account,
        headers=offer.headers,
        subprotocols=offer.subprotocols,
        stored_keys=stored,
        alias=settings.key_alias,
        gateway_tokens=gateway.tokens,
    )
    if isinstance(plan, EnvelopeFault):
        return _Refusal(plan.status, plan.code, plan.message, [])
    return RealtimeUpgrade(
        route.account,
        gateway,
        provider.slug,
        plan,
        offer,
        tuple(stored.values()),
        settings.request_timeout_seconds,
        settings.collect_log is not False,
    )


def _unauthorized() -> _Refusal:
    return _Refusal(401, ErrorCode.UNAUTHORIZED, "Unauthorized", [])


def _refuse(http: H1Connection, refusal: _Refusal, method: bytes) -> None:
    _respond(
        http, refusal.status, gateway_error(refusal.status, refusal.code, refusal.message), refusal.headers, method
    )


def _respond(http: H1Connection, status: int, body: bytes, headers: Headers, method: bytes) -> None:
    fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body)), *headers]
    http.send_response(Response(status, fields))
    if method != b"HEAD":
        http.send_data(body)
    http.end_message()
