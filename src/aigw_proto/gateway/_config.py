"""What the operator decides: which gateways exist, who may use them, which providers stand behind them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from .._kinds import record
from .._limits import GatewayLimits, HttpLimits, SseLimits, WebSocketLimits
from ..envelopes import StepSettings
from ..providers import ProviderTable
from ..ws import DeflatePolicy

__all__ = ["GatewayConfig", "GatewaySettings", "secrets_of"]


@record
class GatewaySettings:
    """One gateway, served at `/v1/{account}/{gateway_id}`.

    `account` is one account id, or `*` for any. With `authentication`, an upgrade needs one of `tokens`. `keys` holds
    stored provider keys: provider slug, then alias, then the secret. `strict` prints the plain documented frames,
    without additive keys. Two more switches are for tests of parity with the hosted service: `forward_done` sends a
    stream's closing `[DONE]` as a frame of its own, `bare_errors` leaves all metadata but `contentType` out of error
    frames, so that they cannot be told apart. `settings` are the defaults for a request that names none.
    """

    account: str = "*"
    gateway_id: str = "default"
    authentication: bool = False
    tokens: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    keys: Mapping[str, Mapping[str, str]] = dataclasses.field(default_factory=dict[str, Mapping[str, str]], repr=False)
    strict: bool = False
    forward_done: bool = False
    bare_errors: bool = False
    settings: StepSettings = dataclasses.field(default_factory=StepSettings)


def secrets_of(*gateways: GatewaySettings) -> tuple[str, ...]:
    """Return everything that no log may hold: tokens and stored keys."""
    keys = (key for gateway in gateways for aliases in gateway.keys.values() for key in aliases.values())
    return (*(token for gateway in gateways for token in gateway.tokens), *keys)


@record
class GatewayConfig:
    """Everything a `GatewayEngine` is told. `deflate` None declines permessage-deflate on client connections."""

    gateways: tuple[GatewaySettings, ...]
    providers: ProviderTable
    limits: GatewayLimits = dataclasses.field(default_factory=GatewayLimits)
    http: HttpLimits = dataclasses.field(default_factory=HttpLimits)
    websocket: WebSocketLimits = dataclasses.field(default_factory=WebSocketLimits)
    sse: SseLimits = dataclasses.field(default_factory=SseLimits)
    deflate: DeflatePolicy | None = None

    def find(self, account: str, gateway_id: str) -> GatewaySettings | None:
        """Return the gateway of that account, preferring an exact account over `*`; None when there is none."""
        wildcard: GatewaySettings | None = None
        for gateway in self.gateways:
            if gateway.gateway_id == gateway_id:
                if gateway.account == account:
                    return gateway
                if gateway.account == "*":
                    wildcard = gateway
        return wildcard
