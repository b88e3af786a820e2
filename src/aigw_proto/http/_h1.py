"""HTTP/1.1 on one byte stream, both roles, message after message (RFC 9112).

Three parts work together. The inbox finds where a head ends; h11 parses and validates that head, keeps the state of
both halves and writes everything that is sent; this file moves bytes between them, bounds them, and turns what h11
raises into events. h11 is only ever shown complete pieces (a whole head, a part of a body that surely belongs to it,
the end of a chunked body), because

* its `PAUSED` has three meanings, and bytes it holds back cannot be taken out again;
* its head limit depends on how the bytes were cut;
* a header line with a long run of spaces and a forbidden character costs it quadratic time: 64 KiB keep it busy for
  ten seconds. Such characters are refused before it looks.

The receiving half is in one of these phases:

    IDLE      client: no request was sent; bytes here are a fault, the end of the stream is orderly
    HEAD      server: a request may come; client: the response is awaited, interim ones stay here
    LENGTH, CHUNKED, UNTIL_CLOSE    within a body, by its framing
    DONE      the peer's message is complete; the other half is not, or the stream has to be closed
    SWITCHED  another protocol owns the stream
    ENDED     a terminal event was returned, or is about to be

The two halves are coupled at one point: when both messages are complete and the stream is kept, both start again.
Nothing behind a message is parsed before that, so a server answers pipelined requests one after the other. What the
caller feeds meanwhile is stored as it is; a caller that keeps reading while `next_event()` says BLOCKED is the one
who decides how much that may be.
"""

from __future__ import annotations

import enum
import re

import h11

from .._errors import LocalProtocolError
from .._kinds import Role, Signal
from .._limits import HttpLimits
from .._timers import TimerTable
from ._chunked import ChunkedBody, ChunkingFault
from ._events import (
    BodyPiece,
    EndOfMessage,
    Failed,
    Headers,
    HttpEvent,
    InformationalResponse,
    Request,
    Response,
    StreamEnded,
)
from ._inbox import BLANK_LINE, BlockTooLong, Inbox

__all__ = ["H1Connection"]

_PIECE_BYTES = 64 * 1024  # largest body piece: bounds a turn's work, and is what one read brings
_JOIN_BYTES = 4096  # below it, joining a chunk with its frame is cheaper than three buffers for the kernel
_MAX_INTERIM_RESPONSES = 1000  # a server that reports progress (102) for an hour; a flood is an attack

_FORBIDDEN = re.compile(rb"[\x00\x0b\x0c]|\r(?!\n)")
_EMPTY_LINES = re.compile(rb"(?:\r?\n)+")
_FIRST_PRINTABLE = 0x21
_HTTP_VERSIONS = (b"1.1", b"1.0")

_UNKNOWN = -1  # no length in advance


