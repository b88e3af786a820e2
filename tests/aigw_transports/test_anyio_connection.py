from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias, cast

import anyio
import pytest

from aigw_proto import client as core
from aigw_proto._effects import Deliver
from aigw_proto._inputs import ConnectFailure
from aigw_proto.ws import DeflatePolicy
from aigw_transports._anyio_connection import Connection, Mailbox, hold
from aigw_transports._anyio_driver import Driver
from aigw_transports._client_errors import ConnectionFailed, ConnectionLost
from aigw_transports._client_requests import open_request
from support.client_bench import ScriptedRunner
from support.live import Hand, played, run

Input: TypeAlias = core.OpenConnection | core.Consumed | core.CloseConnection
OPEN = core.OpenConnection(core.GatewayUrl(secure=False, host="h", port=80, host_header=b"h", target=b"/"))
ENDED = core.ConnectionLost(1012, "", clean=True, closed_by=core.ClosedBy.PEER)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def script() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def connection(script: ScriptedRunner) -> Connection[Input]:
    connection: Connection[Input] = Connection()
    connection.attach(script)
    return connection


# Connection


def test_a_mailbox_loses_nothing_to_a_cancel(backend: str) -> None:
    async def main() -> None:
        box: Mailbox[int] = Mailbox()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(box.get)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
            box.put(1)
        assert await box.get() == 1

    run(backend, main)


def test_opening_waits_for_the_answer(backend: str, script: ScriptedRunner, connection: Connection[Input]) -> None:
    async def main() -> None:
        opened = core.Opened(None, [])
        connection.take(opened)
        assert await connection.open(OPEN) is opened
        assert script.fed == [OPEN]
        connection.take(core.OpenFailed("no", ConnectFailure.NAME))
        with pytest.raises(ConnectionFailed):
            await connection.open(OPEN)

    run(backend, main)


def test_consumption_is_reported_in_batches_and_at_once_while_paused(
    script: ScriptedRunner, connection: Connection[Input]
) -> None:
    connection.report(1, 10)
    assert script.fed == []
    connection.report(2, 70_000)
    assert script.fed == [core.Consumed({1: 10, 2: 70_000})]
    connection.report(1, 10)
    connection.take(core.ReadingPaused(paused=True))
    assert script.fed[1:] == [core.Consumed({1: 10})]
    connection.report(1, 11)
    assert script.fed[2:] == [core.Consumed({1: 11})]
    connection.take(core.ReadingPaused(paused=False))
    connection.report(1, 12)
    assert len(script.fed) == 3


def test_senders_wait_for_room(backend: str, connection: Connection[Input]) -> None:
    sent: list[int] = []

    async def send(number: int) -> None:
        await connection.room()
        sent.append(number)
        connection.take(core.SendingAllowed(allowed=False))

    async def main() -> None:
        connection.take(core.SendingAllowed(allowed=False))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send, 1)
            tasks.start_soon(send, 2)
            for count in (0, 1, 2):
                await anyio.wait_all_tasks_blocked()
                assert len(sent) == count  # one at a time, because each filled it up again
                connection.take(core.SendingAllowed(allowed=True))

    run(backend, main)


@pytest.mark.parametrize("how", ["lost", "closed", "crashed"])
def test_after_the_end_nothing_is_sent_even_by_those_who_wait(
    backend: str, connection: Connection[Input], script: ScriptedRunner, how: str
) -> None:
    lost: list[ConnectionLost] = []

    async def send() -> None:
        with pytest.raises(ConnectionLost) as caught:
            await connection.room()
        lost.append(caught.value)

    async def main() -> None:
        connection.take(core.SendingAllowed(allowed=False))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(send)
            await anyio.wait_all_tasks_blocked()
            if how == "lost":
                connection.take(ENDED)
            if how == "crashed":
                script.running = False
            connection.close(4000, "bye")
        await send()
        assert [error.code for error in lost] == [1012 if how == "lost" else 4000] * 2
        assert script.fed == ([] if how == "crashed" else [core.CloseConnection(4000, "bye")])

    run(backend, main)


def test_what_the_gateway_said_replaces_what_this_side_expected(connection: Connection[Input]) -> None:
    connection.close()
    assert connection.lost is not None
    assert (connection.lost.code, connection.lost.closed_by) == (1000, core.ClosedBy.PROGRAM)
    connection.take(ENDED)
    assert connection.lost is ENDED


def test_without_a_driver_nothing_is_fed() -> None:
    connection: Connection[Input] = Connection()
    connection.feed(core.CloseConnection())


# hold()


def request(url: str, **headers: str) -> core.OpenConnection:
    return open_request(
        url,
        token="t",
        token_form=core.TokenForm.SUBPROTOCOL,
        headers=headers,
        subprotocols=["realtime"],
        compression=DeflatePolicy(),
        tls=None,
    )


def pass_on(connection: Connection[core.RealtimeInput]) -> Callable[[Deliver], None]:
    def deliver(effect: Deliver) -> None:
        item = cast("core.RealtimeItem", effect.item)
        if not isinstance(item, core.MessageReceived):
            connection.take(item)

    return deliver


class UserError(Exception):
    pass


def raise_error() -> None:
    raise UserError


def raise_group() -> None:
    raise ExceptionGroup("mine", [UserError()])


def raise_interrupt() -> None:
    raise KeyboardInterrupt


def raise_the_end_of_an_iteration() -> None:
    raise StopAsyncIteration


@pytest.mark.parametrize(
    ("blow", "kind"),
    [
        (raise_error, UserError),
        (raise_group, ExceptionGroup),
        (raise_interrupt, KeyboardInterrupt),
        (raise_the_end_of_an_iteration, StopAsyncIteration),
    ],
)
def test_exceptions_leave_the_block_as_they_are(
    backend: str, blow: Callable[[], None], kind: type[BaseException]
) -> None:
    closed: list[int] = []

    async def play(hand: Hand) -> None:
        await hand.accept()
        closed.append((await hand.read_to_end()).code)

    async def main() -> None:
        async with played(play) as url:
            connection: Connection[core.RealtimeInput] = Connection()
            engine = core.RealtimeClientEngine(random_bytes=bytes)
            driver: Driver[core.RealtimeInput] = Driver(engine, deliver=pass_on(connection))
            connection.attach(driver)
            with pytest.raises(kind) as caught:
                async with hold(driver, connection, request(url)):
                    blow()
            assert type(caught.value) is kind
            await anyio.wait_all_tasks_blocked()
        assert closed == [1000]

    run(backend, main)


def test_a_bug_in_the_engine_comes_out_of_the_block_alone(backend: str) -> None:
    def explode(_effect: object) -> None:
        raise UserError

    async def main() -> None:
        connection: Connection[core.RealtimeInput] = Connection()
        driver: Driver[core.RealtimeInput] = Driver(core.RealtimeClientEngine(random_bytes=bytes), deliver=explode)
        connection.attach(driver)
        with pytest.raises(UserError):
            async with hold(driver, connection, request("ws://127.0.0.1:1/")):
                raise AssertionError("the block is not entered")

    run(backend, main)
