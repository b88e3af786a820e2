"""permessage-deflate (RFC 7692): one compressor and one decompressor per connection, both lazy, both bounded.

A compressed message is one DEFLATE stream cut where a sync flush left `00 00 ff ff`; the sender strips these four
octets and the receiver puts them back (sections 7.2.1 and 7.2.2). With context takeover the sliding window lives on
from message to message; without it every message starts with an empty window.

Three things need more than zlib gives:

* **Bombs.** A few KiB may inflate to gigabytes. `Inflater.read()` therefore hands out at most as many octets as the
  caller allows and keeps the rest compressed.
* **Final blocks.** A sender may set BFINAL (section 7.2.3.4). To zlib that ends the stream; here the next block goes to
  a fresh decompressor that starts from the same window, since the window belongs to the connection, not to the stream.
* **Window bits of 8.** zlib refuses to compress raw DEFLATE with a window of 256 octets. It looks back at most
  `window - 262` octets, though, so with a window of 512 no distance exceeds 250: a receiver with 256 octets can follow.
  Inflating with a larger window than agreed is always right, so the receiving side takes 9 for 8 as well.

The receiving side keeps only the agreed window, since memory is what small windows are agreed for. Whether a peer that
refers further back than agreed is found out depends on the cuts: zlib also sees what it wrote in the same call.
"""

from __future__ import annotations

import zlib
from typing import Protocol

from .._errors import CloseCode
from .._kinds import record
from ._violation import Violation

__all__ = ["DeflateParameters", "Deflater", "Inflater"]

_TAIL = b"\x00\x00\xff\xff"
_EMPTY_BLOCK = b"\x00"  # what is left of an empty stored block without its tail (RFC 7692 section 7.2.3.6)
_MEMORY_LEVEL = 5  # 16 KiB of hash chains instead of zlib's 128: gateways hold many sockets, and the loss is small
_MAX_STREAMS = (
    1024  # final blocks in one message: each costs a fresh decompressor, an attacker could send 32,000 a read
)


class _Compressor(Protocol):
    """What `zlib.compressobj()` returns; the type itself has no public name."""

    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self, mode: int = ..., /) -> bytes: ...


class _Decompressor(Protocol):
    """What `zlib.decompressobj()` returns."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int = ...) -> bytes: ...


@record
class DeflateParameters:
    """What both sides agreed on for permessage-deflate (RFC 7692 section 7.1).

    `server_*` governs what the server compresses, `client_*` what the client compresses. Window bits are 8 to 15.
    """

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int = 15
    client_max_window_bits: int = 15


class Deflater:
    """Compresses what one side sends."""

    __slots__ = ("_compressor", "_no_context_takeover", "_window_bits")

    def __init__(self, *, window_bits: int, no_context_takeover: bool) -> None:
        """Keep the agreed parameters; memory is taken with the first message."""
        self._window_bits = max(window_bits, 9)
        self._no_context_takeover = no_context_takeover
        self._compressor: _Compressor | None = None

    def compress(self, data: bytes, *, finished: bool) -> bytes:
        """Return the payload of one frame: a whole message, or one fragment that the receiver can inflate at once."""
        compressor = self._compressor
        if compressor is None:
            compressor = zlib.compressobj(wbits=-self._window_bits, memLevel=_MEMORY_LEVEL)
            self._compressor = compressor
        compressed = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
        if not finished:
            return compressed
        if self._no_context_takeover:
            self._compressor = None
        # zlib writes nothing when the flush before left nothing to flush: an empty last fragment.
        return compressed[:-4] or _EMPTY_BLOCK


class Inflater:
    """Decompresses what one side receives, never more than asked for.

    For each frame or piece: `feed()`, then `read()` until `busy` is false.
    """

    __slots__ = (
        "_decompressor",
        "_finishing",
        "_no_context_takeover",
        "_pending",
        "_recent",
        "_streams",
        "_window_bits",
        "busy",
    )

    def __init__(self, *, window_bits: int, no_context_takeover: bool) -> None:
        """Keep the agreed parameters; memory is taken with the first message."""
        self._window_bits = max(window_bits, 9)
        self._no_context_takeover = no_context_takeover
        self._decompressor: _Decompressor | None = None
        self._pending = b""
        self._finishing = False
        self._streams = 0
        self._recent = bytearray()
        self.busy = False

    def feed(self, data: bytes, *, finished: bool) -> None:
        """Take compressed octets; `finished` marks the end of the message. Call only while not `busy`."""
        self._pending = data + _TAIL if finished else data
        self._finishing = finished
        self.busy = True

    def read(self, limit: int) -> bytes:
        """Return the next inflated octets, at most `limit` (at least 1); clears `busy` with the last of them.

        Raises Violation (1007) for data that is not DEFLATE.
        """
        decompressor = self._decompressor
        if decompressor is None:
            decompressor = self._decompressor = zlib.decompressobj(wbits=-self._window_bits)
        while True:
            try:
                output = decompressor.decompress(self._pending, limit)
            except zlib.error:
                raise Violation(CloseCode.INVALID_PAYLOAD_DATA, "invalid compressed data") from None
            self._remember(output)
            if decompressor.eof:
                self._pending = decompressor.unused_data
                if self._finishing and self._pending == _TAIL:
                    self._pending = b""  # the sender left out the empty block behind its final one
                decompressor = self._decompressor = self._next_stream()
                if not output and self._pending:
                    continue
                self.busy = bool(self._pending)
            else:
                self._pending = decompressor.unconsumed_tail
                # A full answer may have left output inside zlib even though all input is gone.
                self.busy = len(output) == limit or bool(self._pending)
            if self._finishing and not self.busy:
                self._end_message()
            return output

    def _next_stream(self) -> _Decompressor:
        self._streams += 1
        if self._streams > _MAX_STREAMS:
            raise Violation(CloseCode.MESSAGE_TOO_BIG, f"more than {_MAX_STREAMS} final blocks in one message")
        return zlib.decompressobj(wbits=-self._window_bits, zdict=bytes(self._recent[-(1 << self._window_bits) :]))

    def _remember(self, output: bytes) -> None:
        """Keep a window of output for a stream that may follow a final block."""
        window = 1 << self._window_bits
        recent = self._recent
        recent += output[-window:]
        if len(recent) > 2 * window:  # seldom, so that small messages do not move the window each time
            del recent[:-window]

    def _end_message(self) -> None:
        self._streams = 0
        if self._no_context_takeover:
            self._decompressor = None
            self._recent.clear()
