"""The one deadline that a WebSocket connection has at any time.

An open connection waits for a sign of life: after `ping_interval_seconds` of silence it pings, and after
`pong_timeout_seconds` more it takes the peer for dead. Any octet counts as life, not just the pong: a peer in the
middle of a long message cannot answer before the message is through. A closing connection waits for the peer's Close
and for the end of the stream, `close_timeout_seconds` in all.

Silence counts only while somebody listens: when the caller has stopped reading, or has not pulled what was read, the
peer is not to blame.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._limits import WebSocketLimits

__all__ = ["Expiry", "Watchdog"]


class Expiry(enum.Enum):
    """What is to be done when time has passed."""

    NOTHING = "go on waiting"
    PING = "ask for a sign of life"
    GIVE_UP = "the peer took too long"


class _Mode(enum.Enum):
    LISTENING = "for any octet, until the next ping"
    PINGED = "for any octet, until the peer is taken for dead"
    DEAF = "for nothing: the caller does not read"
    CLOSE_SENT = "for the current time, from which the close deadline counts"
    CLOSING = "for the end of the connection"
    STOPPED = "for nothing: the connection has ended"


_LISTENING = _Mode.LISTENING  # looked up for every read
_PINGED = _Mode.PINGED
_CLOSE_SENT = _Mode.CLOSE_SENT


class Watchdog:
    """Keeps the deadline; `deadline` is in monotonic seconds, or None."""

    __slots__ = ("_close_timeout", "_interval", "_mode", "_now", "_pong_timeout", "deadline")

    def __init__(self, limits: WebSocketLimits, now: float) -> None:
        """Listen from `now` on."""
        self._interval = limits.ping_interval_seconds
        self._pong_timeout = limits.pong_timeout_seconds
        self._close_timeout = limits.close_timeout_seconds
        self._now = now
        self._mode = _Mode.LISTENING
        self.deadline: float | None = None
        self.heard(now)

    def heard(self, now: float) -> None:
        """Note that the peer sent something."""
        self._now = now
        mode = self._mode
        if mode is _LISTENING or mode is _PINGED:
            self._mode = _LISTENING
            interval = self._interval
            self.deadline = None if interval is None else now + interval
        elif mode is _CLOSE_SENT:
            self.close_sent(now)

    def listen(self, now: float, enabled: bool) -> None:
        """Note that the caller goes on reading, or stops."""
        self._now = now
        if self._mode in (_Mode.LISTENING, _Mode.PINGED) and not enabled:
            self._mode = _Mode.DEAF
            self.deadline = None
        elif self._mode is _Mode.DEAF and enabled:
            self._mode = _Mode.LISTENING
            self.heard(now)

    def close_sent(self, now: float | None) -> None:
        """Begin the close deadline, at `now`, or for None at the next time that becomes known (due at once)."""
        if now is None:
            self._mode = _Mode.CLOSE_SENT
            self.deadline = self._now
        else:
            self._mode = _Mode.CLOSING
            self.deadline = now + self._close_timeout

    @property
    def closing(self) -> bool:
        """Whether the close deadline has begun."""
        return self._mode is _Mode.CLOSING or self._mode is _Mode.CLOSE_SENT

    def stop(self) -> None:
        """Wait for nothing any more."""
        self._mode = _Mode.STOPPED
        self.deadline = None

    def expire(self, now: float, unread: bool) -> Expiry:
        """Let time pass; `unread` says that input waits to be pulled. Early and late calls are harmless."""
        self._now = max(now, self._now)
        deadline = self.deadline
        if deadline is None or now < deadline:
            return Expiry.NOTHING
        if self._mode is _Mode.CLOSE_SENT:
            self.close_sent(now)
            return Expiry.NOTHING
        if self._mode is _Mode.CLOSING:
            return Expiry.GIVE_UP
        if unread:
            self.heard(now)
            return Expiry.NOTHING
        if self._mode is _Mode.PINGED:
            return Expiry.GIVE_UP
        self._mode = _Mode.PINGED
        self.deadline = now + self._pong_timeout
        return Expiry.PING
