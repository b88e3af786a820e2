"""The gateway in Starlette under uvicorn, with clients that nobody here wrote."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator

import asgi_app
import pytest
import uvicorn

from support.examples import talk_to


class Server(uvicorn.Server):
    """In a thread, where no signals are."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


@contextlib.contextmanager
def serving() -> Generator[str]:
    server = Server(uvicorn.Config(asgi_app.app, lifespan="on", ws="websockets-sansio", log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        try:
            yield f"ws://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


def test_conversations(provider: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIGW_PROVIDERS", provider)
    with serving() as url:
        talk_to(url)
