"""The configuration of `aigw serve`: one TOML file, checked as a whole before anything starts.

`load()` returns a `Configuration` or raises `ConfigError` with every problem of the file, each naming the file, the
key's path and what was expected. Nothing has a hidden default elsewhere: limits come from `aigw_proto._limits`, the
built-in providers from `aigw_proto.providers`, and what the file says is laid over them.

`default()` is what runs without a file: gateway `default` of any account, without authentication; `aigw serve` then
lets its embedded mock answer for every provider.
"""

from __future__ import annotations

import ipaddress
import re
import tomllib
from typing import TYPE_CHECKING, TypeVar, get_args, get_type_hints

from aigw_proto._kinds import record
from aigw_proto._limits import GatewayLimits, HttpLimits, SseLimits, WebSocketLimits
from aigw_proto.envelopes import Backoff, StepSettings
from aigw_proto.gateway import GatewayConfig, GatewaySettings
from aigw_proto.providers import ProviderTable
from aigw_proto.ws import DeflatePolicy

from .._tls import BadTlsFile, server_context
from ._providers import read_providers
from ._toml import ConfigError, Problems, Table, suggestion

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = [
    "DEFAULT_PORT",
    "TRANSPORTS",
    "ConfigError",
    "Configuration",
    "ServerSettings",
    "default",
    "exposure",
    "load",
    "parse",
]

LimitsT = TypeVar("LimitsT")

TRANSPORTS = ("asyncio", "anyio", "trio", "sync")
DEFAULT_PORT = 8787
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_NAME_EXPECTED = "expected a letter or digit, then at most 63 letters, digits, dots, hyphens or underscores"
_MAX_DRAIN_SECONDS = 3600.0
_MAX_TIMEOUT_SECONDS = 86_400.0
_MAX_FILE_BYTES = 16 * 1024 * 1024


@record
class ServerSettings:
    """Where and how `aigw serve` listens; options on the command line win over it.

    With `tls_certificate` and `tls_key`, names of PEM files, it listens with TLS; there are both or none.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    transport: str = "asyncio"
    drain_seconds: float = 10.0
    permessage_deflate: bool = False
    tls_certificate: str | None = None
    tls_key: str | None = None


@record
class Configuration:
    """A whole configuration, checked. `warnings` are for the operator's eyes at start, beside those of `exposure()`."""

    server: ServerSettings
    gateway: GatewayConfig
    warnings: tuple[str, ...] = ()


def default() -> Configuration:
    """Return what runs without a file."""
    return Configuration(ServerSettings(), GatewayConfig((GatewaySettings(),), ProviderTable.builtin()))


