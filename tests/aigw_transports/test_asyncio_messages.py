from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import TypeAlias

import anyio
import pytest
from echo_engine import EchoEngine

from aigw_proto import CloseHow, Input, LinkAccepted, LinkId, LocalProtocolError, PeerClosed, ShutdownRequested, Signal
from aigw_proto._inputs import BytesReceived, BytesSent
from aigw_proto._limits import HttpLimits, WebSocketLimits
from aigw_proto.testing import Checked, ToyEngine
from aigw_proto.ws import (
    BinaryMessage,
    Closed,
    MessageSocket,
    Opening,
    Pong,
    TextMessage,
    UpgradeAccepted,
    UpgradeOffer,
    UpgradeRefused,
    WebSocketEvent,
    WSConnection,
)
from aigw_transports._asyncio_link import READ_BYTES
from aigw_transports._asyncio_messages import HELD_BYTES
from aigw_transports._backlog import SLICE_BYTES
from aigw_transports.asyncio_protocol import Driver, MessageLink
from support.loops import each_loop

PEER = "192.0.2.1:4000"
LIMITS = WebSocketLimits()
HTTP_LIMITS = HttpLimits()
LINK = LinkId(0)


def new_socket(limits: WebSocketLimits = LIMITS, http_limits: HttpLimits = HTTP_LIMITS) -> MessageSocket:
    return MessageSocket(now=time.monotonic(), target=b"/", headers=[], limits=limits, http_limits=http_limits)


class Server(ToyEngine):
    """Serves one WebSocket as the test tells it to; notes what the link brought."""

    def __init__(self) -> None:
        super().__init__()
        self.accepts = True
        self.opening = Opening.server(now=0.0)
        self.connection: WSConnection | None = None
        self.events: list[WebSocketEvent] = []
        self.ends: list[bool] = []
        self.read_bytes: list[int] = []
        self.unsent: list[int] = []
        self.open = False
        self.peer = ""

    def handle(self, event: Input | Order, now: float) -> None:
        if callable(event):
            event(self)
        else:
            super().handle(event, now)

    def received(self, event: Input) -> None:
        match event:
            case LinkAccepted(_, peer):
                self.peer = peer
                self.open = True
            case BytesReceived(_, data):
                self.read_bytes.append(len(data))
                self.take(data)
            case BytesSent(_, unsent):
                self.unsent.append(unsent)
            case PeerClosed(_, clean):
                self.ends.append(clean)
                self.hang_up()
            case ShutdownRequested():
                self.hang_up()
                self.drain()
            case _:
                raise AssertionError(event)

    def take(self, data: bytes) -> None:
        if self.connection is not None:
            self.connection.receive_data(data, 0.0)
        else:
            self.opening.receive_data(data, 0.0)
            if isinstance(self.opening.next_event(), UpgradeOffer) and self.accepts:
                self.opening.accept()
                self.answer(*self.opening.data_to_send())
                assert self.opening.next_event() is Signal.SWITCHED
                self.connection = self.opening.connection(now=0.0)
        while self.connection is not None and not isinstance(event := self.connection.next_event(), Signal):
            self.events.append(event)
        if self.connection is not None:
            self.answer(*self.connection.data_to_send())
            if any(isinstance(event, Closed) for event in self.events):
                self.hang_up()

    def answer(self, *chunks: bytes) -> None:
        if chunks and self.open:
            self.send(LINK, *chunks)

    def hang_up(self, how: CloseHow = CloseHow.FLUSH) -> None:
        if self.open:
            self.open = False
            self.close(LINK, how)


Order: TypeAlias = "Callable[[Server], None]"


class Rig:
    """A server on a driver."""

    def __init__(self, driver: Driver[Order], server: Server) -> None:
        self.driver = driver
        self.server = server

    def tell(self, order: Order) -> None:
        self.driver.feed(order)

    def say(self, action: Callable[[WSConnection], None]) -> None:
        def act(server: Server) -> None:
            assert server.connection is not None
            action(server.connection)
            server.answer(*server.connection.data_to_send())

        self.driver.feed(act)

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await anyio.lowlevel.checkpoint()


