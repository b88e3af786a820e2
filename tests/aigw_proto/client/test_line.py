"""What both client engines owe to their line, shown on each of them."""

from __future__ import annotations

from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto import client as core
from aigw_proto._effects import (
    CloseHow,
    CloseLink,
    Connect,
    Deliver,
    Drained,
    EndSending,
    SendBytes,
    SetReading,
    TlsPolicy,
)
from aigw_proto._errors import LocalProtocolError
from aigw_proto._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    ConnectFailure,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId, Signal
from aigw_proto._limits import WebSocketLimits
from aigw_proto.client._line import CLOSED_HERE, Line, Stage
from aigw_proto.testing import check_engine
from aigw_proto.ws import BinaryMessage, Closed, Opening, Ping, TextMessage, UpgradeOffer, WSConnection
from support.client_bench import LINK, AnyInput, Bench, LineBench, RealtimeBench, counted

URL = core.GatewayUrl(secure=False, host="gateway", port=80, host_header=b"gateway", target=b"/v1/a/g")
SECURE = core.GatewayUrl(secure=True, host="gateway", port=443, host_header=b"gateway", target=b"/v1/a/g")
CONNECTION = core.CONNECTION_TICKET
GARBAGE = b"\xff\xff\xff\xff"  # as frames


class Make(Protocol):
    def __call__(
        self, *, limits: core.ClientLimits | None = None, websocket: WebSocketLimits | None = None
    ) -> LineBench: ...


@pytest.fixture(params=[Bench, RealtimeBench])
def make(request: pytest.FixtureRequest) -> Make:
    kind: Make = request.param
    return kind


def lost(bench: LineBench) -> core.ConnectionLost:
    """The end, as it was delivered last."""
    item = bench.items(CONNECTION)[-1]
    assert isinstance(item, core.ConnectionLost)
    return item


# Opening


def test_opening_asks_for_a_link_and_shakes_hands(make: Make) -> None:
    bench = make()
    bench.open(token="secret")
    connect = bench.effects[0]
    assert connect == Connect(LINK, "gateway", 8787, None, ())
    assert bench.offer is not None
    assert bench.offer.target == b"/v1/a/g"
    assert bench.offer.host == b"gateway:8787"
    assert (b"cf-aig-authorization", b"Bearer secret") in bench.offer.headers
    assert [type(item) for item in bench.items(CONNECTION)] == [core.Opened]
    bench.finish()


def test_a_secure_url_asks_for_tls_with_the_policy_given(make: Make) -> None:
    bench = make()
    bench.feed(core.OpenConnection(SECURE))
    assert bench.effects == [Connect(LINK, "gateway", 443, TlsPolicy(), ("http/1.1",))]
    bench = make()
    bench.feed(core.OpenConnection(SECURE, tls=TlsPolicy("ca.pem")))
    assert bench.effects == [Connect(LINK, "gateway", 443, TlsPolicy("ca.pem"), ("http/1.1",))]


def test_the_token_can_travel_as_a_subprotocol(make: Make) -> None:
    bench = make()
    bench.feed(core.OpenConnection(URL, "secret", core.TokenForm.SUBPROTOCOL, subprotocols=("realtime",)))
    bench.feed(LinkConnected(LINK))
    assert bench.see_offer().subprotocols == ("cf-aig-authorization.secret", "realtime")


def test_a_bad_header_is_the_callers_mistake_and_connects_nothing(make: Make) -> None:
    bench = make()
    with pytest.raises(LocalProtocolError, match="header 'a b'"):
        bench.engine.engine.handle(core.OpenConnection(URL, headers=(("a b", "c"),)), 1.0)
    assert bench.engine.engine.poll() is None


def test_an_engine_opens_once(make: Make) -> None:
    bench = make()
    bench.open()
    with pytest.raises(LocalProtocolError, match="one engine is one connection"):
        bench.engine.engine.handle(core.OpenConnection(URL), bench.now)


