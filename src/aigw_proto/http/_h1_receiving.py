"""The receiving half of an HTTP/1.1 connection; `_h1` has the other half and the theory of both."""

from __future__ import annotations

import enum
import re
from typing import TYPE_CHECKING

import h11

from .._errors import LocalProtocolError
from .._kinds import Role, Signal
from .._limits import UNLIMITED
from ._chunked import ChunkedBody, ChunkingFault
from ._events import BodyPiece, EndOfMessage, Failed, InformationalResponse, Request, Response, StreamEnded
from ._heads import UNKNOWN, declared_length, fields, to_h11_request, tokens
from ._inbox import BLANK_LINE, BlockTooLong, Inbox
from ._patience import Patience, Wait
from ._upgrade_head import read_switch, read_upgrade_request

if TYPE_CHECKING:
    from .._limits import HttpLimits
    from ._events import Headers, HttpEvent

__all__ = ["Phase", "ReceivingHalf"]

_PIECE_BYTES = 64 * 1024  # largest body piece: bounds a turn's work, and is what one read brings
_MAX_INTERIM_RESPONSES = 1000  # a server that reports progress (102) for an hour; a flood is an attack

_FORBIDDEN = re.compile(rb"[\x00\x0b\x0c]|\r(?!\n)")
_EMPTY_LINES = re.compile(rb"(?:\r?\n)+")
_FIRST_PRINTABLE = 0x21
_ANSWER = b"HTTP/"  # what every response begins with
_NOT_HTTP = "this is not HTTP"
_BYTEARRAY = re.compile(r"bytearray\((b.*?)\)")  # how h11 shows a line: of no interest to a peer
_HTTP_VERSIONS = (b"1.1", b"1.0")


class Phase(enum.Enum):
    """Where the receiving half stands."""

    IDLE = enum.auto()
    HEAD = enum.auto()
    LENGTH = enum.auto()
    CHUNKED = enum.auto()
    UNTIL_CLOSE = enum.auto()
    DONE = enum.auto()
    SWITCHED = enum.auto()
    ENDED = enum.auto()


