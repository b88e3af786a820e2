from __future__ import annotations

import socket
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, SocketAttribute, SocketStream

from aigw_transports._anyio_outlet import Outlet
from support.loops import each_backend

pytestmark = [pytest.mark.anyio, each_backend]
MIB = 1024 * 1024


async def connection() -> tuple[SocketStream, socket.socket]:
    """Return the two ends of a loopback connection, the second one as a socket that does not block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stream = await anyio.connect_tcp(*listener.getsockname())
        peer, _ = listener.accept()
        peer.setblocking(False)
        return stream, peer


class Tube(ByteStream):
    """A stream without a socket."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []

    async def send(self, item: bytes) -> None:
        self.sent.append(item)

    async def receive(self, max_bytes: int = 0) -> bytes:
        raise anyio.EndOfStream

    async def send_eof(self) -> None:
        raise NotImplementedError

    async def aclose(self) -> None:
        pass


async def test_what_the_kernel_takes_is_sent_at_once() -> None:
    stream, peer = await connection()
    async with stream:
        with peer:
            outlet = Outlet(stream)
            assert outlet.send_now(b"one")
            assert outlet.send_now(b"two")
            assert not outlet.waits
            assert peer.recv(100) == b"onetwo"
            await outlet.flush()  # has nothing to do


async def test_what_it_does_not_take_is_sent_when_it_does() -> None:
    with anyio.fail_after(20):
        stream, peer = await connection()
        outlet = Outlet(stream)
        async with stream, anyio.create_task_group() as tasks:
            blocks = 0
            while outlet.send_now(bytes([blocks % 256]) * 100_000):
                blocks += 1
            assert outlet.waits
            tasks.start_soon(outlet.flush)
            got = bytearray()
            with peer:
                while len(got) < (blocks + 1) * 100_000:
                    try:
                        got += peer.recv(MIB)
                    except BlockingIOError:
                        await anyio.wait_readable(peer)
            assert got == b"".join(bytes([number % 256]) * 100_000 for number in range(blocks + 1))
        assert not outlet.waits


async def test_a_stream_without_a_socket() -> None:
    tube = Tube()
    outlet = Outlet(tube)
    assert not outlet.send_now(b"one")
    assert outlet.waits
    await outlet.flush()
    assert tube.sent == [b"one"]
    assert not outlet.waits


async def test_a_broken_connection() -> None:
    stream, peer = await connection()
    async with stream:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
        outlet = Outlet(stream)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            [outlet.send_now(b"x") for _ in range(3)]


async def test_what_is_sent_to_a_closed_stream_does_not_go_to_another() -> None:
    stream, peer = await connection()
    outlet = Outlet(stream)
    number: Any = stream.extra(SocketAttribute.raw_socket).fileno()
    await stream.aclose()
    await anyio.wait_all_tasks_blocked()
    with peer, socket.socket() as heir:
        taken = [heir.fileno()]
        others: list[socket.socket] = []
        while number not in taken and len(others) < 64:  # the lowest that is free is given to the next
            others.append(socket.socket())
            taken.append(others[-1].fileno())
        try:
            with pytest.raises(OSError, match="Bad file descriptor"):
                outlet.send_now(b"x")
        finally:
            for other in others:
                other.close()
