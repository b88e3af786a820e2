from __future__ import annotations

from aigw_proto.gateway import GatewayConfig, GatewaySettings
from aigw_proto.providers import ProviderTable

SECRETS = GatewaySettings(tokens=("token-1",), keys={"openai": {"default": "sk-1"}})


def config(*gateways: GatewaySettings) -> GatewayConfig:
    return GatewayConfig(gateways, ProviderTable.builtin())


def test_an_exact_account_goes_before_any() -> None:
    wildcard, exact = GatewaySettings(account="*"), GatewaySettings(account="acc")
    for order in ((wildcard, exact), (exact, wildcard)):
        assert config(*order).find("acc", "default") is exact
        assert config(*order).find("other", "default") is wildcard


def test_only_the_id_that_was_asked_for() -> None:
    each = GatewaySettings(gateway_id="mine")
    assert config(each).find("acc", "mine") is each
    assert config(each).find("acc", "default") is None
    assert config().find("acc", "default") is None


def test_another_account_has_no_gateway() -> None:
    assert config(GatewaySettings(account="acc")).find("other", "default") is None


def test_secrets_are_not_shown() -> None:
    text = repr(config(SECRETS))
    assert "token-1" not in text
    assert "sk-1" not in text