@pytest.mark.parametrize("status", [400, 401, 503])
def test_a_refusal_is_delivered_with_its_body(make: Make, status: int) -> None:
    bench = make()
    bench.feed(core.OpenConnection(URL))
    bench.feed(LinkConnected(LINK))
    bench.see_offer()
    bench.opening.reject(status, b'{"error":1}')
    bench.answer()
    refused = bench.only(CONNECTION, core.OpenRefused)
    assert (refused.status, refused.body) == (status, b'{"error":1}')
    assert bench.last(CloseLink).link == LINK
    bench.engine.finish()
    bench.feed(core.CloseConnection())
    bench.last(Drained)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"220 smtp.example.com ESMTP\r\n\r\n", "no WebSocket server"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", "Accept"),
    ],
)
def test_an_answer_that_is_no_handshake_is_a_failure(make: Make, answer: bytes, reason: str) -> None:
    bench = make()
    bench.feed(core.OpenConnection(URL))
    bench.feed(LinkConnected(LINK))
    bench.feed(BytesReceived(LINK, answer))
    assert reason in bench.only(CONNECTION, core.OpenFailed).reason
    bench.engine.finish()


@pytest.mark.parametrize("clean", [True, False])
def test_an_end_before_the_answer_is_a_failure(make: Make, clean: bool) -> None:
    bench = make()
    bench.feed(core.OpenConnection(URL))
    bench.feed(LinkConnected(LINK))
    bench.end(clean=clean)
    bench.only(CONNECTION, core.OpenFailed)
    bench.engine.finish()


def test_a_failed_connect_says_why(make: Make) -> None:
    bench = make()
    bench.feed(core.OpenConnection(URL))
    bench.feed(ConnectFailed(LINK, ConnectFailure.REFUSED, "gateway:80 refused"))
    assert bench.only(CONNECTION, core.OpenFailed) == core.OpenFailed("gateway:80 refused", ConnectFailure.REFUSED)
    bench.engine.finish()
    assert bench.engine.next_timeout() is None


@pytest.mark.parametrize("connected", [False, True])
def test_opening_has_a_deadline(make: Make, connected: bool) -> None:
    bench = make(limits=core.ClientLimits(open_timeout_seconds=7.0))
    bench.feed(core.OpenConnection(URL))
    if connected:
        bench.feed(LinkConnected(LINK))
    assert bench.engine.next_timeout() == bench.now + 7.0
    bench.wait(7.0)
    assert "7 s" in bench.only(CONNECTION, core.OpenFailed).reason
    assert bench.last(CloseLink) == CloseLink(LINK, CloseHow.ABORT)
    bench.engine.finish()


@pytest.mark.parametrize("connected", [False, True])
def test_closing_while_opening_withdraws(make: Make, connected: bool) -> None:
    bench = make()
    bench.feed(core.OpenConnection(URL))
    if connected:
        bench.feed(LinkConnected(LINK))
    bench.feed(core.CloseConnection())
    bench.only(CONNECTION, core.OpenFailed)
    assert bench.engine.drained


def test_closing_before_opening_drains(make: Make) -> None:
    bench = make()
    bench.feed(core.CloseConnection())
    bench.only(CONNECTION, core.OpenFailed)
    assert bench.engine.drained


def test_a_client_accepts_no_links(make: Make) -> None:
    with pytest.raises(LocalProtocolError, match="accepts no connections"):
        make().engine.engine.handle(LinkAccepted(LinkId(2), "somebody"), 1.0)


def test_effects_have_to_be_polled(make: Make) -> None:
    bench = make()
    bench.engine.engine.handle(core.OpenConnection(URL), 1.0)
    with pytest.raises(RuntimeError, match="poll"):
        bench.engine.engine.handle(LinkConnected(LINK), 1.0)
    with pytest.raises(RuntimeError, match="poll"):
        bench.engine.engine.handle_timeout(1.0)


def test_what_concerns_a_link_that_was_given_up_changes_nothing(make: Make) -> None:
    engine = make().engine.engine
    for event in (
        LinkConnected(LINK),
        ConnectFailed(LINK, ConnectFailure.NAME, ""),
        BytesReceived(LINK, b"x"),
        PeerClosed(LINK, clean=True),
        BytesSent(LINK, 0),
    ):
        engine.handle(event, 1.0)
        assert engine.poll() is None
        assert engine.next_timeout() is None


# What the engine asks


