"""The least engine that echoes messages, with its limits, keep-alive, back-pressure and closing handshake."""

from __future__ import annotations

import os
from collections import deque

from aigw_proto import (
    BytesReceived,
    BytesSent,
    CloseHow,
    CloseLink,
    Drained,
    Effect,
    Entropy,
    Input,
    LinkAccepted,
    LinkId,
    PeerClosed,
    SendBytes,
    SetReading,
    ShutdownRequested,
    Signal,
)
from aigw_proto.ws import BinaryMessage, Closed, Failed, Opening, TextMessage, UpgradeOffer, WSConnection

HIGH_WATER_BYTES = 256 * 1024


class Session:
    """One link."""

    __slots__ = ("connection", "link", "opening", "over", "paused", "unsent")

    def __init__(self, link: LinkId, now: float) -> None:
        """Await a handshake."""
        self.link = link
        self.opening = Opening.server(now=now)
        self.connection: WSConnection | None = None
        self.unsent = 0
        self.paused = False
        self.over = False

    def receive(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes, return what to send."""
        if self.connection is not None:
            self.connection.receive_data(data, now)
            return self.work(self.connection)
        opening = self.opening
        opening.receive_data(data, now)
        while (event := opening.next_event()) is not Signal.NEED_DATA:
            if isinstance(event, UpgradeOffer):
                opening.accept()
            elif event is Signal.SWITCHED:
                chunks = opening.data_to_send()
                self.connection = opening.connection(now=now, entropy=Entropy(os.urandom))
                return chunks + self.work(self.connection)
            else:
                self.over = True
                break
        return opening.data_to_send()

    def work(self, connection: WSConnection) -> list[bytes]:
        """Pull messages while the peer takes the echoes; return what to send."""
        next_event = connection.next_event
        while self.unsent < HIGH_WATER_BYTES and (event := next_event()) is not Signal.NEED_DATA:
            if isinstance(event, TextMessage):
                connection.send_text(event.data)
            elif isinstance(event, BinaryMessage):
                connection.send_binary(event.data)
            elif isinstance(event, Closed | Failed):
                self.over = True
                break
        return connection.data_to_send()

    def deadline(self) -> float | None:
        """Return the earliest one."""
        return self.opening.next_timeout() if self.connection is None else self.connection.next_timeout()


class EchoEngine:
    """Echo sessions on links that are accepted. A turn costs the same with one session and with thousands."""

    def __init__(self) -> None:
        """Start without links."""
        self.sessions: dict[LinkId, Session] = {}
        self.effects: deque[Effect] = deque()
        self.earliest: float | None = None  # of all deadlines, or before them: then it wakes for nothing

    def handle(self, event: Input, now: float) -> None:
        """Take one input."""
        if isinstance(event, BytesReceived):
            session = self.sessions[event.link]
            self.finish(session, session.receive(event.data, now), now)
        elif isinstance(event, BytesSent):
            session = self.sessions[event.link]
            session.unsent = event.unsent
            if session.connection is not None:
                self.finish(session, session.work(session.connection), now)
        elif isinstance(event, LinkAccepted):
            session = self.sessions[event.link] = Session(event.link, now)
            self.finish(session, [], now)
        elif isinstance(event, PeerClosed):
            self.close(self.sessions[event.link], CloseHow.ABORT)
        elif isinstance(event, ShutdownRequested):
            for session in list(self.sessions.values()):
                self.close(session, CloseHow.ABORT)
            self.effects.append(Drained())

    def finish(self, session: Session, chunks: list[bytes], now: float) -> None:
        """Send what a session has for its peer, and see where it stands."""
        if chunks:
            self.effects.append(SendBytes(session.link, chunks))
        if session.over:
            self.close(session, CloseHow.FLUSH)
            return
        paused = session.unsent >= HIGH_WATER_BYTES
        if paused != session.paused and session.connection is not None:
            session.paused = paused
            session.connection.set_reading(not paused, now)
            self.effects.append(SetReading(session.link, not paused))
        deadline = session.deadline()
        if deadline is not None and (self.earliest is None or deadline < self.earliest):
            self.earliest = deadline

    def close(self, session: Session, how: CloseHow) -> None:
        """Forget a session."""
        del self.sessions[session.link]
        self.effects.append(CloseLink(session.link, how))

    def handle_timeout(self, now: float) -> None:
        """Let time pass for every session."""
        self.earliest = None
        for session in list(self.sessions.values()):
            machine = session.connection or session.opening
            machine.handle_timeout(now)
            chunks = session.receive(b"", now) if session.connection is None else session.work(session.connection)
            self.finish(session, chunks, now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        return self.earliest

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn."""
        return self.effects.popleft() if self.effects else None
