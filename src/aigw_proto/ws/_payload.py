"""Payloads as a caller wants them: text decoded, and a message joined that came in parts; `_payload.pyx` is the same.

Text is checked as it arrives and refused at the first octet that cannot belong to it (RFC 6455 section 8.1), also where
characters are cut between parts. While a message is being collected its octets are kept, not its characters: a Python
string of the same text can be four times as large, and a list of tiny parts fifty times.
"""

from __future__ import annotations

from codecs import utf_8_decode
from io import BytesIO

from .._errors import CloseCode
from ._mask import unmask_payload, unmask_slice
from ._violation import Violation

__all__ = ["Collection", "check_text", "decode_text", "slice_text", "unmask_text"]


def decode_text(data: bytes) -> str:
    """Decode a complete text. Raises Violation (1007) when it is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise _invalid_text(error.reason) from None


def slice_text(buffer: bytes, start: int, end: int) -> str:
    """Decode the text in `buffer[start:end]`. Raises Violation (1007)."""
    return decode_text(buffer[start:end])


def unmask_text(buffer: bytes, start: int, end: int) -> str:
    """Decode the text in `buffer[start:end]`, masked with the key that stands before it. Raises Violation (1007)."""
    try:
        return unmask_payload(buffer, start, end).decode()
    except UnicodeDecodeError as error:
        raise _invalid_text(error.reason) from None


def check_text(data: bytes, last: bool) -> bytes:
    """Check a part of a text that begins with a character; return the octets of one that it ends within.

    Raises Violation (1007).
    """
    try:
        _, used = utf_8_decode(data, "strict", last)
    except UnicodeDecodeError as error:
        raise _invalid_text(error.reason) from None
    cut = data[used:]
    # Python waits for the third octet of a surrogate before it refuses it, for the sake of error handlers.
    if cut.startswith(b"\xed") and cut[1:] >= b"\xa0":
        raise _invalid_text("surrogate")
    return cut


def _invalid_text(reason: str) -> Violation:
    return Violation(CloseCode.INVALID_PAYLOAD_DATA, f"text is not UTF-8: {reason}")


class Collection:
    """Puts together what comes in parts. `size` is that of what was added, in bytes.

    Memory follows what has come, not what a header announces: at most four times as much is taken in advance.
    """

    __slots__ = ("_cut", "_is_text", "_octets", "size")

    def __init__(self) -> None:
        """Collect octets, unless `begin()` is called."""
        self._octets: BytesIO | None = None
        self._is_text = False
        self._cut = b""  # the octets of a character that the last part ended within
        self.size = 0

    def begin(self, is_text: bool) -> None:
        """Forget what was added and collect a text, which is checked, or octets."""
        self.discard()
        self._is_text = is_text

    def add(self, buffer: bytes, start: int, end: int, key: bytes, offset: int, coming: int, ends: bool) -> None:
        """Add `buffer[start:end]`: octets from `offset` on that are masked with `key`, or for an empty key are not.

        That many bytes are `coming` next, and with `ends` they are the last. Raises Violation (1007) for a part of a
        text that cannot belong to one; the end of a text is left to `text()`.
        """
        data = unmask_slice(buffer, start, end, key, offset) if key else buffer[start:end]
        if self._is_text and (coming or not ends) and (self._cut or not data.isascii()):
            self._cut = check_text(self._cut + data, False)
        if self._octets is None:
            self._octets = BytesIO()
        self._octets.write(data)
        self.size += end - start

    def text(self) -> str:
        """Move out what was collected, as a text. Raises Violation (1007) when it is not UTF-8."""
        return decode_text(self.octets())

    def octets(self) -> bytes:
        """Move out what was collected."""
        data = b"" if self._octets is None else self._octets.getvalue()
        self.discard()
        return data

    def discard(self) -> None:
        """Forget what was added."""
        self._octets = None
        self._cut = b""
        self.size = 0
