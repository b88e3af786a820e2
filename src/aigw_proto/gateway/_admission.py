"""What is checked before anything is sent to a provider: the gateway token at the upgrade, then each request.

Everything about a request that can be known to fail is found here, for every fallback step, so that a mistake in the
third step is not discovered on the day the first two fail.
"""

from __future__ import annotations

import dataclasses
import hmac
from collections.abc import Sequence

from .._kinds import record
from ..envelopes import EnvelopeFault, ErrorCode, Step, StepSettings, UniversalCreate, encode_headers, merge_settings
from ..http import Headers, Request
from ..providers import Target, apply_credential, brings_key, holds_token, join_target, select_key, strip_token
from ..ws import UpgradeOffer
from ._config import GatewayConfig, GatewaySettings

__all__ = ["PreparedStep", "authenticate", "prepare"]

_AUTHORIZATION = b"cf-aig-authorization"
_BEARER = b"bearer "


@record
class PreparedStep:
    """One step, ready to be sent: where to, with what head and body, and how hard to try."""

    provider: str
    endpoint: str
    target: Target
    request: Request
    body: bytes
    settings: StepSettings


def authenticate(gateway: GatewaySettings, offer: UpgradeOffer, secrets: Sequence[str] = ()) -> bool:
    """Say whether the upgrade carries a token of this gateway, in the header or in a subprotocol item.

    `secrets` are what else may be one: many programs know one place for a key, that of the provider's.
    """
    if not gateway.authentication:
        return True
    candidates = [_bare(value) for name, value in offer.headers if name == _AUTHORIZATION]
    prefix = _AUTHORIZATION.decode() + "."
    candidates += [item[len(prefix) :].encode() for item in offer.subprotocols if item[: len(prefix)].lower() == prefix]
    candidates += [secret.encode("utf-8", "replace") for secret in secrets]
    known = [token.encode() for token in gateway.tokens if token]
    # Every pair is compared, each in constant time: how long it takes tells nothing about the tokens.
    return sum(hmac.compare_digest(candidate, token) for candidate in candidates for token in known) > 0


def prepare(
    config: GatewayConfig,
    gateway: GatewaySettings,
    account: str,
    defaults: StepSettings,
    create: UniversalCreate,
) -> list[PreparedStep] | EnvelopeFault:
    """Resolve every step to a target, a head and a body, or say what is wrong with the request.

    `defaults` are the settings of the upgrade request over those of the gateway; those of a step go before both.
    """
    prepared: list[PreparedStep] = []
    for index, step in enumerate(create.steps):
        where = "request" if len(create.steps) == 1 else f"request[{index}]"
        result = _prepare_step(config, gateway, account, defaults, step, where)
        if isinstance(result, EnvelopeFault):
            return dataclasses.replace(result, event_id=create.event_id)
        prepared.append(result)
    return prepared


def _prepare_step(
    config: GatewayConfig, gateway: GatewaySettings, account: str, defaults: StepSettings, step: Step, where: str
) -> PreparedStep | EnvelopeFault:
    provider = config.providers.find(step.provider)
    if provider is None:
        message = f"Invalid provider: {where}.provider names no provider of this gateway: {step.provider[:100]!r}"
        return EnvelopeFault(400, ErrorCode.INVALID_PROVIDER, message)
    endpoint = strip_token(provider, step.endpoint, gateway_tokens=gateway.tokens)
    if holds_token(endpoint, gateway.tokens):
        message = f"{where}.endpoint: holds a token of this gateway, which is not for the provider"
        return EnvelopeFault(400, ErrorCode.INVALID_ENDPOINT, message)
    target = join_target(provider, endpoint, account=account)
    if isinstance(target, str):
        return EnvelopeFault(400, ErrorCode.INVALID_ENDPOINT, f"{where}.endpoint: {target}")
    settings = merge_settings(step.settings, defaults)
    tokens = gateway.tokens
    if brings_key(provider, step.headers, gateway_tokens=tokens, endpoint=endpoint):
        key = None  # it goes before the stored ones, so it does not matter which of them the client could have had
    else:
        selected = select_key(provider.slug, gateway.keys.get(provider.slug, {}), settings.key_alias)
        if isinstance(selected, EnvelopeFault):
            return selected
        key = selected
    fields = apply_credential(provider, step.headers, stored_key=key, gateway_tokens=tokens, endpoint=endpoint)
    headers = encode_headers(fields)
    request = Request(b"POST", target.target, _complete(headers, target, len(step.query)))
    return PreparedStep(step.provider, step.endpoint, target, request, step.query, settings)


def _complete(headers: Headers, target: Target, body_bytes: int) -> Headers:
    names = {name for name, _ in headers}
    complete: Headers = [(b"host", target.host_header), *headers]
    if b"content-type" not in names:
        complete.append((b"content-type", b"application/json"))
    if b"user-agent" not in names:
        complete.append((b"user-agent", b"aigw"))  # some providers refuse requests without one
    # Payloads go into frames as they come, so they have to come without a content coding (RFC 9110 section 12.5.3).
    complete.append((b"accept-encoding", b"identity"))
    complete.append((b"content-length", b"%d" % body_bytes))
    return complete


def _bare(value: bytes) -> bytes:
    return value[len(_BEARER) :].strip() if value[: len(_BEARER)].lower() == _BEARER else value.strip()
