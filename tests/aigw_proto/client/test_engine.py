from __future__ import annotations

import json
from typing import cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto import client as core
from aigw_proto._effects import (
    CloseHow,
    CloseLink,
    Deliver,
    Drained,
    EndSending,
    SendBytes,
    SetReading,
)
from aigw_proto._errors import LocalProtocolError
from aigw_proto._inputs import (
    BytesReceived,
    BytesSent,
    ShutdownRequested,
)
from aigw_proto._limits import WebSocketLimits
from aigw_proto.ws import Closed, DeflatePolicy, Ping
from support.client_bench import LINK, Bench, frame, step

URL = core.GatewayUrl(secure=False, host="gateway", port=80, host_header=b"gateway", target=b"/v1/a/g")
SECURE = core.GatewayUrl(secure=True, host="gateway", port=443, host_header=b"gateway", target=b"/v1/a/g")
CONNECTION = core.CONNECTION_TICKET


# Requests


def test_compression_can_be_agreed_on() -> None:
    bench = Bench()
    bench.open(deflate=DeflatePolicy())
    event_id = bench.create(1)
    bench.say(frame("created", event_id, {"text": "x" * 1000}))
    assert json.loads(bench.only(1, core.ReplyReceived).response) == {"text": "x" * 1000}
    bench.finish()


def test_a_query_crosses_byte_for_byte_and_a_response_comes_back_so() -> None:
    bench = Bench()
    bench.open()
    query = b'{"b": 1.10,  "a":"\\u00e9"}'
    bench.feed(core.CreateRequest(1, (step(query),), "mine"))
    assert bench.gateway is not None
    bench.gateway.receive_data(bench.take(), bench.now)
    event = bench.gateway.next_event()
    assert query.decode() in getattr(event, "data", "")
    bench.say(
        '{"type":"universal.created","metadata":{"eventId":"mine","status":200},"response":{"z": 1.10,"a":"\\u00e9"}}'
    )
    reply = bench.only(1, core.ReplyReceived)
    assert reply.response == b'{"z": 1.10,"a":"\\u00e9"}'
    assert reply.metadata.status == 200
    bench.finish()


def test_several_steps_are_one_request() -> None:
    bench = Bench()
    bench.open()
    bench.feed(core.CreateRequest(1, (step(b"1"), step(b"2")), "mine"))
    (message,) = bench.listen()
    assert isinstance(message["request"], list)
    assert [part["query"] for part in cast("list[dict[str, object]]", message["request"])] == [1, 2]


def test_streams_of_many_requests_are_told_apart() -> None:
    bench = Bench()
    bench.open()
    ids = {ticket: bench.create(ticket) for ticket in range(1, 6)}
    assert len(set(ids.values())) == 5
    assert bench.inner.in_flight == 5
    bench.say(*(frame("created", event_id, contentType="text/event-stream") for event_id in ids.values()))
    for number in range(3):
        bench.say(*(frame("stream", event_id, f"{ticket}.{number}") for ticket, event_id in ids.items()))
    bench.say(*(frame("done", event_id) for event_id in ids.values()))
    for ticket in ids:
        started, *chunks, finished = bench.items(ticket)
        assert isinstance(started, core.StreamStarted)
        assert chunks == [core.ChunkReceived(f'"{ticket}.{number}"'.encode(), None) for number in range(3)]
        assert isinstance(finished, core.StreamFinished)
    assert bench.inner.in_flight == 0
    bench.finish()


def test_frames_are_delivered_too_when_asked_for() -> None:
    bench = Bench(deliver_frames=True)
    bench.open()
    text = frame("created", bench.create(1), 1)
    bench.say(text)
    assert core.FrameReceived(text) in bench.items(CONNECTION)


def test_requests_before_opened_and_without_steps_are_mistakes() -> None:
    bench = Bench()
    with pytest.raises(LocalProtocolError, match="not open yet"):
        bench.inner.handle(core.CreateRequest(1, (step(),)), 1.0)
    bench.open()
    with pytest.raises(LocalProtocolError, match="at least one step"):
        bench.inner.handle(core.CreateRequest(1, ()), bench.now)
    bench.create(5)
    with pytest.raises(LocalProtocolError, match="ticket 5"):
        bench.inner.handle(core.CreateRequest(5, (step(),)), bench.now)
    assert bench.inner.poll() is None


