"""The gateway, or any engine, on anyio, under asyncio and trio.

`connect()` is the client of a gateway, `serve()` listens with an engine, `Driver` does everything else.
"""

from aigw_proto._effects import TlsPolicy
from aigw_proto._errors import AigwError, LocalProtocolError
from aigw_proto.client import ClientLimits, TokenForm
from aigw_proto.envelopes import Backoff, Metadata, StepSettings
from aigw_proto.ws import DeflatePolicy

from ._anyio_client import FAREWELL_SECONDS, Gateway, ReplyStream, connect
from ._anyio_driver import CLOSE_NOTIFY_SECONDS, FLUSH_SECONDS, Driver, log_to_standard_library, serve
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

__all__ = [
    "CLOSE_NOTIFY_SECONDS",
    "FAREWELL_SECONDS",
    "FLUSH_SECONDS",
    "AigwError",
    "Backoff",
    "Chunk",
    "ClientLimits",
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
    "connect",
    "log_to_standard_library",
    "serve",
]