class _Phase(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()
    DONE = enum.auto()
    SWITCHED = enum.auto()
    ENDED = enum.auto()


class _Timer(enum.Enum):
    HEAD = enum.auto()
    IDLE = enum.auto()


def _tokens(headers: Headers, wanted: bytes) -> list[bytes]:
    """Return the items of a comma-separated header in lower case."""
    return [
        item.strip() for name, value in headers if name == wanted for item in value.lower().split(b",") if item.strip()
    ]


def _declared_length(headers: Headers) -> int | None:
    """Return the length that the headers frame a body with; `_UNKNOWN` for chunked, None when they say nothing."""
    length = None
    for name, value in headers:
        if name == b"transfer-encoding":
            return _UNKNOWN
        if name == b"content-length":
            length = int(value)
    return length


def _lower(event: h11.Request | h11.Response | h11.InformationalResponse | h11.EndOfMessage) -> Headers:
    return [(name.lower(), value) for name, value in event.headers.raw_items()]


class H1Connection:
    """One HTTP/1.1 connection; a `Machine[HttpEvent]`.

    Keep-alive: after a message the next one's events follow on the same object. `next_event()` returns

    * `Signal.BLOCKED` while the next step is the caller's: a server has to finish its answer, a client to send a
      request, either to close the stream (`must_close`);
    * `Signal.SWITCHED` after a 101 (or after a 2xx to CONNECT), from then on; `unconsumed()` has what came behind it.

    After `Failed` a server may still send one answer while `can_answer`; then it closes the stream.
    """

    __slots__ = (
        "_chunked",
        "_close_after",
        "_continue_wanted",
        "_eof",
        "_failure",
        "_h11",
        "_inbox",
        "_interim_count",
        "_is_server",
        "_left",
        "_limits",
        "_method",
        "_now",
        "_output",
        "_peer_is_old",
        "_phase",
        "_received_any",
        "_received_body_bytes",
        "_send_left",
        "_timers",
        "_timers_are_exact",
        "_upgrade_asked",
    )

    def __init__(self, role: Role, *, now: float, limits: HttpLimits = HttpLimits()) -> None:  # noqa: B008 - immutable
        """Start on a fresh stream; on a server the head deadline begins at `now` (monotonic seconds)."""
        self._is_server = role is Role.SERVER
        # h11 only sees complete blocks, so its own limit must never be the one that counts.
        self._h11 = h11.Connection(
            h11.SERVER if self._is_server else h11.CLIENT, max_incomplete_event_size=limits.max_head_bytes
        )
        self._limits = limits
        self._inbox = Inbox()
        self._output: list[bytes] = []
        self._phase = _Phase.HEAD if self._is_server else _Phase.IDLE
        self._eof = False
        self._failure: Failed | None = None
        self._now = now
        self._timers: TimerTable[_Timer] = TimerTable()
        self._timers_are_exact = True
        self._chunked: ChunkedBody | None = None
        self._left = 0
        self._received_body_bytes = 0
        self._send_left = 0
        self._interim_count = 0
        self._method = b""
        self._received_any = False
        self._close_after = False
        self._continue_wanted = False
        self._peer_is_old = False
        self._upgrade_asked = False
        if self._is_server:
            self._timers.arm(_Timer.HEAD, now + limits.head_timeout_seconds)

    # --- state that callers decide by -------------------------------------------------------------------------------

    @property
    def reusable(self) -> bool:
        """Client: `send_request()` is allowed now. False as soon as a byte or the end of the stream was received."""
        return self._phase is _Phase.IDLE and not self._eof and not self._inbox

    @property
    def idle(self) -> bool:
        """Nothing of a message is under way in either direction."""
        if self._is_server:
            return self._phase is _Phase.HEAD and not self._inbox and self._h11.our_state is h11.IDLE
        return self._phase is _Phase.IDLE and not self._inbox

    @property
    def must_close(self) -> bool:
        """The stream has to be closed after the message under way.

        Because of `Connection: close`, HTTP/1.0, a body that ends with the stream, an early answer, or an error.
        """
        return self._close_after or self._phase is _Phase.ENDED

    @property
    def can_answer(self) -> bool:
        """Server: a final response may be sent, also after `Failed` as long as none was begun."""
        if not self._is_server or self._phase is _Phase.SWITCHED:
            return False
        ours = self._h11.our_state
        return ours is h11.SEND_RESPONSE or (ours is h11.IDLE and self._failure is not None)

    @property
    def expects_continue(self) -> bool:
        """Server: the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1)."""
        return self._is_server and self._h11.they_are_waiting_for_100_continue

    # --- receiving --------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes from the peer; parses nothing. Ignored after a terminal event."""
        self._now = now
        if self._phase is _Phase.ENDED or not data:
            return
        self._received_any = True
        self._inbox.append(data)
        if self._is_server:
            self._time_server()

    def receive_eof(self, now: float) -> None:
        """Note that the peer will send no more bytes; idempotent."""
        self._now = now
        self._eof = True

    def next_event(self) -> HttpEvent | Signal:
        """Return the next event, or why there is none. Never raises for a peer's bytes."""
        if self._failure is not None and self._phase is not _Phase.ENDED:
            return self._end(self._failure)
        try:
            return _READ[self._phase](self)
        except h11.RemoteProtocolError as error:
            return self._fail(error.error_status_hint, str(error))
        except BlockTooLong:
            return self._fail(431, f"the head is longer than {self._limits.max_head_bytes} bytes")
        except ChunkingFault as fault:
            return self._fail(400, str(fault))

    def unconsumed(self) -> bytes:
        """Move out the bytes behind the head of the switch, for the next protocol. Only after `Signal.SWITCHED`."""
        if self._phase is not _Phase.SWITCHED:
            raise LocalProtocolError("the connection has not switched to another protocol")
        return self._inbox.take_all()

    def _read_idle(self) -> HttpEvent | Signal:
        if self._inbox:
            return self._fail(502, "bytes arrived that answer no request")
        return self._end(StreamEnded()) if self._eof else Signal.BLOCKED

    def _read_head(self) -> HttpEvent | Signal:
        limit = self._limits.max_head_bytes
        while (head := self._inbox.take_until(BLANK_LINE, limit)) is not None:
            if self._is_server and (blank := _EMPTY_LINES.match(head)) is not None:
                # Empty lines before a request line are ignored (RFC 9112 section 2.2).
                head = head[blank.end() :]
                if not head:
                    continue
            if _FORBIDDEN.search(head) is not None:
                return self._fail(400, "the head holds a forbidden character")
            self._h11.receive_data(head)
            return self._take_request() if self._is_server else self._take_response()
        partial = self._inbox.partial
        if self._eof:
            return self._end_within_head()
        if partial and partial[0] < _FIRST_PRINTABLE and not (self._is_server and _EMPTY_LINES.match(partial + b"\n")):
            return self._fail(400, "this is not HTTP")  # say so early: TLS to a plain port would wait for ever
        return Signal.NEED_DATA

    def _end_within_head(self) -> HttpEvent:
        if self._is_server and not self._inbox.partial.strip(b"\r\n"):
            return self._end(StreamEnded())
        return self._fail(400, "the stream ended before a whole head arrived")

    def _take_request(self) -> HttpEvent:
        event = self._h11.next_event()
        assert isinstance(event, h11.Request)  # noqa: S101 - h11 was given one whole head
        if event.http_version not in _HTTP_VERSIONS:
            return self._fail(505, "only HTTP/1.1 and HTTP/1.0 are understood")
        self._timers.clear()
        headers = _lower(event)
        self._peer_is_old = event.http_version == b"1.0"
        length = _declared_length(headers)
        if length == _UNKNOWN and (self._peer_is_old or any(name == b"content-length" for name, _ in headers)):
            # RFC 9112 section 6.1: two framings in one request are how requests are smuggled.
            return self._fail(400, "Transfer-Encoding together with Content-Length or HTTP/1.0")
        if length is not None and length > self._limits.max_request_body_bytes:
            return self._fail(413, f"the body is longer than {self._limits.max_request_body_bytes} bytes")
        self._method = event.method
        self._close_after = self._peer_is_old or b"close" in _tokens(headers, b"connection")
        self._upgrade_asked = bool(_tokens(headers, b"upgrade"))
        self._start_body(0 if length is None else length)
        return Request(event.method, event.target, headers, event.http_version)

    def _take_response(self) -> HttpEvent:
        event = self._h11.next_event()
        assert isinstance(event, h11.Response | h11.InformationalResponse)  # noqa: S101 - h11 was given one whole head
        headers = _lower(event)
        status = event.status_code
        if event.http_version not in _HTTP_VERSIONS:
            return self._fail(502, "the answer is not HTTP/1.1 or HTTP/1.0")
        if self._h11.their_state is h11.SWITCHED_PROTOCOL:
            self._phase = _Phase.SWITCHED
            return Response(status, headers, event.reason, event.http_version)
        if status < 200:
            self._interim_count += 1
            if self._interim_count > _MAX_INTERIM_RESPONSES:
                return self._fail(502, "too many interim responses")
            return InformationalResponse(status, headers)
        length = _declared_length(headers)
        if length == _UNKNOWN and (event.http_version == b"1.0" or any(n == b"content-length" for n, _ in headers)):
            self._close_after = True  # RFC 9112 section 6.1: read it as chunked, but trust nothing behind it
        if self._method == b"HEAD" or status in {204, 304}:
            length = 0
        if length is None or event.http_version == b"1.0" or b"close" in _tokens(headers, b"connection"):
            self._close_after = True
        self._start_body(length)
        return Response(status, headers, event.reason, event.http_version)

    def _start_body(self, length: int | None) -> None:
        self._received_body_bytes = 0
        if length is None:
            self._phase = _Phase.UNTIL_CLOSE
        elif length == _UNKNOWN:
            self._phase, self._chunked = _Phase.CHUNKED, ChunkedBody(self._inbox)
        else:
            self._phase, self._left = _Phase.LENGTH, length

    def _read_length(self) -> HttpEvent | Signal:
        if not self._left:
            return self._finish_received()
        piece = self._inbox.take(min(self._left, _PIECE_BYTES))
        if not piece:
            return self._need_body()
        self._left -= len(piece)
        self._h11.receive_data(piece)
        self._h11.next_event()  # the same bytes, copied; h11 counts them
        return BodyPiece(piece)

    def _read_until_close(self) -> HttpEvent | Signal:
        piece = self._inbox.take(_PIECE_BYTES)
        if piece:
            return BodyPiece(piece)  # h11 has nothing to count here
        if not self._eof:
            return Signal.NEED_DATA
        self._h11.receive_data(b"")
        return self._finish_received()

    def _read_chunked(self) -> HttpEvent | Signal:
        body = self._chunked
        assert body is not None  # noqa: S101 - set together with the phase
        piece = body.take(_PIECE_BYTES)
        if piece:
            self._received_body_bytes += len(piece)
            if self._is_server and self._received_body_bytes > self._limits.max_request_body_bytes:
                return self._fail(413, f"the body is longer than {self._limits.max_request_body_bytes} bytes")
            return BodyPiece(piece)
        if not body.trailing or (trailers := body.take_trailers()) is None:
            return self._need_body()
        if _FORBIDDEN.search(trailers) is not None:
            return self._fail(400, "a trailer holds a forbidden character")
        self._h11.receive_data(b"0\r\n" + trailers)
        return self._finish_received()

    def _need_body(self) -> HttpEvent | Signal:
        return self._fail(400, "the stream ended within a body") if self._eof else Signal.NEED_DATA

    def _finish_received(self) -> HttpEvent:
        event = self._h11.next_event()
        assert isinstance(event, h11.EndOfMessage)  # noqa: S101 - the body is complete
        self._chunked = None
        self._phase = _Phase.DONE
        self._restart()
        return EndOfMessage(_lower(event))

    def _read_done(self) -> HttpEvent | Signal:
        if self._is_server:
            # What is pipelined waits for our answer; behind the last message it is of no use.
            if self._h11.our_state is not h11.MUST_CLOSE:
                return Signal.BLOCKED
            self._inbox.clear()
        elif self._inbox:
            return self._fail(502, "bytes arrived behind the answer")
        return self._end(StreamEnded()) if self._eof else Signal.BLOCKED

    def _read_switched(self) -> Signal:
        return Signal.SWITCHED

    def _read_ended(self) -> Signal:
        return Signal.NEED_DATA

    def _fail(self, status: int, reason: str) -> Failed:
        failure = Failed(status if self._is_server else 502, reason, received_any=self._received_any)
        self._failure = failure
        self._end(failure)
        return failure

    def _end(self, event: Failed | StreamEnded) -> Failed | StreamEnded:
        self._phase = _Phase.ENDED
        self._inbox.clear()
        self._timers.clear()
        return event

    # --- sending ----------------------------------------------------------------------------------------------------

    def send_request(self, request: Request) -> None:
        """Client: queue the head of a request. Nothing is added: the caller gives Host and the body's framing.

        Raises LocalProtocolError unless `reusable`, or when the request is malformed.
        """
        if self._is_server or not self.reusable:
            raise LocalProtocolError("a request cannot be sent now")
        if request.http_version != b"1.1":
            raise LocalProtocolError("requests are sent as HTTP/1.1")
        try:
            event = h11.Request(method=request.method, target=request.target, headers=request.headers)
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error
        self._output.append(self._h11.send(event))
        headers = _lower(event)
        self._method = event.method
        self._send_left = _declared_length(headers) or 0
        self._close_after = b"close" in _tokens(headers, b"connection")
        self._interim_count = 0
        self._received_any = False
        self._phase = _Phase.HEAD

    def send_response(self, response: Response) -> None:
        """Server: queue the head of a response. Interim ones (1xx) may come before the final one; 101 is `send_switch`.

        A final response that comes before the request is complete, or after `Failed`, closes the connection. Without a
        length the body is sent chunked, to an HTTP/1.0 client until the end of the stream. Interim responses are not
        sent to HTTP/1.0 clients (RFC 9110 section 15.2). Raises LocalProtocolError.
        """
        if response.status == 101:
            raise LocalProtocolError("a 101 is sent with send_switch()")
        if not self.can_answer:
            raise LocalProtocolError("a response cannot be sent now")
        if response.status < 200:
            self._send_interim(response)
            return
        headers = list(response.headers)
        if self._failure is not None or self._phase is not _Phase.DONE:
            self._finish_empty_body()
        if (self._failure is not None or self._phase is not _Phase.DONE) and not self._close_after:
            headers.append((b"connection", b"close"))
        try:
            event = h11.Response(status_code=response.status, headers=headers, reason=response.reason)
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error
        self._output.append(self._h11.send(event))
        length = _declared_length(_lower(event))
        if self._method == b"HEAD" or response.status in {204, 304}:
            length = 0
        self._send_left = _UNKNOWN if length is None else length
        if b"close" in _tokens(_lower(event), b"connection") or (self._send_left == _UNKNOWN and self._peer_is_old):
            self._close_after = True

    def send_continue(self) -> None:
        """Server: tell a client that waits for it to send the body (100); nothing when it does not wait."""
        if self.expects_continue and self.can_answer:
            self._send_interim(Response(100, []))

    def send_data(self, data: bytes) -> None:
        """Queue a piece of the body; a large one is not copied. Raises LocalProtocolError when it does not fit."""
        if self._h11.our_state is not h11.SEND_BODY:
            raise LocalProtocolError("no message is under way to send data in")
        if self._send_left != _UNKNOWN:
            if len(data) > self._send_left:
                raise LocalProtocolError("more data than the length that was declared")
            self._send_left -= len(data)
        if not data:
            return
        event = h11.Data(data=data)
        if len(data) < _JOIN_BYTES:
            self._output.append(self._h11.send(event))
        else:
            self._output += self._h11.send_with_data_passthrough(event) or ()

    def end_message(self, trailers: Headers | None = None, *, now: float | None = None) -> None:
        """Finish the message under way; `trailers` need a body sent in chunks and are not sent to HTTP/1.0 clients.

        `now` makes the idle deadline of a server exact; without it the time of the last received bytes is taken until
        the next timeout. Raises LocalProtocolError.
        """
        if self._h11.our_state is not h11.SEND_BODY:
            raise LocalProtocolError("no message is under way to end")
        if self._send_left > 0:
            raise LocalProtocolError("less data than the length that was declared")
        if trailers and self._send_left != _UNKNOWN:
            raise LocalProtocolError("trailers need a body without a declared length")
        if self._peer_is_old:
            trailers = None
        try:
            event = h11.EndOfMessage(headers=trailers or [])
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error
        tail = self._h11.send(event)
        if tail:
            self._output.append(tail)
        if now is not None:
            self._now = now
        self._timers_are_exact = now is not None
        self._restart()

    def send_switch(self, response: Response) -> None:
        """Server: answer an upgrade request with a 101 and hand the stream over.

        The request must be complete (a request without a body is). Raises LocalProtocolError.
        """
        if response.status != 101:
            raise LocalProtocolError("only a 101 switches protocols")
        if not self.can_answer or self._failure is not None or not self._upgrade_asked:
            raise LocalProtocolError("no upgrade was asked for, or the answer has begun")
        if self._phase is not _Phase.DONE and not (self._phase is _Phase.LENGTH and not self._left):
            raise LocalProtocolError("the request is not complete")
        event = self._interim(response)
        self._finish_empty_body()
        self._output.append(self._h11.send(event))
        self._phase = _Phase.SWITCHED

    def data_to_send(self) -> list[bytes]:
        """Move the pending output to the caller."""
        output, self._output = self._output, []
        return output

    def _interim(self, response: Response) -> h11.InformationalResponse:
        try:
            return h11.InformationalResponse(
                status_code=response.status, headers=response.headers, reason=response.reason
            )
        except h11.LocalProtocolError as error:
            raise LocalProtocolError(str(error)) from error

    def _send_interim(self, response: Response) -> None:
        event = self._interim(response)
        if not self._peer_is_old and self._failure is None:
            self._output.append(self._h11.send(event))

    def _finish_empty_body(self) -> None:
        """Take the end of a request without a body, which the caller has not pulled yet."""
        if self._phase is _Phase.LENGTH and not self._left:
            self._h11.next_event()
            self._phase = _Phase.DONE

    def _restart(self) -> None:
        """Begin the next cycle when both messages are complete and the stream is kept."""
        if self._phase is not _Phase.DONE or self._close_after:
            return
        if self._h11.our_state is not h11.DONE or self._h11.their_state is not h11.DONE:
            return
        self._h11.start_next_cycle()
        self._upgrade_asked = False
        self._received_any = bool(self._inbox)
        self._phase = _Phase.HEAD if self._is_server else _Phase.IDLE
        if self._is_server:
            self._time_server()

    # --- time -------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in monotonic seconds. A client has none: its owner knows what to wait for."""
        return self._timers.earliest()

    def handle_timeout(self, now: float) -> None:
        """Let time pass; what expired is the next event."""
        self._now = now
        name = self._timers.expire(now)
        if name is None or self._failure is not None:
            return
        if not self._timers_are_exact:
            self._timers_are_exact = True
            self._timers.clear()
            self._time_server()
        elif name is _Timer.IDLE:
            self._eof = True
        else:
            self._failure = Failed(408, "no whole request arrived in time", received_any=self._received_any)

    def _time_server(self) -> None:
        """Arm the deadline of the request that is awaited: long while nothing came, short from its first byte on."""
        if self._phase is not _Phase.HEAD:
            return
        if self._inbox:
            self._timers.disarm(_Timer.IDLE)
            if self._timers.deadline(_Timer.HEAD) is None:
                self._timers.arm(_Timer.HEAD, self._now + self._limits.head_timeout_seconds)
        elif self._timers.deadline(_Timer.HEAD) is None:
            self._timers.arm(_Timer.IDLE, self._now + self._limits.idle_timeout_seconds)


_READ = {
    _Phase.IDLE: H1Connection._read_idle,
    _Phase.HEAD: H1Connection._read_head,
    _Phase.LENGTH: H1Connection._read_length,
    _Phase.CHUNKED: H1Connection._read_chunked,
    _Phase.UNTIL_CLOSE: H1Connection._read_until_close,
    _Phase.DONE: H1Connection._read_done,
    _Phase.SWITCHED: H1Connection._read_switched,
    _Phase.ENDED: H1Connection._read_ended,
}
