"""Per-request settings: the `config` object of a step and the `cf-aig-*` request headers.

Both say the same things: milliseconds as JSON numbers there, as decimal text here. A value that cannot be understood
is a fault, never silently the default: a timeout that does not work is noticed only when it is needed. Headers of the
family that this gateway has no use for are left alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from typing import TypeAlias, TypeVar

import msgspec

from .._kinds import record
from ._errors import ErrorCode
from ._messages import Backoff, EnvelopeFault, StepSettings
from ._text import kind_of, shorten

__all__ = ["merge_settings", "parse_config", "parse_settings", "settings_from_fields"]

_MAX_ATTEMPTS = 5
_MAX_RETRY_DELAY_MILLISECONDS = 60_000
_MAX_ALIAS_CHARACTERS = 128

_NUMBER = re.compile(r"[0-9]{1,15}(?:\.[0-9]{1,15})?(?:[eE][+-]?[0-9]{1,3})?")
_STRING = msgspec.json.Decoder(str)
_SLICES = msgspec.json.Decoder(dict[str, msgspec.Raw])

Reader: TypeAlias = Callable[[str], StepSettings | None]


@record
class _Setting:
    """One setting: its two names, how its text is read (None: not understood), and what was expected."""

    key: str | None
    header: str
    read: Reader
    expected: str
    json_kind: str = "a number"


def _number(text: str) -> float | None:
    value = float(text) if _NUMBER.fullmatch(text) else math.inf
    return value if math.isfinite(value) else None


def _read_request_timeout(text: str) -> StepSettings | None:
    value = _number(text)
    return StepSettings(request_timeout_seconds=value / 1000) if value else None


def _read_max_attempts(text: str) -> StepSettings | None:
    value = _number(text)
    if value is None or value != int(value) or not 1 <= value <= _MAX_ATTEMPTS:
        return None
    return StepSettings(max_attempts=int(value))


def _read_retry_delay(text: str) -> StepSettings | None:
    value = _number(text)
    if value is None or value > _MAX_RETRY_DELAY_MILLISECONDS:
        return None
    return StepSettings(retry_delay_seconds=value / 1000)


def _read_backoff(text: str) -> StepSettings | None:
    try:
        return StepSettings(backoff=Backoff(text))
    except ValueError:
        return None


def _read_key_alias(text: str) -> StepSettings | None:
    return StepSettings(key_alias=text) if 0 < len(text) <= _MAX_ALIAS_CHARACTERS else None


def _read_collect_log(text: str) -> StepSettings | None:
    value = {"true": True, "false": False}.get(text.lower())
    return None if value is None else StepSettings(collect_log=value)


_SETTINGS = (
    _Setting("requestTimeout", "cf-aig-request-timeout", _read_request_timeout, "milliseconds above 0"),
    _Setting("maxAttempts", "cf-aig-max-attempts", _read_max_attempts, f"a whole number from 1 to {_MAX_ATTEMPTS}"),
    _Setting(
        "retryDelay",
        "cf-aig-retry-delay",
        _read_retry_delay,
        f"milliseconds from 0 to {_MAX_RETRY_DELAY_MILLISECONDS}",
    ),
    _Setting("backoff", "cf-aig-backoff", _read_backoff, "constant, linear or exponential", json_kind="a string"),
    _Setting(None, "cf-aig-byok-alias", _read_key_alias, f"1 to {_MAX_ALIAS_CHARACTERS} characters"),
    _Setting(None, "cf-aig-collect-log", _read_collect_log, "true or false"),
)
_BY_KEY = {setting.key: setting for setting in _SETTINGS if setting.key}
_BY_HEADER = {setting.header: setting for setting in _SETTINGS}


def parse_config(text: memoryview | bytes, path: str) -> StepSettings | str:
    """Read a step's `config`: valid JSON of an object. A string says what is wrong; unknown keys are ignored."""
    settings = StepSettings()
    for key, raw in _SLICES.decode(text).items():
        setting = _BY_KEY.get(key)
        kind = kind_of(raw)
        if setting is None or kind == "null":  # programs print options that are not set as null
            continue
        if kind != setting.json_kind:
            return f"{path}.{key}: expected {setting.json_kind}, got {kind}"
        written = _STRING.decode(raw) if kind == "a string" else bytes(raw).decode()
        value = setting.read(written)
        if value is None:
            return f"{path}.{key}: expected {setting.expected}, got {shorten(written)}"
        settings = merge_settings(value, settings)
    return settings


def settings_from_fields(fields: Iterable[tuple[str, str]], path: str) -> StepSettings | str:
    """Read the `cf-aig-*` fields among `fields` (names in lower case); a string says what is wrong."""
    settings = StepSettings()
    for name, text in fields:
        setting = _BY_HEADER.get(name)
        if setting is None:
            continue
        value = setting.read(text.strip())
        if value is None:
            return f"{path}{name}: expected {setting.expected}, got {shorten(text)}"
        settings = merge_settings(value, settings)
    return settings


def parse_settings(headers: Iterable[tuple[bytes, bytes]]) -> StepSettings | EnvelopeFault:
    """Read the `cf-aig-*` headers of an upgrade request; they hold for every request on the socket."""
    fields = ((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in headers)
    settings = settings_from_fields(fields, "")
    if isinstance(settings, str):
        return EnvelopeFault(400, ErrorCode.INVALID_FIELD, settings)
    return settings


def merge_settings(specific: StepSettings, general: StepSettings) -> StepSettings:
    """Take each setting from `specific`, or from `general` where `specific` does not say."""
    return StepSettings(
        request_timeout_seconds=_first(specific.request_timeout_seconds, general.request_timeout_seconds),
        max_attempts=_first(specific.max_attempts, general.max_attempts),
        retry_delay_seconds=_first(specific.retry_delay_seconds, general.retry_delay_seconds),
        backoff=_first(specific.backoff, general.backoff),
        key_alias=_first(specific.key_alias, general.key_alias),
        collect_log=_first(specific.collect_log, general.collect_log),
    )


_T = TypeVar("_T")


def _first(specific: _T | None, general: _T | None) -> _T | None:
    return general if specific is None else specific
