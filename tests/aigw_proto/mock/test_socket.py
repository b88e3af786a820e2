from __future__ import annotations

import json

import pytest

from aigw_proto._effects import CloseHow
from aigw_proto._inputs import BytesReceived, PeerClosed, ShutdownRequested
from aigw_proto.mock import MockLimits
from aigw_proto.mock._openai_realtime import RealtimeTalk
from support.frames import frame
from support.mock_bench import Bench, Client

CREATE = {"type": "response.create", "response": {"instructions": "alpha beta", "output_modalities": ["text"]}}
EMPTY = frame(0x00)


def connect(fault: str | None = None, *, target: str = "/v1/realtime", bench: Bench | None = None) -> Client:
    bench = bench or Bench()
    client = Client(bench, target, fault=fault)
    bench.run()
    return client


def test_a_session_and_its_record() -> None:
    client = connect()
    client.bench.now = 2.0
    client.send(CREATE)
    client.send("\u00e9")
    client.send_close(3000, "over")
    assert client.close == (3000, "")
    (record,) = client.bench.journal
    assert (record.method, record.target, record.status, record.outcome) == ("GET", "/v1/realtime", 101, "done")
    assert (record.received_messages, record.received_bytes) == (2, len(json.dumps(CREATE)) + 2)
    assert (record.sent_messages, record.sent_bytes) == (len(client.events), sum(map(len, client.messages)))
    assert (record.close_code, record.close_reason, record.duration_seconds) == (3000, "over", 2.0)
    assert client.bench.closed == {client.link: CloseHow.FLUSH}


def test_an_echo_returns_every_frame_as_it_came() -> None:
    client = connect(target="/any/echo")
    sent = [(0x01, b"a"), (0x00, b""), (0x80, b"\xc3"), (0x82, b""), (0x81, b"\xff"), (0x02, b"x"), (0x80, b"y")]
    for head, payload in sent:
        client.send_frame(head, payload)
    assert client.frames == sent
    client.send_frame(0x89, b"ping")
    client.send_frame(0x8A, b"pong")
    client.send_close(4007, "why not")
    assert client.frames[len(sent) :] == [(0x8A, b"ping"), (0x88, b"\x0f\xa7why not")]
    (record,) = client.bench.journal
    assert (record.received_messages, record.sent_messages, record.outcome) == (4, 4, "done")


def test_an_echo_of_a_close_without_a_status_and_of_ten_thousand_messages() -> None:
    client = connect(target="/echo")
    client.feed(b"".join(frame(0x81, b"%d" % index) for index in range(10_000)))
    client.send_close(None)
    assert client.messages == [b"%d" % index for index in range(10_000)]
    assert client.close == (None, "")
    assert client.bench.largest_turn <= 256 * 1024 + 20_000


def test_an_echo_holds_no_whole_message() -> None:
    bench = Bench(window=0, limits=MockLimits(high_water_bytes=100_000, low_water_bytes=10_000))
    client = connect(target="/echo", bench=bench)
    bench.take(client.link, 10_000)
    message = bytes(range(256)) * 4000
    data = frame(0x82, message)
    position = 0
    while position < len(data):
        if bench.reading.get(client.link, True):
            client.feed(data[position : position + 65_536])
            position += 65_536
        assert bench.unsent(client.link) < 200_000
        bench.take(client.link, 40_000)
        bench.run()
    bench.take(client.link, len(data))
    bench.run()
    assert b"".join(payload for _, payload in client.frames) == message


