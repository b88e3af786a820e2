"""The gateway that the examples run, and how those that are programs begin.

Set `AIGW_PROVIDERS` to the URL of a server, such as that of `aigw mock`, to send the requests for all providers there.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from aigw_proto.gateway import GatewayConfig, GatewayEngine, GatewaySettings
from aigw_proto.providers import ProviderTable, parse_base_url

GRACE_SECONDS = 10.0
"""How long requests may still take when a program is told to stop."""


def make_engine() -> GatewayEngine:
    """Return a gateway without tokens or keys of its own, for time as `time.monotonic()` counts it."""
    providers = ProviderTable.builtin()
    if url := os.environ.get("AIGW_PROVIDERS"):
        base = parse_base_url(url)
        if isinstance(base, str):
            sys.exit(f"AIGW_PROVIDERS: {base}")
        providers = providers.redirected(base)
    config = GatewayConfig((GatewaySettings(),), providers)
    return GatewayEngine(config, random_bytes=os.urandom, epoch_unix_seconds=time.time() - time.monotonic())


def port_argument() -> int:
    """Return the port that the command line names, 0 for a free one."""
    parser = argparse.ArgumentParser(description="Serve the gateway on loopback.")
    parser.add_argument("--port", type=int, default=0, help="port to listen on (default: a free one)")
    return int(parser.parse_args().port)


def announce(host: str, port: int) -> None:
    """Say where the gateway is."""
    print(f"listening on ws://{host}:{port}", flush=True)
