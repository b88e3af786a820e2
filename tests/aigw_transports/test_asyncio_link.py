from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, BytesSent, Input, LinkAccepted, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_transports import _asyncio_link, _asyncio_tls
from aigw_transports._anyio_link import _reset_on_close
from aigw_transports._anyio_tls import SecureStream
from aigw_transports._asyncio_connect import attach
from aigw_transports._asyncio_link import READ_BYTES, Link, Owner
from aigw_transports._asyncio_tls import SecureTransport
from aigw_transports._backlog import SLICE_BYTES
from support import certificates
from support.loops import each_loop

pytestmark = [pytest.mark.anyio, each_loop]
LINK = LinkId(0)
BIRTH = LinkAccepted(LINK, "peer")
MIB = 1024 * 1024


class House:
    """Collects what a link feeds, and lets a test wait for it, and for its end."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.reads_on = not isinstance(self.loop, asyncio.BaseEventLoop)
        self.events: list[Input] = []
        self.news = anyio.Event()
        self.owners: set[Owner] = set()
        self.failures: list[Exception | None] = []
        self.pause_at_birth: Link | None = None
        self.bug: Exception | None = None

    def failed(self, error: Exception) -> None:
        self.failures.append(error)

    def feed_link(self, event: Input) -> None:
        self.events.append(event)
        if self.bug is not None:
            raise self.bug
        if self.pause_at_birth is not None and event == BIRTH:
            self.pause_at_birth.set_reading(False)
        self.news.set()

    def opened(self, owner: Owner) -> None:
        self.owners.add(owner)

    def lost(self, owner: Owner) -> None:
        self.owners.discard(owner)
        self.news.set()

    async def until(self, event: Input) -> None:
        while event not in self.events:
            await self.news.wait()
            self.news = anyio.Event()

    async def until_empty(self) -> None:
        while self.owners:
            await self.news.wait()
            self.news = anyio.Event()

    def reports(self) -> list[int]:
        return [event.unsent for event in self.events if isinstance(event, BytesSent)]


async def connection() -> tuple[SocketStream, socket.socket]:
    """Return the two ends of a loopback connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = await anyio.connect_tcp(*listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        return peer, accepted


@asynccontextmanager
async def running(*, paused: bool = False) -> AsyncGenerator[tuple[Link, House, SocketStream], None]:
    """Run a link on a loopback connection until it is closed; yields the link, what it feeds, and the peer's end."""
    with anyio.fail_after(20):
        house = House()
        link = Link(house, LINK, BIRTH)
        if paused:
            house.pause_at_birth = link
        peer, accepted = await connection()
        async with peer:
            await attach(accepted, link)
            assert house.events[:1] == [BIRTH]
            yield link, house, peer
            await house.until_empty()


async def read_all(peer: ByteStream) -> bytes:
    data = b""
    try:
        while True:
            data += await peer.receive()
    except anyio.EndOfStream:
        return data


async def read_exactly(peer: ByteStream, count: int) -> None:
    while count:
        count -= len(await peer.receive(count))


async def reset_by(peer: SocketStream) -> None:
    _reset_on_close(peer)
    await peer.aclose()


async def test_bytes_both_ways_and_an_orderly_end() -> None:
    async with running() as (link, house, peer):
        await peer.send(b"hello")
        await house.until(BytesReceived(LINK, b"hello"))
        assert link.send([b"a", b"bc"]) == 0
        assert link.send([b"d"]) == 0
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b"abcd"
    assert house.events == [BIRTH, BytesReceived(LINK, b"hello")]  # the kernel took all at once


async def test_what_the_kernel_does_not_take_is_reported_until_it_has() -> None:
    async with running() as (link, house, peer):
        chunk = bytes(range(256)) * 4096 * 16
        unsent = link.send([b"x", chunk])
        assert 0 < unsent <= 1 + len(chunk)
        assert link.send([b"y"]) == unsent + 1
        got = bytearray()
        while len(got) < 2 + len(chunk):
            got += await peer.receive()
        assert got == b"x" + chunk + b"y"
        await house.until(BytesSent(LINK, 0))
        link.close(CloseHow.FLUSH)
    reports = [unsent + 1, *house.reports()]
    assert reports == sorted(set(reports), reverse=True)
    assert len(reports) > 3


async def test_many_small_chunks() -> None:
    async with running() as (link, house, peer):
        unsent = link.send([b"x" * 30_000] * 500)
        assert unsent
        await read_exactly(peer, 15_000_000)
        await house.until(BytesSent(LINK, 0))
        link.close(CloseHow.FLUSH)


async def test_the_transport_holds_one_block_of_a_peer_that_does_not_read() -> None:
    async with running() as (link, house, _):
        assert link.send([bytes(64 * MIB)]) > SLICE_BYTES
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
            assert link._transport is not None
            assert 0 < link._transport.get_write_buffer_size() <= SLICE_BYTES
        link.close(CloseHow.ABORT)
    assert house.events[0] == BIRTH


async def test_closing_flushes_and_feeds_nothing() -> None:
    async with running() as (link, house, peer):
        link.send([bytes(16 * MIB)])
        link.close(CloseHow.FLUSH)
        assert len(await read_all(peer)) == 16 * MIB
    assert house.events == [BIRTH]


async def test_aborting_drops_and_resets() -> None:
    async with running() as (link, house, peer):
        link.send([bytes(16 * MIB)])
        link.close(CloseHow.ABORT)
        with pytest.raises(anyio.BrokenResourceError):
            await read_all(peer)
    assert house.events == [BIRTH]


async def test_a_flush_to_a_peer_that_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_link, "FLUSH_SECONDS", 0.05)
    async with running() as (link, house, _):
        link.send([bytes(64 * MIB)])
        link.close(CloseHow.FLUSH)
    assert house.events == [BIRTH]  # it has ended although nobody read: the block waits for it


