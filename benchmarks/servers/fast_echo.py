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
NEED_DATA = Signal.NEED_DATA


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

    def open(self, data: bytes, now: float) -> list[bytes]:
        """Take bytes of the handshake, return what to send."""
        opening = self.opening
        opening.receive_data(data, now)
        while (event := opening.next_event()) is not Signal.NEED_DATA:
            if isinstance(event, UpgradeOffer):
                opening.accept()
            elif event is Signal.SWITCHED:
                chunks = opening.data_to_send()
                self.connection = opening.connection(now=now, entropy=Entropy(os.urandom))
                return chunks
            else:
                self.over = True
                break
        return opening.data_to_send()


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
            if session.connection is not None:
                session.connection.receive_data(event.data, now)
                self.echo(session, session.connection, now)
            else:
                self.open(session, event.data, now)
        elif isinstance(event, BytesSent):
            session = self.sessions[event.link]
            session.unsent = event.unsent
            if session.connection is not None:
                self.echo(session, session.connection, now)
        elif isinstance(event, LinkAccepted):
            session = self.sessions[event.link] = Session(event.link, now)
            self.open(session, b"", now)
        elif isinstance(event, PeerClosed):
            self.close(self.sessions[event.link], CloseHow.ABORT)
        elif isinstance(event, ShutdownRequested):
            for session in list(self.sessions.values()):
                self.close(session, CloseHow.ABORT)
            self.effects.append(Drained())

    def open(self, session: Session, data: bytes, now: float) -> None:
        """Go on with a handshake, and with what came behind it."""
        chunks = session.open(data, now)
        if session.connection is not None:
            self.echo(session, session.connection, now, chunks)
            return
        if chunks:
            self.effects.append(SendBytes(session.link, chunks))
        if session.over:
            self.close(session, CloseHow.FLUSH)
        else:
            self.watch(session.opening.next_timeout())

    def echo(self, session: Session, connection: WSConnection, now: float, chunks: list[bytes] | None = None) -> None:
        """Pull messages while the peer takes the echoes, send these behind `chunks`; see where the session stands."""
        next_event = connection.next_event
        while session.unsent < HIGH_WATER_BYTES and (event := next_event()) is not NEED_DATA:
            if isinstance(event, BinaryMessage):
                connection.send_binary(event.data)
            elif isinstance(event, TextMessage):
                connection.send_text(event.data)
            elif isinstance(event, Closed | Failed):
                session.over = True
                break
        echoes = connection.data_to_send()
        if chunks or echoes:
            self.effects.append(SendBytes(session.link, chunks + echoes if chunks else echoes))
        if session.over:
            self.close(session, CloseHow.FLUSH)
            return
        if session.paused != (session.unsent >= HIGH_WATER_BYTES):
            session.paused = not session.paused
            connection.set_reading(not session.paused, now)
            self.effects.append(SetReading(session.link, not session.paused))
        deadline = connection.next_timeout()
        if deadline is not None and (self.earliest is None or deadline < self.earliest):  # rare: they move away
            self.watch(deadline)

    def watch(self, deadline: float | None) -> None:
        """Note a deadline."""
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
            if session.connection is not None:
                session.connection.handle_timeout(now)
                self.echo(session, session.connection, now)
            else:
                session.opening.handle_timeout(now)
                self.open(session, b"", now)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline."""
        return self.earliest

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn."""
        return self.effects.popleft() if self.effects else None
