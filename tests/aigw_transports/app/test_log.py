from __future__ import annotations

import dataclasses
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from aigw_proto._effects import Log, LogLevel
from aigw_proto.gateway import ClosedBy, Outcome, RequestRecord, SessionRecord, TurnRecord
from aigw_proto.mock import MockRecord
from aigw_transports.app.log import JsonLog, LogSink, TextLog, _value, make_log, plain, size

if TYPE_CHECKING:
    from collections.abc import Callable

NOON = 1_760_000_000.125
STAMP = "2025-10-09T08:53:20.125Z"


def record(
    *,
    event_id: str = "my-request",
    endpoint: str = "chat/completions",
    outcome: Outcome = Outcome.DONE,
    step: int | None = 0,
    attempts: int = 1,
    streamed: bool = False,
    first_byte_seconds: float | None = 0.25,
    error: str | None = None,
) -> RequestRecord:
    return RequestRecord(
        event_id=event_id,
        log_id="0199-log",
        account="a",
        gateway="g",
        peer="[::1]:5000",
        provider="openai",
        endpoint=endpoint,
        outcome=outcome,
        status=200,
        step=step,
        attempts=attempts,
        streamed=streamed,
        frames=12,
        request_bytes=500,
        response_bytes=123_456,
        duration_seconds=0.5,
        first_byte_seconds=first_byte_seconds,
        error=error,
    )


TURN = TurnRecord(
    session_id="0199-log",
    turn=2,
    account="a",
    gateway="g",
    peer="[::1]:5000",
    provider="openai",
    model="gpt-realtime",
    event="response.done",
    status="completed",
    response_id="resp_1",
    tokens={"input": 12, "output_audio": 34},
    audio_seconds=None,
    client_messages=1,
    client_bytes=100,
    provider_messages=20,
    provider_bytes=34_000,
    duration_seconds=1.5,
    at_seconds=12.25,
)
SESSION = SessionRecord(
    log_id="0199-log",
    account="a",
    gateway="g",
    peer="[::1]:5000",
    provider="openai",
    path="/v1/realtime",
    model="gpt-realtime",
    status=101,
    subprotocol="realtime",
    closed_by=ClosedBy.CLIENT,
    client_close=1000,
    client_reason="",
    provider_close=1001,
    provider_reason="going away",
    sent_to_client=1001,
    sent_to_provider=1000,
    error=None,
    turns=2,
    tokens={"input": 20, "output": 50},
    client_messages=12,
    client_bytes=1_000,
    provider_messages=40,
    provider_bytes=56_789,
    opening_seconds=0.25,
    duration_seconds=60.5,
)


def mock_record(fault: str = "") -> MockRecord:
    return MockRecord(3, "POST", "/v1/chat/completions?key=hush", 429, "done", 12, 0.01, fault, "127.0.0.1:9")


def written(make: Callable[[io.StringIO], LogSink], *records: object) -> str:
    stream = io.StringIO()
    sink = make(stream)
    for item in records:
        if isinstance(item, Log):
            sink.log(item)
        else:
            sink.journal(item)
    return stream.getvalue()


def text(*records: object) -> str:
    return written(lambda stream: TextLog(stream, lambda: NOON), *records)


def as_json(*records: object) -> list[dict[str, object]]:
    lines = written(lambda stream: JsonLog(stream, lambda: NOON), *records).splitlines()
    return [json.loads(line) for line in lines]


def test_a_request_is_one_line() -> None:
    assert text(record()) == (
        f"{STAMP} 200 openai/chat/completions done document, 500 B in, 123.5 kB out, 0.500 s (first 0.250 s) "
        "event=my-request log=0199-log peer=[::1]:5000\n"
    )
    line = text(
        record(streamed=True, step=2, attempts=3, outcome=Outcome.ERROR, first_byte_seconds=None, error="cut short")
    )
    assert line == (
        f"{STAMP} 200 openai/chat/completions error step=2 attempts=3 stream of 12 frames, 500 B in, 123.5 kB out, "
        '0.500 s event=my-request log=0199-log peer=[::1]:5000 error="cut short"\n'
    )


def test_a_mock_request_is_one_line() -> None:
    tail = "request=3 peer=127.0.0.1:9"
    assert text(mock_record()) == f"{STAMP} 429 POST /v1/chat/completions?… done 12 B out, 0.010 s {tail}\n"
    assert text(mock_record("status=429")).endswith(f'{tail} fault="status=429"\n')