async def test_ending_the_sending_direction() -> None:
    async with running() as (link, house, peer):
        link.send([bytes(16 * MIB)])
        link.end_sending()
        assert len(await read_all(peer)) == 16 * MIB
        await peer.send(b"still heard")
        await house.until(BytesReceived(LINK, b"still heard"))
        await peer.send_eof()
        await house.until(PeerClosed(LINK, clean=True))
        link.set_reading(False)
        link.set_reading(True)  # must not read the end again
        await anyio.lowlevel.checkpoint()
        link.close(CloseHow.FLUSH)
    assert house.events.count(PeerClosed(LINK, clean=True)) == 1


async def test_a_reset_is_told_once() -> None:
    async with running() as (link, house, peer):
        await reset_by(peer)
        await house.until(PeerClosed(LINK, clean=False))
        assert link.send([b"for nobody"]) == 0
        link.set_reading(False)
        link.end_sending()
        link.close(CloseHow.FLUSH)
    assert house.events == [BIRTH, PeerClosed(LINK, clean=False)]


@pytest.mark.parametrize("chunk", [b"small", bytes(16 * MIB)])
async def test_a_reset_while_paused_is_noticed_by_writing(chunk: bytes) -> None:
    async with running() as (link, house, peer):
        link.set_reading(False)
        await reset_by(peer)
        assert link.send([chunk]) == 0
        assert link.send([chunk]) == 0
        await house.until(PeerClosed(LINK, clean=False))
        link.close(CloseHow.ABORT)


async def test_ending_the_sending_direction_of_a_broken_stream() -> None:
    async with running() as (link, house, peer):
        link.set_reading(False)
        await reset_by(peer)
        link.end_sending()
        link.set_reading(True)
        await house.until(PeerClosed(LINK, clean=False))
        link.close(CloseHow.FLUSH)


async def test_a_reset_after_the_end_leaves_nothing_unsent() -> None:
    async with running() as (link, house, peer):
        await peer.send_eof()
        await house.until(PeerClosed(LINK, clean=True))
        assert link.send([bytes(64 * MIB)])
        await reset_by(peer)
        await house.until(BytesSent(LINK, 0))
        link.close(CloseHow.FLUSH)
    assert house.events.count(PeerClosed(LINK, clean=True)) == 1
    assert PeerClosed(LINK, clean=False) not in house.events


async def test_a_reset_during_a_flush() -> None:
    async with running() as (link, house, peer):
        link.send([bytes(64 * MIB)])
        link.close(CloseHow.FLUSH)
        await reset_by(peer)
    assert house.events == [BIRTH]


async def test_pausing_leaves_bytes_with_the_peer() -> None:
    async with running() as (link, house, peer):
        await peer.send(b"one")
        await house.until(BytesReceived(LINK, b"one"))
        link.set_reading(False)
        await peer.send(b"two")
        link.send([b"x"])
        assert await peer.receive() == b"x"
        assert BytesReceived(LINK, b"two") not in house.events
        link.set_reading(True)
        await house.until(BytesReceived(LINK, b"two"))
        link.close(CloseHow.FLUSH)


