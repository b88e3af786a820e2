"""A server of the `websockets` package in a thread of the test's process."""

from __future__ import annotations

import contextlib
import ssl
import threading
from collections.abc import Callable, Generator, Sequence

from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol


@contextlib.contextmanager
def websockets_server(
    handler: Callable[[ServerConnection], None],
    *,
    tls: ssl.SSLContext | None = None,
    subprotocols: Sequence[str] | None = None,
) -> Generator[str]:
    """Serve on a free loopback port; gives the URL without a path."""
    chosen = None if subprotocols is None else [*map(Subprotocol, subprotocols)]
    with serve(handler, "127.0.0.1", 0, ssl=tls, subprotocols=chosen, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"{'ws' if tls is None else 'wss'}://localhost:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()