def test_an_event_id_in_use_is_not_sent() -> None:
    bench = Bench()
    bench.open()
    bench.create(1, "mine")
    bench.feed(core.CreateRequest(2, (step(),), "mine"))
    assert "under way already" in bench.only(2, core.RequestNotSent).reason
    assert bench.sent == b""


def test_an_error_with_a_status_fails_the_request() -> None:
    bench = Bench()
    bench.open()
    body = {"success": False, "error": [{"code": 2003, "message": "Rate limited"}], "name": "AiGatewayError"}
    bench.say(frame("created", bench.create(1), body, status=429))
    failed = bench.only(1, core.RequestFailed)
    assert (failed.status, failed.code, failed.message, failed.by_gateway) == (429, 2003, "Rate limited", True)
    bench.finish()


def test_an_error_of_a_strict_gateway_without_event_id_finds_the_only_request() -> None:
    bench = Bench()
    bench.open()
    bench.create(1)
    body = {"result": None, "success": False, "errors": [{"code": 10000, "message": "Authentication error"}]}
    bench.say(frame("created", None, body, contentType="application/json"))
    failed = bench.only(1, core.RequestFailed)
    assert (failed.status, failed.code, failed.message) == (None, 10000, "Authentication error")


def test_an_error_without_event_id_among_several_requests_is_a_notice() -> None:
    bench = Bench()
    bench.open()
    bench.create(1)
    bench.create(2)
    text = frame("created", None, {"success": False, "errors": [{"code": 1, "message": "x"}]})
    bench.say(text)
    notice = bench.items(CONNECTION)[-1]
    assert notice == core.ConnectionNotice("a frame without event id while 2 requests are under way", text)
    assert bench.items(1) == bench.items(2) == []


def test_a_request_times_out_and_is_cancelled() -> None:
    bench = Bench()
    bench.open()
    event_id = bench.create(1, timeout_seconds=3.0)
    assert bench.engine.next_timeout() == bench.now + 3.0
    bench.wait(3.0)
    assert bench.only(1, core.RequestTimedOut) == core.RequestTimedOut(3.0)
    assert bench.listen() == [{"type": "universal.cancel", "eventId": event_id}]
    bench.say(frame("done", event_id, cancelled=True))
    assert len(bench.items(1)) == 1
    assert bench.inner.dropped_frames == 1
    bench.finish()


def test_cancel_tells_the_gateway_and_late_frames_are_dropped() -> None:
    bench = Bench()
    bench.open()
    event_id = bench.create(1)
    bench.say(frame("created", event_id))
    bench.feed(core.CancelRequest(1))
    assert bench.listen() == [{"type": "universal.cancel", "eventId": event_id}]
    bench.say(frame("stream", event_id, 1), frame("stream", event_id, 2), frame("done", event_id, cancelled=True))
    assert [type(item) for item in bench.items(1)] == [core.StreamStarted]
    assert bench.inner.dropped_frames == 3
    bench.feed(core.CancelRequest(1))
    assert bench.sent == b""
    bench.finish()


def test_a_frame_of_an_unknown_type_is_a_notice() -> None:
    bench = Bench()
    bench.open()
    bench.say('{"type":"gateway.goaway"}')
    assert isinstance(bench.items(CONNECTION)[-1], core.ConnectionNotice)
    bench.finish()


# Nonsense


@pytest.mark.parametrize(
    "texts",
    [
        ["not json"],
        ['{"type":"universal.created"'],
        [frame("stream", "mine", 1)],
        [frame("created", "mine"), frame("created", "mine", 1)],
    ],
)
def test_nonsense_ends_the_connection_with_a_reason(texts: list[str]) -> None:
    bench = Bench()
    bench.open()
    bench.create(1, "mine")
    bench.say(*texts)
    lost = bench.items(1)[-1]
    assert isinstance(lost, core.ConnectionLost)
    assert lost.code == 1002
    assert lost.reason
    assert bench.items(CONNECTION)[-1] == lost
    bench.listen()
    assert isinstance(bench.heard[-1], Closed)
    assert bench.heard[-1].code == 1002
    assert bench.effects[-2:] == [SendBytes(LINK, bench.effects[-2].chunks), EndSending(LINK)]  # type: ignore[union-attr] # checked by the comparison
    bench.feed(BytesReceived(LINK, b"whatever"))
    bench.end()
    bench.engine.finish()


