from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.mock import MockFault, parse_fault
from aigw_proto.mock._faults import find_conflict


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("status=429,retry_after=2", MockFault(status=429, retry_after_seconds=2.0)),
        ("first_byte_delay=.5, chunk_delay = 0.05", MockFault(first_byte_delay_seconds=0.5, chunk_delay_seconds=0.05)),
        ("chunks=20", MockFault(chunks=20)),
        ("stall_after=0", MockFault(stall_after=0)),
        ("cut_after=3,reset", MockFault(cut_after=3, reset=True)),
        ("cut_before", MockFault(cut_before=True)),
        ("malformed", MockFault(malformed=1)),
        ("malformed=0", MockFault(malformed=0)),
        ("torn,gzip,close", MockFault(torn=True, gzip=True, close=True)),
        ("huge=10000000", MockFault(huge_bytes=10_000_000)),
        ("content_type=text/plain; charset=utf-8", MockFault(content_type="text/plain; charset=utf-8")),
        ("lying_length", MockFault(lying_length=10)),
        ("lying_length=-4", MockFault(lying_length=-4)),
        ("bad_chunking", MockFault(bad_chunking=True)),
        ("bad_status_line", MockFault(bad_status_line=True)),
        ("endless_header", MockFault(endless_header=True)),
        ("endless_line", MockFault(endless_line=True)),
        ("endless_json", MockFault(endless_json=True)),
        ("early_close_idle=1.", MockFault(early_close_idle_seconds=1.0)),
        ("status=500,times=2", MockFault(status=500, times=2)),
        ("close=1008", MockFault(close_code=1008)),
        ("close=none", MockFault(close_code=1005)),
        ("close,close=0", MockFault(close=True, close_code=0)),
        (
            "close=4007,close_after=2,close_reason=M\u00fcde =x",
            MockFault(close_code=4007, close_after=2, close_reason="M\u00fcde =x"),
        ),
        ("hold_close,no_pong,glued,bad_accept", MockFault(hold_close=True, no_pong=True, glued=True, bad_accept=True)),
        ("late_pong=1.5", MockFault(late_pong_seconds=1.5)),
        ("giant_frame=5,bad_frame=0", MockFault(giant_frame_bytes=5, bad_frame=0)),
        ("endless_fragments", MockFault(endless_fragments=16)),
        ("endless_fragments=0", MockFault(endless_fragments=0)),
        ("subprotocol=a.b", MockFault(subprotocol="a.b")),
    ],
)
def test_a_spec_is_a_fault(text: str, fault: MockFault) -> None:
    assert parse_fault(text) == replace(fault, spec=text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "an item is empty"),
        ("torn,", "an item is empty"),
        ("stauts=500", "unknown fault 'stauts'; known are status, "),
        ("status", "status: expected a whole number from 200 to 599"),
        ("status=", "status: expected a whole number"),
        ("status=101", "status: expected a whole number"),
        ("status=5e2", "status: expected a whole number"),
        ("status=\u0665\u0660\u0660", "status: expected a whole number"),
        ("torn=1", "torn: takes no value"),
        ("chunk_delay=-1", "chunk_delay: expected seconds, such as 0.5"),
        ("chunk_delay=nan", "chunk_delay: expected seconds"),
        ("chunk_delay", "chunk_delay: expected seconds"),
        ("chunk_delay=100000", "chunk_delay: expected at most 86400 seconds"),
        ("content_type=", "content_type: expected a content type"),
        ("content_type=a\rb", "content_type: expected a content type"),
        ("times=0", "times: expected a whole number from 1 "),
        ("close=", "close: expected a whole number from 0 to 65535"),
        ("close=soon", "close: expected a whole number from 0 to 65535"),
        ("close=65536", "close: expected a whole number from 0 to 65535"),
        ("close_reason=", "close_reason: expected a text"),
        ("close_reason", "close_reason: expected a text"),
        ("hold_close=1", "hold_close: takes no value"),
        ("subprotocol", "subprotocol: expected a name"),
        ("subprotocol=a b", "subprotocol: expected a name"),
        ("endless_fragments=16385", "endless_fragments: expected a whole number from 0 to 16384"),
        ("close,close", "close is given twice"),
        ("close=1,close=2", "close is given twice"),
        ("giant_frame=9,endless_fragments", "giant_frame and endless_fragments exclude each other"),
        ("torn,torn", "torn is given twice"),
        ("huge=1,endless_line", "huge and endless_line exclude each other"),
        ("huge=1,endless_line,cut_before", "cut_before and huge and endless_line exclude each other"),
    ],
)
def test_a_bad_spec_is_explained(text: str, complaint: str) -> None:
    found = parse_fault(text)
    assert isinstance(found, str)
    assert found.startswith(complaint)


@given(st.text(max_size=60) | st.lists(st.sampled_from(["status", "huge", "=", ",", "1", "-", "."])).map("".join))
def test_any_text_is_a_fault_or_an_explanation(text: str) -> None:
    assert isinstance(parse_fault(text), MockFault | str)


def test_a_conflict_is_found_in_a_record_made_by_hand() -> None:
    assert (
        find_conflict(MockFault(lying_length=0, bad_chunking=True))
        == "lying_length and bad_chunking exclude each other"
    )
    assert find_conflict(MockFault(status=500, torn=True, lying_length=0)) is None
