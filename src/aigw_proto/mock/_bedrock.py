"""AWS Bedrock's `converse-stream`: binary messages of `application/vnd.amazon.eventstream`.

A message is its total length and the length of its headers, a CRC-32 of those eight bytes, headers, payload, and a
CRC-32 of all before it; numbers are big-endian, a header is name, type 7 (string) and value with their lengths.
"""

from __future__ import annotations

import struct
import zlib

from ._replies import Document, EventStream, Reply, json_bytes, json_document
from ._request import MockRequest, last_user_text, reply_words

__all__ = ["answer_converse_stream", "print_error"]

_STRING = 7


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as AWS prints it."""
    del request
    return json_document({"message": message}, status)


def _header(name: bytes, value: bytes) -> bytes:
    return struct.pack(">B", len(name)) + name + struct.pack(">BH", _STRING, len(value)) + value


def _message(kind: str, payload: object) -> bytes:
    body = json_bytes(payload)
    headers = (
        _header(b":event-type", kind.encode())
        + _header(b":content-type", b"application/json")
        + _header(b":message-type", b"event")
    )
    prelude = struct.pack(">II", 16 + len(headers) + len(body), len(headers))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + body
    return message + struct.pack(">I", zlib.crc32(message))


def answer_converse_stream(request: MockRequest) -> Reply:
    """Answer with the events from `messageStart` to `metadata`, each a binary message."""
    prompt = last_user_text(request.fields.get("messages"))
    words = reply_words(prompt, request.chunks)
    asked = len(prompt.split())
    usage = {"inputTokens": asked, "outputTokens": len(words), "totalTokens": asked + len(words)}
    return EventStream(
        (_message("messageStart", {"role": "assistant"}),),
        lambda word: _message("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}),
        words,
        (
            _message("contentBlockStop", {"contentBlockIndex": 0}),
            _message("messageStop", {"stopReason": "end_turn"}),
            _message("metadata", {"usage": usage, "metrics": {"latencyMs": 0}}),
        ),
        content_type=b"application/vnd.amazon.eventstream",
    )
