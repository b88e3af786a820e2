"""Engines on the sync driver, in threads of a test; and a gateway with a fake provider on them."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING

from aigw_proto._inputs import Input, ShutdownRequested
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.mock import MockEngine
from aigw_proto.providers import BaseUrl, ProviderTable
from aigw_transports import _sync_connect
from aigw_transports._sync_driver import Driver, listen

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Generator, Sequence

    import pytest

    from aigw_proto._effects import Log
    from aigw_proto._kinds import Engine

PATIENCE_SECONDS = 30.0  # for a test that hangs; none comes near it
RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Running:
    """A driver that runs in a thread."""

    def __init__(
        self,
        driver: Driver[Input],
        listeners: Sequence[socket.socket] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """Start it, and wait until it runs or has failed."""
        self.driver = driver
        self.failures: list[BaseException] = []
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listeners, tls))
        self._thread.start()
        assert self._started.wait(PATIENCE_SECONDS)

    @property
    def port(self) -> int:
        """The port of the first listener."""
        return self.driver.addresses[0][1]

    def connect(self) -> socket.socket:
        """Return a socket that is connected to the first listener, and is not waited for without end."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)

    def wait(self) -> None:
        """Wait until it has ended; raises what ended it."""
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive(), threading.enumerate()
        if self.failures:
            raise self.failures[0]

    def end(self) -> None:
        """Ask the engine to end, and wait."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self.driver.feed(ShutdownRequested(0.0))
        self.wait()

    def _run(self, listeners: Sequence[socket.socket], tls: ssl.SSLContext | None) -> None:
        def started(_: Driver[Input]) -> None:
            self._started.set()

        try:
            self.driver.run(listeners, tls=tls, started=started)
        except BaseException as error:  # noqa: BLE001 - for the thread that waits
            self.failures.append(error)
        finally:
            self._started.set()


class HungLookup:
    """A resolver that answers nothing until it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Take the place of the system's."""
        self.asked = threading.Event()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []
        monkeypatch.setattr(_sync_connect, "find_addresses", self._find)

    def end(self) -> None:
        """Answer, and wait for the threads that asked."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)
            assert not thread.is_alive()

    def _find(self, host: str, port: int) -> list[_sync_connect.Address]:
        self._threads.append(threading.current_thread())
        self.asked.set()
        assert self._over.wait(PATIENCE_SECONDS)
        return [(socket.AF_INET, (host, port))]


@contextlib.contextmanager
def running(
    engine: Engine[Input],
    *,
    journal: Callable[[object], None] | None = None,
    log: Callable[[Log], None] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Generator[Running, None, None]:
    """Run an engine on a free loopback port for a block; it is asked to end behind it, and waited for."""
    it = Running(Driver(engine, journal=journal, log=log), listen(), tls)
    try:
        yield it
    except BaseException:
        it.driver.stop()
        it.wait()
        raise
    it.end()


@contextlib.contextmanager
def live_gateway(
    settings: Sequence[GatewaySettings] = (GatewaySettings(),),
    *,
    journal: Callable[[object], None] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Generator[str, None, None]:
    """Run a gateway with every provider at the mock; gives the address of gateway `default`."""
    with running(MockEngine()) as mock:
        here = BaseUrl(is_secure=False, host="127.0.0.1", port=mock.port, path="")
        config = GatewayConfig(tuple(settings), ProviderTable.builtin().redirected(here))
        engine = GatewayEngine(config, random_bytes=os.urandom, epoch_unix_seconds=1.7e9)
        with running(engine, journal=journal, tls=tls) as gateway:
            yield f"{'ws' if tls is None else 'wss'}://127.0.0.1:{gateway.port}/v1/local/default"


def reset(peer: socket.socket) -> None:
    """Break a connection."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
    peer.close()


def read_all(peer: socket.socket) -> bytes:
    """Read to the end."""
    parts: list[bytes] = []
    while part := peer.recv(1 << 16):
        parts.append(part)
    return b"".join(parts)


@contextlib.contextmanager
def no_thread_left() -> Generator[None, None, None]:
    """Assert that a block leaves no thread behind."""
    before = set(threading.enumerate())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before]
    for thread in left:
        thread.join(PATIENCE_SECONDS)  # what has been told to end may still be at it
    assert not [thread for thread in left if thread.is_alive() or thread.name.startswith("aigw-")]
