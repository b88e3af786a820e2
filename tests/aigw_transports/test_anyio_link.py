from __future__ import annotations

import math
import os
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, BytesSent, Input, LinkAccepted, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_transports import _anyio_link
from aigw_transports._anyio_inlet import READ_BYTES
from aigw_transports._anyio_link import Link, hold_back
from aigw_transports._anyio_tls import SecureStream
from support import certificates
from support.loops import each_backend

pytestmark = [pytest.mark.anyio, each_backend]
LINK = LinkId(0)
BIRTH = LinkAccepted(LINK, "peer")
MIB = 1024 * 1024
BUFFER = memoryview(bytearray(READ_BYTES))


class Fed:
    """Collects what a link feeds, and lets a test wait for it."""

    def __init__(self) -> None:
        self.events: list[Input] = []
        self.news = anyio.Event()

    def __call__(self, event: Input) -> None:
        self.events.append(event)
        self.news.set()

    async def until(self, event: Input) -> None:
        while event not in self.events:
            await self.news.wait()
            self.news = anyio.Event()

    def received(self) -> bytes:
        return b"".join(event.data for event in self.events if isinstance(event, BytesReceived))

    def reports(self) -> list[int]:
        return [event.unsent for event in self.events if isinstance(event, BytesSent)]


async def connection() -> tuple[SocketStream, SocketStream]:
    """Return the two ends of a loopback connection."""
    ends: list[SocketStream] = []
    accepted = anyio.Event()

    async def keep(stream: SocketStream) -> None:
        ends.append(stream)
        accepted.set()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, keep)
        port = listener.extra(SocketAttribute.local_port)
        ends.insert(0, await anyio.connect_tcp("127.0.0.1", port))
        await accepted.wait()
        tasks.cancel_scope.cancel()
    return ends[0], ends[1]


@asynccontextmanager
async def running() -> AsyncGenerator[tuple[Link, Fed, SocketStream], None]:
    """Run a link on a loopback connection; yields the link, what it feeds, and the peer's end."""
    fed = Fed()
    link = Link(LINK, fed, BUFFER)
    with anyio.fail_after(20):
        peer, stream = await connection()
        async with peer, anyio.create_task_group() as tasks:
            tasks.start_soon(run, link, stream)
            await fed.until(BIRTH)
            yield link, fed, peer


async def run(link: Link, stream: ByteStream) -> None:
    with link.scope:
        await link.run(stream, BIRTH)


async def settle() -> None:
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


async def read_all(peer: ByteStream) -> bytes:
    data = b""
    try:
        while True:
            data += await peer.receive()
    except anyio.EndOfStream:
        return data


async def test_bytes_both_ways_and_an_orderly_end() -> None:
    async with running() as (link, fed, peer):
        await peer.send(b"hello")
        await fed.until(BytesReceived(LINK, b"hello"))
        assert link.send([b"a", b"bc"]) == 0
        assert link.send([b"d"]) == 0
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b"abcd"
    assert fed.events == [BIRTH, BytesReceived(LINK, b"hello")]  # the kernel took all at once


async def test_what_the_kernel_does_not_take_is_reported_until_it_has() -> None:
    async with running() as (link, fed, peer):
        chunk = bytes(range(256)) * 4096 * 16
        unsent = link.send([b"x", chunk])
        assert 0 < unsent <= 1 + len(chunk)
        assert link.send([b"y"]) == unsent + 1
        got = bytearray()
        while len(got) < 2 + len(chunk):
            got += await peer.receive()
        assert got == b"x" + chunk + b"y"
        await fed.until(BytesSent(LINK, 0))
        link.close(CloseHow.FLUSH)
    reports = [unsent + 1, *fed.reports()]
    assert reports == sorted(set(reports), reverse=True)
    assert len(reports) > 3


async def test_many_small_chunks() -> None:
    async with running() as (link, fed, peer):
        assert link.send([b"x" * 30_000] * 500)
        got = 0
        while got < 15_000_000:
            got += len(await peer.receive())
        await fed.until(BytesSent(LINK, 0))
        link.close(CloseHow.FLUSH)


async def test_closing_flushes_and_feeds_nothing() -> None:
    async with running() as (link, fed, peer):
        link.send([bytes(4 * MIB)])
        link.close(CloseHow.FLUSH)
        assert len(await read_all(peer)) == 4 * MIB
    assert fed.events == [BIRTH]


async def test_aborting_drops_and_resets() -> None:
    async with running() as (link, fed, peer):
        link.send([bytes(16 * MIB)])
        link.close(CloseHow.ABORT)
        with pytest.raises(anyio.BrokenResourceError):
            await read_all(peer)
    assert fed.events == [BIRTH]


