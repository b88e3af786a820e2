"""Providers' own client libraries, each unchanged but for its base URL and key.

They talk to a real `aigw serve` whose providers are the embedded mock. Some of them refuse `ws://`, so the gateway is
there twice, the second time with a certificate.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from support import certificates
from support.process import Process, serving

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

TEST_SECONDS = 60.0  # a client that hangs is interrupted; nothing waits that long otherwise
CLIENT_KEY = "the-clients-own-key"
TOKEN = "a-token-of-the-gateway"
STORED_KEY = "a-key-that-the-gateway-keeps"
PROVIDERS = ["openai", "google-ai-studio", "deepgram", "cartesia", "elevenlabs", "fal", "azure-openai"]
CONFIGURATION = f"""
[[gateway]]
id = "open"
authentication = false

[[gateway]]
id = "closed"
tokens = ["{TOKEN}"]

[gateway.keys]
{"".join(f'{provider}.default = "{STORED_KEY}"' + chr(10) for provider in PROVIDERS)}
"""


class Site:
    """A gateway as one test sees it: under an account of its own, so that its log records can be told apart."""

    def __init__(self, process: Process, account: str) -> None:
        self._process = process
        self._account = account

    def base_url(self, provider: str, gateway: str = "open") -> str:
        """Return what a client of that provider is given as its HTTP base URL."""
        return self.socket_url(provider, gateway).replace("ws", "http", 1)

    def socket_url(self, provider: str, gateway: str = "open") -> str:
        """Return what a client of that provider is given as its WebSocket base URL."""
        return f"{self._process.url}/v1/{self._account}/{gateway}/{provider}"

    def sessions(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many realtime sessions of this test have ended; return their records."""
        return self._records("session", count)

    def turns(self, count: int = 1) -> list[dict[str, Any]]:
        """Wait until so many turns of this test have ended; return their records."""
        return self._records("turn", count)

    def _records(self, kind: str, count: int) -> list[dict[str, Any]]:
        deadline = time.monotonic() + TEST_SECONDS / 2
        while len(found := [record for record in self._own() if record["type"] == kind]) < count:
            assert time.monotonic() < deadline, f"no {count} records of a {kind}:\n{self._process.log[-2000:]}"
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.popen.wait(0.01)
        return found

    def _own(self) -> list[dict[str, Any]]:
        return [record for record in self._process.records if record.get("account") == self._account]


@contextlib.contextmanager
def keeping_secrets(server: str, *arguments: str) -> Generator[Process]:
    """Run a gateway; whatever its clients did, no secret of theirs may be in its log."""
    with serving(server + CONFIGURATION, "--mock", *arguments) as process:
        yield process
        for secret in (CLIENT_KEY, TOKEN, STORED_KEY):
            assert secret not in process.log


@pytest.fixture(scope="session")
def plain_gateway() -> Iterator[Process]:
    with keeping_secrets("") as process:
        yield process


@pytest.fixture(scope="session")
def tls_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """It also accepts the compression that nearly all clients offer."""
    certificate, key = certificates.write_files(tmp_path_factory.mktemp("server"))
    with keeping_secrets(
        "[server]\npermessage_deflate = true\n", "--tls-certificate", certificate, "--tls-key", key
    ) as process:
        yield process


@pytest.fixture
def account(request: pytest.FixtureRequest) -> str:
    return re.sub(r"[^a-z0-9]+", "-", request.node.name).strip("-")


@pytest.fixture
def site(plain_gateway: Process, account: str) -> Site:
    return Site(plain_gateway, account)


@pytest.fixture
def tls_site(tls_gateway: Process, account: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A gateway on wss://, whose certificate this process trusts as long as the test runs."""
    root = tmp_path / "root.pem"
    certificates.authority().cert_pem.write_to_path(str(root))
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    return Site(tls_gateway, account)


@pytest.fixture(autouse=True)
def _bounded() -> Iterator[None]:
    """Interrupt a test that takes too long: what blocks is in somebody else's code."""

    def interrupt(_number: int, _frame: object) -> None:
        raise TimeoutError(f"not over after {TEST_SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, TEST_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
