"""The realtime client against a server that nobody here wrote, and against one that is played by hand."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import ssl
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
import trustme
import websockets.exceptions
from websockets.sync.server import ServerConnection

import aigw_transports.anyio as aigw
from aigw_proto._effects import Deliver
from aigw_proto._inputs import ConnectFailure
from aigw_proto.client import CONNECTION_TICKET, ConnectionLost, MessageReceived
from aigw_proto.ws import BinaryMessage, Closed, TextMessage
from aigw_transports._anyio_realtime import _Session
from support.live import Hand, played, run
from support.websockets_server import websockets_server

MIB = 1024 * 1024
PATIENCE_SECONDS = 60
QUICK = aigw.WebSocketLimits(close_timeout_seconds=0.05)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def echo(peer: ServerConnection) -> None:
    with contextlib.suppress(websockets.exceptions.ConnectionClosed):
        for message in peer:
            peer.send(message)


# Messages


def test_messages_come_back_as_they_went(backend: str) -> None:
    big = os.urandom(MIB)

    async def main() -> None:
        with websockets_server(echo) as url:
            async with aigw.connect_realtime(url) as session:
                assert (session.close_code, session.close_reason, session.closed_by) == (None, None, None)
                messages: list[str | bytes] = ["", b"", "žluť €", b"\x00\xff", "x" * 70_000, big, big.hex(), big * 16]
                for message in messages:
                    await session.send(message)
                    assert await session.receive() == message
                await session.send(bytearray(b"mutable"))
                await session.send(memoryview(b"a view")[2:])
                assert [await session.receive(), await session.receive()] == [b"mutable", b"view"]
            assert (session.close_code, session.closed_by) == (1000, aigw.ClosedBy.PROGRAM)

    run(backend, main)


def test_fragments_are_one_message_and_pings_are_answered(backend: str) -> None:
    pongs: queue.Queue[bool] = queue.Queue()

    def handler(peer: ServerConnection) -> None:
        pongs.put(peer.ping().wait(PATIENCE_SECONDS))  # while the program does nothing
        peer.send(["one ", "two ", "three"])
        peer.send([b"1", b"2"])

    async def main() -> None:
        with websockets_server(handler) as url:
            async with aigw.connect_realtime(url, compression=aigw.DeflatePolicy()) as session:
                assert await anyio.to_thread.run_sync(pongs.get)
                assert [message async for message in session] == ["one two three", b"12"]
                assert (session.close_code, session.closed_by) == (1000, aigw.ClosedBy.PEER)

    run(backend, main)


def test_one_receives_while_several_send(backend: str) -> None:
    async def main() -> None:
        received: list[str | bytes] = []

        async def send(session: aigw.RealtimeConnection, sender: int) -> None:
            for number in range(100):
                await session.send(f"{sender}.{number}")

        with websockets_server(echo) as url:
            async with aigw.connect_realtime(url) as session, anyio.create_task_group() as tasks:
                for sender in range(10):
                    tasks.start_soon(send, session, sender)
                while len(received) < 1000:
                    received.append(await session.receive())
        for sender in range(10):
            assert [m for m in received if m in {f"{sender}.{n}" for n in range(100)}] == [
                f"{sender}.{number}" for number in range(100)
            ]

    run(backend, main)


def test_what_is_no_message_is_the_programs_mistake_and_nothing_is_lost(backend: str) -> None:
    async def main() -> None:
        with websockets_server(echo) as url:
            async with aigw.connect_realtime(url) as session:
                for wrong in ({"type": "x"}, 1, None, ["a"]):
                    with pytest.raises(TypeError, match=f"expected str or bytes, got {type(wrong).__name__}"):
                        await session.send(wrong)  # type: ignore[arg-type] # the mistake
                with pytest.raises(aigw.LocalProtocolError, match="no UTF-8 form"):
                    await session.send("\ud83d")
                for code in (1005, 1006, 0, 70_000):
                    with pytest.raises(aigw.LocalProtocolError, match=f"close code {code}"):
                        await session.close(code)
                await session.send("still open")
                assert await session.receive() == "still open"

    run(backend, main)


def test_cancelling_receive_loses_no_message(backend: str) -> None:
    async def main() -> None:
        received: list[str | bytes] = []
        with websockets_server(echo) as url:
            async with aigw.connect_realtime(url) as session:
                for number in range(50):
                    await session.send(str(number))
                while len(received) < 50:
                    with anyio.CancelScope() as scope:
                        if len(received) % 2:
                            scope.cancel()
                        received.append(await session.receive())
                    if scope.cancelled_caught:
                        received.append(await session.receive())
                    with anyio.move_on_after(0):
                        received.append(await session.receive())
        assert received == [str(number) for number in range(50)]

    run(backend, main)


def test_receive_may_be_wrapped_by_asyncio() -> None:
    async def main() -> None:
        with websockets_server(echo) as url:
            async with aigw.connect_realtime(url) as session:
                received: list[str | bytes] = []
                for number in range(20):
                    await session.send(str(number))
                while len(received) < 20:
                    with contextlib.suppress(TimeoutError):
                        received.append(await asyncio.wait_for(session.receive(), 0.0005))
                assert received == [str(number) for number in range(20)]
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.0005):
                        await session.receive()

    run("asyncio", main)


def test_only_one_task_can_receive(backend: str) -> None:
    async def main() -> None:
        with websockets_server(echo) as url:
            async with aigw.connect_realtime(url) as session, anyio.create_task_group() as tasks:
                tasks.start_soon(session.receive)
                await anyio.wait_all_tasks_blocked()
                with pytest.raises(RuntimeError, match="another task is receiving"):
                    await session.receive()
                await session.send("for the first")
            async with aigw.connect_realtime(url) as session:
                with anyio.move_on_after(0):
                    await session.receive()
                await session.send("for the next")
                assert await session.receive() == "for the next"

    run(backend, main)


# Flow


def test_a_program_that_takes_nothing_stops_the_peer(backend: str) -> None:
    message = b"x" * 10_000
    count = 3000  # more than the socket's buffers hold
    limits = aigw.ClientLimits(high_water_bytes=200_000, low_water_bytes=50_000)

    async def main() -> None:
        sent = 0

        async def play(hand: Hand) -> None:
            nonlocal sent
            await hand.accept()
            assert hand.ws is not None
            for _ in range(count):
                hand.ws.send_binary(message)
                await hand.flush()
                sent += 1
            hand.ws.send_close()
            await hand.flush()
            await hand.read_to_end()

        async with played(play) as url, aigw.connect_realtime(url, limits=limits) as session:
            before = -1
            while before != sent:
                before = sent
                await anyio.wait_all_tasks_blocked()
            assert sent < count
            assert [received async for received in session] == [message] * count

    run(backend, main)


def test_sending_waits_for_a_peer_that_does_not_read(backend: str) -> None:
    limits = aigw.ClientLimits(sending_high_water_bytes=100_000, sending_low_water_bytes=20_000)

    async def main() -> None:
        read_on = anyio.Event()
        heard: list[bytes] = []
        sent: list[int] = []

        async def play(hand: Hand) -> None:
            await hand.accept()
            await read_on.wait()
            while not isinstance(event := await hand.next_event(), Closed):
                assert isinstance(event, BinaryMessage)
                heard.append(event.data[:4])

        async def send(session: aigw.RealtimeConnection, number: int) -> None:
            await session.send(number.to_bytes(4, "big") + bytes(300_000))
            sent.append(number)

        async with played(play) as url, aigw.connect_realtime(url, limits=limits) as session:
            async with anyio.create_task_group() as tasks:
                for number in range(100):
                    tasks.start_soon(send, session, number)
                before = -1
                while before != len(sent):
                    before = len(sent)
                    await anyio.wait_all_tasks_blocked()
                assert before < 100
                tasks.cancel_scope.cancel()  # whoever waits has sent nothing
            read_on.set()
        assert heard == [number.to_bytes(4, "big") for number in sent]

    run(backend, main)


def test_whoever_waits_to_send_learns_of_the_end(backend: str) -> None:
    limits = aigw.ClientLimits(sending_high_water_bytes=1000, sending_low_water_bytes=100, linger_timeout_seconds=0.05)

    async def play(hand: Hand) -> None:
        await hand.accept()
        await anyio.sleep_forever()

    async def main() -> None:
        lost: list[aigw.ConnectionLost] = []

        async def send(session: aigw.RealtimeConnection) -> None:
            await session.send(bytes(8 * MIB))
            with pytest.raises(aigw.ConnectionLost) as caught:
                await session.send("waits")
            lost.append(caught.value)

        async with played(play) as url, aigw.connect_realtime(url, limits=limits, websocket=QUICK) as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(send, session)
                await anyio.wait_all_tasks_blocked()
                await session.close(4000)
            assert (session.close_code, session.closed_by) == (1006, aigw.ClosedBy.PROGRAM)
        assert [(error.code, error.closed_by) for error in lost] == [(4000, aigw.ClosedBy.PROGRAM)]

    run(backend, main)


# The end


def closing(code: int | None, reason: str = "") -> Callable[[Hand], object]:
    async def play(hand: Hand) -> None:
        await hand.accept()
        assert hand.ws is not None
        hand.ws.send_text("one")
        hand.ws.send_close(code, reason)
        await hand.flush()
        await hand.read_to_end()

    return play


async def cutting(hand: Hand) -> None:
    await hand.accept()
    assert hand.ws is not None
    hand.ws.send_text("one")
    await hand.flush()


async def talking_nonsense(hand: Hand) -> None:
    await hand.accept()
    assert hand.ws is not None
    hand.ws.send_text("one")
    await hand.flush()
    await hand.stream.send(b"\xff\xff\xff\xff")
    await hand.read_to_end()


PEER, NETWORK, CLIENT = aigw.ClosedBy.PEER, aigw.ClosedBy.NETWORK, aigw.ClosedBy.CLIENT


@pytest.mark.parametrize(
    ("play", "quiet", "code", "reason", "clean", "closed_by"),
    [
        (closing(1000, "done"), True, 1000, "done", True, PEER),
        (closing(1001), True, 1001, "", True, PEER),
        (closing(None), True, 1005, "", True, PEER),
        (closing(1008, "policy"), False, 1008, "policy", True, PEER),
        (closing(1011, "ž" * 61), False, 1011, "ž" * 61, True, PEER),
        (closing(3000), False, 3000, "", True, PEER),
        (closing(4007), False, 4007, "", True, PEER),
        (cutting, False, 1006, "", False, NETWORK),
        (talking_nonsense, False, 1002, None, False, CLIENT),
    ],
)
def test_the_end_says_why(
    backend: str,
    play: Callable[[Hand], object],
    quiet: bool,
    code: int,
    reason: str | None,
    clean: bool,
    closed_by: aigw.ClosedBy,
) -> None:
    async def main() -> None:
        async with played(play) as url, aigw.connect_realtime(url) as session:  # type: ignore[arg-type] # coroutines
            received: list[str | bytes] = []

            async def iterate() -> None:
                async for message in session:
                    received.append(message)  # noqa: PERF401 - those before the exception count

            for _ in range(2):  # the second time there is nothing more, and the same end
                if quiet:
                    await iterate()
                else:
                    with pytest.raises(aigw.ConnectionLost):
                        await iterate()
                assert received == ["one"]
            for act in (session.receive, lambda: session.send("late")):
                with pytest.raises(aigw.ConnectionLost) as caught:
                    await act()
                error = caught.value
                assert (error.code, error.clean, error.closed_by) == (code, clean, closed_by)
                assert error.reason == (session.close_reason if reason is None else reason)
            assert (session.close_code, session.closed_by) == (code, closed_by)
            await session.close(4000)
            assert session.close_code == code

    run(backend, main)


def test_closing_travels_and_waits_for_the_answer(backend: str) -> None:
    seen: queue.Queue[tuple[int, str]] = queue.Queue()

    def handler(peer: ServerConnection) -> None:
        peer.send("last words")
        with pytest.raises(websockets.exceptions.ConnectionClosed) as caught:
            peer.recv(timeout=PATIENCE_SECONDS)
        assert caught.value.rcvd is not None
        seen.put((caught.value.rcvd.code, caught.value.rcvd.reason))

    async def main() -> None:
        received: list[str | bytes] = []

        async def read(session: aigw.RealtimeConnection) -> None:
            received.append(await session.receive())
            received.extend([message async for message in session])
            received.append(f"ended with {session.close_code}")

        with websockets_server(handler) as url:
            async with aigw.connect_realtime(url) as session:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(read, session)
                    while not received:
                        await anyio.wait_all_tasks_blocked()
                    tasks.start_soon(session.close, 4001, "ž" * 100)  # twice at once is once
                    await session.close(4001, "ž" * 100)
                assert (session.close_code, session.close_reason) == (4001, "ž" * 61)
                assert session.closed_by is aigw.ClosedBy.PROGRAM
                with pytest.raises(aigw.ConnectionLost) as caught:
                    await session.send("late")
                assert (caught.value.code, caught.value.clean) == (4001, True)
            assert received == ["last words", "ended with 4001"]
            assert await anyio.to_thread.run_sync(seen.get) == (4001, "ž" * 61)

    run(backend, main)


def test_what_came_before_the_close_can_still_be_taken(backend: str) -> None:
    async def main() -> None:
        async def play(hand: Hand) -> None:
            await hand.accept()
            assert hand.ws is not None
            hand.ws.send_text("before")
            await hand.flush()
            assert isinstance(await hand.next_event(), TextMessage)
            hand.ws.send_text("after")
            await hand.flush()
            await hand.read_to_end()

        async with played(play) as url, aigw.connect_realtime(url) as session:
            while not session._session.mailbox.items:
                await anyio.wait_all_tasks_blocked()
            await session.send("go on")
            await session.close()  # in the same breath: what the peer answers comes later
            assert await session.receive() == "before"
            assert [message async for message in session] == []

    run(backend, main)


def test_a_peer_that_never_answers_close_is_left(backend: str) -> None:
    async def play(hand: Hand) -> None:
        await hand.accept()
        await anyio.sleep_forever()

    async def main() -> None:
        async with played(play) as url:
            limits = aigw.ClientLimits(linger_timeout_seconds=0.05)
            async with aigw.connect_realtime(url, limits=limits, websocket=QUICK) as session:
                pass
            assert (session.close_code, session.closed_by) == (1006, aigw.ClosedBy.PROGRAM)
            assert session.close_reason == "no Close in answer to ours"
            assert [message async for message in session] == []

    run(backend, main)


def test_a_dead_peer_is_noticed(backend: str) -> None:
    async def play(hand: Hand) -> None:
        await hand.accept()
        await anyio.sleep_forever()

    async def main() -> None:
        impatient = aigw.WebSocketLimits(ping_interval_seconds=0.02, pong_timeout_seconds=0.02)
        limits = aigw.ClientLimits(linger_timeout_seconds=0.05)
        async with played(play) as url, aigw.connect_realtime(url, limits=limits, websocket=impatient) as session:
            with pytest.raises(aigw.ConnectionLost, match="no sign of life") as caught:
                await session.receive()
            assert (caught.value.code, caught.value.closed_by) == (1006, aigw.ClosedBy.CLIENT)

    run(backend, main)


def test_a_message_beyond_the_limit_ends_the_session(backend: str) -> None:
    async def main() -> None:
        small = aigw.WebSocketLimits(max_message_bytes=1000)
        with websockets_server(echo) as url:
            async with aigw.connect_realtime(url, websocket=small) as session:
                await session.send("x" * 1001)
                with pytest.raises(aigw.ConnectionLost) as caught:
                    await session.receive()
                assert (caught.value.code, caught.value.closed_by) == (1009, aigw.ClosedBy.CLIENT)

    run(backend, main)


def test_leaving_the_block_ends_what_other_tasks_wait_for(backend: str) -> None:
    async def main() -> None:
        ends: list[str] = []

        async def read(session: aigw.RealtimeConnection) -> None:
            ends.append(f"{[message async for message in session]}")

        with websockets_server(echo) as url:
            async with anyio.create_task_group() as tasks, aigw.connect_realtime(url) as session:
                tasks.start_soon(read, session)
                await anyio.wait_all_tasks_blocked()
        assert ends == ["[]"]
        with pytest.raises(aigw.ConnectionLost):
            await session.send("late")
        await session.close()

    run(backend, main)


def test_a_cancelled_program_says_close_and_does_not_wait_for_ever(backend: str) -> None:
    async def main() -> None:
        closes: list[int] = []
        ends: list[aigw.ConnectionLost] = []
        sessions: list[aigw.RealtimeConnection] = []

        async def play(hand: Hand) -> None:
            await hand.accept()
            assert hand.ws is not None
            while not closes:
                hand.ws.receive_data(await hand.stream.receive(), anyio.current_time())
                event = hand.ws.next_event()
                if isinstance(event, Closed):
                    closes.append(event.code)  # and it is never answered
            await anyio.sleep_forever()

        async def read(session: aigw.RealtimeConnection) -> None:
            with pytest.raises(aigw.ConnectionLost) as caught:
                await session.receive()
            ends.append(caught.value)

        async with played(play) as url, anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                async with aigw.connect_realtime(url) as session:
                    sessions.append(session)
                    tasks.start_soon(read, session)
                    await anyio.wait_all_tasks_blocked()
                    scope.cancel()
                    await anyio.sleep_forever()
            assert scope.cancelled_caught
            assert (sessions[0].close_code, sessions[0].closed_by) == (1006, aigw.ClosedBy.PROGRAM)
        assert closes == [1000]
        assert [(error.code, error.clean) for error in ends] == [(1006, False)]

    run(backend, main)


def test_exceptions_leave_the_block_as_they_are(backend: str) -> None:
    async def main() -> None:
        with websockets_server(echo) as url:
            sessions: list[aigw.RealtimeConnection] = []

            async def fail() -> None:
                async with aigw.connect_realtime(url) as session:
                    sessions.append(session)
                    raise LookupError("mine")

            with pytest.raises(LookupError, match="mine"):
                await fail()
            assert (sessions[0].close_code, sessions[0].closed_by) == (1000, aigw.ClosedBy.PROGRAM)

    run(backend, main)


# Opening


def test_the_upgrade_carries_what_was_given(backend: str) -> None:
    seen: queue.Queue[tuple[str, dict[str, str], str | None]] = queue.Queue()

    def handler(peer: ServerConnection) -> None:
        assert peer.request is not None
        seen.put((peer.request.path, dict(peer.request.headers.raw_items()), peer.subprotocol))

    async def main() -> None:
        offered = ["realtime", "openai-insecure-api-key.k"]
        with websockets_server(handler, subprotocols=["realtime"]) as url:
            async with aigw.connect_realtime(
                f"{url}?model=gpt-realtime&x=%2F",
                token="sesame",
                headers={"Authorization": "Bearer k", "OpenAI-Beta": "realtime=v1"},
                subprotocols=offered,
            ) as session:
                assert session.subprotocol == "realtime"
                assert (b"upgrade", b"websocket") in session.headers
            path, headers, _ = seen.get(timeout=PATIENCE_SECONDS)
            assert path == "/?model=gpt-realtime&x=%2F"
            assert headers["cf-aig-authorization"] == "Bearer sesame"
            assert headers["Authorization"] == "Bearer k"
            assert headers["OpenAI-Beta"] == "realtime=v1"
            assert headers["Sec-WebSocket-Protocol"] == "realtime, openai-insecure-api-key.k"
            assert "Sec-WebSocket-Extensions" not in headers
            form = aigw.TokenForm.SUBPROTOCOL
            async with aigw.connect_realtime(url, token="sesame", token_form=form, subprotocols=offered) as session:
                pass
            _, headers, _ = seen.get(timeout=PATIENCE_SECONDS)
            assert headers["Sec-WebSocket-Protocol"] == (
                "cf-aig-authorization.sesame, realtime, openai-insecure-api-key.k"
            )

    run(backend, main)


def test_a_refusal_has_its_status_and_body(backend: str) -> None:
    body = b'{"error":{"message":"Incorrect API key provided","code":"invalid_api_key"}}'

    async def play(hand: Hand) -> None:
        await hand.reject(401, body)

    async def main() -> None:
        async with played(play) as url:
            with pytest.raises(aigw.HandshakeRefused) as caught:
                async with aigw.connect_realtime(url):
                    raise AssertionError("the block is not entered")
            error = caught.value
            assert (error.status, error.body, error.code) == (401, body, "invalid_api_key")
            assert "Incorrect API key" in error.message

    run(backend, main)


def test_mistakes_in_what_is_asked_for(backend: str) -> None:
    async def main() -> None:
        with pytest.raises(ValueError, match="url: scheme"):
            async with aigw.connect_realtime("https://h/"):
                raise AssertionError("the block is not entered")
        with pytest.raises(aigw.LocalProtocolError, match=r"subprotocols\[1\]") as caught:
            async with aigw.connect_realtime("ws://h/", subprotocols=["realtime", "openai-insecure-api-key.secret/x"]):
                raise AssertionError("the block is not entered")
        assert "secret" not in str(caught.value)
        with pytest.raises(TypeError, match="subprotocols: expected a list"):
            async with aigw.connect_realtime("ws://h/", subprotocols="realtime"):
                raise AssertionError("the block is not entered")

    run(backend, main)


def test_wss_checks_the_certificate(backend: str, tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(server)  # pyright: ignore[reportUnknownMemberType] - OpenSSL types

    async def main() -> None:
        with websockets_server(echo, tls=server) as url:
            async with aigw.connect_realtime(url, tls=aigw.TlsPolicy(str(tmp_path / "ca.pem"))) as session:
                await session.send(bytes(MIB))
                assert await session.receive() == bytes(MIB)
            assert session.close_code == 1000
            with pytest.raises(aigw.ConnectionFailed) as caught:
                async with aigw.connect_realtime(url):
                    raise AssertionError("the block is not entered")
            assert caught.value.failure is ConnectFailure.CERTIFICATE

    run(backend, main)


# What the engine delivers


def test_a_session_that_ended_is_not_abandoned_a_second_time(backend: str) -> None:
    async def main() -> None:
        session = _Session()
        session.deliver(Deliver(CONNECTION_TICKET, MessageReceived("one")))
        session.abandon()
        session.abandon()
        assert session.lost is not None
        assert (session.lost.code, session.lost.closed_by) == (1006, aigw.ClosedBy.PROGRAM)
        assert list(session.mailbox.items) == [MessageReceived("one"), session.lost]
        assert session.connection.lost is session.lost
        assert session.ended.is_set()
        assert isinstance(session.lost, ConnectionLost)

    run(backend, main)
