from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Callable

import pytest

from aigw_proto._effects import CloseHow
from aigw_proto.http import Response
from aigw_proto.mock import MockFault, parse_fault
from aigw_proto.mock._replies import Document, EventStream, Reply, text_document
from aigw_proto.mock._script import Finish, HangUp, SendHead, SendPiece, SendRaw, Step, Switch, Wait, script
from aigw_proto.mock._talk import Echo

TEXT = text_document(lambda text: {"text": text, "end": 1}, "abc")
LINES = EventStream(
    (b"data: open\n\n",), lambda word: f'data: {{"w":"{word}"}}\n\n'.encode(), ("a", "b"), (b"data: end\n\n",)
)


def steps(reply: Reply | Switch, spec: str = "close", *, method: bytes = b"POST", limit: int = 1000) -> list[Step]:
    fault = parse_fault(spec)
    assert isinstance(fault, MockFault)
    return list(itertools.islice(script(reply, fault, method=method), limit))


def kinds(found: list[Step]) -> list[str]:
    return [type(step).__name__ for step in found]


def body(found: list[Step]) -> bytes:
    return b"".join(step.data for step in found if isinstance(step, SendPiece | SendRaw))


def headers(found: list[Step]) -> dict[bytes, bytes]:
    head = next(step for step in found if isinstance(step, SendHead))
    return dict(head.headers)


def test_a_document_is_one_piece() -> None:
    found = list(script(TEXT, MockFault(), method=b"POST"))
    assert kinds(found) == ["SendHead", "SendPiece", "Finish"]
    assert headers(found) == {b"content-type": b"application/json", b"content-length": b"22"}


def test_a_stream_is_a_piece_for_each_event() -> None:
    found = list(script(LINES, MockFault(), method=b"POST"))
    assert kinds(found) == ["SendHead", *["SendPiece"] * 4, "Finish"]
    assert headers(found) == {b"content-type": b"text/event-stream", b"transfer-encoding": b"chunked"}


def test_large_events_are_cut_into_pieces() -> None:
    reply = Document(b"x" * 100_000)
    sizes = [len(step.data) for step in steps(reply) if isinstance(step, SendPiece)]
    assert sum(sizes) == 100_000
    assert max(sizes) <= 16 * 1024


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("first_byte_delay=1", ["Wait", "SendHead", *["SendPiece"] * 4, "Finish"]),
        ("chunk_delay=1,cut_after=2", ["SendHead", "SendPiece", "Wait", "SendPiece", "HangUp"]),
        ("stall_after=1", ["SendHead", "SendPiece", "Wait", "Finish"]),
        ("stall_after=99", ["SendHead", *["SendPiece"] * 4, "Wait", "Finish"]),
        ("stall_after=1,cut_after=3", ["SendHead", "SendPiece", "Wait", "HangUp"]),
        ("stall_after=3,cut_after=1", ["SendHead", "SendPiece", "HangUp"]),
        ("cut_after=0", ["SendHead", "HangUp"]),
        ("cut_after=99", ["SendHead", *["SendPiece"] * 4, "HangUp"]),
        ("cut_before,first_byte_delay=1", ["Wait", "HangUp"]),
        ("bad_status_line", ["SendRaw", "HangUp"]),
        ("bad_chunking", ["SendRaw", "SendRaw", "HangUp"]),
        ("lying_length", ["SendRaw", "SendRaw", "HangUp"]),
        ("status=204", ["SendHead", "Finish"]),
    ],
)
def test_courses_of_a_stream(spec: str, expected: list[str]) -> None:
    reply = EventStream(LINES.opening, LINES.delta, LINES.words, LINES.closing, status=204 if "204" in spec else 200)
    assert kinds(steps(reply, spec)) == expected


def test_a_stall_has_no_end() -> None:
    assert [step for step in steps(LINES, "stall_after=1") if isinstance(step, Wait)] == [Wait(None)]


@pytest.mark.parametrize("spec", ["cut_after=2", "stall_after=2"])
def test_a_document_is_cut_in_its_middle(spec: str) -> None:
    found = body(steps(TEXT, spec))
    whole = TEXT.before + TEXT.after
    assert whole.startswith(found)
    assert 0 < len(found) < len(whole)


def test_hanging_up() -> None:
    assert steps(LINES, "cut_before") == [HangUp(CloseHow.FLUSH)]
    assert steps(LINES, "cut_before,reset") == [HangUp(CloseHow.ABORT)]


@pytest.mark.parametrize(
    "reply", [TEXT, Document(b'{"a":[1,2]}'), Document(b'[{"a":1}]')], ids=["text", "object", "array"]
)
def test_a_malformed_document_is_no_json_and_has_its_length(reply: Document) -> None:
    found = steps(reply, "malformed")
    data = body(found)
    assert headers(found)[b"content-length"] == b"%d" % len(data)
    with pytest.raises(json.JSONDecodeError):
        json.loads(data)


def test_a_malformed_stream_has_one_broken_event() -> None:
    events = body(steps(LINES, "malformed")).split(b"\n\n")
    assert events == [b"data: open", b'data: {"w":"a"', b'data: {"w":"b"}', b"data: end", b""]
    assert body(steps(LINES, "malformed=0")).startswith(b"data: {open\n\n")