def load(file: Path) -> Configuration:
    """Read and check `file`. Raises `ConfigError` with every problem found."""
    try:
        with file.open("rb") as stream:
            content = stream.read(_MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ConfigError([f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}"]) from None
    if len(content) > _MAX_FILE_BYTES:
        raise ConfigError([f"{file}: has more than {_MAX_FILE_BYTES} bytes"])
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError([f"{file}: is not UTF-8: byte {error.start} is wrong"]) from None
    return parse(text, file)


def parse(text: str, file: Path, environment: Mapping[str, str] | None = None) -> Configuration:
    """Check the text of a configuration. `file` is for messages, and relative paths begin in its folder.

    `environment` answers `env:NAME`; None means the process's. Raises `ConfigError` with every problem found.
    """
    problems = Problems(file, environment)
    try:
        document = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        # The message of the parser names line and column but never quotes the text around it, which may be a secret.
        raise ConfigError([f"{file}: is not valid TOML: {error}"]) from None
    root = Table("", document, problems)
    server = _read_server(root.table("server"))
    gateways = tuple(_read_gateway(table) for table in root.tables("gateway"))
    if not root.has("gateway"):
        problems.add("gateway", "is missing; expected at least one [[gateway]] table")
    providers, warnings = read_providers(root)
    limits, websocket, http, sse = _read_limits(root.table("limits"))
    root.finish()
    _check_gateways(gateways, providers, problems)
    problems.check()
    # Off unless asked for: it costs some 300 KiB a connection and more time than the frame itself.
    deflate = DeflatePolicy() if server.permessage_deflate else None
    config = GatewayConfig(gateways, providers, limits, http, websocket, sse, deflate)
    return Configuration(server, config, warnings)


def _read_server(table: Table) -> ServerSettings:
    base = ServerSettings()
    certificate, key = _read_tls(table)
    settings = ServerSettings(
        host=table.string("host", base.host),
        port=table.integer("port", base.port, least=0, most=65535),
        transport=table.choice("transport", TRANSPORTS, base.transport),
        drain_seconds=table.seconds("drain_seconds", base.drain_seconds, most=_MAX_DRAIN_SECONDS),
        permessage_deflate=table.boolean("permessage_deflate", base.permessage_deflate),
        tls_certificate=certificate,
        tls_key=key,
    )
    table.finish()
    return settings


def _read_tls(table: Table) -> tuple[str | None, str | None]:
    """Read the names of the certificate's and the key's file, and see whether the files are of any use."""
    certificate, key = (table.file(name) for name in ("tls_certificate", "tls_key"))
    if certificate is not None and key is not None:
        context = server_context(certificate, key)
        if isinstance(context, BadTlsFile):
            table.add("tls_key" if context.is_key else "tls_certificate", context.message)
    elif certificate is not None and not table.has("tls_key"):
        table.add("tls_key", "is missing; expected the file of the private key that belongs to tls_certificate")
    elif key is not None and not table.has("tls_certificate"):
        table.add("tls_certificate", "is missing; expected the file of the certificate that belongs to tls_key")
    return certificate, key


def _read_gateway(table: Table) -> GatewaySettings:
    account = table.string("account", "*")
    if account != "*" and not _NAME.fullmatch(account):
        table.add("account", f'{_NAME_EXPECTED}; or "*" for any account')
    gateway_id = table.string("id", required=True)
    if gateway_id and not _NAME.fullmatch(gateway_id):
        table.add("id", _NAME_EXPECTED)
    authentication = table.boolean("authentication", default=True)
    tokens = table.secrets("tokens")
    if any(" " in token for token in tokens):
        table.add("tokens", "expected tokens without spaces")
    if authentication and not tokens and not table.has("tokens"):
        table.add("tokens", "is missing; expected at least one secret, or authentication = false")
    elif authentication and table.is_empty("tokens"):
        table.add("tokens", "expected at least one secret, or authentication = false")
    keys = _read_keys(table.table("keys"))
    settings = GatewaySettings(
        account=account,
        gateway_id=gateway_id,
        authentication=authentication,
        tokens=tokens,
        keys=keys,
        strict=table.boolean("strict", default=False),
        forward_done=table.boolean("forward_done", default=False),
        bare_errors=table.boolean("bare_errors", default=False),
        settings=_read_step_settings(table),
    )
    table.finish()
    return settings


def _read_keys(table: Table) -> dict[str, dict[str, str]]:
    keys: dict[str, dict[str, str]] = {}
    for provider in table.names():
        aliases = table.table(provider)
        keys[provider] = {alias: aliases.secret(alias) for alias in aliases.names()}
        for alias in aliases.names():
            if not _NAME.fullmatch(alias):
                aliases.add(alias, f"an alias: {_NAME_EXPECTED}")
    return keys


def _read_step_settings(table: Table) -> StepSettings:
    most = GatewayLimits()
    backoff = table.choice("retry_backoff", [kind.value for kind in Backoff], None)
    return StepSettings(
        request_timeout_seconds=table.seconds("request_timeout_seconds", None, least=0.001, most=_MAX_TIMEOUT_SECONDS),
        max_attempts=table.integer("retry_max_attempts", None, least=1, most=most.max_attempts),
        retry_delay_seconds=table.seconds("retry_delay_seconds", None, most=most.max_retry_delay_seconds),
        backoff=None if backoff is None else Backoff(backoff),
        collect_log=table.boolean("collect_logs", None),
    )


def _read_limits(table: Table) -> tuple[GatewayLimits, WebSocketLimits, HttpLimits, SseLimits]:
    websocket = _read_bounds(table.table("websocket"), WebSocketLimits)
    http = _read_bounds(table.table("http"), HttpLimits)
    sse = _read_bounds(table.table("sse"), SseLimits)
    limits = _read_bounds(table, GatewayLimits)
    for name, low, high in (
        ("client", limits.client_low_water_bytes, limits.client_high_water_bytes),
        ("realtime", limits.realtime_low_water_bytes, limits.realtime_high_water_bytes),
    ):
        if low > high:
            table.add(f"{name}_low_water_bytes", f"expected at most {name}_high_water_bytes, {high}")
    return limits, websocket, http, sse


def _read_bounds(table: Table, make: Callable[..., LimitsT]) -> LimitsT:
    """Read one record of limits: every key is optional and named as the record's field."""
    base = make()
    values: dict[str, object] = {}
    for name, kind in get_type_hints(make).items():
        default: object = getattr(base, name)
        if kind is int:
            values[name] = table.integer(name, default, least=1, most=(1 << 63) - 1)
        elif type(None) in get_args(kind) and table.is_false(name):
            values[name] = None
        else:
            values[name] = table.seconds(name, default, least=0.001)
    table.finish()
    return make(**values)


def _check_gateways(gateways: tuple[GatewaySettings, ...], providers: ProviderTable, problems: Problems) -> None:
    """Check what only the whole document shows: gateways that hide each other, keys for providers that do not exist."""
    seen: dict[tuple[str, str], int] = {}
    for index, gateway in enumerate(gateways):
        first = seen.setdefault((gateway.account, gateway.gateway_id), index)
        if first != index:
            problems.add(f"gateway[{index}].id", f"gateway[{first}] has the same account and id")
        for slug in gateway.keys:
            if providers.find(slug) is None:
                known = suggestion(slug, providers.slugs)
                problems.add(f"gateway[{index}].keys.{slug}", f"expected the name of a provider{known}")


def exposure(configuration: Configuration) -> list[str]:
    """Return warnings of what everybody who reaches the server may use."""
    host = configuration.server.host
    if _is_loopback(host):
        return []
    return [
        f"gateway {gateway.gateway_id} has stored keys and no authentication, and {host} is not a loopback "
        "address: whoever reaches the port can spend them"
        for gateway in configuration.gateway.gateways
        if gateway.keys and not gateway.authentication
    ]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
