"""The observers of realtime sessions, with gateways that do not do what they should."""

from __future__ import annotations

import pytest

from aigw_transports.memory import Faults, Peer, World
from aigw_transports.simulation import Leaving, Message, Pace, RealtimeProvider, RealtimeSession
from aigw_transports.simulation._wire import (
    BINARY,
    CLOSE,
    FIN,
    KEY,
    PING,
    PONG,
    TEXT,
    accept_value,
    close_payload,
    frame,
    upgrade_request,
)

SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
SAYS = Pace([Message(b"one"), Message(b"two", is_text=False)], close=(1000, b"bye"))
LISTENS = Pace([])
BYE = close_payload(1000, b"bye")


def to_client(head: int, payload: bytes = b"") -> bytes:
    return frame(head, payload, masked=False)


def to_provider(head: int, payload: bytes = b"") -> bytes:
    return frame(head, payload, masked=True)


ONE, TWO, CLOSED = to_provider(FIN | TEXT, b"one"), to_provider(FIN | BINARY, b"two"), to_provider(FIN | CLOSE, BYE)
BACK, OWN = to_client(FIN | CLOSE, BYE), to_client(FIN | CLOSE, close_payload(1000))


class Stand:
    """A client and a provider, with a gateway between them that says what it is told to."""

    def __init__(
        self,
        *to_far: bytes,
        back: bytes = BACK,
        client: Pace = SAYS,
        far: Pace = LISTENS,
        switch: bytes = SWITCH,
        faults: Faults | None = None,
    ) -> None:
        self.world = World(1)
        self._to_far, self._back, self._switch = b"".join(to_far), back, switch
        self.client_side: Peer | None = None
        self.far_side: Peer | None = None
        self.world.listen("gateway", 80, on_peer=self._play)
        provider = RealtimeProvider(self.world, "live")
        self.session = RealtimeSession(self.world, provider, "s1", client, far, faults=faults or self.world.faults)
        self.session.connect("gateway")

    def _play(self, client: Peer) -> None:
        self.client_side = client
        far = self.far_side = self.world.peer("live", 80)
        if self._switch.startswith(b"HTTP/1.1 101"):
            far.send(upgrade_request("/s1"))
        far.on_data = lambda _: self._begin(client, far)
        client.send(self._switch)
        client.on_end = client.close
        far.on_end = far.close

    def _begin(self, client: Peer, far: Peer) -> None:
        far.on_data = None
        far.send(self._to_far)
        self.world.after(1.0, lambda: self._answer(client))

    def _answer(self, client: Peer) -> None:
        client.send(self._back)
        client.end_sending()

    def run(self) -> RealtimeSession:
        self.world.run(until=self.world.time + 10.0)
        return self.session

    def judge(self) -> None:
        self.run().judge(slack_seconds=2.0, half_seconds=5.0)


def test_a_session_as_it_should_be() -> None:
    stand = Stand(ONE, TWO, CLOSED)
    stand.judge()
    client, far = stand.session.client, stand.session.far
    assert (far.got, far.got_close, far.said_close) == (2, (1000, b"bye"), (1000, b"bye"))
    assert (client.got_close, client.broken) == ((1000, b"bye"), False)
    assert stand.session.has_ended
    assert not stand.session.goes_on


def test_an_end_may_say_all_before_it_answers() -> None:
    paces = [
        Pace([Message(b"my"), Message(b"last"), Message(b"words")], gap_seconds=0.5, talks_on=talks_on)
        for talks_on in (True, False)
    ]
    told = [Stand(ONE, TWO, CLOSED, far=pace).run().far for pace in paces]
    assert [len(far.said) for far in told] == [3, 1]
    assert all(far.has_answered and far.said_close == (1000, b"bye") for far in told)
    assert [(far.said_close_at or 0.0) > 1.0 for far in told] == [True, False]


def test_fragments_may_be_cut_anew() -> None:
    Stand(to_provider(TEXT, b"o"), to_provider(0), to_provider(FIN, b"ne"), TWO, CLOSED).judge()


