from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aigw_proto.providers import Dialect
from support.provider_events import (
    AGENT_RESPONSE,
    AGENT_STARTED,
    AUDIO_DELTA,
    DEEPGRAM_METADATA,
    DEEPGRAM_RESULTS,
    ENDINGS,
    GEMINI_TURN,
    GEMINI_USAGE,
    JSON,
    QUIET,
    RESPONSE_DONE,
    RESPONSE_TOKENS,
    SESSION_CREATED,
    TRANSCRIBED,
    ask,
    compact,
    observe,
    piece,
    printed_in_all_ways,
    send,
)

DEEP = 200_000


def test_counts_messages_and_bytes_of_both_sides() -> None:
    observer = observe(Dialect.UNKNOWN)
    ask(observer, b"abc", b"", b"d")
    ask(observer, b"")
    assert send(observer, b"12", b"345", text=False) is None
    observer.provider_piece(piece(b"unfinished", started=True, finished=False), 2.0)
    assert (observer.client_messages, observer.client_bytes) == (2, 4)
    assert (observer.provider_messages, observer.provider_bytes) == (1, 15)
    assert observer.turns == 0
    assert observer.tokens == {}
    assert observer.last(3.0) is None


def test_a_turn_says_what_happened_since_the_turn_before() -> None:
    observer = observe(Dialect.OPENAI_REALTIME)
    done = compact(RESPONSE_DONE)
    send(observer, compact(SESSION_CREATED), now=1.0)
    ask(observer, b"hello", now=4.0)
    ask(observer, b"again", now=5.0)
    turn = send(observer, done, now=7.5)
    assert turn is not None
    assert turn.event == "response.done"
    assert turn.status == "completed"
    assert turn.response_id == "resp_C9G8"
    assert turn.tokens == RESPONSE_TOKENS
    assert turn.audio_seconds is None
    assert (turn.client_messages, turn.client_bytes) == (2, 10)
    assert (turn.provider_messages, turn.provider_bytes) == (2, len(compact(SESSION_CREATED)) + len(done))
    assert turn.duration_seconds == 3.5, "from the client's first message"
    second = send(observer, done, now=9.0)
    assert second is not None
    assert (second.client_messages, second.client_bytes) == (0, 0)
    assert (second.provider_messages, second.provider_bytes) == (1, len(done))
    assert second.duration_seconds == 1.5, "from the end of the turn before, since the client said nothing"
    assert observer.turns == 2
    assert observer.tokens == {kind: 2 * count for kind, count in RESPONSE_TOKENS.items()}
    assert observer.last(10.0) is None


@pytest.mark.parametrize(("dialect", "event", "name"), ENDINGS)
@pytest.mark.parametrize("form", range(5))
def test_an_event_ends_a_turn_however_it_is_printed(dialect: Dialect, event: JSON, name: str, form: int) -> None:
    turn = send(observe(dialect), printed_in_all_ways(event)[form])
    assert turn is not None
    assert turn.event == name


@pytest.mark.parametrize(("dialect", "event", "name"), ENDINGS)
@pytest.mark.parametrize("form", [0, 3])
def test_an_event_cut_at_any_byte_is_the_same_event(dialect: Dialect, event: JSON, name: str, form: int) -> None:
    message = printed_in_all_ways(event)[form]
    whole = send(observe(dialect), message)
    for cut in range(len(message) + 1):
        assert send(observe(dialect), message[:cut], message[cut:]) == whole, cut
    pieces = [message[index : index + 1] for index in range(len(message))]
    assert send(observe(dialect), b"", *pieces, b"") == whole


@pytest.mark.parametrize(("dialect", "event"), QUIET)
@pytest.mark.parametrize("form", range(5))
def test_other_events_do_nothing(dialect: Dialect, event: JSON, form: int) -> None:
    observer = observe(dialect)
    message = printed_in_all_ways(event)[form]
    for cut in (0, 1, 100, 600, len(message) - 1):
        assert send(observer, message[:cut], message[cut:]) is None
        assert send(observer, message) is None
    assert observer.last(9.0) is None


