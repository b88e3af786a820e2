"""The observers of the universal API, with gateways that do not do what they should."""

from __future__ import annotations

import pytest

from aigw_transports.memory import Peer, World
from aigw_transports.simulation import Order, UniversalClient, UniversalProvider
from aigw_transports.simulation._wire import CLOSE, FIN, PING, TEXT, FrameReader, close_payload, frame

ORDER = Order("a", 3)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
ITEMS = [ORDER.item(number).decode() for number in range(3)]


def created(tag: str = "a", status: int = 200, response: str | None = None, step: str = "0") -> str:
    more = "" if response is None else f',"response":{response}'
    metadata = f'{{"eventId":"{tag}","status":{status},"step":"{step}"}}'
    return f'{{"type":"universal.created","metadata":{metadata}{more}}}'


def chunk(number: int, tag: str = "a") -> str:
    return f'{{"type":"universal.stream","metadata":{{"eventId":"{tag}"}},"response":{ITEMS[number]}}}'


def done(more: str = "", tag: str = "a") -> str:
    return f'{{"type":"universal.done","metadata":{{"eventId":"{tag}"{more}}}}}'


class Stand:
    """A client, and a gateway that says what it is told to."""

    def __init__(self, *frames: str, order: Order = ORDER, switch: bytes = SWITCH, raw: bytes = b"") -> None:
        self.world = World(1)
        self.got: list[bytes] = []
        self.gateway = self.world.listen("gateway", 80, on_peer=self._play)
        self._reader = FrameReader(masked=True)
        self._switch = switch
        self._frames = b"".join(frame(FIN | TEXT, text.encode(), masked=False) for text in frames) + raw
        self.client = UniversalClient(self.world, "gateway")
        self.client.on_open = lambda: self.client.ask(order, most_seconds=5.0, may_fail=False)
        self.provider = UniversalProvider(self.world, "hand")

    def _play(self, peer: Peer) -> None:
        upgraded: list[bool] = []

        def on_data(data: bytes) -> None:
            if not upgraded:
                upgraded.append(True)
                peer.send(self._switch)
                return
            self.got += [each.payload for each in self._reader.feed(data)]
            if len(self.got) == 1:
                peer.send(self._frames)

        peer.on_data = on_data

    def run(self) -> UniversalClient:
        self.world.run(until=self.world.time + 10.0)
        return self.client

    def judge(self) -> None:
        self.run().judge(self.provider, links_are_smooth=True, slack_seconds=1.0)


def test_an_answer_as_it_should_be() -> None:
    stand = Stand(created(), chunk(0), chunk(1), chunk(2), done())
    stand.judge()
    request = stand.client.requests["a"]
    assert (request.next_item, request.status, request.error) == (3, 200, None)
    assert not stand.client.is_waiting


