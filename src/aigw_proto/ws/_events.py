"""What a WebSocket connection reports (RFC 6455)."""

from __future__ import annotations

import enum
from typing import TypeAlias

from .._kinds import record

__all__ = [
    "BinaryMessage",
    "CloseReceived",
    "Closed",
    "Delivery",
    "Failed",
    "MessagePiece",
    "Opcode",
    "Ping",
    "Pong",
    "TextMessage",
    "WebSocketEvent",
]


class Opcode(enum.IntEnum):
    """Frame opcodes (RFC 6455 section 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class Delivery(enum.Enum):
    """How messages are handed over.

    With RELAY a connection is one side of a relay, whose other side sends each piece on with `send_piece()`:

    * Each data frame gives at least one piece, an empty frame an empty one. A frame that comes in many reads gives
      pieces of at least `relayed_piece_bytes`, since peers bound the fragments of a message.
    * The peer's Close is an event, `CloseReceived`, and is not answered. The state is then ANSWERING: what the other
      side still has to say can be sent, and `send_close()` answers.
    """

    MESSAGES = "assembled, up to the message limit; text is checked and decoded"
    PIECES = "piece by piece as bytes arrive; text is checked across pieces but not decoded"
    RELAY = "frame by frame, large ones piece by piece; UTF-8 and the answer to a Close are left to the endpoints"


@record
class TextMessage:
    """A whole text message."""

    data: str


@record
class BinaryMessage:
    """A whole binary message."""

    data: bytes


@record
class MessagePiece:
    """Part of a message, after unmasking and inflation. `opcode` is TEXT or BINARY for every piece of the message.

    `finished` marks the last piece, which may be empty. Every other piece holds at least one byte, except with
    `Delivery.RELAY`: there each data frame gives at least one piece, an empty frame an empty one, so that whoever pulls
    decides over every frame's work.
    """

    opcode: Opcode
    data: bytes
    started: bool
    finished: bool


@record
class Ping:
    """The peer pinged; the pong is already queued."""

    data: bytes


@record
class Pong:
    """The peer sent a pong, asked for or not."""

    data: bytes


@record
class CloseReceived:
    """The peer sent Close, after which it sends nothing; only with `Delivery.RELAY`. `code` is 1005 when it had none.

    Unless our own Close went before, it is now owed: `WSConnection.send_close()` once what is left has been sent.
    """

    code: int
    reason: str


@record
class Closed:
    """The connection ended; terminal.

    `code` and `reason` are the peer's: 1005 when its Close had none, 1006 when the stream ended without a Close.
    `clean` is true when Close frames went both ways.
    """

    code: int
    reason: str
    clean: bool


@record
class Failed:
    """The peer broke the protocol, a limit or a deadline; terminal. The Close frame that says so is queued.

    `code` is the code we sent (1002, 1007, 1009, 1011), or 1006 for a peer found dead and a Close not answered in time.
    """

    code: int
    reason: str


WebSocketEvent: TypeAlias = TextMessage | BinaryMessage | MessagePiece | Ping | Pong | CloseReceived | Closed | Failed
