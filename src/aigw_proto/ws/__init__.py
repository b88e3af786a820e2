"""WebSocket (RFC 6455, RFC 7692): bytes to frames to messages, both roles."""

from __future__ import annotations

from ._close import is_sendable_code
from ._connection import WSConnection
from ._deflate import DeflateParameters
from ._events import (
    BinaryMessage,
    Closed,
    CloseReceived,
    Delivery,
    Failed,
    MessagePiece,
    Opcode,
    Ping,
    Pong,
    TextMessage,
    WebSocketEvent,
)
from ._handshake import (
    UpgradeAccepted,
    UpgradeOffer,
    UpgradeRefused,
    accept_upgrade,
    check_response,
    check_upgrade,
    new_key,
    upgrade_request,
    wants_upgrade,
)
from ._mask import IMPLEMENTATION, apply_mask
from ._messages import MessageEvent, MessageSocket
from ._negotiation import DeflatePolicy
from ._opening import Opening, OpeningEvent
from ._oracle import OracleConnection
from ._state import TRANSITIONS, ConnectionState, Trigger

__all__ = [
    "IMPLEMENTATION",
    "TRANSITIONS",
    "BinaryMessage",
    "CloseReceived",
    "Closed",
    "ConnectionState",
    "DeflateParameters",
    "DeflatePolicy",
    "Delivery",
    "Failed",
    "MessageEvent",
    "MessagePiece",
    "MessageSocket",
    "Opcode",
    "Opening",
    "OpeningEvent",
    "OracleConnection",
    "Ping",
    "Pong",
    "TextMessage",
    "Trigger",
    "UpgradeAccepted",
    "UpgradeOffer",
    "UpgradeRefused",
    "WSConnection",
    "WebSocketEvent",
    "accept_upgrade",
    "apply_mask",
    "check_response",
    "check_upgrade",
    "is_sendable_code",
    "new_key",
    "upgrade_request",
    "wants_upgrade",
]
