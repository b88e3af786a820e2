"""The processes of a benchmark: the compiled load, the provider, and the servers under test, each on its processor."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import IO

import machine

HERE = pathlib.Path(__file__).parent
BUILD = HERE.parent / "build" / "bench"
AIGW = "import sys; from aigw_transports.app.cli import main; sys.exit(main())"
START_SECONDS = 120.0
"""Large servers on a busy machine need most of a minute."""


@dataclasses.dataclass
class Server:
    """A running process that listens on loopback."""

    process: subprocess.Popen[str]
    port: int

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def resident_bytes(self) -> int:
        """What it holds in memory."""
        pages = int(pathlib.Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def build() -> None:
    """Compile the load and the provider when they are older than their source; exit when there is no compiler."""
    sources = HERE / "load"
    compiler = shutil.which(os.environ.get("CC", "cc"))
    BUILD.mkdir(parents=True, exist_ok=True)
    newest = max(path.stat().st_mtime for path in sources.iterdir())
    for name in ("client", "provider"):
        program = BUILD / name
        if program.exists() and program.stat().st_mtime > newest:
            continue
        if compiler is None:
            sys.exit("the load generator is C: a compiler is needed (only `codec` runs without)")
        source = sources / f"{name}.c"
        subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-o", os.fspath(program), os.fspath(source)], check=True)


@contextlib.contextmanager
def started(
    command: Sequence[str], *, cpu: int, port: int = 0, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server, which prints a line that ends in its port, or is given its port, and stop it at the end."""
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        try:
            os.sched_setaffinity(process.pid, {cpu})
            yield Server(process, _announced(process, command, errors) if port == 0 else _answering(process, port))
        finally:
            process.kill()
            process.wait()


def _announced(process: subprocess.Popen[str], command: Sequence[str], errors: IO[str]) -> int:
    assert process.stdout is not None
    for line in process.stdout:
        if match := re.search(r"(\d+)\s*$", line):
            return int(match[1])
    errors.seek(0)
    sys.exit(f"{' '.join(command)} did not start:\n{errors.read()[-2000:]}")


def _answering(process: subprocess.Popen[str], port: int) -> int:
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return port
        time.sleep(0.05)
    sys.exit(f"{process.args!r} did not start")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def provider(cpu: int = machine.PROVIDER_CPU) -> contextlib.AbstractContextManager[Server]:
    """Run the provider, which echoes and answers."""
    return started([os.fspath(BUILD / "provider")], cpu=cpu)


def python(script: str, *arguments: str) -> list[str]:
    """Return the command of one of the servers in `servers/`."""
    return [sys.executable, os.fspath(HERE / "servers" / script), *arguments]


@contextlib.contextmanager
def gateway(provider_port: int, *arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Run the whole gateway in front of the provider."""
    with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
        file.write(
            '[server]\nport = 0\n[[gateway]]\nid = "bench"\nauthentication = false\n'
            f'[provider.openai]\nbase_url = "http://127.0.0.1:{provider_port}/v1"\n'
            f'realtime_url = "ws://127.0.0.1:{provider_port}/v1/realtime"\n'
        )
        file.flush()
        command = [sys.executable, "-c", AIGW, "serve", "--config", file.name, *arguments]
        with started(command, cpu=machine.SERVER_CPU, environment=environment) as server:
            yield server


@contextlib.contextmanager
def haproxy(provider_port: int) -> Iterator[Server]:
    """Run haproxy as a relay of bytes with one thread."""
    port = free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as file:
        file.write(
            "global\n nbthread 1\n maxconn 9000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 300s\n"
            f" timeout server 300s\nlisten relay\n bind 127.0.0.1:{port}\n server provider 127.0.0.1:{provider_port}\n"
        )
        file.flush()
        with started(
            [haproxy_path() or "haproxy", "-db", "-f", file.name], cpu=machine.SERVER_CPU, port=port
        ) as server:
            yield server


def haproxy_path() -> str | None:
    """Return where haproxy is, if it is installed."""
    return shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")


def load(server: Server, *arguments: str, path: str = "/", seconds: float = 0.5) -> dict[str, float]:
    """Load a server for a while and return what the load says."""
    command = _load_command(server, arguments, path)
    command += ["--pid", str(server.pid), "--seconds", str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {machine.LOAD_CPU})
    output, errors = process.communicate(timeout=120 + seconds)
    if process.returncode:
        sys.exit(f"{' '.join(command)} failed with {process.returncode}: {errors[-2000:]}")
    result: dict[str, float] = json.loads(output)
    return result


@contextlib.contextmanager
def held(server: Server, connections: int, path: str, size: int) -> Iterator[None]:
    """Hold idle WebSockets open, on each of which one message of `size` bytes went there and back."""
    arguments = ["--mode", "hold", "--connections", str(connections), "--size", str(size)]
    with _waiting_load(_load_command(server, arguments, path)):
        yield


@dataclasses.dataclass
class PacedLoad:
    """A load that keeps its connections and goes on when told to."""

    process: subprocess.Popen[str]

    def measure(self) -> dict[str, float]:
        """Let it go on for one round."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        result: dict[str, float] = json.loads(self.process.stdout.readline())
        return result


@contextlib.contextmanager
def paced(server: Server, *arguments: str, path: str, seconds: float) -> Iterator[PacedLoad]:
    """Open the connections of a load that waits to be told."""
    command = _load_command(server, arguments, path)
    command += ["--paced", "--pid", str(server.pid), "--seconds", str(seconds)]
    with _waiting_load(command) as process:
        yield PacedLoad(process)


@contextlib.contextmanager
def _waiting_load(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    os.sched_setaffinity(process.pid, {machine.LOAD_CPU})
    assert process.stdout is not None
    try:
        if not process.stdout.readline():
            sys.exit(f"{' '.join(command)} failed")
        yield process
    finally:
        process.kill()
        process.communicate()


def _load_command(server: Server, arguments: Sequence[str], path: str) -> list[str]:
    return [os.fspath(BUILD / "client"), "--port", str(server.port), "--path", path, *arguments]
