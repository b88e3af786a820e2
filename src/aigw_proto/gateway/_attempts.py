"""What follows a try that failed: another try, the next step, or the end. Pure arithmetic.

Retried are failures of the network, timeouts, and the statuses that say "later" (408, 409, 429, 5xx); never a refusal
of the credentials or of the request. Any failure, every status outside 2xx included, moves on to the next step. Once a
provider has begun to answer with success the step is committed and none of this is asked any more: repeating it
could do its work, and bill it, twice.
"""

from __future__ import annotations

import enum

from .._kinds import record
from .._limits import GatewayLimits
from ..envelopes import Backoff, StepSettings

__all__ = ["Decision", "Next", "attempt_timeout", "decide", "retry_after_seconds"]

_RETRIED_STATUSES = frozenset({408, 409, 429})
_DEFAULT_DELAY_SECONDS = 0.5
_MAX_DOUBLINGS = 16  # beyond it every delay is at the limit anyway


class Next(enum.Enum):
    """What to do after a failed try."""

    RETRY = "try the same step again"
    STEP = "try the next step"
    GIVE_UP = "answer with what there is"


@record
class Decision:
    """What follows, and after how many seconds."""

    next: Next
    delay_seconds: float = 0.0


def decide(
    *,
    status: int | None,
    retry_after: float | None,
    attempt: int,
    last_step: bool,
    settings: StepSettings,
    limits: GatewayLimits,
) -> Decision:
    """Decide after try number `attempt` (from 1) of a step. `status` None means that no answer came."""
    retried = status is None or status in _RETRIED_STATUSES or status >= 500
    if retried and attempt < min(settings.max_attempts or 1, limits.max_attempts):
        delay = max(_backoff(settings, attempt), retry_after or 0.0)
        return Decision(Next.RETRY, min(delay, limits.max_retry_delay_seconds))
    return Decision(Next.GIVE_UP if last_step else Next.STEP)


def attempt_timeout(*, attempt: int, last_step: bool, settings: StepSettings, limits: GatewayLimits) -> float:
    """Return the seconds within which the answer to try number `attempt` has to begin.

    The last retry of the last step is not cut short by the request's own timeout, since nothing is left to try
    instead; the gateway's limit still holds.
    """
    requested = settings.request_timeout_seconds
    last_retry = last_step and attempt > 1 and attempt >= min(settings.max_attempts or 1, limits.max_attempts)
    if requested is None or last_retry:
        return limits.first_byte_timeout_seconds
    return min(requested, limits.first_byte_timeout_seconds)


def retry_after_seconds(value: bytes | None) -> float | None:
    """Read a Retry-After field in its delay form (RFC 9110 section 10.2.3); the date form would need a calendar."""
    if value is None or not value.isdigit() or len(value) > 9:
        return None
    return float(value)


def _backoff(settings: StepSettings, attempt: int) -> float:
    base = _DEFAULT_DELAY_SECONDS if settings.retry_delay_seconds is None else settings.retry_delay_seconds
    if settings.backoff is Backoff.LINEAR:
        return base * attempt
    if settings.backoff is Backoff.EXPONENTIAL:
        return base * float(1 << min(attempt - 1, _MAX_DOUBLINGS))
    return base
