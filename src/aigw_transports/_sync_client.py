"""The gateway client in threads: `connect()`, replies by `create()`, streams by `for`.

A connection is a `ClientEngine` in a `Driver`, shared by any number of threads through `Calls` and held open by
`hold()`. Nothing here knows the protocol: this file turns items into return values and exceptions.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from aigw_proto import client as core
from aigw_proto.envelopes import Step as WireStep

from ._client_errors import UnexpectedStream, failed_request
from ._client_replies import Chunk, Query, Reply, Step
from ._client_requests import open_request, wire_steps
from ._sync_calls import Call, Calls
from ._sync_connection import hold
from ._sync_driver import Driver
from ._sync_wait import check_timeout

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping, Sequence
    from types import TracebackType
    from typing import Self

    from aigw_proto._effects import TlsPolicy
    from aigw_proto.envelopes import Metadata, StepSettings
    from aigw_proto.http import Headers
    from aigw_proto.ws import DeflatePolicy

__all__ = ["Gateway", "ReplyStream", "connect"]


class ReplyStream:
    """A streamed answer: iterate over it, and its chunks come.

    The request is sent with the first chunk that is asked for, or by `with`, which waits for the first frame, so that
    an error answer is raised there. Leaving the block early cancels the request, and so does `close()`; without a
    block, a stream that nobody holds any more is closed. It belongs to one thread at a time.

    A provider that answers whole although a stream was asked for yields its answer as the one chunk.
    """

    __slots__ = ("_call", "_calls", "_event_id", "_metadata", "_steps", "_timeout_seconds", "_whole", "done")

    def __init__(
        self, calls: Calls, steps: tuple[WireStep, ...], event_id: str | None, timeout_seconds: float | None
    ) -> None:
        """Use `Gateway.stream()`."""
        self._calls = calls
        self._steps = steps
        self._event_id = event_id
        self._timeout_seconds = timeout_seconds
        self._call: Call | None = None
        self._metadata: Metadata | None = None
        self._whole: Chunk | None = None
        self.done: Metadata | None = None
        """Metadata of the last frame, once the stream has ended well."""

    @property
    def metadata(self) -> Metadata:
        """Metadata of the first frame. Raises RuntimeError before that has come."""
        if self._metadata is None:
            raise RuntimeError("the stream is not open: use it with `with`, or ask it for a chunk")
        return self._metadata

    def __enter__(self) -> Self:
        if self._call is not None:
            raise RuntimeError("a stream is used once")
        self._open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Cancel the request if it was sent and is not over; then there are no more chunks. Idempotent."""
        if self._call is not None:
            self._call.release()

    def __del__(self) -> None:
        if getattr(self, "_call", None) is not None:  # else it was never made
            self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Chunk:
        """Return the next chunk. Raises StreamInterrupted, RequestTimedOut or ConnectionLost after the last one."""
        call = self._call or self._open()
        if call.released:
            raise StopIteration
        if self._whole is not None:
            chunk, self._whole, self.done = self._whole, None, self._metadata
            return chunk
        try:
            chunk_or_none = None if call.over else self._next(call)
        except BaseException:
            call.release()
            raise
        if chunk_or_none is None:
            call.release()
            raise StopIteration
        return chunk_or_none

    def _open(self) -> Call:
        call = self._call = self._calls.start(self._steps, self._event_id, self._timeout_seconds)
        try:
            self._take_first(call.next())
        except BaseException:
            call.release()
            raise
        return call

    def _take_first(self, item: core.RequestItem) -> None:
        match item:
            case core.StreamStarted(metadata):
                self._metadata = metadata
            case core.ReplyReceived(metadata, response):
                self._metadata = metadata
                self._whole = Chunk(response, None)
            case _:
                raise failed_request(item)

    def _next(self, call: Call) -> Chunk | None:
        item = call.next()
        match item:
            case core.ChunkReceived(response, event):
                return Chunk(response, event)
            case core.StreamFinished(metadata):
                self.done = metadata
                return None
            case _:
                raise failed_request(item)


