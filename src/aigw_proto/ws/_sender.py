"""What a WebSocket connection has to send: messages and control frames as bytes, until the caller takes them.

Server frames carry their payload as it is, so a large one is handed on in the caller's own buffer behind a small one
with the header. Client frames are masked, which makes a copy anyway.

The caller decides how much it sends; a peer's pings do not. Their pongs are counted until they are taken, and beyond
`max_pending_control_bytes` only the newest ping is remembered, which RFC 6455 section 5.5.3 allows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import LocalProtocolError
from .._limits import UNLIMITED
from ._encoder import encode_frame, encode_header, encode_masked
from ._events import Opcode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._entropy import Entropy
    from ._deflate import Deflater

__all__ = ["Sender", "SendingHalf"]

_FIN = 0x80
_COMPRESSED = 0x40  # RSV1 (RFC 7692 section 6)
_CLOSE = _FIN | Opcode.CLOSE
_PONG = _FIN | Opcode.PONG
_TEXT_FRAME = 0x01
_BINARY_FRAME = 0x02
_TEXT = Opcode.TEXT  # a look into an enumeration takes longer than making a frame
_BINARY = Opcode.BINARY
_JOIN_BYTES = 4096  # up to here one buffer with its header is cheaper than two; above, copying is dearer


class SendingHalf:
    """What a connection wants from whoever writes frames for it. It asks only for what its state allows."""

    __slots__ = ()

    @property
    def within_message(self) -> bool:
        """Whether a fragmented message is under way."""
        raise NotImplementedError

    def message(self, opcode: Opcode, payload: bytes) -> None:
        """Queue a message in one frame. Raises LocalProtocolError within a fragmented message."""
        raise NotImplementedError

    def text_chunks(self, chunks: Sequence[bytes]) -> None:
        """Queue a text message in one frame from several buffers. Raises likewise."""
        raise NotImplementedError

    def piece(self, opcode: Opcode, data: bytes, finished: bool) -> None:
        """Queue a fragment. Raises LocalProtocolError for an opcode that does not fit."""
        raise NotImplementedError

    def control(self, opcode: Opcode, payload: bytes) -> None:
        """Queue a ping or pong of the caller's. Raises LocalProtocolError beyond 125 bytes."""
        raise NotImplementedError

    def answer_ping(self, payload: bytes) -> None:
        """Queue the pong for a ping, or remember it when too many wait."""
        raise NotImplementedError

    def close(self, payload: bytes) -> None:
        """Queue a Close."""
        raise NotImplementedError

    def take(self) -> list[bytes]:
        """Move out everything that waits, in order."""
        raise NotImplementedError


class Sender(SendingHalf):
    """Frames what one side sends and holds it. Knows nothing of the connection's state."""

    __slots__ = ("_control_bytes", "_deflater", "_entropy", "_latest_ping", "_max_control_bytes", "_opcode", "_output")

    def __init__(self, *, entropy: Entropy | None, deflater: Deflater | None, max_control_bytes: int) -> None:
        """Mask with keys from `entropy` (a client), or do not mask (None, a server)."""
        self._entropy = entropy
        self._deflater = deflater
        self._max_control_bytes = min(max_control_bytes, UNLIMITED)
        self._output: list[bytes] = []
        self._opcode: Opcode | None = None  # of the fragmented message under way
        self._control_bytes = 0
        self._latest_ping: bytes | None = None

    @property
    def within_message(self) -> bool:
        """Whether a fragmented message is under way."""
        return self._opcode is not None

    def message(self, opcode: Opcode, payload: bytes) -> None:
        """Queue a message in one frame. Raises LocalProtocolError within a fragmented message."""
        if self._opcode is not None:
            raise LocalProtocolError("a fragmented message has to be finished first")
        head = _FIN | (_TEXT_FRAME if opcode is _TEXT else _BINARY_FRAME)
        if self._deflater is not None:
            head |= _COMPRESSED
            payload = self._deflater.compress(payload, finished=True)
        self.frame(head, payload)

    def text_chunks(self, chunks: Sequence[bytes]) -> None:
        """Queue a text message in one frame from several buffers, as they are where possible. Raises likewise."""
        if self._opcode is not None or self._entropy is not None or self._deflater is not None:
            self.message(_TEXT, b"".join(chunks))
            return
        length = 0
        for chunk in chunks:
            length += len(chunk)
        self._output.append(encode_header(_FIN | _TEXT_FRAME, length))
        self._output += [chunk for chunk in chunks if chunk]

    def piece(self, opcode: Opcode, data: bytes, finished: bool) -> None:
        """Queue a fragment. Raises LocalProtocolError for an opcode that does not fit."""
        current = self._opcode
        if (opcode is not _TEXT and opcode is not _BINARY) or (current is not None and current is not opcode):
            raise LocalProtocolError(f"a fragment of {opcode.name} cannot be sent now")
        head = 0
        if current is None:
            head = _TEXT_FRAME if opcode is _TEXT else _BINARY_FRAME
        if finished:
            head |= _FIN
        if self._deflater is not None:
            data = self._deflater.compress(data, finished=finished)
            if current is None:
                head |= _COMPRESSED
        self._opcode = None if finished else opcode
        self.frame(head, data)

    def control(self, opcode: Opcode, payload: bytes) -> None:
        """Queue a ping or pong of the caller's. Raises LocalProtocolError beyond 125 bytes."""
        if len(payload) > 125:
            raise LocalProtocolError("a control frame carries at most 125 bytes")
        self.frame(_FIN | opcode, payload)

    def answer_ping(self, payload: bytes) -> None:
        """Queue the pong for a ping, or remember it when too many wait."""
        if self._control_bytes < self._max_control_bytes:
            self._control_bytes += len(payload) + 6
            self.frame(_PONG, payload)
        else:
            self._latest_ping = payload

    def close(self, payload: bytes) -> None:
        """Queue a Close."""
        self._latest_ping = None  # a pong that was put off is not worth sending behind a Close
        self.frame(_CLOSE, payload)

    def frame(self, head: int, payload: bytes) -> None:
        """Queue a frame whose first octet is `head`."""
        entropy = self._entropy
        if entropy is not None:
            at = entropy.draw(4)
            self._output.append(encode_masked(head, payload, entropy.block, at))
        elif len(payload) <= _JOIN_BYTES:
            self._output.append(encode_frame(head, payload))
        else:
            self._output.append(encode_header(head, len(payload)))
            self._output.append(payload)

    def take(self) -> list[bytes]:
        """Move out everything that waits, in order."""
        if self._latest_ping is not None:
            self.frame(_PONG, self._latest_ping)
            self._latest_ping = None
        self._control_bytes = 0
        output = self._output
        self._output = []
        return output
