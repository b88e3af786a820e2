from __future__ import annotations

import errno
import socket
from collections.abc import Iterator

import pytest

from aigw_transports import _sync_stream
from aigw_transports._sync_owner import Owner
from aigw_transports._sync_stream import READ_BYTES, set_up
from aigw_transports._sync_wait import Alarm
from support.owners import Stage, Witness, stage
from support.threads import read_all, reset

MIB = 1024 * 1024


@pytest.fixture(name="here")
def make_stage() -> Iterator[Stage]:
    with stage() as it:
        yield it


def test_bytes_both_ways_and_an_orderly_end(here: Stage) -> None:
    stream, peer = here.connection()
    with peer:
        user = Witness()
        stream.begin(user)
        peer.sendall(b"hello")
        here.until(lambda: user.received)
        stream.write(b"answer")
        assert stream.waiting_bytes == 0
        stream.end_sending()
        assert read_all(peer) == b"answer"
        peer.shutdown(socket.SHUT_WR)
        here.until(lambda: user.ends)
        stream.close()
        stream.close()
        here.until(lambda: not here.streams)
    assert (bytes(user.received), user.ends) == (b"hello", ["eof"])


def test_what_the_kernel_does_not_take_waits(here: Stage) -> None:
    stream, peer = here.connection()
    with peer:
        user = Witness()
        stream.begin(user)
        data = bytes(range(256)) * (64 * 1024)
        stream.write(data)
        first = stream.waiting_bytes
        assert 0 < first < len(data)
        stream.write(b"behind")
        assert stream.waiting_bytes == first + 6
        before = stream.waiting_bytes

        def waits() -> int:
            nonlocal before
            assert stream.waiting_bytes <= before
            before = stream.waiting_bytes
            return before

        got = here.read_while(waits, peer)
        stream.close()
        got += read_all(peer)
    assert got == data + b"behind"
    assert user.steps


def test_not_more_than_two_reads_are_held(here: Stage) -> None:
    stream, peer = here.connection()
    with peer:
        user = Witness()
        stream.begin(user)
        stream.set_reading(False)
        peer.setblocking(False)
        sent = 0
        while len(stream._held) < 2 or not stream._credit.empty():
            try:
                sent += peer.send(bytes(MIB))
            except BlockingIOError:
                here.owner.step(0.0)
        assert stream._credit.empty()  # so the thread does not read again
        assert len(stream._held) == 2
        assert sum(len(read) for read in stream._held if isinstance(read, bytes)) <= 2 * READ_BYTES
        assert user.reads == 0
        stream.set_reading(True)
        assert user.reads == 2
        peer.setblocking(True)
        peer.shutdown(socket.SHUT_WR)
        here.until(lambda: user.ends)
    assert len(user.received) == sent


def test_what_is_held_is_told_only_as_far_as_it_is_wanted(here: Stage) -> None:
    stream, peer = here.connection()

    class Picky(Witness):
        def receive(self, data: bytes) -> None:
            super().receive(data)
            stream.set_reading(False)

    with peer:
        user = Picky()
        stream.begin(user)
        stream.set_reading(False)
        peer.sendall(b"one")
        here.until(lambda: len(stream._held) == 1)
        peer.sendall(b"two")
        here.until(lambda: len(stream._held) == 2)
        stream.set_reading(True)
        assert user.received == b"one"
        stream.set_reading(True)
        assert user.received == b"onetwo"
        peer.close()
        here.until(lambda: stream._held)
        assert user.ends == []
        stream.set_reading(True)
        assert user.ends == ["eof"]


def test_a_reset_is_told_once(here: Stage) -> None:
    stream, peer = here.connection()
    user = Witness()
    stream.begin(user)
    stream.write(bytes(16 * MIB))
    reset(peer)
    here.until(lambda: user.ends)
    assert user.ends in (["ConnectionResetError"], ["BrokenPipeError"])
    assert stream.waiting_bytes == 0
    stream.write(b"for nobody")
    stream.end_sending()
    stream.reset()
    stream.reset()
    here.until(lambda: not here.streams)
    assert len(user.ends) == 1


def test_a_broken_connection_found_by_writing(here: Stage) -> None:
    stream, peer = here.connection()
    user = Witness()
    stream.begin(user)
    stream.set_reading(False)
    reset(peer)
    here.until(lambda: stream._held)  # the reading thread has found out, and nobody has asked
    stream.write(b"x")
    assert user.ends == ["BrokenPipeError"]
    assert not stream._held


def test_resetting_says_no_end_first(here: Stage) -> None:
    stream, peer = here.connection()
    with peer:
        user = Witness()
        stream.begin(user)
        stream.write(bytes(16 * MIB))
        assert stream.waiting_bytes  # so there are both threads
        stream.reset()
        assert stream.waiting_bytes == 0
        here.until(lambda: not here.streams)
        with pytest.raises(ConnectionResetError):
            read_all(peer)
    assert user.ends == []


def test_nothing_is_told_after_closing(here: Stage) -> None:
    stream, peer = here.connection()
    with peer:
        user = Witness()
        stream.begin(user)
        peer.sendall(b"late")
        stream.close()
        here.until(lambda: not here.streams)
        stream._take(b"later still")
        stream.write(b"x")
        stream._pump(None)
    assert (user.reads, user.ends, user.steps) == (0, [], 0)


def test_no_thread_to_read_with(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise OSError(errno.EAGAIN, "no threads")

    stream, peer = here.connection()
    with peer, monkeypatch.context() as patch:
        patch.setattr(Owner, "start", start)
        with pytest.raises(OSError, match="no threads"):
            stream.begin(Witness())
        assert not here.streams
        assert peer.recv(1) == b""


def test_nothing_to_wait_for_room_with_breaks_the_stream(here: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Alarm) -> None:
        raise OSError(errno.EMFILE, "too many")

    stream, peer = here.connection()
    with peer, monkeypatch.context() as patch:
        patch.setattr(Alarm, "__init__", fail)
        user = Witness()
        stream.begin(user)
        stream.write(bytes(16 * MIB))
        assert user.ends == ["OSError"]
        assert stream.waiting_bytes == 0


def test_a_socket_of_a_path_has_no_delay_to_switch_off() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setblocking(False)
        set_up(near)
        assert near.gettimeout() is None
    assert _sync_stream.READ_BYTES == READ_BYTES
