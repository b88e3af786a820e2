"""The server engine: one per process, all sessions and all connections to providers.

A turn is one input, or the passing of time. Its first half gives the input to the owner of the link; its second half
lets sessions that asked for it work, in turn, one quantum each, until the turn's budget is spent. What is left over
makes `next_timeout()` return the time of the turn itself, so that the driver comes back at once after it has looked at
its sockets.

A bug must not take the neighbours down: an exception while an owner acts ends that owner and what hangs on it, is
logged with its traceback, and everything else goes on.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._effects import CloseHow, CloseLink, Drained, Effect
from .._entropy import RandomBytes
from .._inputs import ConnectFailed, Input, LinkAccepted, LinkConnected, PeerClosed, ShutdownRequested
from .._limits import UNLIMITED
from .._transfer import BytesReceived, BytesSent
from ._config import GatewayConfig
from ._core import Core
from ._leg import Leg
from ._pool import UpstreamConnection
from ._session import Session
from ._turn import Actor

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["GatewayEngine"]

_QUANTA_PER_TURN = 4
_QUANTA_PER_INPUT = 4
_DEADLINES_PER_TURN = 256


class GatewayEngine:
    """Serves the universal and the realtime API; an `aigw_proto.Engine`."""

    __slots__ = ("_core", "_drained", "_grace_ended", "_late", "_now", "_shutdown_at", "_turn_bytes")

    def __init__(self, config: GatewayConfig, *, random_bytes: RandomBytes, epoch_unix_seconds: float) -> None:
        """Serve `config`.

        `random_bytes` is a strong source (`os.urandom`). `epoch_unix_seconds` is the Unix time at monotonic zero: ids
        carry wall-clock time, and the engine has no clock of its own.
        """
        self._core = Core(config, random_bytes, epoch_unix_seconds)
        self._turn_bytes = min(config.limits.turn_bytes, UNLIMITED)
        self._now = 0.0
        self._late = 0
        self._shutdown_at: float | None = None
        self._grace_ended = False
        self._drained = False

    @property
    def late_inputs(self) -> int:
        """Inputs for links that the engine had closed already; they are dropped."""
        return self._late

    def handle(self, event: Input, now: float) -> None:
        """Take one input. Raises RuntimeError when effects of the turn before were not all polled."""
        self._begin(now)
        quanta = self._quanta_after(event)
        if isinstance(event, BytesReceived):
            owner = self._core.links.get(event.link)
            if owner is None:
                self._late += 1
            else:
                try:
                    owner.receive_data(event.data, now)
                except Exception as error:  # noqa: BLE001 - a bug must not take the neighbours down
                    self._core.crash(owner, error, now)
                self._core.deadlines.touch(owner)
        elif isinstance(event, LinkAccepted):
            self._accept(event, now)
        elif isinstance(event, ShutdownRequested):
            self._shut_down(event.grace_seconds, now)
        else:
            self._act(event, now)
        self._finish(now, quanta)

    def handle_timeout(self, now: float) -> None:
        """Let time pass. Raises RuntimeError when effects of the turn before were not all polled."""
        self._begin(now)
        if self._shutdown_at is not None and now >= self._shutdown_at:
            self._shutdown_at = None
            self._grace_ended = True
            for session in list(self._core.sessions.values()):
                self._guard(session, session.end_now, now)
        for _ in range(_DEADLINES_PER_TURN):
            if (owner := self._core.deadlines.pop_due(now)) is None:
                break
            try:
                owner.handle_timeout(now)
            except Exception as error:  # noqa: BLE001 - a bug must not take the neighbours down
                self._core.crash(owner, error, now)
            self._core.deadlines.touch(owner)
        self._finish(now, _QUANTA_PER_TURN)

    def next_timeout(self) -> float | None:
        """Return the earliest deadline; the time of the last turn when work is left over from it."""
        if self._core.runnable.waiting:
            return self._now
        earliest = self._core.deadlines.earliest()
        if self._shutdown_at is not None:
            earliest = self._shutdown_at if earliest is None else min(earliest, self._shutdown_at)
        return None if earliest is None else max(earliest, self._now)

    def poll(self) -> Effect | None:
        """Move out the next effect of this turn."""
        return self._core.turn.poll()

    def _begin(self, now: float) -> None:
        if not self._core.turn.is_drained():
            raise RuntimeError("poll() must be drained before the next input")
        self._now = now

    def _quanta_after(self, event: Input) -> int:
        """Say how much work may follow an input: little, and none while there is work left or for a backlog's report.

        Between two looks at the sockets there may be as many inputs as there are links. And a report of what a turn
        has sent must not let that turn's sessions send more, which brings the next report, and so on.
        """
        return 0 if self._core.runnable.waiting or isinstance(event, BytesSent) else _QUANTA_PER_INPUT

    def _accept(self, event: LinkAccepted, now: float) -> None:
        core = self._core
        if self._grace_ended:
            core.turn.emit(CloseLink(event.link, CloseHow.ABORT))  # or new ones could put off the end for ever
            return
        session = Session(core, event.link, event.peer, now)
        core.links[event.link] = session
        core.sessions[event.link] = session
        core.deadlines.touch(session)

    def _act(self, event: PeerClosed | BytesSent | LinkConnected | ConnectFailed, now: float) -> None:
        owner = self._core.links.get(event.link)
        if owner is None:
            self._late += 1
            return
        try:
            if isinstance(event, BytesSent):
                owner.sent(event.unsent, now)
            elif isinstance(event, PeerClosed):
                owner.receive_eof(clean=event.clean, now=now)
            elif isinstance(owner, UpstreamConnection | Leg):
                owner.handle_input(event, now)
            else:
                self._late += 1
        except Exception as error:  # noqa: BLE001 - a bug must not take the neighbours down
            self._core.crash(owner, error, now)
        self._core.deadlines.touch(owner)

    def _finish(self, now: float, quanta: int) -> None:
        """Let sessions work within the turn's budget, then close the turn."""
        core = self._core
        while quanta and core.runnable.waiting and core.turn.sent_bytes < self._turn_bytes:
            quanta -= 1
            worker = core.runnable.take()
            try:
                worker.work(now)
            except Exception as error:  # noqa: BLE001 - a bug must not take the neighbours down
                core.crash(worker, error, now)
            core.deadlines.touch(worker)
            core.runnable.rest()
        if core.senders:
            for sender in core.senders:
                sender.hand_over()
            core.senders.clear()
        core.turn.finish()
        if core.draining and not core.links and not self._drained:
            self._drained = True
            self._shutdown_at = None
            core.turn.emit(Drained())

    def _shut_down(self, grace_seconds: float, now: float) -> None:
        core = self._core
        core.draining = True
        self._shutdown_at = now + grace_seconds
        for session in list(core.sessions.values()):
            self._guard(session, session.drain, now)
        core.pool.drain(now)

    def _guard(self, owner: Actor, action: Callable[[float], None], now: float) -> None:
        try:
            action(now)
        except Exception as error:  # noqa: BLE001 - a bug must not take the neighbours down
            self._core.crash(owner, error, now)
        self._core.deadlines.touch(owner)
