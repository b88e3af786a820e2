"""The echo server and client of the documentation, as processes, against peers that others wrote."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import websockets.exceptions
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection

from support.websockets_server import websockets_server

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
MIB = 1024 * 1024
PATIENCE_SECONDS = 120  # only for a process that hangs


@contextlib.contextmanager
def example(name: str, *arguments: str) -> Generator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def echo_url() -> Iterator[str]:
    with example("echo_server.py", "--host", "127.0.0.1", "--port", "0") as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening on ws://127.0.0.1:")
        yield line.split()[-1]


@pytest.mark.parametrize("compression", ["deflate", None])
def test_server(echo_url: str, compression: str | None) -> None:
    with connect(echo_url, compression=compression, max_size=None) as peer:
        assert len(peer.protocol.extensions) == (compression is not None)
        for text in ("", "hello", "€" * 40_000):
            peer.send(text)
            assert peer.recv(timeout=PATIENCE_SECONDS) == text
        for size in (0, 125, 126, 65_535, 65_536, MIB):
            data = os.urandom(size)
            peer.send(data)
            assert peer.recv(timeout=PATIENCE_SECONDS) == data
        peer.send(["one", "two", "three"])  # one message in three frames
        assert peer.recv(timeout=PATIENCE_SECONDS) == "onetwothree"
        assert peer.ping().wait(PATIENCE_SECONDS)
    assert peer.close_code == 1000


def test_server_echoes_64_mebibytes(echo_url: str) -> None:
    with connect(echo_url, compression=None, max_size=None) as peer:
        data = os.urandom(MIB) * 64
        peer.send(data)
        assert peer.recv(timeout=PATIENCE_SECONDS) == data
        peer.send(data + b"x")
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as caught:
            peer.recv(timeout=PATIENCE_SECONDS)
        assert caught.value.rcvd is not None
        assert caught.value.rcvd.code == 1009


def test_server_does_not_read_from_a_peer_that_does_not_read(echo_url: str) -> None:
    with connect(echo_url, compression=None, max_queue=1) as silent:
        silent.socket.settimeout(1.0)  # sending 64 MiB blocks: somebody would have to hold them
        with pytest.raises(websockets.exceptions.ConnectionClosedError) as caught:
            send_much(silent)
    assert isinstance(caught.value.__cause__, TimeoutError)
    with connect(echo_url) as other:
        other.send("still there?")
        assert other.recv(timeout=PATIENCE_SECONDS) == "still there?"


def send_much(peer: ClientConnection) -> None:
    chunk = os.urandom(64 * 1024)
    for _ in range(1024):
        peer.send(chunk)


def test_client_echoes_until_the_server_closes() -> None:
    seen: list[object] = []

    def handler(peer: ServerConnection) -> None:
        assert peer.request is not None
        seen.append(peer.request.path)
        seen.append(len(peer.protocol.extensions))
        for message in ("", "hello", b"\x00" * 70_000, os.urandom(MIB)):
            peer.send(message)
            assert peer.recv(timeout=PATIENCE_SECONDS) == message
        seen.append("echoed")

    with websockets_server(handler) as url, example("echo_client.py", f"{url}/runCase?case=1&agent=aigw") as process:
        assert process.wait(PATIENCE_SECONDS) == 0
    assert seen == ["/runCase?case=1&agent=aigw", 1, "echoed"]


def test_client_runs_the_cases_of_a_fuzzing_server() -> None:
    paths: list[str] = []

    def handler(peer: ServerConnection) -> None:
        assert peer.request is not None
        paths.append(peer.request.path)
        if peer.request.path == "/getCaseCount":
            peer.send("3")
        elif peer.request.path.startswith("/runCase"):
            peer.send("case")
            assert peer.recv(timeout=PATIENCE_SECONDS) == "case"

    with websockets_server(handler) as url, example("echo_client.py", url, "--autobahn") as process:
        assert process.wait(PATIENCE_SECONDS) == 0
    cases = [f"/runCase?case={number}&agent=aigw" for number in (1, 2, 3)]
    assert paths == ["/getCaseCount", *cases, "/updateReports?agent=aigw"]


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("ws://127.0.0.1:1/", "127.0.0.1:1: Connection refused"),
        ("http://127.0.0.1/", "did you mean ws://?"),
        ("ws://x.invalid/", "x.invalid"),
    ],
)
def test_client_says_what_is_wrong(url: str, complaint: str) -> None:
    with example("echo_client.py", url) as process:
        output, _ = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == 1
    assert complaint in output
    assert "Traceback" not in output
