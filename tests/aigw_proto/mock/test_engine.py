from __future__ import annotations

import gzip
import json

import pytest

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, ConnectFailed, ConnectFailure, LinkAccepted, PeerClosed, ShutdownRequested
from aigw_proto._kinds import LinkId
from aigw_proto.mock import MockEngine, MockFault, MockLimits
from aigw_proto.mock import _openai as openai
from aigw_proto.mock._answering import Answering
from support.mock_bench import PROMPT, STREAM, TEXT, Bench, request_bytes


def test_an_unreadable_spec_is_named() -> None:
    bench = Bench()
    link = bench.ask(fault="stauts=500")
    answer = bench.answer(link)
    assert answer.status == 400
    assert b"stauts" in answer.body


def test_contradicting_faults_of_the_operator_are_an_error() -> None:
    with pytest.raises(ValueError, match="exclude"):
        MockEngine(fault=MockFault(huge_bytes=1, endless_json=True))


def test_the_operators_fault_yields_to_the_header() -> None:
    bench = Bench(fault=MockFault(status=503))
    assert bench.answer(bench.ask()).status == 503
    assert bench.answer(bench.ask(fault="status=429")).status == 429
    assert bench.answer(bench.ask(fault="")).status == 200


def test_status_and_retry_after() -> None:
    bench = Bench()
    answer = bench.answer(bench.ask(fault="status=529,retry_after=1.5"))
    assert (answer.status, answer.headers[b"retry-after"]) == (529, b"1.5")
    assert bench.journal[0].fault == "status=529,retry_after=1.5"


def test_first_byte_delay_and_chunk_delay() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="first_byte_delay=3,chunk_delay=0.5,chunks=2")
    bench.run(2.9)
    assert not bench.sent[link]
    bench.run(3.0)
    assert len(bench.answer(link).events()) == 1
    bench.run(4.0)
    assert len(bench.answer(link).events()) == 3
    bench.run(5.0)
    assert bench.answer(link).complete
    assert bench.journal[0].duration_seconds == 5.0


def test_a_stall_lasts_until_the_peer_leaves() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="stall_after=2")
    bench.run(100_000)
    assert len(bench.answer(link).events()) == 2
    assert bench.engine.next_timeout() is None
    assert link not in bench.closed


def test_a_cut_comes_after_the_events() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="cut_after=3")
    answer = bench.answer(link)
    assert bench.closed == {link: CloseHow.FLUSH}
    assert len(answer.events()) == 3
    assert answer.failed is not None
    assert bench.outcomes() == ["cut"]


def test_a_cut_before_the_answer() -> None:
    bench = Bench()
    link = bench.ask(fault="cut_before")
    assert bench.closed == {link: CloseHow.FLUSH}
    assert not bench.sent[link]


def test_a_reset_waits_until_the_events_are_sent() -> None:
    bench = Bench(window=100)
    link = bench.ask(body=STREAM, fault="cut_after=3,reset")
    bench.run()
    assert link not in bench.closed
    bench.take(link, 200)
    bench.run()
    assert link not in bench.closed
    bench.take(link, 10_000)
    assert bench.closed == {link: CloseHow.ABORT}
    assert len(bench.answer(link).events()) == 3


def test_a_reset_without_a_backlog_comes_in_the_next_turn() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="cut_after=1,reset")
    assert link not in bench.closed
    bench.run()
    assert bench.closed == {link: CloseHow.ABORT}
    other = bench.ask(fault="cut_before,reset")
    assert bench.closed[other] is CloseHow.ABORT


@pytest.mark.parametrize("body", [PROMPT, STREAM])
def test_a_torn_answer_is_one_byte_a_turn(body: object) -> None:
    bench = Bench()
    link = bench.ask(body=body, fault="torn,close")
    bench.run()
    assert {len(chunk) for chunk in bench.sent[link]} == {1}
    assert bench.answer(link).complete
    assert bench.closed == {link: CloseHow.FLUSH}


