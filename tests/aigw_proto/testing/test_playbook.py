from __future__ import annotations

import pytest

from aigw_proto._effects import (
    CloseHow,
    CloseLink,
    Connect,
    Effect,
    Journal,
    Log,
    LogLevel,
    SendBytes,
    SetReading,
    TlsPolicy,
)
from aigw_proto._inputs import BytesReceived, Input, LinkAccepted, PeerClosed, ShutdownRequested
from aigw_proto._kinds import LinkId
from aigw_proto.testing import Checked, Placeholder, Playbook, ToyEngine

LINK, OTHER, UPSTREAM = LinkId(0), LinkId(2), LinkId(1)
ACCEPTED = LinkAccepted(LINK, "peer")
DATA = BytesReceived(LINK, b"x")


class Obedient(ToyEngine):
    """Asks for the next of its orders at each input but `LinkAccepted`, and at each deadline."""

    def __init__(self, *orders: list[Effect]) -> None:
        super().__init__()
        self.orders = list(orders)
        self.deadlines: list[float] = []

    def received(self, event: Input) -> None:
        if not isinstance(event, LinkAccepted):
            self.woken()

    def woken(self) -> None:
        for order in self.orders.pop(0) if self.orders else []:
            self.ask(order)
        self.deadline = self.deadlines.pop(0) if self.deadlines else None


def test_a_script_that_holds() -> None:
    engine = Obedient([Connect(UPSTREAM, "host", 80), SendBytes(LINK, [b"a", b"b"])], [CloseLink(LINK)])
    with Playbook(engine) as play:
        play.feed(ACCEPTED).expect()
        play.feed(DATA).expect(Connect(UPSTREAM, "host", 80)).expect(SendBytes(LINK, [b"ab"]))
        play.feed(PeerClosed(LINK, clean=True)).expect(CloseLink(LINK))
        assert play.checked.open_links == (UPSTREAM,)


def test_an_engine_that_is_checked_is_not_wrapped_again() -> None:
    checked = Checked(Obedient())
    with Playbook(checked) as play:
        assert play.checked is checked


MISMATCHES: list[tuple[list[Effect], list[Effect]]] = [
    ([], [CloseLink(LINK)]),
    ([CloseLink(LINK)], [CloseLink(LINK, CloseHow.ABORT)]),
    ([SetReading(LINK, False)], [CloseLink(LINK)]),
    ([SendBytes(LINK, [b"a"])], [SendBytes(LINK, [b"b"])]),
    ([Connect(UPSTREAM, "a", 1), SendBytes(LINK, [b"a"])], [SendBytes(LINK, [b"a"]), Connect(UPSTREAM, "a", 1)]),
    ([Connect(UPSTREAM, "a", 1, alpn=("h2",))], [Connect(UPSTREAM, "a", 1)]),
    ([Connect(UPSTREAM, "a", 1, TlsPolicy())], [Connect(UPSTREAM, "a", 1, TlsPolicy("ca.pem"))]),
    ([Journal([1, 2])], [Journal((1, 2))]),
]


@pytest.mark.parametrize(("asked", "expected"), MISMATCHES)
def test_a_script_that_does_not_hold_is_shown(asked: list[Effect], expected: list[Effect]) -> None:
    with Playbook(Obedient(asked)) as play:
        play.feed(ACCEPTED)
        play.feed(DATA)
        with pytest.raises(AssertionError, match="the engine did not ask for what was expected") as caught:
            play.expect(*expected)
    lines = str(caught.value).splitlines()
    assert lines[1:3] == ["0.000 >> LinkAccepted(link=0, peer='peer')", "0.000 >> BytesReceived(link=0, data=b'x')"]
    assert [line for line in lines if line.startswith("-")]
    assert len([line for line in lines if line.startswith("+")]) == len(asked)


def test_what_was_met_is_part_of_the_shown_script() -> None:
    with Playbook(Obedient([SendBytes(LINK, [b"a"]), CloseLink(LINK)])) as play:
        play.feed(ACCEPTED)
        with pytest.raises(AssertionError) as caught:
            play.feed(DATA).expect(SendBytes(LINK, [b"a"]), SetReading(LINK, False))
    assert str(caught.value).splitlines()[3:] == [
        "   << SendBytes(link=0, chunks=[b'a'])",
        "-  << SetReading(link=0, enabled=False)",
        "+  << CloseLink(link=0, how=FLUSH)",
    ]


def test_every_effect_must_be_expected() -> None:
    with Playbook(Obedient([CloseLink(LINK)])) as play:
        play.feed(ACCEPTED)
        play.feed(DATA)
        with pytest.raises(AssertionError, match="nothing more was expected before >> ShutdownRequested"):
            play.feed(ShutdownRequested(0.0))


def leave_effects_behind() -> None:
    with Playbook(Obedient([CloseLink(LINK)])) as play:
        play.feed(ACCEPTED)
        play.feed(DATA)


def test_forgetting_effects_at_the_end_is_an_error() -> None:
    with pytest.raises(AssertionError, match="nothing more was expected;"):
        leave_effects_behind()


def fail_in_the_block() -> None:
    with Playbook(Obedient([CloseLink(LINK)])) as play:
        play.feed(ACCEPTED)
        play.feed(DATA)
        raise ZeroDivisionError


def test_an_exception_in_the_block_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        fail_in_the_block()


def test_a_playbook_is_a_context_manager() -> None:
    with pytest.raises(RuntimeError, match="context manager"):
        Playbook(Obedient()).feed(ACCEPTED)


