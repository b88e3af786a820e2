from __future__ import annotations

import pytest

from aigw_proto import BytesReceived, BytesSent, Input, LinkAccepted, LinkId, PeerClosed
from aigw_transports._reporter import Reporter

LINK = LinkId(4)


@pytest.fixture
def fed() -> list[Input]:
    return []


@pytest.fixture
def reporter(fed: list[Input]) -> Reporter:
    return Reporter(LINK, fed.append)


def test_a_life_in_order(reporter: Reporter, fed: list[Input]) -> None:
    reporter.report(LinkAccepted(LINK, "here"))
    reporter.report_data(b"data")
    assert reporter.note_unsent(10) == 10
    reporter.report_unsent(10)
    reporter.report_unsent(7)
    reporter.report_data(b"")
    reporter.report_data(b"")
    reporter.report_unsent(0)
    reporter.report_unsent(0)
    assert fed == [
        LinkAccepted(LINK, "here"),
        BytesReceived(LINK, b"data"),
        BytesSent(LINK, 7),
        PeerClosed(LINK, clean=True),
        BytesSent(LINK, 0),
    ]
    assert reporter.ended
    assert not reporter.broken


def test_a_loss_is_the_end(reporter: Reporter, fed: list[Input]) -> None:
    reporter.note_unsent(10)
    reporter.report_loss()
    reporter.report_loss()
    assert fed == [PeerClosed(LINK, clean=False)]
    assert (reporter.ended, reporter.broken) == (True, True)


def test_a_loss_behind_the_end_is_that_nothing_waits(reporter: Reporter, fed: list[Input]) -> None:
    reporter.note_unsent(10)
    reporter.report_data(b"")
    reporter.report_loss()
    reporter.report_loss()
    assert fed == [PeerClosed(LINK, clean=True), BytesSent(LINK, 0)]
    assert reporter.broken


def test_nothing_is_said_of_a_link_that_was_closed(reporter: Reporter, fed: list[Input]) -> None:
    reporter.note_unsent(10)
    reporter.closing = True
    reporter.report(LinkAccepted(LINK, "here"))
    reporter.report_data(b"data")
    reporter.report_unsent(0)
    reporter.report_data(b"")
    reporter.report_loss()
    assert fed == []
    assert (reporter.ended, reporter.broken) == (True, True)
