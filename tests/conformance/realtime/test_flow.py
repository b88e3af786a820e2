"""A peer that does not read costs little, hinders nobody, and is let go in the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from aigw_transports.memory import Peer
from support.realtime_frames import BINARY, FIN, Frame, Message
from support.realtime_stage import HURRY, MemoryStage

if TYPE_CHECKING:
    from support.realtime_side import Side
    from support.realtime_stage import Stage

MIB = 1 << 20
PIECE = 64 * 1024
READERS = pytest.mark.parametrize("reader", ["client", "provider"])


class Tally:
    """Counts the messages of a flood instead of keeping them."""

    def __init__(self) -> None:
        self.messages = 0
        self.bytes = 0
        self._begun = 0

    def take(self, frame: Frame) -> None:
        if not self._begun:
            assert frame.payload[:8] == self.messages.to_bytes(8, "big"), f"message {self.messages} is not the next"
        self._begun += len(frame.payload)
        self.bytes += len(frame.payload)
        if frame.is_final:
            assert self._begun == PIECE, f"message {self.messages} has {self._begun} bytes"
            self._begun = 0
            self.messages += 1


def flood(speaker: Side, size: int) -> None:
    """Send so many bytes in numbered messages. Masked with a key of zeros, they are mostly the same 64 KiB."""
    rest = bytes(PIECE - 8)
    is_masked = speaker.frame(FIN)[1] & 0x80
    head = bytes((FIN | BINARY, is_masked | 127)) + PIECE.to_bytes(8, "big") + (bytes(4) if is_masked else b"")
    for number in range(size // PIECE):
        speaker.wire.send(head + number.to_bytes(8, "big"))
        speaker.wire.send(rest)


@READERS
def test_a_peer_that_stops_reading(stage: Stage, reader: str) -> None:
    client, provider = stage.pair()
    listener, speaker = (client, provider) if reader == "client" else (provider, client)
    for one, other in ((client, provider), (provider, client)):  # both have their usual size by then
        one.send(one.whole(Message(BINARY, bytes(4 * MIB))))
        assert len(other.message().payload) == 4 * MIB
    tally, size = Tally(), stage.flood_bytes
    listener.consume = tally.take
    with stage.steady(2 * MIB) as look:
        listener.wire.set_reading(False)
        flood(speaker, size)
        stage.settle()
        look()
        assert speaker.wire.unsent > size // 2, "who reads all this?"
        for number in range(100):
            listener.say(f"I can still speak {number}")
            assert speaker.text() == f"I can still speak {number}"
        look()
        listener.wire.set_reading(True)
        listener.wait(lambda: tally.messages == size // PIECE)
        assert tally.bytes == size
        assert listener.is_quiet


@READERS
def test_a_peer_that_reads_slowly(reader: str) -> None:
    """Its pongs are late, since the pings wait behind what it has to read; but it takes what it gets, so it lives."""
    stage = MemoryStage(relay=True, hurried=True)
    client, provider = stage.pair()
    listener, speaker = (client, provider) if reader == "client" else (provider, client)
    tally = Tally()
    listener.consume = tally.take
    rate, size = 100_000, 2 * MIB
    assert isinstance(listener.wire, Peer)
    listener.wire.set_reading(True, bytes_per_second=rate)
    flood(speaker, size)
    listener.wait(lambda: tally.bytes == size)
    assert stage.world.time > 0.9 * size / rate
    speaker.say("all of it?")
    listener.consume = None
    assert listener.text() == "all of it?"
    stage.finish()


@READERS
def test_a_peer_that_never_reads_again(hurried: Stage, reader: str) -> None:
    client, provider = hurried.pair()
    listener, speaker = (client, provider) if reader == "client" else (provider, client)
    listener.wire.set_reading(False)
    flood(speaker, hurried.flood_bytes)
    before = hurried.time
    assert speaker.got_close()[0] == 1011
    if before is not None and hurried.time is not None:
        assert hurried.time - before < 1.1 * HURRY["stuck_timeout_seconds"]
    listener.wire.set_reading(True)
    listener.consume = lambda frame: None
    listener.wait(lambda: listener.has_ended)


def test_a_client_that_floods_before_the_provider_has_answered(stage: Stage) -> None:
    client = stage.client()
    provider = stage.provider()
    size = stage.flood_bytes // 2
    with stage.steady(2 * MIB):
        if not stage.is_relay:
            provider.wire.set_reading(False)
        flood(client, size)
        stage.settle()
        assert client.wire.unsent > size // 2, "who reads all this?"
        tally = Tally()
        provider.consume = tally.take
        provider.wire.set_reading(True)
        stage.admit(provider)
        provider.wait(lambda: tally.messages == size // PIECE)


@READERS
@pytest.mark.parametrize("how", ["close", "reset", "end_sending"])
def test_a_peer_that_leaves_in_a_flood(hurried: Stage, reader: str, how: str) -> None:
    """The other one floods on and minds nothing; it is told, and then cut."""
    client, provider = hurried.pair()
    leaver, speaker = (client, provider) if reader == "client" else (provider, client)
    tally = Tally()
    leaver.consume = tally.take
    with hurried.steady(4 * MIB):
        flood(speaker, hurried.flood_bytes)
        leaver.wait(lambda: tally.messages > 100)
        leaver.wire.set_reading(False)
        getattr(leaver.wire, how)()
        assert speaker.got_close()[0] == 1011
        speaker.broke()


@READERS
def test_pings_to_a_gateway_whose_pongs_are_not_read(relay: Stage, reader: str) -> None:
    client, provider = relay.pair()
    pinger, other = (client, provider) if reader == "client" else (provider, client)
    ping = pinger.frame(FIN | 9, b"p" * 125) * 4000
    with relay.steady(2 * MIB):
        pinger.wire.set_reading(False)
        for _ in range(20):  # 10 MiB
            pinger.wire.send(ping)
        relay.settle()
        other.say("and what I say?")
        pinger.wire.set_reading(True)
        assert pinger.text() == "and what I say?"
        pinger.say("arrives")
        assert other.text() == "arrives"
