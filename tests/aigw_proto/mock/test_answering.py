from __future__ import annotations

import pytest

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, PeerClosed, ShutdownRequested
from aigw_proto.mock import MockLimits
from aigw_proto.mock import _openai as openai
from aigw_proto.mock._answering import Answering
from support.frames import frame
from support.mock_bench import CHAT, STREAM, TEXT, Bench, Client, request_bytes


def test_a_document_and_a_stream_on_one_kept_alive_link() -> None:
    bench = Bench()
    link = bench.ask()
    first = bench.answer(link)
    assert (first.status, first.complete) == (200, True)
    assert first.headers[b"content-length"] == b"%d" % len(first.body)
    assert first.json()["created"] == 1_000_000_000
    choices = first.json()["choices"]
    assert isinstance(choices, list)
    start = bench.sizes[link]
    bench.ask(body=STREAM, link=link)
    second = bench.answer(link, start=start)
    assert second.complete
    assert second.headers[b"content-type"] == b"text/event-stream"
    assert second.events()[-1] == b"[DONE]"
    assert second.text() == TEXT
    assert link not in bench.closed
    assert [(record.number, record.outcome, record.status) for record in bench.journal] == [
        (1, "done", 200),
        (2, "done", 200),
    ]
    assert bench.journal[1].sent_bytes == len(second.body)
    assert bench.journal[1].target == CHAT
    assert bench.journal[1].peer == "peer 0"


def test_pipelined_requests_are_answered_one_after_the_other() -> None:
    bench = Bench()
    link = bench.open()
    bench.feed(BytesReceived(link, b"".join(request_bytes(fault="chunk_delay=1", body=STREAM) for _ in range(3))))
    bench.run()
    assert bench.outcomes() == []
    bench.run(60)
    assert bench.outcomes() == ["done"] * 3
    assert [record.duration_seconds for record in bench.journal] == [7.0, 7.0, 7.0]


def test_a_request_byte_by_byte() -> None:
    bench = Bench()
    link = bench.open()
    for byte in request_bytes():
        bench.feed(BytesReceived(link, bytes([byte])))
    assert bench.answer(link).complete


def test_echo_returns_what_arrived() -> None:
    bench = Bench()
    body = b'{"b":1.10,  "a":"\\u00e9","c":[]}'
    link = bench.ask("/x/y?z=%20", body, headers=[("x-aigw-mock-echo", "1"), ("X-Two", "a"), ("x-two", "b")])
    echoed = bench.answer(link).json()
    assert echoed["method"] == "POST"
    assert echoed["target"] == "/x/y?z=%20"
    assert echoed["body"] == body.decode()
    headers = echoed["headers"]
    assert isinstance(headers, list)
    assert ["x-two", "a"] in headers
    assert ["x-two", "b"] in headers


def test_expect_continue_is_answered_before_the_body() -> None:
    bench = Bench()
    link = bench.open()
    whole = request_bytes(headers=[("Expect", "100-continue")])
    head, body = whole.split(b"\r\n\r\n", 1)
    bench.feed(BytesReceived(link, head + b"\r\n\r\n"))
    assert b"".join(bench.sent[link]).startswith(b"HTTP/1.1 100 ")
    bench.feed(BytesReceived(link, body))
    answer = bench.answer(link)
    assert (answer.interim, answer.status, answer.complete) == (100, 200, True)


@pytest.mark.parametrize("path", ["/v1/models", CHAT])
def test_head_gets_no_body(path: str) -> None:
    bench = Bench()
    link = bench.ask(path, method="HEAD")
    answer = bench.answer(link, method="HEAD")
    assert (answer.status, answer.body, answer.complete) == (405, b"", True)


def test_http_1_0_ends_with_the_stream() -> None:
    bench = Bench()
    link = bench.open()
    bench.feed(BytesReceived(link, request_bytes(body=STREAM).replace(b"HTTP/1.1", b"HTTP/1.0", 1)))
    assert bench.closed == {link: CloseHow.FLUSH}
    assert b"".join(bench.sent[link])[-14:] == b"data: [DONE]\n\n"


def test_connection_close_is_obeyed() -> None:
    bench = Bench()
    link = bench.ask(headers=[("Connection", "close")])
    assert bench.answer(link).complete
    assert bench.closed == {link: CloseHow.FLUSH}


def test_what_is_no_http_is_refused_and_lingers() -> None:
    bench = Bench()
    link = bench.open()
    bench.feed(BytesReceived(link, b"NONSENSE\r\n\r\n"))
    answer = bench.answer(link)
    assert (answer.status, answer.complete) == (400, True)
    assert bench.ended == {link}
    assert [(record.outcome, record.status, record.method) for record in bench.journal] == [("refused", 400, "")]
    bench.feed(BytesReceived(link, b"more of it"))
    assert link not in bench.closed
    bench.run(2.0)
    assert bench.closed == {link: CloseHow.FLUSH}
    assert bench.outcomes() == ["refused"]


