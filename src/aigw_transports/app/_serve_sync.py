"""`aigw serve` and `aigw mock` on blocking sockets and threads: what `_serve` does, without an event loop."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from typing import TYPE_CHECKING

from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto.gateway import GatewayEngine
from aigw_proto.mock import MockEngine

from ..sync import Driver, listen
from ._serve import LOOPBACK, announce, gateway_on, listen_error, raise_file_limit, redirected, server_tls, shown

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator

    from aigw_proto.mock import MockFault

    from .config import Configuration
    from .log import LogSink

__all__ = ["run_mock_in_threads", "run_serve_in_threads"]


def run_serve_in_threads(configuration: Configuration, log: LogSink, *, with_mock: bool) -> int:
    """Serve until drained; return the exit status."""
    raise_file_limit()
    server, config = configuration.server, configuration.gateway
    tls = server_tls(server)
    listeners = open_listeners(server.host, server.port)
    with contextlib.ExitStack() as stack:
        if with_mock:
            log.caution("every answer comes from the built-in fake provider")
            config = redirected(config, stack.enter_context(_running(_mock_engine(None), log)))
        engine: GatewayEngine = gateway_on(config, _epoch())
        driver = Driver(engine, journal=log.journal, log=log.log)
        return _run_until_signal(driver, listeners, tls, "ws" if tls is None else "wss", server.drain_seconds, log)


def run_mock_in_threads(host: str, port: int, fault: MockFault | None, log: LogSink) -> int:
    """Serve the fake provider until a signal; return the exit status."""
    raise_file_limit()
    driver = Driver(_mock_engine(fault), journal=log.journal, log=log.log)
    return _run_until_signal(driver, open_listeners(host, port), None, "http", 0.0, log)


def open_listeners(host: str, port: int) -> list[socket.socket]:
    """Listen on `host:port`. Raises `StartError` with one line for a person."""
    try:
        return listen(host, port)
    except (OSError, UnicodeError, OverflowError) as error:
        raise listen_error(host, port, error) from None


@contextlib.contextmanager
def _running(engine: MockEngine, log: LogSink) -> Generator[int, None, None]:
    """Run `engine` in a thread, on a free loopback port, which is what the context gives, until the context ends."""
    started = threading.Event()
    driver = Driver(engine, log=log.log)
    listeners = open_listeners(LOOPBACK, 0)

    def begun(_: object) -> None:
        started.set()

    thread = threading.Thread(target=driver.run, args=(listeners,), kwargs={"started": begun}, name="aigw-mock")
    thread.start()
    started.wait()
    try:
        yield driver.addresses[0][1]
    finally:
        driver.stop()
        thread.join()


def _run_until_signal(
    driver: Driver[Input],
    listeners: list[socket.socket],
    tls: ssl.SSLContext | None,
    scheme: str,
    drain_seconds: float,
    log: LogSink,
) -> int:
    status = 0
    draining = False

    def end(number: signal.Signals) -> None:
        """In the driver's turn, which is the only one that may ask the engine for something."""
        nonlocal status, draining
        if draining or not driver.running:
            status = 128 + number
            driver.stop()
        else:
            draining = True
            log.note("draining", signal=number.name, seconds=drain_seconds)
            driver.feed(ShutdownRequested(drain_seconds))

    def started(_: object) -> None:
        announce(f"listening on {scheme}://{shown(*driver.addresses[0])}")

    with _told_of_signals(lambda number: driver.owner.post(end, number)):
        driver.run(listeners, tls=tls, started=started)
    return status


@contextlib.contextmanager
def _told_of_signals(tell: Callable[[signal.Signals], object]) -> Generator[None, None, None]:
    """Call `tell()` with each SIGINT and SIGTERM, in a thread of its own, for a block in the main thread.

    A handler would not do: Python calls it in the main thread, and when that is about to wait in this very moment, it
    waits first. The bytes of `set_wakeup_fd()` are written at once.
    """
    wanted = (signal.SIGINT, signal.SIGTERM)
    near, far = socket.socketpair()

    def listen_to_it() -> None:
        while number := near.recv(1):
            if number[0] in wanted:
                tell(signal.Signals(number[0]))

    with near, far:
        far.setblocking(False)
        thread = threading.Thread(target=listen_to_it, name="aigw-signals", daemon=True)
        thread.start()
        fd_before = signal.set_wakeup_fd(far.fileno())
        before = {number: signal.signal(number, _ignore) for number in wanted}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(fd_before)
            far.close()
            thread.join()


def _ignore(number: int, frame: object) -> None:
    """Be a handler, so that the signal is told of; `SIG_IGN` would not be one."""


def _mock_engine(fault: MockFault | None) -> MockEngine:
    return MockEngine(fault=fault, epoch_unix_seconds=_epoch())


def _epoch() -> float:
    return time.time() - time.monotonic()
