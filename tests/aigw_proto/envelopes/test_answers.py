"""A gateway's messages: documented, reduced, extended and odd ones."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aigw_proto.envelopes._answers import parse_server_message
from aigw_proto.envelopes._errors import ErrorCode
from aigw_proto.envelopes._messages import CreatedFrame, DoneFrame, EnvelopeFault, Metadata, ServerMessage, StreamFrame

NOTHING = Metadata(None, None, None, None, None)
DOCUMENTED = """{
  "type": "universal.created",
  "metadata": {
    "cacheStatus": "MISS",
    "eventId": "my-request",
    "logId": "01JC3R94FRD97JBCBX3S0ZAXKW",
    "step": "0",
    "contentType": "application/json"
  },
  "response": { "success": true, "n": 1.10 }
}"""


def test_the_documented_answer() -> None:
    metadata = Metadata("my-request", "01JC3R94FRD97JBCBX3S0ZAXKW", 0, "application/json")
    expected = CreatedFrame(metadata, b'{ "success": true, "n": 1.10 }')
    assert parse_server_message(DOCUMENTED) == expected
    assert parse_server_message(DOCUMENTED.encode()) == expected


def test_the_documented_error_has_no_event_id() -> None:
    text = '{"type":"universal.created","metadata":{"contentType":"application/json"},"response":{"success":false}}'
    metadata = Metadata(None, None, None, "application/json", None)
    assert parse_server_message(text) == CreatedFrame(metadata, b'{"success":false}')


@pytest.mark.parametrize(
    ("text", "frame"),
    [
        ('{"type":"universal.created"}', CreatedFrame(NOTHING, None)),
        ('{"type":"universal.created","metadata":null,"response":null}', CreatedFrame(NOTHING, b"null")),
        ('{"type":"universal.created","metadata":[1]}', CreatedFrame(NOTHING, None)),
        ('{"type":"universal.created","metadata":{"x":{}},"y":1}', CreatedFrame(NOTHING, None)),
        ('{"type":"universal.stream","metadata":{"eventId":"e"},"response":1.0}', StreamFrame("e", b"1.0")),
        (
            '{"type":"universal.stream","metadata":{"eventId":"e","event":"delta"},"response":"x"}',
            StreamFrame("e", b'"x"', "delta"),
        ),
        ('{"type":"universal.stream","metadata":{"eventId":5}}', StreamFrame(None, None)),
        ('{"type":"universal.stream","response":"\\ud83d"}', StreamFrame(None, rb'"\ud83d"')),
        (
            '{"type":"universal.stream","metadata":{"eventId":7,"event":"x"},"response":"\\ud83d"}',
            StreamFrame(None, rb'"\ud83d"', "x"),
        ),
        ('{"type":"universal.done","metadata":{"step":2}}', DoneFrame(Metadata(None, None, 2, None, None))),
        ('{"type":"universal.done","metadata":{"step":"12"}}', DoneFrame(Metadata(None, None, 12, None, None))),
        ('{"type":"universal.done","metadata":{"step":"x"}}', DoneFrame(NOTHING)),
        ('{"type":"universal.done","metadata":{"step":"٣"}}', DoneFrame(NOTHING)),
        ('{"type":"universal.done","metadata":{"step":"' + "9" * 5000 + '"}}', DoneFrame(NOTHING)),
        ('{"type":"universal.done","metadata":{"step":' + "9" * 72 + "}}", DoneFrame(NOTHING)),
        ('{"type":"universal.done","metadata":{"step":-1}}', DoneFrame(NOTHING)),
        (
            '{"type":"universal.done","metadata":{"step":{},"eventId":"e"}}',
            DoneFrame(Metadata("e", None, None, None, None)),
        ),
        (
            '{"type":"universal.done","metadata":{"status":"200","cancelled":1,"error":"x","logId":null}}',
            DoneFrame(Metadata(None, None, None, None, None, error="x")),
        ),
    ],
)
def test_frames(text: str, frame: ServerMessage) -> None:
    assert parse_server_message(text) == frame


@pytest.mark.parametrize(
    ("text", "code", "message"),
    [
        ("", ErrorCode.INVALID_JSON, "message: expected JSON: Input data was truncated"),
        ("{", ErrorCode.INVALID_JSON, "message: expected JSON: Input data was truncated"),
        ('{"type":5,}', ErrorCode.INVALID_JSON, None),
        ('{"type":5,"response":"\\ud800",}', ErrorCode.INVALID_JSON, None),
        ("[]", ErrorCode.UNKNOWN_TYPE, "message: expected an object with a type"),
        ("{}", ErrorCode.UNKNOWN_TYPE, "message: expected an object with a type"),
        ('{"type":null}', ErrorCode.UNKNOWN_TYPE, "message: expected an object with a type"),
        (
            '{"type":"x"}',
            ErrorCode.UNKNOWN_TYPE,
            "type: expected universal.created, universal.stream or universal.done, got 'x'",
        ),
        ('{"type":"\ud800"}', ErrorCode.INVALID_JSON, "message: expected text without surrogates"),
        (b'{"type":"\xff"}', ErrorCode.INVALID_JSON, "message: expected UTF-8"),
        (
            '{"type":"x","response":' + "[" * 100_000 + "]" * 100_000 + "}",
            ErrorCode.INVALID_JSON,
            "message: nested too deeply",
        ),
    ],
)
def test_faults(text: str | bytes, code: ErrorCode, message: str | None) -> None:
    fault = parse_server_message(text)
    assert isinstance(fault, EnvelopeFault)
    assert (fault.status, fault.code, fault.event_id) == (502, code, None)
    assert message is None or fault.message == message


@given(
    st.lists(
        st.tuples(
            st.integers(min_value=0, max_value=len(DOCUMENTED)),
            st.integers(min_value=0, max_value=12),
            st.text(max_size=3) | st.sampled_from(['"', "{", "[", "]", "\\", "\\ud800", "null", "5", ",", ":"]),
        ),
        max_size=4,
    )
)
@settings(max_examples=300)
def test_a_damaged_message_never_raises(edits: list[tuple[int, int, str]]) -> None:
    text = DOCUMENTED
    for start, length, piece in edits:
        text = text[:start] + piece + text[start + length :]
    assert isinstance(parse_server_message(text), ServerMessage | EnvelopeFault)
