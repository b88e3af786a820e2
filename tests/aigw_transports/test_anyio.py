from __future__ import annotations

import aigw_transports.anyio


def test_everything_that_is_promised_is_there() -> None:
    names = aigw_transports.anyio.__all__
    assert {"Driver", "connect", "serve"} <= set(names)
    assert all(hasattr(aigw_transports.anyio, name) for name in names)
