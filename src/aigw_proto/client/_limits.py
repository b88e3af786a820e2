"""The bounds of the client engines, each with the reason for its default. Bytes and seconds."""

from __future__ import annotations

from .._kinds import record

__all__ = ["ClientLimits"]

KIB = 1024
MIB = 1024 * KIB


@record
class ClientLimits:
    """Bounds of one `ClientEngine` or `RealtimeClientEngine`; those of requests mean nothing to the latter."""

    open_timeout_seconds: float = 10.0
    """From `OpenConnection` to the end of the opening handshake: name lookup, TCP, TLS and one round trip."""
    high_water_bytes: int = 16 * MIB
    """Delivered but not yet consumed bytes above which the gateway is no longer read, whoever's they are."""
    low_water_bytes: int = 4 * MIB
    """Unconsumed bytes below which reading resumes."""
    stall_timeout_seconds: float | None = 20.0
    """Not reading and nothing consumed for so long, while a request waits: the fullest is given up. Gateways give up a
    socket that is not read after a minute, and with it all requests."""
    sending_high_water_bytes: int = 1 * MIB
    """Unsent bytes above which the API layer is asked to hold further requests back."""
    sending_low_water_bytes: int = 256 * KIB
    """Unsent bytes below which it may go on."""
    max_in_flight: int = 65_536
    """Requests under way; gateways cap far below, and each costs about a kilobyte here."""
    max_remembered_cancels: int = 16_384
    """Cancelled event ids whose last frame has not come; beyond it the oldest is forgotten and its frames unknown."""
    max_event_id_bytes: int = 512
    """An event id is repeated in every frame; the gateway has the same bound."""
    turn_messages: int = 256
    """Messages handled in one turn, so that the driver gets back to its sockets and its tasks."""
    linger_timeout_seconds: float = 2.0
    """Reading and discarding after our last byte, so that a gateway still sending is not reset before it reads it."""
