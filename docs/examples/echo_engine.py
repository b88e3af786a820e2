"""What the echo server and the echo client share: an engine whose WebSockets send back every message they receive.

A session joins the machines of one link: `Opening` until the handshake is done, then `WSConnection`. It works as long
as less than `HIGH_WATER_BYTES` is unsent: not pulling events is all the back-pressure there is to it, and a peer that
does not read its echoes is soon not read either. A message is received whole before it is sent back, because a peer
that sends a long one may read nothing before it has sent all of it.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING

from aigw_proto import (
    BytesReceived,
    BytesSent,
    CloseLink,
    Connect,
    ConnectFailed,
    Drained,
    Effect,
    EndSending,
    Entropy,
    Input,
    LinkAccepted,
    LinkConnected,
    LinkId,
    PeerClosed,
    SendBytes,
    SetReading,
    ShutdownRequested,
    Signal,
    TlsPolicy,
    WebSocketLimits,
)
from aigw_proto.http import Failed as HttpFailed
from aigw_proto.http import StreamEnded
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    DeflatePolicy,
    Failed,
    Opening,
    TextMessage,
    UpgradeOffer,
    UpgradeRefused,
    WSConnection,
    new_key,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto.client import GatewayUrl

HIGH_WATER_BYTES = 256 * 1024
TURN_BYTES = 256 * 1024
LINGER_SECONDS = 2.0
LIMITS = WebSocketLimits(max_message_bytes=64 * 1024 * 1024)
DEFLATE = DeflatePolicy()


class EchoSession:
    """One link, either role. Without `echo` it only keeps the last message, in `received`."""

    def __init__(self, link: LinkId, opening: Opening, emit: Callable[[Effect], None], *, echo: bool = True) -> None:
        """Run `opening`, then the connection; hand every effect to `emit`."""
        self._link = link
        self._machine: Opening | WSConnection = opening
        self._emit = emit
        self._echo = echo
        self._unsent_bytes = 0
        self._reading = True
        self._linger_until: float | None = None
        self.received: str | bytes = b""
        self.problem: str | None = None
        self.work_remains = True
        self.closed = False

    def receive_data(self, data: bytes, now: float) -> None:
        """Take bytes from the peer."""
        self._machine.receive_data(data, now)
        self.work(now)

    def receive_end(self, *, clean: bool, now: float) -> None:
        """Note that the peer sends no more."""
        self._machine.receive_eof(now)
        self.work(now)
        if self._linger_until is not None or not clean:
            self.close()

    def sent(self, unsent: int, now: float) -> None:
        """Note how much the driver still holds."""
        self._unsent_bytes = unsent
        self.work(now)

    def say_goodbye(self, now: float) -> None:
        """Start the closing handshake, or end a link that has not come so far."""
        if isinstance(self._machine, Opening):
            self.close()
        elif self._linger_until is None:
            self._machine.fail(1001, "the server stops")
            self.work(now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        return self._machine.next_timeout() if self._linger_until is None else self._linger_until

    def handle_timeout(self, now: float) -> None:
        """Let time pass."""
        if self._linger_until is not None:
            if now >= self._linger_until:
                self.close()
            return
        self._machine.handle_timeout(now)
        self.work(now)

    def close(self) -> None:
        """Close the link; the engine forgets the session then."""
        self.closed = True
        self._emit(CloseLink(self._link))

    def work(self, now: float) -> None:
        """Pull events and send what they lead to, as much as one turn may produce."""
        if self._lingering():
            return  # what arrives now is discarded
        chunks = self._machine.data_to_send()
        produced = sum(map(len, chunks))
        more = True
        while more and self._may_send() and produced < TURN_BYTES:
            more = self._step(now)
            made = self._machine.data_to_send()
            produced += sum(map(len, made))
            chunks += made
        if chunks:
            self._emit(SendBytes(self._link, chunks))
        if self._lingering():
            # Closing at once over unread bytes would reset the stream, and the peer might never see our Close.
            self._emit(EndSending(self._link))
        self.work_remains = more and self._may_send()
        self._set_reading(enabled=self._may_send() or self._lingering(), now=now)

    def _lingering(self) -> bool:
        return self._linger_until is not None

    def _may_send(self) -> bool:
        return self._unsent_bytes < HIGH_WATER_BYTES

    def _set_reading(self, *, enabled: bool, now: float) -> None:
        if enabled != self._reading:
            self._reading = enabled
            self._emit(SetReading(self._link, enabled))
            if isinstance(self._machine, WSConnection):
                self._machine.set_reading(enabled, now)

    def _step(self, now: float) -> bool:
        """Handle one event; return False when there is nothing more to do."""
        machine = self._machine
        event = machine.next_event()
        if isinstance(machine, Opening):
            if event is Signal.SWITCHED:
                self._machine = machine.connection(now=now, limits=LIMITS, entropy=Entropy(os.urandom))
                return True
            if isinstance(event, UpgradeOffer):
                machine.accept(deflate=DEFLATE)
                return True
        elif isinstance(event, TextMessage | BinaryMessage):
            if not self._echo:
                self.received = event.data
            elif isinstance(event, TextMessage):
                machine.send_text(event.data)
            else:
                machine.send_binary(event.data)
            return True
        if isinstance(event, Failed | HttpFailed | UpgradeRefused):
            self.problem = event.reason
        if isinstance(event, Closed | Failed | HttpFailed | UpgradeRefused | StreamEnded):
            self._linger_until = now + LINGER_SECONDS
            return False
        return not isinstance(event, Signal)  # what is left needs no answer: pings have theirs already


class EchoEngine:
    """Echo sessions on links that are accepted, and on one that it opens itself when it is given `server`.

    With `server`, the engine is drained when that one link has ended.
    """

    def __init__(self, server: GatewayUrl | None = None, *, echo: bool = True) -> None:
        """Connect to `server` at the first turn, if there is one; `echo` as for `EchoSession`."""
        self._server = server
        self._echo = echo
        self._sessions: dict[LinkId, EchoSession] = {}
        self._effects: deque[Effect] = deque()
        self._now = 0.0
        self._connecting = False
        self._ending = False
        self.last: EchoSession | None = None
        self.problem: str | None = None

    def handle(self, event: Input, now: float) -> None:
        """Take one input; see `aigw_proto.Engine`."""
        match event:
            case LinkAccepted():
                self._begin(event.link, Opening.server(now=now), now)
            case LinkConnected():
                assert self._server is not None
                key = new_key(Entropy(os.urandom))
                opening = Opening.client(
                    now=now, host=self._server.host_header, target=self._server.target, key=key, deflate=DEFLATE
                )
                self._begin(event.link, opening, now)
            case ConnectFailed():
                self.problem = event.detail
                self._ending = True
            case ShutdownRequested():
                self._ending = True
                for session in self._sessions.values():
                    session.say_goodbye(now)
            case BytesReceived():
                self._sessions[event.link].receive_data(event.data, now)
            case BytesSent():
                self._sessions[event.link].sent(event.unsent, now)
            case PeerClosed():
                self._sessions[event.link].receive_end(clean=event.clean, now=now)
        self._finish(now)

    def handle_timeout(self, now: float) -> None:
        """Let time pass; see `aigw_proto.Engine`."""
        if self._server is not None and not self._connecting:
            self._connecting = True
            tls = TlsPolicy() if self._server.secure else None
            self._effects.append(Connect(LinkId(1), self._server.host, self._server.port, tls))
        for session in self._sessions.values():
            if session.work_remains:
                session.work(now)
            deadline = session.next_timeout()
            if deadline is not None and deadline <= now:
                session.handle_timeout(now)
        self._finish(now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline, or the present when work remains."""
        if any(session.work_remains for session in self._sessions.values()):
            return self._now
        deadlines = [session.next_timeout() for session in self._sessions.values()]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn."""
        return self._effects.popleft() if self._effects else None

    def _begin(self, link: LinkId, opening: Opening, now: float) -> None:
        self.last = self._sessions[link] = EchoSession(link, opening, self._effects.append, echo=self._echo)
        self.last.work(now)

    def _finish(self, now: float) -> None:
        self._now = now
        for link in [link for link, session in self._sessions.items() if session.closed]:
            del self._sessions[link]
            self._ending |= self._server is not None
        if self._ending and not self._sessions:
            self._effects.append(Drained())
