"""Bounds of the mock provider, each with the reason for its default."""

from __future__ import annotations

from .._kinds import record
from .._limits import KIB, MIB

__all__ = ["MockLimits"]


@record
class MockLimits:
    """Bounds of the mock engine. Sizes are bytes, times are seconds."""

    max_links: int = 65_536
    """Open connections: beyond it new ones are closed at once."""
    max_request_body_bytes: int = 64 * MIB
    """More than any gateway in front of it lets through."""
    high_water_bytes: int = 256 * KIB
    """Unsent bytes of one link above which no more of its answer is made."""
    low_water_bytes: int = 64 * KIB
    """Unsent bytes below which the answer goes on."""
    max_pipelined_bytes: int = 256 * KIB
    """Received behind the request that is being answered; beyond it the link is not read."""
    turn_bytes: int = 256 * KIB
    """Output made in one turn; the rest waits for the next, so that no link holds up the others."""
    stuck_timeout_seconds: float = 60.0
    """A link above high water without any progress is aborted."""
    linger_timeout_seconds: float = 2.0
    """Reading and discarding after an early refusal, so that a peer still sending is not reset before it reads it."""
    max_fault_keys: int = 4096
    """Keys by which the fault `times` counts requests; the oldest is forgotten first."""
    max_message_bytes: int = 32 * MIB
    """One message on a WebSocket: twice what the largest appends of audio are; an echo has no bound."""
    max_waiting_answers: int = 64
    """Messages of a WebSocket client whose answers are still to be said; beyond it the client is not heard."""
    ping_interval_seconds: float | None = 30.0
    """Silence on a WebSocket after which its client is pinged: as the gateway does it."""
