from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import socket
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketAttribute, SocketStream

from aigw_proto._effects import CloseHow, Connect, Deliver, Journal, Log, LogLevel, TlsPolicy
from aigw_proto._inputs import (
    BytesReceived,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import Engine, LinkId
from aigw_proto.testing import SCENARIOS, Addresses, Checked, Scenario, ToyEngine, check_driver
from aigw_transports import _asyncio_connect, _asyncio_link, asyncio_protocol
from aigw_transports import anyio as on_anyio
from aigw_transports._anyio_link import _reset_on_close
from aigw_transports._anyio_tls import SecureStream
from aigw_transports.asyncio_protocol import Driver, listen, serve
from support import certificates
from support.loops import LOOPS, each_loop


class AsyncioDriver:
    """The asyncio driver under test, on one event loop."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.options = options

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        anyio.run(self.main, listener, connector, backend_options=self.options)

    async def main(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        with socket.socket() as taken, anyio.fail_after(30):
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connecting is refused, and nobody else gets it
            closed_port: int = taken.getsockname()[1]
            async with anyio.create_task_group() as tasks:
                driver: Driver[Input] = await tasks.start(functools.partial(serve, listener))
                host, port = driver.addresses[0]
                addresses = Addresses(host, port, closed_port, "x" * 64 + ".invalid")  # no name has so long a label
                await Driver(connector(addresses)).run()
                driver.feed(ShutdownRequested(0.0))


@pytest.mark.parametrize("loop", list(LOOPS))
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_check_driver(scenario: Scenario, loop: str) -> None:
    check_driver(lambda: AsyncioDriver(LOOPS[loop]), (scenario,))


LINK = LinkId(0)


class Server(ToyEngine):
    """Echoes; notes, logs and delivers what it gets; does what special messages ask for; ends when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Input] = []
        self.links: list[LinkId] = []

    def received(self, event: Input) -> None:
        self.seen.append(event)
        match event:
            case LinkAccepted(link):
                self.links.append(link)
            case BytesReceived(link, data):
                self.message(link, data)
            case PeerClosed(link):
                self.close(link)
                self.links.remove(link)
            case ShutdownRequested():
                for link in self.links:
                    self.close(link)
                self.drain()
            case _:
                pass

    def message(self, link: LinkId, data: bytes) -> None:
        if data == b"raise":
            raise ZeroDivisionError
        self.ask(Journal(data))
        self.ask(Log(LogLevel.INFO, "got", {"link": link, "bytes": len(data)}))
        self.ask(Deliver(7, data))
        self.send(link, data)


Started = AsyncGenerator[tuple[Driver[Input], SocketStream], None]


@asynccontextmanager
async def serving(engine: Engine[Input], **options: Any) -> Started:
    """Serve on loopback and connect to it; yields the driver and the client's stream."""
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            driver: Driver[Input] = await tasks.start(functools.partial(serve, Checked(engine), **options))
            async with await anyio.connect_tcp(*driver.addresses[0]) as stream:
                yield driver, stream


def ignore(line: Log) -> None:
    pass


async def dial(listener: socket.socket) -> SocketStream:
    return await anyio.connect_tcp(*listener.getsockname())


async def provoke(listener: socket.socket) -> None:
    async with await dial(listener) as stream:
        await stream.send(b"raise")
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            await stream.receive()


@pytest.mark.anyio
@each_loop
async def test_serving() -> None:
    sinks: dict[str, list[object]] = {"journal": [], "log": [], "deliver": []}
    engine = Server()
    async with serving(engine, **{name: sink.append for name, sink in sinks.items()}) as (driver, stream):
        assert driver.addresses[0][0] == "127.0.0.1"
        assert driver.running
        port = stream.extra(SocketAttribute.local_port)
        await stream.send(b"hello")
        assert await stream.receive() == b"hello"
        driver.feed(ShutdownRequested(0.0))
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
    assert engine.seen[0] == LinkAccepted(LINK, f"127.0.0.1:{port}")
    assert sinks == {
        "journal": [b"hello"],
        "log": [Log(LogLevel.INFO, "got", {"link": 0, "bytes": 5})],
        "deliver": [Deliver(7, b"hello")],
    }
    with pytest.raises(RuntimeError, match="not running"):
        driver.feed(ShutdownRequested(0.0))


