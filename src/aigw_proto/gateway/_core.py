"""What the parts of the gateway engine share: the turn, the deadlines, the links, and how ids and records are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING

from .._effects import Journal, Log, LogLevel
from .._entropy import Entropy, RandomBytes
from .._kinds import LinkId
from ._pool import Pool
from ._turn import Actor, Deadlines, Rota, Turn

if TYPE_CHECKING:
    from ._config import GatewayConfig
    from ._realtime_record import SessionRecord, TurnRecord
    from ._record import RequestRecord

__all__ = ["Core"]


class Core:
    """Shared by the engine, its sessions, requests and pool; holds no policy of its own."""

    __slots__ = (
        "_epoch",
        "_next_link",
        "config",
        "deadlines",
        "draining",
        "entropy",
        "links",
        "pool",
        "runnable",
        "senders",
        "sessions",
        "turn",
        "websocket_limits",
    )

    def __init__(self, config: GatewayConfig, random_bytes: RandomBytes, epoch_unix_seconds: float) -> None:
        """Start with nothing open."""
        self.config = config
        self.turn = Turn()
        self.deadlines = Deadlines()
        self.links: dict[LinkId, Actor] = {}
        self.sessions: dict[LinkId, Actor] = {}
        self.runnable = Rota()
        self.senders: list[Actor] = []  # who has queued output in this turn
        self.entropy = Entropy(random_bytes)
        self.pool = Pool(self)
        self.websocket_limits = dataclasses.replace(
            config.websocket,
            max_message_bytes=min(config.websocket.max_message_bytes, config.limits.max_message_bytes),
        )
        self.draining = False
        self._epoch = epoch_unix_seconds
        self._next_link = 1

    def new_link(self) -> LinkId:
        """Return a fresh odd link id."""
        link = LinkId(self._next_link)
        self._next_link += 2
        return link

    def new_id(self, now: float) -> str:
        """Return a fresh UUIDv7."""
        return self.entropy.uuid7(int((self._epoch + now) * 1000))

    def schedule(self, worker: Actor, again: bool = False) -> None:
        """Let a session work at the end of this turn, or of the next ones when this one is full; see `Rota.add`."""
        self.runnable.add(worker, again)

    def crash(self, owner: Actor, error: Exception, now: float) -> None:
        """Log a bug and end its owner; if even that fails, what the owner holds is dropped without ceremony."""
        details = {"owner": type(owner).__name__}
        self.log(LogLevel.ERROR, "internal error", details, error)
        try:
            owner.crash(now)
        except Exception as second:  # noqa: BLE001 - a bug must not take the neighbours down
            self.log(LogLevel.ERROR, "internal error while ending an owner", details, second)
            owner.drop(now)
        self.deadlines.touch(owner)

    def journal(self, entry: RequestRecord | SessionRecord | TurnRecord) -> None:
        """Write one record."""
        self.turn.emit(Journal(entry))

    def log(
        self,
        level: LogLevel,
        message: str,
        details: Mapping[str, str | int | float | bool | None],
        exception: BaseException | None = None,
    ) -> None:
        """Write one line."""
        self.turn.emit(Log(level, message, details, exception))
