from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto import client as core
from aigw_proto._effects import Deliver, SendBytes
from aigw_proto._errors import LocalProtocolError
from aigw_proto._inputs import BytesReceived, BytesSent, LinkConnected
from aigw_proto._kinds import Signal
from aigw_proto._limits import WebSocketLimits
from aigw_proto.ws import BinaryMessage, Closed, DeflatePolicy, Ping, TextMessage
from support.client_bench import LINK, RealtimeBench

CONNECTION = core.CONNECTION_TICKET


@pytest.fixture
def bench() -> RealtimeBench:
    return RealtimeBench()


def test_messages_cross_both_ways_as_they_are(bench: RealtimeBench) -> None:
    bench.open(url="ws://gateway:8787/v1/a/g/openai?model=gpt-realtime")
    assert bench.offer is not None
    assert bench.offer.target == b"/v1/a/g/openai?model=gpt-realtime"
    bench.say("žluť", b"\x00\xff", "", b"")
    assert bench.messages() == ["žluť", b"\x00\xff", "", b""]
    for payload, binary in ((b"\xc5\xbe", False), (b"\x00\xff", True), (b"", False), (b"", True)):
        bench.feed(core.SendMessage(payload, binary))
    assert bench.hear() == [TextMessage("ž"), BinaryMessage(b"\x00\xff"), TextMessage(""), BinaryMessage(b"")]
    bench.finish()


def test_a_message_right_behind_the_101_arrives(bench: RealtimeBench) -> None:
    url = core.GatewayUrl(secure=False, host="gateway", port=80, host_header=b"gateway", target=b"/v1/a/g/openai")
    bench.feed(core.OpenConnection(url))
    bench.feed(LinkConnected(LINK))
    bench.see_offer()
    bench.opening.accept()
    head = b"".join(bench.opening.data_to_send())
    assert bench.opening.next_event() is Signal.SWITCHED
    bench.gateway = bench.opening.connection(now=bench.now)
    bench.gateway.send_text("session.created")
    bench.feed(BytesReceived(LINK, head + b"".join(bench.gateway.data_to_send())))
    assert bench.messages() == ["session.created"]
    bench.finish()


def test_compression_can_be_agreed_on(bench: RealtimeBench) -> None:
    bench.open(deflate=DeflatePolicy())
    bench.say("x" * 10_000)
    assert bench.messages() == ["x" * 10_000]
    bench.feed(core.SendMessage(b"y" * 10_000, binary=True))
    assert len(bench.sent) < 1000
    assert bench.hear() == [BinaryMessage(b"y" * 10_000)]


def test_sending_before_it_is_open_is_a_mistake(bench: RealtimeBench) -> None:
    with pytest.raises(LocalProtocolError, match="not open yet"):
        bench.inner.handle(core.SendMessage(b"", binary=False), 1.0)
    assert bench.inner.poll() is None
    bench.open()
    bench.finish()


def test_a_message_beyond_the_limit_ends_it() -> None:
    bench = RealtimeBench(websocket=WebSocketLimits(max_message_bytes=1000))
    bench.open()
    bench.say("x" * 1001)
    lost = bench.items(CONNECTION)[-1]
    assert isinstance(lost, core.ConnectionLost)
    assert (lost.code, lost.clean, lost.closed_by) == (1009, False, core.ClosedBy.CLIENT)
    bench.hear()
    assert isinstance(bench.heard[-1], Closed)
    assert bench.heard[-1].code == 1009
    bench.feed(core.SendMessage(b"late", binary=False))
    bench.end()
    bench.feed(core.SendMessage(b"later", binary=False))
    assert bench.sent == b""
    bench.engine.finish()


def test_much_that_is_unsent_asks_for_patience() -> None:
    bench = RealtimeBench(limits=core.ClientLimits(sending_high_water_bytes=1000, sending_low_water_bytes=100))
    bench.open()
    bench.feed(core.SendMessage(bytes(2000), binary=True))
    assert bench.feed(BytesSent(LINK, 2000)) == [Deliver(CONNECTION, core.SendingAllowed(allowed=False))]
    assert any(isinstance(effect, SendBytes) for effect in bench.feed(core.SendMessage(b"x", binary=False)))
    assert bench.feed(BytesSent(LINK, 100)) == [Deliver(CONNECTION, core.SendingAllowed(allowed=True))]


def test_after_the_peers_close_senders_are_held_until_the_end() -> None:
    bench = RealtimeBench(limits=core.ClientLimits(sending_high_water_bytes=1000, sending_low_water_bytes=100))
    bench.open()
    assert bench.gateway is not None
    bench.gateway.send_close(1008, "policy")
    held = Deliver(CONNECTION, core.SendingAllowed(allowed=False))
    assert held in bench.answer()
    bench.hear()
    bench.feed(core.SendMessage(b"too late", binary=False))
    assert bench.hear() == []
    assert bench.feed(BytesSent(LINK, 0)) == []
    assert bench.end()[0] == Deliver(
        CONNECTION, core.ConnectionLost(1008, "policy", clean=True, closed_by=core.ClosedBy.PEER)
    )


def test_senders_that_wait_already_are_held_without_a_word() -> None:
    bench = RealtimeBench(limits=core.ClientLimits(sending_high_water_bytes=1000, sending_low_water_bytes=100))
    bench.open()
    bench.feed(core.SendMessage(bytes(2000), binary=True))
    bench.feed(BytesSent(LINK, 2000))
    effects = bench.feed(core.CloseConnection())
    assert [type(effect) for effect in effects] == [SendBytes]
    assert bench.feed(BytesSent(LINK, 10)) == []


def test_a_silent_peer_is_pinged() -> None:
    bench = RealtimeBench(websocket=WebSocketLimits(ping_interval_seconds=10.0))
    bench.open()
    assert bench.engine.next_timeout() == bench.now + 10.0
    bench.wait(10.0)
    assert bench.hear() == [Ping(b"")]
    bench.finish()


@given(st.data())
def test_cuts_do_not_change_what_is_delivered(data: st.DataObject) -> None:
    whole = RealtimeBench()
    whole.open()
    assert whole.gateway is not None
    for message in ("one", b"two", "ž" * 100):
        if isinstance(message, str):
            whole.gateway.send_text(message)
        else:
            whole.gateway.send_binary(message)
    whole.gateway.send_ping(b"?")
    whole.gateway.send_close(1000)
    stream = b"".join(whole.gateway.data_to_send())
    torn = RealtimeBench()
    torn.open()
    whole.feed(BytesReceived(LINK, stream))
    while stream:
        size = data.draw(st.integers(1, len(stream)))
        torn.feed(BytesReceived(LINK, stream[:size]))
        stream = stream[size:]
    whole.end()
    torn.end()
    assert torn.delivered == whole.delivered
    assert torn.messages() == ["one", b"two", "ž" * 100]