def test_a_mock_session_is_one_line() -> None:
    entry = dataclasses.replace(
        mock_record(), status=101, sent_messages=1, received_messages=2, received_bytes=7, close_code=4000
    )
    line = (
        f"{STAMP} 101 POST /v1/chat/completions?… done 2 messages of 7 B in, 1 message of 12 B out, 0.010 s request=3"
    )
    assert text(entry) == f"{line} peer=127.0.0.1:9 close=4000\n"
    entry = dataclasses.replace(entry, close_reason="see you")
    assert text(entry) == f'{line} peer=127.0.0.1:9 close=4000 reason="see you"\n'


def test_a_turn_is_one_line() -> None:
    line = f"{STAMP} turn 2 openai response.done completed, 1 message of 100 B in, 20 messages of 34.0 kB out, 1.500 s"
    assert text(TURN) == (
        f"{line} (until 12.250 s) model=gpt-realtime tokens=input:12,output_audio:34 response=resp_1 session=0199-log"
        " peer=[::1]:5000\n"
    )
    heard = dataclasses.replace(TURN, status=None, model=None, response_id=None, tokens={}, audio_seconds=2.5)
    assert text(heard) == (
        f"{line.replace(' completed', '')} (until 12.250 s) audio=2.500s session=0199-log peer=[::1]:5000\n"
    )


def test_a_session_is_one_line() -> None:
    seconds = "60.500 s (opening 0.250 s)"
    assert text(SESSION) == (
        f"{STAMP} 101 openai/v1/realtime closed by client 1000, 12 messages of 1000 B in, 40 messages of 56.8 kB out,"
        f" 2 turns, {seconds} model=gpt-realtime tokens=input:20,output:50 log=0199-log peer=[::1]:5000\n"
    )
    bare = dataclasses.replace(SESSION, model=None, tokens={}, turns=1)
    assert f" 1 turn, {seconds} log=0199-log peer=" in text(bare)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"closed_by": ClosedBy.PROVIDER}, '101 openai/v1/realtime closed by provider 1001 "going away", 12 '),
        ({"closed_by": ClosedBy.GATEWAY, "error": "no message"}, "101 openai/v1/realtime closed by gateway 1001, 12 "),
        ({"client_close": 1006, "error": "lost"}, "101 openai/v1/realtime closed by client 1006, 12 "),
        ({"status": 401, "closed_by": ClosedBy.PROVIDER}, "401 openai/v1/realtime refused by provider, 12 "),
        ({"status": 502, "closed_by": ClosedBy.GATEWAY}, "502 openai/v1/realtime refused by gateway, 12 "),
        ({"status": 499, "client_close": None}, "499 openai/v1/realtime given up by client, 12 "),
        ({"client_close": None}, "101 openai/v1/realtime closed by client, 12 "),
    ],
)
def test_who_ended_a_session(changes: dict[str, Any], words: str) -> None:
    line = text(dataclasses.replace(SESSION, **changes))
    assert line.startswith(f"{STAMP} {words}")
    error = changes.get("error")
    assert line.endswith(" peer=[::1]:5000\n" if error is None else f" peer=[::1]:5000 error={_value(error)}\n")


def test_sessions_and_turns_in_json() -> None:
    session, turn = as_json(SESSION, TURN)
    for line, kind, entry in ((session, "session", SESSION), (turn, "turn", TURN)):
        assert (line.pop("time"), line.pop("type")) == (STAMP, kind)
        assert list(line) == [field.name for field in dataclasses.fields(entry)]
    assert (session["closed_by"], session["tokens"], session["error"]) == ("client", {"input": 20, "output": 50}, None)
    assert (turn["status"], turn["tokens"]) == ("completed", {"input": 12, "output_audio": 34})


def test_json_has_the_fields_by_name() -> None:
    (line,) = as_json(record(outcome=Outcome.CANCELLED))
    assert line["time"] == STAMP
    assert line["type"] == "request"
    assert line["outcome"] == "cancelled"
    assert line["response_bytes"] == 123_456
    assert line["event_id"] == "my-request"
    (line,) = as_json(mock_record())
    assert (line["status"], line["target"]) == (429, "/v1/chat/completions?…")


