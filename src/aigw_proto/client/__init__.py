"""The client engine: one WebSocket to a gateway, many requests on it.

`ClientEngine` takes `ClientInput` and answers with effects; what it has to say to the program comes in `Deliver`
effects as one of `ClientItem`. `aigw_transports.anyio.connect` is this engine on real sockets.
"""

from __future__ import annotations

from ._engine import ClientEngine
from ._failure import Failure, read_failure, recognise_failure
from ._inputs import (
    CONNECTION_TICKET,
    CancelRequest,
    ClientInput,
    CloseConnection,
    Consumed,
    CreateRequest,
    OpenConnection,
    TokenForm,
)
from ._items import (
    ChunkReceived,
    ClientItem,
    ConnectionItem,
    ConnectionLost,
    ConnectionNotice,
    FrameReceived,
    Opened,
    OpenFailed,
    OpenRefused,
    ReadingPaused,
    ReplyReceived,
    RequestFailed,
    RequestItem,
    RequestNotSent,
    RequestTimedOut,
    SendingAllowed,
    StreamBroken,
    StreamFinished,
    StreamStarted,
    held_bytes,
)
from ._limits import ClientLimits
from ._upgrade import check_open
from ._url import GatewayUrl, parse_url

__all__ = [
    "CONNECTION_TICKET",
    "CancelRequest",
    "ChunkReceived",
    "ClientEngine",
    "ClientInput",
    "ClientItem",
    "ClientLimits",
    "CloseConnection",
    "ConnectionItem",
    "ConnectionLost",
    "ConnectionNotice",
    "Consumed",
    "CreateRequest",
    "Failure",
    "FrameReceived",
    "GatewayUrl",
    "OpenConnection",
    "OpenFailed",
    "OpenRefused",
    "Opened",
    "ReadingPaused",
    "ReplyReceived",
    "RequestFailed",
    "RequestItem",
    "RequestNotSent",
    "RequestTimedOut",
    "SendingAllowed",
    "StreamBroken",
    "StreamFinished",
    "StreamStarted",
    "TokenForm",
    "check_open",
    "held_bytes",
    "parse_url",
    "read_failure",
    "recognise_failure",
]