async def test_a_flush_to_a_peer_that_never_reads_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_anyio_link, "FLUSH_SECONDS", 0.05)
    async with running() as (link, fed, _):
        link.send([bytes(64 * MIB)])
        link.close(CloseHow.FLUSH)
        assert link.scope.deadline < math.inf
    assert fed.events == [BIRTH]  # run() has ended although nobody read: the block waits for it


async def test_ending_the_sending_direction() -> None:
    async with running() as (link, fed, peer):
        link.send([bytes(MIB)])
        link.end_sending()
        assert len(await read_all(peer)) == MIB
        await peer.send(b"still heard")
        await fed.until(BytesReceived(LINK, b"still heard"))
        await peer.send_eof()
        await fed.until(PeerClosed(LINK, clean=True))
        link.close(CloseHow.FLUSH)


async def test_a_reset_is_told_once() -> None:
    async with running() as (link, fed, peer):
        _anyio_link._reset_on_close(peer)
        await peer.aclose()
        await fed.until(PeerClosed(LINK, clean=False))
        assert link.send([b"for nobody"]) == 0
        link.end_sending()
        link.close(CloseHow.FLUSH)
    assert fed.events == [BIRTH, PeerClosed(LINK, clean=False)]


async def test_a_link_that_is_lost_may_be_aborted() -> None:
    async with running() as (link, fed, peer):
        assert link.send([b"x"]) == 0
        _anyio_link._reset_on_close(peer)
        await peer.aclose()
        await fed.until(PeerClosed(LINK, clean=False))
        await settle()
        link.close(CloseHow.ABORT)


async def test_a_reset_while_paused_is_noticed_by_writing() -> None:
    async with running() as (link, fed, peer):
        await peer.send(b"one")
        await fed.until(BytesReceived(LINK, b"one"))
        link.set_reading(False)
        await peer.send(b"in flight")  # for the call that is under way, if any
        await settle()
        _anyio_link._reset_on_close(peer)
        await peer.aclose()
        link.send([bytes(MIB)])
        await fed.until(PeerClosed(LINK, clean=False))
        link.close(CloseHow.FLUSH)


async def test_ending_the_sending_direction_of_a_broken_stream() -> None:
    async with running() as (link, fed, peer):
        await peer.send(b"one")
        await fed.until(BytesReceived(LINK, b"one"))
        link.set_reading(False)
        await peer.send(b"in flight")  # for the call that is under way, if any
        await settle()
        _anyio_link._reset_on_close(peer)
        await peer.aclose()
        link.end_sending()
        for _ in range(10):
            await anyio.lowlevel.checkpoint()
        link.set_reading(True)
        await fed.until(PeerClosed(LINK, clean=False))
        link.close(CloseHow.FLUSH)


async def test_a_reset_after_the_end_leaves_nothing_unsent() -> None:
    async with running() as (link, fed, peer):
        await peer.send_eof()
        await fed.until(PeerClosed(LINK, clean=True))
        link.send([bytes(64 * MIB)])
        _anyio_link._reset_on_close(peer)
        await peer.aclose()
        await fed.until(BytesSent(LINK, 0))
        link.close(CloseHow.FLUSH)
    assert fed.events.count(PeerClosed(LINK, clean=True)) == 1
    assert PeerClosed(LINK, clean=False) not in fed.events


async def test_pausing_leaves_bytes_with_the_peer() -> None:
    async with running() as (link, fed, peer):
        await peer.send(b"one")
        await fed.until(BytesReceived(LINK, b"one"))
        link.set_reading(False)
        for _ in range(2):  # one of them may be read by the call that was under way
            await peer.send(b"two")
            link.send([b"x"])
            assert await peer.receive() == b"x"
            await settle()
        assert len(fed.events) <= 3
        link.set_reading(True)
        while fed.received() != b"onetwotwo":
            await settle()
        link.close(CloseHow.FLUSH)


async def test_closing_while_paused() -> None:
    async with running() as (link, fed, peer):
        await peer.send(b"one")
        await fed.until(BytesReceived(LINK, b"one"))
        link.set_reading(False)
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b""


async def test_what_comes_while_closing_is_not_fed() -> None:
    async with running() as (link, fed, peer):
        await peer.send(b"one")
        await fed.until(BytesReceived(LINK, b"one"))
        link.send([bytes(64 * MIB)])
        link.close(CloseHow.FLUSH)
        await peer.send(b"too late")
        got = 0
        while got < 64 * MIB:
            got += len(await peer.receive())
    assert fed.events == [BIRTH, BytesReceived(LINK, b"one")]