@pytest.mark.parametrize("size", [1, 22, 23, 16 * 1024, 100_000])
def test_a_huge_document_has_the_size_and_stays_valid(size: int) -> None:
    found = steps(TEXT, f"huge={size}")
    data = body(found)
    assert len(data) == max(size, 22)
    assert headers(found)[b"content-length"] == b"%d" % len(data)
    assert json.loads(data)["end"] == 1


@pytest.mark.parametrize(("spec", "events"), [("huge=50000", 51), ("huge=50000,chunks=10", 12), ("huge=10", 2)])
def test_a_huge_stream(spec: str, events: int) -> None:
    data = body(steps(LINES, spec))
    assert len(data) >= 10
    assert data.endswith(b"data: end\n\n")
    assert abs(data.count(b"\n\n") - events) <= 2


def test_huge_deltas_are_bounded() -> None:
    deltas = (step for step in script(LINES, MockFault(huge_bytes=1 << 40, chunks=1), method=b"POST"))
    assert all(len(step.data) <= 16 * 1024 for step in itertools.islice(deltas, 500) if isinstance(step, SendPiece))


def test_gzip_can_be_inflated_event_by_event() -> None:
    found = steps(LINES, "gzip")
    inflater = zlib.decompressobj(wbits=31)
    pieces = [inflater.decompress(step.data) for step in found if isinstance(step, SendPiece)]
    assert pieces == [b"data: open\n\n", b'data: {"w":"a"}\n\n', b'data: {"w":"b"}\n\n', b"data: end\n\n", b""]
    assert headers(found)[b"transfer-encoding"] == b"chunked"
    assert headers(steps(TEXT, "gzip"))[b"transfer-encoding"] == b"chunked"


@pytest.mark.parametrize("spec", ["endless_header", "endless_line", "endless_json"])
def test_endless(spec: str) -> None:
    found = steps(LINES, spec, limit=300)
    assert len(found) == 300
    assert len(body(found)) > 4_000_000
    assert b"\n" not in body(found)[64:]


def test_headers_that_faults_add() -> None:
    found = headers(steps(TEXT, "status=302,retry_after=2,content_type=x/y,close"))
    assert found[b"retry-after"] == b"2"
    assert found[b"content-type"] == b"x/y"
    assert found[b"connection"] == b"close"
    redirect = Document(b"", status=302, headers=((b"allow", b"GET"),))
    assert headers(steps(redirect))[b"location"] == b"https://elsewhere.invalid/"
    assert headers(steps(redirect))[b"allow"] == b"GET"


@pytest.mark.parametrize(("spec", "length"), [("lying_length=5", 27), ("lying_length=-5", 17), ("lying_length=-99", 0)])
def test_lengths_that_lie(spec: str, length: int) -> None:
    head, data = (step.data for step in steps(TEXT, spec) if isinstance(step, SendRaw))
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"content-length: %d\r\n" % length in head
    assert head.endswith(b"\r\n\r\n")
    assert len(data) == 22


def test_bad_chunking_begins_well() -> None:
    _, data = (step.data for step in steps(LINES, "bad_chunking") if isinstance(step, SendRaw))
    assert data == b"c\r\ndata: open\n\n\r\nmore or less\r\n"


@pytest.mark.parametrize("method", [b"HEAD", b"POST"])
def test_finish_is_the_last_step(method: bytes) -> None:
    found = steps(TEXT, method=method)
    assert found[-1] == Finish()
    assert (b"" if method == b"HEAD" else TEXT.before + TEXT.after) == body(found)


def test_every_dialect_survives_every_fault(ask: Callable[..., Reply]) -> None:
    paths = ["/chat/completions", "/responses", "/messages", "/m:generateContent", "/m:streamGenerateContent"]
    paths += ["/run/@cf/m", "/v1/chat", "/v2/chat", "/converse-stream", "/embeddings", "/audio/speech", "/nowhere"]
    specs = [
        "malformed",
        "huge=5000",
        "lying_length",
        "bad_chunking",
        "gzip",
        "cut_after=1",
        "chunks=1",
        "endless_json",
    ]
    for path, spec, stream in itertools.product(paths, specs, (False, True)):
        found = steps(ask(path, {"stream": stream, "prompt": "a b"}), spec, limit=50)
        assert len(found) > 1, (path, spec)


SWITCH = Switch(Response(101, []), None, Echo(()), MockFault())


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("torn", ["Switch"]),
        ("first_byte_delay=1", ["Wait", "Switch"]),
        ("cut_before", ["HangUp"]),
        ("bad_status_line", ["SendRaw", "HangUp"]),
        ("bad_chunking,gzip", ["Switch"]),
        ("huge=1000", ["Switch"]),
        ("endless_json", ["Switch"]),
    ],
)
def test_a_switch_has_no_body_to_spoil(spec: str, expected: list[str]) -> None:
    assert kinds(steps(SWITCH, spec)) == expected


def test_a_switch_with_a_header_without_end() -> None:
    found = steps(SWITCH, "endless_header", limit=3)
    assert isinstance(found[0], SendRaw)
    assert found[0].data == b"HTTP/1.1 101 Mock\r\nx-endless: "
