"""A WebSocket connection after its opening handshake, either role (RFC 6455 sections 5 to 8).

A connection has two halves and a watchdog. The receiving half (`_receiver`) turns bytes into messages and is asked for
one thing at a time; the sending half (`_sender`) holds what waits to be sent; the watchdog keeps the deadline. This
file couples them: a ping gets its pong, a Close gets its Close, a violation gets the Close that says so. State moves
only as `next_event()` returns, along the table in `_state`; so whatever was valid before a violation is delivered
before it, and a caller that does not pull takes no more work.

A relay (`Delivery.RELAY`) closes end to end: the peer's Close is reported, and answered by the caller once the far side
has answered it. A peer that closes first may still be sent to (section 5.5.1), so what the far side says meanwhile is
not lost.

Two decisions where the RFC leaves room. A peer found dead (no sign of life after a ping) gets no Close frame: section
7.1.7 exempts a peer that cannot receive it, and `Failed` says 1006, which never stands in a frame. And after our own
Close pings are still answered (section 5.5.2 excuses only who *received* a Close), but nothing else is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import CloseCode, LocalProtocolError
from .._kinds import Role, Signal
from .._limits import WebSocketLimits
from ._close import close_payload, is_sendable_code
from ._deflate import DeflateParameters, Deflater, Inflater
from ._events import Closed, CloseReceived, Delivery, Failed, MessagePiece, Opcode, Ping, WebSocketEvent
from ._receiver import Receiver, ReceivingHalf
from ._sender import Sender, SendingHalf
from ._state import AT_ONCE, TRANSITIONS, ConnectionState, Trigger
from ._violation import Violation
from ._watchdog import Expiry, Watchdog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._entropy import Entropy

__all__ = ["WSConnection"]

_TEXT = Opcode.TEXT
_BINARY = Opcode.BINARY
_NEED_DATA = Signal.NEED_DATA
_LATE = {
    ConnectionState.OPEN: "no sign of life after a ping",
    ConnectionState.CLOSING: "no Close in answer to ours",
    ConnectionState.ANSWERING: "the peer's Close was not answered",
}


class WSConnection:
    """One WebSocket connection, from the end of its opening handshake to its terminal event.

    After every call look at `data_to_send()` and `next_timeout()`; after input, pull `next_event()` until it returns
    `Signal.NEED_DATA`. After `Closed` or `Failed` flush what `data_to_send()` still holds and end the stream.

    * `state`: where the connection stands; only to be read.
    * `can_send`: whether messages can be sent in that state; likewise.
    """

    __slots__ = (
        "_defers_close",
        "_eof",
        "_peer_close",
        "_receiver",
        "_receiving",
        "_role",
        "_sender",
        "_terminal",
        "_unread",
        "_watchdog",
        "can_send",
        "state",
    )

    def __init__(
        self,
        role: Role,
        *,
        now: float,
        limits: WebSocketLimits = WebSocketLimits(),  # noqa: B008 - records are never changed
        entropy: Entropy | None = None,
        deflate: DeflateParameters | None = None,
        delivery: Delivery = Delivery.MESSAGES,
    ) -> None:
        """Begin in state OPEN at `now` (monotonic seconds), with what the opening handshake agreed on.

        A client needs `entropy` for its mask keys (LocalProtocolError without). `deflate` is None when
        permessage-deflate was not agreed.
        """
        server = role is Role.SERVER
        if not server and entropy is None:
            raise LocalProtocolError("a client needs entropy for its mask keys")
        self._role = role
        self.state = ConnectionState.OPEN
        self.can_send = True
        self._receiver, self._sender = self._make_halves(role, limits, entropy, deflate, delivery)
        self._receiving = True
        self._unread = False  # something may still be pulled
        self._eof = False
        self._defers_close = delivery is Delivery.RELAY
        self._peer_close: CloseReceived | None = None
        self._terminal: Closed | Failed | None = None  # to be returned by next_event()
        self._watchdog = Watchdog(limits, now)

    def _make_halves(
        self,
        role: Role,
        limits: WebSocketLimits,
        entropy: Entropy | None,
        deflate: DeflateParameters | None,
        delivery: Delivery,
    ) -> tuple[ReceivingHalf, SendingHalf]:
        server = role is Role.SERVER
        deflater: Deflater | None = None
        inflater: Inflater | None = None
        if deflate is not None:
            ours = (deflate.server_max_window_bits, deflate.server_no_context_takeover)
            theirs = (deflate.client_max_window_bits, deflate.client_no_context_takeover)
            if not server:
                ours, theirs = theirs, ours
            deflater = Deflater(window_bits=ours[0], no_context_takeover=ours[1])
            inflater = Inflater(window_bits=theirs[0], no_context_takeover=theirs[1])
        return (
            Receiver(masked=server, limits=limits, inflater=inflater, delivery=delivery),
            Sender(
                entropy=None if server else entropy,
                deflater=deflater,
                max_control_bytes=limits.max_pending_control_bytes,
            ),
        )

    @property
    def sending_message(self) -> bool:
        """Whether a fragmented message is under way in what we send: until it is finished no other can be sent."""
        return self._sender.within_message

    # Receiving

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes from the peer; parses nothing. Ignored once the connection is ending."""
        self._watchdog.heard(now)
        if data and self._receiving and not self._eof:
            self._unread = True
            self._receiver.feed(data)

    def receive_eof(self, now: float) -> None:
        """Note that the peer will send no more bytes; idempotent. What came before is still delivered."""
        self._watchdog.heard(now)
        self._eof = True
        self._unread = self._receiving  # from here on the silence is no sign of death

    def set_reading(self, enabled: bool, now: float) -> None:
        """Say that the caller stops or resumes reading: while it does not read, silence proves nothing."""
        self._watchdog.listen(now, enabled)

    def next_event(self) -> WebSocketEvent | Signal:
        """Return the next thing that happened, or `Signal.NEED_DATA`. Never raises for a peer's bytes."""
        if not self._receiving:
            return self._next_terminal()
        try:
            received = self._receiver.next()
        except Violation as violation:
            return self._give_up(violation.code, violation.reason)
        if received is None:
            self._unread = False
            return self._end(Trigger.STREAM_ENDS) if self._eof else _NEED_DATA
        if isinstance(received, CloseReceived):
            return self._receive_close(received)
        if isinstance(received, Ping):
            self._sender.answer_ping(received.data)
        return received

    def _receive_close(self, close: CloseReceived) -> WebSocketEvent | Signal:
        trigger = Trigger.RECEIVE_CLOSE
        if self.state is ConnectionState.OPEN:
            if self._defers_close:
                trigger = Trigger.DEFER_CLOSE
            else:
                code = None if close.code == CloseCode.NO_STATUS_RECEIVED else close.code
                self._sender.close(close_payload(code, ""))
        self._peer_close = close
        self._move(trigger)
        self._stop_receiving()
        if not self._watchdog.closing:
            self._watchdog.close_sent(None)
        self._end_if_it_is_ours()
        return close if self._defers_close else self._next_terminal()

    def _end_if_it_is_ours(self) -> None:
        if AT_ONCE[self._role].get(self.state) is Trigger.STREAM_ENDS:
            self._terminal = self._end(Trigger.STREAM_ENDS)

    def _next_terminal(self) -> WebSocketEvent | Signal:
        if self._eof and Trigger.STREAM_ENDS in TRANSITIONS[self.state]:
            return self._end(Trigger.STREAM_ENDS)
        terminal = self._terminal
        self._terminal = None
        return Signal.NEED_DATA if terminal is None else terminal

    def _end(self, trigger: Trigger) -> Closed:
        clean = self.state is ConnectionState.ENDING
        self._move(trigger)
        self._stop_receiving()
        self._watchdog.stop()
        close = self._peer_close
        if close is None:
            return Closed(int(CloseCode.ABNORMAL_CLOSURE), "", clean=False)
        return Closed(close.code, close.reason, clean)

    def _give_up(self, code: int, reason: str) -> Failed:
        """Fail the connection (section 7.1.7), with a Close unless one was sent or the peer cannot receive it."""
        if Trigger.SEND_CLOSE in TRANSITIONS[self.state] and is_sendable_code(code):
            self._sender.close(close_payload(code, reason))
        self._move(Trigger.FAIL)
        self._stop_receiving()
        self._watchdog.stop()
        return Failed(code, reason)

    def _stop_receiving(self) -> None:
        self._receiving = False
        self._unread = False
        self._receiver.discard()

    def _move(self, trigger: Trigger) -> None:
        self.state = TRANSITIONS[self.state][trigger]
        self.can_send = Trigger.SEND in TRANSITIONS[self.state]

    # Sending

    def send_text(self, data: str | bytes) -> None:
        """Send a text message in one frame. `bytes` must be UTF-8 already and are not checked.

        Raises LocalProtocolError when the connection is not open, within a fragmented message, or for a `str` that has
        no UTF-8 form (lone surrogates).
        """
        self._check_open()
        if isinstance(data, str):
            try:
                data = data.encode()
            except UnicodeEncodeError as error:
                raise LocalProtocolError(f"text has no UTF-8 form: {error.reason}") from None
        self._sender.message(_TEXT, data)

    def send_binary(self, data: bytes) -> None:
        """Send a binary message in one frame.

        Raises LocalProtocolError when the connection is not open or within a fragmented message.
        """
        self._check_open()
        self._sender.message(_BINARY, data)

    def send_text_chunks(self, chunks: Sequence[bytes]) -> None:
        """Send one text message in one frame from several buffers, which together are UTF-8.

        A server without compression hands the buffers on as they are; masking and compressing have to join them.
        Raises LocalProtocolError as `send_text` does.
        """
        self._check_open()
        self._sender.text_chunks(chunks)

    def send_piece(self, opcode: Opcode, data: bytes, *, finished: bool) -> None:
        """Send the next fragment of a message; `opcode` is TEXT or BINARY and the same for all fragments of a message.

        Control frames may go between fragments, other messages may not. Raises LocalProtocolError when the connection
        is not open or the opcode does not fit.
        """
        self._check_open()
        self._sender.piece(opcode, data, finished)

    def relay_piece(self, piece: MessagePiece) -> None:
        """Send what another connection has received; the same as `send_piece` with what is in `piece`, in less time."""
        self._check_open()
        self._sender.piece(piece.opcode, piece.data, piece.finished)

    def send_ping(self, data: bytes = b"") -> None:
        """Send a ping. Raises LocalProtocolError beyond 125 bytes or when the connection is not open."""
        self._check_open()
        self._sender.control(Opcode.PING, data)

    def send_pong(self, data: bytes = b"") -> None:
        """Send a pong that answers no ping (section 5.5.3); pings are answered without it. Raises as `send_ping`."""
        self._check_open()
        self._sender.control(Opcode.PONG, data)

    def send_close(self, code: int | None = 1000, reason: str = "", *, now: float | None = None) -> None:
        """Start the closing handshake, or in ANSWERING complete it: nothing can be sent any more.

        Messages still arrive until the peer's Close. After it, a server's next event is `Closed`, while a client awaits
        the end of the stream.

        `None` sends no code; then there can be no reason. A reason beyond 123 bytes of UTF-8 is cut. The close deadline
        runs from `now`; without it, `next_timeout()` is due at once and the deadline runs from that call's time. In
        ANSWERING it goes on as it began, with the peer's Close.
        Raises LocalProtocolError for a code that no frame may carry, or when the connection is not open.
        """
        self._check_open()
        answers = self.state is ConnectionState.ANSWERING
        if (code is None and reason) or (code is not None and not is_sendable_code(code)):
            raise LocalProtocolError(f"a Close frame cannot carry code {code} and reason {reason!r}")
        self._sender.close(close_payload(code, reason))
        self._move(Trigger.SEND_CLOSE)
        if not answers:
            self._watchdog.close_sent(now)
        elif now is not None:
            self._watchdog.heard(now)
        self._end_if_it_is_ours()

    def fail(self, code: int, reason: str) -> None:
        """Give the connection up over something that the caller found wrong with the peer (section 7.1.7).

        Queues Close unless one was sent, ignores input from now on, and makes `Failed(code, reason)` the next and last
        event. Does nothing on a connection that has ended. Raises LocalProtocolError for a code no frame may carry.
        """
        if not is_sendable_code(code):
            raise LocalProtocolError(f"a Close frame cannot carry code {code}")
        if Trigger.FAIL in TRANSITIONS[self.state]:
            self._terminal = self._give_up(code, reason)

    def data_to_send(self) -> list[bytes]:
        """Move the pending output to the caller, in order; empty when there is none."""
        return self._sender.take()

    def _check_open(self) -> None:
        if not self.can_send:
            raise LocalProtocolError(f"nothing can be sent: {self.state.value}")

    # Time

    def next_timeout(self) -> float | None:
        """Return the deadline in monotonic seconds, or None. Ask again after every other call."""
        return self._watchdog.deadline

    def handle_timeout(self, now: float) -> None:
        """Let time pass: ping a silent peer, give up on a dead one. Early and late calls are harmless."""
        expiry = self._watchdog.expire(now, self._unread)
        if expiry is Expiry.PING:
            self._sender.control(Opcode.PING, b"")
        elif expiry is Expiry.GIVE_UP:
            self._expire()

    def _expire(self) -> None:
        if self.state is ConnectionState.ENDING:
            self._terminal = self._end(Trigger.DEADLINE)
            return
        reason = _LATE[self.state]
        self._move(Trigger.DEADLINE)
        self._stop_receiving()
        self._watchdog.stop()
        self._terminal = Failed(int(CloseCode.ABNORMAL_CLOSURE), reason)