def test_audio_is_still_heard_from_a_client_that_takes_nothing() -> None:
    bench = Bench(window=0, limits=MockLimits(high_water_bytes=1000, low_water_bytes=100, max_waiting_answers=4))
    client = connect(bench=bench)
    client.send(CREATE)
    assert bench.unsent(client.link) >= 1000
    audio = frame(0x81, json.dumps({"type": "input_audio_buffer.append", "audio": "AAAA" * 1000}).encode())
    for _ in range(100):
        client.feed(audio)
    assert bench.reading.get(client.link, True)
    for _ in range(100):
        if not bench.reading.get(client.link, True):
            break
        client.feed(frame(0x81, json.dumps(CREATE | {"padding": "x" * 10_000}).encode()))
    assert not bench.reading[client.link]
    bench.take(client.link, 10_000_000)
    bench.run()
    assert bench.reading[client.link]
    assert client.kinds.count("response.done") > 20


def test_pings_without_end_to_a_client_that_takes_nothing_are_bounded() -> None:
    bench = Bench(window=0, limits=MockLimits(high_water_bytes=1000, low_water_bytes=100))
    client = connect(bench=bench)
    client.send(CREATE)
    unsent = bench.unsent(client.link)
    for _ in range(2000):
        client.feed(frame(0x89, b"x" * 100))
    assert bench.unsent(client.link) == unsent
    bench.take(client.link, 10_000_000)
    bench.run()
    pongs = [payload for head, payload in client.frames if head == 0x8A]
    assert 0 < len(pongs) < 1000


@pytest.mark.parametrize("target", ["/echo", "/v1/realtime"])
def test_twenty_floods_do_not_hold_up_another(target: str) -> None:
    bench = Bench()
    floods = [connect(target=target, bench=bench) for _ in range(20)]
    good = connect(bench=bench)
    junk = frame(0x01) + EMPTY * 3000
    for client in floods:
        bench.feed(BytesReceived(client.link, junk))
    bench.feed(BytesReceived(good.link, frame(0x81, json.dumps(CREATE).encode())))
    turns = bench.turns
    while "response.done" not in good.kinds:
        bench.run(turns=1)
        assert bench.turns < turns + 20
    bench.run()
    if target == "/echo":
        assert bench.turns > turns + 20  # the floods were not over


def test_faults_of_the_messages() -> None:
    client = connect("chunks=2,chunk_delay=1,malformed=2")
    bench = client.bench
    client.send(CREATE)
    assert client.kinds == ["session.created"]
    bench.run(1)
    assert client.kinds[1:] == ["response.created"]
    bench.run(60)
    with pytest.raises(json.JSONDecodeError):
        json.loads(client.messages[2])
    deltas = [message for message in client.messages if b"output_text.delta" in message]
    assert len(deltas) == 2


@pytest.mark.parametrize(
    ("fault", "close"),
    [
        ("close=1008", (1008, "")),
        ("close=none", (None, "")),
        ("close=4007,close_reason=M\u00fcde,close_after=1", (4007, "M\u00fcde")),
        ("close=1006,close_after=1", (1006, "")),
        ("close=0", (0, "")),
        ("close=none,close_reason=unsaid", (None, "")),
    ],
)
def test_a_close_on_demand(fault: str, close: tuple[int | None, str]) -> None:
    client = connect(fault)
    assert client.close == close
    assert len(client.messages) == ("close_after" in fault)
    client.send(CREATE)
    assert client.frames[-1][0] == 0x88
    client.send_close(1000)
    assert client.bench.closed == {client.link: CloseHow.FLUSH}
    assert client.bench.journal[0].close_code == 1000


def test_an_echo_that_closes_first() -> None:
    client = connect("close=3001,close_reason=enough,close_after=2", target="/echo")
    client.feed(b"".join(frame(0x81, text) for text in (b"a", b"b", b"c")))
    assert client.frames == [(0x81, b"a"), (0x81, b"b"), (0x88, b"\x0b\xb9enough")]
    client.send_close(3001)
    assert len(client.frames) == 3
    assert client.bench.outcomes() == ["done"]


def test_a_bug_is_closed_with_1011(monkeypatch: pytest.MonkeyPatch) -> None:
    def explode(*_: object) -> None:
        raise ZeroDivisionError

    client = connect()
    monkeypatch.setattr(RealtimeTalk, "hear", explode)
    client.send(CREATE)
    assert client.close == (1011, "the mock provider failed; its log says why")
    assert client.bench.outcomes() == ["failed"]


