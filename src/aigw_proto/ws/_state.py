"""The life of a WebSocket connection after its opening handshake, as tables (RFC 6455 section 7).

Everything about transitions is here, and nothing here knows which role it serves: one table for both. The states:

* OPEN: messages flow both ways.
* CLOSING: our Close was sent first; the peer's messages still arrive until its own Close does.
* ANSWERING: the peer's Close came first and the caller, a relay, answers it when the other side has. Until then we may
  send (section 5.5.1); the peer may not. Without a relay OPEN goes to ENDING by itself.
* ENDING: Close frames went both ways; what remains is the end of the stream. The server ends it, at once; the
  client waits for that (section 7.1.1), so that the side that accepted the connection does not keep TIME-WAIT ports.
* CLOSED, FAILED: terminal. Nothing is sent, whatever arrives is ignored.

A trigger that a state does not list is a mistake of the caller, or, for things the peer does, is ignored. The state
diagram of the documentation is drawn from `TRANSITIONS`.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from .._kinds import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AT_ONCE", "TRANSITIONS", "ConnectionState", "Trigger"]


class ConnectionState(enum.Enum):
    """Where a connection stands."""

    OPEN = "messages flow both ways"
    CLOSING = "our Close is sent, the peer's is awaited"
    ANSWERING = "the peer's Close is here, ours is owed"
    ENDING = "Close frames went both ways, the end of the stream is awaited"
    CLOSED = "the connection ended"
    FAILED = "the connection was given up"


class Trigger(enum.Enum):
    """What moves a connection."""

    SEND = "we send a message, a ping or a pong"
    SEND_CLOSE = "we send Close, first or in answer"
    RECEIVE = "the peer sends a message, a ping or a pong"
    RECEIVE_CLOSE = "the peer sends Close; ours answers it or went before"
    DEFER_CLOSE = "the peer sends Close first; a relay is to answer it"
    FAIL = "the peer broke a rule, or the caller gives up"
    DEADLINE = "nothing was heard, or the closing took, for too long"
    STREAM_ENDS = "no more bytes will come"


TRANSITIONS: Final[Mapping[ConnectionState, Mapping[Trigger, ConnectionState]]] = MappingProxyType(
    {
        ConnectionState.OPEN: MappingProxyType(
            {
                Trigger.SEND: ConnectionState.OPEN,
                Trigger.SEND_CLOSE: ConnectionState.CLOSING,
                Trigger.RECEIVE: ConnectionState.OPEN,
                Trigger.RECEIVE_CLOSE: ConnectionState.ENDING,
                Trigger.DEFER_CLOSE: ConnectionState.ANSWERING,
                Trigger.FAIL: ConnectionState.FAILED,
                Trigger.DEADLINE: ConnectionState.FAILED,
                Trigger.STREAM_ENDS: ConnectionState.CLOSED,
            }
        ),
        ConnectionState.CLOSING: MappingProxyType(
            {
                Trigger.RECEIVE: ConnectionState.CLOSING,
                Trigger.RECEIVE_CLOSE: ConnectionState.ENDING,
                Trigger.FAIL: ConnectionState.FAILED,
                Trigger.DEADLINE: ConnectionState.FAILED,
                Trigger.STREAM_ENDS: ConnectionState.CLOSED,
            }
        ),
        ConnectionState.ANSWERING: MappingProxyType(
            {
                Trigger.SEND: ConnectionState.ANSWERING,
                Trigger.SEND_CLOSE: ConnectionState.ENDING,
                Trigger.FAIL: ConnectionState.FAILED,
                Trigger.DEADLINE: ConnectionState.FAILED,
                Trigger.STREAM_ENDS: ConnectionState.CLOSED,
            }
        ),
        ConnectionState.ENDING: MappingProxyType(
            {
                Trigger.FAIL: ConnectionState.FAILED,
                Trigger.DEADLINE: ConnectionState.CLOSED,
                Trigger.STREAM_ENDS: ConnectionState.CLOSED,
            }
        ),
        ConnectionState.CLOSED: MappingProxyType({}),
        ConnectionState.FAILED: MappingProxyType({}),
    }
)
"""`TRANSITIONS[state][trigger]` is the next state."""

AT_ONCE: Final[Mapping[Role, Mapping[ConnectionState, Trigger]]] = MappingProxyType(
    {
        Role.SERVER: MappingProxyType({ConnectionState.ENDING: Trigger.STREAM_ENDS}),
        Role.CLIENT: MappingProxyType({}),
    }
)
"""What a role does by itself on entering a state: a server does not wait for the end of the stream, it makes it."""
