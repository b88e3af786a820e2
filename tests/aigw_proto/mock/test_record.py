from __future__ import annotations

from aigw_proto.mock import MockRecord


def test_the_fields_of_sessions_may_be_left_out() -> None:
    record = MockRecord(1, "GET", "/", 200, "done", 3, 0.5, "", "peer")
    assert (record.sent_messages, record.received_messages, record.received_bytes) == (0, 0, 0)
    assert (record.close_code, record.close_reason) == (None, "")
