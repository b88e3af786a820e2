from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from aigw_proto._inputs import ShutdownRequested
from aigw_proto._kinds import LinkId
from aigw_proto.gateway import Outcome
from aigw_proto.gateway._request import UniversalRequest
from aigw_proto.gateway._universal import Universal
from support.rig import Client, Rig, gateway_config
from support.turns import END_CHUNK, STREAM_HEAD, Agent, Turns, answer, create, sse

HAND = "custom-hand"
BIG_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


def universal_of(agent: Agent) -> Universal:
    universal = agent.turns.session(agent.link)._universal
    assert universal is not None
    return universal


def error_of(agent: Agent, event_id: str) -> tuple[int, int]:
    frame = agent.of(event_id)[-1]
    assert frame["type"] == "universal.created"
    assert frame["metadata"]["contentType"] == "application/json"
    assert frame["metadata"]["status"] == frame["response"]["httpCode"]
    return frame["metadata"]["status"], frame["response"]["internalCode"]


class TestAdmission:
    def test_the_cap_on_requests_in_flight(self) -> None:
        turns = Turns(max_in_flight=2)
        agent = turns.agent()
        links = [agent.start(name) for name in ("a", "b")]
        agent.create("c")
        assert error_of(agent, "c") == (429, 2003)
        assert turns.records[0].outcome is Outcome.REFUSED
        agent.cancel("a")  # reading goes on
        assert agent.types("a") == ["done"]
        agent.start("d")
        assert not agent.of("d")
        turns.receive(links[1], answer(b"1"))
        assert agent.types("b") == ["created"]

    def test_the_cap_on_held_bytes(self) -> None:
        turns = Turns(max_held_request_bytes=100)
        agent = turns.agent()
        upstream = agent.start("a", query="x" * 200)  # one is always admitted
        agent.create("b", query="y")
        assert error_of(agent, "b") == (429, 2003)
        turns.receive(upstream, answer(b"1"))
        agent.create("c", query="x" * 60)
        agent.create("d", query="x" * 60)
        assert error_of(agent, "d") == (429, 2003)
        assert not agent.of("c")

    def test_a_gateway_that_shuts_down_takes_nothing_new(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.feed(ShutdownRequested(30.0))
        agent.create("b")
        assert error_of(agent, "b") == (503, 90012)
        turns.receive(upstream, answer(b"1"))
        assert agent.types("a") == ["created"]
        assert agent.close_code == 1001

    def test_what_is_under_way_when_the_grace_ends_is_told(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.start("a")
        turns.feed(ShutdownRequested(5.0))
        turns.advance(5.1)
        assert error_of(agent, "a") == (503, 90012)

    @pytest.mark.parametrize(
        ("text", "status", "code"),
        [
            ("", 400, 90001),
            ("{", 400, 90001),
            ("[]", 400, 90001),
            ('{"type":"universal.create"}', 400, 90003),
            ('{"type":"universal.destroy"}', 400, 90002),
            ('{"request":{}}', 400, 90002),
            ('{"type":7}', 400, 90002),
            ('{"type":"universal.create","request":[]}', 400, 90003),
            ('{"type":"universal.create","request":{"endpoint":"x","query":{}}}', 400, 2008),
            ('{"type":"universal.create","request":{"provider":"nobody","endpoint":"x","query":{}}}', 400, 2008),
            ('{"type":"universal.create","request":{"provider":7,"endpoint":"x","query":{}}}', 400, 2008),
            ('{"type":"universal.create","request":{"provider":"openai","endpoint":"x"}}', 400, 90003),
            ('{"type":"universal.create","request":{"provider":"openai","endpoint":"../x","query":1}}', 400, 90005),
            ('{"type":"universal.cancel"}', 400, 90003),
        ],
    )
    def test_bad_messages_are_answered_and_the_socket_stays_open(self, text: str, status: int, code: int) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.send(text)
        frame = agent.frames[-1]
        event_id = frame["metadata"]["eventId"]
        assert error_of(agent, event_id) == (status, code)
        assert frame["metadata"]["logId"]
        record = turns.records[0]
        assert (record.outcome, record.status, record.event_id) == (Outcome.REFUSED, status, event_id)
        upstream = agent.start("a")
        turns.receive(upstream, answer(b"1"))
        assert agent.types("a") == ["created"]

    def test_a_bad_message_with_an_event_id_keeps_it(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.send('{"type":"universal.create","eventId":"mine","request":{"provider":"openai"}}')
        assert error_of(agent, "mine") == (400, 90003)

    def test_a_fault_in_a_later_step_is_found_at_once(self) -> None:
        turns = Turns()
        agent = turns.agent()
        steps = [{"provider": name, "endpoint": "x", "query": 1} for name in (HAND, "nobody")]
        agent.send(json.dumps({"type": "universal.create", "eventId": "a", "request": steps}))
        assert error_of(agent, "a") == (400, 2008)
        assert "request[1].provider" in agent.of("a")[0]["response"]["message"]
        assert not turns.connects
        record = turns.records[0]
        assert (record.provider, record.endpoint, record.attempts) == (HAND, "x", 0)

    def test_too_many_steps(self) -> None:
        turns = Turns(max_steps=2)
        agent = turns.agent()
        steps = [{"provider": HAND, "endpoint": "x", "query": 1}] * 3
        agent.send(json.dumps({"type": "universal.create", "eventId": "a", "request": steps}))
        assert error_of(agent, "a") == (400, 90004)

    def test_an_event_id_is_made_up_when_there_is_none(self) -> None:
        turns = Turns()
        agent = turns.agent()
        request = {"provider": HAND, "endpoint": "x", "query": 1}
        agent.send(json.dumps({"type": "universal.create", "request": request}))
        turns.receive(turns.upstream(), answer(b"1"))
        metadata = agent.frames[0]["metadata"]
        assert len(metadata["eventId"]) == 36
        assert metadata["eventId"] != metadata["logId"]
        assert turns.records[0].event_id == metadata["eventId"]

    def test_the_same_event_id_twice(self) -> None:
        turns = Turns()
        agent = turns.agent()
        first, second = agent.start("a"), agent.start("a")
        turns.receive(first, answer(b"1"))
        assert len(agent.of("a")) == 1
        turns.receive(second, answer(b"2"))
        assert [frame["response"] for frame in agent.of("a")] == [1, 2]
        assert len({frame["metadata"]["logId"] for frame in agent.of("a")}) == 2

    def test_cancelling_an_event_id_cancels_all_that_have_it(self) -> None:
        turns = Turns()
        agent = turns.agent()
        links = [agent.start("a"), agent.start("a")]
        agent.start("b")
        agent.cancel("a")
        assert agent.types("a") == ["done", "done"]
        assert set(links) <= set(turns.closed)
        assert not agent.of("b")

    def test_create_and_cancel_in_one_segment(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.send(create("a"), json.dumps({"type": "universal.cancel", "eventId": "a"}), create("b"))
        assert agent.types("a") == ["done"]
        assert len(turns.connects) == 1  # opened for the first, it serves the second
        turns.receive(turns.upstream(), answer(b"1"))
        assert agent.types("b") == ["created"]


class TestInterleaving:
    def test_frames_of_two_streams_take_turns(self) -> None:
        turns = Turns()
        agent = turns.agent()
        first, second = agent.start("a"), agent.start("b")
        agent.stall()
        events = b"".join(sse(b"%d" % number) for number in range(100))
        # Both are there before the session gets to work on either.
        universal = universal_of(agent)
        universal._session._gauge.shut = True
        turns.receive(first, STREAM_HEAD + events + END_CHUNK)
        turns.receive(second, STREAM_HEAD + events + END_CHUNK)
        universal._session._gauge.shut = False
        agent.resume()
        order = [frame["metadata"]["eventId"] for frame in agent.frames if frame["type"] == "universal.stream"]
        assert Counter(order) == {"a": 100, "b": 100}
        assert set(zip(order[::2], order[1::2], strict=True)) in ({("a", "b")}, {("b", "a")})
        for name in ("a", "b"):
            assert [f["response"] for f in agent.of(name)[1:-1]] == list(range(100))

    def test_a_small_stream_beside_a_large_one_finishes_as_if_it_were_alone(self) -> None:
        rig = Rig()
        high_water = rig.config.limits.client_high_water_bytes
        client = rig.client()
        client.create("big", HAND)
        rig.provider(0)
        client.create("small", HAND)
        rig.provider(1)
        big, small = rig.providers
        big.stream()
        filler = b'"' + b"x" * 1000 + b'"'
        for _ in range(10_000):
            big.event(filler)
        big.end()
        rig.run(lambda: len(client.of("big")) > 100)
        arrived_before = sum(len(text) for text in client.texts)
        small.stream()
        for number in range(10):
            small.event(b"%d" % number)
        small.end()
        rig.run(lambda: client.ended("small"))
        between = sum(len(text) for text in client.texts) - arrived_before
        in_kernels = 2 * 128 * 1024  # what the network itself holds back on the way, at both sides
        assert between <= high_water + in_kernels
        assert not client.ended("big")
        rig.run(lambda: client.ended("big"))
        assert len(client.of("big")) == 10_002

    def test_a_stalled_request_delays_no_other(self) -> None:
        turns = Turns()
        agent = turns.agent()
        stalled = agent.start("stalled")
        turns.receive(stalled, STREAM_HEAD + sse(b"1"))
        for number in range(20):
            turns.receive(agent.start(f"r{number}"), answer(b"%d" % number))
            assert agent.of(f"r{number}")[0]["response"] == number

    def test_256_requests_at_once(self) -> None:
        rig = Rig(config=gateway_config())
        client = rig.client()
        names = [f"r{number}" for number in range(256)]
        messages = [{"role": "user", "content": "one two three"}]
        for name in names:
            client.create(name, query={"model": "m", "stream": True, "messages": messages})
        rig.run(lambda: all(client.ended(name) for name in names))
        for name in names:
            kinds = client.types(name)
            assert kinds[0] == "created"
            assert kinds[-1] == "done"
            assert kinds.count("created") == kinds.count("done") == 1
        assert len({name for name in names if client.of(name)}) == 256
        assert len(rig.records) == 256
        assert len({record.log_id for record in rig.records}) == 256


class TestGathering:
    """Answers that are gathered whole share a budget."""

    SIZE = 1000

    def collecting(self, turns: Turns, agent: Agent, *names: str) -> dict[str, LinkId]:
        """Start requests of which all but the last byte has arrived."""
        links: dict[str, LinkId] = {}
        for name in names:
            links[name] = agent.start(name)
            turns.receive(links[name], BIG_HEAD % self.SIZE + b'"')
            for _ in range(9):
                turns.receive(links[name], b"x" * 100)
            turns.receive(links[name], b"x" * 98)
            turns.settle()
        return links

    def test_within_the_budget_nobody_waits(self) -> None:
        turns = Turns(max_buffered_response_bytes=3000)
        agent = turns.agent()
        links = self.collecting(turns, agent, "a", "b", "c")
        assert not universal_of(agent)._parked
        for name, link in reversed(links.items()):
            turns.receive(link, b'"')
            assert len(agent.of(name)[0]["response"]) == 998

    def test_beyond_it_one_goes_on_and_all_get_there(self) -> None:
        turns = Turns(max_buffered_response_bytes=1500, upstream_high_water_bytes=300)
        agent = turns.agent()
        names = [f"r{number}" for number in range(6)]
        links = {name: agent.start(name) for name in names}
        left = dict.fromkeys(names, BIG_HEAD % self.SIZE + b'"' + b"x" * 998 + b'"')
        peak = 0
        for _ in range(10_000):
            for name, link in links.items():
                if left[name] and turns.reading.get(link, True):
                    turns.receive(link, left[name][:50])
                    left[name] = left[name][50:]
                    peak = max(peak, universal_of(agent)._gathered_bytes)
            turns.settle()
            if all(agent.of(name) for name in names):
                break
        assert [len(agent.of(name)[0]["response"]) for name in names] == [998] * 6
        assert peak <= 1500 + self.SIZE + 50
        assert universal_of(agent)._gathered_bytes == 0

    def test_a_parked_request_can_be_cancelled(self) -> None:
        turns = Turns(max_buffered_response_bytes=1500)
        agent = turns.agent()
        links = self.collecting(turns, agent, "a", "b", "c")
        assert universal_of(agent)._parked
        agent.cancel("c")
        turns.settle()
        assert agent.types("c") == ["done"]
        for name in ("a", "b"):
            turns.receive(links[name], b'"')
            turns.settle()
        assert [agent.types(name) for name in ("a", "b")] == [["created"], ["created"]]
        assert not universal_of(agent)._parked

    def test_room_that_others_make_is_used_while_the_chosen_one_stalls(self) -> None:
        turns = Turns(max_buffered_response_bytes=1500)
        agent = turns.agent()
        self.collecting(turns, agent, "a", "b", "c")
        universal = universal_of(agent)
        assert universal._collector is not None
        chosen = universal._collector.event_id
        parked = [request.event_id for request in universal._parked]
        (other,) = {"a", "b", "c"} - {chosen, *parked}
        assert parked
        agent.cancel(other)
        turns.settle()
        assert universal._gathered_bytes >= 1500

    def test_the_chosen_one_that_is_retried_lets_the_others_go_on(self) -> None:
        turns = Turns(max_buffered_response_bytes=1500)
        agent = turns.agent()
        retried = agent.start("retried", config={"maxAttempts": 2, "retryDelay": 60_000})
        turns.receive(retried, b"HTTP/1.1 500 X\r\ncontent-length: 1400\r\n\r\n" + b"x" * 1000)
        other = agent.start("other")
        turns.receive(other, BIG_HEAD % self.SIZE + b'"' + b"x" * 600)
        turns.receive(retried, b"x" * 300)
        turns.receive(other, b"x" * 100)
        turns.receive(retried, b"x" * 100)
        turns.receive(other, b"x" * 298 + b'"')
        turns.settle()
        assert agent.types("other") == ["created"]
        assert not agent.of("retried")

    def test_parked_requests_do_not_time_out(self) -> None:
        turns = Turns(max_buffered_response_bytes=1500, upstream_idle_timeout_seconds=10.0)
        agent = turns.agent()
        links = self.collecting(turns, agent, "a", "b", "c")
        universal = universal_of(agent)
        (parked,) = [request.event_id for request in universal._parked]
        turns.advance(9.0)
        for name in set(links) - {parked}:
            turns.receive(links[name], b'"')
        turns.advance(9.0)
        turns.receive(links[parked], b'"')
        turns.settle()
        assert [agent.types(name) for name in links] == [["created"]] * 3

    def test_a_chosen_one_that_falls_silent_times_out_and_the_others_go_on(self) -> None:
        turns = Turns(max_buffered_response_bytes=1500, upstream_idle_timeout_seconds=10.0)
        agent = turns.agent()
        links = self.collecting(turns, agent, "a", "b", "c")
        (parked,) = [request.event_id for request in universal_of(agent)._parked]
        turns.receive(links[parked], b'"')
        turns.advance(11.0)
        turns.settle()
        assert {name: agent.of(name)[0]["metadata"]["status"] for name in links} == {
            name: 200 if name == parked else 502 for name in links
        }


def broken(*_: Any, **__: Any) -> None:
    raise ZeroDivisionError


def test_a_bug_while_a_message_is_read_ends_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    agent = turns.agent()
    upstream = agent.start("a")
    monkeypatch.setattr(Universal, "_create", broken)
    agent.create("b")
    assert agent.close_code == 1011
    assert upstream in turns.closed
    assert isinstance(turns.logs[0].exception, ZeroDivisionError)


def test_bugs_of_a_request_at_a_deadline_and_while_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Turns()
    agent, neighbour = turns.agent(), turns.agent()
    links = {agent.start("a", config={"requestTimeout": 100}), agent.start("b")}
    other = neighbour.start("c")
    monkeypatch.setattr(UniversalRequest, "_time_out", broken)
    monkeypatch.setattr(UniversalRequest, "cancel", broken)
    turns.advance(0.2)
    assert {agent.link, *links} <= set(turns.closed)
    turns.receive(other, answer(b"1"))
    assert neighbour.types("c") == ["created"]


def test_requests_of_two_sockets_are_told_apart() -> None:
    rig = Rig()
    clients: list[Client] = [rig.client(), rig.client(b"/v1/other/default")]
    for number, client in enumerate(clients):
        client.create("same", HAND, query=number)
        rig.provider(number)
    for provider in rig.providers:
        provider.answer(provider.bodies[0])
    rig.run(lambda: all(client.ended("same") for client in clients))
    assert [client.of("same")[0]["response"] for client in clients] == [0, 1]
    assert {record.account for record in rig.records} == {"acc", "other"}
