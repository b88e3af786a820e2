"""What the client engines hand over in `Deliver` effects.

A `ClientEngine` delivers on `CONNECTION_TICKET`, in this order: one of `Opened`, `OpenRefused` and `OpenFailed`; after
`Opened` any number of `ConnectionNotice`, `SendingAllowed`, `ReadingPaused` and `FrameReceived`; at last one
`ConnectionLost`. On a request's ticket comes exactly one terminal item, nothing after it, and nothing at all after a
cancel:

* `ReplyReceived`, or
* `RequestFailed`, or
* `RequestNotSent`, or
* `StreamStarted`, `ChunkReceived` any number of times, `StreamFinished` or `StreamBroken`, or
* `RequestTimedOut` or `ConnectionLost` at any time instead of what would have come next.

A `RealtimeClientEngine` delivers all on `CONNECTION_TICKET`: one of `Opened`, `OpenRefused` and `OpenFailed`; after
`Opened` any number of `MessageReceived`, `SendingAllowed` and `ReadingPaused`; at last one `ConnectionLost`.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, TypeAlias

from .._kinds import record

if TYPE_CHECKING:
    from .._inputs import ConnectFailure
    from ..envelopes import Metadata
    from ..http import Headers

__all__ = [
    "ChunkReceived",
    "ClientItem",
    "ClosedBy",
    "ConnectionItem",
    "ConnectionLost",
    "ConnectionNotice",
    "FrameReceived",
    "MessageReceived",
    "OpenFailed",
    "OpenRefused",
    "Opened",
    "ReadingPaused",
    "RealtimeItem",
    "ReplyReceived",
    "RequestFailed",
    "RequestItem",
    "RequestNotSent",
    "RequestTimedOut",
    "SendingAllowed",
    "StreamBroken",
    "StreamFinished",
    "StreamStarted",
    "held_bytes",
]

_ITEM_OVERHEAD_BYTES = 256  # objects around a payload: a flood of empty chunks must count too


@record
class Opened:
    """The gateway accepted the WebSocket; requests may be sent. `headers` are those of its 101 response."""

    subprotocol: str | None
    headers: Headers


@record
class OpenRefused:
    """The gateway answered the upgrade with something else, such as 401. `body` is cut off at a limit; terminal."""

    status: int
    headers: Headers
    body: bytes


@record
class OpenFailed:
    """There is no gateway to talk to: connecting failed, took too long, or what answered is no WebSocket; terminal."""

    reason: str
    failure: ConnectFailure | None = None


@record
class ConnectionNotice:
    """A frame that belongs to no request; the connection goes on. `frame` is its text.

    The hosted service sends errors without an event id: when several requests are under way nobody can tell whose it
    is. Guessing would fail the wrong call, telling all would fail the right ones, so it is reported here and the
    request in question ends by its deadline.
    """

    reason: str
    frame: str


@record
class SendingAllowed:
    """False when the unsent backlog passed high water: hold new requests back; True when it has shrunk again.

    Advice that keeps memory bounded: a request given nevertheless is sent. A `RealtimeClientEngine` also says False
    once either side has said Close: what is given then is lost, and `ConnectionLost` follows.
    """

    allowed: bool


@record
class ReadingPaused:
    """True when unconsumed items passed high water and the gateway is not read; False when it is read again.

    Until then consumed items have to be reported at once.
    """

    paused: bool


@record
class MessageReceived:
    """One message of a realtime session, whole: a text as `str`, a binary one as `bytes`."""

    data: str | bytes


@record
class FrameReceived:
    """The text of every frame as it came, before what it means; only for an engine made with `deliver_frames`."""

    frame: str


@record
class ReplyReceived:
    """The whole answer. `response` is JSON, byte for byte as in the frame; terminal."""

    metadata: Metadata
    response: bytes


@record
class StreamStarted:
    """The provider streams: chunks follow."""

    metadata: Metadata


@record
class ChunkReceived:
    """One chunk of a stream. `response` is JSON as in the frame; `event` is the provider's event name, if forwarded."""

    response: bytes
    event: str | None


@record
class StreamFinished:
    """The stream is complete; terminal."""

    metadata: Metadata


@record
class StreamBroken:
    """The stream ended early, all chunks before it stand; terminal. `reason` says why.

    `metadata` is that of the last frame, or None when this side gave the stream up.
    """

    metadata: Metadata | None
    reason: str


@record
class RequestFailed:
    """The gateway or the provider answered with an error; terminal.

    `status` is the HTTP status if known; `code` is what the error body calls its code; `response` is the body as JSON.
    `by_gateway` tells the gateway's own refusals from a provider's.
    """

    status: int | None
    code: int | str | None
    message: str
    by_gateway: bool
    metadata: Metadata
    response: bytes


@record
class RequestNotSent:
    """The request cannot be sent as it is: its event id is in use, or there are too many requests; terminal."""

    reason: str


@record
class RequestTimedOut:
    """The deadline of `CreateRequest` passed; the request is cancelled at the gateway; terminal."""

    timeout_seconds: float


class ClosedBy(enum.Enum):
    """Who ended a connection, as far as this side can tell."""

    PROGRAM = "the program closed it, or left its block"
    PEER = "the other side said Close first"
    CLIENT = "the client gave it up: the other side broke the protocol, a limit or a deadline"
    NETWORK = "it was cut without a Close from either side"


@record
class ConnectionLost:
    """The connection ended; terminal. `code` and `reason` as in `aigw_proto.ws.Closed` and `Failed`.

    `clean` is true when Close frames went both ways or this side closed.
    """

    code: int
    reason: str
    clean: bool
    closed_by: ClosedBy


ConnectionItem: TypeAlias = (
    Opened
    | OpenRefused
    | OpenFailed
    | ConnectionNotice
    | SendingAllowed
    | ReadingPaused
    | FrameReceived
    | ConnectionLost
)
RequestItem: TypeAlias = (
    ReplyReceived
    | StreamStarted
    | ChunkReceived
    | StreamFinished
    | StreamBroken
    | RequestFailed
    | RequestNotSent
    | RequestTimedOut
    | ConnectionLost
)
ClientItem: TypeAlias = ConnectionItem | RequestItem
RealtimeItem: TypeAlias = (
    Opened | OpenRefused | OpenFailed | MessageReceived | SendingAllowed | ReadingPaused | ConnectionLost
)


def held_bytes(item: RequestItem | MessageReceived) -> int:
    """Return what an item counts for in flow control until it is reported by `Consumed`."""
    if isinstance(item, MessageReceived):
        data = item.data
        wide = isinstance(data, str) and not data.isascii()  # then a character takes up to four bytes
        return (4 * len(data) if wide else len(data)) + _ITEM_OVERHEAD_BYTES
    if isinstance(item, ChunkReceived | ReplyReceived | RequestFailed):
        return len(item.response) + _ITEM_OVERHEAD_BYTES
    return _ITEM_OVERHEAD_BYTES
