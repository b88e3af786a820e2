"""The two ends that a gateway talks to, for plays without a network: what they are sent is read, and must be right."""

from __future__ import annotations

import json
import random
from typing import Any

from aigw_proto._entropy import Entropy
from aigw_proto._kinds import LinkId, Role, Signal
from aigw_proto.http import EndOfMessage, Failed, H1Connection, HttpEvent, Request
from aigw_proto.ws import (
    Closed,
    CloseReceived,
    Delivery,
    TextMessage,
    UpgradeOffer,
    WebSocketEvent,
    WSConnection,
    accept_upgrade,
    check_upgrade,
    upgrade_request,
)
from aigw_proto.ws import Failed as ConnectionFailed
from support.rig import KEY


class End:
    """One end of a link. Whatever it does itself, the gateway must not break a protocol towards it."""

    def __init__(self, link: LinkId, role: Role, delivery: Delivery) -> None:
        self.link = link
        self.role = role
        self.http = H1Connection(role, now=0.0)
        self.ws: WSConnection | None = None
        self.heard: list[WebSocketEvent] = []
        self.answers: list[HttpEvent] = []
        self._delivery = delivery

    def hear(self, data: bytes) -> None:
        """Read what the gateway sent."""
        if not data:
            return
        if self.ws is not None:
            self.ws.receive_data(data, 0.0)
            self._pull_ws(self.ws)
        elif not self.is_answered:
            self.http.receive_data(data, 0.0)
            self._pull_http()

    def switch(self) -> None:
        """Go on as a WebSocket."""
        self.ws = WSConnection(self.role, now=0.0, entropy=Entropy(random.Random(6).randbytes), delivery=self._delivery)
        self.ws.receive_data(self.http.unconsumed(), 0.0)
        self._pull_ws(self.ws)

    @property
    def is_answered(self) -> bool:
        """Whether there was an answer but no WebSocket: what comes then answers what never was a request."""
        return self.role is Role.CLIENT and any(isinstance(event, EndOfMessage) for event in self.answers)

    @property
    def is_over(self) -> bool:
        """Whether the gateway has said that it closes the WebSocket."""
        return any(isinstance(event, Closed | CloseReceived) for event in self.heard)

    def _pull_http(self) -> None:
        while not isinstance(event := self.http.next_event(), Signal):
            assert not isinstance(event, Failed), f"link {self.link} was sent what is no HTTP: {event}"
            self.answers.append(event)
            if self.is_answered:
                return
        if event is Signal.SWITCHED:
            self.switch()

    def _pull_ws(self, ws: WSConnection) -> None:
        while not isinstance(event := ws.next_event(), Signal):
            assert not isinstance(event, ConnectionFailed), f"link {self.link} was sent what is no WebSocket: {event}"
            self.heard.append(event)


class ClientEnd(End):
    """A client that asks for the WebSocket at `target`; `request` is what it has to send first."""

    def __init__(self, link: LinkId, target: bytes, *, is_universal: bool) -> None:
        super().__init__(link, Role.CLIENT, Delivery.MESSAGES if is_universal else Delivery.RELAY)
        self.is_universal = is_universal
        self.http.send_request(upgrade_request(host=b"gateway", target=target, key=KEY))
        self.http.end_message()
        self.request = b"".join(self.http.data_to_send())
        self.has_asked = False

    @property
    def frames(self) -> list[dict[str, Any]]:
        """The messages of the universal API so far."""
        return [json.loads(event.data) for event in self.heard if isinstance(event, TextMessage)]


class ProviderEnd(End):
    """A provider that is sent requests. After the first answer what comes is not read any more, unless as frames."""

    def __init__(self, link: LinkId) -> None:
        super().__init__(link, Role.SERVER, Delivery.RELAY)
        self.has_answered = False

    def hear(self, data: bytes) -> None:
        """Read what the gateway sent."""
        if self.ws is not None or not self.has_answered:
            super().hear(data)

    @property
    def offer(self) -> UpgradeOffer | None:
        """The gateway's wish for a WebSocket, while it has no answer."""
        if self.has_answered or len(self.answers) < 2 or not isinstance(self.answers[-1], EndOfMessage):
            return None
        request = self.answers[0]
        assert isinstance(request, Request)
        if request.method != b"GET":
            return None
        offer = check_upgrade(request)
        assert isinstance(offer, UpgradeOffer), offer
        return offer

    def accept(self, offer: UpgradeOffer) -> bytes:
        """Return the 101 that accepts it."""
        response, _ = accept_upgrade(offer, subprotocol=offer.subprotocols[0] if offer.subprotocols else None)
        self.http.send_switch(response)
        self.has_answered = True
        self.switch()
        return b"".join(self.http.data_to_send())
