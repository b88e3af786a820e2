from __future__ import annotations

import contextlib
import socket
import threading

from aigw_transports._sync_wait import READABLE, WRITABLE, Alarm
from support.threads import PATIENCE_SECONDS


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
