from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, BytesSent, Input, LinkAccepted, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_transports import _sync_link
from aigw_transports._sync_link import Link
from support.owners import Stage, stage
from support.threads import read_all, reset

LINK = LinkId(0)
BIRTH = LinkAccepted(LINK, "peer")
MIB = 1024 * 1024


@pytest.fixture(name="here")
def make_stage() -> Iterator[Stage]:
    with stage() as it:
        yield it


class Live:
    """A link on a loopback connection, what it feeds, and the peer's end."""

    def __init__(self, here: Stage) -> None:
        self.here = here
        self.events: list[Input] = []
        self.link = Link(here.owner, LINK, self.events.append)
        self.stream, self.peer = here.connection()
        self.link.begin(self.stream, BIRTH)

    def until(self, event: Input) -> None:
        self.here.until(lambda: event in self.events)

    def gone(self) -> None:
        self.here.until(lambda: not self.here.streams)

    def drain(self) -> bytearray:
        """Read until nothing waits any more."""
        return self.here.read_while(lambda: self.stream.waiting_bytes or self.link._backlog, self.peer)

    def reports(self) -> list[int]:
        return [event.unsent for event in self.events if isinstance(event, BytesSent)]


@pytest.fixture(name="live")
def make_live(here: Stage) -> Iterator[Live]:
    it = Live(here)
    with it.peer:
        yield it


def test_bytes_both_ways_and_an_orderly_end(live: Live) -> None:
    live.peer.sendall(b"hello")
    live.until(BytesReceived(LINK, b"hello"))
    assert live.link.send([b"a", b"bc"]) == 0
    assert live.link.send([b"d"]) == 0
    live.link.close(CloseHow.FLUSH)
    assert read_all(live.peer) == b"abcd"
    live.gone()
    assert live.events == [BIRTH, BytesReceived(LINK, b"hello")]


def test_what_the_kernel_does_not_take_is_reported_until_it_has(live: Live) -> None:
    chunk = bytes(range(256)) * 4096 * 16
    unsent = live.link.send([b"x", chunk])
    assert 0 < unsent <= 1 + len(chunk)
    assert live.link.send([b"y"]) == unsent + 1
    got = live.drain()
    assert live.events[-1] == BytesSent(LINK, 0)
    live.link.close(CloseHow.FLUSH)
    got += read_all(live.peer)
    assert got == b"x" + chunk + b"y"
    reports = [unsent + 1, *live.reports()]
    assert reports == sorted(set(reports), reverse=True)
    assert len(reports) > 3


def test_closing_flushes_and_feeds_nothing(live: Live) -> None:
    live.link.send([bytes(4 * MIB)])
    live.link.close(CloseHow.FLUSH)
    live.peer.sendall(b"too late")
    got = live.drain()
    got += read_all(live.peer)
    live.gone()
    assert len(got) == 4 * MIB
    assert live.events == [BIRTH]


def test_aborting_drops_and_resets(live: Live) -> None:
    live.link.send([bytes(16 * MIB)])
    live.link.close(CloseHow.ABORT)
    live.gone()
    with pytest.raises(ConnectionResetError):
        read_all(live.peer)
    assert live.events == [BIRTH]


def test_a_flush_to_a_peer_that_never_reads_is_given_up(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_sync_link, "FLUSH_SECONDS", 0.02)
    live.link.send([bytes(16 * MIB)])
    live.link.close(CloseHow.FLUSH)
    live.gone()
    with pytest.raises(ConnectionResetError):
        read_all(live.peer)


def test_a_flush_that_breaks(live: Live) -> None:
    live.link.send([bytes(16 * MIB)])
    live.link.close(CloseHow.FLUSH)
    reset(live.peer)
    live.gone()
    assert live.events == [BIRTH]


def test_ending_the_sending_direction_behind_what_waits(live: Live) -> None:
    live.link.send([bytes(16 * MIB)])
    live.link.end_sending()
    got = live.drain()
    got += read_all(live.peer)
    assert len(got) == 16 * MIB
    live.peer.sendall(b"still heard")
    live.until(BytesReceived(LINK, b"still heard"))
    live.peer.shutdown(socket.SHUT_WR)
    live.until(PeerClosed(LINK, clean=True))
    live.link.close(CloseHow.FLUSH)
    live.gone()


def test_a_reset_is_told_once(live: Live) -> None:
    reset(live.peer)
    live.until(PeerClosed(LINK, clean=False))
    assert live.link.send([b"for nobody"]) == 0
    live.link.set_reading(True)
    live.link.end_sending()
    live.link.close(CloseHow.FLUSH)
    live.gone()
    assert live.events == [BIRTH, PeerClosed(LINK, clean=False)]


def test_a_reset_while_sending_leaves_nothing_unsent(live: Live) -> None:
    live.peer.shutdown(socket.SHUT_WR)
    live.until(PeerClosed(LINK, clean=True))
    assert live.link.send([bytes(16 * MIB)])
    reset(live.peer)
    live.until(BytesSent(LINK, 0))
    live.link.receive(b"what cannot be")
    live.link.close(CloseHow.ABORT)
    live.gone()
    assert live.events == [BIRTH, PeerClosed(LINK, clean=True), BytesSent(LINK, 0)]


def test_a_send_that_breaks(live: Live) -> None:
    live.link.set_reading(False)
    reset(live.peer)
    live.here.until(lambda: live.stream._held)
    assert live.link.send([b"x"]) == 0
    assert live.events == [BIRTH, PeerClosed(LINK, clean=False)]
    live.link.close(CloseHow.FLUSH)


def test_pausing(live: Live) -> None:
    live.link.set_reading(False)
    live.peer.sendall(b"one")
    live.here.until(lambda: live.stream._held)
    assert live.events == [BIRTH]
    live.link.set_reading(True)
    assert live.events == [BIRTH, BytesReceived(LINK, b"one")]
    live.link.close(CloseHow.ABORT)


def test_a_link_that_closes_before_it_opens_says_nothing(here: Stage) -> None:
    events: list[Input] = []
    withdrawn: list[bool] = []
    link = Link(here.owner, LinkId(1), events.append)
    link.set_reading(True)
    link.end_sending()
    link.progress()
    link.reset()
    link.withdraw = lambda: withdrawn.append(True)
    assert link.send([b"x"]) == 0
    link.close(CloseHow.FLUSH)
    assert (events, withdrawn) == ([], [True])
