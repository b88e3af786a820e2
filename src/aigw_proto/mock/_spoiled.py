"""Messages of a realtime provider under a fault: torn, giant or without end; and frames that no machine would print."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat
from typing import Final

from .._kinds import record
from ..ws import Opcode
from ..ws._close import close_payload
from ..ws._encoder import encode_header
from ._faults import MockFault
from ._script import torn_off
from ._talk import Say, SayPiece

__all__ = ["SayRaw", "illegal_frame", "raw_close", "spoil", "swell"]

_PIECE_BYTES: Final = 16 * 1024
_FIN: Final = 0x80
_RESERVED: Final = 0x3  # an opcode that no RFC gives a meaning


@record
class SayRaw:
    """Send part of a frame past the machine, the last part when `finished`; `header` begins the frame."""

    data: bytes
    finished: bool
    header: bytes = b""


def spoil(say: Say, index: int, fault: MockFault) -> Say:
    """Return message number `index` as the fault leaves it: with its JSON torn off, or as it is."""
    return Say(torn_off(say.data), say.text) if fault.malformed == index else say


def swell(say: Say, index: int, fault: MockFault) -> Iterator[SayPiece | SayRaw] | None:
    """Return the giant or the endless message that number `index` becomes, or None when it stays what it is."""
    if index == 0 and fault.giant_frame_bytes is not None:
        return _giant(say, fault.giant_frame_bytes)
    if index == 0 and fault.endless_fragments is not None:
        return _endless(say, fault.endless_fragments)
    return None


def _filler(say: Say) -> bytes:
    """Return what makes a message longer and leaves it valid: white space behind JSON, silence behind audio."""
    return b" " if say.text or say.data.startswith(b"{") else b"\x00"


def _giant(say: Say, size: int) -> Iterator[SayRaw]:
    """Return one frame of at least `size` bytes, made while it is sent."""
    missing = max(0, size - len(say.data))
    head = _FIN | (Opcode.TEXT if say.text else Opcode.BINARY)
    yield SayRaw(say.data, finished=not missing, header=encode_header(head, len(say.data) + missing))
    filler = _filler(say) * _PIECE_BYTES
    while missing:
        piece = filler[:missing]
        missing -= len(piece)
        yield SayRaw(piece, finished=not missing)


def _endless(say: Say, size: int) -> Iterator[SayPiece]:
    opcode = Opcode.TEXT if say.text else Opcode.BINARY
    yield SayPiece(opcode, say.data, finished=False)
    yield from repeat(SayPiece(opcode, _filler(say) * size, finished=False))


def illegal_frame() -> bytes:
    """Return an empty frame with a reserved opcode."""
    return encode_header(_FIN | _RESERVED, 0)


def raw_close(code: int, reason: str) -> bytes:
    """Return a Close with a code that no Close may carry."""
    payload = close_payload(code, reason)
    return encode_header(_FIN | Opcode.CLOSE, len(payload)) + payload
