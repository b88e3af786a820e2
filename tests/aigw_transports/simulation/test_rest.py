"""What is looked at while a gateway is at rest, with worlds in which somebody has tampered."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest

from aigw_proto._limits import GatewayLimits
from aigw_transports.memory import Faults, World
from aigw_transports.simulation import Message, Order, Pace, Traffic, UniversalClient
from aigw_transports.simulation._rest import Rest
from aigw_transports.simulation._universal import Request

LIMITS = GatewayLimits(max_idle_per_origin=1)
Tamper = Callable[[Traffic], None]


def calm(*, limits: GatewayLimits = LIMITS, faults: Faults | None = None) -> Traffic:
    """Return a traffic at rest: one client with one answer, and one session that goes on."""
    world = World(1)
    traffic = Traffic(world, limits=limits)
    client = traffic.client(faults=faults)
    client.on_open = lambda: client.ask(Order("a", 2), most_seconds=9.0, may_fail=False)
    traffic.session(Pace([Message(b"here")], pings=True), Pace([Message(b"there")]))
    world.advance(8.0)
    return traffic


def look(traffic: Traffic) -> None:
    Rest(traffic).look()


def request_of(traffic: Traffic) -> Request:
    return traffic.clients[0].requests["a"]


def wait_again(traffic: Traffic) -> None:
    request_of(traffic).ended_at = None


def test_what_is_as_it_should_be_is_let_pass() -> None:
    traffic = calm()
    assert request_of(traffic).ended_at is not None
    assert [end.got for end in (traffic.sessions[0].client, traffic.sessions[0].far)] == [1, 1]
    look(traffic)


def cancelled(traffic: Traffic) -> None:
    wait_again(traffic)
    request_of(traffic).cancelled = True


def never_asked(traffic: Traffic) -> None:
    wait_again(traffic)
    traffic.provider.said_at.clear()
    traffic.provider.bodies.clear()


def unread(traffic: Traffic) -> None:
    traffic.gateway.set_reading(min(traffic.gateway.streams), False)
    traffic.clients[0].ping()
    traffic.world.advance(1.0)


def ended(traffic: Traffic) -> None:
    min(traffic.gateway.streams.items())[1]._told_end = True


def more_said(traffic: Traffic) -> None:
    traffic.sessions[0].client.said.append(Message(b"never sent"))


def more_pings(traffic: Traffic) -> None:
    traffic.sessions[0].client.pings += 1


def closed(traffic: Traffic) -> None:
    traffic.sessions[0].far.said_close = (1000, b"")


def left(traffic: Traffic) -> None:
    traffic.sessions[0].far.left_at = 1.0


def grace_over(traffic: Traffic) -> None:
    wait_again(traffic)
    traffic.provider.said_at.clear()
    traffic.grace_until = 5.0


def session_behind_the_grace(traffic: Traffic) -> None:
    traffic.clients.clear()
    traffic.grace_until = 5.0


def nothing_to_do(traffic: Traffic) -> None:
    traffic.grace_until = 50.0


@pytest.mark.parametrize(
    ("tamper", "complaint"),
    [
        (wait_again, "a: waits, although its provider has said all"),
        (cancelled, "a: was cancelled, and has no end"),
        (never_asked, "a: waits, and its provider knows nothing of it"),
        (unread, "link 0 is not read, and nothing waits to be sent"),
        (ended, "link 0 has ended, and is kept"),
        (more_said, "provider s0: 1 of 2 messages came"),
        (more_pings, "client s0: 1 of 2 pings were answered"),
        (closed, "client s0: nothing tells it that provider s0 has gone"),
        (left, "client s0: nothing tells it that provider s0 has gone"),
        (grace_over, "a client is kept 3.000 s behind the end of the grace"),
        (session_behind_the_grace, "client s0 goes on 3.000 s behind the grace"),
        (nothing_to_do, "a client without requests is kept by a gateway that shuts down"),
    ],
)
def test_what_is_not_is_named(tamper: Tamper, complaint: str) -> None:
    traffic = calm()
    tamper(traffic)
    with pytest.raises(AssertionError, match=complaint):
        look(traffic)


def test_what_may_fail_has_time_for_another_try() -> None:
    traffic = calm()
    wait_again(traffic)
    request_of(traffic).may_fail = True
    traffic.provider.said_at["a"] = traffic.world.time - 4.0
    look(traffic)
    traffic.provider.said_at["a"] -= 2.0
    with pytest.raises(AssertionError, match="a: waits"):
        look(traffic)


def test_who_does_not_read_or_is_not_served_well_waits_for_something() -> None:
    traffic = calm()
    wait_again(traffic)
    traffic.clients[0].read(False)
    look(traffic)
    traffic = calm(faults=Faults(stall=0.01))
    wait_again(traffic)
    look(traffic)
    traffic = calm()
    wait_again(traffic)
    traffic.provider.listener.faults = Faults(reset=0.01)
    look(traffic)


def test_a_traffic_that_was_disturbed_is_not_looked_at() -> None:
    disturbances: tuple[Tamper, ...] = (Traffic.cut, lambda traffic: traffic.jump(1.0))
    for disturb in disturbances:
        traffic = calm()
        wait_again(traffic)
        disturb(traffic)
        look(traffic)


def test_what_is_on_its_way_is_waited_for() -> None:
    traffic = calm()
    wait_again(traffic)
    traffic.clients[0].ping()
    look(traffic)
    traffic.world.advance(1.0)
    with pytest.raises(AssertionError, match="a: waits"):
        look(traffic)


def test_connections_that_are_of_no_use() -> None:
    traffic = calm()
    traffic.provider.connections *= 2
    rest = Rest(traffic)
    rest.look()  # what was closed a moment ago is not known to be
    traffic.provider.connections.pop()
    traffic.world.advance(2.0)
    rest.look()
    traffic.provider.connections *= 2
    rest.look()
    traffic.world.advance(2.0)
    with pytest.raises(AssertionError, match="2 connections to a provider, 1 of use"):
        rest.look()


def test_a_connection_that_may_be_opened_is_not_waited_for() -> None:
    traffic = calm(limits=dataclasses.replace(LIMITS, max_connections_per_origin=2))
    never_asked(traffic)
    rest = Rest(traffic)
    rest.look()  # one may be about to be opened
    traffic.world.advance(2.0)
    traffic.provider.connections *= 2
    rest._judge_room(traffic.world.time, 8.0)  # and with all there may be, somebody else has to be done first
    traffic.provider.connections.pop()
    with pytest.raises(AssertionError, match="a: waits for a connection, and there are 1"):
        rest.look()


def test_who_has_closed_still_hears() -> None:
    traffic = calm()
    far = traffic.sessions[0].far
    far.said_close = (1000, b"")
    traffic.sessions[0].client.got_close = (1000, b"")
    look(traffic)
    more_said(traffic)
    with pytest.raises(AssertionError, match="provider s0: closed, and 1 of 2 messages came"):
        look(traffic)
    traffic.sessions[0].client.left_at = 1.0
    look(traffic)


def test_one_who_takes_nothing_is_given_up() -> None:
    traffic = calm(limits=dataclasses.replace(LIMITS, client_high_water_bytes=1000, realtime_high_water_bytes=1000))
    client = traffic.clients[0]
    client.read(False)
    stop_and_ask(client)
    traffic.world.advance(10.0)
    rest = Rest(traffic)
    rest.look()
    traffic.world.advance(10.0)
    rest.look()  # a minute is allowed
    traffic.limits = dataclasses.replace(traffic.limits, stuck_timeout_seconds=1.0)
    traffic.world.advance(10.0)
    with pytest.raises(AssertionError, match="link 0 has taken nothing for 20 s, and is kept"):
        rest.look()


def stop_and_ask(client: UniversalClient) -> None:
    client.ask(Order("b", 60, pad_bytes=5000), most_seconds=9.0, may_fail=True)


def test_one_who_takes_a_little_is_kept() -> None:
    traffic = calm(limits=dataclasses.replace(LIMITS, client_high_water_bytes=1000, realtime_high_water_bytes=1000))
    client = traffic.clients[0]
    client.read(True, bytes_per_second=100.0)
    stop_and_ask(client)
    traffic.limits = dataclasses.replace(traffic.limits, stuck_timeout_seconds=1.0)
    rest = Rest(traffic)
    for _ in range(4):
        traffic.world.advance(10.0)
        rest.look()


def test_what_is_given_up_before_the_grace_is_over() -> None:
    traffic = calm()
    rest = Rest(traffic)
    request_of(traffic).error = "the gateway is shutting down"
    traffic.sessions[0].far.got_close, traffic.sessions[0].far.got_close_at = (1001, b"shutting down"), 5.0
    rest.judge_grace()
    traffic.grace_until = 0.0
    rest.judge_grace()
    traffic.grace_until = 6.0
    with pytest.raises(AssertionError, match="a: is given up before the grace is over"):
        rest.judge_grace()
    request_of(traffic).error = "odd"
    with pytest.raises(AssertionError, match="provider s0: is closed before the grace is over"):
        rest.judge_grace()
    traffic.was_cut = True
    rest.judge_grace()
