from __future__ import annotations

import contextlib
import math
import socket
import threading
from decimal import Decimal

import pytest

from aigw_transports._sync_wait import READABLE, WRITABLE, Alarm, check_timeout
from support.threads import PATIENCE_SECONDS


@pytest.mark.parametrize(
    ("timeout", "checked"),
    [(None, None), (0, 0), (-0.0, 0.0), (1e-9, 1e-9), (7, 7), (86_400.0 * 365, 86_400.0 * 365), (1e12, None),
     (10**400, None), (math.inf, None)],
)  # fmt: skip
def test_timeouts_and_what_is_no_limit(timeout: float | None, checked: float | None) -> None:
    assert check_timeout(timeout) == checked


@pytest.mark.parametrize("timeout", [-1, -1e-9, -math.inf, math.nan])
def test_seconds_that_nobody_can_wait(timeout: float) -> None:
    with pytest.raises(ValueError, match=r"^timeout: expected 0 seconds or more, got "):
        check_timeout(timeout)


@pytest.mark.parametrize("timeout", ["5", b"5", [5], Decimal(5), 5j])
def test_what_is_no_number_of_seconds(timeout: float) -> None:
    with pytest.raises(TypeError, match=r"^timeout: expected seconds or None, got (str|bytes|list|Decimal|complex)$"):
        check_timeout(timeout)


def test_waiting_for_sockets() -> None:
    near, far = socket.socketpair()
    with near, far, contextlib.closing(Alarm()) as alarm:
        assert alarm.wait((near, far), WRITABLE) == {near.fileno(), far.fileno()}
        assert alarm.wait((near, far), READABLE, 0.001) == set()
        far.sendall(b"x")
        assert alarm.wait((near, far), READABLE) == {near.fileno()}


def test_an_alarm_wakes_whoever_waits_now_or_later() -> None:
    near, far = socket.socketpair()
    found: list[set[int]] = []
    with near, far, contextlib.closing(Alarm()) as alarm:
        thread = threading.Thread(target=lambda: found.append(alarm.wait((near,), READABLE)))
        thread.start()
        alarm.ring()
        thread.join(PATIENCE_SECONDS)
        far.sendall(b"x")
        assert alarm.wait((near,), READABLE) == set()
    assert found == [set()]
