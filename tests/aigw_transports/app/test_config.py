from __future__ import annotations

from pathlib import Path

import pytest

from aigw_proto.envelopes import Backoff, StepSettings
from aigw_proto.providers import BaseUrl
from aigw_transports.app.config import ConfigError, Configuration, default, exposure, load, parse
from support import certificates

FILE = Path("folder/aigw.toml")
GATEWAY = '[[gateway]]\nid = "g"\nauthentication = false\n'


def read(text: str, **environment: str) -> Configuration:
    return parse(text, FILE, environment)


def problems(text: str, **environment: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        parse(text, FILE, environment)
    assert str(caught.value) == "\n".join(caught.value.problems)
    for line in caught.value.problems:
        assert line.startswith("folder/aigw.toml: ")
    return [line.removeprefix("folder/aigw.toml: ") for line in caught.value.problems]


def problem(text: str, **environment: str) -> str:
    (line,) = problems(text, **environment)
    return line


FULL = """
[server]
host = "0.0.0.0"
port = 0
transport = "trio"
drain_seconds = 2
permessage_deflate = true

[[gateway]]
account = "acme"
id = "my-gateway"
authentication = true
tokens = ["literal", "env:TOKEN"]
strict = true
request_timeout_seconds = 1.5
retry_max_attempts = 3
retry_delay_seconds = 0
retry_backoff = "exponential"
collect_logs = false
keys.openai = { default = "env:KEY", spare = "k2" }
keys.custom-my-llm = { default = "k3" }

[[gateway]]
id = "open"
authentication = false

[provider.openai]
base_url = "http://127.0.0.1:9000/v1"
realtime_url = "ws://127.0.0.1:9002/v2"
permessage_deflate = true

[provider.google-ai-studio]
permessage_deflate = false

[custom_provider.my-llm]
base_url = "http://127.0.0.1:9001/base"
realtime_url = "wss://[::1]:9003/socket"
permessage_deflate = true
allow_private_address = true
credential_header = "X-Api-Key"

[limits]
max_in_flight = 1000
stuck_timeout_seconds = 5
realtime_idle_timeout_seconds = false
realtime_session_timeout_seconds = 3600
realtime_max_message_bytes = 1_000_000

[limits.websocket]
ping_interval_seconds = false
max_message_bytes = 1024

[limits.http]
max_head_bytes = 2048

[limits.sse]
max_line_bytes = 4096
"""


def test_every_key_reaches_its_place() -> None:
    configuration = read(FULL, TOKEN="from-environment", KEY="sk-1")
    server, config = configuration.server, configuration.gateway
    assert (server.host, server.port, server.transport, server.drain_seconds) == ("0.0.0.0", 0, "trio", 2.0)
    first, second = config.gateways
    assert (first.account, first.gateway_id, first.authentication, first.strict) == ("acme", "my-gateway", True, True)
    assert first.tokens == ("literal", "from-environment")
    assert first.keys == {"openai": {"default": "sk-1", "spare": "k2"}, "custom-my-llm": {"default": "k3"}}
    assert first.settings == StepSettings(
        request_timeout_seconds=1.5,
        max_attempts=3,
        retry_delay_seconds=0.0,
        backoff=Backoff.EXPONENTIAL,
        collect_log=False,
    )
    assert (second.account, second.gateway_id, second.settings) == ("*", "open", StepSettings())
    openai, custom = config.providers.find("openai"), config.providers.find("custom-my-llm")
    assert openai is not None
    assert custom is not None
    assert (openai.base.host, openai.base.port, openai.base.path) == ("127.0.0.1", 9000, "/v1")
    assert (custom.base.port, custom.credential.header, custom.credential.prefix) == (9001, "x-api-key", "")
    assert openai.realtime is not None
    assert custom.realtime is not None
    assert openai.realtime.base == BaseUrl(is_secure=False, host="127.0.0.1", port=9002, path="/v2")
    assert custom.realtime.base == BaseUrl(is_secure=True, host="::1", port=9003, path="/socket")
    assert (openai.deflate, custom.deflate) == (True, True)
    assert custom.key_headers[0] == "x-api-key"
    assert len(set(custom.key_headers)) == len(custom.key_headers)
    assert config.limits.max_in_flight == 1000
    assert config.limits.stuck_timeout_seconds == 5.0
    assert config.limits.realtime_idle_timeout_seconds is None
    assert config.limits.realtime_session_timeout_seconds == 3600.0
    assert config.limits.realtime_max_message_bytes == 1_000_000
    assert config.websocket.ping_interval_seconds is None
    assert config.websocket.max_message_bytes == 1024
    assert config.http.max_head_bytes == 2048
    assert config.sse.max_line_bytes == 4096
    assert config.deflate is not None
    assert configuration.warnings == ()


def test_defaults() -> None:
    configuration = default()
    (gateway,) = configuration.gateway.gateways
    assert (gateway.account, gateway.gateway_id, gateway.authentication) == ("*", "default", False)
    assert configuration.server.host == "127.0.0.1"
    assert configuration.server.port == 8787
    assert configuration.gateway.deflate is None
    assert read(GATEWAY).server == configuration.server
    assert (configuration.server.tls_certificate, configuration.server.tls_key) == (None, None)


def test_secrets_are_in_no_representation() -> None:
    assert "sk-1" not in repr(read(FULL, TOKEN="hush", KEY="sk-1"))
    assert "hush" not in repr(read(FULL, TOKEN="hush", KEY="sk-1"))


def test_all_problems_at_once() -> None:
    found = problems(
        '[server]\nport = "x"\nhots = "h"\n[[gateway]]\nid = 1\n[provider.opnai]\n[limits]\nmax_links = 0\n'
    )
    own = "your own go into [custom_provider.NAME]"
    assert found == [
        "server.port: expected an integer from 0 to 65535, got a string",
        'server.hots: unknown key; did you mean "host"?',
        "gateway[0].id: expected a string, got an integer",
        "gateway[0].tokens: is missing; expected at least one secret, or authentication = false",
        f'provider.opnai: expected the name of a built-in provider; did you mean "openai"?; {own}',
        "limits.max_links: expected an integer, at least 1, got 0",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "gateway: is missing; expected at least one [[gateway]] table"),
        ("gateway = 1", "gateway: expected an array of tables ([[gateway]]), got an integer"),
        ('[gateway]\nid = "g"', "gateway: expected an array of tables; write [[gateway]] with two brackets"),
        ("gateway = [1]", "gateway[0]: expected a table, got an integer"),
        ("[[gateway]]\nauthentication = false", "gateway[0].id: is missing; expected a string"),
        (GATEWAY + "strict = 1", "gateway[0].strict: expected true or false, got an integer"),
        (GATEWAY + "strict = 2026-01-01", "gateway[0].strict: expected true or false, got a date or time"),
        (GATEWAY + 'retry_backoff = "linaer"', 'got "linaer"; did you mean "linear"?'),
        (GATEWAY + "retry_backoff = 1", 'expected one of "constant", "linear", "exponential", got an integer'),
        (GATEWAY + "retry_max_attempts = 6", "expected an integer from 1 to 5, got 6"),
        (GATEWAY + "retry_max_attempts = true", "expected an integer from 1 to 5, got a boolean"),
        (GATEWAY + 'retry_delay_seconds = "1"', "expected a number of seconds from 0 to 60, got a string"),
        (GATEWAY + "retry_delay_seconds = nan", "expected a number of seconds from 0 to 60, got nan"),
        (GATEWAY + "request_timeout_seconds = 0", "expected a number of seconds from 0.001 to 86400, got 0"),
        (GATEWAY + 'account = "a/b"', "gateway[0].account: expected a letter or digit"),
        (GATEWAY + 'account = ""', "gateway[0].account: expected a string that is not empty"),
        ('[[gateway]]\nid = "-"\nauthentication = false', "gateway[0].id: expected a letter or digit"),
        ('[[gateway]]\nid = "g"\ntokens = []', "gateway[0].tokens: expected at least one secret, or auth"),
        ('[[gateway]]\nid = "g"\ntokens = "t"', "gateway[0].tokens: expected an array of secrets, got a string"),
        ('[[gateway]]\nid = "g"\ntokens = [1]', 'gateway[0].tokens[0]: expected a secret: a string, "env:NAME" or'),
        ('[[gateway]]\nid = "g"\ntokens = ["a b"]', "gateway[0].tokens: expected tokens without spaces"),
        (GATEWAY + 'keys.openai = "k"', "gateway[0].keys.openai: expected a table, got a string"),
        (GATEWAY + "keys.openai.default = 1", "gateway[0].keys.openai.default: expected a secret"),
        (GATEWAY + 'keys.openai."a b" = "k"', 'gateway[0].keys.openai."a b": an alias: expected a letter'),
        (GATEWAY + 'keys.opnai.default = "k"', "gateway[0].keys.opnai: expected the name of a provider; did you mean"),
        (GATEWAY + GATEWAY, "gateway[1].id: gateway[0] has the same account and id"),
        (GATEWAY + '[server]\ntransport = "uvloop"', 'server.transport: expected one of "asyncio", "anyio", "trio"'),
        (GATEWAY + "[server]\nport = 65536", "server.port: expected an integer from 0 to 65535, got 65536"),
        (GATEWAY + '[server]\nhost = "a\\nb"', "server.host: expected a string that is not empty and has no control"),
        (GATEWAY + '[server]\ntls_key = "k"', "server.tls_certificate: is missing; expected the file of the cert"),
        (GATEWAY + '[server]\ntls_certificate = "c"', "server.tls_key: is missing; expected the file of the private"),
        (GATEWAY + '[server]\ntls_certificate = "c"\ntls_key = 1', "server.tls_key: expected a string, got an integer"),
        (
            GATEWAY + '[server]\ntls_certificate = ""\ntls_key = "k"',
            "server.tls_certificate: expected a string that is",
        ),
        (
            GATEWAY + '[server]\ntls_certificate = "c"\ntls_key = "k"',
            "server.tls_certificate: folder/c cannot be read: No such file or directory",
        ),
        (GATEWAY + "[provider]\nopenai = 1", "provider.openai: expected a table, got an integer"),
        (GATEWAY + '[provider.openai]\nbase_url = "ftp://x"', "provider.openai.base_url: expected a URL that begins"),
        (GATEWAY + "[provider.openai]\nbase_url = 1", "provider.openai.base_url: expected a string, got an integer"),
        (
            GATEWAY + '[provider.openai]\nrealtime_url = "https://x"',
            "realtime_url: expected a URL that begins with wss://",
        ),
        (
            GATEWAY + "[provider.openai]\nrealtime_url = 1",
            "provider.openai.realtime_url: expected a string, got an integer",
        ),
        (
            GATEWAY + "[provider.openai]\npermessage_deflate = 1",
            "openai.permessage_deflate: expected true or false, got",
        ),
        (
            GATEWAY + "[provider.groq]\npermessage_deflate = true",
            "groq.permessage_deflate: expected realtime_url beside",
        ),
        (GATEWAY + '[provider.openai]\ntls_ca = "missing.pem"', "provider.openai.tls_ca: folder/missing.pem cannot be"),
        (GATEWAY + "[custom_provider.x]", "custom_provider.x.base_url: is missing; expected a string"),
        (GATEWAY + '[custom_provider.x]\nbase_url = "http://e.org"', "custom_provider.x.base_url: expected https://"),
        (GATEWAY + '[custom_provider.x]\nbase_url = "https://10.0.0.1"', "10.0.0.1 is a private address"),
        (
            GATEWAY + '[custom_provider.x]\nbase_url = "https://e.org"\nrealtime_url = "ws://e.org"',
            "custom_provider.x.realtime_url: expected wss://, or allow_private_address = true",
        ),
        (
            GATEWAY + '[custom_provider.x]\nbase_url = "https://e.org"\nrealtime_url = "wss://10.0.0.1"',
            "custom_provider.x.realtime_url: 10.0.0.1 is a private address",
        ),
        (
            GATEWAY + '[custom_provider.x]\nbase_url = "https://e.org"\npermessage_deflate = true',
            "custom_provider.x.permessage_deflate: expected realtime_url beside it",
        ),
        (
            GATEWAY + '[custom_provider."a b"]\nbase_url = "https://e.org"',
            'custom_provider."a b": expected a name of up',
        ),
        (
            GATEWAY + '[custom_provider.x]\nbase_url = "https://e.org"\ncredential_prefix = "Bearer "',
            "custom_provider.x.credential_prefix: expected credential_header beside it",
        ),
        (
            GATEWAY + '[custom_provider.x]\nbase_url = "https://e.org"\ncredential_header = "cf-aig-key"',
            "custom_provider.x.credential_header: expected the name of a header",
        ),
        (
            GATEWAY
            + '[custom_provider.x]\nbase_url = "https://e.org"\ncredential_header = "k"\ncredential_prefix = "é"',
            "custom_provider.x.credential_prefix: expected ASCII text",
        ),
        (GATEWAY + "[limits]\nmax_in_fligth = 1", 'limits.max_in_fligth: unknown key; did you mean "max_in_flight"?'),
        (GATEWAY + "[limits]\nstuck_timeout_seconds = false", "expected a number of seconds from 0.001"),
        (GATEWAY + "[limits.websocket]\nping_interval_seconds = 0", "expected a number of seconds from 0.001"),
        (GATEWAY + "[limits.http]\nx = 1", "limits.http.x: unknown key; known keys: head_timeout_seconds, "),
        (GATEWAY + "[limits]\nclient_low_water_bytes = 999999999", "limits.client_low_water_bytes: expected at most"),
        (
            GATEWAY + "[limits]\nrealtime_low_water_bytes = 200_000",
            "limits.realtime_low_water_bytes: expected at most realtime_high_water_bytes, 131072",
        ),
        (GATEWAY + "[limits]\nrealtime_open_timeout_seconds = false", "expected a number of seconds from 0.001"),
        ("x = ", "is not valid TOML: "),
        ("x = 1\n" + GATEWAY, "x: unknown key; known keys: custom_provider, gateway, limits, provider, server"),
    ],
)
def test_each_mistake_names_the_key_and_what_was_expected(text: str, expected: str) -> None:
    assert expected in problem(text)


