"""The gateway in a gevent program: the sync driver as it is, on greenlets instead of threads.

`python gevent_server.py --port 8787`; see `example_gateway` for what it serves.
"""

from __future__ import annotations

from gevent import monkey

monkey.patch_all()  # before anything else is imported

import signal  # noqa: E402
import socket  # noqa: E402

import gevent  # noqa: E402
from example_gateway import GRACE_SECONDS, announce, make_engine, port_argument  # noqa: E402

from aigw_proto import Input, ShutdownRequested  # noqa: E402
from aigw_transports.sync import Driver, listen  # noqa: E402


def serve(listeners: list[socket.socket]) -> None:
    """Serve until SIGTERM or SIGINT, and then until what is under way has been answered."""
    driver: Driver[Input] = Driver(make_engine())

    def drain() -> None:
        if driver.running:
            driver.feed(ShutdownRequested(GRACE_SECONDS))

    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, drain)
    announce(*listeners[0].getsockname())
    driver.run(listeners)  # in this greenlet; a program has others beside it


if __name__ == "__main__":
    serve(listen("127.0.0.1", port_argument()))
