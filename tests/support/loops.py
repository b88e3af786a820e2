"""The event loops on which what is made for asyncio has to work, for the plugin of anyio."""

from __future__ import annotations

import pytest

LOOPS: dict[str, dict[str, bool]] = {"asyncio": {"use_uvloop": False}, "uvloop": {"use_uvloop": True}}
"""The options of anyio's asyncio backend for each."""

each_loop = pytest.mark.parametrize("anyio_backend", [("asyncio", options) for options in LOOPS.values()], ids=LOOPS)

each_backend = pytest.mark.parametrize(
    "anyio_backend", [*(("asyncio", options) for options in LOOPS.values()), "trio"], ids=[*LOOPS, "trio"]
)
