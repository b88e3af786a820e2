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
    ENDED     a terminal event was returned

The two halves are coupled at one point: when both messages are complete and the stream is kept, both start again.
Nothing behind a message is parsed before that, so a server answers pipelined requests one after the other. What the
caller feeds meanwhile is stored as it is; a caller that keeps reading while `next_event()` says BLOCKED is the one
who decides how much that may be.
"""

from __future__ import annotations

import h11

from .._errors import LocalProtocolError
from .._kinds import Role
from .._limits import HttpLimits
from ._events import Failed, Headers, Request, Response, StreamEnded
from ._h1_receiving import Phase, ReceivingHalf
from ._heads import UNKNOWN, declared_length, fields, to_h11_end, to_h11_request, to_h11_response, tokens
from ._patience import Wait
from ._upgrade_head import write_switch, write_upgrade_request

__all__ = ["H1Connection"]

_JOIN_BYTES = 4096  # below it, joining a chunk with its frame is cheaper than three buffers for the kernel


class H1Connection(ReceivingHalf):
    """One HTTP/1.1 connection; a `Machine[HttpEvent]`.

    Keep-alive: after a message the next one's events follow on the same object. `next_event()` returns

    * `Signal.BLOCKED` while the next step is the caller's: a server has to finish its answer, a client to send a
      request, either to close the stream (`must_close`);
    * `Signal.SWITCHED` after a 101 (or after a 2xx to CONNECT), from then on; `unconsumed()` has what came behind it.

    After `Failed` a server may still send one answer while `can_answer`; then it closes the stream.
    """

    __slots__ = ("_output", "_send_left")

    def __init__(self, role: Role, *, now: float, limits: HttpLimits = HttpLimits()) -> None:  # noqa: B008 - never changed
        """Start on a fresh stream; on a server the head deadline begins at `now` (monotonic seconds)."""
        super().__init__(role, now=now, limits=limits)
        self._output: list[bytes] = []
        self._send_left = 0

    # --- what callers decide by -------------------------------------------------------------------------------------

    @property
    def reusable(self) -> bool:
        """Client: `send_request()` is allowed now. False as soon as a byte or the end of the stream was received."""
        return self._phase is Phase.IDLE and not self._eof and not self._inbox

    @property
    def idle(self) -> bool:
        """Nothing of a message is under way in either direction."""
        if self._inbox or self._end_is_owed:
            return False
        if self._phase is Phase.DONE:
            ours = self._our_state()
            return ours is h11.DONE or ours is h11.MUST_CLOSE
        return self._phase is (Phase.HEAD if self._is_server else Phase.IDLE)

    @property
    def must_close(self) -> bool:
        """The stream has to be closed after the message under way.

        Because of `Connection: close`, HTTP/1.0, a body that ends with the stream, an early answer, or an error.
        """
        return self._close_after or self._phase is Phase.ENDED

    @property
    def can_answer(self) -> bool:
        """Server: a final response may be sent; once after `Failed` too, unless one had begun."""
        if not self._is_server or self._phase is Phase.SWITCHED:
            return False
        ours = self._our_state()
        return ours is h11.SEND_RESPONSE or (ours is h11.IDLE and self._failed)

    @property
    def expects_continue(self) -> bool:
        """Server: the client waits for a 100 before it sends the body (RFC 9110 section 10.1.1)."""
        return self._is_server and self._h11 is not None and self._h11.they_are_waiting_for_100_continue

    # --- sending ----------------------------------------------------------------------------------------------------

    def send_request(self, request: Request) -> None:
        """Client: queue the head of a request. Nothing is added: the caller gives Host and the body's framing.

        Raises LocalProtocolError unless `reusable`, or when the request is malformed.
        """
        if self._is_server or not self.reusable:
            raise LocalProtocolError("a request cannot be sent now")
        if self._h11 is None and (head := write_upgrade_request(request)) is not None:
            self._untold, self._untold_end = request, False
            headers = [(name.lower(), value) for name, value in request.headers]
        else:
            event = to_h11_request(request)
            head = self._machine().send(event)
            headers = fields(event)
        self._output.append(head)
        self._method = request.method
        self._send_left = declared_length(headers) or 0
        self._close_after = b"close" in tokens(headers, b"connection")
        self._interim_count = 0
        self._received_any = False
        self._phase = Phase.HEAD

    def send_response(self, response: Response) -> None:
        """Server: queue the head of a response. Interim ones (1xx) may come before the final one; 101 is `send_switch`.

        A final response that comes before the request is complete, or after `Failed`, closes the connection. Without a
        length the body is sent chunked, to an HTTP/1.0 client until the end of the stream. Interim responses are not
        sent to HTTP/1.0 clients (RFC 9110 section 15.2). Raises LocalProtocolError.
        """
        if not self.can_answer or response.status == 101 or (self._method == b"CONNECT" and response.status < 300):
            raise LocalProtocolError("this response cannot be sent now")
        is_early = self._failed or (self._phase is not Phase.DONE and not self._request_is_empty())
        event = to_h11_response(response, closing=is_early and response.status >= 200)
        if isinstance(event, h11.InformationalResponse):
            if not self._peer_is_old and not self._failed:
                self._output.append(self._machine().send(event))
            return
        self._take_empty_end(owed=True)
        self._output.append(self._machine().send(event))
        self._patience.stop()
        headers = fields(event)
        length = 0 if self._method == b"HEAD" or response.status in {204, 304} else declared_length(headers)
        self._send_left = UNKNOWN if length is None else length
        self._close_after = self._close_after or b"close" in tokens(headers, b"connection")

    def send_continue(self) -> None:
        """Server: tell a client that waits for it to send the body (100); nothing when it does not wait."""
        if self.expects_continue and self.can_answer:
            self.send_response(Response(100, []))

    def send_switch(self, response: Response) -> None:
        """Server: answer an upgrade request with a 101 and hand the stream over.

        The request must be complete (one without a body is as soon as it arrived). Raises LocalProtocolError.
        """
        if response.status != 101 or not self._upgrade_asked or not self.can_answer or self._failed:
            raise LocalProtocolError("no upgrade was asked for, or the answer has begun")
        if self._phase is not Phase.DONE and not self._request_is_empty():
            raise LocalProtocolError("the request is not complete")
        if self._unseen and (head := write_switch(response)) is not None:
            self._unseen = b""
            self._output.append(head)
        else:
            event = to_h11_response(response)
            self._take_empty_end(owed=False)
            self._output.append(self._machine().send(event))
        self._phase = Phase.SWITCHED

    def send_data(self, data: bytes) -> None:
        """Queue a piece of the body; a large one is not copied. Raises LocalProtocolError when it does not fit.

        After `Failed` it is dropped when the request was a HEAD, which nobody but this machine can know then.
        """
        if self._our_state() is not h11.SEND_BODY:
            raise LocalProtocolError("no message is under way to send data in")
        if self._failed and self._method == b"HEAD":
            return
        if self._send_left != UNKNOWN:
            if len(data) > self._send_left:
                raise LocalProtocolError("more data than the length that was declared")
            self._send_left -= len(data)
        event = h11.Data(data=data)
        if len(data) >= _JOIN_BYTES:
            self._output += self._machine().send_with_data_passthrough(event) or ()
        elif data:
            self._output.append(self._machine().send(event))

    def end_message(self, trailers: Headers | None = None, *, now: float | None = None) -> None:
        """Finish the message under way; `trailers` need a body sent in chunks; HTTP/1.0 clients get none.

        `now` makes a server's wait for the next request exact; without it, it may last up to twice as long. Raises
        LocalProtocolError.
        """
        if self._our_state() is not h11.SEND_BODY:
            raise LocalProtocolError("no message is under way to end")
        if self._send_left > 0:
            raise LocalProtocolError("less data than the length that was declared")
        if self._failed:
            trailers = None  # the connection ends with this answer, and what asked for it may have been a HEAD
        if trailers and self._send_left != UNKNOWN:
            raise LocalProtocolError("trailers need a body without a declared length")
        if self._untold is not None:
            self._untold_end = True
        elif tail := self._machine().send(to_h11_end(None if self._peer_is_old else trailers)):
            self._output.append(tail)
        if now is None:
            self._now_is_old = True
        else:
            self._set_time(now)
        self._restart()

    def data_to_send(self) -> list[bytes]:
        """Move the pending output to the caller."""
        output, self._output = self._output, []
        return output

    def _request_is_empty(self) -> bool:
        """Whether a request without a body waits for its end to be pulled."""
        return self._phase is Phase.LENGTH and not self._left

    def _take_empty_end(self, *, owed: bool) -> None:
        """Complete a request without a body for a caller that answers before it pulled the end."""
        if self._request_is_empty():
            self._machine().next_event()
            self._phase = Phase.DONE
            self._end_is_owed = owed

    # --- time -------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """Return the earliest deadline in monotonic seconds. A client has none: its owner knows what to wait for."""
        return self._patience.deadline

    def handle_timeout(self, now: float) -> None:
        """Let time pass; what a server waited for in vain is its next event."""
        self._set_time(now)
        expired = self._patience.expire(now)
        if expired is Wait.REQUEST:
            self._due = StreamEnded()
        elif expired is not None:
            self._due = Failed(408, f"waited too long for {expired.value}", received_any=self._received_any)
