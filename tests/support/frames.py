"""WebSocket frames written the slow and obvious way, independent of the codec under test."""

from __future__ import annotations

KEY = b"\x37\xfa\x21\x3d"  # the key of the examples in RFC 6455 section 5.7


def mask(data: bytes, key: bytes = KEY, offset: int = 0) -> bytes:
    """Mask octet by octet (RFC 6455 section 5.3)."""
    return bytes(octet ^ key[(offset + index) % 4] for index, octet in enumerate(data))


def frame(head: int, payload: bytes = b"", *, masked: bool = True, key: bytes = KEY, form: int | None = None) -> bytes:
    """One frame; `form` forces a length encoding (126 or 127), minimal or not."""
    length = len(payload)
    if form is None:
        form = length if length < 126 else 126 if length < 65536 else 127
    second = form | 0x80 if masked else form
    extended = {126: 2, 127: 8}.get(form, 0)
    header = bytes((head, second)) + (length.to_bytes(extended, "big") if extended else b"")
    return header + (key + mask(payload, key) if masked else payload)


def parse(data: bytes) -> list[tuple[int, bytes]]:
    """Read complete frames back as (first octet, payload)."""
    frames: list[tuple[int, bytes]] = []
    position = 0
    while position < len(data):
        head, second = data[position], data[position + 1]
        position += 2
        length = second & 0x7F
        extended = {126: 2, 127: 8}.get(length, 0)
        if extended:
            length = int.from_bytes(data[position : position + extended], "big")
            position += extended
        key = b""
        if second & 0x80:
            key = data[position : position + 4]
            position += 4
        payload = data[position : position + length]
        assert len(payload) == length, "the last frame is not complete"
        frames.append((head, mask(payload, key) if key else payload))
        position += length
    return frames