async def test_closing_while_paused() -> None:
    async with running() as (link, _, peer):
        link.set_reading(False)
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b""


async def test_what_comes_while_closing_is_not_fed() -> None:
    async with running() as (link, house, peer):
        link.send([bytes(64 * MIB)])
        link.close(CloseHow.FLUSH)
        await peer.send(b"too late")
        await read_exactly(peer, 64 * MIB)
        link.data_received(b"was under way")
    assert house.events == [BIRTH]


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_link_that_closes_before_it_opens_says_nothing(how: str) -> None:
    with anyio.fail_after(20):
        house = House()
        link = Link(house, LINK, BIRTH)
        assert link.send([b"nowhere to go"]) == 0
        if how == "close":
            link.close(CloseHow.FLUSH)
        else:
            link.reset()
        peer, accepted = await connection()
        async with peer:
            await attach(accepted, link)
            await house.until_empty()
            with pytest.raises(anyio.BrokenResourceError):
                await peer.receive()
    assert house.events == []


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_link_that_closes_before_it_opens_is_withdrawn(how: str) -> None:
    link = Link(House(), LINK, BIRTH)
    withdrawn = anyio.Event()
    link.withdraw = withdrawn.set
    if how == "close":
        link.close(CloseHow.ABORT)
    else:
        link.reset()
    assert withdrawn.is_set()


async def test_a_link_that_is_lost_cannot_be_reset() -> None:
    async with running() as (link, house, peer):
        await reset_by(peer)
        await house.until_empty()
        link.close(CloseHow.ABORT)
        link.reset()


async def flood(peer: ByteStream, records: bytes = bytes(MIB)) -> int:
    """Send until nobody takes more; return how much that was."""
    raw = peer.extra(SocketAttribute.raw_socket)
    sent = idle = 0
    while idle < 100 and sent < 64 * MIB:
        try:
            sent += os.write(raw.fileno(), records[sent % MIB :])
            idle = 0
        except BlockingIOError:
            idle += 1
            await anyio.lowlevel.checkpoint()
    return sent


async def test_a_link_that_never_reads_leaves_the_sender_waiting() -> None:
    async with running(paused=True) as (link, house, peer):
        assert await flood(peer) < 64 * MIB, "read without bound"
        assert len([event for event in house.events if isinstance(event, BytesReceived)]) <= 1
        link.close(CloseHow.ABORT)


class Restless(House):
    """Lends little room for each read, and does something to a link whenever it has read."""

    def __init__(self, reaction: Callable[[Link], None]) -> None:
        super().__init__()
        self.read_buffer = self.read_buffer[:1024]
        self.reads_on = True
        self.reaction = reaction
        self.links: dict[LinkId, Link] = {}

    def feed_link(self, event: Input) -> None:
        super().feed_link(event)
        if isinstance(event, BytesReceived):
            self.reaction(self.links[event.link])

    async def add(self, number: LinkId, data: bytes) -> SocketStream:
        """Attach a link that does not read yet, and send it something; return the peer's end."""
        link = self.links[number] = Link(self, number, LinkAccepted(number, "peer"))
        peer, accepted = await connection()
        await attach(accepted, link)
        link.set_reading(False)
        await peer.send(data)
        return peer


def stop_and_go(link: Link) -> None:
    link.set_reading(False)
    link.set_reading(True)


async def test_links_that_have_much_to_read_take_turns() -> None:
    with anyio.fail_after(20):
        house = Restless(stop_and_go)
        one, two = LinkId(0), LinkId(2)
        async with await house.add(one, bytes(8 * 1024)), await house.add(two, bytes(8 * 1024)):
            for link in house.links.values():
                link.set_reading(True)
            while len(house.events) < 2 + 2 * 8:
                await anyio.lowlevel.checkpoint()
            readers = [event.link for event in house.events if isinstance(event, BytesReceived)]
            assert readers in ([one, two] * 8, [two, one] * 8)
            for link in house.links.values():
                link.close(CloseHow.ABORT)
        await house.until_empty()


