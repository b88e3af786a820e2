from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aigw_proto._effects import CloseHow, Deliver, Journal, Log, LogLevel, TlsPolicy
from aigw_proto._inputs import (
    BytesReceived,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import Engine, LinkId
from aigw_proto.testing import SCENARIOS, Addresses, Checked, Scenario, ToyEngine, check_driver
from aigw_transports import _sync_connect, _sync_driver, _sync_owner
from aigw_transports._sync_driver import Driver, listen, serve
from aigw_transports._sync_wait import Alarm
from support import certificates
from support.threads import PATIENCE_SECONDS, HungLookup, Running, no_thread_left, read_all, reset, running

LINK = LinkId(0)


@pytest.fixture(autouse=True)
def every_thread_ends() -> Iterator[None]:
    with no_thread_left():
        yield


class SyncDriver:
    """The sync driver under test: one engine in a thread of its own, the other in this one."""

    def run(self, listener: Engine[Input], connector: Callable[[Addresses], Engine[Input]]) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: connecting is refused, and nobody else gets it
            with running(listener) as serving:
                closed_port: int = taken.getsockname()[1]
                addresses = Addresses("127.0.0.1", serving.port, closed_port, "x" * 64 + ".invalid")
                Running(Driver(connector(addresses))).wait()


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_check_driver(scenario: Scenario) -> None:
    check_driver(SyncDriver, (scenario,))


class Server(ToyEngine):
    """Echoes; notes, logs and delivers what it gets; does what special messages ask for; ends when told to."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Input] = []
        self.links: list[LinkId] = []

    def received(self, event: Input) -> None:
        self.seen.append(event)
        match event:
            case LinkAccepted(link):
                self.links.append(link)
            case BytesReceived(link, data):
                self.message(link, data)
            case PeerClosed(link):
                self.close(link)
                self.links.remove(link)
            case ShutdownRequested():
                for link in self.links:
                    self.close(link)
                self.drain()
            case _:
                pass

    def message(self, link: LinkId, data: bytes) -> None:
        if data == b"raise":
            raise ZeroDivisionError
        self.ask(Journal(data))
        self.ask(Log(LogLevel.INFO, "got", {"link": link, "bytes": len(data)}))
        self.ask(Deliver(7, data))
        self.send(link, data)


def ask(peer: socket.socket, data: bytes) -> bytes:
    peer.sendall(data)
    return peer.recv(100)


def test_serving() -> None:
    sinks: dict[str, list[object]] = {"journal": [], "log": [], "deliver": []}
    engine = Server()
    driver: Driver[Input] = Driver(
        Checked(engine),
        journal=sinks["journal"].append,
        log=sinks["log"].append,
        deliver=sinks["deliver"].append,
    )
    it = Running(driver, listen())
    with it.connect() as peer:
        assert driver.addresses[0][0] == "127.0.0.1"
        assert driver.running
        port = peer.getsockname()[1]
        assert ask(peer, b"hello") == b"hello"
        names = {thread.name.rpartition("-")[0] for thread in threading.enumerate()}
        assert names >= {"aigw-acceptor", "aigw-reader"}
        assert "aigw-writer" not in names  # nothing had to wait
        driver.feed(ShutdownRequested(0.0))
        assert peer.recv(1) == b""
    it.wait()
    assert engine.seen[0] == LinkAccepted(LINK, f"127.0.0.1:{port}")
    assert sinks == {
        "journal": [b"hello"],
        "log": [Log(LogLevel.INFO, "got", {"link": 0, "bytes": 5})],
        "deliver": [Deliver(7, b"hello")],
    }
    with pytest.raises(RuntimeError, match="not running"):
        driver.feed(ShutdownRequested(0.0))


def test_serve_runs_in_the_thread_that_calls_it() -> None:
    threads: list[threading.Thread] = []

    def started(driver: Driver[Input]) -> None:
        threads.append(threading.current_thread())
        with socket.create_connection(driver.addresses[0]):
            driver.feed(ShutdownRequested(0.0))

    serve(Checked(Server()), started=started)
    assert threads == [threading.current_thread()]


def test_log_lines_go_to_the_standard_library_unless_told_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "aigw")
    with running(Server()) as it, it.connect() as peer:
        assert ask(peer, b"hello") == b"hello"
    assert caplog.messages == ["got link=0 bytes=5"]


def test_an_exception_of_the_engine_ends_everything_and_comes_out() -> None:
    it = Running(Driver(Server(), log=print), listen())
    with it.connect() as other, it.connect() as peer:
        assert ask(other, b"hello") == b"hello"
        peer.sendall(b"raise")
        for each in (peer, other):
            with pytest.raises(ConnectionResetError):
                each.recv(1)
    with pytest.raises(ZeroDivisionError):
        it.wait()
    assert not it.driver.running


class FailsAtOnce(ToyEngine):
    """Raises in the first turn of its driver."""

    def __init__(self) -> None:
        super().__init__()
        self.deadline = 0.0

    def woken(self) -> None:
        raise ZeroDivisionError


class FailsLater(FailsAtOnce):
    """Raises at a deadline."""

    def __init__(self) -> None:
        super().__init__()
        self.first = True

    def woken(self) -> None:
        if not self.first:
            raise ZeroDivisionError
        self.first = False
        self.deadline = self.now


@pytest.mark.parametrize("kind", [FailsAtOnce, FailsLater])
def test_an_exception_at_a_deadline_comes_out(kind: type[FailsAtOnce]) -> None:
    with pytest.raises(ZeroDivisionError):
        Driver(kind()).run(listen())


def test_a_sink_that_raises_ends_everything() -> None:
    def full(_: object) -> None:
        raise OSError("disk full")

    it = Running(Driver(Server(), journal=full, log=print), listen())
    with it.connect() as peer, pytest.raises(ConnectionResetError):
        ask(peer, b"hello")
    with pytest.raises(OSError, match="disk full"):
        it.wait()


def test_stopping_resets_what_is_open() -> None:
    it = Running(Driver(Checked(Server()), log=print), listen())
    with it.connect() as peer:
        assert ask(peer, b"hello") == b"hello"
        it.driver.stop()
        it.wait()
        assert not it.driver.running
        with pytest.raises(ConnectionResetError):
            peer.recv(1)


def test_an_interrupt_resets_what_is_open() -> None:
    driver: Driver[Input] = Driver(Checked(Server()), log=print)

    def interrupt(_: None) -> None:
        raise KeyboardInterrupt

    peers: list[socket.socket] = []

    def started(_: Driver[Input]) -> None:
        def talk() -> None:
            peer = socket.create_connection(driver.addresses[0], timeout=PATIENCE_SECONDS)
            peers.append(peer)
            ask(peer, b"hello")
            driver.owner.post(interrupt, None)

        thread.append(threading.Thread(target=talk))
        thread[0].start()

    thread: list[threading.Thread] = []
    with pytest.raises(KeyboardInterrupt):
        driver.run(listen(), started=started)
    thread[0].join()
    with peers[0], pytest.raises(ConnectionResetError):
        peers[0].recv(1)


class Generous(ToyEngine):
    """Sends more than is taken, and has nothing more to say when it is told to end."""

    def received(self, event: Input) -> None:
        match event:
            case LinkAccepted(link):
                self.link = link
                self.send(link, bytes(16 << 20))
            case ShutdownRequested():
                self.close(self.link)
                self.drain()
            case _:
                pass


def test_an_interrupt_resets_what_is_being_flushed() -> None:
    driver: Driver[Input] = Driver(Checked(Generous()))

    def interrupt(_: None) -> None:
        raise KeyboardInterrupt

    peers: list[socket.socket] = []

    def talk() -> None:
        peers.append(socket.create_connection(driver.addresses[0], timeout=PATIENCE_SECONDS))
        assert peers[0].recv(1) == b"\0"
        driver.feed(ShutdownRequested(0.0))
        while driver.running:
            os.sched_yield()
        driver.owner.post(interrupt, None)

    thread = threading.Thread(target=talk)
    with pytest.raises(KeyboardInterrupt):
        driver.run(listen(), started=lambda _: thread.start())
    thread.join(PATIENCE_SECONDS)
    with peers[0], pytest.raises(ConnectionResetError):
        read_all(peers[0])


def test_a_signal_handler_may_feed_it() -> None:
    driver: Driver[Input] = Driver(Checked(Server()))

    def handle(number: int, frame: object) -> None:
        driver.feed(ShutdownRequested(0.0))

    def started(_: Driver[Input]) -> None:
        signal.raise_signal(signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        driver.run(listen(), started=started)
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_driver_runs_once() -> None:
    driver: Driver[Input] = Driver(FailsAtOnce())
    with pytest.raises(RuntimeError, match="not running"):
        driver.feed(ShutdownRequested(0.0))
    with pytest.raises(ZeroDivisionError):
        driver.run()
    with pytest.raises(RuntimeError, match="runs once"):
        driver.run()


def test_an_address_that_is_taken() -> None:
    with contextlib.closing(listen()[0]) as taken, pytest.raises(OSError, match="Address already in use"):
        serve(Server(), port=taken.getsockname()[1])


class Forgetful(Server):
    """Ends without closing its links: a bug that its driver must survive."""

    def received(self, event: Input) -> None:
        if isinstance(event, ShutdownRequested):
            self.drain()
        else:
            super().received(event)


def test_links_that_the_engine_forgot_are_reset() -> None:
    with running(Forgetful(), log=print) as it:
        peer = it.connect()
        assert ask(peer, b"hello") == b"hello"
    with peer, pytest.raises(ConnectionResetError):
        peer.recv(1)


def test_a_socket_with_a_path(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    engine = Server()
    it = Running(Driver(Checked(engine), log=print), [listener])
    assert it.driver.addresses == ((path, 0),)
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(PATIENCE_SECONDS)
        peer.connect(path)
        assert ask(peer, b"hello") == b"hello"
    it.end()
    assert engine.seen[0] == LinkAccepted(LINK, "local")


def test_an_exception_of_a_thread_comes_out() -> None:
    """It would be a bug of the driver, and nobody must wait for a thread that is gone."""
    driver: Driver[Input] = Driver(Checked(Server()))

    def body() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        driver.run(started=lambda it: it.owner.start("bug", body, lambda: None))


# -- connecting


class Caller(ToyEngine):
    """Opens links to one address, says something on each, and ends when all have come to an end."""

    def __init__(self, host: str, port: int, *, tls: TlsPolicy | None = None, links: int = 1) -> None:
        super().__init__()
        self.deadline: float | None = 0.0
        self.where = host, port, tls
        self.links = links
        self.seen: list[Input] = []
        self.answers: list[bytes] = []

    def woken(self) -> None:
        self.deadline = None
        host, port, tls = self.where
        for _ in range(self.links):
            self.connect(host, port, tls=tls)

    def received(self, event: Input) -> None:
        self.seen.append(event)
        match event:
            case LinkConnected(link):
                self.send(link, b"hello")
            case BytesReceived(link, data):
                self.answers.append(data)
                self.leave(link)
            case PeerClosed(link):
                self.leave(link)
            case ConnectFailed():
                self.count_down()
            case _:
                pass

    def leave(self, link: LinkId) -> None:
        self.close(link)
        self.count_down()

    def count_down(self) -> None:
        self.links -= 1
        if not self.links:
            self.drain()


def failure(engine: Caller) -> ConnectFailed:
    Driver(Checked(engine)).run()
    (event,) = engine.seen
    assert isinstance(event, ConnectFailed)
    return event


def test_tls_to_a_provider(tmp_path: Path) -> None:
    authority = tmp_path / "ca.pem"
    certificates.authority().cert_pem.write_to_path(str(authority))
    with running(Checked(Server()), log=print, tls=certificates.server(tmp_path)) as it:
        engine = Caller("localhost", it.port, tls=TlsPolicy(str(authority)), links=5)
        Driver(Checked(engine)).run()
        assert engine.answers == [b"hello"] * 5

        event = failure(Caller("127.0.0.1", it.port, tls=TlsPolicy()))
        assert event.failure is ConnectFailure.CERTIFICATE
        event = failure(Caller("127.0.0.1", it.port, tls=TlsPolicy(str(tmp_path / "missing.pem"))))
        assert event.failure is ConnectFailure.TLS


def test_no_tls_there() -> None:
    class Silent(ToyEngine):
        def received(self, event: Input) -> None:
            match event:
                case BytesReceived(link) | PeerClosed(link):
                    self.close(link)
                case ShutdownRequested():
                    self.drain()
                case _:
                    pass

    with running(Silent()) as it:
        event = failure(Caller("127.0.0.1", it.port, tls=TlsPolicy()))
        assert event.failure is ConnectFailure.TLS


def test_nobody_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        event = failure(Caller("127.0.0.1", taken.getsockname()[1]))
    assert event.failure is ConnectFailure.REFUSED
    assert event.detail.endswith("Connection refused")


class Fickle(ToyEngine):
    """Withdraws its connect when told to shut down."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port
        self.deadline: float | None = 0.0

    def woken(self) -> None:
        self.deadline = None
        self.link = self.connect("127.0.0.1", self.port)

    def received(self, event: Input) -> None:
        assert isinstance(event, ShutdownRequested)
        self.close(self.link)
        self.drain()


@pytest.mark.parametrize("draining", [False, True])
def test_stopping_waits_for_no_lookup(monkeypatch: pytest.MonkeyPatch, draining: bool) -> None:
    resolver = HungLookup(monkeypatch)
    with contextlib.closing(listen()[0]) as listener:  # it could be connected to, once its name is known
        it = Running(Driver(Fickle(listener.getsockname()[1])))
        assert resolver.asked.wait(PATIENCE_SECONDS)
        if draining:
            it.driver.feed(ShutdownRequested(0.0))
            while it.driver.running:
                os.sched_yield()
        it.driver.stop()
        it.wait()
        resolver.end()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            listener.accept()


def test_without_a_stop_a_lookup_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver = HungLookup(monkeypatch)
    it = Running(Driver(Checked(Fickle(1))))
    assert resolver.asked.wait(PATIENCE_SECONDS)
    it.driver.feed(ShutdownRequested(0.0))
    resolver.end()
    it.wait()


def test_a_connect_that_is_never_answered_is_withdrawn() -> None:
    with socket.socket() as full, contextlib.ExitStack() as stack:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        address = full.getsockname()
        for _ in range(4):  # until the queue of the listener is full, and nobody is answered any more
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        it = Running(Driver(Checked(Fickle(address[1]))))
        it.end()


@pytest.mark.parametrize("fails", [False, True])
def test_a_connect_that_ends_in_the_moment_it_is_withdrawn(monkeypatch: pytest.MonkeyPatch, fails: bool) -> None:
    whole = _sync_connect.Attempt.open

    def open_late(attempt: _sync_connect.Attempt) -> socket.socket:
        opened = whole(attempt)
        driver.feed(ShutdownRequested(0.0))
        if fails:
            opened.close()
            raise ConnectionAbortedError
        return opened

    monkeypatch.setattr(_sync_connect.Attempt, "open", open_late)
    with contextlib.closing(listen()[0]) as listener:
        driver: Driver[Input] = Driver(Checked(Fickle(listener.getsockname()[1])))
        driver.run()


def test_an_attempt_that_fails_for_the_want_of_files(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Alarm) -> None:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(Alarm, "__init__", fail)
    assert failure(Caller("127.0.0.1", 1)).detail == "127.0.0.1:1: Too many open files"


def test_a_socket_that_broke_before_it_was_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: socket.socket) -> None:
        raise OSError(errno.EINVAL, "invalid")

    with running(Server()) as it:
        monkeypatch.setattr(_sync_driver, "set_up", fail)
        assert failure(Caller("127.0.0.1", it.port)).failure is ConnectFailure.OTHER


