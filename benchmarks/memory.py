"""Memory of an idle session: how much a process grows by 5,000 of them, without the kernel's buffers."""

from __future__ import annotations

import time

import processes
import relay
from handshakes import UNIVERSAL_PATH
from processes import Server
from rounds import Options, Result

FIRST, SESSIONS = 100, 5000
SETTLE_SECONDS = 0.5


def measure(server: Server, path: str, size: int) -> float:
    """Return KiB a session. The first hundred, which also make the process grow once and for all, do not count.

    Each session of a relay has relayed one message of `size` bytes there and back.
    """
    with processes.held(server, FIRST, path, size):
        time.sleep(SETTLE_SECONDS)
        before = server.resident_bytes
        with processes.held(server, SESSIONS, path, size):
            time.sleep(SETTLE_SECONDS)
            return (server.resident_bytes - before) / SESSIONS / 1024


def run(options: Options) -> Result:
    """Measure once each: this does not depend on what else the machine does."""
    result = Result("memory", reference="tcp")
    with relay.relays(options, variants=False) as servers:
        for name, server in servers.items():
            if name != "none":
                result.add("realtime session", name, {"KiB": measure(server, relay.PATH, 512)})
    with processes.provider() as provider, processes.gateway(provider.port) as gateway:
        result.add("universal session", "aigw", {"KiB": measure(gateway, UNIVERSAL_PATH, 0)})
    return result
