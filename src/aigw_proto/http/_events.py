"""HTTP events, the same for every version (RFC 9110) and both roles.

Header fields are pairs of bytes, names in lower case on receipt; values carry no surrounding white space.

`BodyPiece`, of which a stream has one for every read, is written in the form that a compiler can make an extension type
of: `_events.pxd` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from .._kinds import record

__all__ = [
    "BodyPiece",
    "EndOfMessage",
    "Failed",
    "Headers",
    "HttpEvent",
    "InformationalResponse",
    "Request",
    "Response",
    "StreamEnded",
]

Headers: TypeAlias = list[tuple[bytes, bytes]]


@record
class Request:
    """The head of a request. `target` is the request target as it was on the wire (RFC 9112 section 3.2)."""

    method: bytes
    target: bytes
    headers: Headers
    http_version: bytes = b"1.1"


@record
class InformationalResponse:
    """The head of an interim response (1xx, RFC 9110 section 15.2) other than 101."""

    status: int
    headers: Headers


@record
class Response:
    """The head of a final response, or of a 101 (RFC 9110 section 15)."""

    status: int
    headers: Headers
    reason: bytes = b""
    http_version: bytes = b"1.1"


@dataclass
class BodyPiece:
    """Some bytes of the message's content, as they arrived."""

    __slots__ = ("data",)

    data: Final[bytes]


@record
class EndOfMessage:
    """The message is complete."""

    trailers: Headers


@record
class StreamEnded:
    """The peer ended the stream between messages; terminal, and orderly."""


@record
class Failed:
    """The peer broke the protocol, a limit or a deadline; terminal.

    `status` is what a server answers (400, 408, 413, 431, 501, 505); a client reports it as a bad provider.
    `received_any` is true when any byte of the message under way had arrived.
    """

    status: int
    reason: str
    received_any: bool = True


HttpEvent: TypeAlias = Request | InformationalResponse | Response | BodyPiece | EndOfMessage | StreamEnded | Failed