@pytest.mark.parametrize("kind", ["reader", "connect"])
def test_no_more_threads(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    whole = _sync_owner.Owner.start

    def start(owner: object, name: str, body: Callable[[], object], ended: Callable[[], object]) -> None:
        if name.startswith(kind):
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        assert isinstance(owner, _sync_owner.Owner)
        whole(owner, name, body, ended)

    monkeypatch.setattr(_sync_owner.Owner, "start", start)
    with contextlib.closing(listen()[0]) as listener:
        event = failure(Caller("127.0.0.1", listener.getsockname()[1]))
    assert event.detail.endswith("Resource temporarily unavailable")


def test_no_thread_for_a_connection_that_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = _sync_owner.Owner.start
    refused = threading.Event()
    lines: list[Log] = []

    def start(owner: object, name: str, body: Callable[[], object], ended: Callable[[], object]) -> None:
        if name.startswith("reader") and not refused.is_set():
            refused.set()
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        assert isinstance(owner, _sync_owner.Owner)
        whole(owner, name, body, ended)

    monkeypatch.setattr(_sync_owner.Owner, "start", start)
    with running(Checked(Server()), log=lines.append) as it:
        with it.connect() as peer:
            assert peer.recv(1) == b""
        with it.connect() as peer:
            assert ask(peer, b"hello") == b"hello"
    assert [line.message for line in lines] == ["cannot accept a connection", "got"]


# -- attacks


class Fountain(ToyEngine):
    """Sends to whoever connects, whenever everything before has gone; counts what waits."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[LinkId] = []
        self.lost = threading.Event()

    def received(self, event: Input) -> None:
        match event:
            case LinkAccepted(link):
                self.links.append(link)
                self.send(link, bytes(8 << 20))
            case PeerClosed(link):
                self.close(link)
                self.links.remove(link)
                self.lost.set()
            case ShutdownRequested():
                for link in self.links:
                    self.close(link, CloseHow.ABORT)
                self.drain()
            case _:
                pass


def test_a_reset_in_the_middle_of_what_is_sent() -> None:
    engine = Fountain()
    with running(Checked(engine)) as it:
        with it.connect() as peer:
            peer.recv(1000)
            reset(peer)
        assert engine.lost.wait(PATIENCE_SECONDS)


def test_a_peer_that_never_reads_is_given_up_at_the_end() -> None:
    with running(Checked(Fountain())) as it:
        peer = it.connect()
        assert peer.recv(1) == b"\0"
    with peer, pytest.raises(ConnectionResetError):
        read_all(peer)


def test_many_links_come_and_go() -> None:
    with running(Checked(Server()), log=lambda _: None) as it:
        for _ in range(100):
            with it.connect() as peer:
                assert ask(peer, b"hello") == b"hello"