def test_a_refused_peer_that_ends_is_closed_at_once() -> None:
    bench = Bench()
    link = bench.open()
    bench.feed(BytesReceived(link, b"NONSENSE\r\n\r\n"))
    bench.feed(PeerClosed(link, clean=True))
    assert link in bench.closed


def test_a_request_cut_short_is_refused_without_lingering() -> None:
    bench = Bench()
    link = bench.open()
    bench.feed(BytesReceived(link, request_bytes()[:-5]))
    bench.feed(PeerClosed(link, clean=True))
    assert bench.answer(link).status == 400
    assert bench.closed == {link: CloseHow.FLUSH}
    assert [(record.outcome, record.target) for record in bench.journal] == [("refused", CHAT)]


def test_a_body_beyond_the_limit_is_refused() -> None:
    bench = Bench(limits=MockLimits(max_request_body_bytes=100))
    link = bench.ask(body={"prompt": "x" * 200})
    assert bench.answer(link).status == 413


def test_a_head_request_is_refused_without_a_body() -> None:
    bench = Bench(limits=MockLimits(max_request_body_bytes=100))
    link = bench.open()
    bench.feed(BytesReceived(link, b"HEAD / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"))
    answer = bench.answer(link, method="HEAD")
    assert (answer.status, answer.complete) == (400, True)


def test_a_silent_peer_is_closed_after_the_head_deadline() -> None:
    bench = Bench()
    link = bench.open()
    bench.run(9.9)
    assert not bench.closed
    bench.run(10.1)
    assert link in bench.closed
    assert not bench.sent[link]
    assert not bench.journal


def test_an_idle_link_is_closed_after_a_while() -> None:
    bench = Bench()
    link = bench.ask()
    bench.run(60)
    assert not bench.closed
    bench.run(80)
    assert bench.closed == {link: CloseHow.FLUSH}


def test_a_peer_that_ends_between_requests_is_closed() -> None:
    bench = Bench()
    link = bench.ask()
    bench.feed(PeerClosed(link, clean=True))
    assert bench.closed == {link: CloseHow.FLUSH}
    assert bench.outcomes() == ["done"]


@pytest.mark.parametrize("clean", [True, False])
def test_a_peer_that_leaves_during_an_answer_is_noticed(clean: bool) -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="stall_after=2")
    bench.feed(PeerClosed(link, clean=clean))
    assert bench.closed == {link: CloseHow.ABORT}
    assert bench.outcomes() == ["disconnected"]


def test_a_peer_that_breaks_while_asking() -> None:
    bench = Bench()
    link = bench.open()
    bench.feed(BytesReceived(link, request_bytes()[:-5]))
    bench.feed(PeerClosed(link, clean=False))
    assert bench.closed == {link: CloseHow.ABORT}
    assert bench.outcomes() == ["disconnected"]
    bench.engine.finish()


def test_the_last_pipelined_request_of_a_peer_that_left_is_not_answered_at_length() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="chunk_delay=1", headers=[("x-aigw-mock-key", "a")])
    bench.feed(BytesReceived(link, request_bytes(body=STREAM, fault="stall_after=1")))
    bench.feed(PeerClosed(link, clean=True))
    assert bench.outcomes() == ["disconnected"]
    assert link in bench.closed


def test_an_answer_to_a_peer_that_left_before_gets_one_turn() -> None:
    bench = Bench(limits=MockLimits(turn_bytes=1))
    link = bench.open()
    bench.feed(BytesReceived(link, request_bytes() * 2))
    while not bench.journal:
        bench.run(turns=1)
    bench.feed(PeerClosed(link, clean=True))
    bench.run()
    assert bench.outcomes() == ["done", "disconnected"]
    assert bench.closed == {link: CloseHow.ABORT}


def test_a_peer_that_pipelines_without_end_is_not_read() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="chunk_delay=1")
    for _ in range(4):
        bench.feed(BytesReceived(link, b"\r\n" * 32 * 1024))
    assert not bench.reading
    bench.feed(BytesReceived(link, request_bytes()))
    assert bench.reading == {link: False}
    bench.run(8)
    assert bench.reading == {link: True}
    assert bench.outcomes() == ["done", "done"]


def test_a_peer_that_takes_nothing_is_given_up() -> None:
    bench = Bench(window=0)
    link = bench.ask(fault="endless_json")
    bench.run(50)
    bench.take(link, 1)
    bench.run(109)
    assert not bench.closed
    bench.run(111)
    assert bench.closed == {link: CloseHow.ABORT}
    assert bench.outcomes() == ["stuck"]


