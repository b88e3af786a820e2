"""The client engines: one WebSocket to a gateway, with many requests on it or with one realtime session.

`ClientEngine` takes `ClientInput` and answers with effects; what it has to say to the program comes in `Deliver`
effects as one of `ClientItem`. `aigw_transports.anyio.connect` is this engine on real sockets. `RealtimeClientEngine`
takes `RealtimeInput`, delivers `RealtimeItem`, and is what `connect_realtime` runs.
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
    RealtimeInput,
    SendMessage,
    TokenForm,
)
from ._items import (
    ChunkReceived,
    ClientItem,
    ClosedBy,
    ConnectionItem,
    ConnectionLost,
    ConnectionNotice,
    FrameReceived,
    MessageReceived,
    Opened,
    OpenFailed,
    OpenRefused,
    ReadingPaused,
    RealtimeItem,
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
from ._line import check_close
from ._realtime import RealtimeClientEngine
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
    "ClosedBy",
    "ConnectionItem",
    "ConnectionLost",
    "ConnectionNotice",
    "Consumed",
    "CreateRequest",
    "Failure",
    "FrameReceived",
    "GatewayUrl",
    "MessageReceived",
    "OpenConnection",
    "OpenFailed",
    "OpenRefused",
    "Opened",
    "ReadingPaused",
    "RealtimeClientEngine",
    "RealtimeInput",
    "RealtimeItem",
    "ReplyReceived",
    "RequestFailed",
    "RequestItem",
    "RequestNotSent",
    "RequestTimedOut",
    "SendMessage",
    "SendingAllowed",
    "StreamBroken",
    "StreamFinished",
    "StreamStarted",
    "TokenForm",
    "check_close",
    "check_open",
    "held_bytes",
    "parse_url",
    "read_failure",
    "recognise_failure",
]
