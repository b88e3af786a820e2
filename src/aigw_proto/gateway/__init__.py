"""The server engine: sessions, requests, upstream connections."""

from ._config import GatewayConfig, GatewaySettings
from ._engine import GatewayEngine
from ._record import Outcome, RequestRecord

__all__ = ["GatewayConfig", "GatewayEngine", "GatewaySettings", "Outcome", "RequestRecord"]
