from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable

import pytest

from aigw_proto import client as core
from aigw_transports._sync_connection import GONE, Connection, Mailbox, Tally
from aigw_transports._sync_owner import Owner
from support.threads import PATIENCE_SECONDS, live_gateway

LOST = core.ConnectionLost(1011, "oops", clean=True, closed_by=core.ClosedBy.PEER)
_Fed = core.SendMessage | core.OpenConnection | core.Consumed | core.CloseConnection


class Runner:
    """A driver that does nothing."""

    def __init__(self) -> None:
        self.owner = Owner()
        self.running = True
        self.fed: list[_Fed] = []

    def feed_here(self, event: _Fed) -> None:
        self.fed.append(event)


@pytest.fixture(name="runner")
def make_runner() -> Runner:
    return Runner()


@pytest.fixture(name="connection")
def make_connection(runner: Runner) -> Connection[core.SendMessage]:
    connection: Connection[core.SendMessage] = Connection()
    connection.attach(runner)
    return connection


def outcome(connection: Connection[core.SendMessage], runner: Runner) -> list[object]:
    """Ask to send, and note what comes of it."""
    seen: list[object] = []
    connection.request(object(), lambda: seen.append("sent"), seen.append)
    runner.owner.finish()
    return seen


def test_a_mailbox_keeps_order_and_patience() -> None:
    mailbox: Mailbox[int] = Mailbox()
    with pytest.raises(TimeoutError, match=r"nothing came within 0\.001 s"):
        mailbox.get(0.001)
    mailbox.put(1)
    mailbox.put(2)
    assert [mailbox.get(-1.0), mailbox.get()] == [1, 2]


def test_sending_waits_for_room_in_order(connection: Connection[core.SendMessage], runner: Runner) -> None:
    assert outcome(connection, runner) == ["sent"]
    connection.take(core.SendingAllowed(False))
    first = outcome(connection, runner)
    second = outcome(connection, runner)
    assert (first, second) == ([], [])
    connection.take(core.SendingAllowed(True))
    assert (first, second) == (["sent"], ["sent"])


def test_what_is_withdrawn_is_forgotten_at_once(connection: Connection[core.SendMessage], runner: Runner) -> None:
    class Message:
        def send(self) -> None:
            raise AssertionError("it was withdrawn")

    connection.take(core.SendingAllowed(False))
    before = outcome(connection, runner)
    message = Message()
    kept = weakref.ref(message)
    connection.request("key", message.send, print)
    behind = outcome(connection, runner)
    del message
    assert kept() is not None
    connection.withdraw("key")
    gc.collect()
    assert kept() is None
    connection.withdraw("key")
    connection.take(core.SendingAllowed(True))
    assert (before, behind) == (["sent"], ["sent"])
    connection.withdraw("key")


def test_whoever_waits_learns_of_the_end(connection: Connection[core.SendMessage], runner: Runner) -> None:
    connection.take(core.SendingAllowed(False))
    waiting = outcome(connection, runner)
    connection.take(LOST)
    assert waiting == [LOST]
    assert outcome(connection, runner) == [LOST]
    assert connection.lost is LOST


def test_closing_ends_sending(connection: Connection[core.SendMessage], runner: Runner) -> None:
    connection.close(4001, "enough")
    (lost,) = outcome(connection, runner)
    assert isinstance(lost, core.ConnectionLost)
    assert (lost.code, lost.closed_by) == (4001, core.ClosedBy.PROGRAM)
    connection.close()
    runner.owner.finish()
    assert connection.lost is lost
    assert runner.fed == [core.CloseConnection(4001, "enough"), core.CloseConnection(1000, "")]
    connection.take(LOST)
    assert connection.lost is LOST  # the gateway's own words


def test_nobody_waits_for_a_driver_that_has_ended(connection: Connection[core.SendMessage], runner: Runner) -> None:
    runner.running = False
    seen: list[object] = []
    connection.request(object(), lambda: seen.append("sent"), seen.append)
    assert seen == [GONE]
    assert connection.abandon() is GONE
    with pytest.raises(ConnectionAbortedError, match="reset by this side"):
        connection.open(_request(), None)


def test_without_a_driver_nothing_happens() -> None:
    connection: Connection[core.SendMessage] = Connection()
    connection.close()
    connection.feed(core.CloseConnection())
    assert not connection.is_alive


def _request() -> core.OpenConnection:
    url = core.parse_url("ws://h/v1/a/g")
    assert isinstance(url, core.GatewayUrl)
    return core.OpenConnection(url)


def test_what_was_taken_is_reported_in_batches(connection: Connection[core.SendMessage], runner: Runner) -> None:
    tally = Tally(7)
    connection.follow(tally)
    for _ in range(3):
        connection.report(tally, 30_000)
    runner.owner.finish()
    assert runner.fed == [core.Consumed({7: 90_000})]
    connection.report(tally, 5)
    connection.forget(tally)
    assert len(runner.fed) == 1  # the rest goes with the next
    other = Tally(8)
    connection.follow(other)
    connection.report(other, 70_000)
    runner.owner.finish()
    assert runner.fed[1:] == [core.Consumed({7: 5, 8: 70_000})]


def test_what_was_taken_is_reported_at_once_when_it_is_waited_for(
    connection: Connection[core.SendMessage], runner: Runner
) -> None:
    tally = Tally(7)
    connection.follow(tally)
    connection.report(tally, 10)
    connection.take(core.ReadingPaused(True))
    assert runner.fed == [core.Consumed({7: 10})]
    connection.report(tally, 1)
    runner.owner.finish()
    assert runner.fed[1:] == [core.Consumed({7: 1})]
    connection.take(core.ReadingPaused(False))
    connection.report(tally, 1)
    runner.owner.finish()
    assert len(runner.fed) == 2


def test_reports_of_many_threads_add_up(connection: Connection[core.SendMessage], runner: Runner) -> None:
    tallies = [Tally(number) for number in range(1, 9)]
    for tally in tallies:
        connection.follow(tally)

    def take(tally: Tally) -> Callable[[], None]:
        def run() -> None:
            for _ in range(1000):
                connection.report(tally, 100)

        return run

    threads = [threading.Thread(target=take(tally)) for tally in tallies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    runner.owner.finish()
    connection.take(core.ReadingPaused(True))
    sums = dict.fromkeys(range(1, 9), 0)
    for event in runner.fed:
        assert isinstance(event, core.Consumed)
        for ticket, size in event.sizes.items():
            sums[ticket] += size
    assert sums == dict.fromkeys(range(1, 9), 100_000)


FORGETFUL = """
import contextlib, sys
from aigw_transports.sync import connect

stack = contextlib.ExitStack()
gateway = stack.enter_context(connect(sys.argv[1]))
other = connect(sys.argv[1])
query = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "x"}]}
stream = other.__enter__().stream("openai", "chat/completions", query)
print(next(stream).response is not None)
"""


def test_a_program_that_forgets_its_connections_can_end() -> None:
    with live_gateway() as url:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", FORGETFUL, url],
            capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False,
        )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
