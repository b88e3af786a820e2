"""The WebSocket machine alone, on blocking sockets: no engine, no driver, no event loop.

python machine_echo.py              serves echoes, with a thread for each connection
python machine_echo.py HOST PORT    sends the lines of standard input and prints what comes back
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from aigw_proto import Entropy, Signal
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    DeflatePolicy,
    Opening,
    OpeningEvent,
    Ping,
    Pong,
    TextMessage,
    UpgradeAccepted,
    UpgradeOffer,
    WebSocketEvent,
    WSConnection,
    new_key,
)


class NoEchoError(Exception):
    """The server does not speak WebSocket, or sends something else."""


def pump(sock: socket.socket, machine: Opening | WSConnection) -> OpeningEvent | WebSocketEvent | Signal:
    """Return the machine's next event; sends, reads and lets time pass as long as there is none."""
    while True:
        event = machine.next_event()
        sock.settimeout(None)
        for data in machine.data_to_send():
            sock.sendall(data)
        if event is not Signal.NEED_DATA:
            return event
        deadline = machine.next_timeout()
        sock.settimeout(None if deadline is None else max(0.001, deadline - time.monotonic()))
        try:
            data = sock.recv(65536)
        except TimeoutError:
            machine.handle_timeout(time.monotonic())
            continue
        if data:
            machine.receive_data(data, time.monotonic())
        else:
            machine.receive_eof(time.monotonic())


def echo(sock: socket.socket) -> None:
    """Serve one connection to its end."""
    with sock, contextlib.suppress(OSError):  # the peer may have gone
        opening = Opening.server(now=time.monotonic())
        if not isinstance(pump(sock, opening), UpgradeOffer):
            return  # the answer that says why was sent
        opening.accept(deflate=DeflatePolicy())
        pump(sock, opening)  # until it has SWITCHED
        connection = opening.connection(now=time.monotonic())
        while isinstance(event := pump(sock, connection), TextMessage | BinaryMessage | Ping | Pong):
            if isinstance(event, TextMessage):
                connection.send_text(event.data)
            elif isinstance(event, BinaryMessage):
                connection.send_binary(event.data)
        sock.shutdown(socket.SHUT_WR)  # closed: the last word was sent with the event


def talk(host: str, port: int, lines: Iterable[str]) -> Iterator[str]:
    """Send each line and yield its echo. Raises OSError, and NoEchoError for a server that does otherwise."""
    entropy = Entropy(os.urandom)
    with socket.create_connection((host, port)) as sock:
        opening = Opening.client(
            now=time.monotonic(), host=f"{host}:{port}".encode(), target=b"/", key=new_key(entropy)
        )
        if not isinstance(answer := pump(sock, opening), UpgradeAccepted):
            raise NoEchoError(f"no WebSocket: {answer}")
        pump(sock, opening)  # until it has SWITCHED
        connection = opening.connection(now=time.monotonic(), entropy=entropy)
        for line in lines:
            connection.send_text(line)
            while isinstance(event := pump(sock, connection), Ping | Pong):
                pass
            if not isinstance(event, TextMessage):
                raise NoEchoError(f"no echo: {event}")
            yield event.data
        connection.send_close(1000, now=time.monotonic())
        while not isinstance(event := pump(sock, connection), Closed):
            pass


def serve(listener: socket.socket) -> None:
    """Accept connections until the listener is closed."""
    while True:
        sock, _ = listener.accept()
        threading.Thread(target=echo, args=(sock,), daemon=True).start()


if __name__ == "__main__":
    if len(sys.argv) == 1:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            print("listening on ws://{}:{}".format(*listener.getsockname()), flush=True)
            serve(listener)
    for reply in talk(sys.argv[1], int(sys.argv[2]), (line.rstrip("\n") for line in sys.stdin)):
        print(reply)
