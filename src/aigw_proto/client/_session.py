"""One byte stream to a gateway as one machine: the opening handshake, then the WebSocket.

The engine sees a stream of events without caring which machine speaks: one of `Opened`, `OpenRefused`, `OpenFailed`;
messages; one `ConnectionLost`. The three that end it are terminal.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, TypeAlias

from .._errors import CloseCode
from .._kinds import Signal
from ..http import Failed as HttpFailed
from ..ws import (
    BinaryMessage,
    Closed,
    ConnectionState,
    Failed,
    Opening,
    TextMessage,
    UpgradeAccepted,
    UpgradeRefused,
    WSConnection,
    new_key,
)
from ._items import ClosedBy, ConnectionLost, Opened, OpenFailed, OpenRefused
from ._upgrade import upgrade_fields

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._entropy import Entropy
    from .._limits import HttpLimits, WebSocketLimits
    from ._inputs import OpenConnection

__all__ = ["Session", "SessionEvent"]

SessionEvent: TypeAlias = Opened | OpenRefused | OpenFailed | TextMessage | BinaryMessage | ConnectionLost


class Session:
    """A `Machine[SessionEvent]` on a link that has just connected."""

    __slots__ = ("_closed_here", "_connection", "_entropy", "_now", "_opening", "_websocket")

    def __init__(
        self,
        request: OpenConnection,
        *,
        now: float,
        entropy: Entropy,
        http: HttpLimits,
        websocket: WebSocketLimits,
        open_timeout_seconds: float,
    ) -> None:
        """Begin the opening handshake. Raises LocalProtocolError for what `check_open()` finds wrong."""
        headers, subprotocols = upgrade_fields(request)
        self._entropy = entropy
        self._websocket = websocket
        self._now = now
        self._opening = Opening.client(
            now=now,
            host=request.url.host_header,
            target=request.url.target,
            key=new_key(entropy),
            subprotocols=subprotocols,
            deflate=request.deflate,
            headers=headers,
            limits=dataclasses.replace(http, head_timeout_seconds=open_timeout_seconds),
        )
        self._connection: WSConnection | None = None
        self._closed_here = False

    # -- Machine --------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes from the gateway."""
        self._now = now
        (self._connection or self._opening).receive_data(data, now)

    def receive_eof(self, now: float) -> None:
        """Note the end of the gateway's bytes."""
        self._now = now
        (self._connection or self._opening).receive_eof(now)

    def next_event(self) -> SessionEvent | Signal:
        """Return the next event."""
        connection = self._connection
        if connection is None:
            return self._next_opening_event()
        while True:
            event = connection.next_event()
            if isinstance(event, TextMessage | BinaryMessage | Signal):
                return event
            if isinstance(event, Closed):
                closed_by = ClosedBy.PEER if event.clean else ClosedBy.NETWORK
                return self._lost(event.code, event.reason, clean=event.clean, closed_by=closed_by)
            if isinstance(event, Failed):
                return self._lost(event.code, event.reason, clean=False, closed_by=ClosedBy.CLIENT)
            # Pings are answered already, and a pong has done its work by coming.

    def data_to_send(self) -> list[bytes]:
        """Move the pending output to the caller."""
        return (self._connection or self._opening).data_to_send()

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        return (self._connection or self._opening).next_timeout()

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        self._now = now
        (self._connection or self._opening).handle_timeout(now)

    # -- for the engine, after Opened -----------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages can be sent: neither side has said Close, as far as it was read."""
        return self._connection is not None and self._connection.state is ConnectionState.OPEN

    def send_text(self, chunks: Sequence[bytes]) -> None:
        """Queue one text message, unless the connection is closing: then its end will answer for the message."""
        if self._connection is not None and self.is_open:
            self._connection.send_text_chunks(chunks)

    def send_binary(self, payload: bytes) -> None:
        """Queue one binary message, likewise."""
        if self._connection is not None and self.is_open:
            self._connection.send_binary(payload)

    def close(self, code: int, reason: str, now: float) -> None:
        """Start the closing handshake; `ConnectionLost` follows when it is over or its deadline has passed."""
        if self._connection is not None and self.is_open:
            self._connection.send_close(code, reason, now=now)
            self._closed_here = True

    def reject(self, reason: str, code: CloseCode) -> None:
        """End the connection because of what the gateway sent: Close is queued, `ConnectionLost` follows."""
        if self._connection is not None:
            self._connection.fail(code, reason)

    def set_reading(self, *, enabled: bool, now: float) -> None:
        """Say that the gateway is not read, or is again: while it is not, its silence proves nothing."""
        if self._connection is not None:
            self._connection.set_reading(enabled, now)

    def _lost(self, code: int, reason: str, *, clean: bool, closed_by: ClosedBy) -> ConnectionLost:
        return ConnectionLost(code, reason, clean, ClosedBy.PROGRAM if self._closed_here else closed_by)

    # -- opening --------------------------------------------------------------------------------------------------

    def _next_opening_event(self) -> SessionEvent | Signal:
        event = self._opening.next_event()
        if isinstance(event, Signal):
            return event
        if isinstance(event, UpgradeAccepted):
            self._opening.next_event()  # SWITCHED: only then the bytes behind the head can be taken
            self._connection = self._opening.connection(now=self._now, limits=self._websocket, entropy=self._entropy)
            return Opened(event.subprotocol, event.headers)
        if isinstance(event, UpgradeRefused):
            if event.status != 101:
                return OpenRefused(event.status, event.headers, event.body)
            return OpenFailed(f"what answered is no WebSocket server: {event.reason}")
        if isinstance(event, HttpFailed) and event.received_any:
            return OpenFailed(f"what answered is no WebSocket server: {event.reason}")
        return OpenFailed("the connection was closed before the handshake was over")