@pytest.mark.parametrize(("dialect", "event", "name"), ENDINGS)
def test_half_an_event_is_none(dialect: Dialect, event: JSON, name: str) -> None:
    message = compact(event)
    for length in range(len(message)):
        assert send(observe(dialect), message[:length]) is None, length


@pytest.mark.parametrize(("dialect", "event", "name"), ENDINGS)
def test_events_come_as_text_except_with_google(dialect: Dialect, event: JSON, name: str) -> None:
    turn = send(observe(dialect), compact(event), text=False)
    in_pieces = send(observe(dialect), compact(event)[:5], compact(event)[5:], text=False)
    assert turn == in_pieces
    assert (turn is not None) == (dialect is Dialect.GEMINI_LIVE)


def test_a_message_that_grows_too_large_does_not_blind_for_the_next() -> None:
    observer = observe(Dialect.OPENAI_REALTIME, max_bytes=4096)
    large = compact({"delta": "a" * 10_000, "type": "response.output_audio.delta"})
    for _ in range(3):
        assert send(observer, large[:5000], large[5000:9000], large[9000:]) is None
        assert send(observer, large) is None
        assert send(observer, compact(RESPONSE_DONE)) is not None
    assert observer.turns == 3


def test_what_is_kept_of_a_message_is_bounded() -> None:
    observer = observe(Dialect.GEMINI_LIVE, max_bytes=32 * 1024)
    begun = b'{"serverContent":{"modelTurn":"'
    observer.provider_piece(piece(begun, text=False, started=True, finished=False), 1.0)
    reader: Any = observer._reader
    for _ in range(1000):
        observer.provider_piece(piece(b"A" * 1000, text=False, started=False, finished=False), 1.0)
        assert len(reader._kept) <= 33 * 1024
    end = b'"}' + b"," + compact(GEMINI_TURN)[1:]
    turn = observer.provider_piece(piece(end, text=False, started=False, finished=True), 1.0)
    assert turn is not None
    assert turn.tokens["total"] == 396
    assert reader._kept is None


def test_the_rest_of_a_message_whose_beginning_was_missed_is_ignored() -> None:
    observer = observe(Dialect.OPENAI_REALTIME)
    tail = compact(RESPONSE_DONE)
    assert observer.provider_piece(piece(tail, started=False, finished=True), 1.0) is None


def test_a_message_begun_anew_forgets_the_one_before() -> None:
    observer = observe(Dialect.OPENAI_REALTIME)
    observer.provider_piece(piece(b'{"type":"response.do', started=True, finished=False), 1.0)
    half = compact(RESPONSE_DONE)
    assert send(observer, half[:20], half[20:]) is not None


def test_the_model_is_what_the_provider_says() -> None:
    observer = observe(Dialect.OPENAI_REALTIME, model="gpt-realtime")
    assert observer.model == "gpt-realtime"
    assert send(observer, compact(SESSION_CREATED)) is None
    assert observer.model == "gpt-realtime-2025-08-28"
    assert send(observer, compact({"type": "session.updated", "session": {"model": 7}})) is None
    assert observer.model == "gpt-realtime-2025-08-28"


@pytest.mark.parametrize(
    ("first", "model"),
    [
        ({"setup": {"model": "models/gemini-2.5-flash", "generationConfig": {}}}, "models/gemini-2.5-flash"),
        ({"type": "response.create", "model": "gpt-5", "input": []}, "gpt-5"),
        ({"model_id": "sonic-3", "transcript": "Hello"}, "sonic-3"),
        ({"model": {"not": "a name"}, "setup": []}, None),
        ({"setup": {"model": "x" * 200}}, None),
        ({"text": "a" * 70_000, "model": "far"}, None),
        ([1], None),
    ],
)
def test_the_model_may_be_in_the_first_message_of_the_client(first: object, model: str | None) -> None:
    observer = observe(Dialect.UNKNOWN)
    ask(observer, json.dumps(first).encode())
    assert observer.model == model


