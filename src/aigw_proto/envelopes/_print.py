"""Writing messages, for both ends.

A message is a list of chunks of one JSON text, in which the payload is the caller's own bytes object: it is neither
looked at nor copied. Keys come in the documented order; the extended form adds keys behind them, which clients of the
documented form ignore, and the strict form leaves them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._text import text_literal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ._messages import Metadata, Step, StepSettings

__all__ = ["StreamPrinter", "print_cancel", "print_create", "print_created", "print_done", "print_stream"]

_END = b"}"
_MAX_EVENT_NAMES = 64  # Anthropic has eight, the OpenAI Responses API some fifty; a name per chunk is not kept
_MAX_EVENT_NAME_BYTES = 256
_MANY_MILLISECONDS = 1e14
_MAX_MILLISECONDS = 1e300  # any more may become infinite on its way, which is no number in JSON


def print_created(metadata: Metadata, response: bytes | None, *, strict: bool) -> list[bytes]:
    """Return a whole answer, or with `response` None the head of a stream. `response` must be JSON (`is_json()`)."""
    head = b'{"type":"universal.created","metadata":' + _metadata(metadata, strict=strict)
    if response is None:
        return [head + _END]
    return [head + b',"response":', response, _END]


def print_stream(event_id: str, response: bytes, *, event: bytes | None = None, strict: bool) -> list[bytes]:
    """Return one chunk of a stream; see `StreamPrinter` for many. `response` must be JSON (`is_json()`)."""
    return StreamPrinter(event_id, strict=strict).print(response, event)


def print_done(metadata: Metadata, *, strict: bool) -> list[bytes]:
    """Return the end of a stream."""
    return [b'{"type":"universal.done","metadata":' + _metadata(metadata, strict=strict) + _END]


class StreamPrinter:
    """Prints the chunks of one request: all that does not change from chunk to chunk is printed once."""

    __slots__ = ("_event_key", "_named", "_plain", "_start", "_strict")

    def __init__(self, event_id: str, *, strict: bool, event_key: str = "event") -> None:
        """Print what every chunk of the request begins with; names of events go into metadata as `event_key`."""
        self._event_key = text_literal(event_key)
        self._start = b'{"type":"universal.stream","metadata":{"eventId":' + text_literal(event_id)
        self._plain = self._start + b'},"response":'
        self._strict = strict
        self._named: dict[bytes, bytes] = {}

    def print(self, response: bytes, event: bytes | None = None) -> list[bytes]:
        """Return one chunk. `response` must be JSON; `event`, the provider's name for it, is an extension."""
        if not event or self._strict:
            return [self._plain, response, _END]
        return [self._named.get(event) or self._name(event), response, _END]

    def _name(self, event: bytes) -> bytes:
        literal = text_literal(event.decode("utf-8", "replace"))
        prefix = b'%b,%b:%b},"response":' % (self._start, self._event_key, literal)
        if len(self._named) < _MAX_EVENT_NAMES and len(event) <= _MAX_EVENT_NAME_BYTES:
            self._named[event] = prefix
        return prefix


def print_create(event_id: str | None, steps: Sequence[Step]) -> list[bytes]:
    """Return a client's request; each step's `query` must be JSON and goes in as it is.

    One step is printed in the documented form, several as an array with the event id beside it and in the first
    step, where other gateways may look for it.
    """
    chunks: list[bytes] = []
    head = b'{"type":"universal.create",'
    if event_id is not None and len(steps) > 1:
        head += b'"eventId":' + text_literal(event_id) + b","
    head += b'"request":' if len(steps) == 1 else b'"request":['
    for index, step in enumerate(steps):
        opening = b'{"eventId":' + text_literal(event_id) + b"," if event_id is not None and index == 0 else b"{"
        separator = b"" if index == 0 else b"},"
        chunks += [(head if index == 0 else separator) + opening + _step(step) + b',"query":', step.query]
    chunks.append(b"}}" if len(steps) == 1 else b"}]}")
    return chunks


def print_cancel(event_id: str) -> list[bytes]:
    """Return a client's wish to give up a request."""
    return [b'{"type":"universal.cancel","eventId":' + text_literal(event_id) + _END]


def _metadata(metadata: Metadata, *, strict: bool) -> bytes:
    pairs: list[bytes] = []
    for key, text in (
        (b'"cacheStatus":', metadata.cache_status),
        (b'"eventId":', metadata.event_id),
        (b'"logId":', metadata.log_id),
    ):
        if text is not None:
            pairs.append(key + text_literal(text))
    if metadata.step is not None:
        pairs.append(b'"step":"%d"' % metadata.step)
    if metadata.content_type is not None:
        pairs.append(b'"contentType":' + text_literal(metadata.content_type))
    if not strict:
        if metadata.status is not None:
            pairs.append(b'"status":%d' % metadata.status)
        if metadata.error is not None:
            pairs.append(b'"error":' + text_literal(metadata.error))
        if metadata.cancelled:
            pairs.append(b'"cancelled":true')
        if metadata.encoding is not None:
            pairs.append(b'"encoding":' + text_literal(metadata.encoding))
    return b"{" + b",".join(pairs) + b"}"


def _step(step: Step) -> bytes:
    fields = [*step.headers]
    if step.settings.key_alias is not None:
        fields.append(("cf-aig-byok-alias", step.settings.key_alias))
    if step.settings.collect_log is not None:
        fields.append(("cf-aig-collect-log", "true" if step.settings.collect_log else "false"))
    headers = b",".join([text_literal(name) + b":" + text_literal(value) for name, value in fields])
    return b'"provider":%b,"endpoint":%b,"headers":{%b}%b' % (
        text_literal(step.provider),
        text_literal(step.endpoint),
        headers,
        _config(step.settings),
    )


def _config(settings: StepSettings) -> bytes:
    pairs: list[bytes] = []
    if settings.request_timeout_seconds is not None:
        pairs.append(b'"requestTimeout":' + _milliseconds(settings.request_timeout_seconds))
    if settings.max_attempts is not None:
        pairs.append(b'"maxAttempts":%d' % settings.max_attempts)
    if settings.retry_delay_seconds is not None:
        pairs.append(b'"retryDelay":' + _milliseconds(settings.retry_delay_seconds))
    if settings.backoff is not None:
        pairs.append(b'"backoff":' + text_literal(settings.backoff.value))
    return b',"config":{' + b",".join(pairs) + b"}" if pairs else b""


def _milliseconds(seconds: float) -> bytes:
    """Return whole milliseconds, as the documented form has them; at least one for what is above none.

    What has more digits than a gateway reads is written with an exponent.
    """
    milliseconds = min(seconds * 1000, _MAX_MILLISECONDS)
    if milliseconds >= _MANY_MILLISECONDS:
        return b"%.14e" % milliseconds
    return b"%d" % (max(1, round(milliseconds)) if seconds > 0 else 0)
