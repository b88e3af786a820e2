from __future__ import annotations

import pytest

from aigw_proto.gateway._reading import Reader
from aigw_proto.gateway._usage import Report
from aigw_proto.providers import Dialect
from support.provider_events import (
    AUDIO_DELTA,
    CARTESIA_DONE,
    COMPLETED_TOKENS,
    ENDINGS,
    GEMINI_AUDIO,
    GEMINI_TOKENS,
    GEMINI_TURN,
    JSON,
    RESPONSE_COMPLETED,
    compact,
)


def reader(dialect: Dialect, max_bytes: int = 100_000) -> Reader:
    made = Reader.of(dialect, max_bytes=max_bytes)
    assert made is not None
    return made


def add(to: Reader, *pieces: bytes) -> Report | None:
    report = None
    for index, piece in enumerate(pieces):
        assert report is None
        report = to.add(piece, started=index == 0, finished=index == len(pieces) - 1)
    return report


def is_keeping(under_test: Reader) -> bool:
    return under_test._kept is not None


def with_image(event: JSON, characters: int) -> JSON:
    """Return a response with an image of so many characters."""
    output = [{"type": "image_generation_call", "result": "A" * characters}]
    return {**event, "response": {**event["response"], "output": output}}


def test_there_is_a_reader_for_every_dialect_that_is_known() -> None:
    for dialect in Dialect:
        assert (Reader.of(dialect, max_bytes=1) is None) == (dialect is Dialect.UNKNOWN)


@pytest.mark.parametrize(("dialect", "event", "name"), ENDINGS)
def test_reads_events_whole_and_in_pieces(dialect: Dialect, event: JSON, name: str) -> None:
    message = compact(event)
    whole = reader(dialect)
    assert whole.is_worth(message)
    report = whole.read(message)
    assert report is not None
    assert report.event == name
    assert add(whole, message[:3], message[3:40], message[40:]) == report


def test_lets_go_of_a_message_as_soon_as_it_is_of_no_interest() -> None:
    under_test = reader(Dialect.OPENAI_REALTIME)
    delta = compact(AUDIO_DELTA)
    assert under_test.add(delta[:20], started=True, finished=False) is None
    assert is_keeping(under_test)
    assert under_test.add(delta[20:100], started=False, finished=False) is None
    assert not is_keeping(under_test)
    assert under_test.add(delta[100:], started=False, finished=True) is None


def test_keeps_a_message_that_does_not_say_what_it_is() -> None:
    under_test = reader(Dialect.OPENAI_RESPONSES)
    message = compact(dict(reversed(with_image(RESPONSE_COMPLETED, 50_000).items())))
    report = add(under_test, message[:600], message[600:40_000], message[40_000:])
    assert report is not None
    assert report.tokens == COMPLETED_TOKENS
    other = message.replace(b"response.completed", b"response.unfinished")
    assert add(under_test, other[:600], other[600:40_000], other[40_000:]) is None


@pytest.mark.parametrize("backwards", [False, True])
def test_reads_the_ends_of_what_is_too_large(backwards: bool) -> None:
    under_test = reader(Dialect.OPENAI_RESPONSES, max_bytes=20_000)
    event = with_image(RESPONSE_COMPLETED, 200_000)
    message = compact(dict(reversed(event.items())) if backwards else event)
    whole = under_test.read(message)
    assert whole is not None
    assert (whole.status, whole.tokens) == ("completed", COMPLETED_TOKENS)
    assert whole.response_id == "resp_68af"
    assert add(under_test, message[:300], message[300:30_000], message[30_000:150_000], message[150_000:]) == whole
    assert add(under_test, *(message[at : at + 1000] for at in range(0, len(message), 1000))) == whole
    assert add(under_test, message[:199_000], message[199_000:]) == whole
    assert not is_keeping(under_test)


def test_reads_the_ends_of_what_google_makes_too_large() -> None:
    under_test = reader(Dialect.GEMINI_LIVE, max_bytes=4000)
    message = compact({**GEMINI_AUDIO, "usageMetadata": GEMINI_TURN["usageMetadata"]})
    for report in (under_test.read(message), add(under_test, message[:5000], message[5000:])):
        assert report is not None
        assert report.tokens == GEMINI_TOKENS
    assert under_test.read(compact(GEMINI_AUDIO)) is None


def test_passes_over_what_is_too_large_where_nothing_can_be() -> None:
    under_test = reader(Dialect.CARTESIA, max_bytes=20)
    message = compact(CARTESIA_DONE)
    assert under_test.read(message) is None
    assert add(under_test, message[:10], message[10:]) is None


def test_the_bound_itself_is_kept() -> None:
    message = compact(CARTESIA_DONE)
    under_test = reader(Dialect.CARTESIA, max_bytes=len(message))
    assert under_test.read(message) is not None
    assert add(under_test, message[:10], message[10:]) is not None
    tighter = reader(Dialect.CARTESIA, max_bytes=len(message) - 1)
    assert add(tighter, message[:10], message[10:]) is None
