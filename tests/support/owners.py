"""Streams and links of the sync driver in the hands of a test, which is the owner thread."""

from __future__ import annotations

import contextlib
import math
import socket
import time
from typing import TYPE_CHECKING

from aigw_transports._sync_owner import Owner
from aigw_transports._sync_stream import SocketStream, set_up

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

PATIENCE_SECONDS = 30.0  # for a test that hangs; none comes near it


class Stage:
    """An owner whose steps the test takes, and the streams that it has."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.owner = Owner()
        self.streams: set[SocketStream] = set()

    def connection(self) -> tuple[SocketStream, socket.socket]:
        """Return a stream and the other end of it."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            peer = socket.create_connection(listener.getsockname(), timeout=PATIENCE_SECONDS)
            connected, _ = listener.accept()
        set_up(connected)
        stream = SocketStream(self.owner, connected, self.streams.discard)
        self.streams.add(stream)
        return stream, peer

    def until(self, holds: Callable[[], object]) -> None:
        """Do what is posted until something holds."""
        give_up = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            self.owner.step(time.monotonic() + 1.0)
            assert time.monotonic() < give_up

    def read_while(self, holds: Callable[[], object], peer: socket.socket) -> bytearray:
        """Read from a peer, and do what is posted, while something holds."""
        got = bytearray()
        peer.setblocking(False)  # this thread is the owner, too, which has to send what it waits for
        while holds():
            with contextlib.suppress(BlockingIOError):
                got += peer.recv(1 << 20)
            self.owner.step(time.monotonic() + 0.001)
        peer.settimeout(PATIENCE_SECONDS)
        return got

    def finish(self) -> None:
        """Reset what is still open, and wait until nothing is left."""
        for stream in list(self.streams):
            stream.reset()
        while self.owner.thread_count:
            self.owner.step(math.inf)
        self.owner.finish()
        assert not self.streams


class Witness:
    """A user that notes what a stream tells."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.received = bytearray()
        self.reads = 0
        self.ends: list[str] = []
        self.steps = 0

    def receive(self, data: bytes) -> None:
        """See `User`."""
        self.received += data
        self.reads += 1

    def receive_eof(self) -> None:
        """See `User`."""
        self.ends.append("eof")

    def receive_loss(self, error: Exception | None) -> None:
        """See `User`."""
        self.ends.append("left" if error is None else type(error).__name__)

    def progress(self) -> None:
        """See `User`."""
        self.steps += 1


@contextlib.contextmanager
def stage() -> Generator[Stage, None, None]:
    """Give a stage for a block, behind which nothing is left."""
    it = Stage()
    try:
        yield it
    finally:
        it.finish()