@asynccontextmanager
async def serving() -> AsyncGenerator[Rig]:
    server = Server()
    driver: Driver[Order] = Driver(Checked(server))
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(driver.run)
            yield Rig(driver, server)
            if driver.running:
                driver.feed(ShutdownRequested(0.0))


@asynccontextmanager
async def talking(limits: WebSocketLimits = LIMITS) -> AsyncGenerator[tuple[Rig, MessageLink]]:
    async with serving() as rig, rig.driver.accept_messages(PEER, new_socket(limits)) as link:
        assert await link.opening() == UpgradeAccepted(None, None, [])
        yield rig, link


async def nothing_more(link: MessageLink) -> None:
    with anyio.move_on_after(0) as scope:
        await anext(link)
    assert scope.cancelled_caught


@pytest.mark.anyio
@each_loop
async def test_messages_both_ways() -> None:
    async with talking() as (rig, link):
        assert rig.server.peer == PEER
        await link.receive_text("hello")
        await link.receive_binary(b"\x00")
        assert rig.server.events == [TextMessage("hello"), BinaryMessage(b"\x00")]
        rig.say(lambda connection: connection.send_text("yes"))
        rig.say(lambda connection: connection.send_binary(b"\x01"))
        assert await anext(link) == TextMessage("yes")
        assert await anext(link) == BinaryMessage(b"\x01")
        await link.receive_text("bye")
        link.receive_disconnect(4000, "over")
        assert [message async for message in link] == []
        assert link.closed is None  # it was the client
        await rig.until(lambda: not rig.server.open)
        assert rig.server.events[2:] == [TextMessage("bye"), Closed(4000, "over", clean=True)]


@pytest.mark.anyio
@each_loop
async def test_an_event_is_waited_for() -> None:
    received: list[object] = []
    async with talking() as (rig, link), anyio.create_task_group() as tasks:

        async def read() -> None:
            received.extend([message async for message in link])

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        rig.say(lambda connection: connection.send_text("late"))
        rig.say(lambda connection: connection.send_ping(b"?"))
        rig.say(lambda connection: connection.send_close(1001, "enough", now=0.0))
    assert received == [TextMessage("late")]
    assert link.closed == Closed(1001, "enough", clean=True)


@pytest.mark.anyio
@each_loop
async def test_the_engine_waits_for_who_pulls_and_learns_how_far_it_is() -> None:
    async with talking() as (rig, link):
        payload = os.urandom(HELD_BYTES // 4)
        for _ in range(4):
            rig.say(lambda connection: connection.send_binary(payload))
        assert rig.server.unsent[1:] == []
        for _ in range(60):
            rig.say(lambda connection: connection.send_binary(payload))
        all_bytes = 64 * (len(payload) + 4)  # with the heads of frames
        assert all_bytes - HELD_BYTES - SLICE_BYTES <= rig.server.unsent[-1] <= all_bytes
        before = len(rig.server.unsent)
        for _ in range(64):
            assert await anext(link) == BinaryMessage(payload)
        await nothing_more(link)
        progress = rig.server.unsent[before:]
        assert progress == sorted(progress, reverse=True)
        assert len(progress) > 2
        assert progress[-1] == 0


@pytest.mark.anyio
@each_loop
async def test_one_message_that_is_more_than_may_be_held() -> None:
    async with talking() as (rig, link):
        payload = os.urandom(SLICE_BYTES * 5)
        rig.say(lambda connection: connection.send_binary(payload))
        assert rig.server.unsent
        assert await anext(link) == BinaryMessage(payload)
        await nothing_more(link)
        assert rig.server.unsent[-1] == 0


@pytest.mark.anyio
@each_loop
async def test_the_client_waits_for_an_engine_that_does_not_read() -> None:
    async with talking() as (rig, link):
        rig.tell(lambda server: server.set_reading(LINK, False))
        with anyio.move_on_after(0) as scope:
            await link.receive_text("held up")
        assert scope.cancelled_caught
        assert rig.server.events == []
        rig.say(lambda connection: connection.send_ping(b"alive?"))
        rig.say(lambda connection: connection.send_text("I can still talk"))
        assert await anext(link) == TextMessage("I can still talk")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.receive_text, "and more")
            await anyio.wait_all_tasks_blocked()
            assert rig.server.events == []
            rig.tell(lambda server: server.set_reading(LINK, True))
        await link.receive_text("the end")
        assert [event for event in rig.server.events if isinstance(event, TextMessage)] == [
            TextMessage("held up"),
            TextMessage("and more"),
            TextMessage("the end"),
        ]
        assert sum(isinstance(event, Pong) for event in rig.server.events) == 1


