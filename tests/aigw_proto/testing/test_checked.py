from __future__ import annotations

import pytest

from aigw_proto._effects import CloseLink, Connect, Drained, Effect, EndSending, Journal, SendBytes, SetReading
from aigw_proto._inputs import (
    BytesReceived,
    BytesSent,
    ConnectFailed,
    ConnectFailure,
    Input,
    LinkAccepted,
    LinkConnected,
    PeerClosed,
    ShutdownRequested,
)
from aigw_proto._kinds import LinkId
from aigw_proto.testing import Checked, ContractError, ToyEngine

EVEN, ODD = LinkId(0), LinkId(1)
ACCEPTED = LinkAccepted(EVEN, "peer")
CONNECT = Connect(ODD, "host", 80)
FAILED = ConnectFailed(ODD, ConnectFailure.REFUSED, "host:80: refused")
DATA = BytesReceived(EVEN, b"x")
SEND = SendBytes(EVEN, [b"abc"])
STOP = ShutdownRequested(0.0)


class Obedient(ToyEngine):
    """Asks for whatever the test says next."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[Effect] = []

    def received(self, event: Input) -> None:
        for order in self.orders:
            self.ask(order)


def turn(checked: Checked[Input], event: Input, *effects: Effect, now: float = 0.0) -> None:
    engine = checked.engine
    assert isinstance(engine, Obedient)
    engine.orders = list(effects)
    checked.handle(event, now)
    polled: list[Effect] = []
    while (effect := checked.poll()) is not None:
        polled.append(effect)
    assert polled == list(effects)


def play(*turns: tuple[Input, list[Effect]], bound: int | None = None) -> Checked[Input]:
    checked = Checked(Obedient(), max_unsent_bytes=bound)
    for event, effects in turns:
        turn(checked, event, *effects)
    return checked


def test_a_whole_life_passes() -> None:
    checked = play(
        (ACCEPTED, [CONNECT]),
        (DATA, [SEND, SetReading(EVEN, False)]),
        (BytesSent(EVEN, 3), []),
        (DATA, []),  # the read that was under way
        (BytesSent(EVEN, 1), [SetReading(EVEN, True)]),
        (LinkConnected(ODD), [SendBytes(ODD, [b"a", b"b"]), EndSending(ODD)]),
        (BytesSent(EVEN, 0), []),
        (PeerClosed(EVEN, clean=True), [SEND]),
        (PeerClosed(ODD, clean=False), [CloseLink(ODD), CloseLink(EVEN), Journal("entry")]),
        (STOP, [Drained()]),
    )
    assert checked.drained
    assert checked.open_links == ()
    checked.finish()


def test_what_is_open_is_known() -> None:
    checked = play((ACCEPTED, [CONNECT, Connect(LinkId(3), "host", 80)]), (FAILED, []))
    assert checked.open_links == (EVEN, LinkId(3))
    with pytest.raises(ContractError, match=r"engine: links \[0, 3\] were never closed"):
        checked.finish()


DRIVER_FAULTS: list[tuple[str, list[tuple[Input, list[Effect]]]]] = [
    ("not a fresh even link", [(LinkAccepted(ODD, "peer"), [])]),
    ("not a fresh even link", [(ACCEPTED, []), (ACCEPTED, [])]),
    ("not a fresh even link", [(ACCEPTED, [CloseLink(EVEN)]), (ACCEPTED, [])]),
    ("does not exist", [(DATA, [])]),
    ("does not exist", [(LinkConnected(ODD), [])]),
    ("a link that is closed", [(ACCEPTED, [CloseLink(EVEN)]), (DATA, [])]),
    ("a link that is closed", [(ACCEPTED, [CloseLink(EVEN)]), (PeerClosed(EVEN, clean=True), [])]),
    ("a link that is closed", [(ACCEPTED, [SEND, CloseLink(EVEN)]), (BytesSent(EVEN, 1), [])]),
    ("a link that is closed", [(ACCEPTED, [CONNECT]), (STOP, [CloseLink(ODD)]), (LinkConnected(ODD), [])]),
    ("a link that is closed", [(ACCEPTED, [CONNECT]), (STOP, [CloseLink(ODD)]), (FAILED, [])]),
    ("a link that is open", [(ACCEPTED, [CONNECT]), (LinkConnected(ODD), []), (FAILED, [])]),
    ("a link that is open", [(ACCEPTED, [CONNECT]), (LinkConnected(ODD), []), (LinkConnected(ODD), [])]),
    ("a link that is failed to connect", [(ACCEPTED, [CONNECT]), (FAILED, []), (FAILED, [])]),
    ("a link that is connecting", [(ACCEPTED, [CONNECT]), (BytesReceived(ODD, b"x"), [])]),
    ("without bytes", [(ACCEPTED, []), (BytesReceived(EVEN, b""), [])]),
    ("after PeerClosed", [(ACCEPTED, []), (PeerClosed(EVEN, clean=True), []), (DATA, [])]),
    ("after PeerClosed", [(ACCEPTED, []), (PeerClosed(EVEN, clean=True), []), (PeerClosed(EVEN, clean=False), [])]),
    ("which is paused", [(ACCEPTED, [SetReading(EVEN, False)]), (DATA, []), (DATA, [])]),
    ("reports no progress", [(ACCEPTED, []), (BytesSent(EVEN, 0), [])]),
    ("reports no progress", [(ACCEPTED, [SEND]), (BytesSent(EVEN, 2), []), (BytesSent(EVEN, 2), [])]),
    ("when at most 3 bytes", [(ACCEPTED, [SEND]), (BytesSent(EVEN, 4), [])]),
    ("called the engine after Drained", [(STOP, [Drained()]), (STOP, [])]),
]


@pytest.mark.parametrize(("complaint", "turns"), DRIVER_FAULTS)
def test_drivers_are_blamed(complaint: str, turns: list[tuple[Input, list[Effect]]]) -> None:
    *before, last = turns
    checked = play(*before)
    with pytest.raises(ContractError, match=rf"^driver: .*{complaint}"):
        turn(checked, last[0])


ENGINE_FAULTS: list[tuple[str, list[tuple[Input, list[Effect]]]]] = [
    ("not a fresh odd link", [(ACCEPTED, [Connect(LinkId(2), "host", 80)])]),
    ("not a fresh odd link", [(ACCEPTED, [CONNECT, CONNECT])]),
    ("not a fresh odd link", [(ACCEPTED, [CONNECT]), (FAILED, [CONNECT])]),
    ("does not exist", [(STOP, [SEND])]),
    ("does not exist", [(STOP, [CloseLink(EVEN)])]),
    ("a link that is connecting", [(ACCEPTED, [CONNECT, SendBytes(ODD, [b"x"])])]),
    ("a link that is connecting", [(ACCEPTED, [CONNECT, SetReading(ODD, False)])]),
    ("a link that is closed", [(ACCEPTED, [CloseLink(EVEN), SEND])]),
    ("a link that is closed", [(ACCEPTED, [CloseLink(EVEN), CloseLink(EVEN)])]),
    ("a link that is failed to connect", [(ACCEPTED, [CONNECT]), (FAILED, [CloseLink(ODD)])]),
    ("a second SendBytes on link 0", [(ACCEPTED, [SEND, SEND])]),
    ("with nothing in it", [(ACCEPTED, [SendBytes(EVEN, [])])]),
    ("with nothing in it", [(ACCEPTED, [SendBytes(EVEN, [b"a", b""])])]),
    ("changes nothing", [(ACCEPTED, [SetReading(EVEN, True)])]),
    ("changes nothing", [(ACCEPTED, [SetReading(EVEN, False)]), (STOP, [SetReading(EVEN, False)])]),
    ("SendBytes on link 0 after EndSending", [(ACCEPTED, [EndSending(EVEN), SEND])]),
    ("EndSending on link 0 after EndSending", [(ACCEPTED, [EndSending(EVEN)]), (STOP, [EndSending(EVEN)])]),
    ("which is broken", [(ACCEPTED, []), (PeerClosed(EVEN, clean=False), [SEND])]),
    ("were never closed", [(ACCEPTED, [Drained()])]),
    ("after Drained", [(STOP, [Drained(), Journal("entry")])]),
]


@pytest.mark.parametrize(("complaint", "turns"), ENGINE_FAULTS)
def test_engines_are_blamed(complaint: str, turns: list[tuple[Input, list[Effect]]]) -> None:
    *before, last = turns
    checked = play(*before)
    with pytest.raises(ContractError, match=rf"^engine: .*{complaint}"):
        turn(checked, last[0], *last[1])


def test_unsent_bytes_are_bounded_when_a_bound_is_given() -> None:
    checked = play((ACCEPTED, [SEND]), (BytesSent(EVEN, 2), []), bound=2)
    turn(checked, DATA, SEND)
    with pytest.raises(ContractError, match=r"^engine: BytesSent\(link=0, unsent=3\) is beyond the bound of 2"):
        turn(checked, BytesSent(EVEN, 3))


def test_a_turn_must_be_polled_to_its_end() -> None:
    checked = Checked(Obedient())
    checked.handle(STOP, 0.0)
    with pytest.raises(RuntimeError, match="not all polled"):
        checked.handle(STOP, 0.0)
    with pytest.raises(RuntimeError, match="not all polled"):
        checked.handle_timeout(0.0)
    assert checked.poll() is None
    assert checked.poll() is None
    checked.handle(STOP, 0.0)


def test_time_does_not_go_back() -> None:
    checked = play((STOP, []))
    turn(checked, STOP, now=2.0)
    with pytest.raises(ContractError, match=r"^driver: time went back from 2.0 to 1.0"):
        turn(checked, STOP, now=1.0)


class Timed(ToyEngine):
    """Has whatever deadline the test sets, and keeps it."""

    def handle_timeout(self, now: float) -> None:
        self.now = now


def wake(checked: Checked[Input], now: float) -> None:
    checked.handle_timeout(now)
    while checked.poll() is not None:
        pass


def test_a_deadline_never_lies_before_the_time_just_handled() -> None:
    engine = Timed()
    checked = Checked(engine)
    engine.deadline = 5.0
    wake(checked, 5.0)  # work remains
    assert checked.next_timeout() == 5.0
    with pytest.raises(ContractError, match=r"^engine: next_timeout\(\) is 5.0 after it was given 6.0"):
        wake(checked, 6.0)


def test_a_deadline_may_be_overdue_when_an_input_came_first() -> None:
    engine = Timed()
    checked = Checked(engine)
    engine.deadline = 5.0
    checked.handle(STOP, 6.0)
    assert checked.poll() is None
    engine.deadline = 7.0
    checked.handle(STOP, 6.5)
    engine.deadline = 6.0
    with pytest.raises(ContractError, match=r"^engine: next_timeout\(\) is 6.0 after it was given 6.5"):
        checked.poll()


def test_an_engine_that_spins_is_blamed() -> None:
    engine = Timed()
    checked = Checked(engine)
    engine.deadline = 5.0
    for _ in range(9_999):
        wake(checked, 5.0)
    with pytest.raises(ContractError, match=r"^engine: spins"):
        wake(checked, 5.0)
