from __future__ import annotations

from typing import Any

import pytest

from aigw_proto._effects import CloseHow, CloseLink, Connect, Drained, LogLevel, SendBytes
from aigw_proto._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    ConnectFailure,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId
from aigw_proto._limits import HttpLimits
from aigw_proto.gateway import GatewayEngine, Outcome
from aigw_proto.gateway._pool import UpstreamConnection
from aigw_proto.gateway._request import UniversalRequest
from aigw_proto.gateway._session import Session
from aigw_proto.gateway._universal import Universal
from support.frames import frame
from support.rig import gateway_config
from support.turns import END_CHUNK, STREAM_HEAD, Turns, answer, create, sse

HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"


def broken(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError("a bug")


def bare() -> GatewayEngine:
    return GatewayEngine(gateway_config(), random_bytes=bytes, epoch_unix_seconds=0.0)


class TestContract:
    def test_effects_have_to_be_polled_before_the_next_input(self) -> None:
        engine = bare()
        engine.handle(LinkAccepted(LinkId(0), "x"), 0.0)
        engine.handle(BytesReceived(LinkId(0), HEALTH), 0.0)
        with pytest.raises(RuntimeError, match="drained"):
            engine.handle(BytesReceived(LinkId(0), HEALTH), 0.0)
        with pytest.raises(RuntimeError, match="drained"):
            engine.handle_timeout(0.0)
        effect = engine.poll()
        assert isinstance(effect, SendBytes)
        assert engine.poll() is None
        engine.handle_timeout(0.0)

    def test_an_engine_at_rest_has_no_deadline(self) -> None:
        engine = bare()
        assert engine.next_timeout() is None
        engine.handle_timeout(5.0)
        assert engine.poll() is None

    @pytest.mark.parametrize(
        "late",
        [
            BytesReceived(LinkId(0), b"x"),
            PeerClosed(LinkId(0), True),
            BytesSent(LinkId(0), 5),
            LinkConnected(LinkId(7)),
            ConnectFailed(LinkId(7), ConnectFailure.OTHER, ""),
        ],
    )
    def test_inputs_for_links_that_are_closed_are_counted(self, late: Any) -> None:
        engine = bare()
        engine.handle(LinkAccepted(LinkId(0), "x"), 0.0)
        engine.handle(PeerClosed(LinkId(0), False), 0.0)
        assert engine.poll() == CloseLink(LinkId(0), CloseHow.ABORT)
        engine.handle(late, 0.0)
        assert engine.poll() is None
        assert engine.late_inputs == 1

    def test_a_connect_answer_on_a_clients_link_is_counted(self) -> None:
        engine = bare()
        engine.handle(LinkAccepted(LinkId(0), "x"), 0.0)
        engine.handle(LinkConnected(LinkId(0)), 0.0)
        assert engine.late_inputs == 1

    def test_the_deadline_is_a_level(self) -> None:
        turns = Turns()
        turns.accept()
        assert turns.engine.next_timeout() == 10.0
        turns.now = 3.0
        turns.wake()  # early: harmless
        assert turns.engine.next_timeout() == 10.0
        turns.now = 50.0  # late: as well
        turns.wake()
        assert turns.take(LinkId(0)).startswith(b"HTTP/1.1 408")

    def test_a_deadline_that_has_passed_unnoticed_is_now(self) -> None:
        turns = Turns()
        turns.accept()
        turns.now = 20.0
        turns.accept()
        assert turns.engine.next_timeout() == 20.0

    def test_a_backlog_of_a_client(self) -> None:
        turns = Turns(client_high_water_bytes=100, client_low_water_bytes=10)
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, STREAM_HEAD + sse(b"1"))
        agent.stall()
        turns.receive(upstream, sse(b"2"))
        turns.settle()
        assert agent.types("a") == ["created"]
        agent.resume()
        assert agent.types("a") == ["created", "stream", "stream"]

    def test_one_send_for_each_link_and_turn(self) -> None:
        turns = Turns()
        agent = turns.agent()
        effects = agent.send("x", "y", "z")
        assert len([effect for effect in effects if isinstance(effect, SendBytes)]) == 1
        assert len(agent.frames) == 3


