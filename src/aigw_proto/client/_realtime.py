"""The client engine of the realtime API: one WebSocket through a gateway to a provider, messages both ways.

What the messages mean is the program's and the provider's affair. The connection is a `Line`; this engine only joins
it to the program.

Flow control: above `high_water_bytes` of messages that were delivered and not consumed the gateway is no longer read,
and it resumes below `low_water_bytes`; TCP passes the pause on to the provider. A peer that is not read is not answered
either, so a program that takes nothing for a minute or so may be given up by the other side. `SendingAllowed(False)`
asks the API layer to hold messages back while much is unsent, and after the peer's Close for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._inputs import CONNECTION_TICKET, RealtimeInput, SendMessage
from ._items import MessageReceived
from ._line import Line, Stage

if TYPE_CHECKING:
    from .._effects import Effect
    from .._entropy import RandomBytes
    from .._limits import HttpLimits, WebSocketLimits
    from ..ws import BinaryMessage, TextMessage
    from ._items import ConnectionLost
    from ._limits import ClientLimits

__all__ = ["RealtimeClientEngine"]


class RealtimeClientEngine:
    """One realtime session; an `Engine[RealtimeInput]`. See the inputs and items for what goes in and out."""

    def __init__(
        self,
        *,
        random_bytes: RandomBytes,
        limits: ClientLimits | None = None,
        http: HttpLimits | None = None,
        websocket: WebSocketLimits | None = None,
    ) -> None:
        """Create an engine that waits for `OpenConnection`. `random_bytes` feeds masks and the handshake key."""
        self._line = Line(self, random_bytes=random_bytes, limits=limits, http=http, websocket=websocket)

    # -- Engine ---------------------------------------------------------------------------------------------------

    def handle(self, event: RealtimeInput, now: float) -> None:
        """Take one input. LocalProtocolError for a caller's mistake, RuntimeError when the last turn is not drained."""
        self._line.begin(now)
        if isinstance(event, SendMessage):
            self._send(event)
        else:
            self._line.take(event)
        self._end_turn()

    def handle_timeout(self, now: float) -> None:
        """Let time pass: deadlines, keep-alive, and work left over from a long turn."""
        self._line.begin(now)
        self._line.expire()
        self._end_turn()

    def next_timeout(self) -> float | None:
        """Return the earliest deadline; the time of the last call when work remains; None when there is nothing."""
        return self._line.next_timeout()

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn; None when it is drained."""
        return self._line.poll()

    def _end_turn(self) -> None:
        line = self._line
        line.pump()
        if line.session is not None and line.stage is Stage.OPEN and not line.session.is_open:
            line.outlet.hold_senders()
        line.settle()

    def _send(self, event: SendMessage) -> None:
        self._line.check_opened()
        session = self._line.sending_session()
        if session is None:
            return
        if event.binary:
            session.send_binary(event.payload)
        else:
            session.send_text([event.payload])

    # -- LineOwner ------------------------------------------------------------------------------------------------

    def receive_message(self, message: TextMessage | BinaryMessage) -> None:
        """See `LineOwner`."""
        self._line.outlet.answer(CONNECTION_TICKET, MessageReceived(message.data), self._line.now)

    def receive_end(self, _lost: ConnectionLost) -> None:
        """See `LineOwner`."""
        self._line.outlet.hold_senders()
