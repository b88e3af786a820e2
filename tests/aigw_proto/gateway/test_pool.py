from __future__ import annotations

import functools
import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._effects import CloseHow, CloseLink, SendBytes, TlsPolicy
from aigw_proto._inputs import ConnectFailed, ConnectFailure, LinkConnected, PeerClosed, ShutdownRequested
from aigw_proto._kinds import LinkId
from aigw_proto.gateway import Outcome
from aigw_proto.gateway._core import Core
from aigw_proto.gateway._pool import Assignment, Lessee, Pool, UpstreamConnection, assign
from aigw_proto.gateway._request import UniversalRequest
from aigw_proto.gateway._state import UpstreamState
from aigw_proto.providers import Target
from support.rig import Rig
from support.turns import END_CHUNK, HAND, STREAM_HEAD, Turns, answer, sse

COUNT = st.integers(0, 30)


class TestAssign:
    @given(COUNT, COUNT, COUNT, COUNT, COUNT, st.integers(1, 40))
    def test_rules(self, waiting: int, fresh: int, idle: int, connecting: int, busy: int, limit: int) -> None:
        fresh = min(fresh, waiting)
        total = idle + connecting + busy
        decision = assign(waiting=waiting, fresh=fresh, idle=idle, connecting=connecting, total=total, limit=limit)
        assert min(decision.lease, decision.open, decision.evict) >= 0
        assert decision.lease <= waiting - fresh  # who wants a fresh connection never gets a used one
        assert decision.lease + decision.evict <= idle
        assert decision.evict <= decision.open
        assert total + decision.open - decision.evict <= max(limit, total)
        unserved = waiting - decision.lease - connecting - decision.open
        left = idle - decision.lease - decision.evict
        if unserved > 0:  # then there was neither room nor anything to make room with
            assert total + decision.open - decision.evict >= limit
            assert left == 0
        if decision.open:
            assert decision.lease + connecting + decision.open <= waiting
        if decision.lease < waiting - fresh:
            assert decision.lease == idle

    @given(COUNT, COUNT, COUNT, COUNT, COUNT, st.integers(1, 40))
    def test_a_decision_that_was_carried_out_leaves_nothing_to_decide(
        self, waiting: int, fresh: int, idle: int, connecting: int, busy: int, limit: int
    ) -> None:
        fresh = min(fresh, waiting)
        total = idle + connecting + busy
        first = assign(waiting=waiting, fresh=fresh, idle=idle, connecting=connecting, total=total, limit=limit)
        second = assign(
            waiting=waiting - first.lease,
            fresh=fresh,
            idle=idle - first.lease - first.evict,
            connecting=connecting + first.open,
            total=total + first.open - first.evict,
            limit=limit,
        )
        assert second == Assignment(0, 0, 0)


