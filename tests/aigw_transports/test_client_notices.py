from __future__ import annotations

import pytest

from aigw_proto.client import ConnectionNotice
from aigw_transports._client_notices import MOST_NOTICES, NoticeLog


def test_the_first_are_logged_and_once_that_there_are_no_more(caplog: pytest.LogCaptureFixture) -> None:
    log = NoticeLog()
    for number in range(MOST_NOTICES + 100):
        log(ConnectionNotice("odd", f"{number} " + "x" * 10_000))
    *shown, last = caplog.messages
    assert [line.split()[1] for line in shown] == [str(number) for number in range(MOST_NOTICES)]
    assert max(map(len, shown)) == len("odd: ") + 500
    assert last == "more frames that belong to no request are not logged for this connection"
    assert {record.name for record in caplog.records} == {"aigw.client"}


def test_each_connection_has_its_own(caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(MOST_NOTICES + 5):
        NoticeLog()(ConnectionNotice("odd", "frame"))
    assert caplog.messages == ["odd: frame"] * (MOST_NOTICES + 5)
