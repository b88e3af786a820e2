"""A gateway engine driven turn by turn, without a network: tests feed inputs and look at the effects of each turn."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from typing import Any

from aigw_proto._effects import (
    CloseLink,
    Connect,
    Drained,
    Effect,
    EndSending,
    Journal,
    Log,
    SendBytes,
    SetReading,
)
from aigw_proto._entropy import Entropy
from aigw_proto._inputs import BytesReceived, BytesSent, Input, LinkAccepted, LinkConnected, PeerClosed
from aigw_proto._kinds import LinkId, Role, Signal
from aigw_proto.gateway import GatewayConfig, GatewayEngine, RequestRecord
from aigw_proto.gateway._session import Session
from aigw_proto.http import H1Connection
from aigw_proto.testing import Checked
from aigw_proto.ws import Closed, Failed, TextMessage, WSConnection, upgrade_request
from support.rig import KEY, gateway_config

HAND = "custom-hand"


class Turns:
    """An engine in `Checked`, the time, and what it did so far."""

    def __init__(self, config: GatewayConfig | None = None, **limits: Any) -> None:
        self.config = config or gateway_config(limits=limits)
        self.gateway = GatewayEngine(self.config, random_bytes=random.Random(5).randbytes, epoch_unix_seconds=1.8e9)
        self.engine: Checked[Input] = Checked(self.gateway)
        self.now = 0.0
        self.sent: dict[LinkId, list[bytes]] = defaultdict(list)
        self.connects: list[Connect] = []
        self.closed: list[LinkId] = []
        self.records: list[RequestRecord] = []
        self.logs: list[Log] = []
        self.reading: dict[LinkId, bool] = {}
        self.ended_sending: set[LinkId] = set()
        self.drained = False
        self.unreported: set[LinkId] = set()
        self._untaken: dict[LinkId, int] = defaultdict(int)
        self._next_link = 0

    def feed(self, event: Input) -> list[Effect]:
        """Run the turn of one input and no other."""
        self.engine.handle(event, self.now)
        return self._poll()

    def wake(self) -> list[Effect]:
        self.engine.handle_timeout(self.now)
        return self._poll()

    def settle(self) -> int:
        """Let the engine finish the work that is left at this time; return in how many turns."""
        for count in range(10_000):
            deadline = self.engine.next_timeout()
            if self.drained or deadline is None or deadline > self.now:
                return count
            self.wake()
        raise AssertionError("the engine never comes to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass, deadline by deadline."""
        end = self.now + seconds
        while not self.drained and (deadline := self.engine.next_timeout()) is not None and deadline <= end:
            self.now = max(self.now, deadline)
            self.wake()
        self.now = end

    def receive(self, link: LinkId, data: bytes) -> list[Effect]:
        return self.feed(BytesReceived(link, data))

    def accept(self) -> LinkId:
        link = LinkId(self._next_link)
        self._next_link += 2
        self.feed(LinkAccepted(link, f"peer-{link}"))
        return link

    def session(self, link: LinkId) -> Session:
        """Return what stands behind a client's link, for a look inside."""
        session = self.gateway._core.sessions[link]
        assert isinstance(session, Session)
        return session

    def agent(self, headers: list[tuple[bytes, bytes]] | None = None) -> Agent:
        """Open a WebSocket."""
        return Agent(self, self.accept(), headers or [])

    def upstream(self, index: int = -1) -> LinkId:
        """Answer the engine's `Connect` number `index`."""
        link = self.connects[index].link
        self.feed(LinkConnected(link))
        return link

    def report(self, link: LinkId, unsent: int | None = None) -> list[Effect]:
        """Report a backlog of the driver: all that was sent since the last report, unless told otherwise."""
        self.unreported.discard(link)
        self._untaken[link] = self._untaken[link] if unsent is None else unsent
        return self.feed(BytesSent(link, self._untaken[link]))

    def backlog(self, link: LinkId) -> int:
        """What was last reported."""
        return 0 if link in self.unreported else self._untaken[link]

    def take(self, link: LinkId) -> bytes:
        """Return what was sent on a link since the last call."""
        return b"".join(self.sent.pop(link, []))

    def _poll(self) -> list[Effect]:
        effects: list[Effect] = []
        while (effect := self.engine.poll()) is not None:
            effects.append(effect)
            match effect:
                case SendBytes():
                    self.sent[effect.link] += effect.chunks
                    self.unreported.add(effect.link)
                    self._untaken[effect.link] += sum(map(len, effect.chunks))
                case Connect():
                    self.connects.append(effect)
                case CloseLink():
                    self.closed.append(effect.link)
                case SetReading():
                    self.reading[effect.link] = effect.enabled
                case EndSending():
                    self.ended_sending.add(effect.link)
                case Journal(entry):
                    if isinstance(entry, RequestRecord):
                        self.records.append(entry)
                case Log():
                    self.logs.append(effect)
                case Drained():
                    self.drained = True
                case _:
                    pass
        return effects