class FakeWaiter(Lessee):
    """Takes what the pool gives it."""

    def __init__(self, *, fresh: bool = False) -> None:
        self.fresh = fresh
        self.scheduled = None
        self.connection: UpstreamConnection | None = None
        self.failures: list[str] = []
        self.readable = 0
        self.crashed = False
        self.breaks = False

    def assigned(self, connection: UpstreamConnection) -> None:
        if self.breaks:
            raise ZeroDivisionError
        assert self.connection is None
        assert not (self.fresh and connection.used)
        self.connection = connection
        connection.lessee = self

    def connect_failed(self, reason: str, *, timed_out: bool, now: float) -> None:
        if self.breaks:
            raise ZeroDivisionError
        self.failures.append(reason)

    def upstream_readable(self) -> None:
        self.readable += 1

    def next_timeout(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> None:
        pass

    def crash(self, now: float) -> None:
        self.crashed = True

    def drop(self, now: float) -> None:
        self.crashed = True


def target(host: str = "h", port: int = 80, tls: TlsPolicy | None = None) -> Target:
    return Target(host, port, tls, host.encode(), b"/")


class Bench:
    """A pool without an engine."""

    def __init__(self, **limits: Any) -> None:
        self.turns = Turns(**limits)
        self.core: Core = self.turns.gateway._core
        self.pool: Pool = self.core.pool

    def acquire(self, *, fresh: bool = False, at: Target | None = None) -> FakeWaiter:
        waiter = FakeWaiter(fresh=fresh)
        self.origin = self.pool.acquire(at or target(), waiter, 0.0)
        return waiter

    def connecting(self) -> list[UpstreamConnection]:
        return [each for each in self.all() if each.state is UpstreamState.CONNECTING]

    def all(self) -> list[UpstreamConnection]:
        return [each for each in self.core.links.values() if isinstance(each, UpstreamConnection)]

    def open(self) -> UpstreamConnection:
        connection = self.connecting()[0]
        connection.handle_input(LinkConnected(connection.link), 0.0)
        return connection

    def fail(self) -> None:
        connection = self.connecting()[0]
        connection.handle_input(ConnectFailed(connection.link, ConnectFailure.REFUSED, "x"), 0.0)

    def exchange(self, waiter: FakeWaiter) -> None:
        """Let a lease end so that its connection is kept."""
        connection = waiter.connection
        assert connection is not None
        waiter.connection = None
        self.pool.release(connection, 0.0)


class TestLeases:
    def test_the_last_used_is_leased_first(self) -> None:
        bench = Bench()
        first, second = bench.acquire(), bench.acquire()
        a, b = bench.open(), bench.open()
        bench.exchange(first)
        bench.exchange(second)
        assert bench.acquire().connection is b
        assert bench.acquire().connection is a
        assert not bench.connecting()

    def test_origins_are_kept_apart(self) -> None:
        bench = Bench()
        private = target("a", tls=TlsPolicy("x"))
        for at in (target("a"), target("b"), target("a", 81), target("a", tls=TlsPolicy()), private):
            waiter = bench.acquire(at=at)
            bench.open()
            bench.exchange(waiter)
        assert len(bench.all()) == 5
        assert bench.acquire(at=target("b")).connection is not None

    def test_waiting_requests_are_served_in_order(self) -> None:
        bench = Bench(max_connections_per_origin=1)
        waiters = [bench.acquire() for _ in range(4)]
        bench.open()
        for waiter, following in itertools.pairwise(waiters):
            assert waiter.connection is not None
            assert following.connection is None
            bench.exchange(waiter)
        assert len(bench.all()) == 1

    def test_a_fresh_waiter_evicts_at_the_limit(self) -> None:
        bench = Bench(max_connections_per_origin=1)
        old = bench.acquire()
        used = bench.open()
        bench.exchange(old)
        waiter = bench.acquire(fresh=True)
        assert used.state is UpstreamState.DEAD
        bench.open()
        assert waiter.connection is not None

    def test_others_take_the_used_one_meanwhile(self) -> None:
        bench = Bench()
        old = bench.acquire()
        used = bench.open()
        bench.exchange(old)
        fresh = bench.acquire(fresh=True)
        other = bench.acquire()
        assert fresh.connection is None
        assert other.connection is used

    def test_a_connection_that_nobody_used_is_fresh(self) -> None:
        bench = Bench()
        gone = bench.acquire()
        bench.pool.withdraw(bench.origin, gone, 0.0)
        unused = bench.open()
        plain, fresh = FakeWaiter(), FakeWaiter(fresh=True)
        site = bench.pool._sites[bench.origin]
        site.waiting += [fresh, plain]
        bench.pool._settle(bench.origin, site, 0.0)
        assert fresh.connection is unused
        bench.open()
        assert plain.connection is not None

    def test_only_so_many_are_kept(self) -> None:
        bench = Bench(max_idle_per_origin=2)
        waiters = [bench.acquire() for _ in range(5)]
        for _ in waiters:
            bench.open()
        for waiter in waiters:
            bench.exchange(waiter)
        assert len(bench.all()) == 2

    def test_what_was_opened_for_nobody_counts_among_those_that_are_kept(self) -> None:
        bench = Bench(max_idle_per_origin=2)
        waiters = [bench.acquire() for _ in range(5)]
        for waiter in waiters:
            bench.pool.withdraw(bench.origin, waiter, 0.0)
        for _ in waiters:
            bench.open()
        assert len(bench.all()) == 2
        assert len(bench.pool._sites[bench.origin].idle) == 2

    def test_withdrawing_keeps_what_is_being_opened_for_the_next(self) -> None:
        bench = Bench()
        first = bench.acquire()
        bench.pool.withdraw(bench.origin, first, 0.0)
        bench.pool.withdraw(bench.origin, first, 0.0)
        second = bench.acquire()
        assert len(bench.connecting()) == 1
        bench.open()
        assert (first.connection, second.connection is None) == (None, False)

    def test_withdrawing_from_an_origin_that_is_forgotten(self) -> None:
        bench = Bench()
        waiter = bench.acquire()
        bench.fail()
        assert not bench.pool._sites
        bench.pool.withdraw(bench.origin, waiter, 0.0)

    def test_a_failure_is_that_of_one_waiter(self) -> None:
        bench = Bench()
        waiters = [bench.acquire() for _ in range(3)]
        bench.fail()
        assert [len(waiter.failures) for waiter in waiters] == [1, 0, 0]
        assert "refused" in waiters[0].failures[0]
        assert len(bench.connecting()) == 2

    def test_a_failure_while_others_suffice_is_nobodys(self) -> None:
        bench = Bench()
        first, second = bench.acquire(), bench.acquire()
        bench.pool.withdraw(bench.origin, first, 0.0)
        bench.fail()
        assert not second.failures
        bench.open()
        assert second.connection is not None

    def test_a_failure_without_words(self) -> None:
        bench = Bench()
        waiter = bench.acquire()
        connection = bench.connecting()[0]
        connection.handle_input(ConnectFailed(connection.link, ConnectFailure.NAME, ""), 0.0)
        assert waiter.failures == [ConnectFailure.NAME.value]

    def test_a_bug_of_who_is_served_is_not_that_of_who_gave_up(self) -> None:
        bench = Bench(max_connections_per_origin=1)
        first, buggy, third = bench.acquire(), bench.acquire(), bench.acquire()
        bench.open()
        buggy.breaks = True
        bench.exchange(first)
        assert buggy.crashed
        assert not first.crashed
        bench.open()
        assert third.connection is not None

    def test_a_bug_of_who_is_told_of_a_failure(self) -> None:
        bench = Bench()
        buggy = bench.acquire()
        buggy.breaks = True
        bench.fail()
        assert buggy.crashed
        assert not bench.pool._sites

    def test_a_bug_of_who_gets_a_new_connection(self) -> None:
        bench = Bench()
        buggy, second = bench.acquire(), bench.acquire()
        buggy.breaks = True
        bench.open()
        assert buggy.crashed
        bench.open()
        assert second.connection is not None

    @pytest.mark.parametrize("leased", [True, False])
    def test_a_crash_takes_the_lessee_along(self, leased: bool) -> None:
        bench = Bench()
        waiter = bench.acquire()
        connection = bench.open()
        if not leased:
            bench.exchange(waiter)
        connection.crash(0.0)
        assert connection.state is UpstreamState.DEAD
        assert waiter.crashed is leased
        connection.crash(0.0)

    @pytest.mark.parametrize("leased", [True, False])
    def test_a_drop_takes_the_lessee_along(self, leased: bool) -> None:
        bench = Bench()
        waiter = bench.acquire()
        connection = bench.open()
        if not leased:
            bench.exchange(waiter)
        connection.drop(0.0)
        assert connection.state is UpstreamState.DEAD
        assert waiter.crashed is leased
        connection.drop(0.0)
        assert not bench.pool._sites


NAMES = ["acquire", "fresh", "open", "fail", "release", "discard", "withdraw", "drain"]
ACTIONS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 9)), max_size=80)


