from __future__ import annotations

import errno
import os
import socket

import anyio
import pytest
from anyio.abc import ByteStream

from aigw_proto._effects import Connect
from aigw_proto._inputs import ConnectFailed, ConnectFailure
from aigw_proto._kinds import LinkId
from aigw_transports._anyio_connect import negotiated_protocol, open_stream

pytestmark = pytest.mark.anyio
LINK = LinkId(1)


def effect(host: str = "host", port: int = 80) -> Connect:
    return Connect(LINK, host, port)


async def accept_nothing(stream: ByteStream) -> None:
    await stream.aclose()


async def test_a_plain_stream() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, accept_nothing)
        port = listener.extra(anyio.abc.SocketAttribute.local_port)
        stream = await open_stream(effect("127.0.0.1", port))
        assert not isinstance(stream, ConnectFailed)
        assert negotiated_protocol(stream) is None
        await stream.aclose()
        tasks.cancel_scope.cancel()


async def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        failed = await open_stream(effect("127.0.0.1", port))
    assert isinstance(failed, ConnectFailed)
    assert failed.failure is ConnectFailure.REFUSED
    assert failed.detail == f"127.0.0.1:{port}: {os.strerror(errno.ECONNREFUSED)}"


@pytest.mark.parametrize("port", [-1, 65_536])
async def test_a_port_that_cannot_be(port: int) -> None:
    failed = await open_stream(effect("127.0.0.1", port))
    assert isinstance(failed, ConnectFailed)
    assert failed.failure is ConnectFailure.OTHER
    assert "port must be 0-65535" in failed.detail


@pytest.mark.parametrize("host", ["x" * 64, "\ud800", "é" * 300])
async def test_a_name_that_cannot_be(host: str) -> None:
    failed = await open_stream(effect(host))
    assert isinstance(failed, ConnectFailed)
    assert failed.failure is ConnectFailure.NAME