def test_a_torn_answer_leaves_the_link_usable() -> None:
    bench = Bench()
    link = bench.ask(fault="torn")
    bench.feed(BytesReceived(link, request_bytes()))
    bench.run()
    assert bench.outcomes() == ["done", "done"]


def test_what_is_left_of_a_torn_answer_is_sent_when_the_link_is_closed() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="torn,early_close_idle=0")
    bench.run()
    assert bench.closed == {link: CloseHow.FLUSH}
    assert bench.answer(link).complete


@pytest.mark.parametrize("body", [PROMPT, STREAM])
def test_a_huge_answer_is_made_under_back_pressure(body: object) -> None:
    size = 3_000_000
    bench = Bench(window=50_000)
    link = bench.ask(body=body, fault=f"huge={size}")
    bench.run()
    assert 256 * 1024 <= bench.unsent(link) <= 256 * 1024 + 20_000
    for _ in range(1000):
        if bench.outcomes():
            break
        bench.take(link, 100_000)
        bench.run()
        assert bench.unsent(link) <= 256 * 1024 + 20_000
    answer = bench.answer(link)
    assert answer.complete
    assert len(answer.body) == size if body is PROMPT else size <= len(answer.body) <= size + 2000
    assert bench.largest_turn <= 256 * 1024 + 20_000
    if body is PROMPT:
        assert answer.json()["object"] == "chat.completion"
    else:
        assert answer.events()[-1] == b"[DONE]"


def test_a_huge_answer_does_not_hold_up_a_small_one() -> None:
    bench = Bench()
    bench.ask(fault="huge=100000000")
    small = bench.ask()
    turns = bench.turns
    bench.run(turns=3)
    assert bench.answer(small).complete
    assert bench.turns - turns <= 3


def test_a_content_type_that_lies() -> None:
    answer = (bench := Bench()).answer(bench.ask(body=STREAM, fault="content_type=text/plain; charset=x"))
    assert answer.headers[b"content-type"] == b"text/plain; charset=x"
    assert answer.text() == TEXT


@pytest.mark.parametrize("body", [PROMPT, STREAM])
def test_a_length_that_promises_too_much(body: object) -> None:
    bench = Bench()
    link = bench.ask(body=body, fault="lying_length=7")
    answer = bench.answer(link)
    assert int(answer.headers[b"content-length"]) == len(answer.body) + 7
    assert answer.failed is not None
    assert bench.closed == {link: CloseHow.FLUSH}


def test_a_length_that_promises_too_little() -> None:
    bench = Bench()
    link = bench.ask(fault="lying_length=-7")
    answer = bench.answer(link)
    assert answer.complete
    assert len(answer.body) == int(answer.headers[b"content-length"])
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert b"".join(bench.sent[link]).endswith(b"}")


def test_a_length_below_nothing_is_nothing() -> None:
    bench = Bench()
    assert bench.answer(bench.ask(fault="lying_length=-100000")).headers[b"content-length"] == b"0"


@pytest.mark.parametrize("body", [PROMPT, STREAM])
def test_bad_chunking(body: object) -> None:
    bench = Bench()
    link = bench.ask(body=body, fault="bad_chunking")
    answer = bench.answer(link)
    assert answer.body.startswith(b"{" if body is PROMPT else b"data: {")
    assert answer.failed is not None


def test_a_bad_status_line() -> None:
    bench = Bench()
    answer = bench.answer(bench.ask(fault="bad_status_line"))
    assert (answer.status, answer.failed is not None) == (0, True)


@pytest.mark.parametrize("fault", ["endless_header", "endless_line", "endless_json"])
def test_endless_answers_stop_at_the_high_water_mark_and_go_on(fault: str) -> None:
    bench = Bench(window=50_000)
    link = bench.ask(fault=fault)
    bench.run()
    before = bench.sizes[link]
    assert before <= 50_000 + 256 * 1024 + 20_000
    bench.take(link, 250_000)
    bench.run()
    assert bench.sizes[link] > before
    answer = bench.answer(link)
    assert not answer.complete
    expected = {
        "endless_header": None,
        "endless_line": b"text/event-stream",
        "endless_json": b"application/json",
    }
    assert answer.headers.get(b"content-type") == expected[fault]
    bench.feed(PeerClosed(link, clean=False))
    assert bench.outcomes() == ["disconnected"]