class Play:
    """Acts on a pool as its users may, and knows who waits and who holds what."""

    def __init__(self, limit: int, max_idle: int) -> None:
        self.bench = Bench(max_connections_per_origin=limit, max_idle_per_origin=max_idle)
        self.limit = limit
        self.max_idle = max_idle
        self.waiting: list[FakeWaiter] = []
        self.leased: list[FakeWaiter] = []

    def act(self, action: str, choice: int) -> None:
        bench = self.bench
        if action in ("acquire", "fresh"):
            self.waiting.append(bench.acquire(fresh=action == "fresh"))
        elif action in ("open", "fail") and bench.connecting():
            bench.open() if action == "open" else bench.fail()
        elif action == "withdraw" and self.waiting:
            bench.pool.withdraw(bench.origin, self.waiting.pop(choice % len(self.waiting)), 0.0)
        elif action in ("release", "discard") and self.leased:
            self.end_lease(self.leased.pop(choice % len(self.leased)), keep=action == "release")
        elif action == "drain" and choice == 9:
            bench.pool.drain(0.0)
        self.leased += [waiter for waiter in self.waiting if waiter.connection is not None]
        self.waiting = [waiter for waiter in self.waiting if waiter.connection is None and not waiter.failures]

    def end_lease(self, waiter: FakeWaiter, *, keep: bool) -> None:
        connection = waiter.connection
        assert connection is not None
        if keep:
            self.bench.exchange(waiter)
        else:
            waiter.connection = None
            self.bench.pool.discard(connection, 0.0)

    def check(self) -> None:
        connections = self.bench.all()
        states = [connection.state for connection in connections]
        idle, connecting = states.count(UpstreamState.IDLE), states.count(UpstreamState.CONNECTING)
        assert len(connections) <= self.limit
        assert idle <= self.max_idle or self.waiting  # for those who want a fresh one, what is idle is of no use
        assert len({id(waiter.connection) for waiter in self.leased}) == len(self.leased)
        assert states.count(UpstreamState.READY) == len(self.leased)
        if len(self.waiting) > connecting:  # then there is neither room nor anything to make room with
            assert len(connections) == self.limit
            assert not idle
        if self.bench.pool.draining and not self.waiting:
            assert idle == connecting == 0
        sites = list(self.bench.pool._sites.values())
        assert bool(sites) == bool(connections or self.waiting)
        assert [site.total for site in sites] == [len(connections)] * len(sites)


