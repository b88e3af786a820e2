from __future__ import annotations

import pytest

from aigw_proto._effects import CloseHow, CloseLink, EndSending, Journal, SendBytes, SetReading
from aigw_proto._kinds import LinkId
from aigw_proto.mock._limits import MockLimits
from aigw_proto.mock._wire import Expiry, Wire

LINK = LinkId(2)


@pytest.fixture
def wire() -> Wire:
    return Wire(
        LINK,
        MockLimits(
            high_water_bytes=100,
            low_water_bytes=20,
            max_pipelined_bytes=10,
            stuck_timeout_seconds=5.0,
            linger_timeout_seconds=2.0,
        ),
    )


def test_input_is_taken_in_order(wire: Wire) -> None:
    assert (wire.waiting, wire.take()) == (False, b"")
    wire.receive(b"abc")
    wire.receive(b"de")
    assert (wire.waiting, wire.take(2)) == (True, b"ab")
    assert wire.take(5) == b"c"
    assert (wire.take(), wire.waiting) == (b"de", False)


def test_what_is_put_back_comes_first(wire: Wire) -> None:
    wire.receive(b"abc")
    assert wire.take(1) == b"a"
    wire.put_back(b"a")
    wire.put_back(b"")
    assert [wire.take(), wire.take(), wire.take()] == [b"a", b"bc", b""]


def test_a_link_is_read_again_when_all_was_taken(wire: Wire) -> None:
    wire.receive(b"x" * 6)
    assert wire.take_effects() == []
    wire.receive(b"x" * 6)
    assert wire.take_effects() == [SetReading(LINK, enabled=False)]
    wire.take(11)
    wire.take(1)
    assert wire.take_effects() == []
    wire.take()
    assert wire.take_effects() == [SetReading(LINK, enabled=True)]


def test_output_goes_out_once(wire: Wire) -> None:
    assert wire.send((b"ab", b"", b"c")) == 3
    assert (wire.unflushed, wire.room) == (True, 97)
    assert wire.take_effects() == [SendBytes(LINK, [b"ab", b"c"])]
    assert (wire.unflushed, wire.room) == (False, 100)
    assert wire.take_effects() == []


def test_torn_output_goes_out_byte_by_byte(wire: Wire) -> None:
    wire.torn = True
    wire.send((b"ab", b"cd"))
    sent = [wire.take_effects() for _ in range(3)]
    assert sent == [[SendBytes(LINK, [byte])] for byte in (b"a", b"b", b"c")]
    assert wire.room == 99
    wire.close(CloseHow.FLUSH)
    assert wire.take_effects() == [SendBytes(LINK, [b"d"]), CloseLink(LINK, CloseHow.FLUSH)]


def test_above_high_water_it_is_blocked_until_low_water(wire: Wire) -> None:
    wire.sent(99, 0.0)
    assert (wire.blocked, wire.unsent, wire.room) == (False, 99, 1)
    wire.sent(100, 1.0)
    assert (wire.blocked, wire.next_timeout()) == (True, 6.0)
    wire.sent(100, 2.0)
    assert wire.next_timeout() == 6.0
    wire.sent(21, 3.0)
    assert (wire.blocked, wire.next_timeout()) == (True, 8.0)
    wire.sent(20, 4.0)
    assert (wire.blocked, wire.next_timeout()) == (False, None)


def test_a_peer_that_takes_nothing_is_stuck(wire: Wire) -> None:
    wire.sent(100, 0.0)
    assert wire.handle_timeout(4.9) is None
    assert wire.handle_timeout(5.0) is Expiry.STUCK
    assert wire.handle_timeout(5.0) is None


def test_lingering_sends_ends_and_forgets(wire: Wire) -> None:
    wire.torn = True
    wire.receive(b"x" * 20)
    wire.take_effects()
    wire.send((b"bye",))
    wire.linger(1.0)
    assert wire.lingering
    assert wire.take_effects() == [SendBytes(LINK, [b"bye"]), SetReading(LINK, enabled=True), EndSending(LINK)]
    wire.receive(b"x" * 20)
    assert not wire.waiting
    assert wire.take_effects() == []
    assert wire.handle_timeout(3.0) is Expiry.LINGER


def test_there_is_no_lingering_for_a_peer_that_has_ended(wire: Wire) -> None:
    wire.eof = True
    wire.linger(1.0)
    assert not wire.lingering
    assert wire.take_effects() == [CloseLink(LINK, CloseHow.FLUSH)]


def test_an_abort_drops_what_is_not_sent(wire: Wire) -> None:
    wire.send((b"abc",))
    wire.sent(100, 0.0)
    wire.receive(b"x" * 20)
    wire.journal("entry")
    wire.close(CloseHow.ABORT)
    wire.close(CloseHow.FLUSH)
    assert not wire.waiting
    assert wire.next_timeout() is None
    assert wire.take_effects() == [Journal("entry"), CloseLink(LINK, CloseHow.ABORT)]
