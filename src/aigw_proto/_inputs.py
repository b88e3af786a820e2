"""What the world did: the inputs that drivers feed to an engine, one per turn.

They stand above the engines because the gateway, the client and the mock share them.
"""

from __future__ import annotations

import enum
from typing import TypeAlias

from ._kinds import LinkId, record
from ._transfer import BytesReceived, BytesSent

__all__ = [
    "BytesReceived",
    "BytesSent",
    "ConnectFailed",
    "ConnectFailure",
    "Input",
    "LinkAccepted",
    "LinkConnected",
    "PeerClosed",
    "ShutdownRequested",
]


class ConnectFailure(enum.Enum):
    """Why a connection could not be opened."""

    NAME = "the host name does not resolve"
    REFUSED = "the host refused the connection"
    UNREACHABLE = "the host or network cannot be reached"
    TLS = "the TLS handshake failed"
    CERTIFICATE = "the certificate is not valid for the host"
    OTHER = "the connection could not be opened"


@record
class LinkAccepted:
    """A peer connected to a listener; `link` is even and fresh. `peer` is its address, for people to read."""

    link: LinkId
    peer: str


@record
class LinkConnected:
    """The link asked for by `Connect` is open. `alpn` is the negotiated protocol, if any (RFC 7301)."""

    link: LinkId
    alpn: str | None = None


@record
class ConnectFailed:
    """The link asked for by `Connect` will never open; its id is spent and needs no `CloseLink`."""

    link: LinkId
    failure: ConnectFailure
    detail: str


@record
class PeerClosed:
    """The peer will send no more.

    `clean` is true for an orderly end (FIN): the engine may still send, and closes the link when it is done. It is
    false when the stream broke (reset, TLS failure): nothing can be sent any more. Either way the engine closes the
    link with `CloseLink`, once. Fed at most once: a stream that breaks after an orderly end shows in nothing but its
    backlog, which is then gone.
    """

    link: LinkId
    clean: bool


@record
class ShutdownRequested:
    """Stop: take no new work, let running work finish for `grace_seconds`, then end what is left.

    The engine answers with the effect `Drained` when nothing is open any more.
    """

    grace_seconds: float


Input: TypeAlias = (
    LinkAccepted | LinkConnected | ConnectFailed | BytesReceived | PeerClosed | BytesSent | ShutdownRequested
)