@pytest.mark.parametrize(
    ("to_far", "complaint"),
    [
        ([TWO], "message 0 is b'two', and was b'one'"),
        ([ONE, ONE], "message 1 is b'one', and was b'two'"),
        ([to_provider(FIN | BINARY, b"one")], "message 0 is"),
        ([ONE, TWO, TWO], "a message that client s1 has not sent"),
        ([to_provider(TEXT, b"o"), ONE], "a message within a message"),
        ([to_provider(FIN, b"one")], "none to go on with"),
        ([CLOSED, ONE], "a frame behind a Close"),
        ([to_provider(FIN | PONG, b"1")], "a pong 1 that it did not ask for"),
        ([to_client(FIN | TEXT, b"one")], "masked"),
    ],
)
def test_a_gateway_that_errs_in_its_frames(to_far: list[bytes], complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Stand(*to_far).run()


@pytest.mark.parametrize(
    ("to_far", "back", "complaint"),
    [
        ([ONE, CLOSED], BACK, "1 of 2 messages of client s1 came"),
        ([ONE, TWO, to_provider(FIN | CLOSE, close_payload(4000, b"x"))], BACK, "nobody sent it the Close"),
        ([ONE, TWO, CLOSED], to_client(FIN | CLOSE, close_payload(4000)), "nobody sent it the Close"),
        ([ONE, TWO, CLOSED], b"", "client s1: was never sent a Close"),
        ([ONE, TWO], OWN, "provider s1: was never sent a Close"),
        ([to_provider(TEXT, b"x"), CLOSED], BACK, "a part of a message that was changed"),
        ([ONE, TWO, to_provider(TEXT, b"t"), CLOSED], BACK, "a part of a message that was not sent"),
    ],
)
def test_a_gateway_that_errs_in_the_end(to_far: list[bytes], back: bytes, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Stand(*to_far, back=back).judge()


def test_a_gateway_that_gives_up_without_a_reason() -> None:
    gave_up = close_payload(1011, b"the provider's connection was lost")
    quiet = Pace([])
    with pytest.raises(AssertionError, match="provider s1 is well, but the gateway says"):
        Stand(to_provider(FIN | PING, b"?"), back=to_client(FIN | CLOSE, gave_up), client=quiet).judge()


def test_a_ping_that_is_not_answered() -> None:
    pinging = Pace([Message(b"one")], pings=True, close=(1000, b"bye"))
    with pytest.raises(AssertionError, match="0 of 1 pings"):
        Stand(ONE, CLOSED, client=pinging).judge()
    Stand(ONE, CLOSED, client=pinging, back=to_client(FIN | PONG, b"1") + BACK).judge()


def test_an_end_that_is_not_told_that_the_other_is_gone() -> None:
    leaving = Pace([Message(b"one")], leaves=Leaving.RESET)
    stand = Stand(ONE, client=leaving)
    far = stand.session.far
    stand.world.after(9.0, lambda: _tell(stand.far_side))
    stand.world.run(until=20.0)
    assert far.got_close == (1011, b"the client's connection was lost")
    with pytest.raises(AssertionError, match="does not hear that client s1 is gone"):
        stand.session.judge(slack_seconds=2.0, half_seconds=5.0)
    stand.session.judge(slack_seconds=12.0, half_seconds=5.0)


def _tell(peer: Peer | None) -> None:
    assert peer is not None
    peer.send(to_provider(FIN | CLOSE, close_payload(1011, b"the client's connection was lost")))


def test_a_close_that_is_answered_too_late() -> None:
    stand = Stand(ONE, TWO, CLOSED)
    stand.run()
    with pytest.raises(AssertionError, match="its Close was answered after"):
        stand.session.judge(slack_seconds=0.5, half_seconds=0.1)


@pytest.mark.parametrize(
    ("switch", "faults", "complaint"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", None, "refused for no reason"),
        (b"HTTP/1.1 418 No\r\n\r\n", None, "refused with 418"),
        (b"HTTP/1.1 400 No\r\n\r\n", None, "refused with 400"),
        (b"", None, "was never answered"),
    ],
)
def test_a_client_that_is_not_let_in(switch: bytes, faults: Faults | None, complaint: str) -> None:
    with pytest.raises(AssertionError, match=complaint):
        Stand(switch=switch, faults=faults).judge()


@pytest.mark.parametrize("status", [b"400", b"408", b"502", b"503"])
def test_a_client_that_is_not_let_in_for_a_reason(status: bytes) -> None:
    Stand(switch=b"HTTP/1.1 %b No\r\n\r\n" % status, faults=Faults(stall=0.001)).judge()


def test_a_client_that_is_let_in_without_a_provider() -> None:
    world = World(1)

    def play(client: Peer) -> None:
        def on_data(_: bytes) -> None:
            client.on_data = None
            client.send(SWITCH)

        client.on_data = on_data

    world.listen("gateway", 80, on_peer=play)
    session = RealtimeSession(world, RealtimeProvider(world, "live"), "s1", SAYS, LISTENS, faults=world.faults)
    session.connect("gateway")
    world.run(until=1.0)
    with pytest.raises(AssertionError, match="was let in without its provider"):
        session.judge(slack_seconds=1.0, half_seconds=1.0)


def test_a_provider_that_is_asked_twice() -> None:
    world = World(1)
    session = RealtimeSession(world, RealtimeProvider(world, "live"), "s1", SAYS, LISTENS, faults=world.faults)
    assert not session.has_ended
    peers = [world.peer("live", 80) for _ in range(2)]
    peers[0].send(upgrade_request("/s1"))
    world.run(until=1.0)
    assert accept_value(KEY) in peers[0].received
    peers[1].send(upgrade_request("/s1"))
    with pytest.raises(AssertionError, match="a second connection for one session"):
        world.run(until=2.0)


def test_what_an_end_does_in_its_own_time() -> None:
    messages = [Message(b"one"), Message(b"two"), Message(b"three" * 10, fragment_bytes=20)]
    slow = Pace(messages, gap_seconds=1.0, close=(None, b""))
    stand = Stand(client=slow)
    client = stand.session.client
    stand.world.run(until=1.5)
    assert len(client.said) == 2
    client.read(False)
    assert not client.is_good
    stand.run()
    assert client.said_close is not None or client.got_close is not None
    four, two = b"\x14" + b"three" * 4, b"\x0a" + b"three" * 2
    assert messages[2].frames(masked=False) == b"\x01" + four + b"\x00" + four + b"\x80" + two


def test_an_end_that_ends_its_direction_and_one_that_never_answers() -> None:
    stand = Stand(ONE, client=Pace([Message(b"one")], leaves=Leaving.FIN), far=Pace([], answers_close=False))
    session = stand.run()
    assert session.client.left_at is not None
    assert session.client.over_at == session.client.left_at
    assert not session.client.can_speak
    assert not session.far.is_good
    _tell(stand.far_side)
    stand.run()
    assert session.far.got_close is not None
    assert session.far.said_close is None


def test_pings_of_the_gateway_are_answered() -> None:
    stand = Stand(to_provider(FIN | PING, b"there?"))
    session = stand.run()
    assert stand.far_side is not None
    assert b"\x8a\x06there?" in stand.far_side.received
    assert session.far.can_speak
