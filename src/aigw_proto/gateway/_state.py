"""States and transitions of the gateway's machines, as data.

Everything about what may follow what lives here; the code that acts on it lives in `_session.py`, `_request.py`,
`_realtime.py` and `_pool.py`. A transition that is missing from a table is a bug of the engine, never a peer's mistake.
"""

from __future__ import annotations

import enum
from typing import TypeAlias, TypeVar

__all__ = [
    "REALTIME_TRANSITIONS",
    "REQUEST_TRANSITIONS",
    "SESSION_TRANSITIONS",
    "UPSTREAM_TRANSITIONS",
    "RealtimeState",
    "RealtimeTrigger",
    "RequestState",
    "RequestTrigger",
    "SessionState",
    "SessionTrigger",
    "UpstreamState",
    "UpstreamTrigger",
]

StateT = TypeVar("StateT", bound=enum.Enum)
TriggerT = TypeVar("TriggerT", bound=enum.Enum)
Transitions: TypeAlias = dict[StateT, dict[TriggerT, StateT]]


class SessionState(enum.Enum):
    """A client's connection."""

    HTTP = "plain requests are answered; an upgrade may come"
    UNIVERSAL = "a WebSocket carries universal.* messages"
    CLOSING = "our Close is sent; the peer's is awaited"
    LINGERING = "everything is sent; what still arrives is discarded until the peer ends"
    HANDED_OVER = "the link belongs to a realtime session"
    CLOSED = "the link is closed"


class SessionTrigger(enum.Enum):
    """What moves a session."""

    UPGRADE = "an upgrade was accepted"
    HAND_OVER = "an upgrade waits for a provider's answer"
    CLOSE = "the gateway starts the closing handshake"
    FAIL = "the peer broke a rule and was told"
    END = "the link ends"


SESSION_TRANSITIONS: Transitions[SessionState, SessionTrigger] = {
    SessionState.HTTP: {
        SessionTrigger.UPGRADE: SessionState.UNIVERSAL,
        SessionTrigger.HAND_OVER: SessionState.HANDED_OVER,
        SessionTrigger.FAIL: SessionState.LINGERING,
        SessionTrigger.END: SessionState.CLOSED,
    },
    SessionState.UNIVERSAL: {
        SessionTrigger.CLOSE: SessionState.CLOSING,
        SessionTrigger.FAIL: SessionState.LINGERING,
        SessionTrigger.END: SessionState.CLOSED,
    },
    SessionState.CLOSING: {
        SessionTrigger.FAIL: SessionState.LINGERING,
        SessionTrigger.END: SessionState.CLOSED,
    },
    SessionState.LINGERING: {SessionTrigger.END: SessionState.CLOSED},
    SessionState.HANDED_OVER: {},
    SessionState.CLOSED: {},
}


class RealtimeState(enum.Enum):
    """A realtime session."""

    OPENING = "the provider is being reached; the client waits for its answer"
    OPEN = "messages go both ways"
    CLOSING = "one side has closed or is gone, or the gateway ends; both are brought to their end"
    ENDED = "both links are closed"


class RealtimeTrigger(enum.Enum):
    """What moves a realtime session."""

    ACCEPT = "the provider accepted, and the client has its 101"
    CLOSE = "a Close, a lost connection, a refusal or a decision of the gateway"
    END = "the second link is closed"


REALTIME_TRANSITIONS: Transitions[RealtimeState, RealtimeTrigger] = {
    RealtimeState.OPENING: {
        RealtimeTrigger.ACCEPT: RealtimeState.OPEN,
        RealtimeTrigger.CLOSE: RealtimeState.CLOSING,
    },
    RealtimeState.OPEN: {RealtimeTrigger.CLOSE: RealtimeState.CLOSING},
    RealtimeState.CLOSING: {RealtimeTrigger.END: RealtimeState.ENDED},
    RealtimeState.ENDED: {},
}