@pytest.mark.parametrize(
    ("fault", "outcome", "closed"),
    [
        ("cut_after=2", "cut", CloseHow.FLUSH),
        ("cut_before", "cut", CloseHow.FLUSH),
        ("reset,cut_after=2", "cut", CloseHow.ABORT),
        ("stall_after=1", None, None),
        ("early_close_idle=3", "done", CloseHow.FLUSH),
        ("close", "done", CloseHow.FLUSH),
        ("huge=400000", "done", None),
        ("bad_chunking", "cut", CloseHow.FLUSH),
        ("first_byte_delay=2", "done", None),
    ],
)
@pytest.mark.parametrize("window", [None, 100])
def test_how_a_link_ends(fault: str, outcome: str | None, closed: CloseHow | None, window: int | None) -> None:
    bench = Bench(window=window)
    link = bench.ask(body=STREAM, fault=fault)
    bench.run(1)
    if window is not None and link not in bench.closed:
        bench.take(link, 10_000_000)  # the client reads on, after it has not for a while
    bench.run(50)
    assert bench.outcomes() == ([] if outcome is None else [outcome])
    assert bench.closed.get(link) is closed


@pytest.mark.parametrize("clean", [True, False])
def test_a_client_that_leaves_a_stalled_stream(clean: bool) -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="stall_after=1")
    bench.run(1)
    bench.feed(PeerClosed(link, clean))
    bench.run(60)
    assert bench.outcomes() == ["disconnected"]
    assert link in bench.closed


def test_an_idle_link_ends_with_the_engine() -> None:
    bench = Bench()
    link = bench.ask()
    bench.feed(ShutdownRequested(5.0))
    assert link in bench.closed


def test_what_is_under_way_ends_with_the_grace() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="first_byte_delay=2,stall_after=1")
    bench.feed(ShutdownRequested(5.0))
    bench.run(4)
    assert bench.answer(link).headers[b"connection"] == b"close"
    bench.run(6)
    assert bench.outcomes() == ["shutdown"]
    assert bench.closed[link] is CloseHow.ABORT


def test_a_status_that_has_no_name() -> None:
    bench = Bench()
    assert bench.answer(bench.ask(fault="status=299")).status == 299


def test_an_answer_torn_at_every_byte_is_whole_in_the_end() -> None:
    bench = Bench()
    link = bench.ask(body=STREAM, fault="torn")
    bench.run(1)
    assert {len(chunk) for chunk in bench.sent[link]} == {1}
    assert bench.answer(link).text() == TEXT


def test_a_bug_is_a_500_while_nothing_was_sent_and_an_abort_later(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    bench = Bench()
    begun = bench.ask(body=STREAM, fault="chunk_delay=1")
    monkeypatch.setattr(openai, "reply_words", explode)
    link = bench.ask()
    assert bench.answer(link).status == 500
    monkeypatch.setattr(Answering, "_step", explode)
    bench.run(5)
    assert bench.closed == {link: CloseHow.FLUSH, begun: CloseHow.ABORT}
    assert bench.outcomes() == ["failed", "failed"]


def test_an_answer_longer_than_a_turn() -> None:
    bench = Bench(limits=MockLimits(turn_bytes=20_000))
    link = bench.ask(fault="huge=100000")
    assert not bench.answer(link).complete
    bench.run()
    assert len(bench.answer(link).body) == 100_000


@pytest.mark.parametrize("window", [None, 100])
def test_a_reset_waits_until_all_is_sent(window: int | None) -> None:
    bench = Bench(window=window)
    link = bench.ask(body=STREAM, fault="torn,cut_after=1,reset")
    bench.run(1)
    bench.take(link, 10_000)
    bench.run(2)
    assert len(bench.answer(link).events()) == 1
    assert bench.closed == {link: CloseHow.ABORT}


def test_what_came_behind_an_upgrade_is_the_websockets() -> None:
    bench = Bench()
    client = Client(bench, "/echo", behind=frame(0x81, b"early"))
    bench.feed(BytesReceived(client.link, frame(0x81, b"next")))
    bench.run()
    assert client.messages == [b"early", b"next"]


def test_the_101_goes_out_alone_unless_it_is_glued() -> None:
    for fault, count in (("", 2), ("glued", 1)):
        bench = Bench()
        client = Client(bench, fault=fault)
        bench.run()
        assert client.kinds == ["session.created"]
        assert len(bench.sent[client.link]) == 2
        assert bench.turns - 1 == count  # the first is the accept


def test_a_glued_greeting_does_not_depend_on_what_is_left_of_the_turn() -> None:
    bench = Bench(limits=MockLimits(turn_bytes=1))
    client = Client(bench, fault="glued")
    for _ in range(10):
        if bench.sent[client.link]:
            break
        bench.run(turns=1)
    assert client.kinds == ["session.created"]


def test_an_upgrade_that_is_answered_during_a_drain() -> None:
    bench = Bench()
    client = Client(bench, fault="first_byte_delay=1")
    bench.feed(ShutdownRequested(5.0))
    bench.run(1)
    assert client.kinds == ["session.created"]
    assert client.close == (1001, "the mock provider is shutting down")


def test_a_peer_that_leaves_before_its_upgrade_is_answered() -> None:
    bench = Bench()
    client = Client(bench, fault="first_byte_delay=1")
    bench.feed(PeerClosed(client.link, clean=True))
    assert bench.outcomes() == ["disconnected"]
    assert bench.journal[0].status == 0