@pytest.mark.parametrize("window", [None, 10])
@pytest.mark.parametrize(
    ("fault", "how", "count"),
    [
        ("cut_after=0", CloseHow.FLUSH, 0),
        ("cut_after=1", CloseHow.FLUSH, 1),
        ("cut_after=1,reset", CloseHow.ABORT, 1),
        ("cut_after=0,reset", CloseHow.ABORT, 0),
        ("cut_after=1,stall_after=1", CloseHow.FLUSH, 1),
        ("torn,cut_after=1,reset", CloseHow.ABORT, 1),
    ],
)
def test_a_cut_on_demand(fault: str, how: CloseHow, count: int, window: int | None) -> None:
    bench = Bench(window=window)
    client = connect(fault, bench=bench)
    bench.take(client.link, 10_000)
    bench.run()
    assert bench.closed == {client.link: how}
    assert len(client.messages) == count
    assert bench.outcomes() == ["cut"]


def test_a_peer_that_leaves_a_link_that_waits_to_be_reset() -> None:
    bench = Bench(window=0)
    client = connect("cut_after=1,reset", bench=bench)
    bench.feed(PeerClosed(client.link, clean=True))
    assert bench.closed == {client.link: CloseHow.ABORT}


def test_a_stalled_provider_still_answers_pings_and_close() -> None:
    for target in ("/v1/realtime", "/echo"):
        client = connect("stall_after=0", target=target)
        client.send(CREATE)
        client.send_frame(0x89, b"p")
        client.send_close(1001)
        assert client.frames == [(0x8A, b"p"), (0x88, b"\x03\xe9")]
        assert client.bench.outcomes() == ["done"]


@pytest.mark.parametrize("target", ["/v1/realtime", "/echo"])
def test_a_close_that_is_never_answered(target: str) -> None:
    client = connect("hold_close", target=target)
    client.send_close(1000, "bye")
    assert client.close is None
    client.feed(b"more")
    client.bench.run(100_000)
    assert not client.bench.closed
    assert not client.bench.journal
    client.bench.feed(PeerClosed(client.link, clean=True))
    assert client.bench.closed == {client.link: CloseHow.FLUSH}
    (record,) = client.bench.journal
    assert (record.outcome, record.close_code, record.close_reason) == ("done", 1000, "bye")


def test_a_ping_that_is_never_answered() -> None:
    client = connect("no_pong")
    client.send_frame(0x89, b"p")
    client.bench.run(20)
    assert [head for head, _ in client.frames] == [0x81]


def test_pings_that_are_answered_late() -> None:
    client = connect("late_pong=3", target="/echo")
    bench = client.bench
    client.send_frame(0x89, b"one")
    bench.run(2)
    client.send_frame(0x89, b"two")
    client.send(b"between")
    bench.run(2.9)
    assert client.frames == [(0x82, b"between")]
    bench.run(3)
    assert client.frames[1:] == [(0x8A, b"one")]
    bench.run(5)
    assert client.frames[2:] == [(0x8A, b"two")]
    client.feed(frame(0x89) * 100)
    bench.run(10)
    assert len(client.frames) == 3 + 64


def test_a_giant_frame_is_made_while_it_is_sent() -> None:
    bench = Bench(window=0, limits=MockLimits(high_water_bytes=100_000, low_water_bytes=10_000))
    client = connect("giant_frame=1000000", bench=bench)
    assert bench.unsent(client.link) < 120_000
    client.send_frame(0x89, b"p")
    while bench.unsent(client.link):
        bench.take(client.link, 50_000)
        bench.run()
    (message, pong) = client.frames
    assert len(message[1]) == 1_000_000
    assert json.loads(message[1])["type"] == "session.created"
    assert pong == (0x8A, b"p")
    client.send_close()
    assert bench.journal[0].sent_bytes == 1_000_000


