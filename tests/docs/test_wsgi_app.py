from __future__ import annotations

import contextlib
import http.client
import socketserver
import threading
from collections.abc import Generator, Iterator
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import pytest
from wsgi_app import Application

from support.threads import PATIENCE_SECONDS, live_gateway, no_thread_left


class Server(socketserver.ThreadingMixIn, WSGIServer):
    """A thread for each request."""

    daemon_threads = False  # they are waited for


class Silent(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class has
        pass


@contextlib.contextmanager
def served(application: Application) -> Generator[int]:
    with make_server("127.0.0.1", 0, application, Server, Silent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(autouse=True)
def every_thread_ends() -> Iterator[None]:
    with no_thread_left():
        yield


def ask(port: int, question: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_SECONDS)
    try:
        connection.request("POST", "/", question)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def test_many_threads_share_one_connection() -> None:
    records: list[object] = []
    answers: dict[str, tuple[int, str]] = {}
    with live_gateway(journal=records.append) as url:
        application = Application(url)

        def work(number: int) -> None:
            answers[f"number {number}"] = ask(port, f"number {number}")

        with served(application) as port:
            threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        application.gateway.close()
    assert len(records) == 30
    assert answers == {name: (200, f"You said: {name}") for name in answers}


def test_a_connection_that_was_lost_is_opened_again() -> None:
    with live_gateway() as url:
        application = Application(url)
        with served(application) as port:
            assert ask(port, "one") == (200, "You said: one")
            application.gateway.get()._calls.connection.close()  # as if the gateway had closed it
            status, reason = ask(port, "two")
            assert status == 502
            assert "the connection to the gateway ended" in reason
            assert ask(port, "three") == (200, "You said: three")
        application.gateway.close()


def test_no_gateway() -> None:
    application = Application("ws://127.0.0.1:1/v1/local/default")
    with served(application) as port:
        status, reason = ask(port, "anybody?")
    assert status == 502
    assert "Connection refused" in reason
