from __future__ import annotations

import pytest

from aigw_proto.gateway._glance import HEAD_BYTES, TAIL_BYTES, Marked, Named, Verdict

NAMED = Named({"response.done", "done"})
MARKED = Marked([b'"usage"', b'"complete":true'])
LONG = b"A" * 5000


@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"done"}',
        b'{"type":"response.done","response":{"type":"other"}}',
        b'{"type": "done", "x": 1}',
        b'\n{\r\n\t"type" : "done"\n}\n',
        b'{"event_id":"e","type":"done"}',
        b'{"a":1,"b":-2.5e+3,"c":null,"d":true,"e":"","type":"done"}',
        b'{"response":{"type":"message","output":[{"type":"x"}]},"type":"done"}',
        b'{"response":[{"type":"x"}],"type":"done" } \n',
        b'{"delta":"%b","type":"done"}' % LONG,
        b'{"text":"escaped \\" quote","type":"done"}',
        b'{"a":{"type":"x"},"type":"done","b":{"type":"y"}}',
    ],
)
def test_events_by_name(message: bytes) -> None:
    assert NAMED.whole(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"done",
        b'{"type":"other"}',
        b'{"type":"donee"}',
        b'{"type":"don',
        b'{"type":7}',
        b'{"type":"other","event":"done"}',
        b'{"type": "other", "delta": "\\"done\\""}',
        b'{"event_id":"done","type":"other"}',
        b'{"delta":"%b","type":"other"}' % LONG,
        b'{"event":{"type":"done"},"type":"other"}',
        b'{"delta":"%b"}' % LONG,
    ],
)
def test_other_events(message: bytes) -> None:
    assert not NAMED.whole(message)


def test_a_name_that_stands_in_the_middle_is_found_at_the_price_of_a_search() -> None:
    message = b'{"a":{"b":1},"type":"done","c":{"d":"%b"}}' % LONG
    assert NAMED.whole(message)
    assert not NAMED.whole(message.replace(b"done", b"none"))
    assert NAMED.whole(message.replace(b'"done"', b'"none","e":["done"]')), "for the reader to find out"


def test_the_name_may_be_another_member() -> None:
    glance = Named({"x"}, key="message_type")
    assert glance.whole(b'{"message_type":"x","type":"y"}')
    assert glance.whole(b'{"type":"y","message_type":"x"}')
    assert not glance.whole(b'{"type":"x","message_type":"y"}')


def test_an_event_without_a_name_may_be_known_by_a_mark() -> None:
    glance = Named({"x"}, marks=[b'"EndOfTurn"'])
    assert glance.whole(b'{"event":"EndOfTurn"}')
    assert not glance.whole(b'{"event":"Update"}')
    assert not glance.whole(b'{"type":"y","event":"EndOfTurn"}')


@pytest.mark.parametrize(
    ("head", "verdict"),
    [
        (b"", Verdict.UNSURE),
        (b'{"type":"do', Verdict.UNSURE),
        (b'{"type":"done"', Verdict.READ),
        (b'{"type":"other"', Verdict.SKIP),
        (b'{"event_id":"e", "type": "done", "r', Verdict.READ),
        (b'{"event_id":"e", "type": "other", "r', Verdict.SKIP),
        (b'{"response":{"type":"other"', Verdict.UNSURE),
        (b'{"delta":"AAAA', Verdict.UNSURE),
        (b'{"type":7,"x"', Verdict.UNSURE),
    ],
)
def test_the_beginning_of_an_event(head: bytes, verdict: Verdict) -> None:
    assert NAMED.begun(head) is verdict


def test_only_the_first_bytes_are_looked_at() -> None:
    within = b'{"a":"%b","type":"done"' % (b"A" * (HEAD_BYTES - 30))
    beyond = b'{"a":"%b","type":"done"' % (b"A" * HEAD_BYTES)
    assert NAMED.begun(within) is Verdict.READ
    assert NAMED.begun(beyond) is Verdict.UNSURE


@pytest.mark.parametrize(
    "message",
    [
        b'{"usage":1}',
        b'{"usage":1,"x":"%b"}' % LONG,
        b'{"x":"%b","usage":1}' % LONG,
        b'{"x":"%b","complete":true}' % LONG,
        b'{"x":"%b","usage":"%b"}' % (LONG, b"A" * (TAIL_BYTES - 20)),
        b'"usage"' + b"A" * (TAIL_BYTES + 10),
    ],
)
def test_messages_by_their_marks(message: bytes) -> None:
    assert MARKED.whole(message)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b'{"complete":null}',
        b'{"text":"\\"usage\\""}',
        b'{"x":"%b"}' % LONG,
        LONG,
        b'{"x":"%b","usage":1,"y":"%b"}' % (LONG, LONG),
    ],
)
def test_messages_without_marks_at_their_ends(message: bytes) -> None:
    assert not MARKED.whole(message)


def test_the_beginning_of_a_message_without_a_name_says_nothing() -> None:
    assert MARKED.begun(b'{"usage":1') is Verdict.UNSURE
