from __future__ import annotations

import anyio
import pytest

from aigw_proto import client as core
from aigw_proto._effects import Deliver
from aigw_proto._inputs import ConnectFailure
from aigw_proto.envelopes import Metadata, Step
from aigw_transports._anyio_calls import Call, Calls
from aigw_transports._client_errors import ConnectionFailed, ConnectionLost
from support.live import run

STEPS = (Step("openai", "chat/completions", (), b"{}"),)
METADATA = Metadata("e", "l", 0, "application/json")
OPEN = core.OpenConnection(core.GatewayUrl(secure=False, host="h", port=80, host_header=b"h", target=b"/"))


class Script:
    """Stands for the driver: keeps what is fed."""

    def __init__(self) -> None:
        self.running = True
        self.fed: list[core.ClientInput] = []

    def feed(self, event: core.ClientInput) -> None:
        self.fed.append(event)


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture
def calls(script: Script) -> Calls:
    calls = Calls(None)
    calls.attach(script)
    return calls


def connection(calls: Calls, item: core.ConnectionItem) -> None:
    calls.deliver(Deliver(core.CONNECTION_TICKET, item))


def test_opening_waits_for_the_answer(backend: str, script: Script, calls: Calls) -> None:
    async def main() -> None:
        opened = core.Opened(None, [])
        connection(calls, opened)
        assert await calls.open(OPEN) is opened
        assert script.fed == [OPEN]
        connection(calls, core.OpenFailed("no", ConnectFailure.NAME))
        with pytest.raises(ConnectionFailed):
            await calls.open(OPEN)

    run(backend, main)


def test_items_wake_the_task_that_waits(backend: str, script: Script, calls: Calls) -> None:
    async def main() -> None:
        taken: list[core.RequestItem] = []

        async def take(call: Call) -> None:
            taken.extend([await call.next(), await call.next()])

        call = await calls.start(STEPS, "mine", 3.0)
        assert script.fed == [core.CreateRequest(1, STEPS, "mine", 3.0)]
        assert len(calls) == 1
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, call)
            await anyio.wait_all_tasks_blocked()
            calls.deliver(Deliver(1, core.StreamStarted(METADATA)))
            await anyio.wait_all_tasks_blocked()
            assert not call.over
            calls.deliver(Deliver(1, core.StreamFinished(METADATA)))
        assert call.over
        assert [type(item) for item in taken] == [core.StreamStarted, core.StreamFinished]
        call.release()
        call.release()
        assert len(calls) == 0
        assert len(script.fed) == 1
        calls.deliver(Deliver(1, core.StreamFinished(METADATA)))

    run(backend, main)


def test_letting_go_cancels(backend: str, script: Script, calls: Calls) -> None:
    async def main() -> None:
        call = await calls.start(STEPS, None, None)
        call.release()
        call.release()
        assert script.fed[1:] == [core.CancelRequest(1)]

    run(backend, main)


def test_consumption_is_reported_in_batches_and_at_once_while_paused(
    backend: str, script: Script, calls: Calls
) -> None:
    async def main() -> None:
        call = await calls.start(STEPS, None, None)
        script.fed.clear()
        big, small = core.ChunkReceived(b"x" * 70_000, None), core.ChunkReceived(b"x", None)
        for item in (small, big, small, small, small):
            calls.deliver(Deliver(1, item))
        await call.next()
        assert script.fed == []
        await call.next()
        held = core.held_bytes(small)
        assert script.fed == [core.Consumed({1: held + core.held_bytes(big)})]
        await call.next()
        connection(calls, core.ReadingPaused(paused=True))
        assert script.fed[1:] == [core.Consumed({1: held})]
        await call.next()
        assert script.fed[2:] == [core.Consumed({1: held})]
        connection(calls, core.ReadingPaused(paused=False))
        await call.next()
        assert len(script.fed) == 3

    run(backend, main)


def test_requests_wait_while_sending_is_not_allowed(backend: str, script: Script, calls: Calls) -> None:
    async def main() -> None:
        connection(calls, core.SendingAllowed(allowed=False))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(calls.start, STEPS, None, None)
            tasks.start_soon(calls.start, STEPS, None, None)
            await anyio.wait_all_tasks_blocked()
            assert script.fed == []
            connection(calls, core.SendingAllowed(allowed=True))
            connection(calls, core.SendingAllowed(allowed=False))
            await anyio.wait_all_tasks_blocked()
            assert script.fed == []
            connection(calls, core.SendingAllowed(allowed=True))
        assert len(script.fed) == 2

    run(backend, main)


@pytest.mark.parametrize("how", ["lost", "closed", "crashed"])
def test_after_the_end_requests_fail_even_those_that_wait(backend: str, calls: Calls, script: Script, how: str) -> None:
    async def main() -> None:
        connection(calls, core.SendingAllowed(allowed=False))
        failures: list[int] = []

        async def start() -> None:
            with pytest.raises(ConnectionLost) as caught:
                await calls.start(STEPS, None, None)
            failures.append(caught.value.code)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            await anyio.wait_all_tasks_blocked()
            if how == "lost":
                connection(calls, core.ConnectionLost(1012, "", clean=True))
            if how == "crashed":
                script.running = False
            calls.close()
        await start()
        assert failures == [1012 if how == "lost" else 1000] * 2

    run(backend, main)
