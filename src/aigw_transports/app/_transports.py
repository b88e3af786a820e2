"""What `--transport` chooses: an event loop, and the driver on it.

`asyncio` is the driver on asyncio's protocols, on uvloop when that is installed; `anyio` and `trio` are the anyio
driver on asyncio and on trio. `sync`, which has no event loop, is the affair of `_serve_sync`.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import anyio
from anyio.abc import SocketAttribute

from aigw_proto._inputs import Input

from .. import anyio as on_anyio
from .. import asyncio_protocol as on_asyncio
from .._anyio_accept import SecureListener

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Coroutine, Sequence
    from typing import Protocol

    from anyio.abc import ByteStream, Listener, TaskStatus

    from aigw_proto._kinds import Engine

    from .log import LogSink

    class Run(Protocol):
        """Runs a driver until its engine has drained."""

        async def __call__(self, *, task_status: TaskStatus[Driver]) -> None:
            """Report the driver when it is running."""
            ...


__all__ = ["Driver", "driver_on", "run_on"]

Driver: TypeAlias = "on_anyio.Driver[Input] | on_asyncio.Driver[Input]"
ResultT = TypeVar("ResultT")


def run_on(transport: str, main: Callable[[], Coroutine[object, object, ResultT]]) -> ResultT:
    """Run `main` on the event loop of `transport`."""
    if transport == "trio":
        return anyio.run(main, backend="trio")
    return anyio.run(main, backend_options={"use_uvloop": transport == "asyncio" and _find_uvloop()})


def driver_on(
    transport: str,
    engine: Engine[Input],
    listeners: Sequence[Listener[ByteStream]],
    log: LogSink,
    *,
    tls: ssl.SSLContext | None = None,
    journal: bool = True,
) -> tuple[Driver, Run]:
    """Return the driver that runs `engine` on `listeners`, with `tls` when given, and how to run it."""
    journal_sink = log.journal if journal else None
    if transport == "asyncio":
        driver = on_asyncio.Driver(engine, journal=journal_sink, log=log.log)
        sockets = [listener.extra(SocketAttribute.raw_socket) for listener in listeners]  # noqa: S610 - no database
        return driver, functools.partial(driver.run, sockets, tls=tls)
    other = on_anyio.Driver(engine, journal=journal_sink, log=log.log)
    if tls is not None:
        listeners = [SecureListener(listener, tls, log.log) for listener in listeners]
    return other, functools.partial(other.run, listeners)


def _find_uvloop() -> bool:
    return importlib.util.find_spec("uvloop") is not None
