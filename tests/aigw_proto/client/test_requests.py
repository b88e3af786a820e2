from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto import client as core
from aigw_proto._errors import LocalProtocolError
from aigw_proto.client._requests import Orphan, RequestTable, Violation
from aigw_proto.envelopes import CreatedFrame, DoneFrame, Metadata, ServerMessage, StreamFrame


def about(event_id: str | None, **fields: object) -> Metadata:
    metadata = Metadata(event_id, None, None, None, None)
    for name, value in fields.items():
        setattr(metadata, name, value)
    return metadata


def table(limits: core.ClientLimits | None = None, **requests: int) -> RequestTable:
    made = RequestTable(limits or core.ClientLimits(), "p")
    for event_id, ticket in requests.items():
        made.claim(ticket)
        assert made.add(ticket, event_id, 0.0, None) is None
    return made


def test_made_ids_differ_from_those_in_use() -> None:
    requests = table()
    assert requests.fresh_id() == "p-1"
    requests.claim(1)
    requests.add(1, "p-2", 0.0, None)
    assert requests.fresh_id() == "p-3"


def test_tickets_only_rise() -> None:
    requests = table(a=3)
    for ticket in (0, 2, 3):
        with pytest.raises(LocalProtocolError, match=f"ticket {ticket}"):
            requests.claim(ticket)


@pytest.mark.parametrize(
    ("event_id", "complaint"),
    [
        ("a", "under way"),
        ("gone", "under way"),
        ("ä" * 5, "at most 8 bytes"),
        ("\ud800", "at most 8 bytes"),
        ("b", "1 requests"),
    ],
)
def test_requests_that_cannot_be_sent(event_id: str, complaint: str) -> None:
    requests = table(core.ClientLimits(max_event_id_bytes=8, max_in_flight=2), a=1, gone=2)
    requests.cancel(2)
    if event_id == "b":
        requests = table(core.ClientLimits(max_in_flight=1), a=1)
    said = requests.add(9, event_id, 0.0, None)
    assert said is not None
    assert complaint in said


@pytest.mark.parametrize(
    ("frames", "last"),
    [
        ([CreatedFrame(about("a"), b"1")], core.ReplyReceived),
        ([CreatedFrame(about("a", status=200), b'{"error":{"message":"m"}}')], core.ReplyReceived),
        ([CreatedFrame(about("a"), b'{"error":{"message":"m"}}')], core.RequestFailed),
        ([CreatedFrame(about("a", status=500), b"1")], core.RequestFailed),
        ([CreatedFrame(about("a", status=500), None)], core.RequestFailed),
        ([CreatedFrame(about("a"), None)], core.StreamStarted),
        ([CreatedFrame(about("a"), None), StreamFrame("a", b"1", "e")], core.ChunkReceived),
        ([CreatedFrame(about("a"), None), StreamFrame("a", None)], core.ChunkReceived),
        ([CreatedFrame(about("a"), None), DoneFrame(about("a"))], core.StreamFinished),
        ([CreatedFrame(about("a"), None), DoneFrame(about("a", error="cut"))], core.StreamBroken),
        ([CreatedFrame(about("a"), None), DoneFrame(about("a", cancelled=True))], core.StreamBroken),
        ([DoneFrame(about("a"))], core.StreamBroken),
        ([CreatedFrame(about(None), b"1")], core.ReplyReceived),
    ],
)
def test_what_frames_mean(frames: list[ServerMessage], last: type[object]) -> None:
    requests = table(a=7)
    results = [requests.receive(frame) for frame in frames]
    assert isinstance(results[-1], tuple)
    ticket, item = results[-1]
    assert ticket == 7
    assert type(item) is last
    assert len(requests) == (last in (core.StreamStarted, core.ChunkReceived))


@pytest.mark.parametrize(
    "frames",
    [
        [StreamFrame("a", b"1")],
        [CreatedFrame(about("a"), None), CreatedFrame(about("a"), None)],
        [CreatedFrame(about("a"), None), CreatedFrame(about("a"), b"1")],
    ],
)
def test_frames_out_of_order_are_violations(frames: list[ServerMessage]) -> None:
    requests = table(a=1)
    assert isinstance([requests.receive(frame) for frame in frames][-1], Violation)


def test_the_rest_of_a_streamed_error_is_dropped() -> None:
    requests = table(a=1)
    requests.receive(CreatedFrame(about("a", status=500), None))
    assert requests.receive(StreamFrame("a", b"1")) is None
    assert "a" in requests
    assert requests.receive(DoneFrame(about("a"))) is None
    assert "a" not in requests
    assert requests.dropped_frames == 2


def test_whose_is_a_frame_without_event_id() -> None:
    frame = CreatedFrame(about(None), b"1")
    assert table().receive(frame) is None
    assert isinstance(table(a=1, b=2).receive(frame), Orphan)
    # One is under way, and one was cancelled: it may be the answer to the cancel.
    requests = table(a=1, b=2)
    requests.cancel(1)
    assert isinstance(requests.receive(frame), Orphan)
    # Only a cancelled one: it is that one's end.
    requests = table(a=1)
    requests.cancel(1)
    assert requests.receive(StreamFrame(None, b"1")) is None
    assert "a" in requests
    assert requests.receive(frame) is None
    assert "a" not in requests
    # Several cancelled ones: nobody is waiting.
    requests = table(a=1, b=2)
    requests.cancel(1)
    requests.cancel(2)
    assert requests.receive(frame) is None
    assert "a" in requests
    assert "b" in requests


def test_remembered_cancels_are_bounded() -> None:
    requests = table(core.ClientLimits(max_remembered_cancels=2), a=1, b=2, c=3)
    for ticket in (1, 2, 3):
        requests.cancel(ticket)
    assert "a" not in requests
    assert "b" in requests
    assert requests.cancel(1) is None


def test_deadlines_of_ended_requests_are_forgotten() -> None:
    requests = table()
    for ticket in range(1, 1001):
        requests.claim(ticket)
        requests.add(ticket, str(ticket), float(ticket), 10.0)
        if ticket > 1:
            requests.receive(CreatedFrame(about(str(ticket)), b"1"))
        assert len(requests._deadlines) <= 70
    assert requests.next_deadline() == 11.0
    assert requests.expire(10.9) is None
    expired = requests.expire(11.0)
    assert expired is not None
    assert (expired.ticket, expired.event_id, expired.item) == (1, "1", core.RequestTimedOut(10.0))
    assert requests.expire(2000.0) is None
    assert requests.next_deadline() is None
    assert requests.clear() == []


@settings(max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["add", "cancel", "created", "whole", "stream", "done"]),
            st.sampled_from(["a", "b", "c", None]),
        ),
        max_size=30,
    )
)
def test_each_request_ends_at_most_once(steps: list[tuple[str, str | None]]) -> None:
    requests = table()
    ticket = 0
    ended: set[int] = set()
    for action, event_id in steps:
        if action == "add" and event_id is not None:
            ticket += 1
            requests.claim(ticket)
            requests.add(ticket, event_id, 0.0, None)
            continue
        if action == "cancel":
            if requests.cancel(ticket) is not None:
                ended.add(ticket)
            continue
        frame: ServerMessage = StreamFrame(event_id, b"1")
        if action in ("created", "whole"):
            frame = CreatedFrame(about(event_id), b"1" if action == "whole" else None)
        elif action == "done":
            frame = DoneFrame(about(event_id))
        result = requests.receive(frame)
        if isinstance(result, tuple):
            assert result[0] not in ended
            if not isinstance(result[1], core.StreamStarted | core.ChunkReceived):
                ended.add(result[0])
    assert len(requests.clear()) <= 3