def test_a_binary_message_ends_the_connection() -> None:
    bench = Bench()
    bench.open()
    bench.create(1)
    assert bench.gateway is not None
    bench.gateway.send_binary(b"\x00")
    bench.answer()
    assert bench.only(1, core.ConnectionLost).code == 1003


# The end


def test_every_open_request_learns_of_the_end_once() -> None:
    bench = Bench()
    bench.open()
    for ticket in range(1, 4):
        bench.create(ticket)
    assert bench.gateway is not None
    bench.gateway.send_close(1012, "restart")
    bench.answer()
    bench.feed(core.CreateRequest(4, (step(),)))
    bench.end()
    for ticket in range(1, 5):
        assert bench.only(ticket, core.ConnectionLost) == core.ConnectionLost(
            1012, "restart", clean=True, closed_by=core.ClosedBy.PEER
        )
    assert bench.last(CloseLink) == CloseLink(LINK, CloseHow.FLUSH)
    bench.feed(core.CreateRequest(5, (step(),)))
    assert bench.only(5, core.ConnectionLost).code == 1012
    bench.feed(core.CloseConnection())
    assert bench.engine.drained


@pytest.mark.parametrize("clean", [True, False])
def test_a_stream_that_breaks_is_1006(clean: bool) -> None:
    bench = Bench()
    bench.open()
    bench.create(1)
    bench.end(clean=clean)
    assert bench.only(1, core.ConnectionLost) == core.ConnectionLost(
        1006, "", clean=False, closed_by=core.ClosedBy.NETWORK
    )
    assert bench.last(CloseLink) == CloseLink(LINK, CloseHow.FLUSH if clean else CloseHow.ABORT)
    bench.engine.finish()


def test_closing_ends_requests_now_and_the_connection_when_the_gateway_agrees() -> None:
    bench = Bench()
    bench.open()
    event_id = bench.create(1)
    bench.feed(core.CloseConnection(1001, "going"))
    assert bench.only(1, core.ConnectionLost).code == 1000
    bench.feed(core.CreateRequest(2, (step(),)))
    assert bench.only(2, core.ConnectionLost).code == 1000
    bench.feed(core.CloseConnection())
    bench.say(frame("created", event_id, 1))
    assert len(bench.items(1)) == 1
    bench.listen()
    assert isinstance(bench.heard[-1], Closed)
    assert (bench.heard[-1].code, bench.heard[-1].reason) == (1001, "going")
    bench.answer()
    assert not any(isinstance(effect, Drained) for effect in bench.effects)
    bench.end()
    assert bench.items(CONNECTION)[-1] == core.ConnectionLost(1001, "", clean=True, closed_by=core.ClosedBy.PROGRAM)
    bench.last(Drained)


def test_shutdown_lets_requests_finish() -> None:
    bench = Bench()
    bench.open()
    event_id = bench.create(1)
    bench.feed(ShutdownRequested(5.0))
    bench.feed(core.CreateRequest(2, (step(),)))
    assert bench.only(2, core.ConnectionLost).code == 1000
    bench.say(frame("created", event_id, 1))
    bench.only(1, core.ReplyReceived)
    bench.listen()
    assert isinstance(bench.heard[-1], Closed)
    bench.answer()
    bench.end()
    assert bench.engine.drained


def test_shutdown_ends_what_is_left_after_the_grace() -> None:
    bench = Bench()
    bench.open()
    bench.create(1)
    bench.feed(ShutdownRequested(5.0))
    bench.wait(5.0)
    assert bench.only(1, core.ConnectionLost).code == 1000
    bench.listen()
    bench.answer()
    bench.end()
    assert bench.engine.drained


# Flow


SMALL = core.ClientLimits(high_water_bytes=2000, low_water_bytes=500)


