"""What differs between providers, as data."""

from __future__ import annotations

from ._address import BaseUrl, is_private_host, parse_base_url
from ._credentials import (
    apply_credential,
    brings_key,
    hide_tokens,
    holds_token,
    select_key,
    strip_token,
)
from ._table import CredentialForm, PathRule, Provider, ProviderTable
from ._target import Target, join_target

__all__ = [
    "BaseUrl",
    "CredentialForm",
    "PathRule",
    "Provider",
    "ProviderTable",
    "Target",
    "apply_credential",
    "brings_key",
    "hide_tokens",
    "holds_token",
    "is_private_host",
    "join_target",
    "parse_base_url",
    "select_key",
    "strip_token",
]
