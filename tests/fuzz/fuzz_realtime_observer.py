"""Any messages of any provider, in any pieces: counted exactly, told of the same turns, and never an exception.

The input: dialect and limits in one byte, then messages, each in a line that begins with who sends it and how:
`p` the provider in text, `b` the provider in binary, anything else the client.
"""

from __future__ import annotations

from typing import TypeAlias

from aigw_proto.gateway._observer import Observer, Turn
from aigw_proto.providers import Dialect
from aigw_proto.ws import MessagePiece, Opcode
from fuzz.script import cuts

DIALECTS = list(Dialect)
MAX_BYTES = [256 * 1024, 64, 700]
MAX_NAME_CHARACTERS = 128
PROVIDER = {b"p", b"b"}
Watched: TypeAlias = tuple[list[Turn], tuple[object, ...]]


def test_one_input(data: bytes) -> None:
    """Check one input."""
    options = data[0] if data else 0
    dialect = DIALECTS[options % len(DIALECTS)]
    max_bytes = MAX_BYTES[options // len(DIALECTS) % len(MAX_BYTES)]
    messages = [(line[:1], line[1:]) for line in data[1:].split(b"\n")]
    turns, totals = watch(dialect, max_bytes, [(sender, [body]) for sender, body in messages])
    check_turns(turns, totals)
    for number in range(2):
        pieces = [(sender, cut(body, number) if sender in PROVIDER else [body]) for sender, body in messages]
        cut_turns, cut_totals = watch(dialect, max_bytes, pieces)
        assert cut_totals[:4] == totals[:4]
        if all(len(body) <= max_bytes for _, body in messages):
            assert cut_turns == turns
            assert cut_totals == totals


def cut(message: bytes, number: int) -> list[bytes]:
    """Cut a message in one of the ways, with empty pieces around it."""
    for index, chunks in enumerate(cuts(message)):
        if index == number:
            return [b"", *chunks, b""]
    return [message]


def watch(dialect: Dialect, max_bytes: int, messages: list[tuple[bytes, list[bytes]]]) -> Watched:
    """Let an observer see messages; return the turns it tells of, and its totals."""
    observer = Observer(dialect, now=0.0, max_bytes=max_bytes, model=None)
    turns: list[Turn] = []
    for number, (sender, pieces) in enumerate(messages):
        opcode = Opcode.BINARY if sender == b"b" else Opcode.TEXT
        for index, data in enumerate(pieces):
            piece = MessagePiece(opcode, data, index == 0, index == len(pieces) - 1)
            if sender in PROVIDER:
                turn = observer.provider_piece(piece, float(number))
                if turn is not None:
                    assert piece.finished
                    turns.append(turn)
            else:
                observer.client_piece(piece, float(number))
    if (last := observer.last(float(len(messages)))) is not None:
        turns.append(last)
    assert observer.turns == len(turns)
    counts = (observer.client_messages, observer.client_bytes, observer.provider_messages, observer.provider_bytes)
    assert counts == counted(messages)
    return turns, (*counts, observer.tokens, observer.model)


def counted(messages: list[tuple[bytes, list[bytes]]]) -> tuple[int, int, int, int]:
    """Count messages and bytes of either side."""
    theirs = [sum(map(len, pieces)) for sender, pieces in messages if sender in PROVIDER]
    ours = [sum(map(len, pieces)) for sender, pieces in messages if sender not in PROVIDER]
    return len(ours), sum(ours), len(theirs), sum(theirs)


def check_turns(turns: list[Turn], totals: tuple[object, ...]) -> None:
    """What is told of is fit for a log, and adds up."""
    tokens: dict[str, int] = {}
    for turn in turns:
        assert turn.event
        for name in (turn.status, turn.response_id, turn.event):
            assert name is None or (len(name) <= MAX_NAME_CHARACTERS and name.isprintable())
        assert turn.duration_seconds >= 0
        assert turn.audio_seconds is None or turn.audio_seconds >= 0
        for kind, count in turn.tokens.items():
            assert count >= 0
            tokens[kind] = tokens.get(kind, 0) + count
    assert tokens == totals[4]
    assert sum(turn.provider_bytes for turn in turns) <= sum(value for value in totals[:4] if isinstance(value, int))
