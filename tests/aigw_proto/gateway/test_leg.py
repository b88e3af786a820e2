"""The links of a realtime session: back-pressure each way, pongs that wait, peers that take nothing, and the end."""

from __future__ import annotations

import random
from unittest.mock import create_autospec

import pytest

from aigw_proto._effects import CloseHow, Effect, Log, SendBytes, SetReading
from aigw_proto._inputs import BytesReceived, BytesSent, ConnectFailed, ConnectFailure, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_proto.gateway import GatewayEngine
from aigw_proto.gateway._leg import Leg, Side
from aigw_proto.gateway._realtime import Realtime
from support.frames import frame, parse
from support.relays import (
    BINARY,
    CLIENT,
    PING,
    PONG,
    PROVIDER,
    TEXT,
    Relay,
    close,
    cut,
    finished,
    flushed,
    realtime_config,
    session,
    told,
)

OTHER = {CLIENT: PROVIDER, PROVIDER: CLIENT}
NAME = {CLIENT: "client", PROVIDER: "provider"}
SIDES = pytest.mark.parametrize("side", [CLIENT, PROVIDER], ids=["client", "provider"])
HIGH, LOW = 1000, 200
BIG = b"x" * 600


def small() -> Relay:
    """Return a session whose water marks are low."""
    return Relay(realtime_high_water_bytes=HIGH, realtime_low_water_bytes=LOW).opened()


def says(play: Relay, side: LinkId, *frames: tuple[int, bytes]) -> Relay:
    data = b"".join(frame(head, payload, masked=side == CLIENT) for head, payload in frames)
    play.feed(BytesReceived(side, data))
    return play


def fill(play: Relay, side: LinkId) -> Relay:
    """Let `side` send more than the other takes, up to where it is not read any more."""
    other = OTHER[side]
    says(play, side, (BINARY, BIG), (BINARY, BIG))
    play.sent(other)
    play.feed(BytesSent(other, 1200)).expect()
    says(play, side, (TEXT, b"waits"))
    play.expect(SetReading(side, False))
    return play