async def test_a_link_that_closes_before_it_opens_says_nothing() -> None:
    async with running() as (other, _, peer):
        fed = Fed()
        link = Link(LinkId(1), fed, BUFFER)
        link.close(CloseHow.FLUSH)
        await run(link, peer)
        assert fed.events == []
        other.close(CloseHow.ABORT)


async def test_a_link_that_never_reads_leaves_the_sender_waiting() -> None:
    with anyio.fail_after(20):
        peer, stream = await connection()

        def pause(_: Input) -> None:
            link.set_reading(False)

        link = Link(LINK, pause, BUFFER)
        async with peer, anyio.create_task_group() as tasks:
            tasks.start_soon(run, link, stream)
            raw = peer.extra(SocketAttribute.raw_socket)
            sent = idle = 0
            while idle < 100:
                try:
                    sent += os.write(raw.fileno(), bytes(MIB))
                    idle = 0
                except BlockingIOError:
                    idle += 1
                    await anyio.lowlevel.checkpoint()
                assert sent < 64 * MIB, "read without bound"
            link.close(CloseHow.ABORT)


# ---- with TLS ------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running_secure(
    folder: Path, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncGenerator[tuple[Link, Fed, SecureStream], None]:
    """Run the link of a server with TLS; yields the link, what it feeds, and a client that minds how streams end."""
    fed = Fed()
    link = Link(LINK, fed, BUFFER)
    trusting = certificates.client()
    trusting.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    trusting.maximum_version = version
    with anyio.fail_after(20):
        near, far = await connection()
        hold_back(far)
        peer, stream = SecureStream(near, trusting, "127.0.0.1"), SecureStream(far, certificates.server(folder))
        async with peer, anyio.create_task_group() as tasks:
            async with anyio.create_task_group() as handshakes:
                handshakes.start_soon(peer.handshake)
                await stream.handshake()
            tasks.start_soon(run, link, stream)
            await fed.until(BIRTH)
            yield link, fed, peer


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_secure_ending_the_sending_direction(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with running_secure(tmp_path, version) as (link, fed, peer):
        link.send([bytes(MIB)])
        link.end_sending()
        assert len(await read_all(peer)) == MIB
        await peer.send(b"still heard")
        await fed.until(BytesReceived(LINK, b"still heard"))
        await peer.send_eof()
        await fed.until(PeerClosed(LINK, clean=True))
        link.close(CloseHow.FLUSH)


async def test_secure_closing_says_that_nothing_was_cut_off(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, fed, peer):
        await peer.send(b"one")
        await fed.until(BytesReceived(LINK, b"one"))
        link.set_reading(False)
        await peer.send(b"two")
        await fed.until(BytesReceived(LINK, b"two"))
        await peer.send(bytes(100_000))  # lies unread when the link closes, and must not turn its end into a reset
        link.send([b"last words"])
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b"last words"
        await peer.send_eof()
    assert fed.events == [BIRTH, BytesReceived(LINK, b"one"), BytesReceived(LINK, b"two")]


async def test_secure_closing_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_anyio_link, "CLOSE_NOTIFY_SECONDS", 0.05)
    async with running_secure(tmp_path) as (link, _, peer):
        link.close(CloseHow.FLUSH)
        assert await read_all(peer) == b""


async def test_secure_aborting_resets(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, _, peer):
        link.close(CloseHow.ABORT)
        with pytest.raises((anyio.BrokenResourceError, ssl.SSLError)):
            await read_all(peer)


async def test_secure_garbage_breaks_the_link(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, fed, peer):
        await peer.transport.send(b"garbage")
        await fed.until(PeerClosed(LINK, clean=False))
        link.close(CloseHow.FLUSH)


async def test_secure_link_that_never_reads_leaves_the_sender_waiting(tmp_path: Path) -> None:
    async with running_secure(tmp_path) as (link, _, peer):
        link.set_reading(False)
        raw = peer.extra(SocketAttribute.raw_socket)
        records = b""
        sent = idle = 0
        while idle < 100:
            if not records:
                peer._session.encrypt(bytes(MIB))
                records = peer._session.outgoing()
            try:
                count = os.write(raw.fileno(), records)
            except BlockingIOError:
                idle += 1
                await anyio.lowlevel.checkpoint()
                continue
            records = records[count:]
            sent += count
            idle = 0
            assert sent < 64 * MIB, "read without bound"
        link.close(CloseHow.ABORT)


async def test_no_more_is_read_at_a_time_than_a_link_asks_for() -> None:
    near, far = await connection()
    async with near, far:
        for stream in (near, far):
            hold_back(stream)
            transport = getattr(stream, "_transport", None)  # private to anyio; other loops have bounds of their own
            assert getattr(transport, "max_size", READ_BYTES) == READ_BYTES
