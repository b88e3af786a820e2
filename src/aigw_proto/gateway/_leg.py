"""One of the two links of a realtime session, with the machine that is in charge of its bytes.

A leg begins with the machine of its opening handshake and goes on with a WebSocket. It knows its gauge (what waits to
be sent), whether something waits to be pulled, and how its link ends; what an event means is the session's business.

Two things are held back while the gauge is shut. Nothing is pulled from the other leg, which fills this one. And pongs
stay in the machine, which keeps the newest only: a peer that pings and never reads cannot make the gateway grow.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Protocol

from .._effects import CloseHow
from .._inputs import ConnectFailed, LinkConnected
from .._kinds import LinkId
from .._timers import TimerTable
from ..ws._connection import WSConnection
from ._flow import Gauge
from ._turn import Actor

if TYPE_CHECKING:
    from ._core import Core
    from ._realtime import Realtime

__all__ = ["Handshake", "Leg", "Side"]


class Side(enum.Enum):
    """Which of the two legs."""

    CLIENT = "client"
    PROVIDER = "provider"


class Handshake(Protocol):
    """What is in charge of a link before its WebSocket; it is pulled by the session."""

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes."""
        ...

    def receive_eof(self, now: float) -> None:
        """Note that no more will come."""
        ...

    def data_to_send(self) -> list[bytes]:
        """Move out what is to be sent."""
        ...

    def next_timeout(self) -> float | None:
        """Return the deadline."""
        ...

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        ...


class _Timer(enum.Enum):
    LINGER = "linger"
    STUCK = "stuck"


