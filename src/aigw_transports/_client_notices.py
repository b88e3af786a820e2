"""What the clients log of frames that belong to no request; the same for all drivers."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aigw_proto.client import ConnectionNotice

__all__ = ["MOST_NOTICES", "NoticeLog"]

MOST_NOTICES = 10
"""How many of one connection are logged: a gateway may send as many as the network carries."""

_log = logging.getLogger("aigw.client")


class NoticeLog:
    """Logs the first notices of a connection, and once that there are no more."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        """Begin with none."""
        self._count = 0

    def __call__(self, notice: ConnectionNotice) -> None:
        """Log a notice as a warning, with the beginning of its frame."""
        if self._count < MOST_NOTICES:
            _log.warning("%s: %.500s", notice.reason, notice.frame)
        elif self._count == MOST_NOTICES:
            _log.warning("more frames that belong to no request are not logged for this connection")
        self._count += 1
