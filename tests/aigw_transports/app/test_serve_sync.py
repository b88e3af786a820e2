from __future__ import annotations

import dataclasses
import io
import json
import os
import queue
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from aigw_transports.app import _serve_sync
from aigw_transports.app._serve import StartError
from aigw_transports.app._serve_sync import open_listeners, run_mock_in_threads, run_serve_in_threads
from aigw_transports.app.config import Configuration, ServerSettings, default
from aigw_transports.app.log import TextLog
from aigw_transports.sync import ConnectionLost, ReplyStream, connect
from support import certificates
from support.threads import PATIENCE_SECONDS, HungLookup, no_thread_left


@pytest.fixture(autouse=True)
def every_thread_ends() -> Iterator[None]:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with no_thread_left():
        yield
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers


class Visitor:
    """Does something to a server that this thread runs, once that has said where it is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.lines: list[str] = []
        self.failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        monkeypatch.setattr(_serve_sync, "announce", self._announce)

    def visit(self, host: str, port: int) -> None:
        with socket.create_connection((host, port), timeout=PATIENCE_SECONDS) as peer:
            peer.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
            assert peer.recv(9) == b"HTTP/1.1 "
        os.kill(os.getpid(), signal.SIGTERM)

    def wait(self) -> None:
        self._thread.join(PATIENCE_SECONDS)
        if self.failures:
            raise self.failures[0]

    def _announce(self, line: str) -> None:
        self.lines.append(line)
        self._thread.start()

    def _run(self) -> None:
        host, _, port = self.lines[0].rpartition("/")[2].rpartition(":")
        try:
            self.visit(host, int(port))
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            self.failures.append(error)
            os.kill(os.getpid(), signal.SIGTERM)


def on_a_free_port(**more: str | float | None) -> Configuration:
    return dataclasses.replace(default(), server=ServerSettings(port=0, transport="sync", **more))  # type: ignore[arg-type] # passed on


def test_serving_until_a_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asker(Visitor):
        def visit(self, host: str, port: int) -> None:
            with connect(f"ws://{host}:{port}/v1/local/default", timeout=PATIENCE_SECONDS) as gateway:
                query = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
                reply = gateway.create("openai", "chat/completions", query, timeout=PATIENCE_SECONDS)
                assert "You said: Hello" in json.dumps(reply.response)
            os.kill(os.getpid(), signal.SIGTERM)

    visitor, log = Asker(monkeypatch), io.StringIO()
    assert run_serve_in_threads(on_a_free_port(), TextLog(log), with_mock=True) == 0
    visitor.wait()
    assert visitor.lines[0].startswith("listening on ws://127.0.0.1:")
    first, second, third = log.getvalue().splitlines()
    assert "every answer comes from the built-in fake provider" in first
    assert " 200 openai/chat/completions done document, " in second
    assert "draining signal=SIGTERM" in third


def test_a_second_signal_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Stayer(Visitor):
        def visit(self, host: str, port: int) -> None:
            query = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
            spec = {"x-aigw-mock": "stall_after=1"}
            with connect(f"ws://{host}:{port}/v1/local/default", timeout=PATIENCE_SECONDS) as gateway:
                stream = gateway.stream("openai", "chat/completions", query, headers=spec, timeout=PATIENCE_SECONDS)
                next(stream)
                os.kill(os.getpid(), signal.SIGTERM)
                while "draining" not in log.getvalue():
                    os.sched_yield()
                os.kill(os.getpid(), signal.SIGINT)
                with pytest.raises(ConnectionLost):
                    next(stream)

    visitor, log = Stayer(monkeypatch), io.StringIO()
    status = run_serve_in_threads(on_a_free_port(drain_seconds=3600.0), TextLog(log), with_mock=True)
    visitor.wait()
    assert status == 128 + signal.SIGINT


def test_a_second_signal_waits_for_no_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asker(Visitor):
        def visit(self, host: str, port: int) -> None:
            with connect(f"ws://{host}:{port}/v1/local/default", timeout=PATIENCE_SECONDS) as gateway:
                resolver = HungLookup(monkeypatch)
                resolvers.append(resolver)
                stream = gateway.stream("openai", "chat/completions", {"model": "m", "stream": True})
                thread = threading.Thread(target=self._ask, args=(stream,))
                thread.start()
                assert resolver.asked.wait(PATIENCE_SECONDS)
                os.kill(os.getpid(), signal.SIGTERM)
                while "draining" not in log.getvalue():
                    os.sched_yield()
                os.kill(os.getpid(), signal.SIGINT)
                thread.join(PATIENCE_SECONDS)

        def _ask(self, stream: ReplyStream) -> None:
            with pytest.raises(ConnectionLost):
                next(stream)

    visitor, log, resolvers = Asker(monkeypatch), io.StringIO(), list[HungLookup]()
    status = run_serve_in_threads(on_a_free_port(drain_seconds=3600.0), TextLog(log), with_mock=False)
    assert status == 128 + signal.SIGINT
    visitor.wait()
    resolvers[0].end()


def test_signals_are_told_by_a_thread_that_does_nothing_else() -> None:
    told: queue.SimpleQueue[tuple[signal.Signals, str]] = queue.SimpleQueue()
    wakeup = signal.set_wakeup_fd(-1)
    other = signal.signal(signal.SIGUSR1, take_no_notice)
    try:
        with _serve_sync._told_of_signals(lambda number: told.put((number, threading.current_thread().name))):
            for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT, signal.SIGINT):
                signal.raise_signal(number)
            names = [told.get(timeout=PATIENCE_SECONDS) for _ in range(3)]
        assert signal.set_wakeup_fd(wakeup) == -1
    finally:
        signal.signal(signal.SIGUSR1, other)
    assert names == [(number, "aigw-signals") for number in (signal.SIGTERM, signal.SIGINT, signal.SIGINT)]
    assert told.empty()


def take_no_notice(number: int, frame: object) -> None:
    """Handle a signal that is not meant for the server."""


def test_with_tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Shy(Visitor):
        def visit(self, host: str, port: int) -> None:
            with (
                socket.create_connection((host, port), timeout=PATIENCE_SECONDS) as raw,
                certificates.client().wrap_socket(raw, server_hostname="localhost") as peer,
            ):
                peer.sendall(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
                assert peer.recv(9) == b"HTTP/1.1 "
            os.kill(os.getpid(), signal.SIGTERM)

    certificate, key = certificates.write_files(tmp_path)
    visitor = Shy(monkeypatch)
    configuration = on_a_free_port(tls_certificate=certificate, tls_key=key)
    assert run_serve_in_threads(configuration, TextLog(io.StringIO()), with_mock=False) == 0
    visitor.wait()
    assert visitor.lines[0].startswith("listening on wss://")

    Path(key).write_text("no key any more")
    with pytest.raises(StartError, match="cannot serve with TLS: expected a PEM file with a private key; "):
        run_serve_in_threads(configuration, TextLog(io.StringIO()), with_mock=False)


def test_the_fake_provider_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    visitor, log = Visitor(monkeypatch), io.StringIO()
    assert run_mock_in_threads("127.0.0.1", 0, None, TextLog(log)) == 0
    visitor.wait()
    assert visitor.lines[0].startswith("listening on http://")


def test_where_nothing_can_be_listened_on() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StartError, match=f"cannot listen on 127.0.0.1:{port}: Address already in use"):
            open_listeners("127.0.0.1", port)
    with pytest.raises(StartError, match=r"cannot listen on no\.such\.host\.invalid:0: "):
        open_listeners("no.such.host.invalid", 0)
