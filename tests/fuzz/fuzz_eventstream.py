"""Any AWS event stream, in any cuts: what struct and zlib read from the whole, or a failure where they find one.

The input: a byte whose lowest bit says whether the rest is the stream itself, or messages for which lengths and
checksums are made: each the length of its headers and of its payload in a byte, then both.
"""

from __future__ import annotations

import struct
import zlib

from aigw_proto.http import EventStreamDecoder, EventStreamEvent, EventStreamFailed, EventStreamMessage
from aigw_proto.testing import run_machine
from fuzz.script import Script, cuts

LIMITS = [1 << 24, 60]
INTEGERS = {2: "b", 3: "h", 4: "i", 5: "q", 8: "q"}


def test_one_input(data: bytes) -> None:
    """Check one input."""
    script = Script(data)
    options = script.octet()
    limit = LIMITS[options >> 1 & 1]
    stream = script.rest() if options & 1 else made(script)

    def run(chunks: list[bytes]) -> list[EventStreamEvent]:
        decoder = EventStreamDecoder(max_message_bytes=limit)
        events: list[EventStreamEvent] = run_machine(decoder, chunks, eof=True)
        decoder.receive_data(stream, 0.0)
        assert run_machine(decoder, []) == []
        return events

    events = run([stream])
    for chunks in cuts(stream):
        assert run(chunks) == events
    expected, is_broken = reference(stream, limit)
    if events and isinstance(failed := events[-1], EventStreamFailed):
        assert failed.reason
        assert is_broken
        assert events[:-1] == expected
    else:
        assert events == expected
        assert not is_broken


def made(script: Script) -> bytes:
    """Return messages with right lengths and checksums."""
    stream = b""
    while not script.spent:
        headers_bytes, payload_bytes = script.octet(), script.octet()
        headers, payload = script.take(headers_bytes), script.take(payload_bytes)
        prelude = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
        message = prelude + struct.pack(">I", zlib.crc32(prelude)) + headers + payload
        stream += message + struct.pack(">I", zlib.crc32(message))
    return stream


def reference(stream: bytes, limit: int) -> tuple[list[EventStreamMessage], bool]:
    """Read a whole stream; return its messages, and whether something is wrong behind them."""
    messages: list[EventStreamMessage] = []
    while stream:
        try:
            total, headers_bytes, checksum = struct.unpack_from(">III", stream)
            if checksum != zlib.crc32(stream[:8]) or not 16 + headers_bytes <= total <= min(limit, len(stream)):
                return messages, True
            (checksum,) = struct.unpack_from(">I", stream, total - 4)
            if checksum != zlib.crc32(stream[: total - 4]):
                return messages, True
            headers = _headers(stream[12 : 12 + headers_bytes])
        except (struct.error, UnicodeDecodeError, ValueError):
            return messages, True
        messages.append(EventStreamMessage(headers, stream[12 + headers_bytes : total - 4]))
        stream = stream[total:]
    return messages, False


def _headers(data: bytes) -> dict[str, str | int | bytes | bool]:
    headers: dict[str, str | int | bytes | bool] = {}
    at = 0

    def take(count: int) -> bytes:
        nonlocal at
        if at + count > len(data):
            raise ValueError("a header is cut short")
        at += count
        return data[at - count : at]

    while at < len(data):
        name = take(take(1)[0]).decode()
        kind = take(1)[0]
        if not name or name in headers:
            raise ValueError("a header without a name, or a second of one")
        if kind in {0, 1}:
            headers[name] = kind == 0
        elif kind in INTEGERS:
            form = ">" + INTEGERS[kind]
            headers[name] = int(struct.unpack(form, take(struct.calcsize(form)))[0])
        elif kind in {6, 7}:
            (count,) = struct.unpack(">H", take(2))
            headers[name] = take(count) if kind == 6 else take(count).decode()
        elif kind == 9:
            headers[name] = take(16)
        else:
            raise ValueError("a header of an unknown kind")
    return headers
