from __future__ import annotations

import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto._limits import GatewayLimits, SseLimits
from aigw_proto.gateway._answer import (
    AnswerStream,
    Form,
    StreamFailed,
    StreamItem,
    form_of,
    media_type,
    whole_answer,
)


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("application/json", "application/json"),
        ("Text/Event-Stream; charset=utf-8", "text/event-stream"),
        (" a/b ;x", "a/b"),
        ("", ""),
    ],
)
def test_media_type(content_type: str, kind: str) -> None:
    assert media_type(content_type) == kind


JSON, SSE = "application/json", "text/event-stream"


@pytest.mark.parametrize(
    ("kind", "start", "form"),
    [
        (JSON, b'{"a":1}', Form.WHOLE),
        (JSON, b"  \n 7", Form.WHOLE),
        (JSON, b"data: 1", Form.EVENTS),
        (JSON, b"event: x", Form.EVENTS),
        (JSON, b": hi", Form.EVENTS),
        (JSON, b"id: 1", Form.EVENTS),
        (JSON, b"\xef\xbb\xbfretry: 1", Form.EVENTS),
        (JSON, b"dat", None),
        (JSON, b"", None),
        (JSON, b"\n", None),
        (JSON, b"database", Form.WHOLE),
        (JSON, b"\n" * 256 + b"data:", Form.WHOLE),
        ("", b"data: 1", Form.EVENTS),
        ("", b"plain", Form.WHOLE),
        (SSE, b"data: 1", Form.EVENTS),
        (SSE, b"{", Form.WHOLE),
        (SSE, b"\xef\xbb\xbf\r\n [", Form.WHOLE),
        (SSE, b"\n\n", None),
        (SSE, b"\n" * 256 + b"{", Form.EVENTS),
        ("text/plain", b"data: 1", Form.WHOLE),
        ("audio/mpeg", b"", Form.WHOLE),
        ("application/x-ndjson", b"", Form.LINES),
        ("application/stream+json", b"data:", Form.LINES),
        ("application/vnd.amazon.eventstream", b"", Form.BINARY_EVENTS),
    ],
)
def test_form(kind: str, start: bytes, form: Form | None) -> None:
    assert form_of(kind, start, complete=False) is form


@pytest.mark.parametrize(
    ("kind", "start", "form"),
    [(JSON, b"", Form.WHOLE), (JSON, b"dat", Form.WHOLE), (SSE, b"", Form.EVENTS), (SSE, b" ", Form.EVENTS)],
)
def test_form_when_there_is_no_more(kind: str, start: bytes, form: Form) -> None:
    assert form_of(kind, start, complete=True) is form


@given(
    st.sampled_from([JSON, SSE, "", "text/plain", "application/jsonl"]),
    st.lists(st.sampled_from([b"\n", b" ", b"d", b"data:", b"{", b"event", b":", b"\xef", b"x" * 40, b" " * 200])).map(
        b"".join
    ),
)
def test_the_form_does_not_depend_on_the_cuts(kind: str, content: bytes) -> None:
    whole = form_of(kind, content, complete=True)
    for length in range(len(content) + 1):
        early = form_of(kind, content[:length], complete=False)
        assert early in (None, whole)
    assert form_of(kind, content + b"x" * 256, complete=False) is not None


@given(st.binary(max_size=100) | st.text(max_size=50).map(str.encode) | st.just(b'{"x": 1.10}'))
def test_every_body_becomes_json(body: bytes) -> None:
    answer = whole_answer(body)
    json.loads(answer.payload)
    assert answer.encoding in (None, "base64")


def test_whole_answers() -> None:
    assert whole_answer(b' {"x": 1.10}').payload == b' {"x": 1.10}'
    assert whole_answer(b"").payload == b'""'
    assert whole_answer(b'a"b').payload == b'"a\\"b"'
    assert whole_answer(b"{} {}").payload == b'"{} {}"'
    assert whole_answer(b"\xff\x00") == whole_answer(b"\xff\x00")
    assert (whole_answer(b"\xff").payload, whole_answer(b"\xff").encoding) == (b'"/w=="', "base64")


def stream(form: Form, *, sse: SseLimits | None = None, max_bytes: int = 1000) -> AnswerStream:
    limits = GatewayLimits(max_response_bytes=max_bytes)
    return AnswerStream(form, sse=sse or SseLimits(), limits=limits)


def items(each: AnswerStream) -> list[StreamItem | StreamFailed]:
    found: list[StreamItem | StreamFailed] = []
    while (item := each.next_item()) is not None:
        found.append(item)
    return found


def test_events() -> None:
    each = stream(Form.EVENTS)
    each.receive_data(b'data: {"x": 1.10}\n\nevent: n\ndata: text\xff\n\ndata: [DONE]\n\n')
    assert items(each) == [StreamItem(b'{"x": 1.10}', None, 11), StreamItem(b'"text\xef\xbf\xbd"', b"n", 5)]
    each.receive_data(b"data: last")
    assert items(each) == []
    each.receive_eof()
    assert items(each) == [StreamItem(b'"last"', None, 4)]


def test_lines() -> None:
    each = stream(Form.LINES)
    each.receive_data(b'{"x": 1}\n\nno json\n2')
    assert [item.payload for item in items(each) if isinstance(item, StreamItem)] == [b'{"x": 1}', b'"no json"']
    each.receive_eof()
    assert items(each) == [StreamItem(b"2", None, 1)]


def binary_event(payload: bytes, **headers: str) -> bytes:
    fields = b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + len(value).to_bytes(2, "big") + value.encode()
        for name, value in ((":" + key.replace("_", "-"), value) for key, value in headers.items())
    )
    prelude = (16 + len(fields) + len(payload)).to_bytes(4, "big") + len(fields).to_bytes(4, "big")
    message = prelude + zlib.crc32(prelude).to_bytes(4, "big") + fields + payload
    return message + zlib.crc32(message).to_bytes(4, "big")


def test_binary_events() -> None:
    each = stream(Form.BINARY_EVENTS)
    each.receive_data(binary_event(b'{"p": 1}', event_type="chunk"))
    each.receive_data(binary_event(b"{}", message_type="exception", exception_type="throttled"))
    each.receive_data(binary_event(b"\xff"))
    assert items(each) == [
        StreamItem(b'{"p": 1}', b"chunk", 8),
        StreamItem(b"{}", b"throttled", 2),
        StreamItem(b'"/w=="', None, 1),
    ]


@pytest.mark.parametrize(
    ("form", "data"),
    [(Form.EVENTS, b"data: " + b"x" * 2000), (Form.LINES, b"x" * 2000), (Form.BINARY_EVENTS, b"\xff" * 16)],
)
def test_what_does_not_fit_or_is_broken(form: Form, data: bytes) -> None:
    each = stream(form, sse=SseLimits(max_line_bytes=1000, max_event_bytes=1000))
    each.receive_data(data)
    (failed,) = items(each)
    assert isinstance(failed, StreamFailed)
    assert failed.reason


def test_the_closing_marker_on_demand() -> None:
    each = AnswerStream(Form.EVENTS, sse=SseLimits(), limits=GatewayLimits(), forward_done=True)
    each.receive_data(b"data: 1\n\ndata: [DONE]\n\n")
    each.receive_eof()
    items = [each.next_item() for _ in range(3)]
    assert [item.payload if isinstance(item, StreamItem) else item for item in items] == [b"1", b'"[DONE]"', None]
