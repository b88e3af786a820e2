from __future__ import annotations

import pytest

from aigw_proto._effects import EndSending, SendBytes
from aigw_proto._inputs import BytesReceived, BytesSent, LinkAccepted, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_proto.testing._scenario_transfer import CHUNK_BYTES, Transfer, pattern_piece
from aigw_proto.testing._toy import ToyEngine

LINK = LinkId(0)


class Engine(ToyEngine):
    """Does nothing by itself."""


def drained(engine: Engine) -> list[object]:
    return list(iter(engine.poll, None))


def test_pieces_of_the_pattern_fit_together_and_differ_where_they_are_shifted() -> None:
    whole = pattern_piece(0, 3 * CHUNK_BYTES)
    assert pattern_piece(CHUNK_BYTES, CHUNK_BYTES) == whole[CHUNK_BYTES : 2 * CHUNK_BYTES]
    assert pattern_piece(1, 100) != pattern_piece(0, 100)


def test_it_sends_chunk_by_chunk_then_ends() -> None:
    engine = Engine()
    transfer = Transfer(engine, LINK, CHUNK_BYTES + 10)
    assert not transfer.pump()
    assert drained(engine) == [SendBytes(LINK, [pattern_piece(0, CHUNK_BYTES)])]
    assert engine.deadline == engine.now
    assert not transfer.pump()
    assert drained(engine) == [SendBytes(LINK, [pattern_piece(CHUNK_BYTES, 10)]), EndSending(LINK)]
    assert transfer.take(PeerClosed(LINK, clean=True))


def test_it_waits_while_too_much_is_unsent() -> None:
    engine = Engine()
    transfer = Transfer(engine, LINK, CHUNK_BYTES)
    assert not transfer.take(BytesSent(LINK, 1 << 20))
    assert not transfer.pump()
    assert drained(engine) == []
    assert not transfer.take(BytesSent(LINK, 0))
    assert engine.deadline == engine.now


def test_the_last_chunk_is_not_waited_for_when_the_peer_has_ended() -> None:
    engine = Engine()
    transfer = Transfer(engine, LINK, 5)
    assert not transfer.take(PeerClosed(LINK, clean=True))
    assert transfer.pump()


def test_it_checks_what_comes() -> None:
    transfer = Transfer(Engine(), LINK, 5)
    assert not transfer.take(LinkAccepted(LINK, "peer"))
    assert not transfer.take(BytesReceived(LINK, pattern_piece(0, 300)))
    with pytest.raises(AssertionError, match="wrong bytes at offset 300"):
        transfer.take(BytesReceived(LINK, b"x"))
