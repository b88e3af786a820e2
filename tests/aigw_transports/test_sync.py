from __future__ import annotations

import aigw_transports.anyio
import aigw_transports.sync


def test_the_names_are_those_of_the_other_driver() -> None:
    assert set(aigw_transports.sync.__all__) == {*aigw_transports.anyio.__all__, "listen"}
    assert all(hasattr(aigw_transports.sync, name) for name in aigw_transports.sync.__all__)
    same = [
        name
        for name in aigw_transports.anyio.__all__
        if getattr(aigw_transports.sync, name) == getattr(aigw_transports.anyio, name)
    ]
    own = {"Driver", "Gateway", "RealtimeConnection", "ReplyStream", "connect", "connect_realtime", "serve"}
    assert set(aigw_transports.anyio.__all__) - set(same) == own
