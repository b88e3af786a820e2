from __future__ import annotations

from aigw_proto.client import (
    ChunkReceived,
    ClosedBy,
    ConnectionLost,
    MessageReceived,
    ReplyReceived,
    StreamFinished,
    held_bytes,
)
from aigw_proto.envelopes import Metadata

METADATA = Metadata("a", None, None, None)


def test_payloads_count_and_so_do_the_objects_around_them() -> None:
    empty = held_bytes(StreamFinished(METADATA))
    assert empty > 0
    assert held_bytes(ConnectionLost(1006, "", clean=False, closed_by=ClosedBy.NETWORK)) == empty
    assert held_bytes(ChunkReceived(b"", None)) == empty
    assert held_bytes(ChunkReceived(b"x" * 1000, None)) == empty + 1000
    assert held_bytes(ReplyReceived(METADATA, b"x" * 1000)) == empty + 1000
    assert held_bytes(MessageReceived(b"\xff" * 1000)) == empty + 1000
    assert held_bytes(MessageReceived("x" * 1000)) == empty + 1000
    assert held_bytes(MessageReceived("\U0001f600" * 1000)) == empty + 4000