@pytest.mark.parametrize("body", [PROMPT, STREAM])
def test_gzip_nobody_asked_for(body: object) -> None:
    bench = Bench()
    answer = bench.answer(bench.ask(body=body, fault="gzip"))
    assert answer.complete
    assert answer.headers[b"content-encoding"] == b"gzip"
    plain = Bench()
    assert gzip.decompress(answer.body) == plain.answer(plain.ask(body=body)).body


def test_close_after_the_answer() -> None:
    bench = Bench()
    link = bench.ask(fault="close")
    assert bench.answer(link).headers[b"connection"] == b"close"
    assert bench.closed == {link: CloseHow.FLUSH}
    assert bench.outcomes() == ["done"]


def test_early_close_of_an_idle_link() -> None:
    bench = Bench()
    link = bench.ask(fault="early_close_idle=5")
    bench.run(4)
    bench.ask(link=link)
    bench.run(30)
    assert not bench.closed, "the next request ends the fault"
    bench.ask(link=link, fault="early_close_idle=5")
    bench.run(35)
    assert bench.closed == {link: CloseHow.FLUSH}
    assert bench.outcomes() == ["done"] * 3


def test_an_answer_without_content() -> None:
    bench = Bench()
    link = bench.ask(fault="status=204")
    answer = bench.answer(link)
    assert (answer.status, answer.body, answer.complete) == (204, b"", True)
    assert b"content-type" not in answer.headers
    start = bench.sizes[link]
    bench.ask(link=link)
    assert bench.answer(link, start=start).status == 200


def test_times_counts_by_key_and_by_spec() -> None:
    bench = Bench()

    def statuses(count: int, spec: str, *headers: tuple[str, str]) -> list[int]:
        return [bench.answer(bench.ask(fault=spec, headers=headers)).status for _ in range(count)]

    assert statuses(3, "status=500,times=2") == [500, 500, 200]
    assert statuses(2, "status=502,times=1") == [502, 200]
    assert statuses(2, "status=500,times=1", ("x-aigw-mock-key", "a")) == [500, 200]
    assert statuses(2, "status=500,times=1", ("x-aigw-mock-key", "b")) == [500, 200]
    assert statuses(1, "status=503,times=1", ("x-aigw-mock-key", "b")) == [200]


def test_times_of_the_operators_fault() -> None:
    bench = Bench(fault=MockFault(status=500, times=1))
    assert [bench.answer(bench.ask()).status for _ in range(3)] == [500, 200, 200]


def test_keys_are_forgotten_oldest_first() -> None:
    bench = Bench(limits=MockLimits(max_fault_keys=2))

    def status(key: str) -> int:
        return bench.answer(bench.ask(fault="status=500,times=1", headers=[("x-aigw-mock-key", key)])).status

    assert [status(key) for key in "abca"] == [500, 500, 500, 500]
    assert status("c") == 200


def test_hundreds_of_paced_streams_keep_their_own_time() -> None:
    bench = Bench()
    for index in range(300):
        bench.ask(body=STREAM, fault=f"chunk_delay={index % 7 + 1},chunks=3")
    bench.run(70)
    assert bench.outcomes() == ["done"] * 300
    assert {record.duration_seconds for record in bench.journal} == {5.0 * n for n in range(1, 8)}


def test_deadlines_do_not_pile_up() -> None:
    bench = Bench()
    engine = bench.engine.engine
    assert isinstance(engine, MockEngine)
    bench.ask(fault="first_byte_delay=6")
    link = bench.open()
    for _ in range(500):
        bench.ask(link=link, fault="first_byte_delay=0.01")
        bench.run(bench.now + 0.01)
    assert len(engine._heap) < 100
    assert bench.outcomes() == ["done"] * 500
    bench.run(7)
    assert bench.outcomes() == ["done"] * 501


