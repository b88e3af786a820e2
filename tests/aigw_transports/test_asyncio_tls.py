"""What a peer of flesh and blood cannot be made to do at the right moment; the rest is in the tests of links."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import anyio.lowlevel
import pytest

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, Input, LinkAccepted, PeerClosed
from aigw_proto._kinds import LinkId
from aigw_transports import _asyncio_tls
from aigw_transports._asyncio_link import READ_BYTES, Link, Owner
from aigw_transports._asyncio_tls import SecureTransport
from aigw_transports._tls_session import TlsSession
from support import certificates

pytestmark = pytest.mark.anyio
LINK = LinkId(0)
BIRTH = LinkAccepted(LINK, "peer")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Wire(asyncio.Transport):
    """A socket's transport that keeps what is written until a test takes it, and notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.reading: bool = True
        self.closed = ""

    def write(self, data: Any) -> None:
        self.written += data

    def take(self) -> bytes:
        taken = bytes(self.written)
        self.written.clear()
        return taken

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_reading(self) -> bool:
        return self.reading

    def is_closing(self) -> bool:
        return bool(self.closed)

    def close(self) -> None:
        self.closed = self.closed or "close"

    def abort(self) -> None:
        self.closed = "abort"

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return len(self.written)


class House:
    """A home with one link on a wire, and a client at the other end of it."""

    def __init__(self, folder: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.reads_on = not isinstance(self.loop, asyncio.BaseEventLoop)
        self.events: list[Input] = []
        self.failures: list[Exception | None] = []
        self.owners: set[Owner] = set()
        self.wire = Wire()
        self.client = TlsSession(certificates.client(), "127.0.0.1")
        self.link = Link(self, LINK, BIRTH)
        context = certificates.server(folder)
        self.secure = SecureTransport(self, context, None, lambda alpn: self.link, self.failures.append)

    def failed(self, error: Exception) -> None:
        self.failures.append(error)

    def feed_link(self, event: Input) -> None:
        self.events.append(event)

    def opened(self, owner: Owner) -> None:
        self.owners.add(owner)

    def lost(self, owner: Owner) -> None:
        self.owners.discard(owner)

    def shake_hands(self) -> None:
        self.secure.connection_made(self.wire)
        while not self.client.handshake():
            self.say()
            self.hear()
        self.say()
        self.hear()
        assert self.events == [BIRTH]

    def say(self) -> None:
        if self.client.has_outgoing:
            self.read(self.client.outgoing())

    def read(self, data: bytes) -> None:
        self.secure.get_buffer(-1)[: len(data)] = data
        self.secure.buffer_updated(len(data))

    def hear(self) -> None:
        self.client.receive_data(self.wire.take())


@pytest.fixture
async def house(tmp_path: Path) -> House:
    house = House(tmp_path)
    house.shake_hands()
    return house


async def test_what_comes_with_the_end_of_the_handshake_is_not_lost(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.secure.connection_made(house.wire)
    while not house.client.handshake():
        house.say()
        house.hear()
    house.client.encrypt(b"early")
    house.say()
    assert house.events == [BIRTH, BytesReceived(LINK, b"early")]


class Peculiar(TlsSession):
    """A session that can be made to have something to say, as after a key update, or to fail."""

    def __init__(self, context: ssl.SSLContext, server_hostname: str | None) -> None:
        super().__init__(context, server_hostname)
        self.answers: list[bytes] = []
        self.failing = ""

    @property
    def has_outgoing(self) -> bool:
        return bool(self.answers) or super().has_outgoing

    def outgoing(self) -> bytes:
        return self.answers.pop() if self.answers else super().outgoing()

    def encrypt(self, data: bytes) -> None:
        self._fail("encrypt")
        super().encrypt(data)

    def close_notify(self) -> None:
        self._fail("close_notify")
        super().close_notify()

    def _fail(self, method: str) -> None:
        if method == self.failing:
            raise ssl.SSLError(1, "failed")


@pytest.fixture
async def peculiar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[House, Peculiar]:
    sessions: list[Peculiar] = []

    def make(context: ssl.SSLContext, server_hostname: str | None) -> Peculiar:
        sessions.append(Peculiar(context, server_hostname))
        return sessions[-1]

    monkeypatch.setattr(_asyncio_tls, "TlsSession", make)
    house = House(tmp_path)
    house.shake_hands()
    return house, sessions[0]


async def test_a_peer_that_makes_us_write_has_to_read(peculiar: tuple[House, Peculiar]) -> None:
    house, session = peculiar
    session.answers.append(b"new keys")
    house.secure.pause_writing()
    house.read(b"")
    assert house.wire.take() == b"new keys"
    assert not house.wire.is_reading()
    house.secure.resume_reading()  # the link wants to, but has to wait as well
    assert not house.wire.is_reading()
    house.secure.resume_writing()
    assert house.wire.is_reading()
    house.secure.pause_reading()
    house.secure.resume_writing()
    assert not house.wire.is_reading()


async def test_a_connection_that_has_much_to_read_rests(house: House) -> None:
    house.reads_on = True
    house.client.encrypt(bytes(2 * READ_BYTES))
    records = house.client.outgoing()
    house.read(records[:READ_BYTES])
    assert not house.wire.is_reading()
    house.link.set_reading(True)
    assert not house.wire.is_reading()
    await anyio.lowlevel.checkpoint()
    assert house.wire.is_reading()
    house.read(records[READ_BYTES : 2 * READ_BYTES])
    house.link.set_reading(False)
    await anyio.lowlevel.checkpoint()
    assert not house.wire.is_reading()
    house.link.set_reading(True)
    assert house.wire.is_reading()


async def test_answers_to_a_peer_that_reads_hold_nothing_up(peculiar: tuple[House, Peculiar]) -> None:
    house, session = peculiar
    session.answers.append(b"new keys")
    house.read(b"")
    assert house.wire.is_reading()


@pytest.mark.parametrize("method", ["encrypt", "close_notify"])
async def test_a_session_that_fails_ends_the_connection(peculiar: tuple[House, Peculiar], method: str) -> None:
    house, session = peculiar
    session.failing = method
    if method == "encrypt":
        assert house.link.send([b"x"]) == 0
    else:
        house.link.end_sending()
    assert house.wire.closed == "abort"
    assert house.secure.is_closing()
    house.read(b"not looked at")
    house.secure.eof_received()
    house.secure.connection_lost(None)
    assert house.events == [BIRTH, PeerClosed(LINK, clean=False)]


async def test_closing_behind_the_peers_end(house: House) -> None:
    house.client.close_notify()
    house.say()
    assert house.events == [BIRTH, PeerClosed(LINK, clean=True)]
    house.link.close(CloseHow.FLUSH)
    assert house.wire.closed == "close"
    house.hear()
    assert house.client.decrypt() == b""
    house.secure.connection_lost(None)
    assert not house.owners


async def test_closing_before_the_peer_does(house: House) -> None:
    house.secure.pause_reading()
    house.link.close(CloseHow.FLUSH)
    assert house.wire.is_reading()
    house.client.encrypt(b"discarded")
    house.say()
    assert not house.wire.is_closing()
    house.client.close_notify()
    house.say()
    assert house.wire.closed == "close"
    house.secure.connection_lost(None)
    assert house.events == [BIRTH]


async def test_a_stream_that_ends_while_it_is_closed(house: House) -> None:
    house.link.close(CloseHow.FLUSH)
    assert house.secure.eof_received()
    assert house.wire.closed == "close"
    house.secure.connection_lost(None)


async def test_closing_a_broken_connection(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.wire.abort()
    house.secure.close()
    assert not house.wire.written
    house.secure.connection_lost(None)


async def test_a_connection_that_breaks_in_the_handshake(tmp_path: Path) -> None:
    house = House(tmp_path)
    house.secure.connection_made(house.wire)
    error = ConnectionResetError()
    house.secure.pause_writing()
    house.secure.resume_writing()
    house.secure.connection_lost(error)
    assert house.failures == [error]
    assert not house.owners


async def test_giving_up_before_and_after_there_is_a_connection(tmp_path: Path) -> None:
    house = House(tmp_path)
    assert house.secure.is_closing()
    assert house.secure.get_write_buffer_size() == 0
    assert house.secure.get_extra_info("socket") is None
    house.secure.reset()
    house.secure.connection_made(house.wire)
    assert house.wire.closed == "abort"
    house.secure.connection_lost(None)
    assert house.failures == []


async def test_a_link_is_reset_by_way_of_itself(house: House) -> None:
    house.secure.reset()
    assert house.link.closing
    assert house.wire.closed == "abort"
