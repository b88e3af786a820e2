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
from ._h1 import H1Connection
from ._sse import ServerSentEvent, SseDecoder, SseEvent, SseFailed

__all__ = [
    "BodyPiece",
    "EndOfMessage",
    "Failed",
    "H1Connection",
    "Headers",
    "HttpEvent",
    "InformationalResponse",
    "Request",
    "Response",
    "ServerSentEvent",
    "SseDecoder",
    "SseEvent",
    "SseFailed",
    "StreamEnded",
]