@pytest.mark.anyio
@each_loop
async def test_a_large_message_is_fed_in_reads_and_others_have_their_turn() -> None:
    async with talking() as (rig, link):
        payload = os.urandom(READ_BYTES * 4)
        seen: list[int] = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(link.receive_binary, payload)
            while rig.server.events == []:
                seen.append(len(rig.server.read_bytes))
                await anyio.lowlevel.checkpoint()
        assert rig.server.events == [BinaryMessage(payload)]
        assert max(rig.server.read_bytes) == READ_BYTES
        assert len(set(seen)) > 3


@pytest.mark.anyio
@each_loop
async def test_a_client_that_is_lost() -> None:
    async with serving() as rig:
        async with rig.driver.accept_messages(PEER, new_socket()) as link:
            await link.opening()
            await link.receive_text("last words")
            link.receive_disconnect(1006)
            rig.say(lambda connection: connection.send_text("to nobody"))
        await rig.until(lambda: rig.server.ends == [True])
        assert rig.server.events == [TextMessage("last words")]
        assert [message async for message in link] == []
        assert link.closed is None


@pytest.mark.anyio
@each_loop
async def test_a_client_that_leaves_while_the_engine_writes() -> None:
    async with talking() as (rig, link):
        payload = os.urandom(SLICE_BYTES)
        for _ in range(8):
            rig.say(lambda connection: connection.send_binary(payload))
        assert rig.server.unsent[-1] > 0
        link.receive_disconnect(1001)
        await rig.until(lambda: not rig.server.open or rig.server.unsent[-1] == 0)
        await rig.until(lambda: bool(rig.server.events))
        assert rig.server.events == [Closed(1001, "", clean=True)]
        link.receive_disconnect(1001)


@pytest.mark.anyio
@each_loop
async def test_a_close_that_the_engine_does_not_answer() -> None:
    async with talking(WebSocketLimits(close_timeout_seconds=0.001)) as (rig, link):
        rig.tell(lambda server: setattr(server, "connection", None))  # deaf from now on
        link.receive_disconnect(1000)
        await rig.until(lambda: rig.server.ends == [True])


@pytest.mark.anyio
@each_loop
async def test_a_client_that_leaves_before_the_answer() -> None:
    answers: list[object] = []
    async with serving() as rig:
        rig.server.accepts = False
        async with rig.driver.accept_messages(PEER, new_socket()) as link, anyio.create_task_group() as tasks:

            async def open_it() -> None:
                answers.append(await link.opening())

            tasks.start_soon(open_it)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(LocalProtocolError, match="not open yet"):
                await link.receive_text("early")
            link.receive_disconnect(1006)
        (answer,) = answers
        assert isinstance(answer, UpgradeRefused)
        await rig.until(lambda: rig.server.ends == [True])


@pytest.mark.anyio
@each_loop
async def test_an_engine_that_does_not_answer_the_request() -> None:
    async with serving() as rig:
        rig.server.accepts = False
        socket = new_socket(http_limits=HttpLimits(head_timeout_seconds=0.001))
        async with rig.driver.accept_messages(PEER, socket) as link:
            answer = await link.opening()
            assert isinstance(answer, UpgradeRefused)
            assert answer.status == 503
        await rig.until(lambda: rig.server.ends == [True])


