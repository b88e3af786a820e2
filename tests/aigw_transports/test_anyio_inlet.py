from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.streams.stapled import StapledByteStream

from aigw_transports._anyio_inlet import Inlet, tap
from support.loops import each_loop

pytestmark = [pytest.mark.anyio, each_loop]
ROOM = 1024


class Heard:
    """What a stream brings."""

    def __init__(self, reaction: Callable[[], None] = lambda: None) -> None:
        self.data: list[bytes] = []
        self.ends: list[str] = []
        self.reaction = reaction

    def receive(self, data: bytes) -> None:
        self.data.append(data)
        self.reaction()

    def receive_eof(self) -> None:
        self.ends.append("eof")

    def receive_loss(self) -> None:
        self.ends.append("loss")

    async def until(self, data: bytes) -> None:
        with anyio.fail_after(20):
            while b"".join(self.data) != data:
                await anyio.lowlevel.checkpoint()

    async def until_ended(self, *ends: str) -> None:
        with anyio.fail_after(20):
            while self.ends != list(ends):
                await anyio.lowlevel.checkpoint()


async def settle() -> None:
    for _ in range(10):
        await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def connection() -> AsyncGenerator[tuple[SocketStream, socket.socket], None]:
    """Give an accepted stream, which asyncio begins to read by itself, and the peer's socket."""
    streams: list[SocketStream] = []

    async def keep(stream: SocketStream) -> None:
        streams.append(stream)
        await anyio.sleep_forever()

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as multi, anyio.create_task_group() as tasks:
        [listener] = multi.listeners
        tasks.start_soon(listener.serve, keep)
        with socket.create_connection(("127.0.0.1", listener.extra(SocketAttribute.local_port))) as peer:
            with anyio.fail_after(20):
                while not streams:
                    await anyio.lowlevel.checkpoint()
            yield streams[0], peer
        await anyio.aclose_forcefully(streams[0])
        tasks.cancel_scope.cancel()


def open_inlet(stream: SocketStream, heard: Heard) -> Inlet:
    inlet = tap(stream, heard, memoryview(bytearray(ROOM)))
    assert inlet is not None
    inlet.set_reading(True)
    return inlet


async def test_what_is_read_is_handed_on_at_once() -> None:
    heard = Heard()
    async with connection() as (stream, peer):
        inlet = open_inlet(stream, heard)
        peer.send(b"one")
        await heard.until(b"one")
        inlet.set_reading(False)
        peer.send(b"two")
        await settle()
        assert heard.data == [b"one"]
        inlet.set_reading(True)
        await heard.until(b"onetwo")
        peer.shutdown(socket.SHUT_WR)
        await heard.until_ended("eof")
        inlet.set_reading(False)
        inlet.set_reading(True)  # must not tell the end again
        await settle()
        assert heard.ends == ["eof"]


async def test_what_came_before_is_handed_on_first() -> None:
    heard = Heard()
    async with connection() as (stream, peer):
        peer.send(b"early")
        peer.shutdown(socket.SHUT_WR)
        await settle()
        open_inlet(stream, heard)
        await heard.until(b"early")
        await heard.until_ended("eof")


async def test_what_came_before_waits_as_well() -> None:
    heard = Heard(lambda: inlet.set_reading(False))
    async with connection() as (stream, peer):
        for piece in (b"one", b"two"):
            peer.send(piece)
            await settle()
        peer.shutdown(socket.SHUT_WR)
        await settle()
        inlet = open_inlet(stream, heard)
        await settle()
        assert heard.data == [b"one"]
        assert heard.ends == []
        inlet.set_reading(True)
        await heard.until(b"onetwo")
        inlet.set_reading(True)
        await heard.until_ended("eof")


async def test_a_connection_that_is_lost() -> None:
    heard = Heard()
    async with connection() as (stream, peer):
        inlet = open_inlet(stream, heard)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        await heard.until_ended("loss")
        inlet.set_reading(False)
        with pytest.raises(anyio.BrokenResourceError):  # the stream knows it, too
            await stream.send(b"x")


async def test_a_stream_that_is_stopped_says_nothing() -> None:
    heard = Heard()
    async with connection() as (stream, peer):
        open_inlet(stream, heard).stop()
        peer.send(b"x")
        await settle()
        peer.shutdown(socket.SHUT_WR)
        await settle()
    await settle()
    assert heard.data == []
    assert heard.ends == []


async def test_what_the_stream_sends_waits_for_the_peer() -> None:
    async with connection() as (stream, peer), anyio.create_task_group() as tasks:
        open_inlet(stream, Heard())
        tasks.start_soon(stream.send, bytes(16_000_000))
        await settle()
        peer.setblocking(False)
        got = 0
        with anyio.fail_after(20):
            while got < 16_000_000:
                try:
                    got += len(peer.recv(1_000_000))
                except BlockingIOError:
                    await anyio.lowlevel.checkpoint()


async def test_streams_that_have_much_to_read_take_turns() -> None:
    order: list[str] = []
    one, two = Heard(lambda: order.append("one")), Heard(lambda: order.append("two"))
    async with connection() as (first, peer), connection() as (second, other):
        inlets = [tap(first, one, memoryview(bytearray(ROOM))), tap(second, two, memoryview(bytearray(ROOM)))]
        for sender in (peer, other):
            sender.send(bytes(8 * ROOM))
        for inlet in inlets:
            assert inlet is not None
            inlet.set_reading(True)
        await one.until(bytes(8 * ROOM))
        await two.until(bytes(8 * ROOM))
    assert order in (["one", "two"] * 8, ["two", "one"] * 8)


async def test_a_stream_that_is_closing_or_of_another_kind_has_no_inlet() -> None:
    async with connection() as (stream, _):
        assert tap(StapledByteStream(stream, stream), Heard(), memoryview(b"")) is None
        await stream.aclose()
        assert tap(stream, Heard(), memoryview(b"")) is None


async def test_a_protocol_of_another_kind_is_left_alone() -> None:
    async with connection() as (stream, _):
        transport: asyncio.Transport = getattr(stream, "_transport")  # noqa: B009 - private to anyio
        protocol = asyncio.Protocol()
        transport.set_protocol(protocol)
        assert tap(stream, Heard(), memoryview(b"")) is None
        assert transport.get_protocol() is protocol
