"""The links of a driver by their number, and those ports of the engine that are about one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from aigw_proto._effects import CloseHow
    from aigw_proto._kinds import LinkId

__all__ = ["LinkPorts", "LinkTable"]


class LinkPorts(Protocol):
    """The ports of one link; see `Ports`."""

    def send(self, chunks: list[bytes]) -> int: ...
    def set_reading(self, enabled: bool) -> None: ...
    def end_sending(self) -> None: ...
    def close(self, how: CloseHow) -> None: ...


class LinkTable:
    """What every driver begins with. Its links are of one class, which has the `LinkPorts`."""

    __slots__ = ("_links",)

    def __init__(self) -> None:
        """Begin without links."""
        self._links: dict[LinkId, Any] = {}

    def send(self, link: LinkId, chunks: list[bytes]) -> int:
        """See `Ports`."""
        unsent: int = self._links[link].send(chunks)
        return unsent

    def set_reading(self, link: LinkId, enabled: bool) -> None:
        """See `Ports`."""
        self._links[link].set_reading(enabled)

    def end_sending(self, link: LinkId) -> None:
        """See `Ports`."""
        self._links[link].end_sending()

    def close(self, link: LinkId, how: CloseHow) -> None:
        """See `Ports`."""
        self._links.pop(link).close(how)
