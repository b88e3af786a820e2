"""Client engines and a gateway played by hand, joined without a driver: bytes cross only when a test says so."""

from __future__ import annotations

import json
from typing import TypeAlias, TypeVar, cast

from aigw_proto import client as core
from aigw_proto._effects import Connect, Deliver, Effect, SendBytes
from aigw_proto._inputs import BytesReceived, LinkConnected, PeerClosed
from aigw_proto._kinds import Engine, LinkId, Signal
from aigw_proto._limits import WebSocketLimits
from aigw_proto.envelopes import Step
from aigw_proto.testing import Checked
from aigw_proto.ws import (
    Closed,
    DeflatePolicy,
    Opening,
    TextMessage,
    UpgradeOffer,
    WebSocketEvent,
    WSConnection,
)

LINK = LinkId(1)
ItemT = TypeVar("ItemT")
AnyInput: TypeAlias = core.ClientInput | core.RealtimeInput


def counted(count: int) -> bytes:
    """Random bytes that are the same in every run."""
    return bytes(index % 251 for index in range(count))


def step(query: bytes = b"{}") -> Step:
    """A step whose query is all that matters."""
    return Step("openai", "chat/completions", (), query)


def frame(kind: str, event_id: str | None, response: object = ..., **metadata: object) -> str:
    """The text of a gateway's frame."""
    if event_id is not None:
        metadata["eventId"] = event_id
    message: dict[str, object] = {"type": f"universal.{kind}", "metadata": metadata}
    if response is not ...:
        message["response"] = response
    return json.dumps(message)


class LineBench:
    """One client engine of either kind, its effects in order, and the gateway's side of the stream."""

    def __init__(self, engine: core.ClientEngine | core.RealtimeClientEngine) -> None:
        self.now = 100.0
        self.engine: Checked[AnyInput] = Checked(cast("Engine[AnyInput]", engine))
        self.effects: list[Effect] = []
        self.delivered: list[tuple[int, object]] = []
        self.sent = bytearray()  # by the engine, not yet seen by the gateway
        self.opening = Opening.server(now=self.now)
        self.gateway: WSConnection | None = None
        self.offer: UpgradeOffer | None = None
        self.heard: list[WebSocketEvent] = []

    # -- the engine's side

    def feed(self, event: AnyInput) -> list[Effect]:
        """One turn with an input; returns its effects."""
        self.engine.handle(event, self.now)
        return self._drain()

    def wait(self, seconds: float = 0.0) -> list[Effect]:
        """Let time pass, in one jump, and one turn of the engine."""
        self.now += seconds
        self.engine.handle_timeout(self.now)
        return self._drain()

    def _drain(self) -> list[Effect]:
        turn: list[Effect] = []
        while (effect := self.engine.poll()) is not None:
            turn.append(effect)
            if isinstance(effect, SendBytes):
                self.sent += b"".join(effect.chunks)
            elif isinstance(effect, Deliver):
                self.delivered.append((effect.ticket, effect.item))
        self.effects += turn
        return turn

    def settle(self) -> None:
        """Let the engine do the work that it left over."""
        while self.engine.next_timeout() == self.now:
            self.wait()

    def items(self, ticket: int) -> list[object]:
        """What was delivered for a ticket."""
        return [item for to, item in self.delivered if to == ticket]

    def only(self, ticket: int, kind: type[ItemT]) -> ItemT:
        """The one thing that was delivered for a ticket."""
        (item,) = self.items(ticket)
        assert isinstance(item, kind)
        return item

    def last(self, kind: type[ItemT]) -> ItemT:
        """The newest effect, which is of this kind."""
        effect = self.effects[-1]
        assert isinstance(effect, kind)
        return effect

    # -- the gateway's side

    def open(
        self,
        *,
        token: str | None = None,
        subprotocols: tuple[str, ...] = (),
        deflate: DeflatePolicy | None = None,
        url: str = "ws://gateway:8787/v1/a/g",
    ) -> None:
        """Connect and shake hands."""
        location = core.parse_url(url)
        assert isinstance(location, core.GatewayUrl)
        self.feed(core.OpenConnection(location, token, subprotocols=subprotocols, deflate=deflate))
        self.last(Connect)
        self.feed(LinkConnected(LINK))
        offer = self.see_offer()
        self.opening.accept(subprotocol=offer.subprotocols[0] if offer.subprotocols else None, deflate=deflate)
        self.answer()
        assert self.opening.next_event() is Signal.SWITCHED
        self.gateway = self.opening.connection(now=self.now)
        opened = self.items(core.CONNECTION_TICKET)[-1]
        assert isinstance(opened, core.Opened)

    def see_offer(self) -> UpgradeOffer:
        """Read the engine's upgrade request."""
        self.opening.receive_data(self.take(), self.now)
        offer = self.opening.next_event()
        assert isinstance(offer, UpgradeOffer)
        self.offer = offer
        return offer

    def take(self) -> bytes:
        """Take what the engine has sent."""
        sent = bytes(self.sent)
        self.sent.clear()
        return sent

    def answer(self) -> list[Effect]:
        """Bring what the gateway wants to send to the engine."""
        chunks = (self.gateway or self.opening).data_to_send()
        return self.feed(BytesReceived(LINK, b"".join(chunks))) if chunks else []

    def hear(self) -> list[WebSocketEvent]:
        """Let the gateway read; returns what it heard."""
        assert self.gateway is not None
        if self.sent:
            self.gateway.receive_data(self.take(), self.now)
        events: list[WebSocketEvent] = []
        while not isinstance(event := self.gateway.next_event(), Signal):
            events.append(event)
        self.heard += events
        return events

    def say(self, *messages: str | bytes) -> list[Effect]:
        """Let the gateway send messages, all in one segment."""
        assert self.gateway is not None
        for message in messages:
            if isinstance(message, str):
                self.gateway.send_text(message)
            else:
                self.gateway.send_binary(message)
        return self.answer()

    def end(self, *, clean: bool = True) -> list[Effect]:
        """The gateway's stream ends."""
        return self.feed(PeerClosed(LINK, clean))

    def finish(self) -> None:
        """Close from the engine's side in good order, and check that nothing is left."""
        assert self.gateway is not None
        self.feed(core.CloseConnection())
        self.hear()
        assert isinstance(self.heard[-1], Closed)
        self.answer()
        self.end()
        self.settle()
        assert self.engine.drained
        assert self.engine.next_timeout() is None


