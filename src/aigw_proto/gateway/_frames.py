"""What a request says to its client: the frames, and the metadata they share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from ..envelopes import ErrorCode, Metadata, StreamPrinter, gateway_error, print_created, print_done
from ._answer import whole_answer

__all__ = ["RequestFrames", "SendFrame", "refusal"]

SendFrame: TypeAlias = Callable[[list[bytes]], None]
_JSON = "application/json"
_STRICT_STATUS = 400  # what the hosted service gives for every failure of a provider


class RequestFrames:
    """Prints the frames of one request and hands them to the session; counts them."""

    __slots__ = ("_event_id", "_log_id", "_printer", "_send", "_strict", "count")

    def __init__(self, event_id: str, log_id: str, send: SendFrame, *, strict: bool) -> None:
        """Print for `event_id`; `strict` leaves out every key that is not documented."""
        self._event_id = event_id
        self._log_id = log_id
        self._send = send
        self._strict = strict
        self._printer = StreamPrinter(event_id, strict=strict)
        self.count = 0

    def whole(self, status: int, content_type: str, step: int, body: bytes) -> None:
        """Deliver a whole answer."""
        answer = whole_answer(body)
        metadata = self._metadata(status, content_type, step, encoding=answer.encoding)
        self._emit(print_created(metadata, answer.payload, strict=self._strict))

    def opened(self, status: int, content_type: str, step: int) -> None:
        """Announce a stream."""
        self._emit(print_created(self._metadata(status, content_type, step), None, strict=self._strict))

    def item(self, payload: bytes, event: bytes | None) -> None:
        """Deliver one event of a stream."""
        self._emit(self._printer.print(payload, event=event))

    def done(
        self, status: int | None, content_type: str, step: int, *, error: str | None = None, cancelled: bool = False
    ) -> None:
        """End a stream: whole, broken off (`error`), or given up by the client (`cancelled`)."""
        metadata = self._metadata(status, content_type, step, error=error, cancelled=cancelled)
        self._emit(print_done(metadata, strict=self._strict))

    def failed(self, status: int, code: ErrorCode, message: str, step: int) -> int:
        """Deliver an error of the gateway's own; return the status that the client saw."""
        shown = _STRICT_STATUS if self._strict else status
        metadata = self._metadata(shown, _JSON, step)
        self._emit(print_created(metadata, gateway_error(shown, code, message), strict=self._strict))
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


def refusal(event_id: str | None, log_id: str, status: int, code: int, message: str, *, strict: bool) -> list[bytes]:
    """Return the error frame for a message that never became a request."""
    metadata = Metadata(
        event_id=event_id, log_id=log_id, step=None, content_type=_JSON, cache_status=None, status=status
    )
    return print_created(metadata, gateway_error(status, code, message), strict=strict)
