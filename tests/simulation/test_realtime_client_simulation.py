"""Whole runs of realtime client engines against a peer on a bad network: what programs get is in order and ends once.

One seed is one run. The peer echoes, or speaks by itself and closes; the program takes at once, late or never, obeys
when it is asked for patience, and closes in the middle or not at all.
"""

from __future__ import annotations

import random
from typing import cast

import pytest

from aigw_proto import client as core
from aigw_proto._inputs import ShutdownRequested
from aigw_proto._kinds import Signal
from aigw_proto.ws import BinaryMessage, Closed, Failed, Opening, TextMessage, UpgradeOffer, WSConnection
from aigw_transports.memory import Host, Peer, World
from support.bad_network import bad_network

SEEDS = 80
_GROUP = 10
_HORIZON_SECONDS = 500.0
_HIGH_WATER_BYTES = 20_000
_CODES = (1000, 1001, 1008, 1011, 3000, 4007)


def messages(draw: random.Random, count: int) -> list[str | bytes]:
    """Numbered messages, so that one that is missing, doubled or torn shows."""
    made: list[str | bytes] = []
    for number in range(count):
        text = f"{number} " + draw.choice(["", "ž", "x" * 300, "y" * 9000])
        made.append(text if draw.random() < 0.5 else text.encode())
    return made


class Server:
    """Answers the upgrade; then echoes, or says what it has to say and closes."""

    def __init__(self, draw: random.Random, peer: Peer, speech: list[str | bytes] | None, code: int) -> None:
        self.draw = draw
        self.peer = peer
        self.speech = speech
        self.code = code
        self.heard: list[str | bytes] = []
        self.end: Closed | Failed | None = None
        self.opening = Opening.server(now=0.0)
        self.ws: WSConnection | None = None
        peer.on_data = self.on_data
        peer.on_end = lambda: self.on_data(b"")
        if draw.random() < 0.3:
            peer.set_reading(True, bytes_per_second=draw.choice([3000.0, 100_000.0]))

    def on_data(self, data: bytes) -> None:
        machine = self.ws or self.opening
        machine.receive_data(data, 0.0)
        if self.peer.eof or self.peer.broken:
            machine.receive_eof(0.0)
        if self.ws is None and isinstance(self.opening.next_event(), UpgradeOffer):
            self.begin()
        while self.ws is not None and not isinstance(event := self.ws.next_event(), Signal):
            if isinstance(event, TextMessage | BinaryMessage):
                self.heard.append(event.data)
                if self.speech is None:
                    self.say(event.data)
            elif isinstance(event, Closed | Failed):
                self.end = event
                self.flush()
                self.peer.close()
                return
        self.flush()

    def begin(self) -> None:
        self.opening.accept()
        head = self.opening.data_to_send()
        assert self.opening.next_event() is Signal.SWITCHED
        self.ws = self.opening.connection(now=0.0)
        for message in self.speech or ():
            self.say(message)
        if self.speech is not None:
            self.ws.send_close(self.code, "done", now=0.0)
        self.peer.send(b"".join([*head, *self.ws.data_to_send()]))  # the first frame is glued to the 101

    def say(self, message: str | bytes) -> None:
        assert self.ws is not None
        if isinstance(message, str):
            self.ws.send_text(message)
        else:
            self.ws.send_binary(message)

    def flush(self) -> None:
        for chunk in (self.ws or self.opening).data_to_send():
            self.peer.send(chunk)


