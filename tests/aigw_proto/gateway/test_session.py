from __future__ import annotations

import json
import re
import tracemalloc
from typing import Any, NoReturn

import pytest

from aigw_proto._effects import CloseHow, CloseLink, SendBytes
from aigw_proto._inputs import PeerClosed, ShutdownRequested
from aigw_proto._kinds import LinkId, Role, Signal
from aigw_proto._limits import HttpLimits, WebSocketLimits
from aigw_proto.envelopes import ErrorCode
from aigw_proto.gateway import Outcome
from aigw_proto.gateway._session import Session
from aigw_proto.gateway._state import SessionState
from aigw_proto.testing import Checked
from aigw_proto.ws import DeflatePolicy, WebSocketEvent, WSConnection
from aigw_transports.memory import Faults
from support.frames import frame
from support.rig import Rig, gateway_config
from support.turns import END_CHUNK, STREAM_HEAD, Agent, Turns, answer, create, sse

HAND = "custom-hand"
HEALTH = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n"
UPGRADE = (
    b"GET /v1/acc/default HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    b"sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n\r\n"
)
TEXT, BINARY, CLOSE, PING = 0x81, 0x82, 0x88, 0x89


def closed(link: LinkId, *, clean: bool = True) -> PeerClosed:
    return PeerClosed(link, clean)


def closes(effects: list[Any]) -> list[CloseLink]:
    return [effect for effect in effects if isinstance(effect, CloseLink)]


