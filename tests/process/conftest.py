"""Real processes of the command line. Whatever a test starts is ended when it is over."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

AIGW = str(Path(sys.executable).parent / "aigw")
PATIENCE_SECONDS = 60  # only a process that hangs needs it: the machine may be busy


class Process:
    """A running `aigw` command whose output goes to files, so that it never waits for a reader."""

    def __init__(self, arguments: tuple[str, ...], folder: Path, stdout: int) -> None:
        """Start it."""
        self._log = folder / "stderr"
        with self._log.open("wb") as log:
            self.popen = subprocess.Popen(
                [AIGW, *arguments], stdout=stdout, stderr=log, cwd=folder, text=True, encoding="utf-8"
            )

    def address(self) -> tuple[str, int]:
        """Wait until it listens; return host and port."""
        assert self.popen.stdout is not None
        line = self.popen.stdout.readline()
        assert line.startswith("listening on "), line + self.log()
        host, _, port = line.rstrip("\n").partition("://")[2].rpartition(":")
        return host, int(port)

    def url(self, path: str = "/v1/local/default", scheme: str = "ws") -> str:
        """Wait until it listens; return a URL."""
        host, port = self.address()
        return f"{scheme}://{host}:{port}{path}"

    def log(self) -> str:
        """Return what it has written to standard error."""
        return self._log.read_text("utf-8", "replace")

    def stop(self, number: int) -> int:
        """Send it a signal, and return its exit status."""
        self.popen.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end; return its exit status."""
        return self.popen.wait(PATIENCE_SECONDS)


class Start(Protocol):
    """Starts a command."""

    def __call__(self, *arguments: str, stdout: int = subprocess.PIPE) -> Process:
        """Start `aigw` with these arguments."""
        ...


TRANSPORTS = {"asyncio on uvloop": "asyncio", "asyncio": "asyncio", "anyio": "anyio", "trio": "trio", "sync": "sync"}


@pytest.fixture(params=TRANSPORTS)
def transport(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """Name each transport to a test; for asyncio without uvloop, that is hidden from the processes it starts."""
    if request.param == "asyncio":
        hidden = tmp_path_factory.mktemp("without-uvloop")
        (hidden / "sitecustomize.py").write_text('import sys\n\nsys.modules["uvloop"] = None\n')
        monkeypatch.setenv("PYTHONPATH", str(hidden))
    return TRANSPORTS[request.param]


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start `aigw` commands; they are killed and waited for at the end of the test."""
    processes: list[Process] = []

    def start_process(*arguments: str, stdout: int = subprocess.PIPE) -> Process:
        process = Process(arguments, tmp_path_factory.mktemp("process"), stdout)
        processes.append(process)
        return process

    try:
        yield start_process
    finally:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                process.popen.kill()
            process.popen.communicate()
