"""The server engine: sessions, requests, realtime sessions, upstream connections."""

from ._config import GatewayConfig, GatewaySettings
from ._engine import GatewayEngine
from ._realtime_record import ClosedBy, SessionRecord, TurnRecord
from ._record import Outcome, RequestRecord

__all__ = [
    "ClosedBy",
    "GatewayConfig",
    "GatewayEngine",
    "GatewaySettings",
    "Outcome",
    "RequestRecord",
    "SessionRecord",
    "TurnRecord",
]
