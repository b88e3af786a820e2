from __future__ import annotations

import errno
import functools
import socket
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream, Listener, SocketAttribute, SocketStream, TaskGroup

from aigw_proto._effects import Connect, Deliver, Journal, Log, LogLevel
from aigw_proto._inputs import (
    BytesReceived,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkAccepted,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import Engine, LinkId
from aigw_proto.testing import SCENARIOS, Addresses, Checked, Scenario, ToyEngine, check_driver
from aigw_transports import _anyio_driver
from aigw_transports._anyio_connect import open_stream
from aigw_transports.anyio import Driver, log_to_standard_library, serve


class AnyioDriver:
    """The anyio driver under test, on one backend."""

    def __init__(self, backend: str) -> None:
        self.backend = backend

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        anyio.run(self.main, listener, connector, backend=self.backend)

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


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    name = request.param
    assert isinstance(name, str)
    return name


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_check_driver(scenario: Scenario, backend: str) -> None:
    check_driver(lambda: AnyioDriver(backend), (scenario,))


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
async def serving(engine: Engine[Input], **sinks: Any) -> Started:
    """Serve on loopback and connect to it; yields the driver and the client's stream."""
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            driver: Driver[Input] = await tasks.start(functools.partial(serve, Checked(engine), **sinks))
            async with await anyio.connect_tcp(*driver.addresses[0]) as stream:
                yield driver, stream


@pytest.mark.anyio
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
async def test_log_lines_go_to_the_standard_library_unless_told_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "aigw")
    async with serving(Server()) as (driver, stream):
        await stream.send(b"hello")
        await stream.receive()
        driver.feed(ShutdownRequested(0.0))
    assert caplog.messages == ["got link=0 bytes=5"]


def test_a_logged_exception_keeps_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    log_to_standard_library(Log(LogLevel.ERROR, "bug", {}, ZeroDivisionError("here")))
    assert "ZeroDivisionError: here" in caplog.text


@pytest.mark.anyio
async def test_an_exception_of_the_engine_ends_everything_and_comes_out() -> None:
    engine = Server()
    with anyio.fail_after(20):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        driver = Driver(engine)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(provoke, listener.extra(SocketAttribute.local_port))
            with pytest.raises(ZeroDivisionError):
                await driver.run(listener.listeners)
    assert not driver.running


async def provoke(port: int) -> None:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        await stream.send(b"raise")
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
            await stream.receive()


class FailsAtOnce(ToyEngine):
    """Raises in the first turn of its driver."""

    def __init__(self) -> None:
        super().__init__()
        self.deadline = 0.0

    def woken(self) -> None:
        raise ZeroDivisionError


@pytest.mark.anyio
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
async def test_an_exception_at_a_deadline_comes_out() -> None:
    with anyio.fail_after(20), pytest.raises(ZeroDivisionError):
        await Driver(FailsLater()).run()


@pytest.mark.anyio
async def test_a_sink_that_raises_ends_everything() -> None:
    def full(entry: object) -> None:
        raise OSError("disk full")

    with anyio.fail_after(20):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(provoke, listener.extra(SocketAttribute.local_port))
            with pytest.raises((ZeroDivisionError, OSError)):
                await Driver(Server(), journal=full).run(listener.listeners)


@pytest.mark.anyio
async def test_cancelling_resets_what_is_open() -> None:
    with anyio.fail_after(20):
        listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
        driver = Driver(Checked(Server()))
        async with await anyio.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port)) as stream:
            async with anyio.create_task_group() as tasks:
                await tasks.start(driver.run, listener.listeners)
                await stream.send(b"hello")
                await stream.receive()
                tasks.cancel_scope.cancel()
            with pytest.raises(anyio.BrokenResourceError):
                await stream.receive()
    assert not driver.running


@pytest.mark.anyio
async def test_a_driver_runs_once() -> None:
    driver = Driver(FailsAtOnce())
    with pytest.raises(RuntimeError, match="not running"):
        driver.feed(ShutdownRequested(0.0))
    with pytest.raises(ZeroDivisionError):
        await driver.run()
    with pytest.raises(RuntimeError, match="runs once"):
        await driver.run()


@pytest.mark.anyio
async def test_an_address_that_is_taken() -> None:
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
        port = listener.extra(SocketAttribute.local_port)
        with pytest.raises(OSError, match=r"(?i)address already in use"):
            await serve(Server(), port=port)


