"""`aigw serve` and `aigw mock`: an engine on a driver, until a signal says stop.

The first SIGINT or SIGTERM asks the engine to drain; a second one ends the process at once. `aigw serve` without a
configuration, or with `--mock`, runs a second engine in the same process: a fake provider on a loopback port of its
own, which every provider's address is redirected to. It is told to stop when the gateway has drained.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import resource
import signal
import sys
import time
from typing import TYPE_CHECKING

import anyio

from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto.gateway import GatewayConfig, GatewayEngine
from aigw_proto.mock import MockEngine
from aigw_proto.providers import BaseUrl

from .._tls import BadTlsFile, server_context
from ._transports import driver_on, run_on

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence

    from anyio.abc import ByteStream, Listener, TaskStatus

    from aigw_proto._kinds import Engine
    from aigw_proto.mock import MockFault

    from ._transports import Driver, Run
    from .config import Configuration, ServerSettings
    from .log import LogSink

__all__ = [
    "LOOPBACK",
    "StartError",
    "announce",
    "drop_output",
    "gateway_engine",
    "gateway_on",
    "listen_error",
    "mock_engine",
    "open_listeners",
    "raise_file_limit",
    "redirected",
    "run_mock",
    "run_serve",
    "running",
    "server_tls",
    "shown",
]

LOOPBACK = "127.0.0.1"


class StartError(Exception):
    """The server cannot start; the message is for the person who started it."""


def run_serve(configuration: Configuration, log: LogSink, *, with_mock: bool) -> int:
    """Serve until drained; return the exit status."""
    server = configuration.server

    async def main() -> int:
        tls = server_tls(server)
        listeners = await open_listeners(server.host, server.port)
        async with contextlib.AsyncExitStack() as stack:
            config = configuration.gateway
            if with_mock:
                log.caution("every answer comes from the built-in fake provider")
                port = await stack.enter_async_context(running(mock_engine(), log, server.transport))
                config = redirected(config, port)
            driver, run = driver_on(server.transport, gateway_engine(config), listeners, log, tls=tls)
            return await _run_until_signal(driver, run, "ws" if tls is None else "wss", server.drain_seconds, log)

    return _run(main, server.transport)


def run_mock(host: str, port: int, fault: MockFault | None, transport: str, log: LogSink) -> int:
    """Serve the fake provider until a signal; return the exit status."""

    async def main() -> int:
        driver, run = driver_on(transport, mock_engine(fault), await open_listeners(host, port), log)
        return await _run_until_signal(driver, run, "http", 0.0, log)

    return _run(main, transport)


def gateway_engine(config: GatewayConfig) -> GatewayEngine:
    """Return a gateway engine on the system's randomness and wall time. Call it in the event loop."""
    return gateway_on(config, _epoch())


def gateway_on(config: GatewayConfig, epoch_unix_seconds: float) -> GatewayEngine:
    """Return a gateway engine on the system's randomness, for a driver's clock that was 0 at that time."""
    return GatewayEngine(config, random_bytes=os.urandom, epoch_unix_seconds=epoch_unix_seconds)


def mock_engine(fault: MockFault | None = None) -> MockEngine:
    """Return a fake provider on the system's wall time. Call it in the event loop."""
    return MockEngine(fault=fault, epoch_unix_seconds=_epoch())


def redirected(config: GatewayConfig, port: int) -> GatewayConfig:
    """Return `config` with every provider at the fake one on a loopback port."""
    here = BaseUrl(is_secure=False, host=LOOPBACK, port=port, path="")
    return dataclasses.replace(config, providers=config.providers.redirected(here))


@contextlib.asynccontextmanager
async def running(
    engine: Engine[Input], log: LogSink, transport: str, *, journal: bool = False
) -> AsyncGenerator[int, None]:
    """Run `engine` on a free loopback port, which is what the context gives, until the context ends."""
    driver, run = driver_on(transport, engine, await open_listeners(LOOPBACK, 0), log, journal=journal)
    async with anyio.create_task_group() as tasks:
        await tasks.start(run)
        yield driver.addresses[0][1]
        driver.feed(ShutdownRequested(0.0))


def server_tls(server: ServerSettings) -> ssl.SSLContext | None:
    """Return what a server with a certificate listens with. Raises `StartError`."""
    if server.tls_certificate is None or server.tls_key is None:
        return None
    context = server_context(server.tls_certificate, server.tls_key)
    if isinstance(context, BadTlsFile):
        raise StartError(f"cannot serve with TLS: {context.message}")
    return context


async def open_listeners(host: str, port: int) -> Sequence[Listener[ByteStream]]:
    """Listen on `host:port`. Raises `StartError` with one line for a person."""
    try:
        listener = await anyio.create_tcp_listener(local_host=host, local_port=port)
    except (OSError, UnicodeError, OverflowError) as error:
        raise listen_error(host, port, error) from None
    return listener.listeners


def listen_error(host: str, port: int, error: Exception) -> StartError:
    """Say for a person why an address cannot be listened on."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StartError(f"cannot listen on {shown(host, port)}: {reason}")


async def _run_until_signal(driver: Driver, run: Run, scheme: str, drain_seconds: float, log: LogSink) -> int:
    status = 0

    async def run_driver(*, task_status: TaskStatus[Driver]) -> None:
        await run(task_status=task_status)
        tasks.cancel_scope.cancel()

    async def watch(signals: AsyncIterator[signal.Signals]) -> None:
        nonlocal status
        draining = False
        async for number in signals:
            if draining or not driver.running:
                status = 128 + number
                tasks.cancel_scope.cancel()
            else:
                draining = True
                log.note("draining", signal=number.name, seconds=drain_seconds)
                driver.feed(ShutdownRequested(drain_seconds))

    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch, signals)
            await tasks.start(run_driver)
            announce(f"listening on {scheme}://{shown(*driver.addresses[0])}")
    return status


def announce(line: str) -> None:
    """Print one line on standard output at once. That nobody listens there is no reason to stop."""
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except OSError:
        drop_output()


def drop_output() -> None:
    """Send standard output nowhere after its reader has gone: Python would flush it once more at its exit, and fail."""
    with contextlib.closing(os.fdopen(os.open(os.devnull, os.O_WRONLY))) as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


def shown(host: str, port: int) -> str:
    """Return `host:port` as it stands in a URL."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _epoch() -> float:
    return time.time() - anyio.current_time()


def _run(main: Callable[[], Coroutine[object, object, int]], transport: str) -> int:
    raise_file_limit()
    return run_on(transport, main)


def raise_file_limit() -> None:
    """Allow as many open connections as the system lets a process have: the usual soft limit, 1024, is soon reached."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(ValueError, OSError):  # some systems refuse their own hard limit; the soft one then stays
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