class TestBoundedTurns:
    def test_a_huge_read_is_spread_over_turns(self) -> None:
        turns = Turns(turn_bytes=10_000)
        agent = turns.agent()
        upstream = agent.start("a")
        events = b"".join(sse(b"%d" % number) for number in range(20_000))
        effects = turns.receive(upstream, STREAM_HEAD + events + END_CHUNK)
        (first,) = [effect for effect in effects if isinstance(effect, SendBytes)]
        assert 10_000 <= sum(map(len, first.chunks)) < 30_000
        assert turns.engine.next_timeout() == turns.now
        assert turns.settle() > 20
        assert [frame_["response"] for frame_ in agent.of("a")[1:-1]] == list(range(20_000))

    def test_work_that_makes_no_output_is_spread_too(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        pieces = b"1\r\nx\r\n" * 10_000
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        assert not turns.receive(upstream, head + pieces)
        assert turns.engine.next_timeout() == turns.now
        turns.settle()
        turns.receive(upstream, END_CHUNK)
        turns.settle()
        assert agent.of("a")[0]["response"] == "x" * 10_000

    def test_what_a_turn_leaves_over_is_done_before_new_work_of_the_same_session(self) -> None:
        turns = Turns()
        links = [turns.accept() for _ in range(40)]
        for link in links:
            turns.receive(link, HEALTH * 200)
        turns.settle()
        for link in links:
            assert turns.take(link).count(b"HTTP/1.1 200") == 200

    def test_many_deadlines_at_once_are_spread(self) -> None:
        turns = Turns(gateway_config(http=HttpLimits(head_timeout_seconds=5.0)))
        for _ in range(1000):
            turns.accept()
        turns.now = 5.0
        turns.wake()
        assert 0 < len(turns.ended_sending) < 1000
        assert turns.engine.next_timeout() == turns.now
        assert turns.settle() > 2
        assert len(turns.ended_sending) == 1000


class TestShutdown:
    def test_an_idle_gateway_drains_at_once(self) -> None:
        turns = Turns()
        assert turns.feed(ShutdownRequested(30.0)) == [Drained()]
        assert turns.engine.next_timeout() is None

    def test_drained_is_the_last_effect_and_comes_once(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.feed(ShutdownRequested(30.0))
        effects = turns.feed(PeerClosed(agent.link, False))
        assert effects[-1] == Drained()
        assert upstream in turns.closed
        assert effects.count(Drained()) == 1

    def test_idle_connections_to_providers_are_closed(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, answer(b"1"))
        agent.disconnect()
        assert CloseLink(upstream, CloseHow.ABORT) in turns.feed(ShutdownRequested(30.0))
        assert turns.drained

    def test_the_grace_is_a_deadline(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.start("a", config={"requestTimeout": 20_000})
        turns.feed(ShutdownRequested(5.0))
        assert turns.engine.next_timeout() == 5.0
        turns.advance(5.0)
        assert turns.records[0].outcome is Outcome.ERROR
        assert turns.records[0].status == 503

    def test_connections_that_come_after_the_grace_are_closed(self) -> None:
        turns = Turns()
        turns.agent()
        turns.feed(ShutdownRequested(0.0))
        turns.wake()
        link = turns.accept()
        assert link in turns.closed
        assert not turns.drained

    def test_a_grace_longer_than_a_deadline_before_it(self) -> None:
        turns = Turns()
        turns.receive(turns.accept(), HEALTH[:5])
        turns.feed(ShutdownRequested(100.0))
        assert turns.engine.next_timeout() == 10.0
        turns.advance(13.0)
        assert turns.drained

    def test_a_shutdown_whose_grace_is_all_that_is_awaited(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.start("a")
        turns.feed(ShutdownRequested(50.0))
        # even with every other deadline gone, the grace would end it
        core = turns.gateway._core
        core.deadlines._heap.clear()
        assert turns.engine.next_timeout() == 50.0


class TestIsolation:
    """A bug ends one session and what hangs on it."""

    @pytest.fixture
    def turns(self) -> Turns:
        return Turns()

    def check(self, turns: Turns, neighbour: Any, other: LinkId) -> None:
        """The neighbour's stream goes on, and nothing is left of the session that broke."""
        turns.receive(other, sse(b"2") + END_CHUNK)
        turns.settle()
        assert neighbour.types("b") == ["created", "stream", "stream", "done"]
        log = turns.logs[0]
        assert log.level is LogLevel.ERROR
        assert isinstance(log.exception, ZeroDivisionError)
        assert log.exception.__traceback__ is not None
        turns.advance(3.0)
        assert set(turns.gateway._core.sessions) == {neighbour.link}

    def sessions(self, turns: Turns) -> tuple[Any, LinkId, Any, LinkId]:
        victim, neighbour = turns.agent(), turns.agent()
        mine = victim.start("a", config={"requestTimeout": 1000})
        other = neighbour.start("b")
        turns.receive(other, STREAM_HEAD + sse(b"1"))
        assert neighbour.types("b") == ["created", "stream"]
        return victim, mine, neighbour, other

    def test_in_a_message(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        victim, mine, neighbour, other = self.sessions(turns)
        monkeypatch.setattr(Universal, "on_message", broken)
        victim.send("x")
        assert victim.close_code == 1011
        assert mine in turns.closed
        self.check(turns, neighbour, other)

    def test_in_what_a_provider_sent(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        victim, mine, neighbour, other = self.sessions(turns)
        with monkeypatch.context() as patch:
            patch.setattr(UniversalRequest, "advance", broken)
            turns.receive(mine, answer(b"1"))
        assert victim.close_code == 1011
        assert mine in turns.closed
        self.check(turns, neighbour, other)

    def test_in_taking_bytes_of_a_provider(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        victim, mine, neighbour, other = self.sessions(turns)
        with monkeypatch.context() as patch:
            patch.setattr(UpstreamConnection, "receive_data", broken)
            turns.receive(mine, answer(b"1"))
        assert victim.close_code == 1011
        assert mine in turns.closed
        self.check(turns, neighbour, other)

    def test_at_a_deadline(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        victim, mine, neighbour, other = self.sessions(turns)
        with monkeypatch.context() as patch:
            patch.setattr(UniversalRequest, "handle_timeout", broken)
            turns.advance(1.0)
        assert victim.close_code == 1011
        assert mine in turns.closed
        self.check(turns, neighbour, other)

    def test_while_another_session_gives_its_connection_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        turns = Turns(max_connections_per_origin=1)
        victim, neighbour = turns.agent(), turns.agent()
        link = neighbour.start("b")
        victim.create("a")
        with monkeypatch.context() as patch:
            patch.setattr(UniversalRequest, "assigned", broken)
            turns.receive(link, answer(b"1"))
        assert neighbour.types("b") == ["created"]
        assert victim.close_code == 1011
        turns.receive(neighbour.start("c"), answer(b"1"))
        assert neighbour.types("c") == ["created"]

    def test_in_the_end_of_a_session(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        victim, mine, neighbour, other = self.sessions(turns)
        with monkeypatch.context() as patch:
            patch.setattr(Universal, "cancel_all", broken)
            victim.disconnect()
        assert {mine, victim.link} <= set(turns.closed)
        self.check(turns, neighbour, other)

    def test_in_crashing(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        victim, mine, neighbour, other = self.sessions(turns)
        with monkeypatch.context() as patch:
            patch.setattr(Session, "crash", broken)
            patch.setattr(Universal, "on_message", broken)
            victim.send("x")
        assert {mine, victim.link} <= set(turns.closed)
        assert len(turns.logs) == 2
        self.check(turns, neighbour, other)

    @pytest.mark.parametrize("action", ["drain", "end_now"])
    def test_in_shutting_down(self, turns: Turns, monkeypatch: pytest.MonkeyPatch, action: str) -> None:
        self.sessions(turns)
        monkeypatch.setattr(Session, action, broken)
        turns.feed(ShutdownRequested(1.0))
        turns.advance(15.0)
        assert turns.drained

    def test_a_crash_without_a_websocket(self, turns: Turns, monkeypatch: pytest.MonkeyPatch) -> None:
        link = turns.accept()
        monkeypatch.setattr(Session, "receive_data", broken)
        turns.receive(link, HEALTH)
        assert link in turns.closed


def test_ids_are_odd_and_never_used_again() -> None:
    turns = Turns()
    agent = turns.agent()
    seen: list[LinkId] = []
    for number in range(5):
        effects = agent.create(str(number))
        seen += [effect.link for effect in effects if isinstance(effect, Connect)]
        turns.upstream()
        agent.cancel(str(number))
    assert seen == [LinkId(number) for number in (1, 3, 5, 7, 9)]


def test_a_client_that_sends_one_byte_at_a_time() -> None:
    turns = Turns()
    agent = turns.agent()
    for byte in frame(0x81, create("a").encode()):
        turns.receive(agent.link, bytes([byte]))
    assert len(turns.connects) == 1
