"""What every server under test shares: the choice of the loop, and the line that says where it listens."""

from __future__ import annotations

import argparse
import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import uvloop


def arguments(description: str | None) -> argparse.Namespace:
    """Read `--loop`, `--driver` and, for relays, the port of the provider."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("provider", nargs="?", type=int, default=0)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="uvloop")
    parser.add_argument("--driver", choices=("asyncio", "anyio"), default="asyncio")
    return parser.parse_args()


def listening(port: int) -> None:
    """Say that the server is ready."""
    gc.freeze()  # the imports of each are never looked through again
    print(f"listening on ws://127.0.0.1:{port}", flush=True)


def run(main: Callable[[], Coroutine[Any, Any, None]], loop: str) -> None:
    """Run `main` until the process is ended."""
    if loop == "uvloop":
        uvloop.run(main())
    else:
        asyncio.run(main())
