"""Where the client engine puts its effects, and what follows from their amount.

Items for the program are counted until they are consumed; `set_reading()` at the end of a turn turns the level, and
whether undecoded bytes pile up, into `SetReading`, once and only when it changed. Bytes for the gateway are taken from
the session once a turn.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from .._effects import CloseHow, Deliver, SendBytes, SetReading
from ._flow import Flow
from ._inputs import CONNECTION_TICKET
from ._items import ReadingPaused, SendingAllowed, held_bytes

if TYPE_CHECKING:
    from .._effects import Effect
    from .._kinds import LinkId
    from ._items import ConnectionItem, MessageReceived, RequestItem
    from ._limits import ClientLimits
    from ._session import Session

__all__ = ["Outlet"]


class Outlet:
    """The effects of the turn under way, and flow control."""

    __slots__ = ("_holding", "_link", "effects", "flow", "paused", "peer_gone", "waiting")

    def __init__(self, link: LinkId, limits: ClientLimits) -> None:
        """Begin with nothing to say, reading."""
        self._link = link
        self._holding = False
        self.effects: deque[Effect] = deque()
        self.flow = Flow(limits)
        self.paused = False
        """The driver was told not to read."""
        self.waiting = False
        """The API layer was told that reading waits for what the program takes."""
        self.peer_gone: CloseHow | None = None
        """How the link can still be closed, once the gateway's stream has ended."""

    def deliver(self, item: ConnectionItem) -> None:
        """Hand over what concerns the connection."""
        self.effects.append(Deliver(CONNECTION_TICKET, item))

    def answer(self, ticket: int, item: RequestItem | MessageReceived, now: float) -> None:
        """Hand over what concerns a request, or a message; it counts as held until it is consumed."""
        self.effects.append(Deliver(ticket, item))
        self.flow.delivered(ticket, held_bytes(item), now)

    def unsent(self, size: int) -> None:
        """Note the driver's backlog, and tell the API layer when it passes a mark."""
        before = self.flow.sending
        self.flow.unsent(size)
        if self.flow.sending is not before and not self._holding:
            self.deliver(SendingAllowed(self.flow.sending))

    def hold_senders(self) -> None:
        """Tell the API layer once that nothing can be sent any more: `ConnectionLost` follows."""
        if not self._holding:
            self._holding = True
            if self.flow.sending:
                self.deliver(SendingAllowed(allowed=False))

    def set_reading(
        self, session: Session, now: float, *, closing: bool, behind: bool = False, piling: bool = False
    ) -> None:
        """Bring driver, session and API layer in line with the level; a closing connection is read whatever is held.

        `behind`: there may be undecoded bytes; `piling`: more have just come on top of them. That stops reading, and
        reading, whatever stopped it, goes on when all is decoded. A turn that only ends behind does not stop it: that
        would be a pair of effects for almost every read of a busy connection.
        """
        if self.peer_gone is not None:
            return
        waiting = not (self.flow.reading or closing)
        paused = waiting or (behind and (piling or self.paused))
        if paused is not self.paused:
            self.paused = paused
            session.set_reading(enabled=not paused, now=now)
            self.effects.append(SetReading(self._link, enabled=not paused))
        if waiting is not self.waiting:
            self.waiting = waiting
            self.deliver(ReadingPaused(waiting))

    def flush(self, session: Session, *, pressing: bool = True) -> None:
        """Send what the session has for the gateway, unless the stream is broken.

        While much is unsent, what is not `pressing` stays in the session. It can only be pongs, of which the session
        keeps few: a gateway that pings and never reads would make us hold an answer to each.
        """
        if not pressing and not self.flow.sending:
            return
        chunks = session.data_to_send()
        if chunks and self.peer_gone is not CloseHow.ABORT:
            self.effects.append(SendBytes(self._link, chunks))
