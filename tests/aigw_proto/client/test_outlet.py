from __future__ import annotations

import pytest

from aigw_proto._effects import CloseHow, Deliver, SendBytes, SetReading
from aigw_proto._entropy import Entropy
from aigw_proto._kinds import LinkId
from aigw_proto._limits import HttpLimits, WebSocketLimits
from aigw_proto.client import (
    CONNECTION_TICKET,
    ChunkReceived,
    ClientLimits,
    GatewayUrl,
    OpenConnection,
    ReadingPaused,
    SendingAllowed,
)
from aigw_proto.client._outlet import Outlet
from aigw_proto.client._session import Session
from support.client_bench import counted

LINK = LinkId(1)
LIMITS = ClientLimits(
    high_water_bytes=500, low_water_bytes=100, sending_high_water_bytes=500, sending_low_water_bytes=100
)
CHUNK = ChunkReceived(b"x" * 1000, None)


def session() -> Session:
    return Session(
        OpenConnection(GatewayUrl(secure=False, host="h", port=80, host_header=b"h", target=b"/")),
        now=0.0,
        entropy=Entropy(counted),
        http=HttpLimits(),
        websocket=WebSocketLimits(),
        open_timeout_seconds=5.0,
    )


def test_reading_follows_what_is_held_once_a_turn() -> None:
    outlet = Outlet(LINK, LIMITS)
    line = session()
    outlet.set_reading(line, 0.0, closing=False)
    assert not outlet.effects
    outlet.answer(1, CHUNK, 0.0)
    for _ in range(2):
        outlet.set_reading(line, 0.0, closing=False)
    assert list(outlet.effects) == [
        Deliver(1, CHUNK),
        SetReading(LINK, enabled=False),
        Deliver(CONNECTION_TICKET, ReadingPaused(paused=True)),
    ]
    outlet.effects.clear()
    outlet.set_reading(line, 0.0, closing=True)
    assert outlet.effects[0] == SetReading(LINK, enabled=True)


def test_bytes_that_pile_up_stop_reading_and_the_program_is_not_asked_to_hurry() -> None:
    outlet = Outlet(LINK, LIMITS)
    line = session()
    outlet.set_reading(line, 0.0, closing=False, behind=True)
    assert not outlet.effects
    outlet.set_reading(line, 0.0, closing=False, behind=True, piling=True)
    outlet.set_reading(line, 0.0, closing=False, behind=True)
    assert list(outlet.effects) == [SetReading(LINK, enabled=False)]
    outlet.answer(1, CHUNK, 0.0)
    outlet.effects.clear()
    outlet.set_reading(line, 0.0, closing=False, behind=True)
    outlet.set_reading(line, 0.0, closing=True, behind=True)
    told = [Deliver(CONNECTION_TICKET, ReadingPaused(paused)) for paused in (True, False)]
    assert list(outlet.effects) == told
    outlet.set_reading(line, 0.0, closing=True)
    assert list(outlet.effects) == [*told, SetReading(LINK, enabled=True)]


def test_a_stream_that_has_ended_is_not_paused() -> None:
    outlet = Outlet(LINK, LIMITS)
    outlet.peer_gone = CloseHow.FLUSH
    outlet.answer(1, CHUNK, 0.0)
    outlet.set_reading(session(), 0.0, closing=False)
    assert list(outlet.effects) == [Deliver(1, CHUNK)]


def test_bytes_are_sent_unless_the_stream_is_broken() -> None:
    outlet = Outlet(LINK, LIMITS)
    outlet.flush(session())
    (effect,) = outlet.effects
    assert isinstance(effect, SendBytes)
    line = session()
    line.data_to_send()
    outlet.flush(line)
    assert len(outlet.effects) == 1
    outlet.peer_gone = CloseHow.ABORT
    outlet.flush(session())
    assert len(outlet.effects) == 1


def test_the_backlog_is_told_when_it_passes_a_mark() -> None:
    outlet = Outlet(LINK, LIMITS)
    for size in (500, 501, 600, 101, 100, 0):
        outlet.unsent(size)
    assert list(outlet.effects) == [
        Deliver(CONNECTION_TICKET, SendingAllowed(allowed=False)),
        Deliver(CONNECTION_TICKET, SendingAllowed(allowed=True)),
    ]


def test_pongs_wait_while_much_is_unsent() -> None:
    outlet = Outlet(LINK, LIMITS)
    line = session()
    outlet.flow.unsent(501)
    outlet.flush(line, pressing=False)
    assert not outlet.effects
    outlet.flow.unsent(0)
    outlet.flush(line, pressing=False)
    assert isinstance(outlet.effects[0], SendBytes)


@pytest.mark.parametrize("unsent", [0, 501])
def test_senders_are_held_once_and_for_good(unsent: int) -> None:
    outlet = Outlet(LINK, LIMITS)
    outlet.unsent(unsent)
    for _ in range(2):
        outlet.hold_senders()
    for size in (501, 0):
        outlet.unsent(size)
    assert list(outlet.effects) == [Deliver(CONNECTION_TICKET, SendingAllowed(allowed=False))]
