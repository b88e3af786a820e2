"""Signs of life: pings are answered by the leg that they come to, and silence means a dead peer only if it is long."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from support.realtime_frames import BINARY, FIN, PING, PONG, TEXT, Message

if TYPE_CHECKING:
    from support.realtime_side import Side
    from support.realtime_stage import Stage

PEERS = pytest.mark.parametrize("who", ["client", "provider"])


def pair_as(stage: Stage, who: str) -> tuple[Side, Side]:
    """Open a session; the peer that a test is about, and the other."""
    client, provider = stage.pair()
    return (client, provider) if who == "client" else (provider, client)


@PEERS
@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))], ids=["empty", "one octet", "125 octets"])
def test_a_ping_is_answered_at_once_and_not_passed_on(relay: Stage, who: str, payload: bytes) -> None:
    peer, other = pair_as(relay, who)
    other.answers_pings = False
    peer.send(peer.frame(FIN | PING, payload))
    peer.wait(lambda: peer.pongs == [payload])
    peer.say("behind the ping")
    assert other.text() == "behind the ping"
    assert other.pings == []


@PEERS
def test_a_pong_that_nobody_asked_for_is_not_passed_on(relay: Stage, who: str) -> None:
    peer, other = pair_as(relay, who)
    peer.send(peer.frame(FIN | PONG, b"here I am"))
    peer.say("behind the pong")
    assert other.text() == "behind the pong"
    assert other.pongs == []


@PEERS
def test_a_ping_is_answered_while_the_other_side_is_slow(relay: Stage, who: str) -> None:
    """Clients ping every 20 s and give up when nothing comes back, however busy the provider is."""
    peer, other = pair_as(relay, who)
    other.wire.set_reading(False)
    for number in range(20):
        peer.say(f"question {number}")
        peer.send(peer.frame(FIN | PING, b"%d" % number))
    peer.wait(lambda: peer.pongs == [b"%d" % number for number in range(20)])
    other.wire.set_reading(True)
    assert [other.text() for _ in range(20)] == [f"question {number}" for number in range(20)]


@PEERS
def test_a_ping_is_answered_within_a_message(relay: Stage, who: str) -> None:
    """Neither what comes nor what goes has to be over first."""
    peer, other = pair_as(relay, who)
    other.send(other.whole(Message(BINARY, bytes(1 << 21)))[: 1 << 20])
    assert not peer.next_frame().is_final
    peer.send(peer.frame(TEXT, b"begun"), peer.frame(FIN | PING, b"now"))
    peer.wait_for_pongs(b"now", 1)
    assert other.next_frame().payload == b"begun"


def test_each_leg_has_pings_of_its_own(hurried: Stage) -> None:
    client, provider = hurried.pair()
    client.wait_for_pings(2)
    provider.wait_for_pings(2)
    provider.say("still there")
    assert client.text() == "still there"
    assert client.pongs == []
    assert provider.pongs == []


@PEERS
def test_a_dead_peer_is_noticed(hurried: Stage, who: str) -> None:
    """It holds its connection and says nothing, as a machine does that lost its power."""
    peer, other = pair_as(hurried, who)
    peer.answers_pings = False
    assert other.got_close()[0] == 1011
    other.close(1011)
    other.ended()
    peer.broke()
    hurried.all_released()


@PEERS
def test_a_busy_peer_is_not_taken_for_dead(hurried: Stage, who: str) -> None:
    """It answers no ping, but what it says shows that it lives; even a part of a frame does."""
    peer, other = pair_as(hurried, who)
    peer.answers_pings = False
    speech = peer.frame(FIN | TEXT, b"a long word")
    for at in range(6):
        peer.wait_for_pings(at + 1)
        peer.send(speech[at : at + 1])
    peer.send(speech[6:])
    assert other.text() == "a long word"
    other.say("and on it goes")
    assert peer.text() == "and on it goes"


@PEERS
def test_a_late_pong_is_one(hurried: Stage, who: str) -> None:
    peer, other = pair_as(hurried, who)
    peer.answers_pings = False
    for count in range(1, 4):
        peer.wait_for_pings(count)
        other.wait_for_pings(2 * count)
        peer.send(peer.frame(FIN | PONG, peer.pings[-1]))
    other.say("no hurry")
    assert peer.text() == "no hurry"
