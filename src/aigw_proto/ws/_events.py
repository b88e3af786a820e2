"""What a WebSocket connection reports (RFC 6455).

The events are records like all others (never changed once made), in the only form that is fast in Python and that a
compiler can make extension types of: `_events.pxd` does.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final, TypeAlias

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


@dataclass
class TextMessage:
    """A whole text message."""

    __slots__ = ("data",)

    data: Final[str]


@dataclass
class BinaryMessage:
    """A whole binary message."""

    __slots__ = ("data",)

    data: Final[bytes]


@dataclass
class MessagePiece:
    """Part of a message, after unmasking and inflation. `opcode` is TEXT or BINARY for every piece of the message.

    `finished` marks the last piece, which may be empty. Every other piece holds at least one byte, except with
    `Delivery.RELAY`: there each data frame gives at least one piece, an empty frame an empty one, so that whoever pulls
    decides over every frame's work.
    """

    __slots__ = ("data", "finished", "opcode", "started")

    opcode: Final[Opcode]
    data: Final[bytes]
    started: Final[bool]
    finished: Final[bool]


@dataclass
class Ping:
    """The peer pinged; the pong is already queued."""

    __slots__ = ("data",)

    data: Final[bytes]


@dataclass
class Pong:
    """The peer sent a pong, asked for or not."""

    __slots__ = ("data",)

    data: Final[bytes]


@dataclass
class CloseReceived:
    """The peer sent Close, after which it sends nothing; only with `Delivery.RELAY`. `code` is 1005 when it had none.

    Unless our own Close went before, it is now owed: `WSConnection.send_close()` once what is left has been sent.
    """

    __slots__ = ("code", "reason")

    code: Final[int]
    reason: Final[str]


@dataclass
class Closed:
    """The connection ended; terminal.

    `code` and `reason` are the peer's: 1005 when its Close had none, 1006 when the stream ended without a Close.
    `clean` is true when Close frames went both ways.
    """

    __slots__ = ("clean", "code", "reason")

    code: Final[int]
    reason: Final[str]
    clean: Final[bool]


@dataclass
class Failed:
    """The peer broke the protocol, a limit or a deadline; terminal. The Close frame that says so is queued.

    `code` is the code we sent (1002, 1007, 1009, 1011), or 1006 for a peer found dead and a Close not answered in time.
    """

    __slots__ = ("code", "reason")

    code: Final[int]
    reason: Final[str]


WebSocketEvent: TypeAlias = TextMessage | BinaryMessage | MessagePiece | Ping | Pong | CloseReceived | Closed | Failed