def test_unread_items_stop_reading_and_consuming_resumes() -> None:
    bench = Bench(limits=SMALL)
    bench.open()
    event_id = bench.create(1)
    bench.say(frame("created", event_id), *(frame("stream", event_id, "x" * 100) for _ in range(20)))
    paused = [SetReading(LINK, enabled=False), Deliver(CONNECTION, core.ReadingPaused(paused=True))]
    assert bench.effects[-2:] == paused
    held = [item for item in bench.items(1) if isinstance(item, core.StreamStarted | core.ChunkReceived)]
    assert len(held) < 10
    sizes = [core.held_bytes(item) for item in held]
    assert sum(sizes[:-1]) <= 2000 < sum(sizes)
    # A report that is not enough changes nothing; what came already waits.
    assert bench.feed(core.Consumed({1: 100})) == []
    # What came already is too much for one more round: the pause goes on, without a word about it.
    for _ in range(3):
        effects = bench.feed(core.Consumed({1: 10_000}))
        assert not any(isinstance(effect, SetReading) for effect in effects[:-2])
    assert bench.effects[-2:] == [
        SetReading(LINK, enabled=True),
        Deliver(CONNECTION, core.ReadingPaused(paused=False)),
    ]
    assert len(bench.items(1)) == 21
    bench.say(frame("done", event_id))
    bench.finish()


def test_a_request_left_unread_is_given_up_when_another_waits() -> None:
    bench = Bench(limits=SMALL)
    bench.open()
    unread = bench.create(1)
    bench.say(frame("created", unread), frame("stream", unread, "x" * 3000), frame("stream", unread, "late"))
    waiting = bench.create(2)
    assert bench.gateway is not None
    bench.say(frame("created", waiting, "here"))
    assert bench.items(2) == []
    assert bench.engine.next_timeout() == bench.now + 20.0
    bench.wait(20.0)
    *_, chunk, broken = bench.items(1)
    assert isinstance(chunk, core.ChunkReceived)
    assert isinstance(broken, core.StreamBroken)
    assert broken.metadata is None
    assert bench.listen() == [{"type": "universal.cancel", "eventId": unread}]
    assert bench.only(2, core.ReplyReceived).response == b'"here"'
    assert bench.inner.dropped_frames == 1
    bench.finish()


def test_an_answer_left_unread_is_not_given_up_but_counts_no_longer() -> None:
    bench = Bench(limits=SMALL)
    bench.open()
    bench.say(frame("created", bench.create(1), "x" * 3000))
    waiting = bench.create(2)
    bench.say(frame("created", waiting, "here"))
    bench.wait(20.0)
    bench.only(1, core.ReplyReceived)
    bench.only(2, core.ReplyReceived)
    bench.finish()


def test_cancelling_settles_the_debt() -> None:
    bench = Bench(limits=SMALL)
    bench.open()
    event_id = bench.create(1)
    bench.say(frame("created", event_id), frame("stream", event_id, "x" * 3000))
    bench.feed(core.CancelRequest(1))
    assert SetReading(LINK, enabled=True) in bench.effects
    bench.listen()
    bench.finish()


def test_a_gateway_that_is_not_read_is_not_taken_for_dead() -> None:
    bench = Bench(limits=SMALL, websocket=WebSocketLimits(ping_interval_seconds=10.0, pong_timeout_seconds=10.0))
    bench.open()
    event_id = bench.create(1)
    bench.say(frame("created", event_id), frame("stream", event_id, "x" * 3000))
    assert bench.engine.next_timeout() == bench.now + 20.0
    bench.wait(1000.0)
    bench.feed(core.Consumed({1: 10_000}))
    assert bench.engine.next_timeout() == bench.now + 10.0
    bench.wait(10.0)
    bench.listen()
    assert isinstance(bench.heard[-1], Ping)
    bench.wait(10.0)
    assert bench.items(1)[-1] == bench.items(CONNECTION)[-1]
    lost = bench.items(1)[-1]
    assert isinstance(lost, core.ConnectionLost)
    assert lost.code == 1006


def test_closing_while_not_reading_reads_again() -> None:
    bench = Bench(limits=SMALL)
    bench.open()
    event_id = bench.create(1)
    bench.say(frame("created", event_id), *(frame("stream", event_id, "x" * 3000) for _ in range(3)))
    bench.finish()