def test_any_order() -> None:
    effects: list[Effect] = [Connect(UPSTREAM, "host", 80), SendBytes(LINK, [b"a"]), SetReading(LINK, False)]
    with Playbook(Obedient(effects)) as play:
        play.feed(ACCEPTED)
        play.feed(DATA).expect(*reversed(effects), any_order=True)


def test_placeholders() -> None:
    upstream = Placeholder[LinkId]("upstream")
    with pytest.raises(LookupError, match="<upstream> has not been met yet"):
        _ = upstream.value
    assert repr(upstream) == "<upstream>"
    engine = Obedient([Connect(LinkId(7), "host", 80)], [CloseLink(LinkId(7))], [Connect(LinkId(9), "host", 80)])
    with Playbook(engine) as play:
        play.feed(ACCEPTED)
        play.feed(DATA).expect(Connect(upstream.here, "host", 80))
        assert upstream.value == 7
        assert repr(upstream) == "7"
        play.feed(DATA).expect(CloseLink(upstream.here))
        with pytest.raises(AssertionError):
            play.feed(DATA).expect(Connect(upstream.here, "host", 80))


def test_a_placeholder_may_check() -> None:
    host = Placeholder[str]("host", lambda text: text.endswith(".com"))
    engine = Obedient([Connect(UPSTREAM, "api.example.com", 443, TlsPolicy())], [Connect(LinkId(3), "other.org", 443)])
    with Playbook(engine) as play:
        play.feed(ACCEPTED)
        anything = Placeholder[TlsPolicy | None]()
        play.feed(DATA).expect(Connect(UPSTREAM, host.here, 443, anything.here))
        assert (host.value, anything.value) == ("api.example.com", TlsPolicy())
        with pytest.raises(AssertionError):
            play.feed(DATA).expect(Connect(LinkId(3), Placeholder[str]("host", lambda text: len(text) > 99).here, 443))


def test_a_failed_match_fixes_no_placeholder() -> None:
    host = Placeholder[str]("host")
    with Playbook(Obedient([Connect(UPSTREAM, "host", 80)])) as play:
        play.feed(ACCEPTED)
        with pytest.raises(AssertionError):
            play.feed(DATA).expect(Connect(UPSTREAM, host.here, 81))
    with pytest.raises(LookupError):
        _ = host.value


def test_bytes_are_compared_joined() -> None:
    data, chunks = Placeholder[bytes]("data"), Placeholder[list[bytes]]("chunks")
    engine = Obedient([SendBytes(LINK, [b"a", b"b"])], [SendBytes(LINK, [b"c", b"d"])])
    with Playbook(engine) as play:
        play.feed(ACCEPTED)
        play.feed(DATA).expect(SendBytes(LINK, [data.here]))
        assert data.value == b"ab"
        play.feed(DATA).expect(SendBytes(LINK, chunks.here))
        assert chunks.value == [b"c", b"d"]


def test_turns_of_remaining_work_are_joined() -> None:
    engine = Obedient(
        [SendBytes(LINK, [b"a"])],
        [SendBytes(LINK, [b"b"]), SendBytes(OTHER, [b"x"])],
        [SetReading(LINK, False), SendBytes(LINK, [b"c"])],
        [SendBytes(OTHER, [b"y"])],
    )
    engine.deadlines = [0.0, 0.0, 0.0]
    with Playbook(engine) as play:
        play.feed(ACCEPTED).feed(LinkAccepted(OTHER, "peer"))
        play.feed(DATA).expect(
            SendBytes(LINK, [b"ab"]), SendBytes(OTHER, [b"xy"]), SetReading(LINK, False), SendBytes(LINK, [b"c"])
        )


def test_ignored_effects_are_kept() -> None:
    line = Log(LogLevel.INFO, "line", {})
    with Playbook(Obedient([line, Journal(1), CloseLink(LINK)]), ignore=(Log, Journal)) as play:
        play.feed(ACCEPTED)
        play.feed(DATA).expect(CloseLink(LINK))
        assert play.ignored == [line, Journal(1)]


def test_time_passes_by_deadlines() -> None:
    engine = Obedient([], [Journal("five")], [Journal("seven")])
    engine.deadlines = [15.0, 17.0]
    with Playbook(engine, now=10.0) as play:
        play.feed(ACCEPTED)
        play.feed(DATA).wait(4.9).expect()
        assert play.now == 14.9
        play.at(16.0).expect(Journal("five"))
        assert (play.now, engine.now) == (16.0, 15.0)
        play.wait(100.0).expect(Journal("seven"))
        assert (play.now, engine.now) == (116.0, 17.0)


def test_looking_closer() -> None:
    engine = Obedient([Connect(UPSTREAM, "host", 80), SendBytes(LINK, [b"a", b"b"]), Journal(1)])
    with Playbook(engine) as play:
        play.feed(ACCEPTED)
        play.feed(DATA)
        assert play.take(Journal).entry == 1
        assert play.sent(LINK) == b"ab"
        assert play.take(Connect).host == "host"


def test_looking_for_what_is_not_there() -> None:
    with Playbook(Obedient([SetReading(LINK, False), SendBytes(LINK, [b"a"])], [])) as play:
        play.feed(ACCEPTED)
        play.feed(DATA)
        with pytest.raises(AssertionError, match="nothing was sent on link 0"):
            play.sent(LINK)
        with pytest.raises(AssertionError, match="nothing was sent on link 0"):
            play.sent(LINK)
        with pytest.raises(AssertionError, match="no Journal was asked for"):
            play.feed(DATA).take(Journal)
