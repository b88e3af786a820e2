from __future__ import annotations

import errno
import socket
from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel
import pytest

from aigw_transports import _asyncio_connect
from aigw_transports._asyncio_connect import open_socket, set_up
from support.loops import each_loop

pytestmark = [pytest.mark.anyio, each_loop]
Address = tuple[socket.AddressFamily, tuple[str | int, ...]]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_host_that_listens(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with anyio.fail_after(20):
            opened = await open_socket(host, listener.getsockname()[1])
        with opened:
            assert opened.getpeername() == listener.getsockname()
            assert not opened.getblocking()
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_port_where_nobody_listens() -> None:
    with socket.socket() as taken, anyio.fail_after(20):
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await open_socket("127.0.0.1", taken.getsockname()[1])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("port", [-1, 65_536])
async def test_a_port_that_cannot_be(host: str, port: int) -> None:
    with anyio.fail_after(20), pytest.raises(OverflowError, match="port must be 0-65535"):
        await open_socket(host, port)


@pytest.mark.parametrize("host", ["x" * 64, "\ud800", "é" * 300])
async def test_a_name_that_cannot_be(host: str) -> None:
    with anyio.fail_after(20), pytest.raises((UnicodeError, socket.gaierror)):
        await open_socket(host, 80)


@pytest.mark.parametrize("host", ["::1", "fe80::1%lo"])
async def test_an_address_is_not_looked_up(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setattr(anyio, "getaddrinfo", None)
    assert await _asyncio_connect._find(host, 80) == [(socket.AF_INET6, (host, 80))]


@pytest.mark.parametrize(
    ("found", "order"),
    [
        ("a b c", "a b c"),
        ("a b ::1 ::2", "::1 a ::2 b"),
        ("::1 a b c", "::1 a b c"),
        ("::1 ::2 a ::3", "::1 a ::2 ::3"),
        ("::1", "::1"),
    ],
)
async def test_families_take_turns(monkeypatch: pytest.MonkeyPatch, found: str, order: str) -> None:
    async def look_up(host: str, port: None, **options: int) -> list[object]:
        assert (host, port, options) == ("name", None, {"type": socket.SOCK_STREAM})
        v6, v4, tcp = socket.AF_INET6, socket.AF_INET, socket.SOCK_STREAM
        return [
            (v6, tcp, 6, "", (name, 0, 0, 2)) if ":" in name else (v4, tcp, 6, "", (name, 0)) for name in found.split()
        ]

    monkeypatch.setattr(anyio, "getaddrinfo", look_up)
    addresses = await _asyncio_connect._find("name", 80)
    assert [name for _, (name, *_) in addresses] == order.split()
    assert all(address == (address[0], 80, 0, 2) for family, address in addresses if family == socket.AF_INET6)


class Fate:
    """Decides how attempts at addresses end, and remembers what became of their sockets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **ends: Callable[[], Awaitable[None]]) -> None:
        self.ends = ends
        self.tried: list[str] = []
        self.opened: dict[str, socket.socket] = {}

        async def find(host: str, port: int) -> list[Address]:
            return [(socket.AF_INET, (name, port)) for name in ends]

        async def connect(address: Address) -> socket.socket:
            name = str(address[1][0])
            self.tried.append(name)
            await self.ends[name]()
            self.opened[name] = socket.socket()
            return self.opened[name]

        monkeypatch.setattr(_asyncio_connect, "_find", find)
        monkeypatch.setattr(_asyncio_connect, "_connect", connect)


async def race() -> socket.socket:
    with anyio.fail_after(20):
        return await open_socket("name", 80)


async def connects() -> None:
    pass


async def fails() -> None:
    raise OSError(errno.EHOSTUNREACH, "no route")


async def test_the_next_address_is_tried_when_one_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    fate = Fate(monkeypatch, one=fails, two=connects, three=connects)
    with await race() as opened:
        assert opened is fate.opened["two"]
    assert fate.tried == ["one", "two"]


async def test_the_next_address_is_tried_when_one_takes_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_connect, "_ATTEMPT_SECONDS", 0.01)
    fate = Fate(monkeypatch, one=anyio.sleep_forever, two=connects)
    with await race() as opened:
        assert opened is fate.opened["two"]
    assert fate.tried == ["one", "two"]


async def test_an_early_attempt_may_win_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_connect, "_ATTEMPT_SECONDS", 0.01)
    second_is_on = anyio.Event()

    async def hang() -> None:
        second_is_on.set()
        await anyio.sleep_forever()

    fate = Fate(monkeypatch, one=second_is_on.wait, two=hang)
    with await race() as opened:
        assert opened is fate.opened["one"]


async def test_when_two_win_one_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_connect, "_ATTEMPT_SECONDS", 0.01)
    both = anyio.Event()

    async def last() -> None:
        both.set()

    fate = Fate(monkeypatch, one=both.wait, two=last)
    with await race():
        await anyio.lowlevel.checkpoint()
        await anyio.lowlevel.checkpoint()
        assert sorted(opened.fileno() >= 0 for opened in fate.opened.values()) in ([False, True], [True])


async def test_all_that_went_wrong_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Fate(monkeypatch, one=fails, two=fails)
    with anyio.fail_after(20), pytest.raises(ExceptionGroup) as caught:
        await open_socket("name", 80)
    assert len(caught.value.exceptions) == 2


async def test_cancelling_ends_all_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_connect, "_ATTEMPT_SECONDS", 0.01)
    second_is_on = anyio.Event()

    async def hang() -> None:
        second_is_on.set()
        await anyio.sleep_forever()

    Fate(monkeypatch, one=anyio.sleep_forever, two=hang)
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(open_socket, "name", 80)
            await second_is_on.wait()
            tasks.cancel_scope.cancel()
    await anyio.lowlevel.checkpoint()


async def test_a_unix_socket_has_no_delay_to_switch_off() -> None:
    near, far = socket.socketpair()
    with near, far:
        set_up(near)
        assert not near.getblocking()
