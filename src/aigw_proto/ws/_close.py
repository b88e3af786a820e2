"""The payload of Close frames (RFC 6455 sections 5.5.1 and 7.4)."""

from __future__ import annotations

from .._errors import CloseCode
from ._violation import Violation

__all__ = ["close_payload", "is_sendable_code", "read_close"]

_REASON_BYTES = 123  # 125 of a control frame less the code
# 1004 is reserved without a meaning; 1005, 1006 and 1015 never stand in a frame; the rest below 3000 is unassigned.
_REGISTERED = frozenset((1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014))


def is_sendable_code(code: int) -> bool:
    """Tell whether a Close frame may carry `code`."""
    return code in _REGISTERED or 3000 <= code <= 4999


def close_payload(code: int | None, reason: str) -> bytes:
    """Return the payload that says `code` and `reason`, the latter cut at a character to fit; b"" for no code."""
    if code is None:
        return b""
    text = reason.encode(errors="replace")
    if len(text) > _REASON_BYTES:
        text = text[:_REASON_BYTES].decode(errors="ignore").encode()
    return code.to_bytes(2, "big") + text


def read_close(payload: bytes) -> tuple[int, str]:
    """Return code and reason of a peer's Close; 1005 when it has none. Raises Violation (1002, 1007)."""
    if not payload:
        return int(CloseCode.NO_STATUS_RECEIVED), ""
    if len(payload) == 1:
        raise Violation(CloseCode.PROTOCOL_ERROR, "Close has half a code")
    code = int.from_bytes(payload[:2], "big")
    if not is_sendable_code(code):
        raise Violation(CloseCode.PROTOCOL_ERROR, f"close code {code} is not allowed in a frame")
    try:
        reason = payload[2:].decode()
    except UnicodeDecodeError:
        raise Violation(CloseCode.INVALID_PAYLOAD_DATA, "close reason is not UTF-8") from None
    return code, reason
