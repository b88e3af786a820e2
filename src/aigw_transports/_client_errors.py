"""What goes wrong between a program and its gateway, as exceptions that carry what the gateway said.

GatewayError
  ConnectionFailed        nothing that speaks the protocol answered at that address
  HandshakeRefused        the gateway answered the upgrade with an HTTP status: wrong token, unknown gateway
  ConnectionLost          the connection ended while something was under way
  RequestRejected         the answer to this request is an error
    ProviderError         ... and the provider made it
  RequestTimedOut         the timeout given with the request passed (a TimeoutError too)
  StreamInterrupted       the stream ended early; the chunks before it stand
  UnexpectedStream        create() was used and the provider streams
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aigw_proto import client as core
from aigw_proto._errors import AigwError, LocalProtocolError

from ._client_replies import decode_json

if TYPE_CHECKING:
    from aigw_proto._inputs import ConnectFailure
    from aigw_proto.envelopes import Metadata
    from aigw_proto.http import Headers

    from ._client_replies import JsonValue

__all__ = [
    "ConnectionFailed",
    "ConnectionLost",
    "GatewayError",
    "HandshakeRefused",
    "ProviderError",
    "RequestRejected",
    "RequestTimedOut",
    "StreamInterrupted",
    "UnexpectedStream",
    "failed_request",
    "failed_to_open",
    "lost_connection",
]


class GatewayError(AigwError):
    """Base of everything that a gateway client raises, apart from mistakes of the program itself."""


class ConnectionFailed(GatewayError):  # noqa: N818 - named for what happened
    """There is no gateway to talk to at that address.

    `failure` says what went wrong below the protocol (name, refused, certificate, ...), or is None when something
    answered that is no WebSocket server, or not in time.
    """

    def __init__(self, reason: str, failure: ConnectFailure | None) -> None:
        """Keep the parts."""
        super().__init__(reason)
        self.reason = reason
        self.failure = failure


class HandshakeRefused(GatewayError):  # noqa: N818 - named for what happened
    """The gateway answered the upgrade with an HTTP response: 401 for a wrong token, 400 for an unknown gateway, ...

    `body` is its content as bytes, cut off at 64 KiB; `code` and `message` are what an error envelope in it says.
    """

    def __init__(self, status: int, headers: Headers, body: bytes, code: int | str | None, message: str) -> None:
        """Keep the parts."""
        super().__init__(f"the gateway refused the connection with HTTP status {status}: {message}")
        self.status = status
        self.headers = headers
        self.body = body
        self.code = code
        self.message = message


class ConnectionLost(GatewayError):  # noqa: N818 - named for what happened
    """The connection ended. `code` is the close code (RFC 6455 section 7.4): 1006 when there was no Close at all.

    `reason` goes with it. `clean` is true when the closing handshake was completed, or this side closed. `closed_by`
    says who ended it.
    """

    def __init__(self, code: int, reason: str, *, clean: bool, closed_by: core.ClosedBy) -> None:
        """Keep the parts."""
        super().__init__(f"the connection to the gateway ended with code {code}" + (f": {reason}" if reason else ""))
        self.code = code
        self.reason = reason
        self.clean = clean
        self.closed_by = closed_by


class RequestRejected(GatewayError):  # noqa: N818 - named for what happened
    """The answer is an error: the gateway's own, or with `ProviderError` the provider's.

    `status` is the HTTP status, or None when the gateway did not tell it and the body was recognised as an error;
    `code` and `message` are what the error body says; `metadata` and `raw` (JSON) are the envelope as it came.
    """

    def __init__(
        self, status: int | None, code: int | str | None, message: str, metadata: Metadata, raw: bytes
    ) -> None:
        """Keep the parts."""
        label = " ".join(str(part) for part in (status, code) if part is not None)
        super().__init__(f"{message} ({label})" if label else message)
        self.status = status
        self.code = code
        self.message = message
        self.metadata = metadata
        self.raw = raw

    @property
    def response(self) -> JsonValue:
        """The error body, decoded."""
        return decode_json(self.raw)


class ProviderError(RequestRejected):
    """The provider answered with an error, which the gateway passed on."""


class RequestTimedOut(GatewayError, TimeoutError):  # noqa: N818 - named for what happened
    """The timeout given with the request passed; the request is cancelled at the gateway."""

    def __init__(self, timeout_seconds: float) -> None:
        """Keep the timeout."""
        super().__init__(f"no complete answer within {timeout_seconds:g} s")
        self.timeout_seconds = timeout_seconds


class StreamInterrupted(GatewayError):  # noqa: N818 - named for what happened
    """The stream ended early. Raised after all chunks that came before.

    `metadata` is that of the last frame. It is None when this side gave the stream up, because the program left it
    unread for long while other requests of the connection waited.
    """

    def __init__(self, reason: str, metadata: Metadata | None) -> None:
        """Keep the parts."""
        super().__init__(f"the stream was interrupted: {reason}")
        self.reason = reason
        self.metadata = metadata


class UnexpectedStream(GatewayError):  # noqa: N818 - named for what happened
    """`create()` was used, and the provider streams its answer. The request is cancelled; use `stream()` for it."""

    def __init__(self, metadata: Metadata) -> None:
        """Keep the metadata of the stream's head."""
        super().__init__(
            "the provider streams its answer: use stream() instead of create(), or do not ask it to stream"
        )
        self.metadata = metadata


def failed_to_open(item: core.OpenRefused | core.OpenFailed) -> GatewayError:
    """Return the exception for a connection that did not come to be."""
    match item:
        case core.OpenRefused(status, headers, body):
            said = core.read_failure(status, body)
            return HandshakeRefused(status, headers, body, said.code, said.message)
        case core.OpenFailed(reason, failure):
            return ConnectionFailed(reason, failure)


def lost_connection(item: core.ConnectionLost) -> ConnectionLost:
    """Return the exception for a connection that has ended."""
    return ConnectionLost(item.code, item.reason, clean=item.clean, closed_by=item.closed_by)


def failed_request(item: core.RequestItem) -> AigwError:
    """Return the exception for a request that did not end well."""
    match item:
        case core.RequestFailed(status, code, message, by_gateway, metadata, response):
            kind = RequestRejected if by_gateway else ProviderError
            return kind(status, code, message, metadata, response)
        case core.RequestNotSent(reason):
            return LocalProtocolError(reason)
        case core.RequestTimedOut(seconds):
            return RequestTimedOut(seconds)
        case core.StreamBroken(metadata, reason):
            return StreamInterrupted(reason, metadata)
        case core.ConnectionLost():
            return lost_connection(item)
        case _:
            raise AssertionError(f"the engine broke its own order of items: {item}")