class Agent:
    """A client with a WebSocket, on one link of a `Turns`."""

    def __init__(self, turns: Turns, link: LinkId, headers: list[tuple[bytes, bytes]]) -> None:
        self.turns = turns
        self.link = link
        self.ended: Closed | Failed | None = None
        self._frames: list[dict[str, Any]] = []
        http = H1Connection(Role.CLIENT, now=0.0)
        http.send_request(upgrade_request(host=b"gateway", target=b"/v1/acc/default", key=KEY, headers=headers))
        http.end_message()
        turns.receive(link, b"".join(http.data_to_send()))
        http.receive_data(turns.take(link), 0.0)
        while http.next_event() is not Signal.SWITCHED:
            pass
        self.ws = WSConnection(Role.CLIENT, now=0.0, entropy=Entropy(random.Random(6).randbytes))
        self.ws.receive_data(http.unconsumed(), 0.0)

    def bytes_of(self, *texts: str) -> bytes:
        """Return messages as they go on the wire."""
        for text in texts:
            self.ws.send_text(text)
        return b"".join(self.ws.data_to_send())

    def send(self, *texts: str) -> list[Effect]:
        """Send messages in one segment."""
        return self.turns.receive(self.link, self.bytes_of(*texts))

    def create(self, event_id: str, **step: Any) -> list[Effect]:
        return self.send(create(event_id, **step))

    def cancel(self, event_id: str) -> list[Effect]:
        return self.send(json.dumps({"type": "universal.cancel", "eventId": event_id}))

    def start(self, event_id: str, **step: Any) -> LinkId:
        """Create a request and open a connection for it if need be; return the connection."""
        for effect in self.create(event_id, **step):
            if isinstance(effect, SendBytes) and effect.link % 2:
                return effect.link
        self.turns.settle()  # a long message takes more than one turn
        return self.turns.upstream()

    def disconnect(self, *, clean: bool = False) -> list[Effect]:
        return self.turns.feed(PeerClosed(self.link, clean))

    def stall(self) -> None:
        """Read nothing of what was sent since the last call."""
        if self.link in self.turns.unreported:
            self.turns.report(self.link)

    def resume(self) -> None:
        """Read everything, and go on reading."""
        self.turns.report(self.link, 0)
        self.turns.settle()

    @property
    def frames(self) -> list[dict[str, Any]]:
        """All messages so far."""
        self.ws.receive_data(self.turns.take(self.link), self.turns.now)
        if self.link in self.turns.closed or self.link in self.turns.ended_sending:
            self.ws.receive_eof(self.turns.now)
        while not isinstance(event := self.ws.next_event(), Signal):
            if isinstance(event, TextMessage):
                self._frames.append(json.loads(event.data))
            elif isinstance(event, Closed | Failed):
                self.ended = event
        return self._frames

    def of(self, event_id: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["metadata"].get("eventId") == event_id]

    def types(self, event_id: str) -> list[str]:
        return [frame["type"].removeprefix("universal.") for frame in self.of(event_id)]

    @property
    def close_code(self) -> int | None:
        """The code of the Close frame that came; the client answers it."""
        assert isinstance(self.frames, list)
        if (reply := b"".join(self.ws.data_to_send())) and self.link not in self.turns.closed:
            self.turns.receive(self.link, reply)
            assert isinstance(self.frames, list)
        return None if self.ended is None else self.ended.code


def create(event_id: str, **step: Any) -> str:
    request: dict[str, Any] = {"eventId": event_id, "provider": HAND, "endpoint": "v1/x", "headers": {}, "query": {}}
    return json.dumps({"type": "universal.create", "request": {**request, **step}})


def answer(body: bytes = b"{}", status: int = 200, content_type: str = "application/json", extra: str = "") -> bytes:
    """Return an HTTP answer with a length."""
    head = f"HTTP/1.1 {status} X\r\ncontent-type: {content_type}\r\ncontent-length: {len(body)}\r\n{extra}\r\n"
    return head.encode() + body


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END_CHUNK = b"0\r\n\r\n"


def sse(data: bytes) -> bytes:
    """Return one event in one chunk."""
    return chunk(b"data: " + data + b"\n\n")
