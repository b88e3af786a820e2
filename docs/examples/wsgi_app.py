"""A WSGI application that asks a gateway: one connection for all threads of the process.

`AIGW_URL=ws://127.0.0.1:8787/v1/local/default gunicorn --threads 50 'wsgi_app:Application()'`, and then
`curl -N -d 'Hello there' http://127.0.0.1:8000/`.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING, TypedDict

from aigw_transports.sync import Chunk, ConnectionLost, Gateway, GatewayError, ReplyStream, connect

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIEnvironment

TEXT = ("Content-Type", "text/plain; charset=utf-8")


class Delta(TypedDict, total=False):
    """What a chunk adds."""

    content: str


class Choice(TypedDict):
    """The one answer that was asked for."""

    delta: Delta


class Event(TypedDict):
    """What the application looks at in a chunk."""

    choices: list[Choice]


class SharedGateway:
    """A connection that is opened when it is first needed, in the process that needs it, and anew when it was lost."""

    def __init__(self, url: str) -> None:
        """Remember where the gateway is."""
        self._url = url
        self._lock = threading.Lock()
        self._open = contextlib.ExitStack()
        self._gateway: Gateway | None = None

    def get(self) -> Gateway:
        """Return the connection. Raises GatewayError and TimeoutError."""
        with self._lock:
            if self._gateway is None:
                self._gateway = self._open.enter_context(connect(self._url, timeout=10.0))
            return self._gateway

    def drop(self, gateway: Gateway) -> None:
        """Forget a connection that was lost, unless another thread has been faster."""
        with self._lock:
            if gateway is self._gateway:
                self.close()

    def close(self) -> None:
        """Say goodbye."""
        self._gateway = None
        self._open.close()


class Application:
    """Answers a POST with what the model says, piece by piece."""

    def __init__(self, url: str | None = None) -> None:
        """Connect with the first request, to the gateway at `url` or `AIGW_URL`."""
        self.gateway = SharedGateway(url or os.environ["AIGW_URL"])

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Take one request, in a thread of the server."""
        question = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        try:
            stream, first = self._ask(question)
        except (GatewayError, TimeoutError) as error:
            start_response("502 Bad Gateway", [TEXT])
            return [f"{error}\n".encode()]
        start_response("200 OK", [TEXT])
        return _pieces(stream, first)

    def _ask(self, question: str) -> tuple[ReplyStream, Chunk]:
        query = {"model": "gpt-4o-mini", "stream": True, "messages": [{"role": "user", "content": question}]}
        gateway = self.gateway.get()
        try:
            stream = gateway.stream("openai", "chat/completions", query, timeout=60.0)
            return stream, next(stream)
        except ConnectionLost:
            self.gateway.drop(gateway)  # the next request opens another
            raise


def _pieces(stream: ReplyStream, first: Chunk) -> Iterator[bytes]:
    """Yield the text of a stream. When the browser leaves, the server closes this, and so the request is cancelled."""
    with contextlib.closing(stream):
        yield _text(first)
        try:
            yield from map(_text, stream)
        except GatewayError as error:
            yield f"\n[{error}]\n".encode()


def _text(chunk: Chunk) -> bytes:
    choices = chunk.decode(Event)["choices"]
    return choices[0]["delta"].get("content", "").encode() if choices else b""
