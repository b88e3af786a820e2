"""How the ends of a simulated realtime session behave, and what they note of their messages."""

from __future__ import annotations

import enum
import zlib
from dataclasses import dataclass, field
from typing import TypeAlias

from support.realtime_frames import PONG, Frame, Message, Reader

__all__ = ["Answer", "Close", "Got", "Leaving", "Manner", "Reading", "Rules", "Sent", "Squeezer", "Upstream"]

Close: TypeAlias = tuple[int | None, bytes]
"""Code and reason; without a code there is no payload."""
_TAIL = b"\x00\x00\xff\xff"


class Answer(enum.Enum):
    """What an end does when a Close comes."""

    AT_ONCE = "answers"
    LATER = "goes on for a while, then answers"
    NEVER = "does nothing"
    CUT = "breaks the stream"
    LEAVE = "answers and closes the stream without waiting"


class Reading(enum.Enum):
    """How an end reads."""

    ALWAYS = "at once"
    PAUSES = "not always, but the pauses are shorter than any deadline"
    SLOWLY = "at a rate"
    STOPS = "not any more, from some time on"


class Leaving(enum.Enum):
    """How an end leaves without a Close."""

    FIN = "ends its sending direction"
    CLOSE = "closes the stream"
    RESET = "breaks the stream"


class Upstream(enum.Enum):
    """What a provider does with a request for an upgrade."""

    ACCEPTS = "101"
    REFUSES = "another status"
    IS_NONE = "200"
    BABBLES = "no HTTP"
    CUTS = "the end of the stream"
    MUTE = "nothing"
    REFUSED = "nobody listens"
    SILENT = "the connection is never there"
    UNKNOWN = "the name has no address"


@dataclass(frozen=True)
class Manner:
    """How an end behaves besides what is in its script."""

    reading: Reading = Reading.ALWAYS
    rate: float | None = None
    """In bytes per second, for those who read slowly."""
    answer: Answer = Answer.AT_ONCE
    answer_seconds: float = 0.0
    answer_close: Close | None = None
    """None is the one that came."""
    hangs_up: bool = True
    """Ends the stream when all is said, or when the other side did."""
    answers_pings: bool = True
    squeezes: str | None = None
    """Offers, or accepts, compression; `fresh` is without context takeover."""


class Rules(Reader):
    """What a relay may send: behind a Close there may be pongs (RFC 6455 section 5.5.2)."""

    def _judge_order(self, frame: Frame) -> None:
        if not (self._closed and frame.opcode == PONG):
            super()._judge_order(frame)


class Squeezer:
    """permessage-deflate with nothing but zlib (RFC 7692 section 7.2)."""

    def __init__(self, *, fresh: bool) -> None:
        """Begin; `fresh` begins again with each message."""
        self._fresh = fresh
        self._out = zlib.compressobj(1, wbits=-15)
        self._in = zlib.decompressobj(wbits=-15)

    def squeeze(self, payload: bytes) -> bytes:
        """Compress a message."""
        out = zlib.compressobj(1, wbits=-15) if self._fresh else self._out
        return (out.compress(payload) + out.flush(zlib.Z_SYNC_FLUSH)).removesuffix(_TAIL)

    def unfold(self, data: bytes, *, last: bool) -> bytes:
        """Decompress what a frame holds."""
        payload = self._in.decompress(data + _TAIL if last else data)
        if last and self._fresh:
            self._in = zlib.decompressobj(wbits=-15)
        return payload


@dataclass
class Sent:
    """A message that an end sent, or began to send."""

    message: Message
    frames: int
    squeezed: bool
    at: float = 0.0
    """When the last frame was sent."""
    sent_bytes: int = 0


@dataclass
class Got:
    """A message that came, or began to come."""

    opcode: int
    squeezed: bool
    payload: bytearray = field(default_factory=bytearray)
    frames: int = 0
    at: float = 0.0

    def is_(self, message: Message) -> bool:
        """Whether it is this message, all of it."""
        return self.opcode == message.opcode and bytes(self.payload) == message.payload
