"""The interface of `WSConnection` on `wsproto.Connection`: a second opinion.

Frames, text and compression are read and written by wsproto; the life of the connection (answers, closing, time) is the
same as ever. Differential tests hold both implementations against each other, and whoever doubts one of them can run
the other.

wsproto is stricter or laxer than our codec in places that the differential tests list. Here inflation is not bounded,
nor are pending pongs, fragments and the length of a frame, pieces for a relay are as small as the reads, and mask keys
come from the system.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from wsproto import connection as wsproto_connection
from wsproto import events as wsproto_events
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import CloseReason

from .._errors import CloseCode, LocalProtocolError
from .._kinds import Role
from ._close import read_close
from ._connection import WSConnection
from ._events import BinaryMessage, CloseReceived, Delivery, MessagePiece, Opcode, Ping, Pong, TextMessage
from ._receiver import Received, ReceivingHalf
from ._sender import SendingHalf
from ._violation import Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._entropy import Entropy
    from .._limits import WebSocketLimits
    from ._deflate import DeflateParameters

__all__ = ["OracleConnection"]


class OracleConnection(WSConnection):
    """One WebSocket connection on wsproto; every method as on `WSConnection`."""

    __slots__ = ()

    def _make_halves(
        self,
        role: Role,
        limits: WebSocketLimits,
        entropy: Entropy | None,
        deflate: DeflateParameters | None,
        delivery: Delivery,
    ) -> tuple[ReceivingHalf, SendingHalf]:
        del entropy  # wsproto draws its own
        max_message_bytes = limits.max_message_bytes if delivery is Delivery.MESSAGES else None
        receiver = _Receiver(_half(role, deflate), max_message_bytes, delivery is Delivery.RELAY)
        return receiver, _Sender(_half(role, deflate))


def _half(role: Role, deflate: DeflateParameters | None) -> wsproto_connection.Connection:
    """Return a connection of which one direction is used: with both, wsproto sends nothing after a peer's Close."""
    return wsproto_connection.Connection(
        wsproto_connection.SERVER if role is Role.SERVER else wsproto_connection.CLIENT,
        extensions=None if deflate is None else [_extension(deflate)],
    )


def _extension(deflate: DeflateParameters) -> PerMessageDeflate:
    extension = PerMessageDeflate(
        client_no_context_takeover=deflate.client_no_context_takeover,
        server_no_context_takeover=deflate.server_no_context_takeover,
        client_max_window_bits=max(deflate.client_max_window_bits, 9),
        server_max_window_bits=max(deflate.server_max_window_bits, 9),
    )
    extension.finalize("permessage-deflate")  # enables it; the parameters are those above
    return extension


class _Receiver(ReceivingHalf):
    """Reads frames with wsproto; assembles messages when there is a limit for them."""

    __slots__ = ("_collected", "_connection", "_fresh", "_max_message_bytes", "_relays")

    def __init__(self, connection: wsproto_connection.Connection, max_message_bytes: int | None, relays: bool) -> None:
        self._connection = connection
        self._max_message_bytes = max_message_bytes
        self._relays = relays
        self._collected = bytearray()
        self._fresh = True

    def feed(self, data: bytes) -> None:
        self._connection.receive_data(data)

    def next(self) -> Received | None:
        for event in self._connection.events():
            received = self._translate(event)
            if received is not None:
                return received
        return None

    def discard(self) -> None:
        self._collected.clear()

    def _translate(self, event: wsproto_events.Event) -> Received | None:
        match event:
            case wsproto_events.TextMessage():
                return self._take(Opcode.TEXT, event.data.encode(), last=event.message_finished)
            case wsproto_events.BytesMessage():
                return self._take(Opcode.BINARY, bytes(event.data), last=event.message_finished)
            case wsproto_events.Ping():
                return Ping(bytes(event.payload))
            case wsproto_events.Pong():
                return Pong(bytes(event.payload))
            case wsproto_events.CloseConnection():
                # wsproto reports a violation as a Close that never came; only its state tells.
                if self._connection.state is wsproto_connection.ConnectionState.REMOTE_CLOSING:
                    return CloseReceived(int(event.code), event.reason or "")
                raise Violation(int(event.code), event.reason or "")
            case _:
                return None  # events of the opening handshake; this connection is behind it

    def _take(self, opcode: Opcode, data: bytes, *, last: bool) -> Received | None:
        if self._max_message_bytes is None:
            if not data and not last and not self._relays:
                return None
            started, self._fresh = self._fresh, last
            return MessagePiece(opcode, data, started, last)
        self._collected += data
        if len(self._collected) > self._max_message_bytes:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"message is larger than {self._max_message_bytes} bytes")
        if not last:
            return None
        message = bytes(self._collected)
        self._collected.clear()
        return TextMessage(message.decode()) if opcode is Opcode.TEXT else BinaryMessage(message)


class _Sender(SendingHalf):
    """Writes frames with wsproto."""

    __slots__ = ("_characters", "_connection", "_opcode", "_output")

    def __init__(self, connection: wsproto_connection.Connection) -> None:
        self._connection = connection
        self._output: list[bytes] = []
        self._opcode: Opcode | None = None
        self._characters = codecs.getincrementaldecoder("utf-8")()

    @property
    def within_message(self) -> bool:
        return self._opcode is not None

    def message(self, opcode: Opcode, payload: bytes) -> None:
        if self._opcode is not None:
            raise LocalProtocolError("a fragmented message has to be finished first")
        self.piece(opcode, payload, True)

    def text_chunks(self, chunks: Sequence[bytes]) -> None:
        self.message(Opcode.TEXT, b"".join(chunks))

    def piece(self, opcode: Opcode, data: bytes, finished: bool) -> None:
        if opcode not in (Opcode.TEXT, Opcode.BINARY) or self._opcode not in (None, opcode):
            raise LocalProtocolError(f"a fragment of {opcode.name} cannot be sent now")
        if opcode is Opcode.TEXT:
            # wsproto takes characters: one that is cut waits for its rest.
            text = self._characters.decode(data, finished)
            self._send(wsproto_events.TextMessage(data=text, message_finished=finished))
        else:
            self._send(wsproto_events.BytesMessage(data=data, message_finished=finished))
        self._opcode = None if finished else opcode

    def control(self, opcode: Opcode, payload: bytes) -> None:
        if len(payload) > 125:
            raise LocalProtocolError("a control frame carries at most 125 bytes")
        self._send(wsproto_events.Ping(payload) if opcode is Opcode.PING else wsproto_events.Pong(payload))

    def answer_ping(self, payload: bytes) -> None:
        if self._connection.state is wsproto_connection.ConnectionState.OPEN:  # none after Close
            self._send(wsproto_events.Pong(payload))

    def close(self, payload: bytes) -> None:
        code, reason = read_close(payload)
        # wsproto knows "no code" only by identity with this member.
        wire_code = CloseReason.NO_STATUS_RCVD if code == CloseCode.NO_STATUS_RECEIVED else code
        self._send(wsproto_events.CloseConnection(code=wire_code, reason=reason or None))

    def take(self) -> list[bytes]:
        output, self._output = self._output, []
        return output

    def _send(self, event: wsproto_events.Event) -> None:
        self._output.append(bytes(self._connection.send(event)))
