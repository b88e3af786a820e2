from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto._effects import Connect, Effect, SendBytes, SetReading
from aigw_proto._inputs import LinkConnected
from aigw_proto._limits import SseLimits
from aigw_proto.envelopes import ErrorCode, StepSettings
from aigw_proto.gateway._admission import PreparedStep
from aigw_proto.gateway._answer import StreamItem
from aigw_proto.gateway._core import Core
from aigw_proto.gateway._exchange import Begun, Broken, Exchange, Finished, Headed, Pull, Pulled
from aigw_proto.gateway._pool import Lessee, UpstreamConnection
from aigw_proto.gateway._state import UpstreamState
from aigw_proto.http import Request
from aigw_proto.providers import Target
from support.rig import gateway_config
from support.turns import END_CHUNK, STREAM_HEAD, answer, chunk, sse

STEP = PreparedStep(
    provider="p",
    endpoint="x",
    target=Target("h", 80, None, b"h", b"/x"),
    request=Request(b"POST", b"/x", [(b"host", b"h"), (b"content-length", b"2")]),
    body=b"{}",
    settings=StepSettings(),
)
GATHER_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"


class Bench(Lessee):
    """An exchange on the connection of a pool, and its lessee."""

    def __init__(self, *, used: bool = False, sse: SseLimits | None = None, **limits: Any) -> None:
        fields: dict[str, Any] = {} if sse is None else {"sse": sse}
        self.core = Core(gateway_config(limits=limits, **fields), bytes, 0.0)
        self.fresh = False
        self.scheduled = None
        self.readable = 0
        self.gathered = 0
        self.ended = False
        self.core.pool.acquire(STEP.target, self, 0.0)
        (connect,) = [effect for effect in self.effects() if isinstance(effect, Connect)]
        owner = self.core.links[connect.link]
        assert isinstance(owner, UpstreamConnection)
        owner.used = used
        self.connection = owner
        owner.handle_input(LinkConnected(connect.link), 0.0)

    def assigned(self, connection: UpstreamConnection) -> None:
        self.exchange = Exchange(self.core, connection, self, STEP, gathered=self.count)

    def count(self, size: int) -> None:
        self.gathered += size

    def connect_failed(self, reason: str, *, timed_out: bool, now: float) -> None:
        raise AssertionError(reason)

    def upstream_readable(self) -> None:
        self.readable += 1

    def next_timeout(self) -> float | None:
        return None

    def handle_timeout(self, now: float) -> None:
        pass

    def crash(self, now: float) -> None:
        self.ended = True

    def drop(self, now: float) -> None:
        self.ended = True

    def effects(self) -> list[Effect]:
        self.core.turn.finish()
        found: list[Effect] = []
        while (effect := self.core.turn.poll()) is not None:
            found.append(effect)
        return found

    def receive(self, data: bytes) -> None:
        self.connection.receive_data(data, 0.0)

    def end(self, *, clean: bool) -> None:
        self.connection.receive_eof(clean=clean, now=0.0)

    def pull(self) -> list[Pulled]:
        """Pull everything there is, without what only moved."""
        found: list[Pulled] = []
        while not isinstance(pulled := self.exchange.pull(0.0), Broken | Finished) and pulled is not Pull.STARVED:
            if pulled is not Pull.MOVED:
                found.append(pulled)
        return [*found, pulled]


def test_the_request_is_sent_in_one_piece() -> None:
    bench = Bench()
    (sent,) = [effect for effect in bench.effects() if isinstance(effect, SendBytes)]
    assert b"".join(sent.chunks) == b"POST /x HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\n{}"
    assert bench.pull() == [Pull.STARVED]


def test_a_document() -> None:
    bench = Bench()
    bench.receive(answer(b'{"x": 1.10}'))
    assert bench.pull() == [Headed(200, "application/json", None), Begun(False), Finished(b'{"x": 1.10}')]
    assert bench.connection.state is UpstreamState.IDLE
    assert bench.gathered == 11
    bench.exchange.drop(0.0)
    assert bench.gathered == 0
    assert bench.connection.state is UpstreamState.IDLE


def test_a_stream() -> None:
    bench = Bench()
    bench.receive(STREAM_HEAD + sse(b"1") + sse(b"2"))
    assert bench.pull() == [
        Headed(200, "text/event-stream", None),
        Begun(True),
        StreamItem(b"1", None, 1),
        StreamItem(b"2", None, 1),
        Pull.STARVED,
    ]
    bench.receive(sse(b"3") + END_CHUNK)
    assert bench.pull() == [StreamItem(b"3", None, 1), Finished(None)]
    assert bench.gathered == 0


def test_the_connection_is_given_back_before_the_items_are_pulled() -> None:
    bench = Bench()
    bench.receive(STREAM_HEAD + chunk(b"data: 1\n\ndata: 2\n\ndata: 3") + END_CHUNK)
    while bench.connection.state is not UpstreamState.IDLE:
        bench.exchange.pull(0.0)
    assert bench.pull() == [StreamItem(b"3", None, 1), Finished(None)]