def test_a_gateway_that_breaks_while_not_read_is_noticed_when_reading_goes_on() -> None:
    bench = Bench(limits=SMALL)
    bench.open()
    event_id = bench.create(1)
    bench.say(frame("created", event_id), *(frame("stream", event_id, "x" * 3000) for _ in range(3)))
    bench.end(clean=False)
    for _ in range(4):
        bench.feed(core.Consumed({1: 10_000}))
    chunks = [item for item in bench.items(1) if isinstance(item, core.ChunkReceived)]
    assert len(chunks) == 3
    assert isinstance(bench.items(1)[-1], core.ConnectionLost)
    bench.engine.finish()


def test_a_timeout_while_not_reading_is_kept() -> None:
    bench = Bench(limits=SMALL)
    bench.open()
    event_id = bench.create(1, timeout_seconds=1.0)
    bench.say(frame("created", event_id), frame("stream", event_id, "x" * 3000))
    bench.wait(1.0)
    assert isinstance(bench.items(1)[-1], core.RequestTimedOut)
    bench.end()
    bench.feed(core.Consumed({1: 10_000}))
    bench.engine.finish()


def test_a_backlog_asks_for_patience() -> None:
    bench = Bench(limits=core.ClientLimits(sending_high_water_bytes=1000, sending_low_water_bytes=100))
    bench.open()
    bench.feed(core.CreateRequest(1, (step(b'"' + b"x" * 2000 + b'"'),)))
    assert bench.feed(BytesSent(LINK, 1000)) == []
    bench.feed(core.CreateRequest(2, (step(b'"' + b"x" * 2000 + b'"'),)))
    assert bench.feed(BytesSent(LINK, 2000)) == [Deliver(CONNECTION, core.SendingAllowed(allowed=False))]
    assert bench.feed(BytesSent(LINK, 500)) == []
    assert bench.feed(BytesSent(LINK, 100)) == [Deliver(CONNECTION, core.SendingAllowed(allowed=True))]


def test_pongs_for_a_gateway_that_pings_and_never_reads_are_bounded() -> None:
    bench = Bench(limits=core.ClientLimits(sending_high_water_bytes=10_000, sending_low_water_bytes=100))
    bench.open()
    pings = b"\x89\x7d" + bytes(125)
    unsent = 0
    for _ in range(200):
        effects = bench.feed(BytesReceived(LINK, pings * 500))
        sent = sum(len(chunk) for effect in effects if isinstance(effect, SendBytes) for chunk in effect.chunks)
        unsent += sent
        if sent:
            bench.feed(BytesSent(LINK, unsent))
    assert unsent < 100_000
    assert any(isinstance(effect, SendBytes) for effect in bench.feed(core.CreateRequest(1, (step(),))))  # still goes
    bench.feed(BytesReceived(LINK, pings))
    assert any(isinstance(effect, SendBytes) for effect in bench.feed(BytesSent(LINK, 0)))  # the pong that was put off
    bench.end(clean=False)
    bench.engine.finish()


def test_a_flood_is_worked_off_in_bounded_turns() -> None:
    bench = Bench(limits=core.ClientLimits(turn_messages=10))
    bench.open()
    event_id = bench.create(1)
    bench.say(frame("created", event_id), *(frame("stream", event_id, number) for number in range(95)))
    assert len(bench.items(1)) == 10
    assert bench.engine.next_timeout() == bench.now
    bench.settle()
    assert len(bench.items(1)) == 96
    bench.finish()


# Any bytes


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8))
def test_no_bytes_of_a_gateway_raise(pieces: list[bytes]) -> None:
    bench = Bench()
    bench.open()
    bench.create(1)
    for piece in pieces:
        bench.feed(BytesReceived(LINK, piece))
    bench.end()
    bench.settle()
    assert isinstance(bench.items(1)[-1], core.ConnectionLost)
    bench.engine.finish()


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_cuts_do_not_change_what_is_delivered(data: st.DataObject) -> None:
    whole = Bench()
    whole.open()
    event_id = whole.create(1, "mine")
    assert whole.gateway is not None
    for text in (
        frame("created", event_id),
        *(frame("stream", event_id, n) for n in range(5)),
        frame("done", event_id),
    ):
        whole.gateway.send_text(text)
    stream = b"".join(whole.gateway.data_to_send())
    whole.feed(BytesReceived(LINK, stream))
    torn = Bench()
    torn.open()
    torn.create(1, "mine")
    rest = stream
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        torn.feed(BytesReceived(LINK, rest[:size]))
        rest = rest[size:]
    assert torn.items(1) == whole.items(1)
