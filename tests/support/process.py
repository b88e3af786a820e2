"""Real processes of the command line, always reaped."""

from __future__ import annotations

import contextlib
import json
import selectors
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator

AIGW = Path(sys.executable).with_name("aigw")
START_SECONDS = 60.0  # a safety net on a busy machine, never waited for


class Process:
    """A running `aigw serve` or `aigw mock`."""

    def __init__(self, popen: subprocess.Popen[bytes], url: str, stderr: IO[bytes]) -> None:
        self.popen = popen
        self.url = url
        self._stderr = stderr

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    @property
    def log(self) -> str:
        """What it wrote to stderr so far."""
        self._stderr.flush()
        return Path(self._stderr.name).read_text()

    @property
    def records(self) -> list[dict[str, Any]]:
        """The lines of a JSON log."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]

    def wait_for_log(self, text: str, count: int = 1) -> None:
        """Wait until the log holds `text` that often."""
        deadline = time.monotonic() + START_SECONDS
        while self.log.count(text) < count:
            assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{self.log[-4000:]}"
            assert self.popen.poll() is None, f"the process has ended:\n{self.log[-4000:]}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(0.01)

    def wait_until_quiet(self) -> None:
        """Wait until it has used no processor time for a while."""
        deadline = time.monotonic() + START_SECONDS
        used, quiet = self.ticks(), 0
        while quiet < 5:
            assert time.monotonic() < deadline, "it never comes to rest"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(0.1)
            now = self.ticks()
            quiet = quiet + 1 if now == used else 0
            used = now

    def ticks(self) -> int:
        """Processor time it has used, in the kernel's units."""
        fields = Path(f"/proc/{self.popen.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def open_sockets(self) -> int:
        """Sockets that it holds, of whatever kind."""
        count = 0
        for entry in Path(f"/proc/{self.popen.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # closed in the meantime
                count += str(entry.readlink()).startswith("socket:")
        return count

    def resident_bytes(self) -> int:
        """Memory of the process that is in RAM."""
        for line in Path(f"/proc/{self.popen.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no VmRSS")


@contextlib.contextmanager
def running(*arguments: str) -> Generator[Process]:
    """Run `aigw` with these arguments until the block ends; a traceback in its log is a failure."""
    with tempfile.NamedTemporaryFile(suffix=".log") as stderr:
        popen = subprocess.Popen([AIGW, *arguments], stdout=subprocess.PIPE, stderr=stderr, stdin=subprocess.DEVNULL)
        assert popen.stdout is not None
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(popen.stdout, selectors.EVENT_READ)
                assert selector.select(START_SECONDS), "it does not start"
            line = popen.stdout.readline().decode()
            process = Process(popen, line.strip().removeprefix("listening on "), stderr)
            assert line.startswith("listening on "), f"{line!r}\n{process.log}"
            yield process
            assert "Traceback" not in process.log, process.log[-8000:]
        finally:
            popen.terminate()
            try:
                popen.wait(20)
            except subprocess.TimeoutExpired:
                popen.kill()
                popen.wait()
            popen.stdout.close()


@contextlib.contextmanager
def serving(configuration: str | None = None, *arguments: str) -> Generator[Process]:
    """Run `aigw serve` on a free port with a JSON log; without a configuration, on the embedded mock."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        options = ["serve", "--port", "0", "--log-format", "json", *arguments]
        if configuration is not None:
            file.write(configuration)
            file.flush()
            options += ["--config", file.name]
        with running(*options) as process:
            yield process
