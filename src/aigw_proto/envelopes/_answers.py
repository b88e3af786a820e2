"""Reading the gateway's messages, on the client's side.

Written for gateways that differ: the documented service leaves most metadata out of its errors, and others add keys.
So a key that is missing, unknown or of an odd type is never a reason to lose an answer; only what is not a message of
this protocol at all is a fault.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ._errors import ErrorCode
from ._messages import CreatedFrame, DoneFrame, EnvelopeFault, Metadata, ServerMessage, StreamFrame
from ._text import LoneSurrogates, kind_of, shorten, text_literal

__all__ = ["parse_server_message"]

_Slice: TypeAlias = msgspec.Raw | msgspec.UnsetType
_MAX_STEP_DIGITS = 9
_NO_STEP = 10**_MAX_STEP_DIGITS


class _Metadata(msgspec.Struct, rename="camel"):
    """The documented keys with the types they ought to have, and the extended ones."""

    cache_status: str | None = None
    event_id: str | None = None
    log_id: str | None = None
    step: str | int | None = None
    content_type: str | None = None
    status: int | None = None
    error: str | None = None
    cancelled: bool | None = None
    encoding: str | None = None
    event: str | None = None
    event_type: str | None = None


class _Message(msgspec.Struct):
    type: str
    metadata: _Metadata | None = None
    response: _Slice = msgspec.UNSET


class _Slices(msgspec.Struct):
    type: _Slice = msgspec.UNSET
    metadata: _Slice = msgspec.UNSET
    response: _Slice = msgspec.UNSET


_MESSAGE = msgspec.json.Decoder(_Message)
_SLICES = msgspec.json.Decoder(_Slices)
_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT = msgspec.json.Decoder(str)
_METADATA = msgspec.json.Decoder(_Metadata)
_EMPTY = _Metadata()


def parse_server_message(text: str | bytes) -> ServerMessage | EnvelopeFault:
    """Read one message of a gateway. Bytes must be UTF-8 already. Never raises for what a message holds.

    `response` comes back as the gateway wrote it. A fault has status 502 and no event id.
    """
    try:
        data = text.encode() if isinstance(text, str) else text
        return _read(data, None)
    except UnicodeEncodeError:
        return _fault(ErrorCode.INVALID_JSON, "message: expected text without surrogates")
    except UnicodeDecodeError:
        return _fault(ErrorCode.INVALID_JSON, "message: expected UTF-8")
    except RecursionError:
        return _fault(ErrorCode.INVALID_JSON, "message: nested too deeply")


def _read(data: bytes, hidden: LoneSurrogates | None) -> ServerMessage | EnvelopeFault:
    try:
        message = _MESSAGE.decode(data)
    except msgspec.ValidationError:
        try:
            lenient = _read_leniently(data)
        except msgspec.DecodeError as error:
            return _unreadable(data, hidden, error)
        if lenient is None:
            return _fault(ErrorCode.UNKNOWN_TYPE, "message: expected an object with a type")
        message = lenient
    except msgspec.DecodeError as error:
        return _unreadable(data, hidden, error)
    response = None if message.response is msgspec.UNSET else bytes(message.response)
    if response is not None and hidden is not None:
        response = hidden.restore(response)
    return _frame(message.type, message.metadata or _EMPTY, response)


def _unreadable(
    data: bytes, hidden: LoneSurrogates | None, error: msgspec.DecodeError
) -> ServerMessage | EnvelopeFault:
    retry = LoneSurrogates.hide(data) if hidden is None else None
    if retry is not None:
        return _read(retry.data, retry)
    return _fault(ErrorCode.INVALID_JSON, f"message: expected JSON: {error}")


def _frame(kind: str, metadata: _Metadata, response: bytes | None) -> ServerMessage | EnvelopeFault:
    if kind == "universal.stream":
        return StreamFrame(metadata.event_id, response, metadata.event or metadata.event_type)
    if kind == "universal.created":
        return CreatedFrame(_typed(metadata), response)
    if kind == "universal.done":
        return DoneFrame(_typed(metadata))
    expected = "universal.created, universal.stream or universal.done"
    return _fault(ErrorCode.UNKNOWN_TYPE, f"type: expected {expected}, got {shorten(kind)}")


def _typed(metadata: _Metadata) -> Metadata:
    return Metadata(
        event_id=metadata.event_id,
        log_id=metadata.log_id,
        step=_step(metadata.step),
        content_type=metadata.content_type,
        cache_status=metadata.cache_status,
        status=metadata.status,
        error=metadata.error,
        cancelled=bool(metadata.cancelled),
        encoding=metadata.encoding,
    )


def _step(value: str | int | None) -> int | None:
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdigit() and len(value) <= _MAX_STEP_DIGITS else None
    return None if value is None or not 0 <= value < _NO_STEP else value


def _read_leniently(data: bytes) -> _Message | None:
    """Read a message some of whose keys are of the wrong type; those count as missing. None: it has no type."""
    try:
        slices = _SLICES.decode(data)
        kind = None if slices.type is msgspec.UNSET else _TEXT.decode(slices.type)
    except msgspec.ValidationError:
        return None
    if kind is None:
        return None
    return _Message(kind, _lenient_metadata(slices.metadata), slices.response)


def _lenient_metadata(raw: _Slice) -> _Metadata:
    if raw is msgspec.UNSET or kind_of(raw) != "an object":
        return _EMPTY
    pairs = [text_literal(key) + b":" + bytes(value) for key, value in _OBJECT.decode(raw).items()]
    return _METADATA.decode(b"{" + b",".join([pair for pair in pairs if _is_readable(pair)]) + b"}")


def _is_readable(pair: bytes) -> bool:
    try:
        _METADATA.decode(b"{" + pair + b"}")
    except msgspec.ValidationError:
        return False
    return True


def _fault(code: ErrorCode, message: str) -> EnvelopeFault:
    return EnvelopeFault(502, code, message)