class Bench(LineBench):
    """One `ClientEngine`."""

    def __init__(
        self,
        *,
        limits: core.ClientLimits | None = None,
        websocket: WebSocketLimits | None = None,
        deliver_frames: bool = False,
    ) -> None:
        self.inner = core.ClientEngine(
            random_bytes=counted, limits=limits, websocket=websocket, deliver_frames=deliver_frames
        )
        super().__init__(self.inner)

    def listen(self) -> list[dict[str, object]]:
        """Let the gateway read; returns the messages that came."""
        return [json.loads(event.data) for event in self.hear() if isinstance(event, TextMessage)]

    def create(self, ticket: int, event_id: str | None = None, timeout_seconds: float | None = None) -> str:
        """Create a request; returns its event id as the gateway reads it."""
        self.feed(core.CreateRequest(ticket, (step(),), event_id, timeout_seconds))
        (message,) = self.listen()
        assert message["type"] == "universal.create"
        return str(cast("dict[str, object]", message["request"])["eventId"])


class RealtimeBench(LineBench):
    """One `RealtimeClientEngine`."""

    def __init__(self, *, limits: core.ClientLimits | None = None, websocket: WebSocketLimits | None = None) -> None:
        self.inner = core.RealtimeClientEngine(random_bytes=counted, limits=limits, websocket=websocket)
        super().__init__(self.inner)

    def messages(self) -> list[str | bytes]:
        """What was delivered as messages."""
        return [item.data for item in self.items(core.CONNECTION_TICKET) if isinstance(item, core.MessageReceived)]


class ScriptedRunner:
    """Stands for the driver of a connection: keeps what is fed."""

    def __init__(self) -> None:
        self.running = True
        self.fed: list[AnyInput] = []

    def feed(self, event: AnyInput) -> None:
        """Keep an input."""
        self.fed.append(event)
