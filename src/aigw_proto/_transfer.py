"""The inputs and effects in which bytes go through an engine: one of each for every relayed message.

They are records like all others (never changed once made), in the form that is fast in Python and that a compiler can
make extension types of: `_transfer.pxd` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ._kinds import LinkId

__all__ = ["BytesReceived", "BytesSent", "SendBytes"]


@dataclass
class BytesReceived:
    """Bytes arrived on a link; never empty."""

    __slots__ = ("data", "link")

    link: Final[LinkId]
    data: Final[bytes]


@dataclass
class BytesSent:
    """The driver holds `unsent` bytes of this link that the kernel has not taken.

    Fed right after a send that left a backlog, and whenever that backlog shrinks, also to nothing within another send;
    never when there was none.
    """

    __slots__ = ("link", "unsent")

    link: Final[LinkId]
    unsent: Final[int]


@dataclass
class SendBytes:
    """Send these chunks in order. At most one per link and turn; `chunks` holds no empty item and is not kept."""

    __slots__ = ("chunks", "link")

    link: Final[LinkId]
    chunks: Final[list[bytes]]