async def test_a_link_that_is_stopped_while_it_rests_does_not_go_on() -> None:
    with anyio.fail_after(20):
        house = Restless(lambda link: link.set_reading(False))
        async with await house.add(LINK, bytes(1024) + b"rest") as peer:
            link = house.links[LINK]
            link.set_reading(True)
            await house.until(BytesReceived(LINK, bytes(1024)))
            link.send([b"x"])
            assert await peer.receive() == b"x"
            assert len(house.events) == 2
            link.set_reading(True)
            await house.until(BytesReceived(LINK, b"rest"))
            link.close(CloseHow.FLUSH)
        await house.until_empty()


async def test_a_link_may_close_while_it_rests() -> None:
    with anyio.fail_after(20):
        house = Restless(lambda link: link.close(CloseHow.FLUSH))
        async with await house.add(LINK, bytes(2048)) as peer:
            house.links[LINK].set_reading(True)
            with pytest.raises(anyio.BrokenResourceError):
                await read_all(peer)
        await house.until_empty()


async def test_what_feeding_raises_is_for_the_driver() -> None:
    async with running() as (link, house, peer):
        house.bug = RuntimeError("a bug")
        await peer.send(b"x")
        await house.until(BytesReceived(LINK, b"x"))
        assert house.failures == [house.bug]
        link.close(CloseHow.FLUSH)


# ---- with TLS ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running_secure(
    folder: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncGenerator[tuple[Link, House, SecureStream], None]:
    """Run the link of a server with TLS; yields the link, what it feeds, and a client that minds how streams end."""
    trusting = certificates.client()
    trusting.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    trusting.maximum_version = version
    with anyio.fail_after(20):
        house = House()
        link = Link(house, LINK, BIRTH)
        near, far = await connection()
        secure = SecureTransport(house, certificates.server(folder), None, lambda alpn: link, house.failures.append)
        async with SecureStream(near, trusting, "127.0.0.1") as peer:
            await attach(far, secure)
            await peer.handshake()
            await house.until(BIRTH)
            yield link, house, peer
            await house.until_empty()
    assert not house.failures


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_secure_ending_the_sending_direction(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with running_secure(tmp_path, version) as (link, house, peer):
        link.send([bytes(16 * MIB)])
        link.end_sending()
        assert len(await read_all(peer)) == 16 * MIB
        await peer.send(b"still heard")
        await house.until(BytesReceived(LINK, b"still heard"))
        await peer.send_eof()
        await house.until(PeerClosed(LINK, clean=True))
        link.close(CloseHow.FLUSH)
    reports = house.reports()
    assert reports == sorted(set(reports), reverse=True)
    assert reports[-1] == 0


async def test_secure_answer_behind_the_end(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, house, peer):
        await peer.send(b"question")
        await peer.send_eof()
        await house.until(PeerClosed(LINK, clean=True))
        link.send([b"answer"])
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b"answer"


async def test_secure_backlog_is_counted_as_it_was_given(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, _, peer):
        assert 0 < link.send([b"x"] * 8_000_000) <= 8_000_000  # each of them becomes 23 bytes, if alone
        await read_exactly(peer, 8_000_000)
        link.close(CloseHow.FLUSH)


async def test_secure_closing_says_that_nothing_was_cut_off(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, house, peer):
        link.set_reading(False)
        await peer.send(bytes(100_000))  # lies unread when the link closes, and must not turn its end into a reset
        link.send([b"last words"])
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b"last words"
        await peer.send_eof()
    assert house.events == [BIRTH]


async def test_secure_closing_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_tls, "CLOSE_NOTIFY_SECONDS", 0.05)
    async with running_secure(tmp_path) as (link, _, peer):
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b""


async def test_secure_aborting_resets(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, _, peer):
        link.close(CloseHow.ABORT)
        with pytest.raises((anyio.BrokenResourceError, ssl.SSLError)):
            await read_all(peer)


async def test_secure_garbage_breaks_the_link(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, house, peer):
        await peer.send(b"good")
        await house.until(BytesReceived(LINK, b"good"))
        await peer.transport.send(b"garbage")
        await house.until(PeerClosed(LINK, clean=False))
        link.close(CloseHow.FLUSH)


async def test_secure_reset_breaks_the_link(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, house, peer):
        assert isinstance(peer.transport, SocketStream)
        await reset_by(peer.transport)
        await house.until(PeerClosed(LINK, clean=False))
        link.close(CloseHow.FLUSH)


async def test_secure_link_that_never_reads_leaves_the_sender_waiting(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, _, peer):
        link.set_reading(False)
        assert await flood(peer) < 64 * MIB, "read without bound"
        link.close(CloseHow.ABORT)