class RequestState(enum.Enum):
    """One `universal.create`, from admission to its last frame."""

    WAITING = "a connection to the provider is awaited"
    SENT = "the head of the answer is awaited"
    HEADED = "the head is here; the first byte of content decides how it is delivered"
    COLLECTING = "the content is gathered for one frame"
    STREAMING = "frames go to the client as events arrive"
    DELAYED = "the next try is due later"
    ENDED = "the last frame is sent, or nobody waits for it"


class RequestTrigger(enum.Enum):
    """What moves a request."""

    ASSIGNED = "the pool gave a connection and the request was written to it"
    HEAD = "the provider accepted: the step is committed"
    REFUSED = "the provider answered with an error status"
    STREAM = "the content is a stream"
    WHOLE = "the content is one document"
    RETRY = "try again after a delay"
    TRY = "try now: a retry that is due, the next step, or a fresh connection"
    END = "the request ends"


REQUEST_TRANSITIONS: Transitions[RequestState, RequestTrigger] = {
    RequestState.WAITING: {
        RequestTrigger.ASSIGNED: RequestState.SENT,
        RequestTrigger.RETRY: RequestState.DELAYED,
        RequestTrigger.TRY: RequestState.WAITING,
        RequestTrigger.END: RequestState.ENDED,
    },
    RequestState.SENT: {
        RequestTrigger.HEAD: RequestState.HEADED,
        RequestTrigger.REFUSED: RequestState.COLLECTING,
        RequestTrigger.RETRY: RequestState.DELAYED,
        RequestTrigger.TRY: RequestState.WAITING,
        RequestTrigger.END: RequestState.ENDED,
    },
    RequestState.HEADED: {
        RequestTrigger.STREAM: RequestState.STREAMING,
        RequestTrigger.WHOLE: RequestState.COLLECTING,
        RequestTrigger.END: RequestState.ENDED,
    },
    RequestState.COLLECTING: {
        RequestTrigger.RETRY: RequestState.DELAYED,
        RequestTrigger.TRY: RequestState.WAITING,
        RequestTrigger.END: RequestState.ENDED,
    },
    RequestState.STREAMING: {RequestTrigger.END: RequestState.ENDED},
    RequestState.DELAYED: {
        RequestTrigger.TRY: RequestState.WAITING,
        RequestTrigger.END: RequestState.ENDED,
    },
    RequestState.ENDED: {},
}


class UpstreamState(enum.Enum):
    """One connection to a provider."""

    CONNECTING = "the driver was asked to open it"
    IDLE = "open and kept alive, carrying nothing"
    READY = "open and carrying a request"
    DRAINING = "carrying its last request; closed when that ends"
    DEAD = "closed, or never opened"


class UpstreamTrigger(enum.Enum):
    """What moves a connection to a provider."""

    OPENED = "the link is open"
    LEASED = "a request was assigned"
    RELEASED = "the exchange ended and another may follow"
    RETIRED = "no further request may be assigned"
    CLOSED = "the link is gone"


UPSTREAM_TRANSITIONS: Transitions[UpstreamState, UpstreamTrigger] = {
    UpstreamState.CONNECTING: {
        UpstreamTrigger.OPENED: UpstreamState.IDLE,
        UpstreamTrigger.CLOSED: UpstreamState.DEAD,
    },
    UpstreamState.IDLE: {
        UpstreamTrigger.LEASED: UpstreamState.READY,
        UpstreamTrigger.CLOSED: UpstreamState.DEAD,
    },
    UpstreamState.READY: {
        UpstreamTrigger.RELEASED: UpstreamState.IDLE,
        UpstreamTrigger.RETIRED: UpstreamState.DRAINING,
        UpstreamTrigger.CLOSED: UpstreamState.DEAD,
    },
    UpstreamState.DRAINING: {
        UpstreamTrigger.RETIRED: UpstreamState.DRAINING,
        UpstreamTrigger.CLOSED: UpstreamState.DEAD,
    },
    UpstreamState.DEAD: {},
}
