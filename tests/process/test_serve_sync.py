"""What is special about the gateway on threads: who gets the signals, and how it ends."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

from websockets.sync.client import connect

from .test_serve import create

if TYPE_CHECKING:
    from .conftest import Start

SYNC = ("serve", "--port", "0", "--transport", "sync")


def test_a_running_stream_ends_before_the_process_does(start: Start) -> None:
    process = start(*SYNC)
    with connect(process.url()) as socket_:
        socket_.send(create("slow", stream=True, fault="chunk_delay=0.05,chunks=8"))
        assert json.loads(socket_.recv(timeout=30))["type"] == "universal.created"
        process.popen.send_signal(signal.SIGINT)
        frames = [json.loads(frame) for frame in socket_]
    assert frames[-1]["type"] == "universal.done"
    assert process.wait() == 0


def test_a_second_signal_ends_at_once(start: Start) -> None:
    process = start(*SYNC, "--drain-seconds", "3600")
    with connect(process.url()) as socket_:
        socket_.send(create("endless", stream=True, fault="stall_after=1"))
        socket_.recv(timeout=30)
        process.popen.send_signal(signal.SIGTERM)
        while "draining" not in process.log():
            os.sched_yield()
        assert process.stop(signal.SIGINT) == 128 + signal.SIGINT
    assert "Traceback" not in process.log()


def test_the_transport_may_be_in_the_file(start: Start, tmp_path: Path) -> None:
    file = tmp_path / "aigw.toml"
    file.write_text('[server]\nport = 0\ntransport = "sync"\n[[gateway]]\nid = "g"\nauthentication = false\n')
    process = start("serve", "--config", str(file), "--mock")
    with connect(process.url("/v1/any/g")) as socket_:
        socket_.send(create("one"))
        assert json.loads(socket_.recv(timeout=30))["metadata"]["status"] == 200
        assert len(list(Path(f"/proc/{process.popen.pid}/task").iterdir())) >= 4  # threads, which no other has
    assert process.stop(signal.SIGTERM) == 0