class Program:
    """One session and a program that uses it."""

    def __init__(self, world: World, draw: random.Random) -> None:
        self.draw = draw
        limits = core.ClientLimits(
            high_water_bytes=draw.choice([1000, _HIGH_WATER_BYTES]),
            low_water_bytes=draw.choice([0, 500]),
            sending_high_water_bytes=draw.choice([5000, 1_000_000]),
            sending_low_water_bytes=draw.choice([0, 1000]),
            turn_messages=draw.choice([1, 10, 256]),
        )
        self.host: Host[core.RealtimeInput] = world.host(
            "program", core.RealtimeClientEngine(random_bytes=draw.randbytes, limits=limits)
        )
        url = core.parse_url("ws://gateway:8787/v1/a/g/openai?model=m")
        assert isinstance(url, core.GatewayUrl)
        self.host.feed(core.OpenConnection(url))
        self.to_send = messages(draw, draw.choice([0, 5, 60]))
        self.sent: list[str | bytes] = []
        self.taken = 0
        self.greediest = 0

    @property
    def items(self) -> list[core.RealtimeItem]:
        return [cast("core.RealtimeItem", effect.item) for effect in self.host.delivered]

    @property
    def may_send(self) -> bool:
        answers = [item for item in self.items if isinstance(item, core.SendingAllowed)]
        kinds = {type(item) for item in self.items}
        return core.Opened in kinds and core.ConnectionLost not in kinds and (not answers or answers[-1].allowed)

    def act(self) -> None:
        """Do one thing that a program may do."""
        if self.draw.random() < 0.6:
            for _ in range(self.draw.choice([1, 20])):
                if self.may_send and len(self.sent) < len(self.to_send):
                    message = self.to_send[len(self.sent)]
                    self.sent.append(message)
                    payload = message.encode() if isinstance(message, str) else message
                    self.host.feed(core.SendMessage(payload, isinstance(message, bytes)))
        elif self.draw.random() < 0.7:
            self.consume()

    def consume(self) -> None:
        received = [item for item in self.items if isinstance(item, core.MessageReceived)]
        sizes = [core.held_bytes(item) for item in received[self.taken :]]
        self.greediest = max(self.greediest, sum(sizes[:-1]))
        self.taken = len(received)
        if sizes and not self.host.has_drained:
            self.host.feed(core.Consumed({core.CONNECTION_TICKET: sum(sizes)}))

    def judge(self, server: Server | None, speech: list[str | bytes] | None) -> None:
        """Order, one end, a prefix of what was said and all of it after a clean end, and a bound on what waits."""
        first, *rest = self.items
        assert isinstance(first, core.Opened | core.OpenFailed)
        lost = [item for item in rest if isinstance(item, core.ConnectionLost)]
        assert lost == ([rest[-1]] if isinstance(first, core.Opened) else [])
        assert self.greediest <= _HIGH_WATER_BYTES
        received = [item.data for item in rest if isinstance(item, core.MessageReceived)]
        if server is None or not lost:
            assert received == []
            return
        said = self.sent if speech is None else speech
        assert received == said[: len(received)]
        assert server.heard == self.sent[: len(server.heard)]
        end = lost[0]
        if end.closed_by is core.ClosedBy.PEER:
            assert (end.code, end.reason, end.clean) == (server.code, "done", True)
            assert received == speech
        if isinstance(server.end, Closed) and server.end.clean and speech is None:
            assert server.heard == self.sent


def run(seed: int) -> core.ConnectionLost | None:
    draw = random.Random(seed)
    world = World(seed, faults=bad_network(draw))
    speech = messages(draw, draw.choice([0, 3, 80])) if draw.random() < 0.5 else None
    servers: list[Server] = []
    code = draw.choice(_CODES)
    world.listen("gateway", 8787, on_peer=lambda peer: servers.append(Server(draw, peer, speech, code)))
    program = Program(world, draw)
    close_at = draw.choice([0.5, 30.0, 200.0])
    while world.time < close_at:
        world.advance(draw.choice([0.001, 0.1, 3.0]))
        program.act()
    if draw.random() < 0.5:
        program.host.feed(core.CloseConnection(draw.choice(_CODES), "enough"))
    else:
        program.host.feed(ShutdownRequested(0.0))
    while world.time < _HORIZON_SECONDS and not program.host.has_drained:
        world.advance(1.0)
    assert program.host.has_drained
    program.judge(servers[0] if servers else None, speech)
    last = program.items[-1]
    return last if isinstance(last, core.ConnectionLost) else None


@pytest.mark.parametrize("group", range(SEEDS // _GROUP))
def test_seeds(group: int) -> None:
    for seed in range(group * _GROUP, (group + 1) * _GROUP):
        try:
            run(seed)
        except BaseException as error:
            error.add_note(f"seed {seed}")
            raise


def test_every_way_to_end_is_among_the_seeds() -> None:
    ends = [run(seed) for seed in range(40)]
    assert {end.closed_by for end in ends if end is not None} >= {
        core.ClosedBy.PROGRAM,
        core.ClosedBy.PEER,
        core.ClosedBy.NETWORK,
    }
    assert {end.clean for end in ends if end is not None} == {True, False}