class TestBackPressure:
    @SIDES
    def test_a_side_that_reads_slowly_stops_the_other(self, side: LinkId) -> None:
        other = OTHER[side]
        with fill(small(), side) as play:
            play.feed(BytesSent(other, 900)).expect()
            play.feed(BytesSent(other, 201)).expect()
            play.feed(BytesSent(other, 200))
            play.expect(told(other, "text waits"), SetReading(side, True))

    @SIDES
    def test_the_other_direction_goes_on(self, side: LinkId) -> None:
        with fill(small(), side) as play:
            says(play, OTHER[side], (TEXT, b"through"), (PING, b"p"))
            play.expect(told(side, "text through"))  # its pong waits until it reads
            play.feed(BytesSent(OTHER[side], 0))
            play.expect(told(OTHER[side], "pong p", "text waits"), SetReading(side, True))

    @SIDES
    def test_pongs_are_bounded_while_the_peer_reads_nothing(self, side: LinkId) -> None:
        """The newest ping is answered, whatever their number."""
        other = OTHER[side]
        with fill(small(), side) as play:
            for start in range(0, 3000, 100):
                says(play, other, *((PING, b"%04d" % number + b"." * 100) for number in range(start, start + 100)))
                play.expect()
            play.feed(BytesSent(other, 0))
            pongs = play.sent(other)
            assert len(pongs) < 64 * 1024 + 2000
            assert any(payload.startswith(b"2999") for _, payload in parse(pongs))
            play.expect(SetReading(side, True))

    @SIDES
    def test_what_is_in_the_middle_of_a_turn_counts(self, side: LinkId) -> None:
        """A read full of messages is not passed on beyond the high water, but for the step that crosses it."""
        play = Relay().opened()
        with play:
            data = b"".join(frame(BINARY, b"x" * 20_000, masked=side == CLIENT) for _ in range(50))
            play.checked.handle(BytesReceived(side, data), play.now)
            effects = drain(play)
            sent = sum(len(chunk) for effect in effects if isinstance(effect, SendBytes) for chunk in effect.chunks)
            assert 128 * 1024 < sent < 200 * 1024
            assert SetReading(side, False) in effects
            play.checked.handle(BytesSent(OTHER[side], sent), play.now)
            assert drain(play) == []
            play.checked.handle_timeout(play.now)  # a wake-up of before
            assert drain(play) == []
            deadline = play.checked.next_timeout()
            assert deadline is None or deadline > play.now

    def test_no_life_is_asked_of_a_side_that_is_not_read(self) -> None:
        with fill(small(), PROVIDER) as play:
            play.wait(59.0).expect()  # neither of the provider, which is not read, nor of the client, which is slow
            play.feed(BytesSent(CLIENT, 0)).expect(told(CLIENT, "text waits"), SetReading(PROVIDER, True))
            play.wait(30.1).expect(told(CLIENT, "ping"), told(PROVIDER, "ping"), any_order=True)

    @SIDES
    def test_a_close_goes_through_behind_what_waits(self, side: LinkId) -> None:
        other = OTHER[side]
        with fill(small(), side) as play:
            says(play, side, (0x88, close(4007)))
            play.expect()
            play.feed(BytesSent(other, 0))
            play.expect(told(other, "text waits", "close 4007"), SetReading(side, True))

    @SIDES
    def test_a_close_of_the_slow_side_goes_through_at_once(self, side: LinkId) -> None:
        other = OTHER[side]
        with fill(small(), side) as play:
            says(play, other, (0x88, close(4007)))
            play.expect(told(side, "close 4007"))

    @SIDES
    def test_a_slow_side_that_was_answered_holds_nothing_back(self, side: LinkId) -> None:
        """Nothing can be passed on to it any more; so the other side is read, and its own Close is heard."""
        other = OTHER[side]
        with fill(small(), side) as play:
            says(play, other, (0x88, close(4007)))
            play.expect(told(side, "close 4007"))
            says(play, side, (TEXT, b"too late")).expect()
            play.wait(5.1)
            ends = [flushed(CLIENT)] if other == CLIENT else []
            play.expect(told(other, "close 4007"), SetReading(side, True), *ends, any_order=True)
            says(play, side, (0x88, close(4007)))
            if side == CLIENT:
                play.expect(flushed(CLIENT))
            play.ends(PROVIDER).expect(flushed(PROVIDER))
            play.expect(session(client_close=4007, provider_close=4007))

    @SIDES
    def test_a_slow_side_that_broke_a_rule_holds_nothing_back(self, side: LinkId) -> None:
        other = OTHER[side]
        with fill(small(), side) as play:
            says(play, other, (0x83, b""))
            play.take(Log)
            reason = f"the {NAME[other]}'s connection failed: opcode 0x3 is reserved"
            play.expect(
                told(side, f"close 1011 {reason}"),
                told(other, "close 1002 opcode 0x3 is reserved"),
                finished(other),
                SetReading(side, True),
                any_order=True,
            )


