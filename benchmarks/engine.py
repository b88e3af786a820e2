"""The gateway's engine without sockets: CPU time of a relayed message, and where it goes.

python benchmarks/engine.py [--profile]    prints it, or a profile; compiled functions count as their callers'
"""

from __future__ import annotations

import argparse
import base64
import cProfile
import hashlib
import os
import pstats
import re
import statistics
import time

from codec_stream import frame

from aigw_proto import BytesReceived, Connect, Input, LinkAccepted, LinkConnected, LinkId
from aigw_proto.conductor import Conductor
from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.providers import BaseUrl, ProviderTable
from aigw_proto.ws import IMPLEMENTATION

SESSIONS = 50
CASES = {"512 B": (512, 1), "512 B, 16 in a read": (512, 16), "16 KiB": (16384, 1)}
"""By name: bytes of a message, and messages in a read."""
UPGRADE = (
    b"GET /v1/bench/default/openai?model=m HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class NoPorts:
    """Takes everything at once and does nothing with it."""

    def __init__(self) -> None:
        """Remember what was sent last on each link, and the last connection that was asked for."""
        self.sent: dict[LinkId, list[bytes]] = {}
        self.asked: Connect | None = None

    def send(self, link: LinkId, chunks: list[bytes]) -> int:
        """See `Ports`."""
        self.sent[link] = chunks
        return 0

    def connect(self, effect: Connect) -> None:
        """See `Ports`."""
        self.asked = effect

    def ignore(self, *_: object) -> None:
        """See `Ports`."""

    set_reading = end_sending = close = journal = log = deliver = drained = arm = ignore


def open_session(conductor: Conductor[Input], ports: NoPorts) -> tuple[LinkId, LinkId]:
    """Open one session and return its links, the client's and the provider's."""
    client = conductor.new_link()
    conductor.feed(LinkAccepted(client, "bench"))
    conductor.feed(BytesReceived(client, UPGRADE))
    assert ports.asked is not None
    provider = ports.asked.link
    conductor.feed(LinkConnected(provider))
    key = re.search(rb"(?i)sec-websocket-key: (\S+)", b"".join(ports.sent[provider]))
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + GUID).digest())
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    conductor.feed(BytesReceived(provider, head + accept + b"\r\n\r\n"))
    return client, provider


class Relay:
    """Sessions of one engine, each with a message in either direction under way."""

    def __init__(self) -> None:
        """Open them."""
        table = ProviderTable.builtin().redirected(BaseUrl(is_secure=False, host="provider", port=80, path=""))
        config = GatewayConfig((GatewaySettings(),), table)
        engine = GatewayEngine(config, random_bytes=os.urandom, epoch_unix_seconds=0)
        ports = NoPorts()
        self.conductor: Conductor[Input] = Conductor(engine, ports, time.monotonic)
        self.sessions = [open_session(self.conductor, ports) for _ in range(SESSIONS)]

    def measure(self, size: int, in_a_read: int, seconds: float) -> float:
        """Return CPU microseconds for each relayed message of text."""
        text = b'{"type":"bench","audio":"%s"}' % (b"A" * (size - 27))
        up, down = (frame(1, text, masked=masked) * in_a_read for masked in (True, False))
        inputs = [
            BytesReceived(link, data) for pair in self.sessions for link, data in zip(pair, (up, down), strict=True)
        ]
        feed, clock = self.conductor.feed, time.process_time
        messages = 0
        start = clock()
        while (spent := clock() - start) < seconds:
            for event in inputs:
                feed(event)
            messages += len(inputs) * in_a_read
        return spent / messages * 1e6


def main() -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--seconds", type=float, default=0.3)
    options = parser.parse_args()
    relay = Relay()
    if options.profile:
        profile = cProfile.Profile()
        profile.runcall(relay.measure, 512, 1, 2.0)
        pstats.Stats(profile).sort_stats("tottime").print_stats(40)
        return
    print(f"aigw is {IMPLEMENTATION}")
    for name, (size, in_a_read) in CASES.items():
        samples = [relay.measure(size, in_a_read, options.seconds) for _ in range(7)]
        print(f"{statistics.median(samples):7.2f} us  {name}")


if __name__ == "__main__":
    main()
