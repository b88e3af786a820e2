"""Both ends of a session on real sockets in one thread: what the memory world's peers are, on loopback."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import time
from collections import deque
from collections.abc import Callable

PATIENCE_SECONDS = 30.0  # only for what hangs: the machine may be busy
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Socket:
    """One end of a stream; does what the memory world's `Peer` does."""

    def __init__(self, loop: Loop, raw: socket.socket) -> None:
        """Take a connected socket."""
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.received_bytes = 0
        self.eof = False
        self.broken = False
        self.unsent = 0
        self.on_data: Callable[[bytes], None] | None = None
        self._loop = loop
        self._raw = raw
        self._backlog: deque[memoryview] = deque()
        self._received: list[bytes] = []
        self._reading = True
        self._ending = False
        self._closing = False
        self.open = True
        self.watch()

    def send(self, data: bytes) -> None:
        """Send as much as the kernel takes; the rest follows."""
        if self.broken or not self.open:
            return
        if data:
            self._backlog.append(memoryview(data))
            self.unsent += len(data)
        self.push()

    def end_sending(self) -> None:
        """Send FIN behind what is queued."""
        self._ending = True
        self.push()

    def close(self) -> None:
        """Close when all is sent."""
        self._closing, self._reading = True, False
        self.push()

    def reset(self) -> None:
        """Break the stream."""
        with contextlib.suppress(OSError):
            self._raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._drop()

    def set_reading(self, enabled: bool) -> None:
        """Stop reading, or read on."""
        self._reading = enabled
        self.watch()

    def take(self) -> bytes:
        """Return what came since the last call."""
        data, self._received = b"".join(self._received), []
        return data

    def push(self) -> None:
        """Write what the kernel takes."""
        try:
            while self._backlog:
                count = self._raw.send(self._backlog[0])
                self.unsent -= count
                if count == len(self._backlog[0]):
                    self._backlog.popleft()
                else:
                    self._backlog[0] = self._backlog[0][count:]
        except BlockingIOError:
            pass
        except OSError:
            self._break()
        if not self._backlog and self.open:
            if self._closing:
                self._drop()
            elif self._ending:
                self._ending = False
                with contextlib.suppress(OSError):
                    self._raw.shutdown(socket.SHUT_WR)
        self.watch()

    def pull(self) -> None:
        """Read once."""
        try:
            data = self._raw.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            self._break()
            return
        if not data:
            self.eof = True
            self.watch()
            return
        self.received_bytes += len(data)
        self._received.append(data)
        if self.on_data is not None:
            self.on_data(data)

    def watch(self) -> None:
        """Tell the loop what to look for."""
        wanted = selectors.EVENT_READ if self._reading and not self.eof and not self.broken else 0
        wanted |= selectors.EVENT_WRITE if self._backlog else 0
        self._loop.watch(self._raw, self, wanted if self.open else 0)

    def _break(self) -> None:
        if not self.broken:
            self.broken, self.eof = True, False
            self._backlog.clear()
            self.unsent = 0
            self.watch()

    def _drop(self) -> None:
        if self.open:
            self.open = False
            self._backlog.clear()
            self.watch()
            self._raw.close()


class Loop:
    """A provider's listener, and all sockets of a test."""

    def __init__(self, buffer_bytes: int) -> None:
        """Listen on a free port; `buffer_bytes` is what a socket's kernel buffers hold."""
        self.accepted: deque[Socket] = deque()
        self._buffer_bytes = buffer_bytes
        self._selector = selectors.DefaultSelector()
        self._watched: dict[socket.socket, int] = {}
        self._sockets: list[Socket] = []
        self._listener = socket.socket()
        self._bound(self._listener)
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(256)
        self._listener.setblocking(False)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._dead = socket.socket()
        self._dead.bind(("127.0.0.1", 0))

    @property
    def port(self) -> int:
        """Where the provider listens."""
        return int(self._listener.getsockname()[1])

    @property
    def dead_port(self) -> int:
        """Where nobody listens, and nobody else can."""
        return int(self._dead.getsockname()[1])

    def connect(self, port: int) -> Socket:
        """Connect to a port of this machine."""
        raw = socket.socket()
        self._bound(raw)
        raw.settimeout(PATIENCE_SECONDS)
        raw.connect(("127.0.0.1", port))
        return self._adopt(raw)

    def run(self, until: Callable[[], bool]) -> None:
        """Let things happen until a condition holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not until():
            left = deadline - time.monotonic()
            assert left > 0, "nothing happens any more"
            self.step(min(left, 0.5))

    def step(self, seconds: float) -> bool:
        """Wait for something to happen; False when nothing did."""
        events = self._selector.select(seconds)
        for key, mask in events:
            if key.data is None:
                self._accept()
                continue
            end: Socket = key.data
            if mask & selectors.EVENT_READ and end.open:
                end.pull()
            if mask & selectors.EVENT_WRITE and end.open:
                end.push()
        return bool(events)

    def watch(self, raw: socket.socket, end: Socket, events: int) -> None:
        """Look for these events; for none when 0."""
        before = self._watched.get(raw, 0)
        if events == before:
            return
        if not events:
            self._selector.unregister(raw)
            del self._watched[raw]
        elif before:
            self._selector.modify(raw, events, end)
        else:
            self._selector.register(raw, events, end)
        if events:
            self._watched[raw] = events

    def close_all(self) -> None:
        """Close every socket of the test."""
        self._accept()
        self.accepted.clear()
        for end in self._sockets:
            end.reset()
        self._sockets.clear()

    def close(self) -> None:
        """Close everything, the listener too."""
        self.close_all()
        self._selector.close()
        self._listener.close()
        self._dead.close()

    def _bound(self, raw: socket.socket) -> None:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._buffer_bytes)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._buffer_bytes)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self.accepted.append(self._adopt(self._listener.accept()[0]))

    def _adopt(self, raw: socket.socket) -> Socket:
        end = Socket(self, raw)
        self._sockets.append(end)
        return end
