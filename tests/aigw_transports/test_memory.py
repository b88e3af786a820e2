from __future__ import annotations

from aigw_proto._inputs import BytesReceived, Input, PeerClosed
from aigw_proto.testing import ToyEngine
from aigw_transports.memory import World


class Echo(ToyEngine):
    def received(self, event: Input, now: float) -> None:
        match event:
            case BytesReceived(link, data):
                self.send(link, data)
            case PeerClosed(link):
                self.close(link)
            case _:
                pass


def test_echo() -> None:
    world = World(seed=1)
    world.host("gateway", Echo(), port=8787)
    client = world.peer("gateway", 8787)
    client.send(b"hello")
    world.run(until=lambda: client.received == b"hello")
    client.close()
    world.run()
    assert [line.split(" ", 1)[1] for line in world.trace] == [
        "gateway < wake",
        "gateway < LinkAccepted(link=0, peer='peer-1')",
        "gateway < BytesReceived(link=0, data=b'hello')",
        "gateway > SendBytes(link=0, chunks=[b'hello'])",
        "gateway < PeerClosed(link=0, clean=True)",
        "gateway > CloseLink(link=0, how=FLUSH)",
    ]