@pytest.mark.anyio
@each_loop
async def test_serving_with_tls(tmp_path: Path) -> None:
    async with serving(Server(), tls=certificates.server(tmp_path), log=ignore) as (driver, stream):
        secure = SecureStream(stream, certificates.client(), "127.0.0.1")
        await secure.handshake()
        await secure.send(b"hello")
        assert await secure.receive() == b"hello"
        driver.feed(ShutdownRequested(0.0))
        with pytest.raises(anyio.EndOfStream):
            await secure.receive()
        await secure.aclose()


@pytest.mark.anyio
@each_loop
async def test_connections_that_something_else_accepts(tmp_path: Path) -> None:
    engine = Server()
    path = str(tmp_path / "socket")
    async with serving(engine) as (driver, _):
        server = await asyncio.get_running_loop().create_unix_server(lambda: driver.accept("a neighbour"), path)
        async with await anyio.connect_unix(path) as stream:
            await stream.send(b"hello")
            assert await stream.receive() == b"hello"
        server.close()
        driver.feed(ShutdownRequested(0.0))
    assert LinkAccepted(LinkId(2), "a neighbour") in engine.seen


@pytest.mark.anyio
@each_loop
async def test_an_exception_of_the_engine_ends_everything_and_comes_out() -> None:
    with anyio.fail_after(20):
        [listener] = await listen()
        driver = Driver(Server())
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(provoke, listener)
            with pytest.raises(ZeroDivisionError):
                await driver.run([listener])
    assert not driver.running


class FailsAtOnce(ToyEngine):
    """Raises in the first turn of its driver."""

    def __init__(self) -> None:
        super().__init__()
        self.deadline = 0.0

    def woken(self) -> None:
        raise ZeroDivisionError


@pytest.mark.anyio
@each_loop
async def test_an_exception_in_the_first_turn_comes_out() -> None:
    with anyio.fail_after(20), pytest.raises(ZeroDivisionError):
        await Driver(FailsAtOnce()).run()


