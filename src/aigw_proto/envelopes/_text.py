r"""JSON text handled as bytes: validity, string literals, and the one thing that msgspec refuses and JSON allows.

RFC 8259 section 8.2 lets a string hold an escape for half of a surrogate pair (`"\ud83d"`). JavaScript writes it
when a program cuts a string in the middle of an emoji, and some providers split an emoji over two stream chunks.
Both have to pass through unchanged, but msgspec rejects them. So when it fails on a text with such escapes, each lone
one is replaced by a noncharacter that occurs nowhere else in the text, followed by the four digits; the text is read
again, and slices of it are turned back before they leave. That is exact because the noncharacter is unique.
"""

from __future__ import annotations

import re

import msgspec

__all__ = ["LoneSurrogates", "is_json", "json_string", "kind_of", "shorten", "text_literal"]

_ANY = msgspec.json.Decoder(msgspec.Raw)
_encode = msgspec.json.encode

_NONCHARACTERS = tuple(chr(code).encode() for code in range(0xFDD0, 0xFDF0))
# A run of everything that is not a lone surrogate escape. Possessive and matched from where the last one ended, so
# that no text makes it backtrack or start again: time is linear, and the work in Python is per lone surrogate.
_RUN = re.compile(
    rb"(?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})*+"
)
_LONE_SURROGATE = re.compile(rb"\\u([dD][89a-fA-F][0-9a-fA-F]{2})")
_MAX_LONE_SURROGATES = 10_000  # a text cut here and there has a few; a text of nothing else is an attack on our time

_KINDS = {
    ord("{"): "an object",
    ord("["): "an array",
    ord('"'): "a string",
    ord("t"): "a boolean",
    ord("f"): "a boolean",
    ord("n"): "null",
}
_SHOWN_CHARACTERS = 64


class LoneSurrogates:
    """A JSON text with its lone surrogate escapes put out of msgspec's sight."""

    __slots__ = ("_marker", "data")

    def __init__(self, data: bytes, marker: bytes) -> None:
        """Keep the replaced text; use `hide()`."""
        self.data = data
        self._marker = marker

    @classmethod
    def hide(cls, data: bytes) -> LoneSurrogates | None:
        """Replace the lone surrogate escapes of `data`; None when there is none, or no way to."""
        if rb"\ud" not in data and rb"\uD" not in data:
            return None
        marker = next((candidate for candidate in _NONCHARACTERS if candidate not in data), None)
        if marker is None:
            return None
        parts: list[bytes] = []
        position = 0
        for _ in range(_MAX_LONE_SURROGATES):
            end = _end(_RUN.match(data, position))
            lone = _LONE_SURROGATE.match(data, end)
            if lone is None:
                break  # the end of the text, or an escape that is not JSON: msgspec will say so
            parts += (data[position:end], marker, lone[1])
            position = lone.end()
        parts.append(data[position:])
        return cls(b"".join(parts), marker) if position else None

    def restore(self, piece: bytes) -> bytes:
        """Return a slice of `data` as it was before."""
        return piece.replace(self._marker, rb"\u")

    def touches(self, text: str) -> bool:
        """Tell whether a decoded string of `data` held a lone surrogate."""
        return self._marker.decode() in text


def is_json(data: bytes) -> bool:
    """Tell whether `data` is valid UTF-8 and exactly one JSON value (RFC 8259), white space around it allowed.

    Lone surrogate escapes are allowed, `NaN` and a byte order mark are not. A value nested deeper than the
    interpreter's stack allows counts as not JSON. Never raises.
    """
    try:
        _ANY.decode(data)
    except msgspec.DecodeError:
        hidden = LoneSurrogates.hide(data)
        if hidden is None:
            return False
        try:
            _ANY.decode(hidden.data)
        except (msgspec.DecodeError, RecursionError):
            return False
    except RecursionError:
        return False
    return data.isascii() or _is_utf8(data)  # msgspec does not look at the bytes of what it skips


def json_string(data: bytes) -> bytes:
    """Return arbitrary bytes as a JSON string literal; what is not UTF-8 becomes U+FFFD."""
    return _encode(data.decode("utf-8", "replace"))


def text_literal(text: str) -> bytes:
    """Return any string as a JSON string literal; lone surrogates become question marks."""
    try:
        return _encode(text)
    except UnicodeEncodeError:
        return _encode(text.encode("utf-8", "replace").decode())


def kind_of(text: bytes | msgspec.Raw) -> str:
    """Name the kind of a valid JSON value without leading white space, with its article, for messages."""
    return _KINDS.get(memoryview(text)[0], "a number")


def shorten(text: str) -> str:
    """Quote a peer's text for a message, at most some dozen characters of it."""
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def _end(match: re.Match[bytes] | None) -> int:
    """Return the end of a match that cannot fail because the pattern matches the empty text."""
    return match.end() if match else 0


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True