def test_a_turn_is_shared_by_all_who_could_go_on() -> None:
    bench = Bench()
    for _ in range(200):
        bench.ask(fault="huge=1000000000")
    bench.run(turns=20)
    before = dict(bench.sizes)
    bench.run(turns=20)
    assert all(bench.sizes[link] > size for link, size in before.items())
    assert bench.largest_turn <= 256 * 1024 + 20_000


def test_a_bug_costs_one_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    other = bench.ask(body=STREAM, fault="chunk_delay=1")

    def explode(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(openai, "reply_words", explode)
    link = bench.ask()
    assert bench.answer(link).status == 500
    assert bench.closed == {link: CloseHow.FLUSH}
    assert isinstance(bench.logs[0].exception, ZeroDivisionError)
    assert bench.outcomes() == ["failed"]
    bench.run(30)
    assert bench.answer(other).complete


def test_a_bug_within_an_answer_ends_its_link(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="chunk_delay=1")

    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Answering, "_step", explode)
    bench.run(5)
    assert bench.closed == {link: CloseHow.ABORT}
    assert bench.outcomes() == ["failed"]


def test_shutdown_lets_answers_end() -> None:
    bench = Bench()
    idle = bench.ask()
    slow = bench.ask(body=STREAM, fault="first_byte_delay=1")
    stalled = bench.ask(body=STREAM, fault="stall_after=1")
    asking = bench.open()
    bench.feed(BytesReceived(asking, request_bytes()[:-1]))
    bench.feed(ShutdownRequested(10.0))
    assert bench.closed == {idle: CloseHow.FLUSH}
    late = bench.open()
    assert late in bench.closed
    bench.feed(BytesReceived(asking, request_bytes()[-1:]))
    assert bench.answer(asking).headers[b"connection"] == b"close"
    bench.run(2)
    assert bench.answer(slow).headers[b"connection"] == b"close"
    assert bench.closed[slow] is CloseHow.FLUSH
    drained_before = bench.drained
    bench.run(10)
    assert bench.closed[stalled] is CloseHow.ABORT
    assert (drained_before, bench.drained) == (False, True)
    assert bench.outcomes() == ["done", "done", "done", "shutdown"]
    bench.engine.finish()


def test_shutdown_without_grace_and_without_links() -> None:
    bench = Bench()
    bench.ask(fault="stall_after=0")
    bench.feed(ShutdownRequested(0.0))
    assert bench.drained
    assert bench.outcomes() == ["shutdown"]
    empty = Bench()
    empty.feed(ShutdownRequested(5.0))
    assert empty.drained
    assert empty.engine.next_timeout() is None


def test_a_second_shutdown_only_brings_the_end_nearer() -> None:
    bench = Bench()
    bench.ask(fault="stall_after=0")
    bench.feed(ShutdownRequested(10.0))
    bench.feed(ShutdownRequested(20.0))
    assert bench.engine.next_timeout() == 10.0
    bench.feed(ShutdownRequested(1.0))
    assert bench.engine.next_timeout() == 1.0


def test_unknown_links_and_connect_inputs_are_ignored() -> None:
    engine = MockEngine()
    engine.handle(ConnectFailed(LinkId(1), ConnectFailure.REFUSED, ""), 0.0)
    engine.handle(BytesReceived(LinkId(2), b"GET"), 0.0)
    engine.handle(LinkAccepted(LinkId(0), "p"), 0.0)
    engine.handle(ConnectFailed(LinkId(0), ConnectFailure.REFUSED, ""), 0.0)
    assert engine.poll() is None


def test_links_beyond_the_limit_are_closed() -> None:
    bench = Bench(limits=MockLimits(max_links=1))
    first, second = bench.open(), bench.open()
    assert list(bench.closed) == [second]
    bench.feed(PeerClosed(first, clean=True))
    third = bench.open()
    assert third not in bench.closed


def test_effects_have_to_be_polled() -> None:
    engine = MockEngine()
    engine.handle(LinkAccepted(LinkId(0), "p"), 0.0)
    engine.handle(BytesReceived(LinkId(0), request_bytes()), 0.0)
    with pytest.raises(RuntimeError, match="poll"):
        engine.handle_timeout(0.0)
