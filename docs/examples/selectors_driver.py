"""A driver in one thread, on the standard library's `selectors`: what `How to write a driver` builds.

It is complete but for TLS, and it looks names up in the foreground. It passes `aigw_proto.testing.check_driver`.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import sys
import time
from collections import deque
from typing import TYPE_CHECKING

from aigw_proto import (
    BytesReceived,
    BytesSent,
    CloseHow,
    Connect,
    ConnectFailed,
    ConnectFailure,
    Deliver,
    Input,
    Journal,
    LinkAccepted,
    LinkConnected,
    LinkId,
    Log,
    PeerClosed,
)
from aigw_proto.conductor import Conductor

if TYPE_CHECKING:
    from aigw_proto import Engine

FLUSH_SECONDS = 10.0
READ_BYTES = 64 * 1024
IN, OUT = selectors.EVENT_READ, selectors.EVENT_WRITE


class Stream:
    """One socket, and what the driver has to remember about it."""

    def __init__(self, link: LinkId, sock: socket.socket, *, connected: bool) -> None:
        """Hold a non-blocking socket."""
        self.link = link
        self.socket = sock
        self.connected = connected
        self.reading = True
        self.ended = False  # the peer's end was told
        self.broken = False  # nothing can be sent any more
        self.finishing = False  # end the sending direction when the queue is empty
        self.close_at: float | None = None  # closed by the engine; what is queued has until then
        self.queue: deque[memoryview] = deque()
        self.unsent = 0

    def wanted(self) -> int:
        """Return the events to wait for."""
        wants_in = self.connected and self.reading and not self.ended and self.close_at is None
        return (IN if wants_in else 0) | (OUT if self.queue or not self.connected else 0)

    def flush(self) -> None:
        """Send what the kernel takes. Raises OSError when the connection is broken."""
        while self.queue:
            try:
                sent = self.socket.send(self.queue[0])
            except BlockingIOError:
                return
            self.unsent -= sent
            self.queue[0] = self.queue[0][sent:]
            if not self.queue[0]:
                self.queue.popleft()
        if self.finishing:
            self.finishing = False
            self.socket.shutdown(socket.SHUT_WR)


class SelectorsDriver:
    """Runs one engine. `listen()` if it serves, then `run()`; all in one thread."""

    def __init__(self, engine: Engine[Input]) -> None:
        """Join the engine to this driver; the conductor does the rest."""
        self._conductor: Conductor[Input] = Conductor(engine, self, time.monotonic)
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        self._streams: dict[LinkId, Stream] = {}
        self._flushing: set[Stream] = set()
        self._deadline: float | None = None
        self._conductor.start()

    # -- for the program

    def listen(self, host: str, port: int) -> tuple[str, int]:
        """Accept connections; return the address. Raises OSError."""
        listener = socket.create_server((host, port))
        listener.setblocking(False)
        self._listeners.append(listener)
        self._selector.register(listener, IN, listener)
        bound_host, bound_port = listener.getsockname()[:2]
        return bound_host, bound_port

    def feed(self, event: Input) -> None:
        """Give the engine an input, such as `ShutdownRequested`."""
        self._conductor.feed(event)

    @property
    def running(self) -> bool:
        """True until the engine has drained and everything it sent before is gone."""
        return not self._conductor.ended or bool(self._flushing)

    def run(self) -> None:
        """Run until the engine has drained."""
        while self.running:
            self.step()
        self._selector.close()

    def step(self, most_seconds: float = 3600.0) -> None:
        """Wait for something to happen, at most so long, and handle it."""
        now = time.monotonic()
        deadlines = [stream.close_at for stream in self._flushing if stream.close_at is not None]
        if self._deadline is not None:
            deadlines.append(self._deadline)
        wait = max(0.0, min([most_seconds, *(deadline - now for deadline in deadlines)]))
        for key, events in self._selector.select(wait):
            if isinstance(key.data, Stream):
                self._handle(key.data, events)
            else:
                self._accept(key.data)
        now = time.monotonic()
        if self._deadline is not None and self._deadline <= now:
            self._deadline = None
            self._conductor.wake()
        for stream in [stream for stream in self._flushing if stream.close_at is not None and stream.close_at <= now]:
            self._drop(stream, reset=True)

    # -- what sockets do

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):  # the peer has gone already, or there are too many open files
            sock, peer = listener.accept()
            sock.setblocking(False)
            stream = self._add(Stream(self._conductor.new_link(), sock, connected=True))
            self._conductor.feed(LinkAccepted(stream.link, f"{peer[0]}:{peer[1]}"))

    def _handle(self, stream: Stream, events: int) -> None:
        if not stream.connected:
            self._finish_connecting(stream)
            return
        if events & OUT:
            before = stream.unsent
            self._flush(stream)
            if stream.close_at is None and not stream.broken and stream.unsent != before:
                self._conductor.feed(BytesSent(stream.link, stream.unsent))
        if events & IN and stream.wanted() & IN:
            self._read(stream)

    def _finish_connecting(self, stream: Stream) -> None:
        error = stream.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            self._drop(stream)
            self._conductor.feed(_failed(stream.link, OSError(error, "")))
        else:
            stream.connected = True
            self._watch(stream)
            self._conductor.feed(LinkConnected(stream.link))

    def _read(self, stream: Stream) -> None:
        try:
            data = stream.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            self._break(stream)
            return
        if data:
            self._conductor.feed(BytesReceived(stream.link, data))
        else:
            stream.ended = True
            self._watch(stream)
            self._conductor.feed(PeerClosed(stream.link, clean=True))

    def _flush(self, stream: Stream) -> None:
        try:
            stream.flush()
        except OSError:
            self._break(stream)
        if stream.close_at is not None and not stream.queue:
            self._drop(stream)
        else:
            self._watch(stream)

    def _break(self, stream: Stream) -> None:
        """Note that nothing can be sent or read any more; tell the engine once."""
        unsent, stream.unsent = stream.unsent, 0
        stream.queue.clear()
        told, stream.ended, stream.broken = stream.ended, True, True
        if stream.close_at is not None:
            return
        self._watch(stream)
        if not told:
            self._conductor.feed(PeerClosed(stream.link, clean=False))
        elif unsent:
            self._conductor.feed(BytesSent(stream.link, 0))

    def _add(self, stream: Stream) -> Stream:
        self._streams[stream.link] = stream
        self._watch(stream)
        return stream

    def _watch(self, stream: Stream) -> None:
        registered = self._selector.get_map().get(stream.socket)
        wanted = stream.wanted()
        if registered is None:
            if wanted:
                self._selector.register(stream.socket, wanted, stream)
        elif not wanted:
            self._selector.unregister(stream.socket)
        elif wanted != registered.events:
            self._selector.modify(stream.socket, wanted, stream)

    def _drop(self, stream: Stream, *, reset: bool = False) -> None:
        self._streams.pop(stream.link, None)
        self._flushing.discard(stream)
        with contextlib.suppress(KeyError):
            self._selector.unregister(stream.socket)
        if reset:
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        stream.socket.close()

    # -- what the engine wants: the ports

    def connect(self, effect: Connect) -> None:
        """Start opening a link. Inputs that are fed here wait for their turn."""
        if effect.tls is not None:
            self._conductor.feed(ConnectFailed(effect.link, ConnectFailure.TLS, "this driver does not speak TLS"))
            return
        sock = None
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(effect.host, effect.port, type=socket.SOCK_STREAM)[
                0
            ]
            sock = socket.socket(family, kind, protocol)
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                sock.connect(address)
        except (OSError, UnicodeError) as error:
            if sock is not None:
                sock.close()
            self._conductor.feed(_failed(effect.link, error))
        else:
            self._add(Stream(effect.link, sock, connected=False))

    def send(self, link: LinkId, chunks: list[bytes]) -> int:
        """Send chunks; return how much the kernel has not taken."""
        stream = self._streams[link]
        if stream.broken:
            return 0
        had_backlog = bool(stream.queue)
        stream.queue.extend(map(memoryview, chunks))
        stream.unsent += sum(map(len, chunks))
        if not had_backlog:  # else it shrinks in `_handle`, where the engine is told
            self._flush(stream)
        return stream.unsent

    def set_reading(self, link: LinkId, enabled: bool) -> None:
        """Start or stop reading."""
        stream = self._streams[link]
        stream.reading = enabled
        self._watch(stream)

    def end_sending(self, link: LinkId) -> None:
        """End the sending direction behind what is queued."""
        stream = self._streams[link]
        stream.finishing = True
        if not stream.queue:
            self._flush(stream)

    def close(self, link: LinkId, how: CloseHow) -> None:
        """Close at once, or when everything is sent; feed nothing any more."""
        stream = self._streams.pop(link)
        if how is CloseHow.FLUSH and stream.queue:
            stream.close_at = time.monotonic() + FLUSH_SECONDS
            self._flushing.add(stream)
            self._watch(stream)
        else:
            self._drop(stream, reset=how is CloseHow.ABORT)

    def journal(self, effect: Journal) -> None:
        """Write one record."""
        print(effect.entry, file=sys.stderr)

    def log(self, effect: Log) -> None:
        """Write one line."""
        print(effect.message, dict(effect.details), file=sys.stderr)

    def deliver(self, effect: Deliver) -> None:
        """Hand an item to the embedding program; this one has no use for any."""

    def drained(self) -> None:
        """Stop listening; `run()` ends when nothing is left to send."""
        for listener in self._listeners:
            self._selector.unregister(listener)
            listener.close()

    def arm(self, deadline: float | None) -> None:
        """Set the one timer."""
        self._deadline = deadline


def _failed(link: LinkId, error: Exception) -> ConnectFailed:
    if isinstance(error, socket.gaierror | UnicodeError):
        return ConnectFailed(link, ConnectFailure.NAME, str(error))
    refused = isinstance(error, ConnectionRefusedError)
    return ConnectFailed(link, ConnectFailure.REFUSED if refused else ConnectFailure.OTHER, str(error))