class Owner:
    def __init__(self) -> None:
        self.messages: list[TextMessage | BinaryMessage] = []
        self.ends: list[core.ConnectionLost] = []

    def receive_message(self, message: TextMessage | BinaryMessage) -> None:
        self.messages.append(message)

    def receive_end(self, lost: core.ConnectionLost) -> None:
        self.ends.append(lost)


def new_line(owner: Owner) -> Line:
    return Line(owner, random_bytes=counted, limits=None, http=None, websocket=None)


def drain(line: Line) -> bytes:
    """End the turn; returns what is sent."""
    line.pump()
    line.settle()
    sent = b""
    while (effect := line.poll()) is not None:
        if isinstance(effect, SendBytes):
            sent += b"".join(effect.chunks)
    return sent


def opened_line(owner: Owner) -> tuple[Line, WSConnection]:
    line, opening = new_line(owner), Opening.server(now=0.0)
    for event in (core.OpenConnection(URL), LinkConnected(LINK)):
        line.begin(0.0)
        line.take(event)
        opening.receive_data(drain(line), 0.0)
    assert isinstance(opening.next_event(), UpgradeOffer)
    opening.accept()
    line.begin(0.0)
    line.take(BytesReceived(LINK, b"".join(opening.data_to_send())))
    drain(line)
    assert opening.next_event() is Signal.SWITCHED
    return line, opening.connection(now=0.0)


def test_nothing_can_be_asked_of_a_line_that_is_not_open() -> None:
    line = new_line(Owner())
    with pytest.raises(LocalProtocolError, match="not open yet"):
        line.check_opened()
    assert line.sending_session() is None
    line.reject("nobody is there")
    line.close(1000, "")
    assert line.stage is Stage.NEW
    assert drain(line) == b""


def test_messages_and_the_end_go_to_the_owner() -> None:
    owner = Owner()
    line, gateway = opened_line(owner)
    line.check_opened()
    assert line.stage is Stage.OPEN
    gateway.send_text("one")
    gateway.send_binary(b"two")
    line.begin(1.0)
    line.take(BytesReceived(LINK, b"".join(gateway.data_to_send())))
    session = line.sending_session()
    assert session is not None
    session.send_text([b"three"])
    gateway.receive_data(drain(line), 1.0)
    assert owner.messages == [TextMessage("one"), BinaryMessage(b"two")]
    assert gateway.next_event() == TextMessage("three")
    line.begin(2.0)
    line.reject("nonsense")
    gateway.receive_data(drain(line), 2.0)
    assert gateway.next_event() == Closed(1002, "nonsense", clean=True)
    assert owner.ends == [core.ConnectionLost(1002, "nonsense", clean=False, closed_by=core.ClosedBy.CLIENT)]


def test_while_this_side_closes_the_owner_is_told_and_nothing_is_sent() -> None:
    owner = Owner()
    line, _ = opened_line(owner)
    line.begin(1.0)
    line.close(1000, "")
    assert owner.ends == [CLOSED_HERE]
    assert line.sending_session() is None
    assert drain(line)


# The end


@pytest.mark.parametrize("clean", [True, False])
def test_a_stream_that_ends_without_close(make: Make, clean: bool) -> None:
    bench = make()
    bench.open()
    bench.end(clean=clean)
    assert lost(bench) == core.ConnectionLost(1006, "", clean=False, closed_by=core.ClosedBy.NETWORK)
    assert bench.last(CloseLink) == CloseLink(LINK, CloseHow.FLUSH if clean else CloseHow.ABORT)
    bench.engine.finish()


def test_the_gateway_closes(make: Make) -> None:
    bench = make()
    bench.open()
    assert bench.gateway is not None
    bench.gateway.send_close(1012, "restart")
    bench.answer()
    bench.hear()
    assert bench.heard[-1] == Closed(1012, "", clean=True)  # it was answered
    bench.end()
    assert lost(bench) == core.ConnectionLost(1012, "restart", clean=True, closed_by=core.ClosedBy.PEER)
    assert bench.last(CloseLink) == CloseLink(LINK, CloseHow.FLUSH)
    bench.feed(core.CloseConnection())
    assert bench.engine.drained


