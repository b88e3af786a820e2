from __future__ import annotations

import anyio
import pytest

from aigw_proto import client as core
from aigw_proto._effects import Deliver
from aigw_proto.envelopes import Metadata, Step
from aigw_transports._anyio_calls import Call, Calls
from aigw_transports._client_errors import ConnectionLost
from support.client_bench import ScriptedRunner
from support.live import run

STEPS = (Step("openai", "chat/completions", (), b"{}"),)
METADATA = Metadata("e", "l", 0, "application/json")


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def script() -> ScriptedRunner:
    return ScriptedRunner()


@pytest.fixture
def calls(script: ScriptedRunner) -> Calls:
    calls = Calls(None)
    calls.connection.attach(script)
    return calls


def test_items_wake_the_task_that_waits(backend: str, script: ScriptedRunner, calls: Calls) -> None:
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


def test_letting_go_cancels(backend: str, script: ScriptedRunner, calls: Calls) -> None:
    async def main() -> None:
        call = await calls.start(STEPS, None, None)
        call.release()
        call.release()
        assert script.fed[1:] == [core.CancelRequest(1)]

    run(backend, main)


def test_what_was_taken_is_reported_for_its_ticket(backend: str, script: ScriptedRunner, calls: Calls) -> None:
    async def main() -> None:
        call = await calls.start(STEPS, None, None)
        chunk = core.ChunkReceived(b"x" * 70_000, None)
        calls.deliver(Deliver(1, chunk))
        await call.next()
        assert script.fed[1:] == [core.Consumed({1: core.held_bytes(chunk)})]

    run(backend, main)


def test_what_belongs_to_no_call_goes_to_the_connection_the_log_and_the_sink(
    caplog: pytest.LogCaptureFixture,
) -> None:
    frames: list[str] = []
    calls = Calls(frames.append)
    lost = core.ConnectionLost(1012, "", clean=True, closed_by=core.ClosedBy.PEER)
    for item in (core.FrameReceived("text"), core.ConnectionNotice("odd", "frame"), lost):
        calls.deliver(Deliver(core.CONNECTION_TICKET, item))
    Calls(None).deliver(Deliver(core.CONNECTION_TICKET, core.FrameReceived("nobody listens")))
    assert frames == ["text"]
    assert caplog.messages == ["odd: frame"]
    assert calls.connection.lost is lost


def test_notices_are_logged_and_not_without_end(caplog: pytest.LogCaptureFixture) -> None:
    calls = Calls(None)
    for number in range(100):
        calls.deliver(Deliver(core.CONNECTION_TICKET, core.ConnectionNotice("odd", str(number))))
    assert caplog.messages[:10] == [f"odd: {number}" for number in range(10)]
    assert len(caplog.messages) == 11


def test_after_the_end_no_call_starts(backend: str, script: ScriptedRunner, calls: Calls) -> None:
    async def main() -> None:
        calls.connection.close()
        with pytest.raises(ConnectionLost):
            await calls.start(STEPS, None, None)
        assert script.fed == [core.CloseConnection()]

    run(backend, main)
