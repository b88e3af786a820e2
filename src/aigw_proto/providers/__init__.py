"""What differs between providers, as data."""

from __future__ import annotations

from ._address import BaseUrl, is_private_host, parse_base_url, parse_realtime_url
from ._credentials import (
    apply_credential,
    brings_key,
    hide_tokens,
    holds_token,
    select_key,
    strip_token,
)
from ._dialect import Dialect
from ._realtime import RealtimePlan, plan_realtime
from ._realtime_credentials import choose_subprotocol, offered_secrets
from ._site import KeySlots, RealtimeRule, RealtimeSite
from ._table import CredentialForm, PathRule, Provider, ProviderTable
from ._target import Target, join_target

__all__ = [
    "BaseUrl",
    "CredentialForm",
    "Dialect",
    "KeySlots",
    "PathRule",
    "Provider",
    "ProviderTable",
    "RealtimePlan",
    "RealtimeRule",
    "RealtimeSite",
    "Target",
    "apply_credential",
    "brings_key",
    "choose_subprotocol",
    "hide_tokens",
    "holds_token",
    "is_private_host",
    "join_target",
    "offered_secrets",
    "parse_base_url",
    "parse_realtime_url",
    "plan_realtime",
    "select_key",
    "strip_token",
]