class Leg(Actor):
    """A link of a realtime session; what the engine calls a link's owner.

    `unread` says that the machine may have something to pull. `message_bytes` counts what has come of the message under
    way. `broken` says that the stream broke: nothing can be
    sent any more, what came before counts. `lingering` legs have said all and discard what still arrives. `deflates`
    says that what is sent is compressed, which costs far more than passing it on.
    """

    __slots__ = (
        "_deaf",
        "_held",
        "_reading",
        "_session",
        "_timers",
        "broken",
        "core",
        "deflates",
        "gauge",
        "handshake",
        "is_closed",
        "lingering",
        "link",
        "message_bytes",
        "peer_ended",
        "side",
        "unread",
        "ws",
    )

    def __init__(self, core: Core, session: Realtime, side: Side, link: LinkId, handshake: Handshake | None) -> None:
        """Own `link`; the provider's has no handshake before it is connected."""
        limits = core.config.limits
        self.core = core
        self.side = side
        self.link = link
        self.handshake = handshake
        self.ws: WSConnection | None = None
        self.gauge = Gauge(high_bytes=limits.realtime_high_water_bytes, low_bytes=limits.realtime_low_water_bytes)
        self.deflates = False
        self.unread = False
        self.message_bytes = 0
        self.peer_ended = False
        self.broken = False
        self.lingering = False
        self.is_closed = False
        self.scheduled = None
        self._session = session
        self._timers: TimerTable[_Timer] = TimerTable()
        self._reading = True
        self._deaf = False
        self._held = False  # a pong waits for the gauge
        core.links[link] = self

    @property
    def _machine(self) -> WSConnection | Handshake | None:
        return self.handshake if self.ws is None else self.ws

    # ---- what happens on the link ----------------------------------------------------------------------------------

    def handle_input(self, event: LinkConnected | ConnectFailed, now: float) -> None:
        """Take the answer to `Connect`."""
        if isinstance(event, LinkConnected):
            self._session.connected(now)
        else:
            self.is_closed = True
            self._forget()
            self._session.unreachable(event, now)

    def receive_data(self, data: bytes, now: float) -> None:
        """Store bytes and ask for a quantum; stop reading a peer whose earlier bytes are still waiting."""
        ws = self.ws
        if self.lingering:
            return
        if ws is not None:
            ws.receive_data(data, now)
        elif self.handshake is not None:
            self.handshake.receive_data(data, now)
        else:
            return
        if self.unread:
            self.hold_back(now)
        self.unread = True
        self.core.schedule(self._session)

    def receive_eof(self, *, clean: bool, now: float) -> None:
        """Note the end of the peer's bytes. What came before is still pulled, in order."""
        self.peer_ended = True
        if not clean:
            self._break(now)
        machine = self._machine
        if self.lingering:
            self.close(CloseHow.FLUSH if clean else CloseHow.ABORT, now)
        elif machine is not None:
            machine.receive_eof(now)
            self.unread = True
            self.core.schedule(self._session)

    def sent(self, unsent: int, now: float) -> None:
        """Take the driver's backlog; progress on a shut gauge restarts the stuck deadline."""
        was_shut = self.gauge.shut
        shrank = self.gauge.report(unsent)
        if not self.gauge.shut:
            if was_shut:
                self._reopened()
        elif shrank or self._timers.deadline(_Timer.STUCK) is None:
            self._timers.arm(_Timer.STUCK, now + self.core.config.limits.stuck_timeout_seconds)
        self._listen(now)

    def crash(self, now: float) -> None:
        """End the session after a bug."""
        self._session.crash(now)

    def drop(self, now: float) -> None:
        """Let go of the session after a second bug."""
        self._session.drop(now)

    # ---- reading ---------------------------------------------------------------------------------------------------

    def hold_back(self, now: float) -> None:
        """Stop reading: what was read cannot be passed on yet."""
        if self._reading:
            self._reading = False
            self.core.turn.set_reading(self.link, False)
            self._listen(now)

    def all_read(self, now: float) -> None:
        """Go on reading: everything was pulled."""
        self.unread = False
        if not self._reading:
            self._reading = True
            self.core.turn.set_reading(self.link, True)
            self._listen(now)

    def _listen(self, now: float) -> None:
        """Tell the WebSocket whether silence means something.

        It does not while the peer is not read; nor while the peer reads slowly, since its pong is then late.
        """
        deaf = not self._reading or self.gauge.shut
        if deaf is not self._deaf and self.ws is not None:
            self._deaf = deaf
            self.ws.set_reading(not deaf, now)
            self.core.deadlines.touch(self)

    # ---- sending ---------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Hand what the machine has to send to the turn."""
        if self.is_closed:
            return
        self._held = False
        if self.ws is not None:
            chunks = self.ws.data_to_send()
        elif self.handshake is not None:
            chunks = self.handshake.data_to_send()
        else:
            return
        if chunks and not self.broken:
            if not self.gauge.queued:
                self.core.senders.append(self)
            self.gauge.add(self.core.turn.send(self.link, chunks))

    def flush_pong(self) -> None:
        """Send a pong, unless the peer has enough to read: then it waits, and a newer one takes its place."""
        if self.gauge.shut:
            self._held = True
        else:
            self.flush()

    def hand_over(self) -> None:
        """End the turn: the driver has the output now."""
        was_shut = self.gauge.shut
        self.gauge.hand_over()
        if was_shut and not self.gauge.shut:
            self._reopened()

    def _reopened(self) -> None:
        self._timers.disarm(_Timer.STUCK)
        if self._held:
            self.flush()
        self.core.schedule(self._session, again=True)

    # ---- time ------------------------------------------------------------------------------------------------------

    def next_timeout(self) -> float | None:
        """Return the earliest deadline of the link and of the machine in charge."""
        own = self._timers.earliest
        if self.lingering or self.is_closed:
            return own
        if self.ws is not None:
            theirs = self.ws.next_timeout()
        else:
            theirs = None if self.handshake is None else self.handshake.next_timeout()
        if own is None or theirs is None:
            return theirs if own is None else own
        return min(own, theirs)

    def handle_timeout(self, now: float) -> None:
        """Let the machine time out; give up what is stuck or has lingered long enough."""
        timer = self._timers.expire(now)
        if timer is _Timer.LINGER:
            self.close(CloseHow.FLUSH, now)
        elif timer is _Timer.STUCK:
            self._break(now)
            self._session.stuck(self, now)
        elif not self.lingering and not self.is_closed and (machine := self._machine) is not None:
            machine.handle_timeout(now)
            self.flush_pong()  # or the ping that asks for a sign of life
            self.unread = True
            self.core.schedule(self._session)

    # ---- ends ------------------------------------------------------------------------------------------------------

    def linger(self, now: float) -> None:
        """End sending, then discard input until the peer ends: closing at once could reset what we sent last."""
        self.flush()
        if self.is_closed or self.lingering:
            return
        if self.peer_ended:
            self.close(CloseHow.ABORT if self.broken else CloseHow.FLUSH, now)
            return
        self.lingering = True
        self.unread = False
        self.core.turn.end_sending(self.link)
        self.core.turn.set_reading(self.link, True)
        self._timers.clear()
        self._timers.arm(_Timer.LINGER, now + self.core.config.limits.linger_timeout_seconds)
        self.core.deadlines.touch(self)

    def close(self, how: CloseHow, now: float) -> None:
        """Close the link, once."""
        if self.is_closed:
            return
        if how is CloseHow.FLUSH:
            self.flush()
        self.is_closed = True
        self.unread = False
        self._forget()
        self.core.turn.close(self.link, CloseHow.ABORT if self.broken else how)
        self._session.closed(now)

    def _forget(self) -> None:
        self._timers.clear()
        self.core.deadlines.forget(self)
        self.core.links.pop(self.link, None)

    def _break(self, now: float) -> None:
        """Note that nothing can be sent any more; then nothing waits either."""
        self.broken = True
        self._timers.clear()
        self.gauge.report(0)
        self._listen(now)
