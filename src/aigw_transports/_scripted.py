"""Who stands in the memory world's network besides engines: listeners, and peers that a test plays by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

    from aigw_proto._effects import TlsPolicy
    from aigw_proto._inputs import ConnectFailure

    from ._network import End, Faults

__all__ = ["Caller", "Listener", "Peer"]


class Caller(Protocol):
    """Who connects."""

    name: str
    withdrawn: bool

    def opened(self, end: End) -> None:
        """Take the near end of the stream, or close it when it is no longer wanted."""
        ...

    def failed(self, failure: ConnectFailure, detail: str) -> None:
        """Learn that there will be no stream."""
        ...


class Listener:
    """Somebody listening at a name and port."""

    def __init__(self, faults: Faults, *, bad_certificate: bool, on_peer: Callable[[Peer], None] | None) -> None:
        self.faults = faults
        self.bad_certificate = bad_certificate
        self.closed = False
        """Set it to refuse connections from now on."""
        self.peers: list[Peer] = []
        """A scripted peer for each connection, in order; none when a host listens here."""
        self.acceptor: Callable[[End, str], None] | None = None
        self._on_peer = on_peer

    def accept(self, end: End, caller: str, tls: TlsPolicy | None) -> None:
        """Take the far end of a new stream."""
        if self.acceptor is not None:
            self.acceptor(end, caller)
            return
        peer = Peer(caller, tls)
        self.peers.append(peer)
        if self._on_peer is not None:
            self._on_peer(peer)
        peer.opened(end)


class Peer:
    """One end of a stream, played by a test. `on_data` and `on_end` may be set to react at once."""

    def __init__(self, name: str, tls: TlsPolicy | None) -> None:
        self.name = name
        self.tls = tls
        """The policy that the connecting side asked for; None is plain TCP."""
        self.received_bytes = 0
        """How many bytes were read so far."""
        self.connected = False
        self.failure: ConnectFailure | None = None
        """Why connecting failed; `detail` says it in words."""
        self.detail = ""
        self.eof = False
        """The other side ended its sending direction in order."""
        self.broken = False
        """The stream was reset."""
        self.unsent = 0
        """Bytes that wait because the other side does not read."""
        self.withdrawn = False
        self.busy_until = 0.0
        """A time before which it reads nothing."""
        self.on_data: Callable[[bytes], None] | None = None
        self.on_end: Callable[[], None] | None = None
        self._received: list[bytes] = []
        self._end: End | None = None
        self._reading = True
        self._rate: float | None = None
        self._paced = False  # by `set_reading`, and not by the link
        self._early: list[Callable[[], None]] = []

    @property
    def received(self) -> bytes:
        """All that was read and not taken with `take()`; for long streams see `received_bytes` and `on_data`."""
        if len(self._received) > 1:
            self._received = [b"".join(self._received)]
        return self._received[0] if self._received else b""

    @property
    def unread_bytes(self) -> int:
        """What has arrived and was not read, because it does not read or reads slowly."""
        return 0 if self._end is None else self._end.unread_bytes

    @property
    def has_news(self) -> bool:
        """Something is on its way to it, or waits until it reads: bytes, or the end of the stream."""
        return self._end is not None and self._end.has_news

    def send(self, data: bytes) -> None:
        """Send bytes; before the connection is open they wait."""
        end = self._end
        if end is None:
            self._early.append(lambda: self.send(data))
        else:
            self.unsent = end.send([data])

    def end_sending(self) -> None:
        """Send FIN behind what was sent; go on reading."""
        end = self._end
        if end is None:
            self._early.append(self.end_sending)
        else:
            end.end_sending()

    def close(self) -> None:
        """Close both directions once everything is sent; what arrives later is answered by a reset."""
        self._let_go(flush=True)

    def reset(self) -> None:
        """Break the stream; what the other side has not read yet is lost."""
        self._let_go(flush=False)

    def set_reading(self, enabled: bool, *, bytes_per_second: float | None = None) -> None:
        """Stop reading, or read on, at once or at a rate."""
        self._reading, self._rate, self._paced = enabled, bytes_per_second, True
        if self._end is not None:
            self._start(self._end)

    def _start(self, end: End) -> None:
        if self._paced:
            end.read_bytes_per_second = self._rate
        end.set_reading(self._reading)

    def take(self) -> bytes:
        """Return what was received since the last call."""
        data, self._received = self.received, []
        return data

    def _let_go(self, *, flush: bool) -> None:
        if self._end is not None:
            self._end.close(flush=flush)
        elif flush:
            self._early.append(self.close)
        else:
            self.withdrawn = True

    def opened(self, end: End) -> None:
        """Take the stream (the world calls this)."""
        self._end, self.connected = end, True
        end.owner = self
        self._start(end)
        early, self._early = self._early, []
        for action in early:
            action()
        if self.withdrawn:
            end.close(flush=False)

    def failed(self, failure: ConnectFailure, detail: str) -> None:
        """Note the failure (the world calls this)."""
        self.failure, self.detail = failure, detail

    def data_received(self, data: bytes) -> None:
        """Note the bytes (the world calls this)."""
        self._received.append(data)
        self.received_bytes += len(data)
        if self.on_data is not None:
            self.on_data(data)

    def ended(self, clean: bool) -> None:
        """Note the end (the world calls this)."""
        self.eof, self.broken = clean, not clean
        if self.on_end is not None:
            self.on_end()

    def backlog_shrank(self, unsent: int) -> None:
        """Note the backlog (the world calls this)."""
        self.unsent = unsent
