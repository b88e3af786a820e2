"""HTTP machines: bytes to requests and responses, both roles, and the streams that bodies carry."""

from ._events import (
    BodyPiece,
    EndOfMessage,
    Failed,
    Headers,
    HttpEvent,
    InformationalResponse,
    Request,
    Response,
    StreamEnded,
)
from ._eventstream import (
    EventStreamDecoder,
    EventStreamEvent,
    EventStreamFailed,
    EventStreamHeader,
    EventStreamMessage,
)
from ._h1 import H1Connection
from ._ndjson import JsonLine, NdjsonDecoder, NdjsonEvent, NdjsonFailed
from ._sse import ServerSentEvent, SseDecoder, SseEvent, SseFailed

__all__ = [
    "BodyPiece",
    "EndOfMessage",
    "EventStreamDecoder",
    "EventStreamEvent",
    "EventStreamFailed",
    "EventStreamHeader",
    "EventStreamMessage",
    "Failed",
    "H1Connection",
    "Headers",
    "HttpEvent",
    "InformationalResponse",
    "JsonLine",
    "NdjsonDecoder",
    "NdjsonEvent",
    "NdjsonFailed",
    "Request",
    "Response",
    "ServerSentEvent",
    "SseDecoder",
    "SseEvent",
    "SseFailed",
    "StreamEnded",
]