def test_the_model_is_not_looked_for_when_it_is_known_or_later() -> None:
    message = b'{"model":"other"}'
    known = observe(Dialect.UNKNOWN, model="known")
    ask(known, message)
    assert known.model == "known"
    second = observe(Dialect.UNKNOWN)
    ask(second, b"\xff\x00 audio")
    ask(second, message)
    assert second.model is None
    parts = observe(Dialect.UNKNOWN)
    ask(parts, message[:5], message[5:])
    assert parts.model is None


def test_the_last_turn_is_what_was_counted_and_never_ended() -> None:
    observer = observe(Dialect.GEMINI_LIVE)
    ask(observer, b"hello", now=1.0)
    assert send(observer, compact({"usageMetadata": GEMINI_USAGE}), now=2.0) is None
    last = observer.last(4.0)
    assert last is not None
    assert (last.event, last.status) == ("usageMetadata", "unfinished")
    assert last.tokens["total"] == 396
    assert last.duration_seconds == 3.0
    assert observer.turns == 1
    assert observer.tokens == last.tokens
    assert observer.last(5.0) is None


def test_the_last_turn_of_speech_has_the_seconds_that_were_heard() -> None:
    observer = observe(Dialect.DEEPGRAM)
    assert send(observer, compact({**DEEPGRAM_RESULTS, "speech_final": False})) is None
    assert send(observer, compact({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0})) is not None
    assert send(observer, compact({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": 1.0})) is None
    assert observer.last(9.0) is None
    later = {**DEEPGRAM_RESULTS, "speech_final": False, "start": 7.97, "duration": 2.0}
    assert send(observer, compact(later)) is None
    assert send(observer, compact({"type": "SpeechStarted", "channel": [0], "timestamp": 9.54})) is None
    last = observer.last(9.0)
    assert last is not None
    assert (last.event, last.audio_seconds) == ("Results", 2.0)


def test_the_seconds_of_all_turns_make_up_those_of_the_session() -> None:
    observer = observe(Dialect.DEEPGRAM)
    first = send(observer, compact(DEEPGRAM_RESULTS))
    last = send(observer, compact(DEEPGRAM_METADATA))
    assert first is not None
    assert last is not None
    assert first.audio_seconds == pytest.approx(7.97)
    assert last.audio_seconds == pytest.approx(13.145 - 7.97)
    assert last.response_id == "req-9d2"


def test_an_interruption_is_told_with_the_end_of_its_turn() -> None:
    observer = observe(Dialect.GEMINI_LIVE)
    assert send(observer, compact({"serverContent": {"interrupted": True}})) is None
    turn = send(observer, compact(GEMINI_TURN))
    assert turn is not None
    assert turn.status == "interrupted"
    turn = send(observer, compact(GEMINI_TURN))
    assert turn is not None
    assert turn.status is None


def test_a_conversation_names_the_turns_that_have_no_id() -> None:
    observer = observe(Dialect.ELEVENLABS_AGENT)
    assert send(observer, compact(AGENT_STARTED)) is None
    turn = send(observer, compact(AGENT_RESPONSE))
    assert turn is not None
    assert turn.response_id == "conv_123"


def test_the_id_of_one_response_does_not_name_the_next() -> None:
    observer = observe(Dialect.OPENAI_REALTIME)
    send(observer, compact(RESPONSE_DONE))
    turn = send(observer, compact({"type": "response.done", "response": {"status": "failed"}}))
    assert turn is not None
    assert turn.response_id is None


def test_a_transcription_is_counted_apart_from_the_conversation() -> None:
    observer = observe(Dialect.OPENAI_REALTIME)
    send(observer, compact(TRANSCRIBED))
    send(observer, compact(RESPONSE_DONE))
    assert observer.turns == 2
    assert observer.tokens["input"] == 127
    assert observer.tokens["transcription_input"] == 13


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return every member of an event, at any depth, as its container and its key."""
    found: list[tuple[Any, Any]] = []
    waiting: list[Any] = [value]
    while waiting:
        container = waiting.pop()
        for key in range(len(container)) if hasattr(container, "append") else container:
            found.append((container, key))
            if hasattr(container[key], "pop"):
                waiting.append(container[key])
    return found


@st.composite
def spoiled(draw: st.DrawFn) -> tuple[Dialect, bytes]:
    """Return an event of which one member, at any depth, is something else."""
    dialect, event, _ = draw(st.sampled_from(ENDINGS))
    event = json.loads(json.dumps(event))
    container, key = draw(st.sampled_from(places(event)))
    container[key] = draw(values)
    return dialect, draw(st.sampled_from(printed_in_all_ways(event)))


@given(spoiled(), st.integers(0, 2000))
def test_a_member_that_is_something_else_costs_no_other(case: tuple[Dialect, bytes], cut: int) -> None:
    dialect, message = case
    observer = observe(dialect)
    whole = send(observer, message)
    assert send(observe(dialect), message[:cut], message[cut:]) == whole
    assert send(observer, compact(dict(next(event for each, event, _ in ENDINGS if each is dialect)))) is not None


@given(
    st.sampled_from(Dialect),
    st.lists(st.tuples(st.binary(max_size=700), st.booleans(), st.booleans(), st.booleans()), max_size=8),
)
def test_no_bytes_raise(dialect: Dialect, pieces: list[tuple[bytes, bool, bool, bool]]) -> None:
    observer = observe(dialect, max_bytes=1000)
    for data, text, started, finished in pieces:
        each = piece(data, text=text, started=started, finished=finished)
        observer.client_piece(each, 1.0)
        observer.provider_piece(each, 1.0)
    observer.last(2.0)


@given(st.sampled_from(ENDINGS), st.integers(min_value=0), st.binary(max_size=40), st.integers(0, 3))
def test_no_damage_to_an_event_raises(case: tuple[Dialect, JSON, str], at: int, patch: bytes, form: int) -> None:
    dialect, event, _ = case
    message = printed_in_all_ways(event)[form]
    at %= len(message)
    for max_bytes in (64, 10_000):
        observer = observe(dialect, max_bytes=max_bytes)
        send(observer, message[:at] + patch + message[at:])
        send(observer, message[:at], patch, message[at + len(patch) :])
        observer.last(2.0)


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(
    "value",
    [
        b"[" * DEEP,
        b'{"a":' * DEEP,
        b"1e999999",
        b"9" * 5000,
        b'"\xff\xfe"',
        b'"\\ud800"',
        b'"' + b"x" * 300_000 + b'"',
        b'{"input_tokens":-1,"output_tokens":1e400,"total_tokens":1.5}',
        b"7",
    ],
)
@pytest.mark.parametrize("key", [b"usage", b"response", b"usageMetadata", b"serverContent", b"type", b"start"])
def test_hostile_values_are_passed_over(dialect: Dialect, value: bytes, key: bytes) -> None:
    names = (b"response.done", b"response.completed", b"Results", b"done", b"agent_response", b"end")
    for name in names:
        for message in (
            b'{"type":"%b","%b":%b}' % (name, key, value),
            b'{"type":"%b","response":{"%b":%b},"isFinal":true,"turnComplete":true}' % (name, key, value),
        ):
            observer = observe(dialect, max_bytes=1 << 22)
            turn = send(observer, message)
            assert turn is None or all(0 <= count < 1 << 53 for count in turn.tokens.values())


def test_thousands_of_messages_in_any_pieces() -> None:
    seeded = random.Random(5)
    observer = observe(Dialect.OPENAI_REALTIME)
    expected = 0
    for _ in range(2000):
        message = seeded.choice([compact(AUDIO_DELTA), compact(RESPONSE_DONE), compact(TRANSCRIBED), b"", b"{}"])
        cuts = sorted(seeded.randrange(len(message) + 1) for _ in range(seeded.randrange(4)))
        pieces = [message[a:b] for a, b in zip([0, *cuts], [*cuts, len(message)], strict=True)]
        expected += send(observer, *pieces) is not None
    assert observer.turns == expected > 500
    assert observer.provider_messages == 2000
