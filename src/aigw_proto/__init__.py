"""Sans-IO core of the aigw AI gateway: machines, engines and the conductor that drives them.

Here are the words that all layers share. Machines and engines are in the subpackages `ws`, `http`, `envelopes`,
`providers`, `gateway`, `client` and `mock`, the turn loop in `conductor`, the published test kit in `testing`.
"""

from . import _build as _build  # before the others: it chooses between their sources and extensions
from ._effects import (
    CloseHow,
    CloseLink,
    Connect,
    Deliver,
    Drained,
    Effect,
    EndSending,
    Journal,
    Log,
    LogLevel,
    SendBytes,
    SetReading,
    TlsPolicy,
)
from ._entropy import Entropy, RandomBytes
from ._errors import AigwError, CloseCode, LocalProtocolError
from ._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from ._kinds import Engine, LinkId, Machine, Role, Signal, record
from ._limits import GatewayLimits, HttpLimits, SseLimits, WebSocketLimits
from ._timers import TimerTable

__all__ = [
    "AigwError",
    "BytesReceived",
    "BytesSent",
    "CloseCode",
    "CloseHow",
    "CloseLink",
    "Connect",
    "ConnectFailed",
    "ConnectFailure",
    "Deliver",
    "Drained",
    "Effect",
    "EndSending",
    "Engine",
    "Entropy",
    "GatewayLimits",
    "HttpLimits",
    "Input",
    "Journal",
    "LinkAccepted",
    "LinkConnected",
    "LinkId",
    "LocalProtocolError",
    "Log",
    "LogLevel",
    "Machine",
    "PeerClosed",
    "RandomBytes",
    "Role",
    "SendBytes",
    "SetReading",
    "ShutdownRequested",
    "Signal",
    "SseLimits",
    "TimerTable",
    "TlsPolicy",
    "WebSocketLimits",
    "record",
]
