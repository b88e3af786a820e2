"""A driver from nothing: one process for each connection, which comes as standard input, as socat(1) brings it.

    socat TCP-LISTEN:8787,reuseaddr,fork EXEC:"python custom_transport.py",nofork

To send and to connect blocks, which is all of its back-pressure. A peer that takes nothing for a minute is given up. It
speaks no TLS.
"""
# ruff: noqa: ARG002, D102, TRY301 - to be short; the ports are explained in `aigw_proto.conductor.Ports`

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time

from example_gateway import make_engine

import aigw_proto as aigw
from aigw_proto.conductor import Conductor
from aigw_transports.parts import readable_address

PATIENCE_SECONDS = 60.0


class BlockingDriver:
    """Runs one engine until the connection that it begins with is closed."""

    def __init__(self, engine: aigw.Engine[aigw.Input], accepted: socket.socket, peer: str) -> None:
        """Begin with a connection from `peer`."""
        self.conductor: Conductor[aigw.Input] = Conductor(engine, self, time.monotonic)
        self.sockets: dict[aigw.LinkId, socket.socket] = {}
        self.reading: set[aigw.LinkId] = set()
        self.deadline: float | None = None
        self.first = self.conductor.new_link()
        self.open(accepted, aigw.LinkAccepted(self.first, peer))

    def open(self, sock: socket.socket, birth: aigw.LinkAccepted | aigw.LinkConnected) -> None:
        self.sockets[birth.link] = sock
        self.reading.add(birth.link)
        self.conductor.feed(birth)

    def run(self) -> None:
        """Read and keep time until the engine has drained."""
        while not self.conductor.ended:
            wait = None if self.deadline is None else max(0.0, self.deadline - time.monotonic())
            ready = set(select.select([self.sockets[link] for link in self.reading], [], [], wait)[0])
            found = [link for link in self.reading if self.sockets[link] in ready]
            for link in filter(self.reading.__contains__, found):  # still, after what the others brought
                self.conductor.feed(self.read(link))
            if self.deadline is not None and self.deadline <= time.monotonic():
                self.deadline = None
                self.conductor.wake()

    def read(self, link: aigw.LinkId) -> aigw.Input:
        data = None
        with contextlib.suppress(OSError):
            data = self.sockets[link].recv(65536)
        if data:
            return aigw.BytesReceived(link, data)
        self.reading.discard(link)
        return aigw.PeerClosed(link, clean=data is not None)

    def connect(self, effect: aigw.Connect) -> None:
        try:
            if effect.tls is not None:
                raise OSError("this driver has no TLS")
            self.open(socket.create_connection((effect.host, effect.port)), aigw.LinkConnected(effect.link))
        except (OSError, UnicodeError) as error:
            self.conductor.feed(aigw.ConnectFailed(effect.link, aigw.ConnectFailure.OTHER, str(error)))

    def send(self, link: aigw.LinkId, chunks: list[bytes]) -> int:
        try:
            self.sockets[link].sendall(b"".join(chunks))
        except OSError:
            self.end_sending(link, socket.SHUT_RDWR)  # so that the next read finds out
        return 0

    def set_reading(self, link: aigw.LinkId, enabled: bool) -> None:
        (self.reading.add if enabled else self.reading.discard)(link)

    def end_sending(self, link: aigw.LinkId, how: int = socket.SHUT_WR) -> None:
        with contextlib.suppress(OSError):
            self.sockets[link].shutdown(how)

    def close(self, link: aigw.LinkId, how: aigw.CloseHow) -> None:
        self.sockets.pop(link).close()
        self.reading.discard(link)
        if link == self.first:
            self.conductor.feed(aigw.ShutdownRequested(0.0))

    def log(self, effect: aigw.Journal | aigw.Log | aigw.Deliver) -> None:
        print(effect, file=sys.stderr)

    journal = deliver = log

    def arm(self, deadline: float | None) -> None:
        self.deadline = deadline

    def drained(self) -> None: ...


if __name__ == "__main__":
    socket.setdefaulttimeout(PATIENCE_SECONDS)
    try:
        client = socket.socket(fileno=0)
        address = readable_address(client.getpeername()[:2])
    except OSError as error:
        sys.exit(f"standard input is no connection: {error.strerror}")
    BlockingDriver(make_engine(), client, address).run()
