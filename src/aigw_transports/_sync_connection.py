"""One connection of a client in threads, whatever is on it: opening, the room to send, taking account, the end.

`Connection` stands between the threads of a program and the engine, which lives in the owner thread of a driver. What a
program wants is posted to that one, and it answers by a mailbox: nothing is shared, so nothing needs a lock. The state
below belongs to the owner thread, and others only look at it.

A program must never wait for an owner that has gone. So whoever has posted something looks whether the driver still
runs: if it does, then it will do what was posted, for it looks once more after it has said that it does not.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, Protocol, TypeAlias, TypeVar

from aigw_proto import client as core
from aigw_proto._errors import CloseCode

from ._client_errors import failed_to_open

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from ._sync_driver import Driver
    from ._sync_owner import Owner

__all__ = ["FAREWELL_SECONDS", "GONE", "Connection", "Mailbox", "Tally", "hold"]

FAREWELL_SECONDS = 1.0
"""How long an interrupted program waits for the closing handshake before it resets the connection."""
_REPORT_BYTES = 64 * 1024  # consumed bytes are reported in batches: a turn of the engine for each chunk would be waste

ItemT = TypeVar("ItemT")
InputT = TypeVar("InputT")
DriverInputT = TypeVar("DriverInputT")
InputT_contra = TypeVar("InputT_contra", contravariant=True)
ArgumentT = TypeVar("ArgumentT")
_Waiting: TypeAlias = "tuple[Callable[[], object], Callable[[core.ConnectionLost], object]]"
_Own: TypeAlias = core.OpenConnection | core.Consumed | core.CloseConnection
_OpeningItem: TypeAlias = core.Opened | core.OpenRefused | core.OpenFailed
GONE = core.ConnectionLost(
    CloseCode.ABNORMAL_CLOSURE, "reset by this side", clean=False, closed_by=core.ClosedBy.PROGRAM
)
"""How a connection has ended of which nothing better is known."""


class Runner(Protocol[InputT_contra]):
    """What runs the engine: a driver, as far as a connection needs it."""

    @property
    def owner(self) -> Owner:
        """The thread that everything is posted to."""
        ...

    @property
    def running(self) -> bool:
        """Whether the engine takes inputs."""
        ...

    def feed_here(self, event: InputT_contra) -> None:
        """Give the engine an input, in the owner thread."""
        ...


class Mailbox(Generic[ItemT]):
    """Items for one waiting thread."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        """Begin empty."""
        self._items: queue.SimpleQueue[ItemT] = queue.SimpleQueue()

    def put(self, item: ItemT) -> None:
        """Add an item and wake the thread."""
        self._items.put(item)

    def get(self, timeout: float | None = None) -> ItemT:
        """Wait for an item and take it. Raises TimeoutError after `timeout` seconds; no item is lost."""
        try:
            return self._items.get(timeout=None if timeout is None else max(timeout, 0.0))
        except queue.Empty:
            raise TimeoutError(f"nothing came within {timeout:g} s") from None


class Tally:
    """Bytes that a thread has taken of one ticket: it counts what it took, the owner what the engine was told."""

    __slots__ = ("posted_bytes", "taken_bytes", "ticket", "told_bytes")

    def __init__(self, ticket: int) -> None:
        """Begin with nothing."""
        self.ticket = ticket
        self.taken_bytes = 0
        self.posted_bytes = 0
        self.told_bytes = 0


class Connection(Generic[InputT]):
    """One connection; `InputT` is what its engine takes beside the inputs that every connection needs."""

    def __init__(self) -> None:
        """Begin without a driver; `attach()` one before anything else."""
        self.lost: core.ConnectionLost | None = None
        """Why nothing can be sent any more; the gateway's own words as soon as they are known."""
        self._driver: Runner[InputT | _Own] | None = None
        self._process = os.getpid()
        self._opening: Mailbox[_OpeningItem | core.ConnectionLost] = Mailbox()
        self._sending_allowed = True
        self._waiting: dict[object, _Waiting] = {}  # in order
        self._tallies: set[Tally] = set()
        self._taken: dict[int, int] = {}  # bytes of each ticket, not reported yet
        self._taken_bytes = 0
        self._report_bytes = _REPORT_BYTES

    def attach(self, driver: Runner[InputT | _Own]) -> None:
        """Say what runs the engine."""
        self._driver = driver

    # -- from any thread

    @property
    def is_alive(self) -> bool:
        """Whether somebody does what is posted. In a child process that was forked off, nobody does."""
        return self._driver is not None and self._driver.running and self._process == os.getpid()

    def post(self, work: Callable[[ArgumentT], object], argument: ArgumentT) -> None:
        """Have `work(argument)` done in the owner thread."""
        if self._driver is not None:
            self._driver.owner.post(work, argument)

    def request(self, key: object, send: Callable[[], object], refuse: Callable[[core.ConnectionLost], object]) -> None:
        """Have `send()` done as soon as not too much is unsent; or `refuse()`, at least once, when nothing can be sent.

        That one may be done in this thread. `key` is what `withdraw()` knows the request by.
        """
        self.post(self._admit, (key, (send, refuse)))
        if not self.is_alive:
            refuse(self.lost or GONE)

    def open(self, request: core.OpenConnection, timeout: float | None) -> core.Opened:
        """Connect. Raises ConnectionFailed or HandshakeRefused, and TimeoutError."""
        self.post(self.feed, request)
        if not self.is_alive:
            self._opening.put(self.lost or GONE)
        item = self._opening.get(timeout)
        match item:
            case core.Opened():
                return item
            case core.ConnectionLost():  # a bug has ended the driver, which is raised soon
                raise ConnectionAbortedError(item.reason)
            case _:
                raise failed_to_open(item)

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Start the closing handshake, or do nothing when the connection has ended. From now on nothing can be sent."""
        self.post(self._close, core.CloseConnection(code, reason))

    def report(self, tally: Tally, size: int) -> None:
        """Note that the thread to which `tally` belongs has taken items of that size."""
        tally.taken_bytes += size
        if tally.taken_bytes - tally.posted_bytes >= self._report_bytes:
            tally.posted_bytes = tally.taken_bytes
            self.post(self.count, tally)

    # -- in the owner thread

    def feed(self, event: InputT | _Own) -> None:
        """Give the engine an input; dropped when it has ended."""
        if self._driver is not None:
            self._driver.feed_here(event)

    def follow(self, tally: Tally) -> None:
        """Ask that tally, too, when the engine waits for what was taken."""
        self._tallies.add(tally)

    def forget(self, tally: Tally) -> None:
        """Count what was taken, for the last time."""
        self.count(tally)
        self._tallies.discard(tally)

    def count(self, tally: Tally) -> None:
        """Note what was taken since the last time, and report when it is enough."""
        size = tally.taken_bytes - tally.told_bytes
        if size:
            tally.told_bytes += size
            self._taken[tally.ticket] = self._taken.get(tally.ticket, 0) + size
            self._taken_bytes += size
            if self._taken_bytes >= self._report_bytes:
                self._flush_report()

    def withdraw(self, key: object) -> None:
        """Forget a request that still waits for room, and the message that it holds."""
        self._waiting.pop(key, None)

    def take(self, item: _OpeningItem | core.SendingAllowed | core.ReadingPaused | core.ConnectionLost) -> None:
        """Take what the engine says of the connection itself."""
        match item:
            case core.SendingAllowed(allowed):
                self._sending_allowed = allowed
                self._go_on()
            case core.ReadingPaused(paused):
                # What was taken may be all the engine waits for, and it cannot know. Other threads look at the number
                # after they have counted, and it is set before they are asked, so nothing is overlooked.
                self._report_bytes = 1 if paused else _REPORT_BYTES
                for tally in list(self._tallies):
                    self.count(tally)
                self._flush_report()
            case core.ConnectionLost():
                self.lost = item
                self._go_on()
            case _:
                self._opening.put(item)

    def abandon(self) -> core.ConnectionLost:
        """Tell whoever still waits that it is over, once the driver has ended; return why."""
        if self.lost is None:
            self.lost = GONE
        self._opening.put(self.lost)
        self._go_on()
        return self.lost

    def _admit(self, request: tuple[object, _Waiting]) -> None:
        key, self._waiting[key] = request
        self._go_on()

    def _go_on(self) -> None:
        while self._waiting and (self._sending_allowed or self.lost is not None):
            send, refuse = self._waiting.pop(next(iter(self._waiting)))
            if self.lost is not None:
                refuse(self.lost)
            else:
                send()

    def _close(self, event: core.CloseConnection) -> None:
        self.feed(event)
        if self.lost is None:
            self.lost = core.ConnectionLost(
                event.code, "closed by this side", clean=True, closed_by=core.ClosedBy.PROGRAM
            )
        self._go_on()

    def _flush_report(self) -> None:
        if self._taken:
            sizes, self._taken, self._taken_bytes = self._taken, {}, 0
            self.feed(core.Consumed(sizes))


@contextmanager
def hold(
    driver: Driver[DriverInputT],
    connection: Connection[InputT],
    request: core.OpenConnection,
    timeout: float | None,
    abandon: Callable[[], object],
) -> Generator[core.Opened, None, None]:
    """Run `driver`, which is attached, in a thread, and open the connection for a block; say Close behind it, and wait.

    `abandon()` is called in that thread at its end. Raises ConnectionFailed and HandshakeRefused, and TimeoutError when
    it is not open after so many seconds. A bug of the driver comes out of here.
    """
    failures: list[BaseException] = []
    running = threading.Event()

    def run() -> None:
        try:
            driver.run(started=lambda _: running.set())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that can tell somebody
            failures.append(error)
        finally:
            abandon()
            running.set()

    thread = threading.Thread(target=run, name="aigw-client", daemon=True)
    thread.start()
    running.wait()
    try:
        opened = connection.open(request, timeout)
    except BaseException:
        driver.stop()
        _join(thread, FAREWELL_SECONDS)  # the caller does not want to wait longer, whatever it may be
        _raise_first(failures)
        raise
    try:
        yield opened
    except Exception:
        connection.close()
        _join(thread)
        _raise_first(failures)
        raise
    except BaseException:
        connection.close()
        _join(thread, FAREWELL_SECONDS)
        raise
    else:
        connection.close()
        _join(thread)
        _raise_first(failures)
    finally:
        driver.stop()
        _join(thread)


def _join(thread: threading.Thread, timeout: float | None = None) -> None:
    """Wait for a thread; not when the program is ending, for then daemons do not go on any more."""
    if not sys.is_finalizing():
        thread.join(timeout)


def _raise_first(failures: list[BaseException]) -> None:
    if failures:
        raise failures[0]
