from __future__ import annotations

from hypothesis import event, given, settings
from hypothesis import strategies as st

from aigw_proto import HttpLimits
from aigw_proto.testing import run_machine
from aigw_proto.testing.strategies import Handshake, cuts, upgrade_requests, upgrade_responses
from aigw_proto.ws import Opening, OpeningEvent, UpgradeAccepted, UpgradeOffer

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
OFFERED = ("chat", "superchat")


def first(opening: Opening, chunks: list[bytes]) -> OpeningEvent:
    events: list[OpeningEvent] = run_machine(opening, chunks, eof=True)
    return events[0]


@settings(max_examples=50)
@given(handshake=upgrade_requests(), data=st.data())
def test_a_server_accepts_the_good_requests_and_no_others(handshake: Handshake, data: st.DataObject) -> None:
    event(handshake.fault or "good")
    opening = Opening.server(now=0.0, limits=HttpLimits())
    answer = first(opening, data.draw(cuts(handshake.data)))
    assert isinstance(answer, UpgradeOffer) == (handshake.fault is None)


@settings(max_examples=50)
@given(handshake=upgrade_responses(KEY, subprotocols=OFFERED), data=st.data())
def test_a_client_takes_the_good_answers_and_no_others(handshake: Handshake, data: st.DataObject) -> None:
    event(handshake.fault or "good")
    opening = Opening.client(now=0.0, host=b"h", target=b"/", key=KEY, subprotocols=OFFERED)
    answer = first(opening, data.draw(cuts(handshake.data)))
    assert isinstance(answer, UpgradeAccepted) == (handshake.fault is None)


@settings(max_examples=50)
@given(good=upgrade_requests(valid=True), bad=upgrade_requests(valid=False))
def test_requests_of_one_kind(good: Handshake, bad: Handshake) -> None:
    assert good.fault is None
    assert bad.fault is not None


@settings(max_examples=50)
@given(good=upgrade_responses(KEY, valid=True), bad=upgrade_responses(KEY, valid=False))
def test_answers_of_one_kind(good: Handshake, bad: Handshake) -> None:
    assert b"sec-websocket-protocol" not in good.data.lower()
    assert good.fault is None
    assert bad.fault is not None