class ReceivingHalf:
    """What both roles need to receive messages one after the other. Made for `H1Connection` to build on."""

    __slots__ = (
        "_chunked",
        "_close_after",
        "_due",
        "_end_is_owed",
        "_eof",
        "_failed",
        "_h11",
        "_inbox",
        "_interim_count",
        "_is_server",
        "_left",
        "_limits",
        "_method",
        "_now",
        "_now_is_old",
        "_patience",
        "_peer_is_old",
        "_phase",
        "_received_any",
        "_received_body_bytes",
        "_unseen",
        "_untold",
        "_untold_end",
        "_upgrade_asked",
    )

    def __init__(self, role: Role, *, now: float, limits: HttpLimits) -> None:
        """Start on a fresh stream; a server waits for a head from `now` on."""
        self._is_server = role is Role.SERVER
        self._h11: h11.Connection | None = None
        # What was read (server) or sent (client) without h11, for when h11 is needed after all:
        self._unseen = b""
        self._untold: Request | None = None
        self._untold_end = False
        self._limits = limits
        self._inbox = Inbox()
        self._phase = Phase.HEAD if self._is_server else Phase.IDLE
        self._due: Failed | StreamEnded | None = None
        self._failed = False
        self._eof = False
        self._received_any = False
        self._close_after = False
        # Of the message that arrives:
        self._method = b""
        self._chunked: ChunkedBody | None = None
        self._left = 0
        self._received_body_bytes = 0
        self._interim_count = 0
        self._peer_is_old = False
        self._upgrade_asked = False
        self._end_is_owed = False
        self._now = now
        self._now_is_old = False
        self._patience = Patience(limits)
        if self._is_server:
            self._patience.start(Wait.HEAD, now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes from the peer; parses nothing. Ignored after a terminal event."""
        self._set_time(now)
        if self._phase is Phase.ENDED or not data:
            return
        self._received_any = True
        self._inbox.append(data)
        if self._phase is Phase.HEAD and self._is_server and self._patience.wait is not Wait.HEAD:
            self._patience.start(Wait.HEAD, now)  # short from the first byte on, and bytes do not prolong it
        elif self._patience.wait is Wait.BODY:
            self._patience.start(Wait.BODY, now)

    def receive_eof(self, now: float) -> None:
        """Note that the peer will send no more bytes; idempotent."""
        self._set_time(now)
        self._eof = True

    def next_event(self) -> HttpEvent | Signal:
        """Return the next event, or why there is none. Never raises for a peer's bytes."""
        if self._end_is_owed:
            self._end_is_owed = False
            return EndOfMessage([])
        if self._due is not None:
            return self._end(self._due)
        try:
            return self._read()
        except h11.RemoteProtocolError as error:
            return self._fail(error.error_status_hint, _BYTEARRAY.sub(r"\1", str(error)))
        except BlockTooLong:
            if self._is_not_http():
                return self._fail(400, _NOT_HTTP)
            return self._fail(431, f"the head is longer than {self._limits.max_head_bytes} bytes")
        except ChunkingFault as fault:
            return self._fail(400, str(fault))

    def _machine(self) -> h11.Connection:
        """Return h11's part, which is made when it is needed first: most upgrades never do."""
        machine = self._h11
        if machine is None:
            role = h11.SERVER if self._is_server else h11.CLIENT
            machine = self._h11 = h11.Connection(role, max_incomplete_event_size=self._limits.max_head_bytes)
            if self._unseen:
                machine.receive_data(self._unseen)
                machine.next_event()
                self._unseen = b""
                if self._phase is Phase.DONE:
                    machine.next_event()
            elif self._untold is not None:
                machine.send(to_h11_request(self._untold))
                if self._untold_end:
                    machine.send(h11.EndOfMessage())
                self._untold = None
        return machine

    def _our_state(self) -> object:
        """Return where the sending half stands, in h11's words."""
        if self._h11 is not None:
            return self._h11.our_state
        if self._untold is not None:
            return h11.DONE if self._untold_end else h11.SEND_BODY
        return h11.SEND_RESPONSE if self._unseen else h11.IDLE

    def unconsumed(self) -> bytes:
        """Move out the bytes behind the head of the switch, for the next protocol. Only after `Signal.SWITCHED`."""
        if self._phase is not Phase.SWITCHED:
            raise LocalProtocolError("the connection has not switched to another protocol")
        return self._inbox.take_all()

    def _read(self) -> HttpEvent | Signal:
        match self._phase:
            case Phase.CHUNKED:
                return self._read_chunked()
            case Phase.LENGTH:
                return self._read_length()
            case Phase.UNTIL_CLOSE:
                return self._read_until_close()
            case Phase.HEAD:
                return self._read_head()
            case Phase.DONE:
                return self._read_done()
            case Phase.IDLE:
                return self._read_idle()
            case Phase.SWITCHED:
                return Signal.SWITCHED
            case Phase.ENDED:
                return Signal.NEED_DATA

    def _read_idle(self) -> HttpEvent | Signal:
        if self._inbox:
            return self._fail(502, "bytes arrived that answer no request")
        return self._end(StreamEnded()) if self._eof else Signal.BLOCKED

    def _read_head(self) -> HttpEvent | Signal:
        most = min(self._limits.max_head_bytes, UNLIMITED)
        while (head := self._inbox.take_until(BLANK_LINE, most)) is not None:
            if self._is_server and (blank := _EMPTY_LINES.match(head)) is not None:
                # Empty lines before a request line are ignored (RFC 9112 section 2.2).
                head = head[blank.end() :]
                if not head:
                    continue
            if head[0] < _FIRST_PRINTABLE or not (self._is_server or head.startswith(_ANSWER)):
                return self._fail(400, _NOT_HTTP)
            if _FORBIDDEN.search(head) is not None:
                return self._fail(400, "the head holds a forbidden character")
            if self._is_server and self._h11 is None and (request := read_upgrade_request(head)) is not None:
                self._unseen = head
                return self._begin_request(request)
            if self._untold_end and self._h11 is None and (switch := read_switch(head)) is not None:
                self._phase = Phase.SWITCHED
                return switch
            self._machine().receive_data(head)
            return self._take_request() if self._is_server else self._take_response()
        if self._is_not_http():
            return self._fail(400, _NOT_HTTP)  # say so early: TLS to a plain port would wait for ever
        if not self._eof:
            return Signal.NEED_DATA
        if self._is_server and not self._inbox.partial.strip(b"\r\n"):
            return self._end(StreamEnded())
        return self._fail(400, "the stream ended before a whole head arrived")

    def _is_not_http(self) -> bool:
        """Whether the unfinished head begins with what no head, and no empty line before a request, begins with."""
        start = self._inbox.partial[: len(_ANSWER)]
        if not self._is_server:
            return not _ANSWER.startswith(start)
        if not start or start[0] >= _FIRST_PRINTABLE:
            return False
        return _EMPTY_LINES.match(start[:2] + b"\n") is None

    def _take_request(self) -> HttpEvent:
        event = self._machine().next_event()
        assert isinstance(event, h11.Request)  # noqa: S101 - h11 was given one whole head
        return self._begin_request(Request(event.method, event.target, fields(event), event.http_version))

    def _begin_request(self, request: Request) -> HttpEvent:
        self._method = request.method  # before anything fails: the answer to HEAD has no body then either
        if request.http_version not in _HTTP_VERSIONS:
            return self._fail(505, "only HTTP/1.1 and HTTP/1.0 are understood")
        headers = request.headers
        self._peer_is_old = request.http_version == b"1.0"
        length = declared_length(headers)
        if length == UNKNOWN and (self._peer_is_old or any(name == b"content-length" for name, _ in headers)):
            # RFC 9112 section 6.1: two framings in one request are how requests are smuggled.
            return self._fail(400, "Transfer-Encoding together with Content-Length or HTTP/1.0")
        if length is not None and length > self._limits.max_request_body_bytes:
            return self._fail_body()
        self._close_after = self._peer_is_old or b"close" in tokens(headers, b"connection")
        self._upgrade_asked = bool(tokens(headers, b"upgrade"))
        self._start_body(length or 0)
        if length:
            self._patience.start(Wait.BODY, self._now, loose=self._now_is_old)
        else:
            self._patience.stop()
        return request

    def _take_response(self) -> HttpEvent:
        machine = self._machine()
        event = machine.next_event()
        assert isinstance(event, h11.Response | h11.InformationalResponse)  # noqa: S101 - h11 was given one whole head
        status = event.status_code
        is_old = event.http_version == b"1.0"
        if event.http_version not in _HTTP_VERSIONS:
            return self._fail(502, "the answer is not HTTP/1.1 or HTTP/1.0")
        headers = fields(event)
        if machine.their_state is h11.SWITCHED_PROTOCOL:
            self._phase = Phase.SWITCHED
            return Response(status, headers, event.reason, event.http_version)
        if status < 200:
            self._interim_count += 1
            if self._interim_count > _MAX_INTERIM_RESPONSES:
                return self._fail(502, "too many interim responses")
            return InformationalResponse(status, headers)
        length = declared_length(headers)
        if length == UNKNOWN and any(name == b"content-length" for name, _ in headers):
            self._close_after = True  # RFC 9112 section 6.1: read it as chunked, but trust nothing behind it
        if self._method == b"HEAD" or status in {204, 304}:
            length = 0
        if is_old or length is None or b"close" in tokens(headers, b"connection"):
            self._close_after = True
        self._start_body(length)
        return Response(status, headers, event.reason, event.http_version)

    def _start_body(self, length: int | None) -> None:
        if length is None:
            self._phase = Phase.UNTIL_CLOSE
        elif length == UNKNOWN:
            self._phase, self._chunked = Phase.CHUNKED, ChunkedBody(self._inbox)
            self._received_body_bytes = 0
        else:
            self._phase, self._left = Phase.LENGTH, length

    def _read_length(self) -> HttpEvent | Signal:
        if not self._left:
            return self._finish_received()
        piece = self._inbox.take(min(self._left, _PIECE_BYTES))
        if not piece:
            return self._need_body()
        self._left -= len(piece)
        machine = self._machine()
        machine.receive_data(piece)
        machine.next_event()  # the same bytes, copied; h11 counts them
        return BodyPiece(piece)

    def _read_until_close(self) -> HttpEvent | Signal:
        if piece := self._inbox.take(_PIECE_BYTES):
            return BodyPiece(piece)  # h11 has nothing to count here
        if not self._eof:
            return Signal.NEED_DATA
        self._machine().receive_data(b"")
        return self._finish_received()

    def _read_chunked(self) -> HttpEvent | Signal:
        body = self._chunked
        assert body is not None  # noqa: S101 - set together with the phase
        if piece := body.take(_PIECE_BYTES):
            self._received_body_bytes += len(piece)
            if self._is_server and self._received_body_bytes > self._limits.max_request_body_bytes:
                return self._fail_body()
            return BodyPiece(piece)
        if not body.trailing or (trailers := body.take_trailers()) is None:
            return self._need_body()
        if _FORBIDDEN.search(trailers) is not None:
            return self._fail(400, "a trailer holds a forbidden character")
        self._machine().receive_data(b"0\r\n" + trailers)
        return self._finish_received()

    def _need_body(self) -> HttpEvent | Signal:
        return self._fail(400, "the stream ended within a body") if self._eof else Signal.NEED_DATA

    def _finish_received(self) -> EndOfMessage:
        trailers: Headers = []
        if not self._unseen:
            event = self._machine().next_event()
            assert isinstance(event, h11.EndOfMessage)  # noqa: S101 - the body is complete
            trailers = fields(event)
        self._chunked = None
        self._phase = Phase.DONE
        self._patience.stop()
        self._restart()
        return EndOfMessage(trailers)

    def _read_done(self) -> HttpEvent | Signal:
        if self._is_server:
            # What is pipelined waits for our answer; behind the last message it is of no use.
            if self._our_state() is not h11.MUST_CLOSE:
                return Signal.BLOCKED
            self._inbox.clear()
        elif self._inbox:
            return self._fail(502, "bytes arrived behind the answer")
        return self._end(StreamEnded()) if self._eof else Signal.BLOCKED

    def _fail_body(self) -> Failed | StreamEnded:
        return self._fail(413, f"the body is longer than {self._limits.max_request_body_bytes} bytes")

    def _fail(self, status: int, reason: str) -> Failed | StreamEnded:
        return self._end(Failed(status if self._is_server else 502, reason, received_any=self._received_any))

    def _end(self, event: Failed | StreamEnded) -> Failed | StreamEnded:
        self._due = None
        self._failed = isinstance(event, Failed)
        self._phase = Phase.ENDED
        self._inbox.clear()
        self._patience.stop()
        return event

    def _restart(self) -> None:
        """Begin the next cycle when both messages are complete and the stream is kept."""
        if self._phase is not Phase.DONE or self._close_after or self._our_state() is not h11.DONE:
            return
        self._machine().start_next_cycle()
        self._method = b""
        self._upgrade_asked = False
        self._received_any = bool(self._inbox)
        self._phase = Phase.HEAD if self._is_server else Phase.IDLE
        if self._is_server:
            self._patience.start(Wait.HEAD if self._inbox else Wait.REQUEST, self._now, loose=self._now_is_old)

    def _set_time(self, now: float) -> None:
        self._now = now
        self._now_is_old = False
