"""A relay with picows. It passes on frames from the buffer they were read into, and holds back who is too fast."""

from __future__ import annotations

import asyncio

import picows
import serving
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

options = serving.arguments(__doc__)


class Side(WSListener):
    """One of the two connections of a relay."""

    def __init__(self, path: bytes | None = None, other: Side | None = None) -> None:
        """Join to `other`, or open it at `path` when connected."""
        self.path = path
        self.other = other
        self.transport: WSTransport | None = None
        self.waiting: list[tuple[WSMsgType, bytes, bool]] = []

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Open the other side, or send it what came before it was open."""
        self.transport = transport
        if self.other is None and self.path is not None:
            url = f"ws://127.0.0.1:{options.provider}{self.path.decode()}"
            self.opening = asyncio.create_task(picows.ws_connect(lambda: Side(other=self), url))
        elif self.other is not None:
            self.other.other = self
            for kind, payload, final in self.other.waiting:
                transport.send(kind, payload, fin=final)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass on one frame."""
        if self.other is None or self.other.transport is None:
            self.waiting.append((frame.msg_type, frame.get_payload_as_bytes(), frame.fin))
        elif frame.msg_type is WSMsgType.CLOSE:
            self.other.transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.send_close(frame.get_close_code())
        else:
            self.other.transport.send(frame.msg_type, frame.get_payload_as_memoryview(), fin=frame.fin)

    def pause_writing(self) -> None:
        """Hold the other side back."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.underlying_transport.pause_reading()

    def resume_writing(self) -> None:
        """Let the other side go on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.underlying_transport.resume_reading()

    def on_ws_disconnected(self, _transport: WSTransport) -> None:
        """Close the other side too."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.disconnect()


def accept(request: WSUpgradeRequest) -> WSListener:
    """Take every upgrade."""
    return Side(path=request.path)


async def main() -> None:
    """Serve until the process is ended."""
    server = await picows.ws_create_server(accept, "127.0.0.1", 0, max_frame_size=1 << 26)
    serving.listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


serving.run(main, options.loop)
