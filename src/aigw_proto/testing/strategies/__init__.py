"""Hypothesis strategies for what this project reads: frames, handshakes, envelopes, event streams, and cuts.

They need Hypothesis, which is installed with `aigw[testing]`; nothing else of `aigw_proto` does. What a strategy draws
comes with what it means, or with what is wrong with it, so that a test can compare without a parser of its own.
"""

from __future__ import annotations

try:
    import hypothesis as _hypothesis
except ImportError as error:
    raise ImportError("aigw_proto.testing.strategies needs Hypothesis: install aigw[testing], or hypothesis") from error

from ._cuts import cuts
from ._envelopes import Envelope, create_messages, envelopes
from ._frames import WebSocketMessage, doubtful_frame_streams, frame_streams, frames, messages
from ._handshakes import Handshake, upgrade_requests, upgrade_responses
from ._sse import SseStream, sse_streams

__all__ = [
    "Envelope",
    "Handshake",
    "SseStream",
    "WebSocketMessage",
    "create_messages",
    "cuts",
    "doubtful_frame_streams",
    "envelopes",
    "frame_streams",
    "frames",
    "messages",
    "sse_streams",
    "upgrade_requests",
    "upgrade_responses",
]

del _hypothesis
