"""Reading a client's messages.

A message is cut along its structure without decoding what is inside: msgspec skips over values that are asked for as
`Raw` at about a gigabyte per second, checks their syntax on the way, and hands out the very bytes the client wrote.
So the `query` of a request costs one copy, whatever it holds.

Each level is decoded on its own, which keeps two promises. What a message takes in memory stays in proportion to its
length, however many keys or elements it has: unknown keys are skipped, arrays are cut at the step limit, header
objects have a limit of their own. And a fault names the field and still carries the event id, because the levels above
it have been read.
"""

from __future__ import annotations

import functools
from typing import TypeAlias, TypeGuard

import msgspec

from ._errors import ErrorCode
from ._fields import EXPECTED_VALUE, clean_value, is_forwarded, parse_headers
from ._messages import (
    ClientMessage,
    EnvelopeFault,
    Step,
    StepSettings,
    UniversalCancel,
    UniversalCreate,
)
from ._settings import merge_settings, parse_config, settings_from_fields
from ._text import LoneSurrogates, kind_of, shorten

__all__ = ["parse_client_message"]

_MAX_CONFIG_BYTES = 4096
_NO_SETTINGS = StepSettings()


_Slice: TypeAlias = msgspec.Raw | msgspec.UnsetType


class _Message(msgspec.Struct):
    type: _Slice = msgspec.UNSET
    event_id: _Slice = msgspec.field(default=msgspec.UNSET, name="eventId")
    request: _Slice = msgspec.UNSET


class _Step(msgspec.Struct):
    provider: _Slice = msgspec.UNSET
    endpoint: _Slice = msgspec.UNSET
    event_id: _Slice = msgspec.field(default=msgspec.UNSET, name="eventId")
    headers: _Slice = msgspec.UNSET
    authorization: _Slice = msgspec.UNSET
    query: _Slice = msgspec.UNSET
    config: _Slice = msgspec.UNSET


_MESSAGE = msgspec.json.Decoder(_Message)
_STEP = msgspec.json.Decoder(_Step)
_STRING = msgspec.json.Decoder(str)


class _FaultError(Exception):
    """A fault found while reading; never leaves this module."""

    def __init__(self, message: str, code: ErrorCode = ErrorCode.INVALID_FIELD) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def parse_client_message(
    text: str | bytes, *, max_steps: int, max_event_id_bytes: int
) -> ClientMessage | EnvelopeFault:
    """Read one message of a client. Bytes must be UTF-8 already. Never raises for what a message holds.

    A single step's own `eventId` goes before the one beside it; with an array of steps it is the other way round,
    then the first step that has one counts; at last the header `cf-aig-event-id` of a step.
    """
    return _Reader(max_steps, max_event_id_bytes).read(text)


@functools.lru_cache(maxsize=16)
def _array_decoder(length: int) -> msgspec.json.Decoder[msgspec.Struct]:
    """Return a decoder of the first `length` elements of an array; it skips the rest without storing anything."""
    slot = (msgspec.Raw | msgspec.UnsetType, msgspec.UNSET)
    slots = msgspec.defstruct("_Slots", [(f"slot{index}", *slot) for index in range(length)], array_like=True)
    return msgspec.json.Decoder(slots)


