"""The gateway, or any engine, on blocking sockets and threads, without an event loop; also under gevent.

`connect()` is the client of a gateway for many requests, `connect_realtime()` that for a realtime session, `serve()`
listens with an engine, `Driver` does everything else. What waits, waits in the thread that calls.
"""

from aigw_proto._effects import TlsPolicy
from aigw_proto._errors import AigwError, LocalProtocolError
from aigw_proto._limits import WebSocketLimits
from aigw_proto.client import ClientLimits, ClosedBy, TokenForm
from aigw_proto.envelopes import Backoff, Metadata, StepSettings
from aigw_proto.ws import DeflatePolicy

from ._client_errors import (
    ConnectionFailed,
    ConnectionLost,
    GatewayError,
    HandshakeRefused,
    ProviderError,
    RequestRejected,
    RequestTimedOut,
    StreamInterrupted,
    UnexpectedStream,
)
from ._client_replies import Chunk, JsonValue, Query, Reply, Step
from ._sync_client import Gateway, ReplyStream, connect
from ._sync_connection import FAREWELL_SECONDS
from ._sync_driver import CLOSE_NOTIFY_SECONDS, FLUSH_SECONDS, Driver, listen, log_to_standard_library, serve
from ._sync_realtime import RealtimeConnection, connect_realtime

__all__ = [
    "CLOSE_NOTIFY_SECONDS",
    "FAREWELL_SECONDS",
    "FLUSH_SECONDS",
    "AigwError",
    "Backoff",
    "Chunk",
    "ClientLimits",
    "ClosedBy",
    "ConnectionFailed",
    "ConnectionLost",
    "DeflatePolicy",
    "Driver",
    "Gateway",
    "GatewayError",
    "HandshakeRefused",
    "JsonValue",
    "LocalProtocolError",
    "Metadata",
    "ProviderError",
    "Query",
    "RealtimeConnection",
    "Reply",
    "ReplyStream",
    "RequestRejected",
    "RequestTimedOut",
    "Step",
    "StepSettings",
    "StreamInterrupted",
    "TlsPolicy",
    "TokenForm",
    "UnexpectedStream",
    "WebSocketLimits",
    "connect",
    "connect_realtime",
    "listen",
    "log_to_standard_library",
    "serve",
]
