"""The log is held against what was seen: with a line that is missing, there twice, or wrong."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from aigw_proto._limits import GatewayLimits
from aigw_proto.gateway import ClosedBy, RequestRecord, SessionRecord
from aigw_transports.memory import World
from aigw_transports.simulation import Message, Order, Pace, Traffic
from aigw_transports.simulation._records import judge_records
from aigw_transports.simulation._universal_provider import Fault


def finished(fault: Fault = "") -> Traffic:
    """Return a traffic that has ended, with a request and a session."""
    order = Order("a", 2, fault=fault)
    world = World(1)
    traffic = Traffic(world, limits=GatewayLimits())
    client = traffic.client()
    config = '{"maxAttempts":2,"retryDelay":50}'
    client.on_open = lambda: client.ask(order, config=config, most_seconds=9.0, may_fail=bool(order.fault))
    traffic.session(Pace([Message(b"here")], close=(None, b"")), Pace([Message(b"there")]))
    world.after(2.0, lambda: client.cancel("a"))
    traffic.finish()
    return traffic


def change(traffic: Traffic, kind: type[RequestRecord | SessionRecord], **fields: Any) -> None:
    """Write something else into the first line of a kind."""
    journaled = traffic.gateway.journaled
    at = next(at for at, each in enumerate(journaled) if isinstance(each, kind))
    journaled[at] = dataclasses.replace(journaled[at], **fields)  # type: ignore[type-var]  # a record is one


def test_a_log_as_it_should_be() -> None:
    judge_records(finished())
    judge_records(finished("status"))


@pytest.mark.parametrize(
    ("kind", "fields", "complaint"),
    [
        (RequestRecord, {"event_id": "b"}, "no record of .'a'."),
        (RequestRecord, {"frames": 3}, "a: the record has 3 frames, not 4"),
        (RequestRecord, {"error": "odd"}, "a: the record has the error 'odd'"),
        (RequestRecord, {"response_bytes": 0}, "a: the record has 0 bytes, not 62"),
        (RequestRecord, {"attempts": 2}, "a: the record has 2 tries"),
        (SessionRecord, {"path": "/s1"}, "no record of session s0"),
        (SessionRecord, {"status": 502}, "no record of session s0"),
        (SessionRecord, {"client_messages": 0}, "client s0: 0 messages in the record, 1 came"),
        (SessionRecord, {"provider_messages": 2}, "provider s0: 2 messages in the record, 1 came"),
        (SessionRecord, {"client_bytes": 5}, "client s0: 5 bytes in the record"),
        (SessionRecord, {"sent_to_client": 1000}, "client s0: the record says that it was sent 1000"),
        (SessionRecord, {"client_close": 1006}, "client s0: the record says that it sent 1006"),
        (SessionRecord, {"closed_by": ClosedBy.PROVIDER}, "client s0: has closed first, the record says provider"),
    ],
)
def test_a_wrong_line(kind: type[RequestRecord | SessionRecord], fields: dict[str, Any], complaint: str) -> None:
    traffic = finished()
    change(traffic, kind, **fields)
    with pytest.raises(AssertionError, match=complaint):
        judge_records(traffic)


@pytest.mark.parametrize(
    ("kind", "complaint"),
    [(RequestRecord, "two records of one request"), (SessionRecord, "two records of one session")],
)
def test_a_line_that_is_there_twice(kind: type[object], complaint: str) -> None:
    traffic = finished()
    traffic.gateway.journaled += [each for each in traffic.gateway.journaled if isinstance(each, kind)]
    with pytest.raises(AssertionError, match=complaint):
        judge_records(traffic)


def test_a_request_that_was_taken_back_too_late_has_a_line() -> None:
    traffic = finished()
    traffic.gateway.journaled[:] = [each for each in traffic.gateway.journaled if getattr(each, "status", 0) != 404]
    with pytest.raises(AssertionError, match="1 requests were taken back too late, 0 are in the log"):
        judge_records(traffic)


def test_a_cause_that_is_none() -> None:
    traffic = finished()
    client = traffic.sessions[0].client
    client.said_close = None
    with pytest.raises(AssertionError, match="client s0: closed nothing, although the record says so"):
        judge_records(traffic)
    client.said_close, client.hindered = (1000, b""), True
    with pytest.raises(AssertionError, match="client s0: the record says that it closed with 1005"):
        judge_records(traffic)


def test_fewer_tries_than_were_asked_for() -> None:
    traffic = finished("status")
    traffic.provider.bodies["a"].pop()
    with pytest.raises(AssertionError, match="a: was tried 1 times, where 2 are asked for"):
        judge_records(traffic)
    traffic.clients[0].requests["a"].timeout = 1000
    judge_records(traffic)


def test_more_tries_than_are_allowed() -> None:
    traffic = finished("status")
    traffic.provider.bodies["a"] *= 2
    with pytest.raises(AssertionError, match="a: was tried 4 times, where 2 are allowed"):
        judge_records(traffic)
