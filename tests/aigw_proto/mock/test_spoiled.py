from __future__ import annotations

import json
from itertools import islice

import pytest

from aigw_proto.mock import MockFault
from aigw_proto.mock._spoiled import SayRaw, illegal_frame, raw_close, spoil, swell
from aigw_proto.mock._talk import Say, SayPiece
from aigw_proto.ws import Opcode
from support.frames import parse

MESSAGE = Say(b'{"a":{"b":1}}')


def test_only_the_named_message_is_torn() -> None:
    assert spoil(MESSAGE, 1, MockFault(malformed=1)) == Say(b'{"a":{"b":1}')
    assert spoil(MESSAGE, 2, MockFault(malformed=1)) is MESSAGE
    assert spoil(MESSAGE, 1, MockFault()) is MESSAGE


def test_only_the_first_message_grows() -> None:
    fault = MockFault(giant_frame_bytes=10)
    assert swell(MESSAGE, 0, fault) is not None
    assert swell(MESSAGE, 1, fault) is None
    assert swell(MESSAGE, 0, MockFault()) is None


@pytest.mark.parametrize("size", [1, 13, 14, 125, 126, 65_535, 65_536, 100_000])
def test_a_giant_is_one_valid_frame(size: int) -> None:
    parts = swell(MESSAGE, 0, MockFault(giant_frame_bytes=size))
    assert parts is not None
    found = [part for part in parts if isinstance(part, SayRaw)]
    assert [part.finished for part in found] == [False] * (len(found) - 1) + [True]
    ((head, payload),) = parse(b"".join(part.header + part.data for part in found))
    assert head == 0x81
    assert len(payload) == max(size, len(MESSAGE.data))
    assert json.loads(payload) == {"a": {"b": 1}}


def test_audio_grows_by_silence_and_binary_json_by_white_space() -> None:
    for message, filler in ((Say(b"\x01\xff", text=False), b"\x00"), (Say(b"{}", text=False), b" ")):
        parts = swell(message, 0, MockFault(giant_frame_bytes=5))
        assert parts is not None
        ((head, payload),) = parse(b"".join(part.header + part.data for part in parts if isinstance(part, SayRaw)))
        assert (head, payload) == (0x82, message.data + filler * 3)


@pytest.mark.parametrize("size", [0, 16])
def test_fragments_without_end(size: int) -> None:
    parts = swell(MESSAGE, 0, MockFault(endless_fragments=size))
    assert parts is not None
    first, *more = islice(parts, 1000)
    assert first == SayPiece(Opcode.TEXT, MESSAGE.data, finished=False)
    assert set(map(repr, more)) == {repr(SayPiece(Opcode.TEXT, b" " * size, finished=False))}


def test_frames_that_no_machine_prints() -> None:
    assert parse(illegal_frame()) == [(0x83, b"")]
    assert parse(raw_close(1006, "x")) == [(0x88, b"\x03\xeex")]