def test_an_error_is_gathered_whatever_its_type() -> None:
    bench = Bench()
    bench.receive(answer(b"data: 1\n\n", 503, "text/event-stream", "retry-after: 7\r\n"))
    assert bench.pull() == [Headed(503, "text/event-stream", 7.0), Finished(b"data: 1\n\n")]


@pytest.mark.parametrize(("status", "accepted"), [(199, False), (200, True), (204, True), (299, True), (300, False)])
def test_what_counts_as_success(status: int, accepted: bool) -> None:
    assert Headed(status, "", None).accepted is accepted


def test_no_content_at_all() -> None:
    bench = Bench()
    bench.receive(b"HTTP/1.1 204 No Content\r\n\r\n")
    assert bench.pull() == [Headed(204, "", None), Begun(False), Finished(b"")]


def test_interim_responses_move_nothing() -> None:
    bench = Bench()
    bench.receive(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert bench.pull() == [Pull.STARVED]


def test_content_that_is_held_back_until_its_form_shows() -> None:
    bench = Bench()
    bench.receive(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunk(b"da"))
    assert bench.pull() == [Headed(200, "", None), Pull.STARVED]
    assert bench.gathered == 2
    bench.receive(chunk(b"ta: 1\n\n"))
    assert bench.pull() == [Begun(True), StreamItem(b"1", None, 1), Pull.STARVED]
    assert bench.gathered == 0


def test_a_coding_that_was_not_asked_for() -> None:
    bench = Bench()
    bench.receive(answer(b"1", extra="content-encoding: br\r\n"))
    head, broken = bench.pull()
    assert isinstance(head, Headed)
    assert isinstance(broken, Broken)
    assert broken.reason.endswith(": br")
    bench.exchange.drop(0.0)
    assert bench.connection.state is UpstreamState.DEAD


def test_too_large() -> None:
    bench = Bench(max_response_bytes=100)
    bench.receive(GATHER_HEAD % 1000 + b"[" * 200)
    broken = bench.pull()[-1]
    assert broken == Broken("its answer is larger than 100 bytes", code=ErrorCode.PROVIDER_ANSWER_TOO_LARGE)


def test_an_event_that_is_too_large() -> None:
    bench = Bench(sse=SseLimits(max_line_bytes=10, max_event_bytes=10))
    bench.receive(STREAM_HEAD + sse(b"1" * 100))
    broken = bench.pull()[-1]
    assert isinstance(broken, Broken)
    assert "longer than 10" in broken.reason


@pytest.mark.parametrize("used", [False, True])
@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("data", [b"", b"H"])
def test_when_a_connection_is_stale(used: bool, clean: bool, data: bytes) -> None:
    bench = Bench(used=used)
    if data:
        bench.receive(data)
    bench.end(clean=clean)
    (broken,) = bench.pull()
    assert isinstance(broken, Broken)
    assert broken.stale is (used and not data)


@pytest.mark.parametrize("used", [False, True])
def test_a_timeout_of_the_server_that_crossed_the_request(used: bool) -> None:
    bench = Bench(used=used)
    bench.receive(answer(b"", 408, extra="connection: close\r\n"))
    first = bench.exchange.pull(0.0)
    assert isinstance(first, Broken if used else Headed)
    assert not isinstance(first, Broken) or first.stale


def test_a_break_comes_behind_what_arrived() -> None:
    bench = Bench()
    bench.receive(STREAM_HEAD + sse(b"1"))
    bench.end(clean=False)
    assert bench.pull()[2:] == [StreamItem(b"1", None, 1), Broken("the connection was reset")]


def test_reading_stops_when_nobody_pulls_and_goes_on_when_all_is_pulled() -> None:
    bench = Bench(upstream_high_water_bytes=100)
    link = bench.connection.link
    bench.effects()
    bench.receive(STREAM_HEAD)
    bench.exchange.pause_if_full()
    assert bench.effects() == []
    bench.receive(sse(b"1" * 100))
    bench.exchange.pause_if_full()
    assert bench.effects() == [SetReading(link, False)]
    bench.pull()
    assert bench.effects() == [SetReading(link, True)]
    bench.receive(END_CHUNK)
    bench.pull()
    bench.exchange.pause_if_full()
    assert bench.effects() == []


CONTENT = b'data: {"x": 1.10}\n\nevent: y\ndata: 2\n\n: comment\n\ndata: [DONE]\n\n'


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 250), max_size=20), st.sampled_from(["text/event-stream", "application/json"]))
def test_the_outcome_does_not_depend_on_the_cuts(cuts: list[int], content_type: str) -> None:
    head = STREAM_HEAD.replace(b"text/event-stream", content_type.encode())
    data = head + chunk(CONTENT[:30]) + chunk(CONTENT[30:]) + END_CHUNK
    bench = Bench()
    found: list[Pulled] = []
    previous = 0
    for cut in [*sorted(set(cuts)), len(data)]:
        if data[previous:cut]:
            bench.receive(data[previous:cut])
            found += [pulled for pulled in bench.pull() if pulled is not Pull.STARVED]
        previous = cut
    assert found == [
        Headed(200, content_type, None),
        Begun(True),
        StreamItem(b'{"x": 1.10}', None, 11),
        StreamItem(b"2", b"y", 1),
        Finished(None),
    ]
