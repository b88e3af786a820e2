"""Echo with picows."""

from __future__ import annotations

import picows
import serving
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest


class Echo(WSListener):
    """Sends back every frame, from the buffer it was read into."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Take one frame."""
        if frame.msg_type is WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview(), fin=frame.fin)


def accept(_request: WSUpgradeRequest) -> WSListener:
    """Take every upgrade."""
    return Echo()


async def main() -> None:
    """Serve until the process is ended."""
    server = await picows.ws_create_server(accept, "127.0.0.1", 0, max_frame_size=1 << 26)
    serving.listening(server.sockets[0].getsockname()[1])
    await server.serve_forever()


serving.run(main, serving.arguments(__doc__).loop)