def test_a_whole_answer_as_it_should_be() -> None:
    whole = Order("a", 2, form="whole")
    Stand(created(response=whole.whole().decode()), order=whole).judge()


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([chunk(0)], "goes on before it has begun"),
        ([created(), created()], "begins twice"),
        ([created(), chunk(1)], "item 0 of 3 is"),
        ([created(), chunk(0), chunk(0)], "item 1 of 3 is"),
        ([created(), chunk(0), chunk(2)], "item 1 of 3 is"),
        ([created(), chunk(0), done()], "1 of 3 items came"),
        ([created(), chunk(0), chunk(1), chunk(2), chunk(2)], "item 3 of 3 is"),
        ([created(), chunk(0), chunk(1), chunk(2), done(), done()], "a frame behind its end"),
        ([created(), chunk(0), chunk(1), chunk(2), done(), created()], "a frame behind its end"),
        ([created(tag="b")], "a foreign request"),
        ([done()], "ends before it has begun"),
        ([done(',"cancelled":true')], "not by its client"),
        ([created(status=503)], "a stream with status 503"),
        ([created(response='{"tag": "a"}')], "its answer is"),
        ([created(status=503, response='{"error": "not now"}')], "not by its provider"),
        (['{"type":"universal.other","metadata":{"eventId":"a"}}'], "a frame of type 'universal.other'"),
    ],
)
def test_a_gateway_that_errs_in_its_frames(frames: list[str], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Stand(*frames).run()


@pytest.mark.parametrize(
    ("frames", "complaint"),
    [
        ([], "never ended"),
        ([created(), chunk(0)], "never ended"),
        ([created(status=502, response='{"error": "why?"}')], "failed for no reason"),
        ([created(), done(',"error":"why?"')], "failed for no reason"),
    ],
)
def test_a_gateway_that_errs_in_the_end(frames: list[str], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Stand(*frames).judge()


def test_an_answer_that_comes_too_late() -> None:
    stand = Stand()
    late = b"".join(
        frame(FIN | TEXT, text.encode(), masked=False) for text in (created(), chunk(0), chunk(1), chunk(2), done())
    )
    stand.world.after(9.0, lambda: stand.gateway.peers[0].send(late))
    with pytest.raises(AssertionError, match="took 8"):
        stand.judge()


def test_a_query_that_was_changed() -> None:
    stand = Stand(created(), chunk(0), chunk(1), chunk(2), done())
    stand.run()
    stand.provider.bodies["a"] = [stand.client.requests["a"].body + b" "]
    with pytest.raises(AssertionError, match="changed on its way"):
        stand.judge()


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (frame(FIN | 2, b"x", masked=False), "a frame with the head 0x82"),
        (frame(FIN | 10, b"what?", masked=False), "a pong with"),
        (
            frame(FIN | CLOSE, close_payload(1001), masked=False) + frame(FIN | PING, b"", masked=False),
            "a frame behind a Close",
        ),
    ],
)
def test_a_gateway_that_errs_in_other_frames(raw: bytes, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Stand(raw=raw).run()


def test_an_answer_to_the_upgrade_that_is_none_of_its_own() -> None:
    with pytest.raises(AssertionError, match="an answer to the upgrade"):
        Stand(switch=b"HTTP/1.1 500 Oh\r\n\r\n").run()
    refused = Stand(switch=b"HTTP/1.1 503 No\r\n\r\n")
    refused.judge()
    assert not refused.client.is_open


def test_pings_and_a_close_are_answered() -> None:
    raw = frame(FIN | PING, b"there?", masked=False) + frame(FIN | CLOSE, close_payload(1001, b"bye"), masked=False)
    stand = Stand(raw=raw)
    stand.judge()
    assert stand.got[1:] == [b"there?", close_payload(1001, b"bye")]
    assert stand.client.got_close == (1001, b"bye")
    assert not stand.client.is_alive


def test_what_a_client_does() -> None:
    stand = Stand(created(), chunk(0))
    client = stand.run()
    client.ping()
    client.cancel("a")
    client.flood("messages", 2)
    client.flood("pings", 2)
    client.flood("fragments", 2)
    client.read(False)
    client.close()
    client.ping()
    stand.run()
    cancel = b'{"type":"universal.cancel","eventId":"%b"}'
    assert stand.got[1:] == [
        b"ping", cancel % b"a", *[cancel % b"nobody"] * 2, b"ping", b"ping", b"", b"", b"", close_payload(1000)
    ]  # fmt: skip
    assert client.hindered
    client.break_off()
    assert not client.is_alive


def test_a_request_that_was_taken_back() -> None:
    stand = Stand(created(), chunk(0))
    client = stand.run()
    client.cancel("a")
    end = [
        done(',"cancelled":true'),
        '{"type":"universal.created","metadata":{"eventId":"a","status":404},"response":{}}',
    ]
    for text in end:
        stand.gateway.peers[0].send(frame(FIN | TEXT, text.encode(), masked=False))
    stand.judge()
    assert client.requests["a"].ended_at is not None


def test_a_cancel_that_finds_nothing_although_the_request_goes_on() -> None:
    stand = Stand(created(), chunk(0))
    stand.run().cancel("a")
    text = b'{"type":"universal.created","metadata":{"eventId":"a","status":404},"response":{}}'
    stand.gateway.peers[0].send(frame(FIN | TEXT, text, masked=False))
    with pytest.raises(AssertionError, match="cannot be cancelled"):
        stand.run()


# ---- the provider ----------------------------------------------------------------------------------------------------


def ask_provider(order: str, times: int = 1) -> tuple[bytes, bool, bool]:
    """Return what a provider answers, and whether the stream ended or broke."""
    world = World(1)
    provider = UniversalProvider(world, "hand")
    peer = world.peer("hand", 80)
    body = order.encode()
    request = b"POST /x HTTP/1.1\r\nHost: hand\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    for _ in range(times):
        peer.send(request[:30])
        peer.send(request[30:])
    world.run(until=20.0)
    assert all(each == [body] * len(each) for each in provider.bodies.values())
    return peer.received, peer.eof, peer.broken


ORDERED = '{"tag":"a","items":2%s}'
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: "
STREAM = HEAD + b"text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
ITEM = b'27\r\ndata: {"tag": "a", "i": %d, "pad": ""}\n\n\r\n'
WHOLE = b'{"tag": "a", "items": [{"tag": "a", "i": 0, "pad": ""}, {"tag": "a", "i": 1, "pad": ""}]}'
DOCUMENT = HEAD + b"application/json\r\nContent-Length: 89\r\n\r\n"


@pytest.mark.parametrize(
    ("more", "answer", "eof", "broken"),
    [
        ("", STREAM + ITEM % 0 + ITEM % 1 + b"0\r\n\r\n", False, False),
        (',"pause_seconds":1.0', STREAM + ITEM % 0 + ITEM % 1 + b"0\r\n\r\n", False, False),
        (',"form":"whole"', DOCUMENT + WHOLE, False, False),
        (',"fault":"cut","after":1', STREAM + ITEM % 0, True, False),
        (',"fault":"cut","form":"whole"', DOCUMENT + WHOLE[:-1], True, False),
        (',"fault":"garbage"', b"SSH-2.0-nonsense\r\n\r\n", True, False),
        (',"fault":"silence"', b"", False, False),
        (',"fault":"silence","after":1', STREAM + ITEM % 0, False, False),
        (',"fault":"silence","after":1,"form":"whole"', DOCUMENT + WHOLE[:-1], False, False),
    ],
)
def test_answers_of_the_provider(more: str, answer: bytes, eof: bool, broken: bool) -> None:
    assert ask_provider(ORDERED % more) == (answer, eof, broken)


def test_more_answers_of_the_provider() -> None:
    lines, eof, _ = ask_provider(ORDERED % ',"form":"lines"')
    assert b"application/x-ndjson" in lines
    assert not eof
    to_the_end, eof, _ = ask_provider(ORDERED % ',"form":"to the end"')
    assert b"Connection: close" in to_the_end
    assert eof
    refusal, _, _ = ask_provider(ORDERED % ',"fault":"status"')
    assert refusal.endswith(UniversalProvider.REFUSAL)
    stale, eof, _ = ask_provider(ORDERED % ',"fault":"stale"', times=2)
    assert stale.count(b"HTTP/1.1") == 1
    assert eof
    _, _, broken = ask_provider(ORDERED % ',"fault":"reset","after":1')
    assert broken