@pytest.mark.parametrize(
    ("secret", "expected"),
    [
        ("env:MISSING", "environment variable MISSING is not set"),
        ("env:EMPTY", "environment variable EMPTY is empty"),
        ("env:", "environment variable (no name) is not set"),
        ("env:A\\nB\ufeff", 'environment variable "A\\nB\\ufeff" is not set'),
        ("env:ODD", "environment variable ODD must be printable ASCII"),
        ("file:missing.txt", 'file "missing.txt" cannot be read: No such file or directory'),
        ("file:", "file (no name) cannot be read"),
        ("file:a\\u0000b", "has a name with control characters"),
        ("", "the secret is empty"),
        (" padded", "the secret must be printable ASCII without white space around it"),
        ("line\\nbreak", "the secret must be printable ASCII"),
    ],
)
def test_secrets_that_cannot_be_had(secret: str, expected: str) -> None:
    text = f'[[gateway]]\nid = "g"\ntokens = ["{secret}"]\n'
    line = problem(text, EMPTY="", ODD="höush")
    assert line.startswith("gateway[0].tokens[0]: ")
    assert expected in line
    for hidden in ("höush", "padded", "line"):
        assert hidden not in line


def test_secret_files_are_relative_to_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "token.txt").write_text("  from-file\n")
    file = tmp_path / "aigw.toml"
    file.write_text('[[gateway]]\nid = "g"\ntokens = ["file:token.txt"]\n')
    assert load(file).gateway.gateways[0].tokens == ("from-file",)
    (tmp_path / "token.txt").write_bytes(b"x" * 65537)
    with pytest.raises(ConfigError, match="has more than 65536 bytes"):
        load(file)
    (tmp_path / "token.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="must be printable ASCII"):
        load(file)


def test_certificates_are_looked_at(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    file = tmp_path / "aigw.toml"
    file.write_text(GATEWAY + '[provider.openai]\ntls_ca = "ca.pem"\n')
    with pytest.raises(ConfigError, match="expected a PEM file with certificates"):
        load(file)


def test_certificates_need_tls(tmp_path: Path, certificate_file: Path) -> None:
    file = tmp_path / "aigw.toml"
    file.write_text(GATEWAY + f'[provider.openai]\ntls_ca = "{certificate_file}"\n')
    openai = load(file).gateway.providers.find("openai")
    assert openai is not None
    assert openai.tls_ca == str(certificate_file)
    file.write_text(GATEWAY + f'[provider.openai]\nbase_url = "http://h"\ntls_ca = "{certificate_file}"\n')
    with pytest.raises(ConfigError, match=r"provider\.openai\.tls_ca: expected a base_url with https"):
        load(file)


def test_a_server_with_tls(tmp_path: Path) -> None:
    certificate, key = certificates.write_files(tmp_path)
    file = tmp_path / "aigw.toml"
    file.write_text(GATEWAY + '[server]\ntls_certificate = "server.pem"\ntls_key = "server.key"\n')
    server = load(file).server
    assert (server.tls_certificate, server.tls_key) == (certificate, key)
    file.write_text(GATEWAY + '[server]\ntls_certificate = "server.pem"\ntls_key = "server.pem"\n')
    with pytest.raises(ConfigError) as caught:
        load(file)
    assert caught.value.problems == (
        f"{file}: server.tls_key: expected a PEM file with a private key; {certificate} is none",
    )


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: cannot be read: No such file or directory"):
        load(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)
    (tmp_path / "bad.toml").write_bytes(b"a\xff")
    with pytest.raises(ConfigError, match="is not UTF-8: byte 1 is wrong"):
        load(tmp_path / "bad.toml")
    with (tmp_path / "big.toml").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    with pytest.raises(ConfigError, match="has more than 16777216 bytes"):
        load(tmp_path / "big.toml")


def test_deep_nesting_is_a_problem_and_not_a_crash() -> None:
    assert "is not valid TOML" in problem("x = " + "[" * 100_000)


def test_a_literal_secret_is_in_no_message() -> None:
    text = (
        '[[gateway]]\nid = "g"\ntokens = ["sesame-1"]\nkeys.openai.default = "sesame-2"\nkeys.x.default = "sesame-3"\n'
    )
    assert "sesame" not in "".join(problems(text + "nonsense = true\n"))


def test_dangerous_settings_are_warned_of() -> None:
    text = '[server]\nhost = "0.0.0.0"\n' + GATEWAY + 'keys.openai.default = "k"\n'
    assert "whoever reaches the port can spend them" in exposure(read(text))[0]
    assert exposure(read(text.replace("0.0.0.0", "localhost"))) == []
    assert exposure(read(text.replace("0.0.0.0", "::1"))) == []
    text = GATEWAY + '[provider.openai]\nbase_url = "http://example.org/v1"\n'
    warning = "provider.openai: keys for openai are sent to example.org without encryption"
    assert read(text).warnings == (warning,)
    assert read(GATEWAY + '[provider.openai]\nrealtime_url = "ws://example.org/v1"\n').warnings == (warning,)
    assert read(text + 'realtime_url = "ws://example.org/v1"\n').warnings == (warning,)
    assert read(text + 'realtime_url = "ws://10.1.1.1/v1"\n').warnings == (warning,)