class FailsLater(FailsAtOnce):
    """Raises at a deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.first = True

    def woken(self) -> None:
        if not self.first:
            raise ZeroDivisionError
        self.first = False
        self.deadline = self.now


@pytest.mark.anyio
@each_loop
async def test_an_exception_at_a_deadline_comes_out() -> None:
    with anyio.fail_after(20), pytest.raises(ZeroDivisionError):
        await Driver(FailsLater()).run()


@pytest.mark.anyio
@each_loop
async def test_a_sink_that_raises_ends_everything() -> None:
    def full(entry: object) -> None:
        raise OSError("disk full")

    with anyio.fail_after(20):
        [listener] = await listen()
        async with anyio.create_task_group() as tasks:
            with pytest.raises(OSError, match="disk full"):
                await run_and_send(Driver(Server(), journal=full), listener, tasks)


async def run_and_send(driver: Driver[Input], listener: socket.socket, tasks: anyio.abc.TaskGroup) -> None:
    async def send() -> None:
        async with await dial(listener) as stream:
            await stream.send(b"hello")
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                await stream.receive()

    tasks.start_soon(send)
    await driver.run([listener])


@pytest.mark.anyio
@each_loop
async def test_cancelling_resets_what_is_open() -> None:
    with anyio.fail_after(20):
        [listener] = await listen()
        driver = Driver(Checked(Server()))
        async with await dial(listener) as stream:
            async with anyio.create_task_group() as tasks:
                await tasks.start(driver.run, [listener])
                await stream.send(b"hello")
                await stream.receive()
                tasks.cancel_scope.cancel()
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
    assert not driver.running
    assert not driver._sockets


async def read_to_the_end(stream: SocketStream) -> None:
    with contextlib.suppress(anyio.EndOfStream):
        while True:
            await stream.receive()


class Parting(Server):
    """Says more than the kernel takes, closes and drains."""

    def message(self, link: LinkId, data: bytes) -> None:
        self.send(link, bytes(64 * 1024 * 1024))
        self.close(link)
        self.drain()


@pytest.mark.anyio
@each_loop
async def test_a_drained_driver_waits_for_what_is_flushed_unless_it_is_cancelled() -> None:
    with anyio.fail_after(20):
        [listener] = await listen()
        driver = Driver(Checked(Parting()))
        async with await dial(listener) as stream:
            async with anyio.create_task_group() as tasks:
                await tasks.start(driver.run, [listener])
                await stream.send(b"hello")
                while driver.running:
                    await anyio.lowlevel.checkpoint()
                assert len(driver._sockets) == 1
                tasks.cancel_scope.cancel()
            with pytest.raises(anyio.BrokenResourceError):
                await read_to_the_end(stream)


@pytest.mark.anyio
@each_loop
async def test_a_drained_driver_gives_up_whom_it_cannot_flush_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_asyncio_link, "FLUSH_SECONDS", 0.05)
    with anyio.fail_after(20):
        [listener] = await listen()
        async with await dial(listener) as stream:
            await stream.send(b"hello")
            await Driver(Checked(Parting())).run([listener])


@pytest.mark.anyio
@each_loop
async def test_cancelling_as_asyncio_does() -> None:
    [listener] = await listen()
    task = asyncio.create_task(Driver(Checked(Server())).run([listener]))
    async with await dial(listener) as stream:
        await stream.send(b"hello")
        await stream.receive()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(anyio.BrokenResourceError):
            await stream.receive()


@pytest.mark.anyio
@each_loop
async def test_a_driver_runs_once() -> None:
    driver = Driver(FailsAtOnce())
    with pytest.raises(RuntimeError, match="not running"):
        driver.feed(ShutdownRequested(0.0))
    with pytest.raises(ZeroDivisionError):
        await driver.run()
    with pytest.raises(RuntimeError, match="runs once"):
        await driver.run()


@pytest.mark.anyio
@each_loop
async def test_an_address_that_is_taken() -> None:
    [listener] = await listen()
    with listener, pytest.raises(OSError, match=r"(?i)address already in use"):
        await serve(Server(), port=listener.getsockname()[1])


class Tired(socket.socket):
    """A listener that never accepts."""

    def accept(self) -> tuple[socket.socket, Any]:
        raise OSError(errno.EBADF, "tired")


@pytest.mark.anyio
@each_loop
async def test_a_listener_that_fails_for_good_ends_the_driver() -> None:
    with anyio.fail_after(20):
        listener = Tired()
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        async with await dial(listener):
            with pytest.raises(OSError, match="tired"):
                await Driver(Checked(Server())).run([listener])


@pytest.mark.anyio
@each_loop
async def test_a_connection_that_comes_after_the_end_is_closed() -> None:
    with anyio.fail_after(20):
        driver = Driver(FailsAtOnce())
        with pytest.raises(ZeroDivisionError):
            await driver.run()
        link = driver.accept("late")
        assert link.closing
        assert not driver._links


class Forgetful(Server):
    """Ends without closing its links: a bug that its driver must survive."""

    def received(self, event: Input) -> None:
        if isinstance(event, ShutdownRequested):
            self.drain()
        else:
            super().received(event)


@pytest.mark.anyio
@each_loop
async def test_links_that_the_engine_forgot_are_reset() -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            driver: Driver[Input] = await tasks.start(functools.partial(serve, Forgetful()))
            async with await anyio.connect_tcp(*driver.addresses[0]) as stream:
                await stream.send(b"hello")
                await stream.receive()
                driver.feed(ShutdownRequested(0.0))
                with pytest.raises(anyio.BrokenResourceError):
                    await stream.receive()


@pytest.mark.anyio
@each_loop
async def test_a_bug_in_a_task_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(host: str, port: int) -> socket.socket:
        raise ZeroDivisionError

    monkeypatch.setattr(asyncio_protocol, "open_socket", broken)
    with anyio.fail_after(20), pytest.raises(ZeroDivisionError):
        await Driver(Checked(Caller(Connect(LinkId(1), "127.0.0.1", 1)))).run()


# ---- connecting ----------------------------------------------------------------------------------------------------


class Caller(ToyEngine):
    """Connects, asks, takes the answer, and drains; keeps what it is fed."""

    def __init__(self, effect: Connect) -> None:
        super().__init__()
        self.effect = effect
        self.deadline = 0.0
        self.seen: list[Input] = []

    def woken(self) -> None:
        self.ask(self.effect)

    def received(self, event: Input) -> None:
        self.seen.append(event)
        match event:
            case LinkConnected(link):
                self.send(link, b"hello")
            case ConnectFailed():
                self.drain()
            case _:
                self.close(self.effect.link)
                self.drain()


async def call(host: str, port: int, tls: TlsPolicy | None = None, alpn: tuple[str, ...] = ()) -> list[Input]:
    """Return what the engine is fed."""
    engine = Caller(Connect(LinkId(1), host, port, tls, alpn))
    with anyio.fail_after(20):
        await Driver(Checked(engine)).run()
    return engine.seen


async def failure(host: str, port: int, tls: TlsPolicy | None = None) -> ConnectFailed:
    """Return how a connect fails, which must be as it is with the anyio driver."""
    [failed] = await call(host, port, tls)
    assert isinstance(failed, ConnectFailed)
    assert failed.detail.startswith(f"{host}:{port}: ")
    other = Caller(Connect(LinkId(1), host, port, tls))
    with anyio.fail_after(20):
        await on_anyio.Driver(Checked(other)).run()
    assert [failed] == other.seen
    return failed


@asynccontextmanager
async def echoing(folder: Path) -> AsyncGenerator[int, None]:
    """Serve with TLS; yields the port."""
    async with anyio.create_task_group() as tasks:
        run = functools.partial(serve, Server(), tls=certificates.server(folder), log=ignore)
        driver: Driver[Input] = await tasks.start(run)
        yield driver.addresses[0][1]
        driver.feed(ShutdownRequested(0.0))


@pytest.fixture
def policy(tmp_path: Path) -> TlsPolicy:
    authority = tmp_path / "authority.pem"
    certificates.authority().cert_pem.write_to_path(str(authority))
    return TlsPolicy(str(authority))


@pytest.mark.anyio
@each_loop
async def test_connecting_with_tls(tmp_path: Path, policy: TlsPolicy) -> None:
    async with echoing(tmp_path) as port:
        assert await call("127.0.0.1", port, policy, ("http/1.1",)) == [
            LinkConnected(LinkId(1), "http/1.1"),
            BytesReceived(LinkId(1), b"hello"),
        ]
        assert (await call("127.0.0.1", port, policy))[0] == LinkConnected(LinkId(1), None)


@pytest.mark.anyio
@each_loop
async def test_connects_that_fail() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        assert (await failure("127.0.0.1", port)).failure is ConnectFailure.REFUSED
        assert (await failure("127.0.0.1", port, TlsPolicy())).failure is ConnectFailure.REFUSED
    assert await call("127.0.0.1", 65_536) == [
        ConnectFailed(LinkId(1), ConnectFailure.OTHER, "127.0.0.1:65536: connect(): port must be 0-65535.")
    ]
    assert (await failure("x" * 64, 80)).failure is ConnectFailure.NAME
    assert (await failure("\ud800", 80)).failure is ConnectFailure.NAME


@pytest.mark.anyio
@each_loop
async def test_certificates_that_are_not_accepted(tmp_path: Path, policy: TlsPolicy) -> None:
    async with echoing(tmp_path) as port:
        assert (await failure("127.0.0.1", port, TlsPolicy())).failure is ConnectFailure.CERTIFICATE
        failed = await failure("127.0.0.2", port, policy) if await reaches("127.0.0.2", port) else None
        assert failed is None or failed.failure is ConnectFailure.CERTIFICATE
        missing = TlsPolicy(str(tmp_path / "missing.pem"))
        assert (await failure("127.0.0.1", port, missing)).failure is ConnectFailure.TLS


async def reaches(host: str, port: int) -> bool:
    try:
        await (await anyio.connect_tcp(host, port)).aclose()
    except OSError:
        return False
    return True


@pytest.mark.anyio
@each_loop
@pytest.mark.parametrize("manner", ["garbage", "end", "reset"])
async def test_servers_that_do_not_shake_hands(manner: str) -> None:
    async def serve_badly(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            if manner == "garbage":
                await stream.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            elif manner == "reset":
                _reset_on_close(stream)

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(listener.serve, serve_badly)
        failed = await failure("127.0.0.1", listener.extra(SocketAttribute.local_port), TlsPolicy())
        assert failed.failure is ConnectFailure.TLS
        tasks.cancel_scope.cancel()


@pytest.mark.anyio
@each_loop
async def test_a_name_that_tls_cannot_ask_for(monkeypatch: pytest.MonkeyPatch) -> None:
    real = _asyncio_connect.open_socket
    with socket.create_server(("127.0.0.1", 0)) as listener:

        async def open_socket(host: str, port: int) -> socket.socket:
            return await real("127.0.0.1", listener.getsockname()[1])

        monkeypatch.setattr(asyncio_protocol, "open_socket", open_socket)
        engine = Caller(Connect(LinkId(1), ".", 443, TlsPolicy()))
        with anyio.fail_after(20):
            await Driver(Checked(engine)).run()
    [failed] = engine.seen
    assert isinstance(failed, ConnectFailed)
    assert failed.failure is ConnectFailure.TLS


class Fickle(ToyEngine):
    """Withdraws its connect when told to shut down."""

    def __init__(self, port: int, tls: TlsPolicy | None = None) -> None:
        super().__init__()
        self.port = port
        self.tls = tls
        self.deadline = 0.0

    def woken(self) -> None:
        self.link = self.connect("127.0.0.1", self.port, self.tls)

    def received(self, event: Input) -> None:
        assert isinstance(event, ShutdownRequested)
        self.close(self.link, CloseHow.FLUSH)
        self.drain()


@pytest.mark.anyio
@each_loop
@pytest.mark.parametrize("fails", [False, True])
async def test_a_connect_that_ends_in_the_moment_it_is_withdrawn(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    real = _asyncio_connect.open_socket

    async def open_late(host: str, port: int) -> socket.socket:
        if fails:
            driver.feed(ShutdownRequested(0.0))
            raise OSError(errno.ECONNREFUSED, "too late")
        opened = await real(host, port)
        driver.feed(ShutdownRequested(0.0))
        return opened

    monkeypatch.setattr(asyncio_protocol, "open_socket", open_late)
    with anyio.fail_after(20), socket.create_server(("127.0.0.1", 0)) as listener:
        driver = Driver(Checked(Fickle(listener.getsockname()[1])))
        await driver.run()


@pytest.mark.anyio
@each_loop
async def test_a_connect_that_is_withdrawn_during_the_handshake() -> None:
    with anyio.fail_after(20), socket.create_server(("127.0.0.1", 0)) as listener:
        driver = Driver(Checked(Fickle(listener.getsockname()[1], TlsPolicy())))
        async with anyio.create_task_group() as tasks:
            await tasks.start(driver.run)
            while not driver._sockets:
                await anyio.lowlevel.checkpoint()
            driver.feed(ShutdownRequested(0.0))
        accepted, _ = listener.accept()
        with accepted:
            accepted.settimeout(20)
            while accepted.recv(65536):
                pass


@pytest.mark.anyio
@each_loop
async def test_cancelling_during_a_handshake() -> None:
    with anyio.fail_after(20), socket.create_server(("127.0.0.1", 0)) as listener:
        driver = Driver(Checked(Fickle(listener.getsockname()[1], TlsPolicy())))
        async with anyio.create_task_group() as tasks:
            await tasks.start(driver.run)
            while not driver._sockets:
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    assert not driver._sockets
    assert not driver._tasks


# ---- the timer -----------------------------------------------------------------------------------------------------


class Punctual(ToyEngine):
    """Wants to be woken at several times, in an order of its own, and never early."""

    def __init__(self, *delays: float) -> None:
        super().__init__()
        began = time.monotonic()
        self.deadlines = [began + delay for delay in delays]
        self.deadline = self.deadlines.pop(0)
        self.wakes = 0

    def handle_timeout(self, now: float) -> None:
        self.wakes += 1
        super().handle_timeout(now)

    def woken(self) -> None:
        if self.deadlines:
            self.deadline = max(self.now, self.deadlines.pop(0))
        else:
            self.drain()


@pytest.mark.anyio
@each_loop
async def test_waking_in_time_and_not_too_often() -> None:
    engine = Punctual(0.0104, 0.0206, 0.0309, 0.0309)
    with anyio.fail_after(20):
        await Driver(Checked(engine)).run()
    assert engine.wakes <= 5  # that of the start included


class Restless(Server):
    """Moves its deadline with every message; drains at the end of the last."""

    def message(self, link: LinkId, data: bytes) -> None:
        self.deadline = self.now + (60.0 if data == b"later" else 0.001)
        self.send(link, data)

    def woken(self) -> None:
        for link in self.links:
            self.close(link)
        self.drain()


@pytest.mark.anyio
@each_loop
async def test_a_deadline_that_moves() -> None:
    async with serving(Restless()) as (driver, stream):
        for _ in range(2):
            await stream.send(b"later")
            await stream.receive()
        assert driver.running
        await stream.send(b"sooner")
        assert await stream.receive() == b"sooner"
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()


@pytest.mark.anyio
@each_loop
async def test_a_timer_that_is_early_is_set_again() -> None:
    async with serving(Restless()) as (driver, stream):
        await stream.send(b"later")
        await stream.receive()
        driver._keep_time()
        assert driver._timer is not None
        assert driver._timer_deadline > time.monotonic() + 1
        driver._deadline = float("inf")
        driver._keep_time()
        assert driver._timer_deadline == float("inf")
        await stream.send(b"sooner")
        assert await stream.receive() == b"sooner"
        with pytest.raises(anyio.EndOfStream):
            await stream.receive()
