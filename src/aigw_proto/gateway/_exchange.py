"""One exchange with a provider: a request on a leased connection, and its answer piece by piece.

An exchange pulls from the connection's HTTP machine and from the decoder of the content, one event at a time, and says
what it got. It decides nothing about tries, steps or frames: that is the request's business, which owns it. Its life:
the head (`Headed`), then, for a success, the form of delivery as soon as the content shows it (`Begun`), then either
items or nothing, then `Finished`; or `Broken` at any point. The content of any other status is always gathered.

The connection goes back to the pool as soon as the answer is complete, even if decoded items still wait to be pulled.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from .._kinds import Signal, record
from ..envelopes import ErrorCode
from ..http._events import BodyPiece, EndOfMessage, Failed, HttpEvent, Response
from ._answer import AnswerStream, Form, StreamFailed, StreamItem, form_of, media_type
from ._attempts import retry_after_seconds

if TYPE_CHECKING:
    from ._admission import PreparedStep
    from ._core import Core
    from ._pool import Lessee, UpstreamConnection

__all__ = ["Begun", "Broken", "Exchange", "Finished", "Headed", "Pull", "Pulled"]


_REQUEST_TIMEOUT = 408


class Pull(enum.Enum):
    """What a pull brought when it brought nothing to act on."""

    MOVED = "something moved, there may be more"
    STARVED = "nothing until more bytes arrive"


@record
class Headed:
    """The head of the answer is here; `retry_after` is in seconds."""

    status: int
    content_type: str
    retry_after: float | None

    @property
    def accepted(self) -> bool:
        """A success (RFC 9110 section 15.3)."""
        return 200 <= self.status < 300


@record
class Begun:
    """The form of delivery is known. Only for a success."""

    streamed: bool
    event_key: str = "event"
    """The metadata key for the names of a stream's events."""


@record
class Finished:
    """The answer is complete; `body` is None for a stream."""

    body: bytes | None


@record
class Broken:
    """The answer will never be complete. `stale`: a kept-alive connection ended before an answer to this request."""

    reason: str
    stale: bool = False
    code: ErrorCode = ErrorCode.PROVIDER_FAILED


Pulled: TypeAlias = Pull | Headed | Begun | StreamItem | Finished | Broken


