from __future__ import annotations

import dataclasses
import re

import pytest

from aigw_proto._effects import Journal, Log, LogLevel
from aigw_proto._limits import GatewayLimits, WebSocketLimits
from aigw_proto.gateway._core import Core
from aigw_proto.gateway._record import Outcome, Tally
from aigw_proto.gateway._session import Session
from aigw_proto.gateway._turn import Actor
from support.rig import gateway_config


@pytest.fixture
def core() -> Core:
    return Core(gateway_config(), bytes, 1_800_000_000.0)


class Owner(Actor):
    """Ends badly as often as it is told to."""

    def __init__(self, bugs: int) -> None:
        self.bugs = bugs
        self.scheduled = None
        self.ends: list[str] = []

    def next_timeout(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> None:
        pass

    def crash(self, now: float) -> None:
        self.ends.append("crash")
        if self.bugs:
            raise KeyError("second")

    def drop(self, now: float) -> None:
        self.ends.append("drop")


def test_links_are_odd_and_fresh(core: Core) -> None:
    assert [core.new_link() for _ in range(3)] == [1, 3, 5]


def test_ids_carry_the_wall_clock(core: Core) -> None:
    first = core.new_id(12.5)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", first)
    assert int(first.replace("-", "")[:12], 16) == 1_800_000_012_500


def test_the_smaller_limit_of_a_message_counts() -> None:
    large, small = WebSocketLimits(max_message_bytes=1000), WebSocketLimits(max_message_bytes=10)
    limits = GatewayLimits(max_message_bytes=100)
    for websocket, expected in ((large, 100), (small, 10)):
        config = dataclasses.replace(gateway_config(websocket=websocket), limits=limits)
        assert Core(config, bytes, 0.0).websocket_limits.max_message_bytes == expected


def test_a_session_is_scheduled_once(core: Core) -> None:
    session = Session(core, core.new_link(), "x", 0.0)
    core.schedule(session)
    core.schedule(session)
    assert core.runnable.waiting == 1
    assert core.runnable.take() is session


def test_what_is_logged_and_journaled_are_effects(core: Core) -> None:
    tally = Tally(event_id="a", log_id="b", account="c", gateway="d", peer="e", now=0.0)
    record = tally.record(Outcome.DONE, 200, None, now=1.0)
    core.journal(record)
    core.log(LogLevel.INFO, "hello", {"n": 1})
    assert core.turn.poll() == Journal(record)
    assert core.turn.poll() == Log(LogLevel.INFO, "hello", {"n": 1})


@pytest.mark.parametrize(("bugs", "ends"), [(0, ["crash"]), (1, ["crash", "drop"])])
def test_a_bug_ends_its_owner_one_way_or_the_other(core: Core, bugs: int, ends: list[str]) -> None:
    owner = Owner(bugs)
    core.crash(owner, ValueError("first"), 0.0)
    assert owner.ends == ends
    errors: list[str] = []
    while (effect := core.turn.poll()) is not None:
        assert isinstance(effect, Log)
        assert effect.details == {"owner": "Owner"}
        errors.append(str(effect.exception))
    assert errors == ["first", "'second'"][: len(ends)]
