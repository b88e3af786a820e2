"""The realtime client in threads against a server that nobody here wrote."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import websockets.exceptions
from websockets.sync.server import ServerConnection

import aigw_transports.sync as aigw
from aigw_proto._inputs import ConnectFailure
from aigw_proto.client import SendMessage
from aigw_transports._sync_realtime import _Sending
from support import certificates
from support.threads import PATIENCE_SECONDS, no_thread_left, reset
from support.websockets_server import websockets_server

MIB = 1024 * 1024
QUICK = aigw.WebSocketLimits(close_timeout_seconds=0.05)


@pytest.fixture(autouse=True)
def every_thread_ends() -> Iterator[None]:
    with no_thread_left():
        yield


def echo(peer: ServerConnection) -> None:
    with contextlib.suppress(websockets.exceptions.ConnectionClosed):
        for message in peer:
            peer.send(message)


def wait_for_the_end(peer: ServerConnection) -> None:
    with contextlib.suppress(websockets.exceptions.ConnectionClosed):
        peer.recv(timeout=PATIENCE_SECONDS)


def test_messages_come_back_as_they_went() -> None:
    big = os.urandom(MIB)
    with websockets_server(echo) as url:
        with aigw.connect_realtime(url) as session:
            assert (session.close_code, session.close_reason, session.closed_by) == (None, None, None)
            messages: list[str | bytes] = ["", b"", "žluť €", b"\x00\xff", "x" * 70_000, big, big.hex()]
            for message in messages:
                session.send(message)
                assert session.receive(timeout=PATIENCE_SECONDS) == message
            session.send(bytearray(b"mutable"), timeout=PATIENCE_SECONDS)
            session.send(memoryview(b"a view")[2:])
            assert [session.receive(), session.receive()] == [b"mutable", b"view"]
        assert (session.close_code, session.closed_by) == (1000, aigw.ClosedBy.PROGRAM)


def test_one_receives_while_several_send() -> None:
    received: list[str | bytes] = []
    with websockets_server(echo) as url, aigw.connect_realtime(url) as session:

        def send(sender: int) -> None:
            for number in range(50):
                session.send(f"{sender}.{number}")

        threads = [threading.Thread(target=send, args=(sender,)) for sender in range(10)]
        for thread in threads:
            thread.start()
        received.extend(session.receive(timeout=PATIENCE_SECONDS) for _ in range(500))
        for thread in threads:
            thread.join()
    for sender in range(10):
        assert [m for m in received if str(m).startswith(f"{sender}.")] == [f"{sender}.{n}" for n in range(50)]


def test_what_is_no_message_is_the_programs_mistake_and_nothing_is_lost() -> None:
    with websockets_server(echo) as url, aigw.connect_realtime(url) as session:
        with pytest.raises(TypeError, match="expected str or bytes, got int"):
            session.send(1)  # type: ignore[arg-type] # the mistake
        with pytest.raises(aigw.LocalProtocolError, match="close code 1006"):
            session.close(1006)
        session.send("still open")
        assert session.receive() == "still open"


def test_receive_has_a_timeout_and_loses_nothing() -> None:
    with websockets_server(echo) as url, aigw.connect_realtime(url) as session:
        with pytest.raises(TimeoutError, match="nothing came within 0 s"):
            session.receive(timeout=0)
        with pytest.raises(TimeoutError):
            session.receive(timeout=0.001)
        session.send("later")
        assert session.receive(timeout=PATIENCE_SECONDS) == "later"


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), (float("nan"), ValueError), ("5", TypeError)])
def test_timeouts_that_are_none(timeout: float, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout: expected "), aigw.connect_realtime("ws://127.0.0.1:1", timeout=timeout):
        raise AssertionError("the block is not entered")
    with websockets_server(echo) as url, aigw.connect_realtime(url) as session:
        for call in (
            lambda: session.send("never", timeout=timeout),
            lambda: session.receive(timeout=timeout),
            lambda: session.close(timeout=timeout),
        ):
            with pytest.raises(error, match="timeout: expected "):
                call()
        session.send("x")
        assert session.receive() == "x"  # nothing was sent, and nothing was closed


@pytest.mark.parametrize("timeout", [float("inf"), 1e12, 1e9])
def test_timeouts_that_are_as_good_as_none(timeout: float) -> None:
    with websockets_server(echo) as url, aigw.connect_realtime(url, timeout=timeout) as session:
        session.send("x", timeout=timeout)
        assert session.receive(timeout=timeout) == "x"
        session.close(timeout=timeout)
    assert session.close_code == 1000


def test_only_one_thread_can_receive() -> None:
    with websockets_server(echo) as url, aigw.connect_realtime(url) as session:
        got: list[str | bytes] = []
        thread = threading.Thread(target=lambda: got.append(session.receive()))
        thread.start()
        while not session._receiving.locked():
            os.sched_yield()
        with pytest.raises(RuntimeError, match="another thread is receiving"):
            session.receive()
        session.send("for the first")
        thread.join(PATIENCE_SECONDS)
        assert got == ["for the first"]


def test_a_program_that_takes_nothing_stops_the_peer() -> None:
    message = b"x" * 10_000
    limits = aigw.ClientLimits(high_water_bytes=200_000, low_water_bytes=50_000)

    def handler(peer: ServerConnection) -> None:
        for _ in range(3000):  # more than the buffers of the sockets hold
            peer.send(message)

    with websockets_server(handler) as url, aigw.connect_realtime(url, limits=limits) as session:
        assert list(session) == [message] * 3000
        assert session.closed_by is aigw.ClosedBy.PEER


def test_sending_waits_for_a_peer_that_does_not_read() -> None:
    limits = aigw.ClientLimits(sending_high_water_bytes=100_000, sending_low_water_bytes=20_000)
    read_on = threading.Event()
    heard: list[bytes] = []

    def handler(peer: ServerConnection) -> None:
        assert read_on.wait(PATIENCE_SECONDS)
        with contextlib.suppress(websockets.exceptions.ConnectionClosed):
            heard.extend(bytes(message[:4]) for message in peer if isinstance(message, bytes))

    sent: list[bytes] = []
    with websockets_server(handler) as url, aigw.connect_realtime(url, limits=limits) as session:

        def send_on() -> None:
            while len(sent) < 100:
                name = len(sent).to_bytes(4, "big")
                session.send(name + bytes(300_000), timeout=0.05)
                sent.append(name)

        with pytest.raises(TimeoutError):
            send_on()
        assert len(sent) < 100

        message = bytes(1_000_000)
        unheld = sys.getrefcount(message)
        with pytest.raises(TimeoutError):
            session.send(message, timeout=0.001)
        while sys.getrefcount(message) > unheld:  # what timed out is not kept either
            os.sched_yield()
        read_on.set()
        session.send(b"last")
    assert heard == [*sent, b"last"]  # what timed out was not sent


def test_a_message_is_claimed_once() -> None:
    sending = _Sending(SendMessage(b"", binary=True))
    assert [sending.claim(), sending.claim()] == [True, False]


def test_whoever_waits_to_send_learns_of_the_end() -> None:
    limits = aigw.ClientLimits(sending_high_water_bytes=1000, sending_low_water_bytes=100, linger_timeout_seconds=0.05)
    over = threading.Event()
    lost: list[int] = []

    def handler(_: ServerConnection) -> None:
        assert over.wait(PATIENCE_SECONDS)

    with websockets_server(handler) as url:
        with aigw.connect_realtime(url, limits=limits, websocket=QUICK) as session:

            def send() -> None:
                try:
                    while True:
                        session.send(bytes(MIB))
                except aigw.ConnectionLost as error:
                    lost.append(error.code)

            thread = threading.Thread(target=send)
            thread.start()
            session.close(4000)
            thread.join(PATIENCE_SECONDS)
        over.set()
    assert lost == [4000]


PEER, NETWORK = aigw.ClosedBy.PEER, aigw.ClosedBy.NETWORK


@pytest.mark.parametrize(
    ("code", "reason", "quiet"), [(1000, "done", True), (1001, "", True), (1008, "policy", False), (4007, "", False)]
)
def test_the_end_says_why(code: int, reason: str, quiet: bool) -> None:
    def handler(peer: ServerConnection) -> None:
        peer.send("one")
        peer.close(code, reason)

    with websockets_server(handler) as url, aigw.connect_realtime(url) as session:
        received: list[str | bytes] = []
        for _ in range(2):  # the second time there is nothing more, and the same end
            if quiet:
                received.extend(session)
            else:
                with pytest.raises(aigw.ConnectionLost):
                    received.extend(session)
            assert received == ["one"]
        acts: list[Callable[[], object]] = [session.receive, lambda: session.send("late")]
        for act in acts:
            with pytest.raises(aigw.ConnectionLost) as caught:
                act()
            assert (caught.value.code, caught.value.reason, caught.value.closed_by) == (code, reason, PEER)
        assert (session.close_code, session.close_reason) == (code, reason)
        session.close(4000)
        assert session.close_code == code


def test_a_connection_that_breaks() -> None:
    def handler(peer: ServerConnection) -> None:
        peer.send("one")
        reset(peer.socket)

    with websockets_server(handler) as url, aigw.connect_realtime(url) as session:
        received: list[str | bytes] = []
        with pytest.raises(aigw.ConnectionLost) as caught:
            received.extend(session)
        assert caught.value.closed_by is NETWORK


def test_closing_travels_and_waits_for_the_answer() -> None:
    seen: list[tuple[int, str]] = []

    def handler(peer: ServerConnection) -> None:
        peer.send("last words")
        with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
            peer.recv(timeout=PATIENCE_SECONDS)
        assert caught.value.rcvd is not None
        seen.append((caught.value.rcvd.code, caught.value.rcvd.reason))

    with websockets_server(handler) as url, aigw.connect_realtime(url) as session:
        assert session.receive() == "last words"
        session.close(4001, "ž" * 100)
        assert list(session) == []
        assert (session.close_code, session.close_reason, session.closed_by) == (
            4001,
            "ž" * 61,
            aigw.ClosedBy.PROGRAM,
        )
        with pytest.raises(aigw.ConnectionLost):
            session.send("late")
    assert seen == [(4001, "ž" * 61)]


def test_closing_has_a_timeout() -> None:
    over = threading.Event()
    hasty = aigw.ClientLimits(linger_timeout_seconds=0.05)
    with websockets_server(echo) as url, socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_relay_the_opening, args=(listener, url, over))
        thread.start()
        here = f"ws://127.0.0.1:{listener.getsockname()[1]}"
        with (
            aigw.connect_realtime(here, websocket=QUICK, limits=hasty) as session,
            pytest.raises(TimeoutError, match=r"did not close within 0\.001 s"),
        ):
            session.close(timeout=0.001)
        assert session.close_code == 1006
        over.set()
        thread.join(PATIENCE_SECONDS)


def _relay_the_opening(listener: socket.socket, url: str, over: threading.Event) -> None:
    """Pass on the two messages of the handshake, and nothing that comes behind them."""
    client, _ = listener.accept()
    server = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=PATIENCE_SECONDS)
    with client, server:
        server.sendall(client.recv(65536))
        client.sendall(server.recv(65536))
        assert over.wait(PATIENCE_SECONDS)


def test_a_refusal_is_told() -> None:
    with pytest.raises(aigw.ConnectionFailed) as caught:
        _open_at_nobody()
    assert caught.value.failure is ConnectFailure.REFUSED


def _open_at_nobody() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with aigw.connect_realtime(f"ws://127.0.0.1:{taken.getsockname()[1]}/", timeout=PATIENCE_SECONDS):
            raise AssertionError("the block is not entered")


def test_wss_and_subprotocols(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    certificates.authority().cert_pem.write_to_path(str(authority))
    tls = certificates.server(tmp_path)
    with (
        websockets_server(echo, tls=tls, subprotocols=["realtime"]) as url,
        aigw.connect_realtime(url, tls=aigw.TlsPolicy(str(authority)), subprotocols=["realtime"]) as session,
    ):
        assert session.subprotocol == "realtime"
        assert session.headers
        session.send("x" * MIB)
        assert session.receive() == "x" * MIB


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")  # what the test is about
def test_a_child_process_learns_that_the_session_is_not_its_own() -> None:
    with websockets_server(wait_for_the_end) as url, aigw.connect_realtime(url) as session:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:  # nothing here may raise: it would be another run of the tests
            try:
                session.close()
                for act in (session.receive, lambda: session.send("x")):
                    try:
                        act()
                    except aigw.ConnectionLost:
                        os.write(writing, b"lost ")
            finally:
                os._exit(0)
        os.close(writing)
        with os.fdopen(reading, "rb") as answer:
            assert answer.read() == b"lost lost "
        os.waitpid(child, 0)
        assert session.close_code is None