class TestStuck:
    @SIDES
    def test_a_side_that_takes_nothing_is_given_up(self, side: LinkId) -> None:
        other = OTHER[side]
        with fill(small(), side) as play:
            play.wait(50.0).expect()
            play.feed(BytesSent(other, 1100)).expect()  # progress
            play.wait(59.0).expect()
            play.wait(1.1)
            log = play.take(Log)
            assert (log.message, log.details["side"]) == ("a side of a realtime session does not read", NAME[other])
            reason = f"the {NAME[other]} does not read"
            play.expect(told(side, f"close 1011 {reason}"), cut(other), SetReading(side, True), any_order=True)
            says(play, side, (0x88, close(1011)))
            if side == CLIENT:
                play.expect(flushed(CLIENT))
            else:
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            play.expect(session(closed_by=NAME[other], error=reason, **{f"{NAME[other]}_close": 1006}))
            play.checked.finish()

    @SIDES
    def test_a_side_that_has_closed_and_is_given_up_holds_nothing_back(self, side: LinkId) -> None:
        """The answer to its Close stood behind what it did not take."""
        other = OTHER[side]
        play = Relay(realtime_high_water_bytes=HIGH, realtime_low_water_bytes=LOW, stuck_timeout_seconds=3.0).opened()
        with fill(play, side):
            says(play, other, (0x88, close(4007)))
            play.expect(told(side, "close 4007"))
            says(play, side, (0x88, close(4008))).expect()
            play.wait(3.1)
            play.take(Log)
            ends = [flushed(CLIENT)] if side == CLIENT else [SetReading(side, True)]
            play.expect(cut(other), *ends, any_order=True)
            if side == PROVIDER:
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            play.expect(session(**{f"{NAME[side]}_close": 4008, f"{NAME[other]}_close": 4007}))

    @SIDES
    def test_a_broken_side_holds_nothing_back(self, side: LinkId) -> None:
        """What the other side still says goes nowhere, and its end is not waited for."""
        other = OTHER[side]
        with fill(small(), side) as play:
            play.feed(PeerClosed(other, clean=False))
            play.expect(
                SetReading(side, True),
                told(side, f"close 1011 the {NAME[other]}'s connection was lost"),
                cut(other),
                any_order=True,
            )
            says(play, side, (0x88, close(1011)))
            if side == CLIENT:
                play.expect(flushed(CLIENT))
            else:
                play.ends(PROVIDER).expect(flushed(PROVIDER))
            play.expect(session(closed_by=NAME[other]))

    def test_what_a_broken_side_said_before_goes_through(self) -> None:
        with fill(small(), CLIENT) as play:
            play.feed(PeerClosed(CLIENT, clean=False)).expect()
            play.feed(BytesSent(PROVIDER, 0))
            play.expect(told(PROVIDER, "text waits", "close 1011 the client's connection was lost"), cut(CLIENT))


class TestLingering:
    def test_what_comes_is_discarded(self) -> None:
        with Relay().opened() as play:
            says(play, CLIENT, (0x83, b""))
            play.take(Log)
            play.sent(CLIENT)
            play.sent(PROVIDER)
            play.expect(finished(CLIENT))
            says(play, CLIENT, (TEXT, b"too late")).expect()
            play.ends(CLIENT, clean=False).expect(cut(CLIENT))

    def test_not_for_ever(self) -> None:
        with Relay().opened() as play:
            says(play, CLIENT, (0x83, b""))
            play.take(Log)
            play.sent(CLIENT)
            play.sent(PROVIDER)
            play.expect(finished(CLIENT))
            play.wait(1.9).expect()
            play.wait(0.2).expect(flushed(CLIENT))

    def test_not_for_one_that_has_ended(self) -> None:
        with fill(small(), CLIENT) as play:
            says(play, CLIENT, (0x83, b"")).expect()
            play.ends(CLIENT).expect()
            play.feed(BytesSent(PROVIDER, 0))
            play.take(Log)
            play.sent(PROVIDER)
            play.expect(told(CLIENT, "close 1002 opcode 0x3 is reserved"), flushed(CLIENT))


def drain(play: Relay) -> list[Effect]:
    effects: list[Effect] = []
    while (effect := play.checked.poll()) is not None:
        effects.append(effect)
    return effects


def leg() -> Leg:
    """Return the leg of a session that does nothing."""
    engine = GatewayEngine(realtime_config(), random_bytes=random.Random(1).randbytes, epoch_unix_seconds=0.0)
    return Leg(engine._core, create_autospec(Realtime, instance=True), Side.PROVIDER, LinkId(1), None)


class TestBeforeItIsConnected:
    def test_there_is_nothing_to_send_or_to_read(self) -> None:
        one = leg()
        one.flush()
        one.receive_data(b"x", 0.0)
        one.receive_eof(clean=True, now=0.0)
        assert one.next_timeout() is None
        assert not one.unread

    def test_it_may_never_be(self) -> None:
        one = leg()
        one.handle_input(ConnectFailed(LinkId(1), ConnectFailure.NAME, ""), 0.0)
        assert one.is_closed
        assert one.link not in one.core.links
        one.close(CloseHow.ABORT, 0.0)
        one.linger(0.0)
        assert one.core.turn.poll() is None


def test_an_unasked_pong_is_no_message() -> None:
    with Relay().opened() as play:
        says(play, CLIENT, (PONG, b"x")).expect()
