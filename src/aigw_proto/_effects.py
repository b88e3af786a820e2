"""What an engine asks of the world: the effects that drivers carry out after each turn.

There is no effect for timers: `Engine.next_timeout()` is a level, so a driver holds one timer and can neither leak nor
lose one.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import TypeAlias

from ._kinds import LinkId, record
from ._transfer import SendBytes

__all__ = [
    "CloseHow",
    "CloseLink",
    "Connect",
    "Deliver",
    "Drained",
    "Effect",
    "EndSending",
    "Journal",
    "Log",
    "LogLevel",
    "SendBytes",
    "SetReading",
    "TlsPolicy",
]


class CloseHow(enum.Enum):
    """What happens to bytes that are still unsent when a link is closed."""

    FLUSH = "send what is queued, then close"
    ABORT = "drop what is queued and close at once"


class LogLevel(enum.IntEnum):
    """Severity of a `Log` effect, numbered as the standard library numbers them."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@record
class TlsPolicy:
    """How a link to a provider is secured: verified TLS, always with certificate and host name checks.

    `ca_file` names a PEM file of additional roots; None means the system's. A policy, not a context: loading
    certificates is the driver's business.
    """

    ca_file: str | None = None


@record
class Connect:
    """Open a link to `host:port`. Answered once by `LinkConnected` or `ConnectFailed`, unless withdrawn by `CloseLink`.

    `link` is odd and fresh; `tls` None means a plain TCP stream; `alpn` lists protocols in order of preference. A
    driver stops the attempt on its own only when the operating system does: deadlines are the engine's.
    """

    link: LinkId
    host: str
    port: int
    tls: TlsPolicy | None = None
    alpn: tuple[str, ...] = ()


@record
class SetReading:
    """Start or stop reading from a link. Links begin with reading enabled."""

    link: LinkId
    enabled: bool


@record
class EndSending:
    """Flush, then end the sending direction (TCP FIN); reading goes on. A driver without half-close ignores it."""

    link: LinkId


@record
class CloseLink:
    """Close a link, or withdraw its pending `Connect`. The last effect on that link; nothing is fed for it any more."""

    link: LinkId
    how: CloseHow = CloseHow.FLUSH


@record
class Journal:
    """One record for the operator's request log, as it happens. `entry` is a flat record of the engine's package."""

    entry: object


@record
class Log:
    """A line for the operator. `message` is constant text for one kind of event; what varies is in `details`.

    `exception` carries a bug's exception with its traceback; it is never set for a peer's mistake.
    """

    level: LogLevel
    message: str
    details: Mapping[str, str | int | float | bool | None]
    exception: BaseException | None = None


@record
class Deliver:
    """Hand an item to whoever embeds the engine (the client engine's replies). `ticket` says which call it answers."""

    ticket: int
    item: object


@record
class Drained:
    """The engine was told to shut down and holds nothing open any more. The last effect of all."""


Effect: TypeAlias = Connect | SendBytes | SetReading | EndSending | CloseLink | Journal | Log | Deliver | Drained