@pytest.mark.parametrize("nasty", ["a\nb", "\x1b[2J", "\u202ereversed", "x" * 5000, "\ud800", "a b=c", "é\x00"])
def test_what_a_peer_sends_cannot_break_the_line(nasty: str) -> None:
    line = text(record(event_id=nasty, endpoint=nasty, error=nasty))
    assert line.count("\n") == 1
    assert line.removesuffix("\n").isprintable()
    assert len(line) < 1000
    (decoded,) = as_json(record(event_id=nasty))
    assert decoded["event_id"] == nasty
    turn = dataclasses.replace(TURN, event=nasty, status=nasty, response_id=nasty, model=nasty, tokens={nasty: 1})
    session = dataclasses.replace(
        SESSION, path="/" + nasty, client_reason=nasty, model=nasty, subprotocol=nasty, tokens={nasty: 1}, error=nasty
    )
    for entry in (turn, session):
        line = text(entry)
        assert line.count("\n") == 1
        assert line.removesuffix("\n").isprintable()
        assert len(line) < 2000
        assert len(as_json(entry)) == 1


def test_a_key_in_the_query_is_not_logged() -> None:
    session = dataclasses.replace(SESSION, path="/v1/realtime?key=hush")
    assert "hush" not in text(record(endpoint="v1/models/m?key=hush"), mock_record(), session)
    assert "hush" not in repr(as_json(record(endpoint="v1/models/m?key=hush"), mock_record(), session))


def test_long_texts_are_cut() -> None:
    long = record(endpoint="x" * 1_000_000, error="e" * 1_000_000)
    assert len(text(long)) < 1000
    entry = as_json(long)[0]
    assert (len(str(entry["endpoint"])), len(str(entry["error"]))) == (8000, 8000)
    assert str(entry["endpoint"]).endswith("x…")
    assert entry["outcome"] == "done"


def test_log_lines() -> None:
    effect = Log(LogLevel.WARNING, "slow client", {"link": 4, "peer": "a b", "late": True, "none": None})
    assert text(effect) == f'{STAMP} warning: slow client link=4 peer="a b" late=True none=None\n'
    (line,) = as_json(effect)
    assert line == {
        "time": STAMP,
        "type": "log",
        "level": "warning",
        "message": "slow client",
        "details": {"link": 4, "peer": "a b", "late": True, "none": None},
    }


def test_the_traceback_of_a_bug_is_kept() -> None:
    nothing: dict[str, str] = {}
    with pytest.raises(KeyError) as caught:
        nothing["broken\x1b[0m"]
    effect = Log(LogLevel.ERROR, "bug", {}, caught.value)
    output = text(effect)
    assert "    Traceback (most recent call last):\n" in output
    assert "KeyError" in output
    assert "\x1b" not in output
    assert "Traceback" in str(as_json(effect)[0]["exception"])


def test_records_of_other_engines() -> None:
    assert text("a\nrecord") == f"{STAMP} a\\nrecord\n"
    assert as_json(7) == [{"time": STAMP, "type": "record", "record": "7"}]


def test_notes_of_the_application() -> None:
    stream = io.StringIO()
    sink = TextLog(stream, lambda: NOON)
    sink.note("draining", seconds=10.0)
    sink.caution("careful")
    assert stream.getvalue() == f"{STAMP} info: draining seconds=10.0\n{STAMP} warning: careful\n"


def test_a_lost_destination_is_survived() -> None:
    class Broken(io.StringIO):
        def write(self, text: str, /) -> int:
            raise BrokenPipeError

    TextLog(Broken()).journal(record())
    closed = io.StringIO()
    closed.close()
    JsonLog(closed).journal(record())


def test_colour_only_on_a_terminal() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    effect = Log(LogLevel.INFO, "m", {})
    terminal, pipe, lines = Terminal(), io.StringIO(), Terminal()
    for name, stream in (("text", terminal), ("text", pipe), ("json", lines)):
        sink = make_log(name, stream)
        sink.journal(record())
        sink.journal(SESSION)
        sink.log(effect)
    assert "\x1b[32mdone\x1b[0m" in terminal.getvalue()
    assert "\x1b[32mclosed by client\x1b[0m 1000," in terminal.getvalue()
    assert "\x1b" not in pipe.getvalue() + lines.getvalue()


def test_sizes_and_plain_text() -> None:
    assert [size(9_999), size(10_000), size(12_345_678)] == ["9999 B", "10.0 kB", "12.3 MB"]
    assert plain("abc", 2) == "a…"
