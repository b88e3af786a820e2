"""Any request, in any cuts: an offer whose answer a client takes, or one whole HTTP refusal; never an error.

The input: what is answered, in two bytes, then what the client sends. What is accepted is also read by wsproto.
"""

from __future__ import annotations

from wsproto.connection import ConnectionType
from wsproto.handshake import H11Handshake
from wsproto.utilities import RemoteProtocolError

from aigw_proto import HttpLimits, LocalProtocolError, Role, Signal
from aigw_proto.http import BodyPiece, EndOfMessage, Failed, H1Connection, HttpEvent, Response, StreamEnded
from aigw_proto.testing import run_machine
from aigw_proto.ws import (
    DeflatePolicy,
    Opening,
    OpeningEvent,
    UpgradeAccepted,
    UpgradeOffer,
    UpgradeRefused,
    check_response,
    check_upgrade,
    upgrade_request,
)
from fuzz.script import Script, cuts

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
POLICIES = [None, DeflatePolicy(), DeflatePolicy(True, True, 9, 10)]
LIMITS = HttpLimits(max_head_bytes=2048)


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    policy, rejects = script.choice(POLICIES), script.random() < 0.2
    stream = script.rest()
    whole = Answered([stream], policy, rejects=rejects)
    for chunks in cuts(stream):
        cut = Answered(chunks, policy, rejects=rejects)
        assert (cut.event, cut.taken, cut.sent, cut.left) == (whole.event, whole.taken, whole.sent, whole.left)
    whole.check()
    if isinstance(whole.event, UpgradeOffer):
        check_offer(whole.event, stream)


class Answered:
    """One handshake, to its end."""

    def __init__(self, chunks: list[bytes], policy: DeflatePolicy | None, *, rejects: bool) -> None:
        self.opening = Opening.server(now=0.0, limits=LIMITS)
        self.policy = policy
        self.rejects = rejects
        self.taken: UpgradeAccepted | None = None
        events: list[OpeningEvent] = []
        for chunk in chunks:
            self.opening.receive_data(chunk, 0.0)
            events += self.pull()
        self.opening.receive_eof(0.0)
        events += self.pull()
        (self.event,) = events
        self.sent = b"".join(self.opening.data_to_send())
        self.left = self.opening.unconsumed() if self.opening.next_event() is Signal.SWITCHED else b""

    def pull(self) -> list[OpeningEvent]:
        """Pull all events, and answer an offer."""
        events: list[OpeningEvent] = []
        while not isinstance(event := self.opening.next_event(), Signal):
            events.append(event)
            if isinstance(event, UpgradeOffer):
                self.answer(event)
        return events

    def answer(self, offer: UpgradeOffer) -> None:
        """Answer an offer; a second answer is the caller's mistake."""
        if self.rejects:
            self.opening.reject(403, b"no")
        else:
            chosen = offer.subprotocols[0] if offer.subprotocols else None
            self.taken = self.opening.accept(subprotocol=chosen, deflate=self.policy)
        try:
            self.opening.accept()
        except LocalProtocolError:
            return
        raise AssertionError("an offer was answered twice")

    def check(self) -> None:
        """What was sent is one whole answer, and a client takes a 101 for what it is."""
        event = self.event
        if isinstance(event, StreamEnded):
            assert not self.sent
            return
        key = event.key if isinstance(event, UpgradeOffer) else KEY
        client = H1Connection(Role.CLIENT, now=0.0)
        client.send_request(upgrade_request(host=b"h", target=b"/", key=key))
        client.end_message()
        received: list[HttpEvent] = run_machine(client, [self.sent], eof=True)
        head = received[0]
        assert isinstance(head, Response)
        if self.taken is not None:
            assert isinstance(event, UpgradeOffer)
            taken = check_response(head, key=key, subprotocols=event.subprotocols, deflate=DeflatePolicy())
            assert isinstance(taken, UpgradeAccepted)
            assert (taken.subprotocol, taken.deflate) == (self.taken.subprotocol, self.taken.deflate)
            return
        assert isinstance(received[-1], StreamEnded)
        assert all(isinstance(each, BodyPiece | EndOfMessage) for each in received[1:-1])
        if isinstance(event, UpgradeOffer):
            assert head.status == 403
        else:
            assert isinstance(event, UpgradeRefused | Failed)
            assert event.reason
            assert head.status == event.status >= 400


def check_offer(offer: UpgradeOffer, stream: bytes) -> None:
    """The same wish, printed anew, is the same wish; and wsproto, which is laxer, grants it too."""
    key, host = offer.key, offer.host
    request = upgrade_request(host=host, target=offer.target, key=key, subprotocols=offer.subprotocols)
    again = check_upgrade(request)
    assert isinstance(again, UpgradeOffer)
    assert (again.target, again.host, again.key, again.subprotocols) == (offer.target, host, key, offer.subprotocols)
    connections = [value.lower() for name, value in offer.headers if name.lower() == b"connection"]
    upgrades = [value.lower() for name, value in offer.headers if name.lower() == b"upgrade"]
    if b"upgrade" not in [token.strip() for token in connections[-1].split(b",")] or upgrades[-1] != b"websocket":
        return  # it looks at the last line only, and at Upgrade as one word
    if any(octet > 0x7F for _, value in offer.headers for octet in value):
        return  # it decodes lists as ASCII
    try:
        H11Handshake(ConnectionType.SERVER).receive_data(stream)
    except RemoteProtocolError as error:
        raise AssertionError(f"wsproto refuses what is accepted here: {error}") from error
