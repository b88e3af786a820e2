"""What drivers are made of, for those who write one: see `How to write a driver`.

A subclass of `BaseDriver` has links of one class with the four methods of `LinkPorts`, for which `Reporter` is a base,
and adds `connect()`, `arm()`, `drained()` and a `run()` that calls `_begin()` first. It feeds with `_feed()`, gets new
ids from `_conductor`, and calls `_wake()` when the time of `arm()` has come. `_give_up()` is called when the engine or
a sink has failed, with what to raise in `_error`.
"""

from __future__ import annotations

from aigw_proto.conductor import FLUSH_SECONDS

from ._accepting import readable_address
from ._backlog import SLICE_BYTES, Backlog
from ._connect_errors import not_opened, not_secured
from ._driver import BaseDriver, log_to_standard_library
from ._link_table import LinkPorts
from ._reporter import Reporter
from ._tls import client_context

__all__ = [
    "FLUSH_SECONDS",
    "SLICE_BYTES",
    "Backlog",
    "BaseDriver",
    "LinkPorts",
    "Reporter",
    "client_context",
    "log_to_standard_library",
    "not_opened",
    "not_secured",
    "readable_address",
]
