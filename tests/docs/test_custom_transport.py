"""The driver from nothing, started by a server that does what inetd does."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path

from custom_transport import BlockingDriver

from aigw_proto import ConnectFailed, Input, LinkAccepted, TlsPolicy
from aigw_proto.testing import Checked, ToyEngine
from support.examples import EXAMPLES, PATIENCE_SECONDS, talk_to

FILE = EXAMPLES / "custom_transport.py"


@contextlib.contextmanager
def inetd(provider: str, connections: int, errors: Path) -> Generator[str]:
    """Start the program for each of so many connections; all of them have to end by themselves."""
    processes: list[subprocess.Popen[bytes]] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, errors.open("wb") as file:

        def accept() -> None:
            for _ in range(connections):
                connection, _ = listener.accept()
                with connection:
                    command = [sys.executable, "-W", "error", str(FILE)]
                    environment = {**os.environ, "AIGW_PROVIDERS": provider}
                    processes.append(subprocess.Popen(command, env=environment, stdin=connection.fileno(), stderr=file))

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
            assert [process.wait(PATIENCE_SECONDS) for process in processes] == [0] * connections
        finally:
            for process in processes:
                process.kill()
                process.wait()
            thread.join(PATIENCE_SECONDS)


def test_a_gateway_for_each_connection(provider: str, tmp_path: Path) -> None:
    errors = tmp_path / "errors"
    with inetd(provider, 3, errors) as url:
        talk_to(url)
    text = errors.read_text()
    assert text.count("RequestRecord(") == 6
    assert "Traceback" not in text


def test_standard_input_has_to_be_a_connection() -> None:
    command = [sys.executable, "-W", "error", str(FILE)]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "standard input is no connection: Socket operation on non-socket\n"


def test_it_has_less_than_sixty_lines() -> None:
    text = FILE.read_text().partition("class BlockingDriver:")[2].partition("\nif __name__")[0]
    code = [line for line in text.splitlines() if line.strip() and not line.strip().startswith('"""')]
    assert len(code) < 60


class Secured(ToyEngine):
    """Asks for TLS when a client comes, and ends."""

    def received(self, event: Input) -> None:
        match event:
            case LinkAccepted(link):
                self.client = link
                self.connect("127.0.0.1", 9, TlsPolicy())
            case ConnectFailed(_, _, detail):
                self.detail = detail
                self.close(self.client)
            case _:
                self.drain()


def test_it_has_no_tls() -> None:
    engine = Secured()
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()):
        BlockingDriver(Checked(engine), listener.accept()[0], "192.0.2.1:4000").run()
    assert engine.detail == "this driver has no TLS"
