from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._limits import GatewayLimits
from aigw_proto.envelopes import Backoff, StepSettings
from aigw_proto.gateway._attempts import Decision, Next, attempt_timeout, decide, retry_after_seconds

LIMITS = GatewayLimits()


def after(
    status: int | None,
    *,
    attempt: int = 1,
    last_step: bool = True,
    retry_after: float | None = None,
    settings: StepSettings | None = None,
) -> Decision:
    return decide(
        status=status,
        retry_after=retry_after,
        attempt=attempt,
        last_step=last_step,
        settings=settings or StepSettings(max_attempts=3, retry_delay_seconds=1.0),
        limits=LIMITS,
    )


@pytest.mark.parametrize("status", [None, 408, 409, 429, 500, 502, 503, 529, 599])
def test_what_may_pass_is_retried(status: int | None) -> None:
    assert after(status) == Decision(Next.RETRY, 1.0)


@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 413, 422])
def test_a_refusal_is_not_retried_but_falls_back(status: int) -> None:
    assert after(status).next is Next.GIVE_UP
    assert after(status, last_step=False).next is Next.STEP


def test_the_last_try_falls_back_or_gives_up() -> None:
    assert after(None, attempt=3).next is Next.GIVE_UP
    assert after(500, attempt=3, last_step=False).next is Next.STEP


def test_without_settings_there_is_one_try() -> None:
    assert after(500, settings=StepSettings()).next is Next.GIVE_UP


@pytest.mark.parametrize(
    ("backoff", "delays"),
    [
        (Backoff.CONSTANT, [2.0, 2.0, 2.0, 2.0]),
        (Backoff.LINEAR, [2.0, 4.0, 6.0, 8.0]),
        (Backoff.EXPONENTIAL, [2.0, 4.0, 8.0, 16.0]),
        (None, [2.0, 2.0, 2.0, 2.0]),
    ],
)
def test_backoff(backoff: Backoff | None, delays: list[float]) -> None:
    settings = StepSettings(max_attempts=5, retry_delay_seconds=2.0, backoff=backoff)
    assert [after(None, attempt=n, settings=settings).delay_seconds for n in (1, 2, 3, 4)] == delays


def test_a_delay_without_a_base_is_half_a_second() -> None:
    assert after(None, settings=StepSettings(max_attempts=2)).delay_seconds == 0.5


def test_retry_after_lengthens_a_delay_up_to_the_limit() -> None:
    assert after(429, retry_after=7.0).delay_seconds == 7.0
    assert after(429, retry_after=0.1).delay_seconds == 1.0
    assert after(429, retry_after=1e6).delay_seconds == LIMITS.max_retry_delay_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [(None, None), (b"2", 2.0), (b"0", 0.0), (b"-1", None), (b"1.5", None), (b"", None), (b"9" * 10, None)],
)
def test_retry_after_is_read_in_seconds(value: bytes | None, seconds: float | None) -> None:
    assert retry_after_seconds(value) == seconds


def test_a_date_in_retry_after_is_ignored() -> None:
    assert retry_after_seconds(b"Wed, 21 Oct 2026 07:28:00 GMT") is None


def test_timeouts() -> None:
    def timeout(attempt: int, settings: StepSettings, *, last_step: bool = True) -> float:
        return attempt_timeout(attempt=attempt, last_step=last_step, settings=settings, limits=LIMITS)

    limit = LIMITS.first_byte_timeout_seconds
    asked = StepSettings(request_timeout_seconds=2.0, max_attempts=2)
    assert timeout(1, StepSettings()) == limit
    assert timeout(1, asked) == 2.0
    assert timeout(2, asked) == limit  # nothing is left to try instead
    assert timeout(2, asked, last_step=False) == 2.0
    assert timeout(1, StepSettings(request_timeout_seconds=2.0)) == 2.0
    assert timeout(1, StepSettings(request_timeout_seconds=1e9)) == limit


@given(
    status=st.none() | st.integers(100, 599),
    attempt=st.integers(1, 50),
    last_step=st.booleans(),
    retry_after=st.none() | st.floats(0, 1e9),
    max_attempts=st.none() | st.integers(1, 100),
    delay=st.none() | st.floats(0, 1e6),
    backoff=st.none() | st.sampled_from(Backoff),
)
def test_tries_and_delays_are_always_bounded(
    status: int | None,
    attempt: int,
    last_step: bool,
    retry_after: float | None,
    max_attempts: int | None,
    delay: float | None,
    backoff: Backoff | None,
) -> None:
    settings = StepSettings(max_attempts=max_attempts, retry_delay_seconds=delay, backoff=backoff)
    decision = after(status, attempt=attempt, last_step=last_step, retry_after=retry_after, settings=settings)
    assert 0 <= decision.delay_seconds <= LIMITS.max_retry_delay_seconds
    if attempt >= LIMITS.max_attempts:
        assert decision.next is not Next.RETRY
