"""A request as the dialects see it, and tolerant readings of the JSON that AI clients send.

A fake provider must answer requests that a real one would refuse (a test rarely fills every required field), so a
missing or odd field reads as empty. Only a body that is no JSON object at all is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, cast

import msgspec

from .._kinds import record
from ..http import Headers

__all__ = ["MockRequest", "as_list", "as_mapping", "as_text", "decode_object", "reply_words", "split_target"]

_MOST_LEVELS: Final = 100  # of nesting: what real requests have, many times over
_MAX_ECHOED_CHARACTERS: Final = 64 * 1024  # of the prompt in the answer: a stream has an event for every word


@record
class MockRequest:
    """One whole request. `fields` is its JSON object, empty when the method has no body; `number` counts from 1."""

    method: bytes
    target: bytes
    path: str
    query: str
    headers: Headers
    body: bytes
    fields: Mapping[str, object]
    number: int
    created: int
    chunks: int | None = None

    def header(self, name: bytes) -> bytes | None:
        """Return the first header of that name (lower case), or None."""
        return next((value for field, value in self.headers if field.lower() == name), None)


def split_target(target: bytes) -> tuple[str, str]:
    """Return path and query of a request target in any of its forms (RFC 9112 section 3.2)."""
    text = target.decode("latin-1")
    if not text.startswith("/"):
        text = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?]*", "", text)
    path, _, query = text.partition("?")
    return path, query


def decode_object(data: bytes | str) -> Mapping[str, object] | None:
    """Return the JSON object that `data` is the text of, or None when it is none or nests too deep."""
    try:
        value: object = msgspec.json.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    if not isinstance(value, dict) or _is_deep(data, cast("Mapping[str, object]", value)):
        return None
    return cast("Mapping[str, object]", value)


def _is_deep(data: bytes | str, value: Mapping[str, object]) -> bool:
    """Whether a JSON value nests so deep that to walk through it or to print it again might be too much recursion."""
    brackets = data.count(b"[") + data.count(b"{") if isinstance(data, bytes) else data.count("[") + data.count("{")
    if brackets <= _MOST_LEVELS:
        return False
    level: list[object] = [value]
    for _ in range(_MOST_LEVELS):
        level = [each for holder in level for each in _parts(holder) if isinstance(each, (dict, list))]
    return bool(level)


def _parts(value: object) -> Iterable[object]:
    return as_list(value) or as_mapping(value).values()


def as_mapping(value: object) -> Mapping[str, object]:
    """Return a JSON object, or an empty one for anything else."""
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else {}


def as_list(value: object) -> Sequence[object]:
    """Return a JSON array, or an empty one for anything else."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def as_text(value: object) -> str:
    """Return the text of a string, of a list of parts (`{"text": …}` or strings), or of an object around either."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        parts = cast("Sequence[object]", value)
        texts = (part if isinstance(part, str) else as_mapping(part).get("text") for part in parts)
        return " ".join(text for text in texts if isinstance(text, str))
    mapping = as_mapping(value)
    return as_text(next((mapping[key] for key in ("content", "parts", "text") if mapping.get(key)), ""))


def last_user_text(messages: object) -> str:
    """Return the text of the last message whose role is the user's, or else of the last message."""
    entries = [as_mapping(entry) for entry in as_list(messages)]
    users = [entry for entry in entries if str(entry.get("role", "user")).lower() == "user"]
    return as_text((users or entries or [{}])[-1])


def reply_words(prompt: str, chunks: int | None) -> tuple[str, ...]:
    """Return the answer to a prompt word by word; joined they are the text. `chunks` sets how many there are."""
    words = re.findall(r"\s*\S+", "You said: " + prompt[:_MAX_ECHOED_CHARACTERS])
    if chunks is None or chunks <= len(words):
        return tuple(words[:chunks])
    spaced = [*words[1:], " " + words[0]]
    rounds, rest = divmod(chunks - 1, len(spaced))
    return (words[0], *(spaced * rounds), *spaced[:rest])