@pytest.mark.anyio
@each_loop
@pytest.mark.parametrize("how", list(CloseHow))
async def test_the_engine_closes_the_link_without_a_close(how: CloseHow) -> None:
    async with talking() as (rig, link):
        rig.say(lambda connection: connection.send_text("so long"))
        rig.tell(lambda server: server.hang_up(how))
        assert [message async for message in link] == [TextMessage("so long")]
        assert link.closed == Closed(1011, "", clean=False)
        await link.receive_text("to nobody")
    assert rig.server.ends == []


@pytest.mark.anyio
@each_loop
async def test_the_engine_closes_the_link_while_a_message_waits_for_it() -> None:
    async with talking() as (rig, link), anyio.create_task_group() as tasks:
        rig.tell(lambda server: server.set_reading(LINK, False))
        tasks.start_soon(link.receive_text, "never read")
        await anyio.wait_all_tasks_blocked()
        rig.tell(lambda server: server.hang_up())
    assert rig.server.events == []


@pytest.mark.anyio
@each_loop
async def test_the_end_of_what_the_engine_sends() -> None:
    async with talking() as (rig, link):
        rig.tell(lambda server: server.end_sending(LINK))
        assert [message async for message in link] == []
        assert [message async for message in link] == []
        assert link.closed is not None
        await rig.until(lambda: rig.server.ends == [True])


@pytest.mark.anyio
@each_loop
async def test_a_refusal_that_the_machine_gives() -> None:
    async with serving() as rig:
        socket = MessageSocket(now=0.0, target=b"no path", headers=[])
        async with rig.driver.accept_messages(PEER, socket) as link:
            answer = await link.opening()
            assert isinstance(answer, UpgradeRefused)
            assert answer.status == 400
        await rig.until(lambda: rig.server.ends == [True])
        assert rig.server.read_bytes == []


@pytest.mark.anyio
@each_loop
async def test_a_driver_that_does_not_run() -> None:
    driver: Driver[Input] = Driver(EchoEngine())
    with pytest.raises(RuntimeError, match="not running"):
        driver.accept_messages(PEER, new_socket())
    async with serving() as rig:
        rig.driver.feed(ShutdownRequested(0.0))
        async with rig.driver.accept_messages(PEER, new_socket()) as link:
            answer = await link.opening()
            assert isinstance(answer, UpgradeRefused)
            assert answer.status == 503


@pytest.mark.anyio
@each_loop
async def test_a_driver_that_is_cancelled() -> None:
    driver: Driver[Input] = Driver(EchoEngine())
    running = asyncio.ensure_future(driver.run())
    await anyio.lowlevel.checkpoint()
    async with driver.accept_messages(PEER, new_socket()) as link:
        assert isinstance(await link.opening(), UpgradeAccepted)
        running.cancel()
        assert [message async for message in link] == []
        assert link.closed == Closed(1011, "", clean=False)
    with pytest.raises(asyncio.CancelledError):
        await running


@pytest.mark.anyio
@each_loop
async def test_much_of_everything_at_once() -> None:
    """Against the echo engine, which holds back who sends when its echoes are not pulled."""
    driver: Driver[Input] = Driver(Checked(EchoEngine()))
    payloads = [os.urandom(size) for size in (0, 1, 70_000, 1_000_000, 3) * 3]
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            await tasks.start(driver.run)

            async def talk() -> None:
                async with driver.accept_messages(PEER, new_socket()) as link, anyio.create_task_group() as pair:
                    assert isinstance(await link.opening(), UpgradeAccepted)

                    async def send() -> None:
                        for payload in payloads:
                            await link.receive_binary(payload)

                    pair.start_soon(send)
                    for payload in payloads:
                        message = await anext(link)
                        assert message.data == payload

            async with anyio.create_task_group() as clients:
                for _ in range(5):
                    clients.start_soon(talk)
            driver.feed(ShutdownRequested(0.0))
