"""A gateway in the memory world, with a client and providers that tests play by hand or leave to the mock."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from aigw_proto._entropy import Entropy
from aigw_proto._inputs import Input
from aigw_proto._kinds import Role, Signal
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings, RequestRecord
from aigw_proto.http import BodyPiece, EndOfMessage, H1Connection, Request, Response
from aigw_proto.mock import MockEngine
from aigw_proto.providers import BaseUrl, ProviderTable, parse_base_url
from aigw_proto.testing import Checked
from aigw_proto.ws import (
    Closed,
    Failed,
    TextMessage,
    WSConnection,
    upgrade_request,
)
from aigw_transports.memory import Faults, Host, Peer, World

KEY = base64.b64encode(bytes(16))


def base_url(text: str) -> BaseUrl:
    base = parse_base_url(text)
    assert isinstance(base, BaseUrl)
    return base


class Client:
    """A client of the gateway on a scripted peer."""

    def __init__(self, rig: Rig, target: bytes, headers: list[tuple[bytes, bytes]], faults: Faults | None) -> None:
        self.peer = rig.world.peer("gateway", 8787, faults=faults)
        self.rig = rig
        self.frames: list[dict[str, Any]] = []
        self.texts: list[str] = []
        self.closed: Closed | Failed | None = None
        self.response: Response | None = None
        self.body = b""
        self._http = H1Connection(Role.CLIENT, now=0.0)
        self._http.send_request(upgrade_request(host=b"gateway", target=target, key=KEY, headers=headers))
        self._http.end_message()
        self.ws: WSConnection | None = None
        self.peer.on_data = self._on_data
        self.peer.on_end = self._on_end
        self.flush()

    def flush(self) -> None:
        machine = self._http if self.ws is None else self.ws
        for chunk in machine.data_to_send():
            self.peer.send(chunk)

    def _on_data(self, data: bytes) -> None:
        now = self.rig.world.time
        if self.ws is None:
            self._http.receive_data(data, now)
            while not isinstance(event := self._http.next_event(), Signal):
                if isinstance(event, Response):
                    self.response = event
                elif isinstance(event, BodyPiece):
                    self.body += event.data
                elif not isinstance(event, EndOfMessage):
                    return
            if event is not Signal.SWITCHED:
                return
            self.ws = WSConnection(Role.CLIENT, now=now, entropy=Entropy(random.Random(1).randbytes))
            data = self._http.unconsumed()
        self.ws.receive_data(data, now)
        self._pull()

    def _on_end(self) -> None:
        if self.ws is not None:
            self.ws.receive_eof(self.rig.world.time)
            self._pull()

    def _pull(self) -> None:
        assert self.ws is not None
        while not isinstance(event := self.ws.next_event(), Signal):
            if isinstance(event, TextMessage):
                self.texts.append(event.data)
                self.frames.append(json.loads(event.data))
            elif isinstance(event, Closed | Failed):
                self.closed = event
        self.flush()

    def send(self, text: str) -> None:
        """Send one message; waits for the upgrade if need be."""
        if self.ws is None:
            self.rig.world.run(until=lambda: self.ws is not None)
        assert self.ws is not None
        self.ws.send_text(text)
        self.flush()

    def create(self, event_id: str, provider: str = "openai", endpoint: str = "chat/completions", **step: Any) -> None:
        request: dict[str, Any] = {
            "eventId": event_id,
            "provider": provider,
            "endpoint": endpoint,
            "headers": {},
            "query": {},
        }
        self.send(json.dumps({"type": "universal.create", "request": request | step}))

    def of(self, event_id: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame["metadata"].get("eventId") == event_id]

    def types(self, event_id: str) -> list[str]:
        return [frame["type"].removeprefix("universal.") for frame in self.of(event_id)]

    def ended(self, event_id: str) -> bool:
        frames = self.of(event_id)
        return bool(frames) and (frames[-1]["type"] == "universal.done" or "response" in frames[0])


class Provider:
    """One connection of the gateway to a provider that a test plays by hand."""

    def __init__(self, peer: Peer) -> None:
        self.peer = peer
        self.http = H1Connection(Role.SERVER, now=0.0)
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.ended = False
        peer.on_data = self._on_data
        peer.on_end = self._on_end

    def _on_data(self, data: bytes) -> None:
        self.http.receive_data(data, 0.0)
        while not isinstance(event := self.http.next_event(), Signal):
            if isinstance(event, Request):
                self.requests.append(event)
                self.bodies.append(b"")
            elif isinstance(event, BodyPiece):
                self.bodies[-1] += event.data

    def _on_end(self) -> None:
        self.ended = True

    def raw(self, data: bytes) -> None:
        self.peer.send(data)

    def head(self, status: int = 200, **fields: str) -> None:
        headers = [(name.replace("_", "-").encode(), value.encode()) for name, value in fields.items()]
        self.http.send_response(Response(status, headers))
        self._flush()

    def data(self, data: bytes) -> None:
        self.http.send_data(data)
        self._flush()

    def end(self) -> None:
        self.http.end_message()
        self._flush()
        self._on_data(b"")

    def answer(self, body: bytes, status: int = 200, content_type: str = "application/json", **fields: str) -> None:
        self.head(status, content_type=content_type, content_length=str(len(body)), **fields)
        self.data(body)
        self.end()

    def stream(self, **fields: str) -> None:
        self.head(200, content_type="text/event-stream", transfer_encoding="chunked", **fields)

    def event(self, data: bytes) -> None:
        self.data(b"data: " + data + b"\n\n")

    def _flush(self) -> None:
        for chunk in self.http.data_to_send():
            self.peer.send(chunk)


class Rig:
    """The world of one test."""

    def __init__(self, *, seed: int = 0, faults: Faults | None = None, config: GatewayConfig | None = None) -> None:
        self.world = World(seed=seed, faults=faults)
        self.config = config or gateway_config()
        self.engine = GatewayEngine(self.config, random_bytes=random.Random(seed).randbytes, epoch_unix_seconds=1.8e9)
        self.checked: Checked[Input] = Checked(self.engine)
        self.gateway: Host[Any] = self.world.host("gateway", self.checked, port=8787)
        self.mock: Host[Any] = self.world.host("mock", MockEngine(), port=80)
        self.providers: list[Provider] = []
        self.on_provider: Callable[[Peer], object] = lambda peer: self.providers.append(Provider(peer))
        self.listener = self.world.listen("provider", 80, on_peer=self._accept)

    def client(
        self,
        target: bytes = b"/v1/acc/default",
        headers: list[tuple[bytes, bytes]] | None = None,
        faults: Faults | None = None,
    ) -> Client:
        return Client(self, target, headers or [], faults)

    def run(self, until: Callable[[], bool]) -> None:
        self.world.run(until=until)

    def provider(self, index: int = 0, requests: int = 1) -> Provider:
        """Wait until the gateway's connection number `index` has brought that many requests."""

        def whole() -> bool:
            if len(self.providers) <= index:
                return False
            provider = self.providers[index]
            if len(provider.requests) < requests:
                return False
            length = dict(provider.requests[-1].headers)[b"content-length"]
            return len(provider.bodies[-1]) == int(length)

        self.run(whole)
        return self.providers[index]

    def _accept(self, peer: Peer) -> None:
        self.on_provider(peer)

    @property
    def records(self) -> list[RequestRecord]:
        return [entry for entry in self.gateway.journaled if isinstance(entry, RequestRecord)]


def gateway_config(
    *,
    settings: GatewaySettings | None = None,
    limits: Mapping[str, Any] | None = None,
    **fields: Any,
) -> GatewayConfig:
    """Return a configuration: every built-in provider is the mock, `custom-hand` is played by hand."""
    table = ProviderTable.builtin().redirected(base_url("http://mock"))
    for name, address in (("hand", "http://provider"), ("gone", "http://nowhere"), ("mock", "http://mock")):
        changed = table.with_custom(name, base=base_url(address), allow_private_address=True)
        assert isinstance(changed, ProviderTable)
        table = changed
    config = GatewayConfig(gateways=(settings or GatewaySettings(),), providers=table, **fields)
    for name, value in (limits or {}).items():
        setattr(config.limits, name, value)
    return config
