"""The request log: one flat record for each request, written when it ends."""

from __future__ import annotations

import enum
from collections.abc import Collection

from .._kinds import record
from ..providers import hide_tokens

__all__ = ["Outcome", "RequestRecord", "Tally"]


class Outcome(enum.Enum):
    """How a request ended."""

    DONE = "done"
    """The provider's answer was delivered whole, whatever its status."""
    ERROR = "error"
    """No answer, or only a part of one, could be had from a provider."""
    REFUSED = "refused"
    """The gateway refused the request before it reached a provider."""
    CANCELLED = "cancelled"
    """The client cancelled it."""
    DISCONNECTED = "disconnected"
    """The client's socket ended first."""


@record
class RequestRecord:
    """One request of the universal API. Durations are seconds, sizes are bytes of payload.

    `status` is what the client saw: the provider's, or the gateway's own. `first_byte_seconds` runs from the request to
    the answer's head; None when there was none. `frames` counts messages sent to the client for this request.
    """

    event_id: str
    log_id: str
    account: str
    gateway: str
    peer: str
    provider: str
    endpoint: str
    outcome: Outcome
    status: int
    step: int | None
    attempts: int
    streamed: bool
    frames: int
    request_bytes: int
    response_bytes: int
    duration_seconds: float
    first_byte_seconds: float | None
    error: str | None


class Tally:
    """Counts one request while it is under way."""

    __slots__ = (
        "_account",
        "_event_id",
        "_gateway",
        "_log_id",
        "_peer",
        "_secrets",
        "_started_at",
        "attempts",
        "first_byte_at",
        "response_bytes",
    )

    def __init__(
        self,
        *,
        event_id: str,
        log_id: str,
        account: str,
        gateway: str,
        peer: str,
        now: float,
        secrets: Collection[str] = (),
    ) -> None:
        """Start counting at `now`. `secrets` are kept out of the record, wherever a client may have put them."""
        self._secrets = secrets
        self._event_id = event_id
        self._log_id = log_id
        self._account = account
        self._gateway = gateway
        self._peer = peer
        self._started_at = now
        self.attempts = 0
        self.first_byte_at: float | None = None
        self.response_bytes = 0

    def record(
        self,
        outcome: Outcome,
        status: int,
        error: str | None,
        *,
        now: float,
        provider: str = "",
        endpoint: str = "",
        step: int | None = None,
        request_bytes: int = 0,
        streamed: bool = False,
        frames: int = 1,
    ) -> RequestRecord:
        """Return the record of a request that ends at `now`."""
        first = self.first_byte_at
        return RequestRecord(
            event_id=hide_tokens(self._event_id, self._secrets),
            log_id=self._log_id,
            account=hide_tokens(self._account, self._secrets),
            gateway=self._gateway,
            peer=self._peer,
            provider=hide_tokens(provider, self._secrets),
            endpoint=hide_tokens(endpoint, self._secrets),
            outcome=outcome,
            status=status,
            step=step,
            attempts=self.attempts,
            streamed=streamed,
            frames=frames,
            request_bytes=request_bytes,
            response_bytes=self.response_bytes,
            duration_seconds=now - self._started_at,
            first_byte_seconds=None if first is None else first - self._started_at,
            error=None if error is None else hide_tokens(error, self._secrets),
        )
