"""The messages of the Gemini Live API that carry usage or end a turn.

They have no name: a message holds one of several members, and `usageMetadata` may stand beside any of them.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ._usage import NESTED, Report, Slice, as_array, as_count, as_name, as_object, decode, plain, take_counts

__all__ = ["GEMINI_MARKS", "read_gemini", "read_gemini_ends"]

GEMINI_MARKS: Final = (b'"usageMetadata"', b'"turnComplete"', b'"interrupted"')

_TOTALS: Final = {
    "promptTokenCount": "input",
    "responseTokenCount": "output",
    "candidatesTokenCount": "output",
    "totalTokenCount": "total",
    "cachedContentTokenCount": "input_cached",
    "toolUsePromptTokenCount": "tool_use",
    "thoughtsTokenCount": "output_reasoning",
}
_MODALITIES: Final = {
    "MODALITY_UNSPECIFIED": "text",
    "TEXT": "text",
    "AUDIO": "audio",
    "IMAGE": "image",
    "VIDEO": "video",
    "DOCUMENT": "document",
}
_DETAILS: Final = {
    "promptTokensDetails": "input",
    "responseTokensDetails": "output",
    "candidatesTokensDetails": "output",
    "cacheTokensDetails": "input_cached",
    "toolUsePromptTokensDetails": "tool_use",
}


class _Message(msgspec.Struct):
    usageMetadata: Slice = msgspec.UNSET  # noqa: N815 - the key's name on the wire
    serverContent: Slice = msgspec.UNSET  # noqa: N815 - the key's name on the wire


class _Content(msgspec.Struct):
    turnComplete: Slice = msgspec.UNSET  # noqa: N815 - the key's name on the wire
    turnCompleteReason: Slice = msgspec.UNSET  # noqa: N815 - the key's name on the wire
    interrupted: Slice = msgspec.UNSET


_MESSAGE: Final = msgspec.json.Decoder(_Message)
_CONTENT: Final = msgspec.json.Decoder(_Content)

_COMPLETE: Final = re.compile(rb'"turnComplete"\s*:\s*true')
_USAGE: Final = re.compile(rb'"usageMetadata"\s*:\s*(\{%b\})' % NESTED)


def read_gemini(data: bytes) -> Report | None:
    """Read a message of the Live API."""
    message = decode(_MESSAGE, data)
    if message is None:
        return None
    content = decode(_CONTENT, message.serverContent) or _Content()
    status = as_name(plain(content.turnCompleteReason))
    if status is None and plain(content.interrupted) is True:
        status = "interrupted"
    tokens = _tokens(plain(message.usageMetadata))
    if plain(content.turnComplete) is True:
        return Report(event="turnComplete", ends_turn=True, status=status, tokens=tokens)
    return Report(event="usageMetadata", status=status, tokens=tokens) if tokens or status else None


def read_gemini_ends(head: bytes, tail: bytes) -> Report | None:
    """Read what the two ends say of a message too large to be kept; what is not audio or an image stands at the end."""
    usages = _USAGE.findall(tail) or _USAGE.findall(head)
    tokens = _tokens(plain(usages[-1])) if usages else {}
    if _COMPLETE.search(tail) or _COMPLETE.search(head):
        return Report(event="turnComplete", ends_turn=True, tokens=tokens)
    return Report(event="usageMetadata", tokens=tokens) if tokens else None


def _tokens(usage: object) -> dict[str, int]:
    counts = as_object(usage)
    tokens: dict[str, int] = {}
    take_counts(counts.items(), _TOTALS, tokens)
    thoughts, total = tokens.get("output_reasoning", 0), tokens.get("total", 0)
    apart = tokens.get("input", 0) + tokens.get("tool_use", 0) + tokens.get("output", 0) + thoughts
    if thoughts and total >= apart:
        tokens["output"] = tokens.get("output", 0) + thoughts  # Google counts thoughts beside the response
    for key, prefix in _DETAILS.items():
        kinds = {modality: f"{prefix}_{kind}" for modality, kind in _MODALITIES.items()}
        take_counts(_details(counts.get(key)), kinds, tokens)
    return tokens


def _details(value: object) -> list[tuple[str, object]]:
    entries = [as_object(entry) for entry in as_array(value)]
    return [(str(entry.get("modality", "TEXT")), as_count(entry.get("tokenCount"))) for entry in entries]
