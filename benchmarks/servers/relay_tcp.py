"""A relay that only moves bytes: what a relay cannot do without."""

from __future__ import annotations

import asyncio
from typing import cast

import serving

options = serving.arguments(__doc__)


class Side(asyncio.Protocol):
    """One of the two connections of a relay."""

    def __init__(self, other: Side | None = None) -> None:
        """Join to `other`, or open it when connected."""
        self.other = other
        self.transport: asyncio.Transport | None = None
        self.waiting = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the other side, or send it what came before it was open."""
        self.transport = stream = cast("asyncio.Transport", transport)
        if self.other is None:
            self.other = other = Side(self)
            loop = asyncio.get_running_loop()
            self.opening = loop.create_task(loop.create_connection(lambda: other, "127.0.0.1", options.provider))
        elif self.other.waiting:
            stream.write(self.other.waiting)

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        assert self.other is not None
        if self.other.transport is not None:
            self.other.transport.write(data)
        else:
            self.waiting += data

    def pause_writing(self) -> None:
        """Hold the other side back."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the other side go on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, _error: Exception | None) -> None:
        """Close the other side too."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def main() -> None:
    """Serve until the process is ended."""
    server = await asyncio.get_running_loop().create_server(Side, "127.0.0.1", 0, backlog=4096)
    serving.listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


serving.run(main, options.loop)
