"""The mock's part of the operator's log."""

from __future__ import annotations

from .._kinds import record

__all__ = ["MockRecord"]


@record
class MockRecord:
    """One request in the operator's log, written when its answer ended; for a WebSocket, when the session did.

    `outcome` is "done", "cut" (a fault ended the link), "disconnected" (the peer did), "stuck" (the peer took nothing),
    "shutdown", "failed" (a bug), "refused" (no whole request came) or "violation" (the peer broke the WebSocket
    protocol). `number` counts from 1, and is 0 for a request that was not answered by a dialect; `status` is 0 when no
    head was sent, or one that went past the HTTP machine, and 101 for a session; `sent_bytes` are those of the body or
    of the messages; `fault` is the SPEC that was followed. The rest is of sessions: `close_code` is that of the peer's
    Close (1005: it had none; None: no Close came).
    """

    number: int
    method: str
    target: str
    status: int
    outcome: str
    sent_bytes: int
    duration_seconds: float
    fault: str
    peer: str
    sent_messages: int = 0
    received_messages: int = 0
    received_bytes: int = 0
    close_code: int | None = None
    close_reason: str = ""