class _Reader:
    """Reads one message; holds what the levels share."""

    __slots__ = ("_hidden", "_max_event_id_bytes", "_max_steps")

    def __init__(self, max_steps: int, max_event_id_bytes: int) -> None:
        self._max_steps = max_steps
        self._max_event_id_bytes = max_event_id_bytes
        self._hidden: LoneSurrogates | None = None

    def read(self, text: str | bytes) -> ClientMessage | EnvelopeFault:
        message = None
        try:
            message = self._decode(text)
            return self._read_message(message)
        except _FaultError as wrong:
            event_id = None if message is None else self._recover_event_id(message)
            return EnvelopeFault(400, wrong.code, wrong.message, event_id)
        except RecursionError:
            event_id = None if message is None else self._recover_event_id(message)
            return EnvelopeFault(400, ErrorCode.INVALID_JSON, "message: nested too deeply", event_id)
        except UnicodeDecodeError:  # of bytes; what was skipped at first is only now looked at
            return EnvelopeFault(400, ErrorCode.INVALID_JSON, "message: expected UTF-8")

    def _decode(self, text: str | bytes) -> _Message:
        try:
            data = text.encode() if isinstance(text, str) else text
        except UnicodeEncodeError:
            raise _FaultError("message: expected text without surrogates", ErrorCode.INVALID_JSON) from None
        try:
            try:
                return _MESSAGE.decode(data)
            except msgspec.DecodeError:
                self._hidden = LoneSurrogates.hide(data)
                if self._hidden is None:
                    raise
                return _MESSAGE.decode(self._hidden.data)
        except msgspec.ValidationError:
            kind = kind_of(data.lstrip())
            raise _FaultError(f"message: expected an object, got {kind}", ErrorCode.INVALID_JSON) from None
        except msgspec.DecodeError as error:
            raise _FaultError(f"message: expected JSON: {error}", ErrorCode.INVALID_JSON) from None

    def _read_message(self, message: _Message) -> ClientMessage:
        kind = self._string(message.type, "type", ErrorCode.UNKNOWN_TYPE)
        if kind == "universal.create":
            return self._read_create(message)
        if kind == "universal.cancel":
            return self._read_cancel(message)
        known = "universal.create or universal.cancel"
        raise _FaultError(f"type: expected {known}, got {shorten(kind)}", ErrorCode.UNKNOWN_TYPE)

    def _read_create(self, message: _Message) -> UniversalCreate:
        request = message.request
        if request is msgspec.UNSET:
            raise _FaultError("request: expected an object or an array, got nothing")
        kind = kind_of(request)
        if kind == "an object":
            cut = _STEP.decode(request)
            event_id = self._event_id(cut.event_id, "request.eventId")
            if event_id is None:
                event_id = self._event_id(message.event_id, "eventId")
            step, header_id = self._read_step(cut, "request")
            return UniversalCreate(header_id if event_id is None else event_id, (step,))
        if kind != "an array":
            raise _FaultError(f"request: expected an object or an array, got {kind}")
        return self._read_array(message, request)

    def _read_array(self, message: _Message, request: msgspec.Raw) -> UniversalCreate:
        slices = self._split(request)
        if not slices:
            raise _FaultError("request: expected at least one step, got an empty array")
        if len(slices) > self._max_steps:
            raise _FaultError(f"request: expected at most {self._max_steps} steps, got more", ErrorCode.TOO_MANY_STEPS)
        event_id = self._event_id(message.event_id, "eventId")
        steps: list[Step] = []
        from_headers = None
        for index, piece in enumerate(slices):
            path = f"request[{index}]"
            if kind_of(piece) != "an object":
                raise _FaultError(f"{path}: expected an object, got {kind_of(piece)}")
            cut = _STEP.decode(piece)
            own_id = self._event_id(cut.event_id, f"{path}.eventId")
            event_id = own_id if event_id is None else event_id
            step, header_id = self._read_step(cut, path)
            from_headers = header_id if from_headers is None else from_headers
            steps.append(step)
        return UniversalCreate(from_headers if event_id is None else event_id, tuple(steps))

    def _read_cancel(self, message: _Message) -> UniversalCancel:
        event_id = self._event_id(message.event_id, "eventId")
        if event_id is None and message.request is not msgspec.UNSET and kind_of(message.request) == "an object":
            event_id = self._event_id(_STEP.decode(message.request).event_id, "request.eventId")
        if event_id is None:
            raise _FaultError("eventId: expected a string, got nothing")
        return UniversalCancel(event_id)

    def _read_step(self, cut: _Step, path: str) -> tuple[Step, str | None]:
        """Return the step, and the event id that its headers give, if any."""
        provider = self._string(cut.provider, f"{path}.provider", ErrorCode.INVALID_PROVIDER)
        if not provider:
            raise _FaultError(f"{path}.provider: expected a name, got an empty string", ErrorCode.INVALID_PROVIDER)
        endpoint = self._string(cut.endpoint, f"{path}.endpoint")
        if cut.query is msgspec.UNSET:
            raise _FaultError(f"{path}.query: expected the body of the request, got nothing")
        headers = self._headers(cut, path)
        settings = self._settings(cut, headers, path)
        query = bytes(cut.query)
        if self._hidden is not None:
            query = self._hidden.restore(query)
        forwarded = tuple([field for field in headers.items() if is_forwarded(field[0])])
        header_id = headers.get("cf-aig-event-id") or None
        if header_id is not None:
            self._check_event_id(header_id, f"{path}.headers.cf-aig-event-id")
        return Step(provider, endpoint, forwarded, query, settings), header_id

    def _headers(self, cut: _Step, path: str) -> dict[str, str]:
        headers: dict[str, str] = {}
        if _is_given(cut.headers):
            parsed = parse_headers(cut.headers, f"{path}.headers")
            if isinstance(parsed, str):
                raise _FaultError(parsed)
            headers = parsed
        if _is_given(cut.authorization):  # the field's name in older descriptions of the protocol
            value = clean_value(self._string(cut.authorization, f"{path}.authorization"))
            if value is None:
                raise _FaultError(f"{path}.authorization: {EXPECTED_VALUE}")
            headers.setdefault("authorization", value)
        return headers

    def _settings(self, cut: _Step, headers: dict[str, str], path: str) -> StepSettings:
        settings = settings_from_fields(headers.items(), f"{path}.headers.")
        if isinstance(settings, str):
            raise _FaultError(settings)
        if not _is_given(cut.config):
            return settings
        if kind_of(cut.config) != "an object":
            raise _FaultError(f"{path}.config: expected an object, got {kind_of(cut.config)}")
        if len(memoryview(cut.config)) > _MAX_CONFIG_BYTES:
            raise _FaultError(f"{path}.config: expected at most {_MAX_CONFIG_BYTES} bytes")
        config = parse_config(cut.config, f"{path}.config")
        if isinstance(config, str):
            raise _FaultError(config)
        return merge_settings(config, settings)

    def _event_id(self, raw: _Slice, path: str) -> str | None:
        """Return an event id; None when there is none, which an empty one counts as."""
        if not _is_given(raw):
            return None
        event_id = self._string(raw, path)
        self._check_event_id(event_id, path)
        return event_id or None

    def _check_event_id(self, event_id: str, path: str) -> None:
        if len(event_id) > self._max_event_id_bytes or len(event_id.encode()) > self._max_event_id_bytes:
            raise _FaultError(f"{path}: expected at most {self._max_event_id_bytes} bytes")

    def _string(self, raw: _Slice, path: str, code: ErrorCode = ErrorCode.INVALID_FIELD) -> str:
        if raw is msgspec.UNSET:
            raise _FaultError(f"{path}: expected a string, got nothing", code)
        try:
            text = _STRING.decode(raw)
        except msgspec.ValidationError:
            raise _FaultError(f"{path}: expected a string, got {kind_of(raw)}", code) from None
        if self._hidden is not None and self._hidden.touches(text):
            raise _FaultError(f"{path}: expected text without lone surrogates", code)
        return text

    def _split(self, array: msgspec.Raw) -> list[msgspec.Raw]:
        """Cut an array into its elements, one more than the step limit at most."""
        slots = _array_decoder(self._max_steps + 1).decode(array)
        return [piece for piece in msgspec.structs.astuple(slots) if piece is not msgspec.UNSET]

    def _recover_event_id(self, message: _Message) -> str | None:
        """Find the event id of a message that has a fault somewhere; a faulty id counts as none."""
        own = self._event_id_or_none(message.event_id)
        request = message.request
        if request is msgspec.UNSET:
            return own
        try:
            if kind_of(request) == "an array":
                pieces = [] if own is not None else self._split(request)
                found = (self._inner_event_id(piece) for piece in pieces)
                return next((event_id for event_id in found if event_id is not None), own)
            inner = self._inner_event_id(request)
        except RecursionError:
            return own
        return own if inner is None else inner

    def _inner_event_id(self, step: msgspec.Raw) -> str | None:
        if kind_of(step) != "an object":
            return None
        return self._event_id_or_none(_STEP.decode(step).event_id)

    def _event_id_or_none(self, raw: _Slice) -> str | None:
        try:
            return self._event_id(raw, "eventId")
        except _FaultError:
            return None


def _is_given(raw: _Slice) -> TypeGuard[msgspec.Raw]:
    """Tell whether a field is there; null means the same as absent, programs print unset options so."""
    return raw is not msgspec.UNSET and kind_of(raw) != "null"
