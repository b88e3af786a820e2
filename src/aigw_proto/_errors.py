"""Errors that callers can meet, and the WebSocket close codes.

Peers' mistakes are events, not exceptions; see `aigw_proto._kinds.Machine`.
"""

from __future__ import annotations

import enum

__all__ = ["AigwError", "CloseCode", "LocalProtocolError"]


class AigwError(Exception):
    """Base of every exception that this package raises on purpose."""


class LocalProtocolError(AigwError):
    """The caller asked a machine for something that the protocol does not allow now. The machine is unchanged."""


class CloseCode(enum.IntEnum):
    """WebSocket close codes (RFC 6455 section 7.4.1 and the IANA registry it set up)."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RECEIVED = 1005
    """Never on the wire: the Close frame had no code."""
    ABNORMAL_CLOSURE = 1006
    """Never on the wire: the stream ended without a Close frame."""
    INVALID_PAYLOAD_DATA = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015
    """Never on the wire: the TLS handshake failed."""