@settings(max_examples=200, deadline=None)
@given(ACTIONS, st.integers(1, 4), st.integers(0, 3))
def test_the_pool_keeps_its_promises(actions: list[tuple[str, int]], limit: int, max_idle: int) -> None:
    play = Play(limit, max_idle)
    for action, choice in actions:
        play.act(action, choice)
        play.check()


class TestOnTheEngine:
    def test_a_connection_is_used_again_by_another_session(self) -> None:
        turns = Turns()
        first, second = turns.agent(), turns.agent()
        upstream = first.start("a")
        turns.receive(upstream, answer(b"1"))
        effects = second.create("b")
        assert [effect.link for effect in effects if isinstance(effect, SendBytes)] == [upstream]
        turns.receive(upstream, answer(b"2"))
        assert second.of("b")[0]["response"] == 2
        assert len(turns.connects) == 1

    def test_an_idle_connection_is_closed_after_a_while(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, answer(b"1"))
        turns.advance(59.0)
        assert upstream not in turns.closed
        turns.advance(2.0)
        assert upstream in turns.closed

    @pytest.mark.parametrize("data", [b"x", b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n"])
    def test_bytes_on_an_idle_connection_close_it(self, data: bytes) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, answer(b"1"))
        effects = turns.receive(upstream, data)
        assert effects == [CloseLink(upstream, CloseHow.ABORT)]

    @pytest.mark.parametrize("clean", [True, False])
    def test_the_end_of_an_idle_connection(self, clean: bool) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, answer(b"1"))
        assert turns.feed(PeerClosed(upstream, clean)) == [CloseLink(upstream, CloseHow.ABORT)]
        agent.start("b")
        assert len(turns.connects) == 2

    @pytest.mark.parametrize("extra", ["connection: close\r\n", ""])
    def test_what_cannot_be_used_again_is_closed(self, extra: str) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        data = answer(b"1", extra=extra)
        turns.receive(upstream, data if extra else data + b"more")
        assert agent.types("a") == ["created"]
        assert upstream in turns.closed

    def test_a_reset_behind_the_answer(self) -> None:
        turns = Turns(client_high_water_bytes=100, client_low_water_bytes=10)
        agent = turns.agent()
        upstream = agent.start("a")
        agent.send(*["x"] * 3)
        agent.stall()
        turns.receive(upstream, answer(b"1"))
        turns.feed(PeerClosed(upstream, False))
        agent.resume()
        assert agent.of("a")[-1]["response"] == 1
        assert upstream in turns.closed

    def test_a_request_that_was_not_read_to_its_end_is_in_the_way_of_the_next(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a", query="x" * 1000)
        turns.report(upstream, 10)
        turns.receive(upstream, answer(b"1"))
        assert upstream in turns.closed

    def test_a_second_answer_behind_the_first(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, answer(b"1") + answer(b"2"))
        assert [frame["response"] for frame in agent.of("a")] == [1]
        assert upstream in turns.closed

    def test_reading_is_on_again_for_the_next_request(self) -> None:
        turns = Turns(client_high_water_bytes=1000, client_low_water_bytes=100, upstream_high_water_bytes=1000)
        agent = turns.agent()
        upstream = agent.start("a")
        turns.receive(upstream, STREAM_HEAD + sse(b'"' + b"x" * 2000 + b'"'))
        agent.stall()
        turns.receive(upstream, sse(b"1" * 1500))
        turns.receive(upstream, END_CHUNK)
        assert turns.reading[upstream] is False
        agent.resume()
        assert turns.reading[upstream] is True
        assert upstream not in turns.closed

    def test_the_limit_of_an_origin(self) -> None:
        turns = Turns(max_connections_per_origin=2)
        agent = turns.agent()
        links = [agent.start(name) for name in ("a", "b")]
        agent.create("c")
        assert len(turns.connects) == 2
        turns.receive(links[1], answer(b"1"))
        turns.receive(links[1], answer(b"2"))
        assert agent.of("c")[0]["response"] == 2

    def test_a_waiting_request_ends_with_its_session(self) -> None:
        turns = Turns(max_connections_per_origin=1)
        first, second, third = turns.agent(), turns.agent(), turns.agent()
        upstream = first.start("a")
        second.create("b")
        third.create("c")
        second.disconnect()
        turns.receive(upstream, answer(b"1"))
        turns.receive(upstream, answer(b"2"))
        assert third.of("c")[0]["response"] == 2

    def test_a_connection_that_opens_while_draining_for_nobody(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.create("a")
        agent.cancel("a")
        turns.feed(ShutdownRequested(30.0))
        assert turns.connects[0].link in turns.closed

    def test_a_drained_pool_waits_for_no_slow_connect(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.create("a")
        turns.feed(ShutdownRequested(1.0))
        turns.advance(1.0)
        assert turns.connects[0].link in turns.closed
        assert agent.close_code == 1001
        assert turns.drained

    def test_a_request_under_way_may_be_retried_while_draining(self) -> None:
        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a", config={"maxAttempts": 2, "retryDelay": 100})
        turns.feed(ShutdownRequested(30.0))
        turns.receive(upstream, answer(b"{}", 500))
        assert upstream in turns.closed
        turns.advance(0.2)
        turns.receive(turns.upstream(), answer(b"1"))
        assert agent.of("a")[0]["response"] == 1

    def test_connecting_takes_too_long(self) -> None:
        turns = Turns()
        agent = turns.agent()
        agent.create("a")
        turns.advance(10.0)
        assert agent.of("a")[0]["metadata"]["status"] == 504
        assert turns.connects[0].link in turns.closed

    def test_a_bug_in_a_connection(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any) -> None:
            raise ZeroDivisionError

        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        monkeypatch.setattr(UpstreamConnection, "receive_data", broken)
        turns.receive(upstream, b"x")
        assert upstream in turns.closed
        assert agent.close_code == 1011

    def test_bugs_while_a_lessee_ends(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError

        turns = Turns()
        agent = turns.agent()
        upstream = agent.start("a")
        monkeypatch.setattr(UpstreamConnection, "receive_data", broken)
        monkeypatch.setattr(UniversalRequest, "cancel", broken)
        turns.receive(upstream, b"x")
        assert {upstream, agent.link} <= set(turns.closed)
        assert not turns.gateway._core.pool._sites

    def test_many_connections_and_faults(self) -> None:
        rig = Rig()
        client = rig.client()
        for round_ in range(3):
            names = [f"{round_}-{number}" for number in range(20)]
            for name in names:
                client.create(name, HAND)
            rig.run(lambda: sum(len(p.requests) for p in rig.providers) >= 20)
            for provider in rig.providers:
                if provider.requests and not provider.ended:
                    provider.answer(b"1")
                    provider.requests.clear()
            for name in names:
                rig.run(functools.partial(client.ended, name))
        assert len(rig.providers) == 20
        assert {record.outcome for record in rig.records} == {Outcome.DONE}


def test_link_ids_are_odd_and_fresh() -> None:
    turns = Turns()
    agent = turns.agent()
    for name in ("a", "b", "c"):
        agent.start(name)
    assert [connect.link for connect in turns.connects] == [LinkId(1), LinkId(3), LinkId(5)]
