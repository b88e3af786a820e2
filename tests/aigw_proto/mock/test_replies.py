from __future__ import annotations

import json

from aigw_proto.mock._replies import json_document, sse_event, text_document


def test_a_text_document_stays_valid_when_made_longer() -> None:
    hostile = 'quote " backslash \\ \x00 nul'
    document = text_document(lambda text: {"echo": hostile, "answer": text, "more": [1]}, hostile)
    assert json.loads(document.before + document.after) == {"echo": hostile, "answer": hostile, "more": [1]}
    longer = json.loads(document.before + document.filler * 100 + document.after)
    assert longer["answer"] == hostile + "x" * 100


def test_a_json_document_stays_valid_when_made_longer() -> None:
    document = json_document({"a": 1}, 400)
    assert document.status == 400
    assert json.loads(document.before + document.filler * 100 + document.after) == {"a": 1}


def test_server_sent_events() -> None:
    assert sse_event({"a": "\n"}) == b'data: {"a":"\\n"}\n\n'
    assert sse_event({}, "ping") == b"event: ping\ndata: {}\n\n"