def test_this_side_closes(make: Make) -> None:
    bench = make()
    bench.open()
    bench.feed(core.CloseConnection(4001, "enough"))
    assert bench.feed(core.CloseConnection(4002)) == []
    bench.hear()
    assert bench.heard[-1] == Closed(4001, "enough", clean=True)
    bench.answer()
    assert Drained() not in bench.effects
    bench.end()
    assert lost(bench) == core.ConnectionLost(4001, "", clean=True, closed_by=core.ClosedBy.PROGRAM)
    assert bench.engine.drained
    assert bench.engine.next_timeout() is None


def test_messages_behind_our_close_are_discarded(make: Make) -> None:
    bench = make()
    bench.open()
    bench.feed(core.CloseConnection())
    before = len(bench.delivered)
    bench.say("anything", b"at all")
    assert len(bench.delivered) == before
    bench.hear()
    bench.answer()
    bench.end()
    assert lost(bench).code == 1000


def test_a_close_that_no_frame_can_carry_changes_nothing(make: Make) -> None:
    bench = make()
    bench.open()
    for code in (1005, 1006, 999, 5000):
        with pytest.raises(LocalProtocolError, match=f"close code {code}"):
            bench.engine.engine.handle(core.CloseConnection(code), bench.now)
        with pytest.raises(LocalProtocolError, match=f"close code {code}"):
            core.check_close(code)
    core.check_close(3000)
    bench.finish()


def test_a_gateway_that_does_not_answer_close_is_left_after_the_deadline(make: Make) -> None:
    bench = make()
    bench.open()
    bench.feed(core.CloseConnection())
    bench.wait(10.0)
    assert (lost(bench).code, lost(bench).clean, lost(bench).closed_by) == (1006, False, core.ClosedBy.PROGRAM)
    bench.wait(2.0)
    assert bench.engine.drained


def test_a_gateway_that_does_not_end_its_stream_is_reset_after_lingering(make: Make) -> None:
    bench = make()
    bench.open()
    bench.feed(BytesReceived(LINK, GARBAGE))
    assert (lost(bench).code, lost(bench).closed_by) == (1002, core.ClosedBy.CLIENT)
    assert bench.last(EndSending).link == LINK
    bench.hear()
    assert isinstance(bench.heard[-1], Closed)
    assert bench.feed(BytesReceived(LINK, b"whatever")) == []
    assert bench.feed(BytesSent(LINK, 0)) == []
    bench.wait(2.0)
    assert bench.last(CloseLink) == CloseLink(LINK, CloseHow.ABORT)
    bench.engine.finish()
    bench.feed(core.CloseConnection())
    assert bench.engine.drained


def test_closing_while_lingering_waits_for_the_end_of_the_stream(make: Make) -> None:
    bench = make()
    bench.open()
    bench.feed(BytesReceived(LINK, GARBAGE))
    assert bench.feed(core.CloseConnection()) == []
    bench.end()
    assert bench.effects[-2:] == [CloseLink(LINK, CloseHow.FLUSH), Drained()]


def test_shutdown_closes(make: Make) -> None:
    bench = make()
    bench.open()
    bench.feed(ShutdownRequested(0.0))
    bench.hear()
    assert bench.heard[-1] == Closed(1000, "", clean=True)


def test_a_dead_gateway_is_noticed(make: Make) -> None:
    bench = make(websocket=WebSocketLimits(ping_interval_seconds=10.0, pong_timeout_seconds=5.0))
    bench.open()
    assert bench.engine.next_timeout() == bench.now + 10.0
    bench.wait(10.0)
    assert isinstance(bench.hear()[-1], Ping)
    bench.answer()
    bench.wait(10.0)
    bench.wait(5.0)
    assert (lost(bench).code, lost(bench).closed_by) == (1006, core.ClosedBy.CLIENT)
    assert "no sign of life" in lost(bench).reason


# Flow


SMALL = core.ClientLimits(high_water_bytes=2000, low_water_bytes=500)


