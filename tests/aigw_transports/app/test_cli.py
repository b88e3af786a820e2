from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from aigw_proto.mock import MockFault, parse_fault
from aigw_transports.app import cli
from aigw_transports.app.config import Configuration
from aigw_transports.app.log import JsonLog, LogSink, TextLog
from support import certificates

if TYPE_CHECKING:
    from pathlib import Path


class Started:
    """What the command line would have started, newest last."""

    def __init__(self) -> None:
        self.configurations: list[Configuration] = []
        self.with_mock: list[bool] = []
        self.logs: list[LogSink] = []
        self.mocks: list[tuple[str, int, MockFault | None, str]] = []


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Started:
    calls = Started()

    def run_serve(configuration: Configuration, log: LogSink, *, with_mock: bool) -> int:
        calls.configurations.append(configuration)
        calls.logs.append(log)
        calls.with_mock.append(with_mock)
        return 0

    def run_mock(host: str, port: int, fault: MockFault | None, transport: str, log: LogSink) -> int:
        calls.mocks.append((host, port, fault, transport))
        calls.logs.append(log)
        return 0

    monkeypatch.setattr(cli, "run_serve", run_serve)
    monkeypatch.setattr(cli, "run_mock", run_mock)
    return calls


@pytest.mark.parametrize("command", [[], ["serve"], ["mock"], ["call"], ["demo"]])
def test_help(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main([*command, "--help"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out.startswith("usage: aigw")


def test_help_explains_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    complaint = parse_fault("?")
    assert isinstance(complaint, str)
    with pytest.raises(SystemExit):
        cli.main(["mock", "--help"])
    spec = capsys.readouterr().out.partition("SPEC is a list")[2]
    explained = re.findall(r"^  ([a-z_]+)(?:\[?=[A-Z]+\]?)? +\S", spec, re.MULTILINE)
    known = complaint.partition("known are ")[2].split(", ")
    assert explained == [name.removesuffix("=") for name in known]


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(["--version"])
    assert exit_info.value.code == 0
    assert re.fullmatch(r"aigw \d+\.\d+\.\d+\n", capsys.readouterr().out)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "required: COMMAND"),
        (["sreve"], "invalid choice: 'sreve'"),
        (["serve", "--port", "65536"], "expected a number from 0 to 65535, got '65536'"),
        (["serve", "--port", "²"], "expected a number from 0 to 65535"),
        (["serve", "--transport", "uvloop"], "invalid choice: 'uvloop'"),
        (["serve", "--drain-seconds", "nan"], "expected a number of seconds from 0 to 3600, got 'nan'"),
        (["serve", "--drain-seconds", "soon"], "expected a number of seconds from 0 to 3600, got 'soon'"),
        (["mock", "--fault", "statsu=1"], "unknown fault 'statsu'"),
    ],
)
def test_usage_errors(arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        cli.main(arguments)
    assert exit_info.value.code == 2
    assert expected in capsys.readouterr().err


def test_trio_has_to_be_installed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def find_nothing(name: str) -> None:
        assert name == "trio"

    monkeypatch.setattr("importlib.util.find_spec", find_nothing)
    with pytest.raises(SystemExit):
        cli.main(["serve", "--transport", "trio"])
    assert "trio is not installed; install aigw[trio]" in capsys.readouterr().err


def test_serve_without_a_file(started: Started) -> None:
    assert cli.main(["serve"]) == 0
    server = started.configurations[-1].server
    assert (server.host, server.port, server.transport, server.drain_seconds) == ("127.0.0.1", 8787, "asyncio", 10.0)
    assert started.with_mock == [True]
    assert isinstance(started.logs[-1], TextLog)


def test_options_win_over_the_file(started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "aigw.toml"
    file.write_text(
        '[server]\nhost = "0.0.0.0"\nport = 1\ntransport = "trio"\ndrain_seconds = 3\n'
        '[[gateway]]\nid = "g"\nauthentication = false\nkeys.openai.default = "k"\n'
    )
    assert cli.main(["serve", "--config", str(file)]) == 0
    server = started.configurations[-1].server
    assert (server.host, server.port, server.transport, server.drain_seconds) == ("0.0.0.0", 1, "trio", 3.0)
    assert started.with_mock == [False]
    assert "warning: gateway g has stored keys and no authentication" in capsys.readouterr().err
    options = ["--host", "::1", "--port", "0", "--transport", "anyio", "--drain-seconds", "0", "--log-format", "json"]
    assert cli.main(["serve", "--config", str(file), "--mock", *options]) == 0
    server = started.configurations[-1].server
    assert (server.host, server.port, server.transport, server.drain_seconds) == ("::1", 0, "anyio", 0.0)
    assert started.with_mock == [False, True]
    assert isinstance(started.logs[-1], JsonLog)
    assert "no authentication" not in capsys.readouterr().err


def test_tls_by_options(started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, key = certificates.write_files(tmp_path)
    for folder in ("files", "options"):
        (tmp_path / folder).mkdir()
    in_file, other = (certificates.write_files(tmp_path / folder) for folder in ("files", "options"))
    file = tmp_path / "aigw.toml"
    file.write_text(
        f'[server]\ntls_certificate = "{in_file[0]}"\ntls_key = "{in_file[1]}"\n'
        '[[gateway]]\nid = "g"\nauthentication = false\n'
    )
    given = ["--tls-certificate", certificate, "--tls-key", key]
    for arguments, expected in (
        (given, (certificate, key)),
        (["--config", str(file)], in_file),
        (["--config", str(file), *given], (certificate, key)),
    ):
        assert cli.main(["serve", *arguments]) == 0
        server = started.configurations[-1].server
        assert (server.tls_certificate, server.tls_key) == expected
    count = len(started.configurations)
    capsys.readouterr()
    for arguments, complaint in (
        (given[:2], "--tls-certificate and --tls-key need each other"),
        (["--config", str(file), *given[2:]], "--tls-certificate and --tls-key need each other"),
        (
            ["--tls-certificate", key, "--tls-key", key],
            f"--tls-certificate: expected a PEM file with certificates; {key} is none",
        ),
        (
            [*given, "--tls-key", other[1]],
            f"--tls-key: {other[1]} is not the key of the first certificate in {certificate}",
        ),
        (["--check", "--config", str(file), *given[:3], "x"], "--tls-key: x cannot be read: No such file or directory"),
    ):
        assert cli.main(["serve", *arguments]) == 2
        assert capsys.readouterr().err == f"aigw: {complaint}\n"
    assert len(started.configurations) == count


def test_checking_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "aigw.toml"
    file.write_text('[[gateway]]\nid = "g"\nauthentication = false\n')
    assert cli.main(["serve", "--check", "--config", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: no problems\n"
    assert cli.main(["serve", "--check"]) == 2
    assert capsys.readouterr().err == "aigw: --check needs --config FILE\n"
    file.write_text("a = 1\nb = 2\n")
    assert cli.main(["serve", "--check", "--config", str(file)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_mock_options(started: Started) -> None:
    assert cli.main(["mock"]) == 0
    assert started.mocks[0] == ("127.0.0.1", 0, None, "asyncio")
    assert cli.main(["mock", "--port", "9", "--fault", "status=429", "--chunk-delay", "0.05"]) == 0
    fault = started.mocks[1][2]
    assert fault is not None
    assert (fault.status, fault.chunk_delay_seconds) == (429, 0.05)
    assert cli.main(["mock", "--chunk-delay", "1"]) == 0
    fault = started.mocks[2][2]
    assert fault is not None
    assert fault.chunk_delay_seconds == 1.0


def test_an_interrupt_is_no_traceback(started: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_serve", interrupted)
    assert cli.main(["serve"]) == 130