class Exchange:
    """Holds one lease from the request's last byte to the answer's last byte, or until it is dropped."""

    __slots__ = (
        "_body",
        "_connection",
        "_core",
        "_fault",
        "_form",
        "_forward_done",
        "_gathered",
        "_stream",
        "head",
    )

    def __init__(
        self,
        core: Core,
        connection: UpstreamConnection,
        lessee: Lessee,
        step: PreparedStep,
        *,
        gathered: Callable[[int], None],
        forward_done: bool = False,
    ) -> None:
        """Send the request of `step`.

        `gathered` is told by how much the content held in memory grew. `forward_done` is for `AnswerStream`.
        """
        self.head: Headed | None = None
        self._core = core
        self._connection: UpstreamConnection | None = connection
        self._gathered = gathered
        self._forward_done = forward_done
        self._body = bytearray()  # not a list of pieces: a provider may send its answer one byte at a time
        self._fault: Broken | None = None  # what the head already shows to be wrong with the content
        self._form: Form | None = None
        self._stream: AnswerStream | None = None
        connection.lessee = lessee
        connection.http.send_request(step.request)
        connection.http.send_data(step.body)
        connection.http.end_message()
        core.turn.send(connection.link, connection.http.data_to_send())

    def pause_if_full(self) -> None:
        """Stop reading a connection when what it brought and nobody pulled is enough."""
        connection = self._connection
        if connection is not None and connection.buffered_bytes >= self._core.config.limits.upstream_high_water_bytes:
            self._core.turn.set_reading(connection.link, False)

    def pull(self, now: float) -> Pulled:
        """Move at most one event; an item comes before anything that arrived behind it."""
        if self._stream is not None and (pulled := self._next_item(self._stream)) is not None:
            return pulled
        if self._fault is not None:
            return self._fault
        connection = self._connection
        if connection is None:
            return Finished(None if self._stream is not None else bytes(self._body))
        event = connection.http.next_event()
        if isinstance(event, BodyPiece):
            return self._on_piece(event.data)
        if not isinstance(event, Signal):
            return self._on_event(connection, event, now)
        connection.buffered_bytes = 0
        if connection.broken:
            return Broken("the connection was reset", stale=connection.used and not connection.answered)
        self._core.turn.set_reading(connection.link, True)
        return Pull.STARVED

    def drop(self, now: float) -> None:
        """Forget what was gathered, and drop the connection if the answer is not complete."""
        self._forget_body()
        connection, self._connection = self._connection, None
        if connection is not None:
            self._core.pool.discard(connection, now)

    def _on_event(self, connection: UpstreamConnection, event: HttpEvent, now: float) -> Pulled:
        if isinstance(event, Response):
            return self._on_response(connection, event)
        if isinstance(event, EndOfMessage):
            return self._on_end(connection, now)
        if isinstance(event, Failed):
            return Broken(event.reason, stale=connection.used and not event.received_any)
        return Pull.MOVED  # an interim response: a client machine with a request under way reports nothing else

    def _on_response(self, connection: UpstreamConnection, response: Response) -> Pulled:
        if response.status == _REQUEST_TIMEOUT and connection.used:
            # Some servers say so before they close a connection that they kept alive, and it crossed our request.
            return Broken("it waited too long for a request", stale=True)
        fields = dict(response.headers)
        self.head = Headed(
            response.status,
            fields.get(b"content-type", b"").decode("latin-1"),
            retry_after_seconds(fields.get(b"retry-after")),
        )
        if not self.head.accepted:
            self._form = Form.WHOLE
        coding = fields.get(b"content-encoding", b"identity").strip().lower()
        if coding not in (b"identity", b""):
            self._fault = Broken(f"it answered in a content coding that was not asked for: {coding.decode('latin-1')}")
        return self.head

    def _next_item(self, stream: AnswerStream) -> StreamItem | Broken | None:
        item = stream.next_item()
        return Broken(item.reason) if isinstance(item, StreamFailed) else item

    def _on_piece(self, data: bytes) -> Pulled:
        if self._stream is not None:
            self._stream.receive_data(data)
            return self._next_item(self._stream) or Pull.MOVED  # most pieces are just one event
        self._body += data
        self._gathered(len(data))
        limit = self._core.config.limits.max_response_bytes
        if len(self._body) > limit:
            return Broken(f"its answer is larger than {limit} bytes", code=ErrorCode.PROVIDER_ANSWER_TOO_LARGE)
        return Pull.MOVED if self._form is not None else self._choose_form(False)

    def _on_end(self, connection: UpstreamConnection, now: float) -> Pulled:
        self._connection = None
        self._core.pool.release(connection, now)
        pulled = self._choose_form(True) if self._form is None else Pull.MOVED
        if self._stream is not None:
            self._stream.receive_eof()
        return pulled

    def _choose_form(self, complete: bool) -> Pulled:
        """Look at the beginning of the content; what was held back until the form is known goes its way."""
        head = self.head
        assert head is not None  # noqa: S101 - content comes after a head
        form = form_of(media_type(head.content_type), self._body, complete=complete)
        if form is None:
            return Pull.MOVED
        self._form = form
        if form is Form.WHOLE:
            return Begun(streamed=False)
        config = self._core.config
        self._stream = AnswerStream(form, sse=config.sse, limits=config.limits, forward_done=self._forward_done)
        self._stream.receive_data(bytes(self._body))
        self._forget_body()
        return Begun(streamed=True, event_key=self._stream.event_key)

    def _forget_body(self) -> None:
        self._gathered(-len(self._body))
        self._body = bytearray()