class Gateway:
    """An open connection to a gateway; `connect()` makes it. Any number of threads may use it at once.

    All requests share one socket and its flow control: do not leave a stream unread for long while others wait.
    """

    __slots__ = ("_calls", "headers", "subprotocol")

    def __init__(self, calls: Calls, opened: core.Opened) -> None:
        """Use `connect()`."""
        self._calls = calls
        self.headers: Headers = opened.headers
        """Header fields of the gateway's 101 response."""
        self.subprotocol: str | None = opened.subprotocol
        """The subprotocol that the gateway chose."""

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return len(self._calls)

    def create(
        self,
        provider: str,
        endpoint: str,
        query: Query,
        *,
        headers: Mapping[str, str] | None = None,
        settings: StepSettings | None = None,
        event_id: str | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """Send one request and return its whole answer.

        `provider` and `endpoint` are as in the universal API: `"openai"`, `"chat/completions"`. `query` is the body of
        the request; `bytes` are sent as they are. `headers` go to the provider (`Authorization`), those that begin with
        `cf-aig-` are for the gateway; `settings` are the gateway's retries and timeouts. `event_id` names the
        request on the wire and in the gateway's log; by default it is made up. `timeout` is in seconds.

        Raises `ProviderError` or `RequestRejected` for an error answer, `RequestTimedOut`, `ConnectionLost`, and
        `UnexpectedStream` when the provider streams: collecting chunks into one reply needs to know the
        provider's dialect, and whoever asked for a stream meant `stream()`. KeyboardInterrupt cancels the request.
        """
        step = Step(provider, endpoint, query, headers, settings)
        return self.create_steps([step], event_id=event_id, timeout=timeout)

    def create_steps(
        self,
        steps: Sequence[Step],
        *,
        event_id: str | None = None,
        timeout: float | None = None,
    ) -> Reply:
        """Send one request with fallbacks: the gateway tries the steps in order. `reply.metadata.step` says which won.

        The rest is as for `create()`.
        """
        call = self._calls.start(wire_steps(steps), event_id, check_timeout(timeout))
        try:
            item = call.next()
            match item:
                case core.ReplyReceived(metadata, response):
                    return Reply(metadata, response)
                case core.StreamStarted(metadata):
                    raise UnexpectedStream(metadata)
                case _:
                    raise failed_request(item)
        finally:
            call.release()

    def stream(
        self,
        provider: str,
        endpoint: str,
        query: Query,
        *,
        headers: Mapping[str, str] | None = None,
        settings: StepSettings | None = None,
        event_id: str | None = None,
        timeout: float | None = None,
    ) -> ReplyStream:
        """Send one request and read its answer as it comes: `for chunk in gateway.stream(...)`.

        The query has to ask the provider for a stream, in its own way (`"stream": true`). Arguments and exceptions are
        those of `create()`; `timeout` covers the whole stream. See `ReplyStream`.
        """
        return self.stream_steps(
            [Step(provider, endpoint, query, headers, settings)], event_id=event_id, timeout=timeout
        )

    def stream_steps(
        self, steps: Sequence[Step], *, event_id: str | None = None, timeout: float | None = None
    ) -> ReplyStream:
        """Send one request with fallbacks and read its answer as it comes; see `create_steps()` and `stream()`."""
        return ReplyStream(self._calls, wire_steps(steps), event_id, check_timeout(timeout))


@contextmanager
def connect(
    url: str,
    *,
    token: str | None = None,
    token_form: core.TokenForm = core.TokenForm.HEADER,
    headers: Mapping[str, str] | None = None,
    compression: DeflatePolicy | None = None,
    tls: TlsPolicy | None = None,
    limits: core.ClientLimits | None = None,
    on_frame: Callable[[str], None] | None = None,
    timeout: float | None = None,
) -> Generator[Gateway, None, None]:
    """Connect to a gateway at `ws://HOST[:PORT]/v1/ACCOUNT/GATEWAY`, or `wss://`.

    `token` is the gateway token, sent as header, or as subprotocol with `TokenForm.SUBPROTOCOL`. `headers` are added to
    the upgrade request: `cf-aig-*` headers are defaults for all requests of the connection. `compression` offers
    permessage-deflate. `tls` names additional roots. `limits` are those of `ClientEngine`. `on_frame` gets the text of
    every frame as it comes, before it is looked at; it is called in a thread of the connection, and must not block or
    raise. `timeout` is in seconds, for opening; without it, that ends by `limits`.

    Leaving the block closes with code 1000 and waits for the closing handshake (10 s at most by default); requests that
    other threads have under way raise `ConnectionLost`. The threads of the connection end with it; they are daemons, so
    a program that forgets to leave the block can end nevertheless. It is no use in a child process that is forked off.

    Raises ValueError for a bad URL or timeout, LocalProtocolError for a token or header that cannot be sent,
    `ConnectionFailed`, `HandshakeRefused` with the gateway's status and body, and TimeoutError.
    """
    timeout = check_timeout(timeout)
    request = open_request(
        url, token=token, token_form=token_form, headers=headers, subprotocols=(), compression=compression, tls=tls
    )
    calls = Calls(on_frame)
    engine = core.ClientEngine(random_bytes=os.urandom, limits=limits, deliver_frames=on_frame is not None)
    driver: Driver[core.ClientInput] = Driver(engine, deliver=calls.deliver)
    calls.connection.attach(driver)
    with hold(driver, calls.connection, request, timeout, calls.abandon) as opened:
        yield Gateway(calls, opened)
