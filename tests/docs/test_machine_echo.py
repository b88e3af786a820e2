"""The WebSocket machine alone, against a client and a server that nobody here wrote, and against itself."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading

import pytest
from machine_echo import NoEchoError, echo, talk
from websockets.sync.client import connect
from websockets.sync.server import ServerConnection

from support.examples import EXAMPLES, PATIENCE_SECONDS, example
from support.websockets_server import websockets_server


def test_server_and_client_as_programs(provider: str) -> None:
    with example("machine_echo.py", provider=provider) as (_, url):
        with connect(url, max_size=None) as peer:
            assert len(peer.protocol.extensions) == 1
            for text in ("", "hello", "€" * 40_000):
                peer.send(text)
                assert peer.recv(timeout=PATIENCE_SECONDS) == text
            data = os.urandom(1024 * 1024)
            peer.send(data)
            assert peer.recv(timeout=PATIENCE_SECONDS) == data
            assert peer.ping().wait(PATIENCE_SECONDS)
        assert peer.close_code == 1000
        command = [sys.executable, "-W", "error", str(EXAMPLES / "machine_echo.py"), *url[5:].split(":")]
        done = subprocess.run(
            command, input="one\ntwo\n", capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False
        )
        assert (done.returncode, done.stdout, done.stderr) == (0, "one\ntwo\n", "")


def test_client_with_a_server_of_other_hands() -> None:
    def handler(peer: ServerConnection) -> None:
        for message in peer:
            peer.ping()
            peer.send(message)

    with websockets_server(handler) as url:
        assert list(talk("localhost", int(url.rpartition(":")[2]), ["a", "b" * 70_000])) == ["a", "b" * 70_000]


def test_client_without_an_echo() -> None:
    with (
        websockets_server(lambda peer: peer.close(4000, "no")) as url,
        pytest.raises(NoEchoError, match="no echo"),
    ):
        list(talk("localhost", int(url.rpartition(":")[2]), ["a"]))


def test_neither_speaks_to_who_speaks_something_else() -> None:
    ours, theirs = socket.socketpair()
    with ours:
        ours.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        echo(theirs)
        assert ours.recv(65536).startswith(b"HTTP/1.1 426 ")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse)
        thread.start()
        with pytest.raises(NoEchoError, match=r"no WebSocket: .*403"):
            list(talk("127.0.0.1", listener.getsockname()[1], ["a"]))
        thread.join()