class TestPlainHttp:
    def test_keep_alive(self) -> None:
        turns = Turns()
        link = turns.accept()
        for _ in range(3):
            turns.receive(link, HEALTH)
            assert turns.take(link).startswith(b"HTTP/1.1 200")
        assert link not in turns.closed

    @pytest.mark.parametrize(
        ("head", "status"),
        [(b"HEAD / HTTP/2.0\r\n\r\n", 505), (b"HEAD / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999\r\n\r\n", 413)],
    )
    def test_a_bad_head_request_is_answered_without_a_body(self, head: bytes, status: int) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, head)
        answered = turns.take(link)
        assert answered.startswith(b"HTTP/1.1 %d " % status)
        assert answered.endswith(b"\r\n\r\n")
        assert not [log for log in turns.logs if log.exception is not None]

    def test_pipelined_requests_are_answered_in_order(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, HEALTH + b"GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n" + HEALTH)
        assert re.findall(rb"HTTP/1.1 (\d+)", turns.take(link)) == [b"200", b"404", b"200"]

    def test_many_pipelined_requests_take_several_quanta(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, HEALTH * 1000)
        assert turns.engine.next_timeout() == turns.now
        turns.settle()
        assert turns.take(link).count(b"HTTP/1.1 200") == 1000

    def test_an_upgrade_behind_plain_requests(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, HEALTH + UPGRADE + frame(PING, b"hi", masked=True))
        output = turns.take(link)
        assert output.startswith(b"HTTP/1.1 200")
        assert output.endswith(b"\r\n\r\n" + frame(0x8A, b"hi", masked=False))

    @pytest.mark.parametrize("cut", [1, 20, len(UPGRADE) - 1, len(UPGRADE), len(UPGRADE) + 3])
    def test_frames_glued_behind_the_upgrade_arrive(self, cut: int) -> None:
        turns = Turns()
        link = turns.accept()
        data = UPGRADE + frame(TEXT, create("a").encode())
        turns.receive(link, data[:cut])
        turns.receive(link, data[cut:])
        turns.receive(turns.upstream(), answer(b"1"))
        assert b'"eventId":"a"' in turns.take(link)

    def test_frames_and_the_end_of_the_stream_glued_behind_the_upgrade(self) -> None:
        turns = Turns()
        flooder = turns.accept()
        link = turns.accept()
        turns.receive(flooder, HEALTH * 5000)
        session = turns.session(link)
        session.receive_data(UPGRADE + frame(TEXT, create("a").encode()), turns.now)
        session.receive_eof(clean=True, now=turns.now)
        turns.settle()
        assert link in turns.closed
        assert [record.outcome for record in turns.records] == [Outcome.DISCONNECTED]

    def test_connection_close(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, b"GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert link in turns.ended_sending
        assert link not in turns.closed
        turns.advance(2.0)
        assert link in turns.closed

    def test_a_body_that_is_not_wanted(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, b"POST /v1/acc/default HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nab")
        turns.receive(link, b"cde")
        assert turns.take(link).startswith(b"HTTP/1.1 426")
        assert link in turns.ended_sending

    def test_the_peer_ends_between_requests(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, HEALTH)
        effects = turns.feed(closed(link))
        assert [effect.how for effect in closes(effects)] == [CloseHow.FLUSH]

    def test_the_peer_ends_within_a_head(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, HEALTH[:10])
        turns.feed(closed(link))
        assert turns.take(link).startswith(b"HTTP/1.1 400")
        assert link in turns.closed

    def test_the_peer_resets(self) -> None:
        turns = Turns()
        link = turns.accept()
        assert [effect.how for effect in closes(turns.feed(closed(link, clean=False)))] == [CloseHow.ABORT]

    def test_not_http(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, b"\x16\x03\x01\x02\x00")
        assert turns.take(link).startswith(b"HTTP/1.1 400")
        assert link in turns.ended_sending

    @pytest.mark.parametrize("start", [b"", b"GET / HTTP/1.1\r\n"])
    def test_a_head_that_takes_too_long(self, start: bytes) -> None:
        turns = Turns()
        link = turns.accept()
        if start:
            turns.receive(link, start)
        turns.advance(9.9)
        assert not turns.take(link)
        turns.advance(0.2)
        assert turns.take(link).startswith(b"HTTP/1.1 408")
        turns.advance(2.0)
        assert link in turns.closed

    def test_a_kept_connection_without_a_request_is_closed(self) -> None:
        turns = Turns()
        link = turns.accept()
        turns.receive(link, HEALTH)
        turns.take(link)
        turns.advance(160.0)
        assert link in turns.closed
        assert not turns.take(link)

    def test_an_endless_head(self) -> None:
        config = gateway_config(http=HttpLimits(max_head_bytes=1000))
        turns = Turns(config)
        link = turns.accept()
        turns.receive(link, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 500)
        assert turns.take(link).startswith(b"HTTP/1.1 431")
        assert link in turns.ended_sending

    def test_answers_that_nobody_reads_stop_the_reading(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_reply_allowance_bytes=2000)
        link = turns.accept()
        sent = 0
        while turns.reading.get(link, True):
            turns.receive(link, HEALTH * 5)
            if link in turns.unreported:
                turns.report(link)
            sent += 1
            assert sent < 100
        assert turns.session(link)._gauge.level < 10_000
        turns.advance(60.0)
        assert link in turns.closed


class TestViolations:
    @pytest.mark.parametrize(
        ("data", "code"),
        [
            (frame(BINARY, b"x"), 1003),
            (frame(TEXT, b"\xff"), 1007),
            (frame(TEXT, b"{}", masked=False), 1002),
            (frame(TEXT, b"x" * 2000), 1009),
            (frame(0x83), 1002),
            (frame(TEXT | 0x40, b"x"), 1002),
        ],
    )
    def test_codes(self, data: bytes, code: int) -> None:
        turns = Turns(max_message_bytes=1000)
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(agent.link, data)
        assert agent.link in turns.ended_sending
        assert upstream in turns.closed
        assert [record.outcome for record in turns.records] == [Outcome.DISCONNECTED]
        assert agent.close_code == code
        turns.advance(2.0)
        assert agent.link in turns.closed
        assert closes_of(turns, agent.link) == 1

    def test_a_peer_that_is_still_sending_gets_the_code(self) -> None:
        rig = Rig()
        client = rig.client(faults=Faults(buffer_bytes=1000))
        client.create("a", HAND)
        rig.provider()
        client.peer.send(frame(BINARY, b"x") + b"y" * 1_000_000)
        rig.run(lambda: client.closed is not None)
        assert client.closed is not None
        assert client.closed.code == 1003

    def test_lingering_ends_when_the_peer_ends(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.receive(agent.link, frame(BINARY, b"x"))
        effects = turns.feed(closed(agent.link))
        assert [effect.how for effect in closes(effects)] == [CloseHow.FLUSH]

    def test_lingering_ends_when_the_stream_breaks(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.receive(agent.link, frame(BINARY, b"x"))
        effects = turns.feed(closed(agent.link, clean=False))
        assert [effect.how for effect in closes(effects)] == [CloseHow.ABORT]

    def test_a_backlog_while_lingering(self) -> None:
        turns = Turns(client_high_water_bytes=10)
        agent = turns.agent()
        turns.receive(agent.link, frame(BINARY, b"x"))
        turns.report(agent.link)
        turns.receive(agent.link, b"ignored")
        turns.advance(2.0)
        assert agent.link in turns.closed

    def test_what_came_before_a_violation_is_done(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.receive(agent.link, agent.bytes_of("not json") + frame(0x83))
        assert agent.frames[0]["metadata"]["status"] == 400

    def test_the_end_of_the_stream_in_a_violation(self) -> None:
        turns = Turns()
        agent = turns.agent()
        session = turns.session(agent.link)
        session._peer_ended = True
        effects = turns.receive(agent.link, frame(0x83))
        assert [effect.how for effect in closes(effects)] == [CloseHow.FLUSH]
        assert isinstance(effects[1], SendBytes)


def closes_of(turns: Turns, link: LinkId) -> int:
    return turns.closed.count(link)


class TestClosing:
    def test_the_client_closes(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        effects = turns.receive(agent.link, frame(CLOSE, (1000).to_bytes(2, "big")))
        assert {effect.link for effect in closes(effects)} == {agent.link, upstream}
        assert agent.of("a") == []
        assert [record.outcome for record in turns.records] == [Outcome.DISCONNECTED]

    def test_the_stream_ends_without_a_close(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        effects = agent.disconnect(clean=True)
        assert {(effect.link, effect.how) for effect in closes(effects)} == {
            (agent.link, CloseHow.ABORT),
            (upstream, CloseHow.ABORT),
        }

    def test_messages_behind_our_close_are_not_acted_on(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.feed(ShutdownRequested(30.0))
        agent.create("late")
        assert not agent.of("late")
        turns.receive(agent.link, frame(BINARY, b"x"))
        assert agent.link in turns.ended_sending


class TestKeepAlive:
    def test_a_silent_peer_is_pinged_and_lives_on_with_its_pong(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.advance(30.0)
        assert turns.take(agent.link) == frame(PING, masked=False)
        turns.receive(agent.link, frame(0x8A))
        turns.advance(29.0)
        assert agent.link not in turns.closed

    def test_a_dead_peer_is_found(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.advance(60.0)
        assert {agent.link, upstream} <= set(turns.closed)
        assert turns.records[0].outcome is Outcome.DISCONNECTED

    def test_a_slow_reader_that_makes_progress_is_not_dead(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100)
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, STREAM_HEAD + sse(b'"' + b"x" * 1500 + b'"') + sse(b"2"))
        left = turns._untaken[agent.link]
        turns.report(agent.link)
        for _ in range(10):
            turns.advance(50.0)
            left -= 1
            turns.report(agent.link, left)
        assert agent.link not in turns.closed
        agent.resume()
        assert agent.types("a") == ["created", "stream", "stream"]
        turns.advance(61.0)
        assert agent.link in turns.closed  # from now on its silence counts again

    @pytest.mark.parametrize("idle_seconds", [0.4, 0.5, 0.6])
    def test_a_request_that_fails_when_the_peer_is_found_dead(self, idle_seconds: float) -> None:
        config = gateway_config(
            websocket=WebSocketLimits(ping_interval_seconds=1.0, pong_timeout_seconds=1.0),
            limits={"upstream_idle_timeout_seconds": idle_seconds},
        )
        turns = Turns(config)
        agent = turns.agent()
        upstream = agent.start("a")
        turns.advance(1.5)
        turns.receive(upstream, STREAM_HEAD)
        turns.advance(5.0)
        assert {agent.link, upstream} <= set(turns.closed)
        assert not [log for log in turns.logs if log.exception]
        assert len(turns.records) == 1


class TestBackPressure:
    def stream(self, turns: Turns, agent: Agent) -> LinkId:
        upstream = agent.start("a")
        turns.receive(upstream, STREAM_HEAD)
        return upstream

    def test_unsent_bytes_stay_below_the_mark_and_one_message(self) -> None:
        high_water, message = 10_000, 3000
        rig = Rig(config=gateway_config(limits={"client_high_water_bytes": high_water, "client_low_water_bytes": 5000}))
        checked = Checked(rig.engine, max_unsent_bytes=high_water + message)
        rig.world.host("watched", checked, port=8787)
        client = rig.client(faults=Faults(buffer_bytes=2000))
        client.peer.withdrawn = True
        watched = rig.world.peer("watched", 8787)
        watched.send(UPGRADE + frame(TEXT, create("a").encode()))
        provider = rig.provider()
        provider.stream()
        provider.event(b"0")
        rig.world.advance(1.0)
        watched.set_reading(False)
        read_before = watched.received_bytes
        for _ in range(1000):
            provider.event(b'"' + b"x" * 2500 + b'"')
        rig.world.advance(20.0)
        assert provider.peer.unsent > 1_000_000  # it is not read any more
        watched.set_reading(True)
        rig.world.advance(5.0)
        assert provider.peer.unsent == 0
        assert watched.received_bytes - read_before > 2_500_000

    def test_the_client_is_read_while_it_does_not_read(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100)
        agent = turns.agent()
        upstream = self.stream(turns, agent)
        turns.receive(upstream, sse(b'"' + b"x" * 2000 + b'"'))
        agent.stall()
        agent.cancel("a")
        turns.settle()
        assert agent.types("a")[-1] == "done"
        assert upstream in turns.closed

    def test_a_large_answer_on_its_way_does_not_stop_the_reading(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream, other = agent.start("a"), agent.start("b")
        turns.receive(upstream, answer(b'"' + b"x" * 5_000_000 + b'"'))
        turns.settle()
        agent.stall()
        for _ in range(10):
            turns.receive(agent.link, frame(PING, b"x"))
        agent.cancel("b")
        assert other in turns.closed
        assert turns.reading.get(agent.link, True)

    def test_a_client_that_never_reads_is_given_up(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100)
        agent = turns.agent()
        upstream = self.stream(turns, agent)
        turns.receive(upstream, sse(b'"' + b"x" * 2000 + b'"'))
        agent.stall()
        turns.receive(agent.link, frame(PING))  # it is alive, that is all
        turns.advance(59.0)
        assert agent.link not in turns.closed
        turns.advance(2.0)
        assert {agent.link, upstream} <= set(turns.closed)
        assert turns.logs[-1].message == "client does not read"

    def test_progress_restarts_the_deadline(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100)
        agent = turns.agent()
        upstream = self.stream(turns, agent)
        turns.receive(upstream, sse(b'"' + b"x" * 5000 + b'"'))
        agent.stall()
        for left in (4000, 3000, 2000):
            turns.advance(50.0)
            turns.report(agent.link, left)
        assert agent.link not in turns.closed
        turns.advance(60.0)
        assert agent.link in turns.closed

    @pytest.mark.parametrize("message", [frame(PING, b"x" * 100), frame(TEXT, b"{")])
    def test_a_flood_from_a_client_that_never_reads(self, message: bytes) -> None:
        turns = Turns()
        agent = turns.agent()
        limits = turns.config.limits
        segment = message * (65536 // len(message))
        received = 0
        tracemalloc.start()
        try:
            while turns.reading.get(agent.link, True):
                turns.receive(agent.link, segment)
                received += 1
                assert received < 1000
                for _ in range(50):
                    if agent.link in turns.unreported:
                        agent.stall()
                    if turns.engine.next_timeout() != turns.now:
                        break
                    turns.wake()
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        level = turns.session(agent.link)._gauge.level
        bound = limits.client_high_water_bytes + limits.client_reply_allowance_bytes
        assert limits.client_reply_allowance_bytes < level < bound + 64 * 1024
        assert peak < 12 * 1024 * 1024  # the bench keeps what was sent, too
        turns.advance(70.0)
        assert agent.link in turns.closed

    def test_a_client_that_reads_again_is_read_again(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100, client_reply_allowance_bytes=1000)
        agent = turns.agent()
        sent = 0
        while turns.reading.get(agent.link, True):
            agent.send(*[str(n) for n in range(sent, sent + 10)])
            sent += 10
            agent.stall()
        agent.resume()
        assert turns.reading[agent.link]
        assert len(agent.frames) == sent

    def test_a_close_deadline_holds_for_a_client_that_does_not_read(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100, client_reply_allowance_bytes=1000)
        agent = turns.agent()
        while turns.reading.get(agent.link, True):
            agent.send(*["x"] * 10)
            agent.stall()
        turns.feed(ShutdownRequested(1.0))
        turns.advance(1.0)
        left = turns._untaken[agent.link]
        for step in range(1, 12):
            if agent.link in turns.closed:
                break
            turns.report(agent.link, left - step)  # progress, but no end
            turns.advance(1.0)
        assert agent.link in turns.closed
        assert turns.drained


class TestDraining:
    def test_idle_sessions_are_closed_at_once_and_busy_ones_finish(self) -> None:
        turns = Turns()
        idle, busy, plain, halfway = turns.agent(), turns.agent(), turns.accept(), turns.accept()
        turns.receive(halfway, HEALTH[:10])
        upstream = busy.start("a")
        turns.feed(ShutdownRequested(30.0))
        assert plain in turns.closed
        assert halfway not in turns.closed
        assert idle.close_code == 1001
        assert idle.link in turns.closed
        assert busy.link not in turns.closed
        turns.receive(upstream, answer(b"1"))
        assert busy.types("a") == ["created"]
        assert busy.close_code == 1001
        assert upstream in turns.closed
        assert not turns.drained
        turns.receive(halfway, HEALTH[10:])
        assert b" 503 " in turns.take(halfway)
        turns.feed(closed(halfway))
        assert turns.drained

    def test_the_grace_ends(self) -> None:
        turns = Turns()
        agent, halfway = turns.agent(), turns.accept()
        turns.receive(halfway, HEALTH[:10])
        upstream = agent.start("a")
        turns.feed(ShutdownRequested(5.0))
        turns.advance(4.9)
        assert agent.link not in turns.closed
        turns.advance(0.2)
        assert upstream in turns.closed
        assert halfway in turns.closed
        assert agent.close_code == 1001
        assert [(record.outcome, record.status) for record in turns.records] == [(Outcome.ERROR, 503)]
        assert [frame["response"]["internalCode"] for frame in agent.frames] == [ErrorCode.SHUTTING_DOWN]
        assert turns.drained

    def test_the_grace_ends_within_a_stream(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, STREAM_HEAD + sse(b"1"))
        turns.feed(ShutdownRequested(5.0))
        turns.advance(5.1)
        assert [frame["type"] for frame in agent.frames] == ["universal.created", "universal.stream", "universal.done"]
        assert agent.frames[-1]["metadata"]["error"] == "The gateway is shutting down"
        assert agent.close_code == 1001
        assert turns.drained

    def test_a_client_that_does_not_answer_our_close(self) -> None:
        turns = Turns()
        turns.agent()
        turns.feed(ShutdownRequested(0.0))
        turns.advance(9.9)
        assert not turns.drained
        turns.advance(0.2)
        assert turns.drained

    def test_the_last_request_may_end_at_a_deadline(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.start("a", config={"requestTimeout": 1000})
        turns.feed(ShutdownRequested(30.0))
        turns.advance(1.0)
        assert agent.types("a") == ["created"]
        turns.advance(10.1)  # nobody answers our Close
        assert turns.drained

    def test_a_socket_that_lingers_when_the_grace_ends(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.receive(agent.link, frame(BINARY, b"x"))
        turns.feed(ShutdownRequested(0.0))
        turns.advance(2.0)
        assert turns.drained

    def test_new_connections_while_draining(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.start("a")
        turns.feed(ShutdownRequested(30.0))
        link = turns.accept()
        turns.receive(link, UPGRADE)
        output = turns.take(link)
        assert output.startswith(b"HTTP/1.1 503")
        assert b"90012" in output
        assert link in turns.ended_sending

    def test_a_socket_that_is_closing_already(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.feed(ShutdownRequested(30.0))
        turns.feed(ShutdownRequested(1.0))  # impatient
        assert agent.close_code == 1001
        assert turns.drained

    def test_a_connection_after_the_grace(self) -> None:
        turns = Turns()
        turns.agent()
        turns.feed(ShutdownRequested(0.0))
        turns.advance(0.0)
        assert turns.accept() in turns.closed


class TestFairness:
    def test_a_flood_by_one_client_does_not_delay_another(self) -> None:
        turns = Turns()
        flooders = [turns.agent() for _ in range(20)]
        victim = turns.agent()
        upstream = victim.start("a")
        turns.receive(upstream, STREAM_HEAD)
        for flooder in flooders:
            turns.receive(flooder.link, frame(PING) * 10_000)
        assert turns.engine.next_timeout() == turns.now
        turns.receive(upstream, sse(b"1"))
        for _ in range(7):
            turns.wake()
        assert victim.types("a") == ["created", "stream"]

    def test_a_quantum_is_bounded(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.receive(agent.link, frame(PING) * 10_000)
        assert turns.settle() > 5

    @pytest.mark.parametrize(
        "flood",
        [
            frame(PING) * 10_000,
            frame(0x01) + frame(0x00) * 10_000,
            frame(TEXT, b"{") * 8_000,
            frame(TEXT, json.dumps({"type": "universal.cancel", "eventId": "x"}).encode()) * 1_000,
        ],
        ids=["pings", "empty fragments", "bad messages", "cancels"],
    )
    def test_twenty_floods_do_not_delay_another_client(self, flood: bytes) -> None:
        turns = Turns()
        flooders = [turns.agent() for _ in range(20)]
        other = turns.agent()
        for flooder in flooders:
            turns.receive(flooder.link, flood)
        other.create("a")
        count = 0
        while not turns.connects:
            turns.wake()
            count += 1
        assert count <= 7  # at four quanta a turn: one for each flood, and those that had theirs have every fourth
        assert turns.session(flooders[-1].link)._inbound  # and has more to come

    def test_who_comes_while_floods_are_worked_off_is_next(self) -> None:
        turns = Turns()
        flooders = [turns.agent() for _ in range(20)]
        other = turns.agent()
        for flooder in flooders:
            turns.receive(flooder.link, frame(PING) * 10_000)
        for _ in range(7):
            turns.wake()
        for number in range(3):
            other.create(f"a{number}")
            turns.wake()
            assert len(turns.connects) == number + 1
        assert all(turns.session(flooder.link)._inbound for flooder in flooders)

    def test_reporting_a_backlog_makes_nobody_work(self) -> None:
        # Each report would bring more to send, and that the next report: a chain without end.
        turns = Turns()
        flooder = turns.agent()
        turns.receive(flooder.link, frame(PING) * 10_000)
        assert turns.take(flooder.link)
        turns.report(flooder.link)
        assert not turns.take(flooder.link)
        assert turns.engine.next_timeout() == turns.now

    def test_inputs_bring_no_more_work_while_some_is_left(self) -> None:
        # As many may wait as there are links, all between two looks at the sockets.
        turns = Turns()
        flooder = turns.agent()
        other = turns.agent()
        turns.receive(flooder.link, frame(PING) * 10_000)
        turns.take(flooder.link)
        other.create("a")
        assert not turns.take(flooder.link)
        turns.wake()
        assert turns.connects

    def test_bytes_and_the_end_behind_a_flood_of_fragments(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.receive(agent.link, frame(0x01, b'{"type"') + frame(0x00) * 10_000)
        turns.receive(agent.link, frame(0x80, b":1}") + frame(TEXT, create("a").encode()))
        turns.feed(closed(agent.link))
        turns.settle()
        assert [record.outcome for record in turns.records] == [Outcome.REFUSED, Outcome.DISCONNECTED]
        assert turns.closed.count(agent.link) == 1

    def test_what_waits_is_dropped_with_the_link(self) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.receive(agent.link, frame(0x01) + frame(0x00) * 10_000)
        turns.feed(closed(agent.link, clean=False))
        assert turns.settle() == 1
        assert turns.engine.next_timeout() is None
        assert turns.closed == [agent.link]


class TestCompression:
    def test_compressed_messages_both_ways(self) -> None:
        turns = Turns(gateway_config(deflate=DeflatePolicy()))
        link = turns.accept()
        http = UPGRADE[:-2] + b"sec-websocket-extensions: permessage-deflate\r\n\r\n"
        turns.receive(link, http)
        assert b"permessage-deflate" in turns.take(link)
        turns.receive(link, frame(TEXT, create("a", query={"x": "y" * 1000}).encode()))
        turns.receive(turns.upstream(), answer(b'"' + b"x" * 1000 + b'"'))
        output = turns.take(link)
        assert output[0] == 0xC1
        assert len(output) < 400


def broken(*_: Any, **__: Any) -> NoReturn:
    raise ZeroDivisionError


class TestBugs:
    def test_a_bug_before_the_upgrade(self, monkeypatch: pytest.MonkeyPatch) -> None:
        turns = Turns()
        link = turns.accept()
        with monkeypatch.context() as patch:
            patch.setattr("aigw_proto.gateway._session.answer_http", broken)
            turns.receive(link, HEALTH)
        assert link in turns.closed
        assert isinstance(turns.logs[0].exception, ZeroDivisionError)

    def test_a_bug_while_lingering(self, monkeypatch: pytest.MonkeyPatch) -> None:
        turns = Turns()
        agent = turns.agent()
        turns.receive(agent.link, frame(BINARY, b"x"))
        original = Session.receive_eof

        def ends_and_breaks(session: Session, *, clean: bool, now: float) -> None:
            monkeypatch.setattr(Session, "receive_eof", original)
            broken()

        monkeypatch.setattr(Session, "receive_eof", ends_and_breaks)
        effects = turns.feed(closed(agent.link))
        assert [effect.how for effect in closes(effects)] == [CloseHow.FLUSH]

    def test_a_bug_while_closing_a_link_that_is_gone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        monkeypatch.setattr(Session, "_cancel_all", broken)
        agent.disconnect()
        assert {agent.link, upstream} <= set(turns.closed)
        turns.engine.finish()

    def test_a_bug_in_the_machine(self) -> None:
        class BrokenConnection(WSConnection):
            def next_event(self) -> WebSocketEvent | Signal:
                broken()

        turns = Turns()
        agent, neighbour = turns.agent(), turns.agent()
        mine, other = agent.start("a"), neighbour.start("b")
        turns.receive(other, STREAM_HEAD + sse(b"1"))
        turns.session(agent.link)._ws = BrokenConnection(Role.SERVER, now=turns.now)
        agent.send("x")
        assert agent.close_code == 1011
        assert mine in turns.closed
        turns.receive(other, sse(b"2") + END_CHUNK)
        assert neighbour.types("b") == ["created", "stream", "stream", "done"]
        assert turns.session(neighbour.link)._state is SessionState.UNIVERSAL


def test_json_is_the_same_whatever_the_cuts_of_the_clients_bytes() -> None:
    turns = Turns()
    agent = turns.agent()
    data = agent.bytes_of(create("a", query={"é": 1}))
    for index in range(len(data)):
        turns.receive(agent.link, data[index : index + 1])
    upstream = turns.upstream()
    assert json.dumps({"é": 1}).encode() in turns.take(upstream)


class TestHandingOver:
    """An upgrade to a provider's WebSocket leaves the link to a session of another kind."""

    TARGET = UPGRADE.replace(b"/v1/acc/default", b"/v1/acc/default/openai")

    def test_the_session_lets_go_of_the_link(self) -> None:
        turns = Turns()
        link = turns.accept()
        session = turns.session(link)
        turns.receive(link, HEALTH + self.TARGET)
        assert turns.take(link).startswith(b"HTTP/1.1 200 ")
        assert len(turns.connects) == 1
        assert turns.gateway._core.sessions[link] is not session
        assert turns.gateway._core.links[link] is not session
        assert session.next_timeout() is None
        assert not session.queued

    def test_a_client_that_has_ended_is_not_waited_for(self) -> None:
        turns = Turns()
        link = turns.accept()
        session = turns.session(link)  # its turn comes behind both inputs
        session.receive_data(self.TARGET, turns.now)
        session.receive_eof(clean=True, now=turns.now)
        turns.wake()
        assert turns.closed == [turns.connects[0].link, link]
