"""Every path of one universal request, input by input and effect by effect.

Answers, retries, fallback, timeouts, broken answers and cancellation have a group of playbooks each; the last test
shows that these groups, taken together, walk every transition that a request has.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from aigw_proto._effects import CloseHow, CloseLink, Connect, Drained, Journal, SendBytes, SetReading
from aigw_proto._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    ConnectFailure,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId
from aigw_proto.gateway import _request
from aigw_proto.gateway._state import REQUEST_TRANSITIONS, RequestState, RequestTrigger
from aigw_proto.testing import Placeholder
from support.frames import frame
from support.plays import CLIENT, REQUEST, Play, Walked, cancel, fallback, gone, journal, says, told, warned
from support.turns import END_CHUNK, STREAM_HEAD, answer, create, sse

TWICE: dict[str, Any] = {"maxAttempts": 2, "retryDelay": 1000, "backoff": "constant"}
TIMED_OUT = "No answer in time: custom-hand: "
NO_ANSWER = "Failed to get response from provider: custom-hand: "
CUT = "the stream ended within a body"
RESET = "the connection was reset"
UNFINISHED = answer(b"0123456789")[:-5]


class TestAnswers:
    def test_whole(self) -> None:
        with Play() as play:
            up = Placeholder[LinkId]("upstream")
            play.feed(says(create("a"))).expect(Connect(up.here, "provider", 80))
            play.feed(LinkConnected(up.value)).expect(SendBytes(up.value, [REQUEST]))
            head, body = answer(b'{"x": 1.5}')[:-10], b'{"x": 1.5}'
            play.feed(BytesReceived(up.value, head)).expect()
            play.feed(BytesReceived(up.value, body[:4])).expect()
            play.feed(BytesReceived(up.value, body[4:])).expect(
                told('created a 200 {"x": 1.5}'),
                journal("a done 200 tries=1 frames=1"),
            )

    def test_stream_and_the_next_request_on_the_same_connection(self) -> None:
        with Play() as play:
            up = play.asked(create("a"))
            play.feed(BytesReceived(up, STREAM_HEAD)).expect()
            play.feed(BytesReceived(up, sse(b'{"n": 1}'))).expect(told("created a 200", 'stream a {"n": 1}'))
            play.feed(BytesReceived(up, sse(b'{"n": 2}')[:9])).expect()
            play.feed(BytesReceived(up, sse(b'{"n": 2}')[9:])).expect(told('stream a {"n": 2}'))
            play.feed(BytesReceived(up, sse(b"[DONE]"))).expect()
            play.feed(BytesReceived(up, END_CHUNK)).expect(told("done a 200"), journal("a done 200 tries=1 frames=4"))
            play.feed(says(create("b"))).expect(SendBytes(up, [REQUEST]))
            play.feed(BytesReceived(up, answer())).expect(
                told("created b 200 {}"), journal("b done 200 tries=1 frames=1")
            )

    def test_error_status_is_passed_on(self) -> None:
        with Play() as play:
            up = play.asked(create("a"))
            play.feed(BytesReceived(up, answer(b'{"error": "no"}', 401))).expect(
                told('created a 401 {"error": "no"}'), journal("a done 401 tries=1 frames=1")
            )

    def test_kept_connection_is_closed_when_nobody_needs_it(self) -> None:
        with Play(pool_idle_timeout_seconds=5.0) as play:
            up = play.asked(create("a"))
            play.feed(BytesReceived(up, answer())).expect(
                told("created a 200 {}"), journal("a done 200 tries=1 frames=1")
            )
            play.wait(4.9).expect()
            play.wait(0.1).expect(gone(up))

    def test_two_requests_at_once_have_a_connection_each(self) -> None:
        with Play() as play:
            one = play.streaming(create("a"))
            two = play.asked(create("b"))
            play.feed(BytesReceived(two, answer(b"2"))).expect(
                told("created b 200 2"), journal("b done 200 tries=1 frames=1")
            )
            play.feed(BytesReceived(one, END_CHUNK)).expect(told("done a 200"), journal("a done 200 tries=1 frames=3"))


class TestRetries:
    def test_after_an_error_status(self) -> None:
        with Play() as play:
            up = play.asked(create("a", config=TWICE))
            play.feed(BytesReceived(up, answer(b"{}", 503))).expect()
            play.wait(0.9).expect()
            play.wait(0.1).expect(SendBytes(up, [REQUEST]))
            play.feed(BytesReceived(up, answer())).expect(
                told("created a 200 {}"), journal("a done 200 tries=2 frames=1")
            )

    def test_not_before_the_provider_wants_it(self) -> None:
        with Play() as play:
            up = play.asked(create("a", config=TWICE))
            play.feed(BytesReceived(up, answer(b"{}", 429, extra="retry-after: 3\r\n"))).expect()
            play.wait(2.9).expect()
            play.wait(0.1).expect(SendBytes(up, [REQUEST]))
            play.feed(BytesReceived(up, answer(b"1", 429))).expect(
                told("created a 429 1"), journal("a done 429 tries=2 frames=1")
            )

    def test_after_a_refused_connect(self) -> None:
        with Play() as play:
            up = play.connecting(create("a", config=TWICE))
            play.feed(ConnectFailed(up, ConnectFailure.REFUSED, "why")).expect(
                warned("provider", ConnectFailure.REFUSED, "why")
            )
            again = Placeholder[LinkId]("again")
            play.wait(1.0).expect(Connect(again.here, "provider", 80))
            play.feed(ConnectFailed(again.value, ConnectFailure.NAME, "")).expect(
                warned("provider", ConnectFailure.NAME, ""),
                told(f"created a 502 gateway: {NO_ANSWER}the host name does not resolve"),
                journal("a error 502 tries=2 frames=1"),
            )

    def test_after_a_reset(self) -> None:
        with Play() as play:
            up = play.asked(create("a", config=TWICE))
            play.feed(PeerClosed(up, clean=False)).expect(gone(up))
            again = Placeholder[LinkId]("again")
            play.wait(1.0).expect(Connect(again.here, "provider", 80))
            play.feed(LinkConnected(again.value)).expect(SendBytes(again.value, [REQUEST]))
            play.feed(PeerClosed(again.value, clean=False)).expect(
                gone(again.value),
                told(f"created a 502 gateway: {NO_ANSWER}{RESET}"),
                journal("a error 502 tries=2 frames=1"),
            )

    def test_stale_connection_is_replaced_once_and_at_no_cost(self) -> None:
        with Play() as play:
            up = play.asked(create("a"))
            play.feed(BytesReceived(up, answer())).expect(
                told("created a 200 {}"), journal("a done 200 tries=1 frames=1")
            )
            play.feed(says(create("b"))).expect(SendBytes(up, [REQUEST]))
            fresh = Placeholder[LinkId]("fresh")
            play.feed(PeerClosed(up, clean=True)).expect(gone(up), Connect(fresh.here, "provider", 80))
            play.feed(LinkConnected(fresh.value)).expect(SendBytes(fresh.value, [REQUEST]))
            play.feed(PeerClosed(fresh.value, clean=False)).expect(
                gone(fresh.value),
                told(f"created b 502 gateway: {NO_ANSWER}{RESET}"),
                journal("b error 502 tries=1 frames=1"),
            )


class TestFallback:
    def test_after_a_refused_connect(self) -> None:
        with Play() as play:
            nowhere = play.connecting(fallback("custom-gone"), "nowhere")
            up = Placeholder[LinkId]("upstream")
            play.feed(ConnectFailed(nowhere, ConnectFailure.REFUSED, "why")).expect(
                warned("nowhere", ConnectFailure.REFUSED, "why"), Connect(up.here, "provider", 80)
            )
            play.feed(LinkConnected(up.value)).expect(SendBytes(up.value, [REQUEST]))
            play.feed(BytesReceived(up.value, answer())).expect(
                told("created a 200 step 1 {}"), journal("a done 200 tries=2 frames=1")
            )

    def test_after_an_error_status(self) -> None:
        with Play() as play:
            up = play.asked(fallback())
            play.feed(BytesReceived(up, answer(b"{}", 400))).expect(SendBytes(up, [REQUEST]))
            play.feed(BytesReceived(up, answer())).expect(
                told("created a 200 step 1 {}"), journal("a done 200 tries=2 frames=1")
            )

    def test_after_a_timeout_and_to_the_last_answer_there_was(self) -> None:
        with Play() as play:
            up = play.asked(fallback(config={"requestTimeout": 2000}))
            again = Placeholder[LinkId]("again")
            play.wait(2.0).expect(gone(up), Connect(again.here, "provider", 80))
            play.feed(LinkConnected(again.value)).expect(SendBytes(again.value, [REQUEST]))
            play.feed(BytesReceived(again.value, answer(b'"busy"', 503))).expect(
                told('created a 503 step 1 "busy"'), journal("a done 503 tries=2 frames=1")
            )


class TestTimeouts:
    def test_of_the_head(self) -> None:
        with Play() as play:
            up = play.asked(create("a", config={"requestTimeout": 2000}))
            play.wait(1.9).expect()
            play.wait(0.1).expect(
                gone(up),
                told(f"created a 504 gateway: {TIMED_OUT}no answer within the time allowed"),
                journal("a error 504 tries=1 frames=1"),
            )

    def test_of_the_connect(self) -> None:
        with Play() as play:
            up = play.connecting(create("a"))
            play.wait(9.9).expect()
            play.wait(0.1).expect(
                gone(up),
                told(f"created a 504 gateway: {TIMED_OUT}no connection within 10 s"),
                journal("a error 504 tries=1 frames=1"),
            )

    def test_of_silence_within_a_stream(self) -> None:
        with Play(upstream_idle_timeout_seconds=3.0) as play:
            up = play.streaming(create("a"))
            play.wait(2.5).expect()
            play.feed(BytesReceived(up, sse(b"2"))).expect(told("stream a 2"))
            play.wait(2.5).expect()
            play.wait(0.5).expect(
                told("done a 200 broken: custom-hand: silent for 3 s in the middle of its answer"),
                gone(up),
                journal("a error 200 tries=1 frames=4"),
            )


class TestBrokenAnswers:
    def test_stream_that_is_cut(self) -> None:
        with Play() as play:
            up = play.streaming(create("a"))
            play.feed(PeerClosed(up, clean=True)).expect(
                told(f"done a 200 broken: custom-hand: {CUT}"), gone(up), journal("a error 200 tries=1 frames=3")
            )

    def test_stream_that_is_reset(self) -> None:
        with Play() as play:
            up = play.streaming(create("a"))
            play.feed(PeerClosed(up, clean=False)).expect(
                told(f"done a 200 broken: custom-hand: {RESET}"), gone(up), journal("a error 200 tries=1 frames=3")
            )

    def test_document_that_is_cut(self) -> None:
        with Play() as play:
            up = play.asked(create("a"))
            play.feed(BytesReceived(up, UNFINISHED)).expect()
            play.feed(PeerClosed(up, clean=True)).expect(
                told(f"created a 502 gateway: {NO_ANSWER}{CUT}"), gone(up), journal("a error 502 tries=1 frames=1")
            )

    def test_committed_step_is_not_repeated(self) -> None:
        with Play() as play:
            up = play.asked(fallback(config=TWICE))
            play.feed(BytesReceived(up, UNFINISHED)).expect()
            play.feed(PeerClosed(up, clean=False)).expect(
                told(f"created a 502 gateway: {NO_ANSWER}{RESET}"), gone(up), journal("a error 502 tries=1 frames=1")
            )


class TestCancel:
    def test_while_connecting_leaves_the_connection_to_the_next_request(self) -> None:
        with Play() as play:
            up = play.connecting(create("a"))
            play.feed(says(cancel("a"))).expect(told("done a cancelled"), journal("a cancelled 499 tries=1 frames=1"))
            play.feed(LinkConnected(up)).expect()
            play.feed(says(create("b"))).expect(SendBytes(up, [REQUEST]))

    def test_while_the_head_is_awaited(self) -> None:
        with Play() as play:
            up = play.asked(create("a"))
            play.feed(says(cancel("a"))).expect(
                told("done a cancelled"), gone(up), journal("a cancelled 499 tries=1 frames=1")
            )

    def test_behind_the_head(self) -> None:
        with Play() as play:
            up = play.asked(create("a"))
            play.feed(BytesReceived(up, STREAM_HEAD)).expect()
            play.feed(says(cancel("a"))).expect(
                told("done a 200 cancelled"), gone(up), journal("a cancelled 499 tries=1 frames=1")
            )

    def test_while_streaming(self) -> None:
        with Play() as play:
            up = play.streaming(create("a"))
            play.feed(says(cancel("a"))).expect(
                told("done a 200 cancelled"), gone(up), journal("a cancelled 499 tries=1 frames=3")
            )

    def test_in_the_delay_before_a_retry(self) -> None:
        with Play() as play:
            up = play.asked(create("a", config=TWICE))
            play.feed(BytesReceived(up, answer(b"{}", 500))).expect()
            play.feed(says(cancel("a"))).expect(told("done a cancelled"), journal("a cancelled 499 tries=1 frames=1"))
            play.wait(5.0).expect()

    def test_of_what_is_not_under_way(self) -> None:
        with Play() as play:
            play.feed(says(cancel("a"))).expect(
                told("created a 404 gateway: no request with eventId 'a' is under way"),
                journal("a refused 404 tries=0 frames=1"),
            )


class TestTheClientLeaves:
    def test_by_a_reset_and_upstream_is_cancelled_in_the_same_turn(self) -> None:
        with Play() as play:
            up = play.streaming(create("a"))
            left, cancelled, *others = play.turn(PeerClosed(CLIENT, clean=False))
            assert (left, cancelled) == (gone(CLIENT), gone(up))
            assert [type(effect) for effect in others] == [Journal]
            play.wait(600.0).expect()
        play.checked.finish()

    def test_without_a_close_and_upstream_is_cancelled_in_the_same_turn(self) -> None:
        with Play() as play:
            up = play.streaming(create("a"))
            left, cancelled, *others = play.turn(PeerClosed(CLIENT, clean=True))
            assert (left, cancelled) == (gone(CLIENT), gone(up))
            assert [type(effect) for effect in others] == [Journal]
            play.wait(600.0).expect()
        play.checked.finish()

    def test_while_it_gets_nothing(self) -> None:
        with Play() as play:
            up = play.asked(create("a"))
            play.feed(PeerClosed(CLIENT, clean=False)).expect(
                gone(CLIENT), gone(up), journal("a disconnected 499 tries=1 frames=0")
            )
        play.checked.finish()

    def test_by_a_closing_handshake(self) -> None:
        with Play() as play:
            up = play.streaming(create("a"))
            play.feed(BytesReceived(CLIENT, frame(0x88, b"\x03\xe8"))).expect(
                told("close 1000"),
                CloseLink(CLIENT, CloseHow.FLUSH),
                gone(up),
                journal("a disconnected 499 tries=1 frames=2"),
            )
        play.checked.finish()

    def test_with_many_requests_and_they_end_in_the_order_in_which_they_came(self) -> None:
        with Play() as play:
            ups = [play.asked(create(str(number))) for number in range(8)]
            effects = play.turn(PeerClosed(CLIENT, clean=False))
            assert [effect for effect in effects if isinstance(effect, CloseLink)] == [gone(CLIENT), *map(gone, ups)]


class TestRefusals:
    def test_too_many_in_flight(self) -> None:
        with Play(max_in_flight=1) as play:
            up = play.asked(create("a"))
            play.feed(says(create("b"))).expect(
                told("created b 429 gateway: Too many requests in flight on this socket: at most 1"),
                journal("b refused 429 tries=0 frames=1"),
            )
            play.feed(BytesReceived(up, answer())).expect(
                told("created a 200 {}"), journal("a done 200 tries=1 frames=1")
            )
            play.feed(says(create("b"))).expect(SendBytes(up, [REQUEST]))

    def test_bad_envelope(self) -> None:
        with Play() as play:
            play.feed(says(create("a", endpoint=1))).expect(
                told("created a 400 gateway: request.endpoint: expected a string, got a number"),
                journal("a refused 400 tries=0 frames=1"),
            )
            play.asked(create("a"))


def test_client_that_does_not_read_stops_its_provider() -> None:
    long = json.dumps("x" * 600)
    event = sse(long.encode())
    with Play(client_high_water_bytes=1000, client_low_water_bytes=100, upstream_high_water_bytes=1000) as play:
        up = play.streaming(create("a"))
        play.feed(BytesReceived(up, event + event)).expect(told(f"stream a {long}", f"stream a {long}"))
        play.feed(BytesSent(CLIENT, 1200)).expect()
        play.feed(BytesReceived(up, event)).expect()
        play.feed(BytesReceived(up, event)).expect(SetReading(up, enabled=False))
        play.feed(BytesSent(CLIENT, 101)).expect()
        play.feed(BytesSent(CLIENT, 100)).expect(
            told(f"stream a {long}", f"stream a {long}"), SetReading(up, enabled=True)
        )
        play.feed(BytesReceived(up, END_CHUNK)).expect(told("done a 200"), journal("a done 200 tries=1 frames=7"))


class TestDraining:
    def test_waits_for_what_is_under_way(self) -> None:
        with Play() as play:
            up = play.streaming(create("a"))
            play.feed(ShutdownRequested(30.0)).expect()
            play.feed(says(create("b"))).expect(
                told("created b 503 gateway: The gateway is shutting down"), journal("b refused 503 tries=0 frames=1")
            )
            play.feed(BytesReceived(up, END_CHUNK)).expect(
                gone(up), told("done a 200", "close 1001"), journal("a done 200 tries=1 frames=3")
            )
            play.feed(BytesReceived(CLIENT, frame(0x88, b"\x03\xe9"))).expect(
                CloseLink(CLIENT, CloseHow.FLUSH), Drained()
            )
        play.checked.finish()

    def test_tells_what_the_end_of_the_grace_cuts_off(self) -> None:
        with Play() as play:
            one = play.streaming(create("a"))
            two = play.asked(create("b"))
            play.feed(ShutdownRequested(5.0)).expect()
            play.wait(4.9).expect()
            play.wait(0.1).expect(
                told(
                    "done a 200 broken: The gateway is shutting down",
                    "created b 503 gateway: The gateway is shutting down",
                    "close 1001",
                ),
                gone(one),
                journal("a error 200 tries=1 frames=3"),
                gone(two),
                journal("b error 503 tries=1 frames=1"),
            )
            play.feed(PeerClosed(CLIENT, clean=False)).expect(gone(CLIENT), Drained())
        play.checked.finish()

    def test_closes_connections_that_nobody_waits_for(self) -> None:
        with Play() as play:
            kept = play.asked(create("a"))
            opening = [play.connecting(create(str(number))) for number in range(8)]
            play.feed(BytesReceived(kept, answer())).expect(SendBytes(kept, [REQUEST]), told("created a 200 {}"))
            play.expect(journal("a done 200 tries=1 frames=1"))
            play.turn(says(*(cancel(str(number)) for number in range(8))))
            effects = play.turn(ShutdownRequested(30.0))
            assert [effect for effect in effects if isinstance(effect, CloseLink)] == [*map(gone, opening)]


def test_playbooks_walk_every_transition_of_a_request(monkeypatch: pytest.MonkeyPatch) -> None:
    walked: set[tuple[RequestState, RequestTrigger]] = set()

    def note(state: RequestState) -> Callable[[RequestTrigger], None]:
        return lambda trigger: walked.add((state, trigger))

    table = {state: Walked(row, note(state)) for state, row in REQUEST_TRANSITIONS.items()}
    monkeypatch.setattr(_request, "REQUEST_TRANSITIONS", table)
    for group in (TestAnswers, TestRetries, TestFallback, TestTimeouts, TestBrokenAnswers, TestCancel):
        for name in vars(group):
            if name.startswith("test_"):
                getattr(group(), name)()
    assert walked == {(state, trigger) for state, row in REQUEST_TRANSITIONS.items() for trigger in row}
