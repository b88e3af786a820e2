from __future__ import annotations

import pytest

from aigw_proto._effects import CloseHow, CloseLink
from aigw_proto._inputs import PeerClosed, ShutdownRequested
from aigw_proto._kinds import LinkId
from aigw_proto._limits import HttpLimits
from aigw_proto.http import Request
from aigw_proto.mock import MockLimits
from aigw_proto.mock._answering import Course
from aigw_proto.mock._link import MockLink
from aigw_proto.mock._openai_realtime import RealtimeTalk
from support.mock_bench import STREAM, Bench, Client


def test_a_link_goes_from_http_to_a_websocket() -> None:
    bench = Bench()
    link = bench.ask()
    start = bench.sizes[link]
    client = Client(bench, link=link, start=start)
    bench.run()
    assert client.status == 101
    assert client.kinds == ["session.created"]
    client.send_close()
    assert [(record.number, record.status, record.outcome) for record in bench.journal] == [
        (1, 200, "done"),
        (2, 101, "done"),
    ]


@pytest.mark.parametrize("fault", ["stall_after=1", "endless_fragments"])
def test_a_stream_that_breaks_is_given_up(fault: str) -> None:
    bench = Bench()
    client = Client(bench, fault=fault)
    bench.run(turns=3)
    bench.feed(PeerClosed(client.link, clean=False))
    assert bench.closed == {client.link: CloseHow.ABORT}
    assert bench.outcomes() == ["disconnected"]


def test_a_peer_that_takes_nothing_is_given_up_in_either_phase() -> None:
    bench = Bench(window=0)
    answer = bench.ask(fault="endless_json")
    session = Client(bench, fault="endless_fragments=1000")
    bench.run(59)
    assert not bench.closed
    bench.run(62)
    assert bench.closed == {answer: CloseHow.ABORT, session.link: CloseHow.ABORT}
    assert bench.outcomes() == ["stuck", "stuck"]


def test_the_deadline_of_a_link_is_the_earliest_of_wire_and_phase() -> None:
    bench = Bench(window=0, limits=MockLimits(stuck_timeout_seconds=2.0))
    bench.ask(fault="endless_json")
    bench.run(1)
    assert bench.engine.next_timeout() == 2.0


def test_a_refused_peer_that_breaks_is_closed_at_once() -> None:
    bench = Bench()
    link = bench.ask("/", b"", method="NONSENSE WITH SPACES")
    bench.feed(PeerClosed(link, clean=True))
    assert bench.closed == {link: CloseHow.ABORT}
    assert bench.outcomes() == ["refused"]


def test_a_drained_link_ends_with_what_is_under_way() -> None:
    bench = Bench()
    answer = bench.ask(body=STREAM, fault="first_byte_delay=1")
    session = Client(bench)
    bench.run()
    bench.feed(ShutdownRequested(5.0))
    bench.run()
    assert session.close == (1001, "the mock provider is shutting down")
    session.send_close(1001)
    bench.run(3)
    assert bench.closed == {session.link: CloseHow.FLUSH, answer: CloseHow.FLUSH}
    assert bench.drained


def test_a_lingering_link_is_closed_when_its_time_is_over_or_its_peer_leaves() -> None:
    bench = Bench()
    patient, leaving = Client(bench), Client(bench)
    bench.run()
    for client in (patient, leaving):
        client.feed(b"\x00\x00")  # a frame without a mask
        assert client.close == (1002, "frame is not masked")
    assert bench.ended == {patient.link, leaving.link}
    bench.feed(PeerClosed(leaving.link, clean=True))
    assert bench.closed == {leaving.link: CloseHow.ABORT}
    bench.run(1.9)
    assert patient.link not in bench.closed
    bench.run(2.1)
    assert bench.closed[patient.link] is CloseHow.FLUSH
    assert bench.outcomes() == ["violation", "violation"]


def test_a_link_ends_at_once_when_there_is_no_grace() -> None:
    bench = Bench()
    client = Client(bench)
    bench.run()
    bench.feed(ShutdownRequested(0.0))
    assert bench.closed == {client.link: CloseHow.ABORT}
    assert bench.outcomes() == ["shutdown"]


def test_a_bug_ends_a_session_with_a_close_that_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError

    bench = Bench()
    client, other = Client(bench), Client(bench)
    bench.run()
    monkeypatch.setattr(RealtimeTalk, "hear", explode)
    client.send({"type": "response.create"})
    assert client.close == (1011, "the mock provider failed; its log says why")
    assert bench.closed == {client.link: CloseHow.FLUSH}
    assert bench.outcomes() == ["failed"]
    assert isinstance(bench.logs[0].exception, ZeroDivisionError)
    monkeypatch.undo()
    other.send({"type": "response.create"})
    assert other.kinds[-1] == "response.done"


def test_the_first_end_counts() -> None:
    def begin(request: Request, body: bytes, now: float) -> Course:
        raise NotImplementedError

    link = MockLink(LinkId(0), "peer", now=0.0, http=HttpLimits(), limits=MockLimits(), begin=begin)
    link.shut_down(1.0)
    link.peer_closed(1.0, clean=False)
    link.fail(1.0)
    assert link.advance(1.0, 1000) == 0
    assert link.take_effects() == [CloseLink(LinkId(0), CloseHow.ABORT)]