class Tired(Listener[SocketStream]):
    """A listener that fails before it serves."""

    def __init__(self, listener: Listener[SocketStream], errors: list[int], *, wrapped: bool = False) -> None:
        self.listener = listener
        self.errors = errors
        self.wrapped = wrapped

    async def serve(self, handler: Callable[[SocketStream], Any], task_group: TaskGroup | None = None) -> None:
        if self.errors and self.wrapped:
            raise anyio.BrokenResourceError from OSError(self.errors.pop(), "tired")
        if self.errors:
            raise OSError(self.errors.pop(), "tired")
        await self.listener.serve(handler, task_group)

    async def aclose(self) -> None:
        await self.listener.aclose()

    @property
    def extra_attributes(self) -> Mapping[Any, Callable[[], Any]]:
        return {SocketAttribute.local_address: lambda: self.listener.extra(SocketAttribute.local_address)}


@pytest.mark.anyio
@pytest.mark.parametrize("wrapped", [False, True], ids=["as asyncio says it", "as trio says it"])
async def test_running_out_of_file_descriptors_is_survived(monkeypatch: pytest.MonkeyPatch, wrapped: bool) -> None:
    monkeypatch.setattr(_anyio_driver, "ACCEPT_PAUSE_SECONDS", 0.001)
    lines: list[Log] = []
    engine = Server()
    with anyio.fail_after(20):
        multi = await anyio.create_tcp_listener(local_host="127.0.0.1")
        listener = Tired(multi.listeners[0], [errno.EMFILE, errno.ECONNABORTED], wrapped=wrapped)
        driver = Driver(Checked(engine), log=lines.append)
        async with anyio.create_task_group() as tasks:
            await tasks.start(driver.run, [listener])
            async with await anyio.connect_tcp(*driver.addresses[0]) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
            driver.feed(ShutdownRequested(0.0))
    assert [line.message for line in lines] == ["cannot accept a connection"] * 2 + ["got"]


@pytest.mark.anyio
@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_listener_that_fails_for_good_ends_the_driver(wrapped: bool) -> None:
    with anyio.fail_after(20):
        multi = await anyio.create_tcp_listener(local_host="127.0.0.1")
        with pytest.raises(ExceptionGroup):
            await Driver(Checked(Server())).run([Tired(multi.listeners[0], [errno.EBADF], wrapped=wrapped)])


@pytest.mark.anyio
async def test_a_connection_that_comes_after_the_end_is_closed() -> None:
    with anyio.fail_after(20):
        async with (
            await anyio.create_tcp_listener(local_host="127.0.0.1") as listener,
            anyio.create_task_group() as tasks,
        ):
            driver = Driver(FailsAtOnce())
            with pytest.raises(ZeroDivisionError):
                await driver.run()
            tasks.start_soon(listener.serve, driver._accept)
            async with await anyio.connect_tcp("127.0.0.1", listener.extra(SocketAttribute.local_port)) as stream:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    await stream.receive()
            tasks.cancel_scope.cancel()


class Forgetful(Server):
    """Ends without closing its links: a bug that its driver must survive."""

    def received(self, event: Input) -> None:
        if isinstance(event, ShutdownRequested):
            self.drain()
        else:
            super().received(event)


@pytest.mark.anyio
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


class Fickle(ToyEngine):
    """Withdraws its connect when told to shut down."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.deadline = 0.0

    def woken(self) -> None:
        self.link = self.connect("127.0.0.1", self.port)

    def received(self, event: Input) -> None:
        assert isinstance(event, ShutdownRequested)
        self.close(self.link)
        self.drain()


@pytest.mark.anyio
@pytest.mark.parametrize("fails", [False, True])
async def test_a_connect_that_ends_in_the_moment_it_is_withdrawn(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    async def open_late(effect: Connect) -> ByteStream | ConnectFailed:
        outcome: ByteStream | ConnectFailed = ConnectFailed(effect.link, ConnectFailure.OTHER, "too late")
        with anyio.CancelScope(shield=True):
            if not fails:
                outcome = await open_stream(effect)
            driver.feed(ShutdownRequested(0.0))
        return outcome

    monkeypatch.setattr(_anyio_driver, "open_stream", open_late)
    with anyio.fail_after(20):
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            driver = Driver(Checked(Fickle(listener.extra(SocketAttribute.local_port))))
            await driver.run()


@pytest.mark.anyio
async def test_a_socket_with_a_path(tmp_path: Path) -> None:
    engine = Server()
    path = str(tmp_path / "socket")
    with anyio.fail_after(20):
        listener = await anyio.create_unix_listener(path)
        driver = Driver(Checked(engine))
        async with anyio.create_task_group() as tasks:
            await tasks.start(driver.run, [listener])
            assert driver.addresses == ((path, 0),)
            async with await anyio.connect_unix(path) as stream:
                await stream.send(b"hello")
                assert await stream.receive() == b"hello"
            driver.feed(ShutdownRequested(0.0))