def test_what_is_not_taken_stops_reading_until_it_is() -> None:
    bench = RealtimeBench(limits=SMALL)
    bench.open()
    bench.say(*["x" * 1000] * 4)
    assert bench.effects[-2:] == [SetReading(LINK, enabled=False), Deliver(CONNECTION, core.ReadingPaused(paused=True))]
    assert len(bench.messages()) == 2
    assert bench.feed(core.Consumed({CONNECTION: 1000})) == []
    bench.feed(core.Consumed({CONNECTION: 2000}))
    assert len(bench.messages()) == 4
    bench.feed(core.Consumed({CONNECTION: 3000}))
    assert bench.effects[-2:] == [SetReading(LINK, enabled=True), Deliver(CONNECTION, core.ReadingPaused(paused=False))]
    bench.finish()


def test_a_close_behind_a_pause_has_its_deadline_from_when_it_is_met() -> None:
    bench = RealtimeBench(limits=SMALL)
    bench.open()
    assert bench.gateway is not None
    bench.gateway.send_text("x" * 3000)
    bench.gateway.send_close(1001, "")
    bench.answer()
    bench.now += 100.0
    bench.feed(core.Consumed({CONNECTION: 10_000}))
    assert bench.engine.next_timeout() == bench.now
    bench.wait()
    assert bench.engine.next_timeout() == bench.now + 10.0
    bench.hear()
    bench.wait(10.0)
    assert (lost(bench).code, lost(bench).clean) == (1001, True)


def test_a_line_that_is_lost_while_paused_reads_again_to_linger() -> None:
    bench = RealtimeBench(limits=SMALL)
    bench.open()
    bench.say("x" * 3000)
    bench.feed(BytesReceived(LINK, GARBAGE))
    bench.feed(core.CloseConnection())
    assert bench.effects[-2:] == [SetReading(LINK, enabled=True), EndSending(LINK)]
    assert lost(bench).code == 1002
    bench.end()
    assert bench.engine.drained


def test_a_flood_is_worked_off_in_bounded_turns() -> None:
    bench = RealtimeBench(limits=core.ClientLimits(turn_messages=10))
    bench.open()
    bench.say(*[b""] * 95)
    assert len(bench.messages()) == 10
    assert bench.engine.next_timeout() == bench.now
    bench.settle()
    assert len(bench.messages()) == 95
    bench.finish()


def test_pongs_for_a_gateway_that_pings_and_never_reads_are_bounded(make: Make) -> None:
    bench = make(limits=core.ClientLimits(sending_high_water_bytes=10_000, sending_low_water_bytes=100))
    bench.open()
    unsent = 0
    for turn in range(200):
        if turn == 100:
            bench.feed(core.CloseConnection())
        effects = bench.feed(BytesReceived(LINK, (b"\x89\x7d" + bytes(125)) * 500))
        sent = sum(len(chunk) for effect in effects if isinstance(effect, SendBytes) for chunk in effect.chunks)
        unsent += sent
        if sent:
            bench.feed(BytesSent(LINK, unsent))
    assert unsent < 100_000
    bench.end(clean=False)
    bench.engine.finish()


def test_a_close_is_answered_although_much_is_unsent(make: Make) -> None:
    bench = make(limits=core.ClientLimits(sending_high_water_bytes=10, sending_low_water_bytes=5))
    bench.open()
    bench.feed(BytesReceived(LINK, b"\x89\x00"))
    bench.feed(BytesSent(LINK, 11))
    assert bench.gateway is not None
    bench.gateway.send_close(1001, "")
    bench.answer()
    bench.hear()
    assert bench.heard[-1] == Closed(1001, "", clean=True)


# Any bytes


@pytest.mark.parametrize("kind", [core.ClientEngine, core.RealtimeClientEngine])
def test_the_rules_of_engines_are_kept(kind: type[core.ClientEngine | core.RealtimeClientEngine]) -> None:
    events: list[AnyInput] = [core.OpenConnection(URL), LinkConnected(LINK), core.CloseConnection()]
    for count in range(1, 4):
        check_engine(lambda: kind(random_bytes=counted), events[:count])  # type: ignore[arg-type, return-value] # shared


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=8), st.sampled_from([Bench, RealtimeBench]))
def test_no_bytes_of_a_gateway_raise(pieces: list[bytes], kind: Make) -> None:
    bench = kind()
    bench.open()
    for piece in pieces:
        bench.feed(BytesReceived(LINK, piece))
    bench.end()
    bench.settle()
    assert isinstance(lost(bench), core.ConnectionLost)
    bench.engine.finish()
