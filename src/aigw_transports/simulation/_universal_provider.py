"""A provider of the universal API, played by hand: every answer is numbered and names its request."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Literal

import msgspec

from ._wire import header_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..memory import Faults, Peer, World

__all__ = ["Fault", "Form", "Order", "UniversalProvider"]

Form = Literal["sse", "lines", "whole", "to the end"]
_STATUSES = {200: b"200 OK", 503: b"503 Service Unavailable"}
Fault = Literal["", "cut", "reset", "stale", "status", "garbage", "silence"]


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a provider is asked for: `items` of them, padded to a size, in a form; and how it fails."""

    tag: str
    items: int
    pad_bytes: int = 0
    form: Form = "sse"
    fault: Fault = ""
    after: int = 0
    """After how many items it fails."""
    pause_seconds: float = 0.0
    """Between the items of a stream."""
    status: int = 200
    """Of an answer in one document: 200 or 503."""

    def item(self, number: int) -> bytes:
        """Return one item of the answer."""
        return b'{"tag": "%b", "i": %d, "pad": "%b"}' % (self.tag.encode(), number, b"x" * self.pad_bytes)

    def all(self) -> list[bytes]:
        """Return all of them."""
        return [self.item(number) for number in range(self.items)]

    def whole(self) -> bytes:
        """Return the answer in one document."""
        return b'{"tag": "%b", "items": [%b]}' % (self.tag.encode(), b", ".join(self.all()))


class UniversalProvider:
    """Answers every order that comes, and remembers its bytes."""

    REFUSAL = b'{"error": "not now"}'

    def __init__(self, world: World, name: str, port: int = 80, *, faults: Faults | None = None) -> None:
        """Listen at `name:port`; `faults` are those of its links."""
        self.world = world
        self.bodies: dict[str, list[bytes]] = {}
        """For each tag, the body of every request that asked for it."""
        self.said_at: dict[str, float] = {}
        """For each tag, when it had said all that it will to the last request that asked for it."""
        self.connections: list[_ProviderConnection] = []
        self.listener = world.listen(name, port, on_peer=self._accept, faults=faults)

    def _accept(self, peer: Peer) -> None:
        self.connections.append(_ProviderConnection(self, peer))

    @property
    def open_connections(self) -> int:
        """How many it has not ended, and has not seen the end of."""
        return sum(connection.is_open for connection in self.connections)

    def note(self, body: bytes) -> Order:
        """Remember a request."""
        order = msgspec.json.decode(body, type=Order)
        self.bodies.setdefault(order.tag, []).append(body)
        self.said_at.pop(order.tag, None)
        return order


class _ProviderConnection:
    def __init__(self, provider: UniversalProvider, peer: Peer) -> None:
        self._provider = provider
        self._peer = peer
        self._data = b""
        self._served = 0
        self._closed = False
        self._tag = ""
        peer.on_data = self._on_data
        peer.on_end = self._close

    @property
    def is_open(self) -> bool:
        return not self._closed

    def _has_said_all(self) -> None:
        self._provider.said_at[self._tag] = self._provider.world.time

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self._peer.close()

    def _on_data(self, _: bytes) -> None:
        self._data += self._peer.take()
        while not self._closed:
            head, found, rest = self._data.partition(b"\r\n\r\n")
            length = header_of(head, b"content-length") if found else None
            if not found:
                return
            assert length is not None, f"a request without a length: {head!r}"
            if len(rest) < int(length):
                return
            self._data = rest[int(length) :]
            self._answer(self._provider.note(rest[: int(length)]))

    def _answer(self, order: Order) -> None:
        self._served += 1
        self._tag = order.tag
        if order.fault == "stale" and self._served > 1:
            self._close()
            self._has_said_all()
        elif order.fault == "status":
            self._document(UniversalProvider.REFUSAL, status=b"503 Service Unavailable")
        elif order.fault == "garbage":
            self._peer.send(b"SSH-2.0-nonsense\r\n\r\n")
            self._close()
            self._has_said_all()
        elif order.fault == "silence" and not order.after:
            return
        elif order.form == "whole":
            self._document(order.whole(), status=_STATUSES[order.status], fault=order.fault)
        else:
            self._stream(order)

    def _document(self, body: bytes, *, status: bytes = b"200 OK", fault: Fault = "") -> None:
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        if fault in ("cut", "reset", "silence"):
            self._peer.send(head + body[:-1])
            self._fail(fault)
        else:
            self._peer.send(head + body)
            self._has_said_all()

    def _fail(self, fault: Fault) -> None:
        if fault == "cut":
            self._close()
        elif fault == "reset":
            self._closed = True
            self._peer.reset()
        if fault != "silence":
            self._has_said_all()

    def _stream(self, order: Order) -> None:
        lines = order.form == "lines"
        kind = b"application/x-ndjson" if lines else b"text/event-stream"
        chunked = order.form != "to the end"
        framing = b"Transfer-Encoding: chunked" if chunked else b"Connection: close"
        self._peer.send(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n\r\n" % (kind, framing))
        failing = order.fault in ("cut", "reset", "silence")
        items = order.all()[: order.after] if failing else order.all()
        pieces = [item + b"\n" if lines else b"data: " + item + b"\n\n" for item in items]
        if chunked:
            pieces = [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces]

        def end() -> None:
            if failing:
                self._fail(order.fault)
                return
            if chunked:
                self._peer.send(b"0\r\n\r\n")
            else:
                self._close()
            self._has_said_all()

        if order.pause_seconds:
            self._send_slowly(pieces, order.pause_seconds, end)
        else:
            self._peer.send(b"".join(pieces))
            end()

    def _send_slowly(self, pieces: list[bytes], seconds: float, end: Callable[[], None]) -> None:
        def step() -> None:
            if self._closed:
                return
            if pieces:
                self._peer.send(pieces.pop(0))
                self._provider.world.after(seconds, step)
            else:
                end()

        step()
