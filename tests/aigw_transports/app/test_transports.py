from __future__ import annotations

import asyncio
import importlib.util
import io
from pathlib import Path

import anyio
import pytest
import sniffio

from aigw_proto._inputs import ShutdownRequested
from aigw_proto.mock import MockEngine
from aigw_transports import anyio as on_anyio
from aigw_transports import asyncio_protocol as on_asyncio
from aigw_transports._anyio_tls import SecureStream
from aigw_transports.app._serve import LOOPBACK, open_listeners
from aigw_transports.app._transports import driver_on, run_on
from aigw_transports.app.config import TRANSPORTS
from aigw_transports.app.log import TextLog
from support import certificates


async def name_of_the_loop() -> str:
    library = sniffio.current_async_library()
    return library if library == "trio" else type(asyncio.get_running_loop()).__module__.partition(".")[0]


@pytest.mark.parametrize(("transport", "loop"), [("asyncio", "uvloop"), ("anyio", "asyncio"), ("trio", "trio")])
def test_each_has_its_loop(transport: str, loop: str) -> None:
    assert run_on(transport, name_of_the_loop) == loop


def test_uvloop_need_not_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def find_nothing(name: str) -> None:
        assert name == "uvloop"

    monkeypatch.setattr(importlib.util, "find_spec", find_nothing)
    assert run_on("asyncio", name_of_the_loop) == "asyncio"


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("transport", [name for name in TRANSPORTS if name != "sync"])  # see test_serve_sync
def test_each_has_its_driver(transport: str, secure: bool, tmp_path: Path) -> None:
    context = certificates.server(tmp_path) if secure else None
    log = io.StringIO()

    async def main() -> bytes:
        answer = b""
        with anyio.fail_after(20):
            listeners = await open_listeners(LOOPBACK, 0)
            engine = MockEngine(epoch_unix_seconds=0.0)
            driver, run = driver_on(transport, engine, listeners, TextLog(log), tls=context)
            assert isinstance(driver, on_asyncio.Driver if transport == "asyncio" else on_anyio.Driver)
            async with anyio.create_task_group() as tasks:
                await tasks.start(run)
                stream = await anyio.connect_tcp(*driver.addresses[0])
                async with SecureStream(stream, certificates.client(), LOOPBACK) if secure else stream as peer:
                    if isinstance(peer, SecureStream):
                        await peer.handshake()
                    await peer.send(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
                    answer = await peer.receive()
                driver.feed(ShutdownRequested(0.0))
        return answer

    assert run_on(transport, main).startswith(b"HTTP/1.1 ")
    assert log.getvalue()