def test_a_close_within_a_giant_frame_ends_the_link() -> None:
    bench = Bench(window=0)
    client = connect("giant_frame=100000000", bench=bench)
    client.send_close()
    assert bench.closed == {client.link: CloseHow.ABORT}


def test_a_violation_within_a_giant_frame_ends_the_link() -> None:
    bench = Bench(window=0)
    client = connect("giant_frame=100000000", bench=bench)
    client.feed(b"\x00\x00")
    assert bench.closed == {client.link: CloseHow.ABORT}


def test_fragments_without_end() -> None:
    bench = Bench(window=0, limits=MockLimits(high_water_bytes=10_000))
    client = connect("endless_fragments=100", bench=bench)
    bench.take(client.link, 100_000)
    bench.run()
    frames = client.frames
    assert [head for head, _ in frames[:2]] == [0x01, 0x00]
    assert {len(payload) for _, payload in frames[1:]} == {100}
    assert {head for head, _ in frames[1:]} == {0x00}
    assert len(frames) > 100


def test_an_illegal_frame() -> None:
    client = connect("bad_frame=1")
    assert [head for head, _ in client.frames] == [0x81, 0x83]


def test_a_silent_peer_is_pinged_and_then_given_up() -> None:
    client = connect()
    client.bench.run(31)
    assert client.frames[-1] == (0x89, b"")
    client.bench.run(61)
    assert client.bench.closed == {client.link: CloseHow.ABORT}
    assert client.bench.outcomes() == ["disconnected"]


def test_nobody_is_pinged_who_need_not_be() -> None:
    client = connect(bench=Bench(limits=MockLimits(ping_interval_seconds=None)))
    client.bench.run(1000)
    assert client.kinds == ["session.created"]
    assert not client.bench.closed


def test_a_peer_that_ends_without_a_close() -> None:
    client = connect()
    client.bench.feed(BytesReceived(client.link, frame(0x81, json.dumps(CREATE).encode())))
    client.bench.feed(PeerClosed(client.link, clean=True))
    client.bench.run()
    assert client.bench.closed == {client.link: CloseHow.FLUSH}
    assert client.bench.outcomes() == ["disconnected"]
    assert client.bench.journal[0].close_code is None


def test_a_message_beyond_the_limit() -> None:
    client = connect(bench=Bench(limits=MockLimits(max_message_bytes=1000)))
    client.send("x" * 1001)
    assert client.close == (1009, "message is larger than 1000 bytes")
    assert client.bench.ended == {client.link}
    assert client.bench.outcomes() == ["violation"]


def test_a_drain_closes_when_all_is_said() -> None:
    client = connect("chunk_delay=1,chunks=2")
    client.bench.run(1)
    client.send(CREATE)
    client.bench.feed(ShutdownRequested(30.0))
    client.bench.run(5)
    assert 0x88 not in [head for head, _ in client.frames]
    client.bench.run(20)
    assert client.kinds[-1] == "response.done"
    assert client.close == (1001, "the mock provider is shutting down")
    client.bench.run(40)
    assert client.bench.drained
    assert client.bench.outcomes() == ["disconnected"]


def test_a_session_torn_at_every_byte() -> None:
    client = connect("torn")
    client.send(CREATE)
    client.bench.run(1)
    assert {len(chunk) for chunk in client.bench.sent[client.link]} == {1}
    assert client.kinds[-1] == "response.done"


def test_compression_is_accepted_when_it_is_offered() -> None:
    bench = Bench()
    client = Client(bench, "/echo", headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
    bench.run()
    assert b"permessage-deflate" in client.head
    client.send_frame(0xC1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")  # RFC 7692 section 7.2.3.1
    assert client.frames == [(0xC1, b"\xf2\x48\xcd\xc9\xc9\x07\x00")]
