"""The drivers beside each other, with an engine that echoes: python benchmarks/drivers.py [--rounds N] [--seconds S]

Messages of 100 bytes go to and fro on each connection. All drivers run at once, in processes of their own, and have
their turns in rounds; shown are medians, in proportion to the anyio driver of the same round.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections import defaultdict

import anyio

from aigw_proto import BytesReceived, Input, PeerClosed
from aigw_proto.testing import ToyEngine

MESSAGE = b"x" * 100
DRIVERS = ("anyio", "asyncio_protocol", "sync")
CONNECTIONS = (1, 50)


class Echo(ToyEngine):
    """Sends back whatever comes."""

    def received(self, event: Input) -> None:
        """Take one input."""
        match event:
            case BytesReceived(link, data):
                self.send(link, data)
            case PeerClosed(link):
                self.close(link)
            case _:
                pass


def serve(driver: str) -> None:
    """Echo until standard input ends; a line there asks for the CPU time so far."""
    if driver == "sync":
        from aigw_transports.sync import Driver, listen  # noqa: PLC0415 - each process has one driver only

        listeners = listen()
        threading.Thread(target=Driver(Echo()).run, args=(listeners,), daemon=True).start()
        report(listeners[0].getsockname()[1])
    else:
        anyio.run(serve_in_a_loop, driver)


async def serve_in_a_loop(driver: str) -> None:
    """Do it on asyncio."""
    module = importlib.import_module(f"aigw_transports.{driver}")
    async with anyio.create_task_group() as tasks:
        running = await tasks.start(functools.partial(module.serve, Echo()))
        await anyio.to_thread.run_sync(report, running.addresses[0][1])
        tasks.cancel_scope.cancel()


def report(port: int) -> None:
    """Say where the server is, and then how much CPU time it has used whenever that is asked."""
    print(port, flush=True)
    for _ in sys.stdin:
        print(time.process_time(), flush=True)


class Server:
    """A driver in a process of its own."""

    def __init__(self, driver: str) -> None:
        """Start it."""
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._read())

    def cpu_seconds(self) -> float:
        """Return what it has used so far."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return float(self._read())

    def stop(self) -> None:
        """End it."""
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def measure(server: Server, connections: int, seconds: float) -> tuple[float, float]:
    """Return messages per second, and microseconds of CPU time for each."""
    with contextlib.ExitStack() as stack, selectors.DefaultSelector() as selector:
        for _ in range(connections):
            peer = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
            peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer.sendall(MESSAGE)
            selector.register(peer, selectors.EVENT_READ, peer)
        before, count, end = server.cpu_seconds(), 0, time.monotonic() + seconds
        while time.monotonic() < end:
            for key, _ in selector.select():
                key.data.recv(1000)
                key.data.sendall(MESSAGE)
                count += 1
        return count / seconds, (server.cpu_seconds() - before) / count * 1e6


def compare(rounds: int, seconds: float) -> None:
    """Print a line for each driver and number of connections."""
    servers = {driver: Server(driver) for driver in DRIVERS}
    rates: dict[tuple[str, int], list[float]] = defaultdict(list)
    costs: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _ in range(rounds):
        for connections in CONNECTIONS:
            for driver, server in servers.items():
                rate, cost = measure(server, connections, seconds)
                rates[driver, connections].append(rate)
                costs[driver, connections].append(cost)
    for server in servers.values():
        server.stop()
    print("driver            connections  messages/s          CPU us/message")
    for (driver, connections), values in sorted(rates.items(), key=lambda item: item[0][1]):
        line = f"{driver:16}  {connections:11}"
        for found, base in ((values, rates), (costs[driver, connections], costs)):
            ratio = statistics.median(a / b for a, b in zip(found, base["anyio", connections], strict=True))
            line += f"  {statistics.median(found):10.1f} ({ratio:.2f})"
        print(line)


def main() -> None:
    """Read the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each driver in each round")
    parser.add_argument("--serve", choices=DRIVERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(arguments.serve)
    else:
        compare(arguments.rounds, arguments.seconds)


if __name__ == "__main__":
    main()
