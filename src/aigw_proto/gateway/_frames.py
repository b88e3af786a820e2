"""What a request says to its client: the frames, and the metadata they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..envelopes import EnvelopeFault, ErrorCode, Metadata, gateway_error, print_created, print_done
from ..envelopes._print import StreamPrinter
from ._answer import whole_answer
from ._config import GatewaySettings

__all__ = ["SHUTTING_DOWN", "RequestFrames", "SendFrame", "refusal"]

SHUTTING_DOWN = "The gateway is shutting down"
_FIRST_ERROR = 400

SendFrame: TypeAlias = Callable[[list[bytes]], None]
_JSON = "application/json"
_STRICT_STATUS = 400  # what the hosted service gives for every failure of a provider


class RequestFrames:
    """Prints the frames of one request and hands them to the session; counts them."""

    __slots__ = ("_event_id", "_gateway", "_log_id", "_printer", "_send", "count")

    def __init__(self, event_id: str, log_id: str, send: SendFrame, gateway: GatewaySettings) -> None:
        """Print for `event_id` in the form that `gateway` is set to."""
        self._event_id = event_id
        self._log_id = log_id
        self._send = send
        self._gateway = gateway
        self._printer = StreamPrinter(event_id, strict=gateway.strict)
        self.count = 0

    def whole(self, status: int, content_type: str, step: int, body: bytes) -> None:
        """Deliver a whole answer."""
        answer = whole_answer(body)
        metadata = self._metadata(status, content_type, step, encoding=answer.encoding)
        self._emit(print_created(metadata, answer.payload, strict=self._gateway.strict))

    def opened(self, status: int, content_type: str, step: int, *, event_key: str = "event") -> None:
        """Announce a stream. `event_key` is the metadata key for the names of its events."""
        self._printer = StreamPrinter(self._event_id, strict=self._gateway.strict, event_key=event_key)
        self._emit(print_created(self._metadata(status, content_type, step), None, strict=self._gateway.strict))

    def item(self, payload: bytes, event: bytes | None) -> None:
        """Deliver one event of a stream."""
        self._emit(self._printer.print(payload, event))

    def done(
        self, status: int | None, content_type: str, step: int, *, error: str | None = None, cancelled: bool = False
    ) -> None:
        """End a stream: whole, broken off (`error`), or given up by the client (`cancelled`)."""
        metadata = self._metadata(status, content_type, step, error=error, cancelled=cancelled)
        self._emit(print_done(metadata, strict=self._gateway.strict))

    def failed(self, status: int, code: ErrorCode, message: str, step: int) -> int:
        """Deliver an error of the gateway's own; return the status that the client saw."""
        shown = _STRICT_STATUS if self._gateway.strict else status
        metadata = self._metadata(shown, _JSON, step)
        self._emit(print_created(metadata, gateway_error(shown, code, message), strict=self._gateway.strict))
        return shown

    def _emit(self, chunks: list[bytes]) -> None:
        self.count += 1
        self._send(chunks)

    def _metadata(
        self,
        status: int | None,
        content_type: str,
        step: int,
        *,
        error: str | None = None,
        cancelled: bool = False,
        encoding: str | None = None,
    ) -> Metadata:
        if self._gateway.bare_errors and status is not None and status >= _FIRST_ERROR:
            return _bare(content_type)
        return Metadata(
            event_id=self._event_id,
            log_id=self._log_id,
            step=step,
            content_type=content_type or None,
            status=status,
            error=error,
            cancelled=cancelled,
            encoding=encoding,
        )


def refusal(event_id: str | None, log_id: str, fault: EnvelopeFault, gateway: GatewaySettings) -> list[bytes]:
    """Return the error frame for a message that never became a request."""
    if gateway.bare_errors:
        metadata = _bare(_JSON)
    else:
        metadata = Metadata(
            event_id=event_id, log_id=log_id, step=None, content_type=_JSON, cache_status=None, status=fault.status
        )
    return print_created(metadata, gateway_error(fault.status, fault.code, fault.message), strict=gateway.strict)


def _bare(content_type: str) -> Metadata:
    return Metadata(event_id=None, log_id=None, step=None, content_type=content_type or None, cache_status=None)
