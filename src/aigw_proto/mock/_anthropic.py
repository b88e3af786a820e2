"""Anthropic's dialect: messages, as a document and as named events."""

from __future__ import annotations

from typing import Final

from ._openai import model_name
from ._replies import Document, EventStream, Reply, json_document, sse_event, text_document
from ._request import MockRequest, last_user_text, reply_words

__all__ = ["answer_messages", "print_error"]

_ERROR_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as Anthropic prints it."""
    kind = _ERROR_TYPES.get(status, "invalid_request_error" if status < 500 else "api_error")
    error = {"type": kind, "message": message}
    return json_document({"type": "error", "error": error, "request_id": f"req_mock_{request.number}"}, status)


def answer_messages(request: MockRequest) -> Reply:
    """Answer `messages`: a message, or the events from `message_start` to `message_stop` with a ping among them."""
    prompt = last_user_text(request.fields.get("messages"))
    words = reply_words(prompt, request.chunks)
    asked = len(prompt.split())

    def message(*content: dict[str, object], stop_reason: str | None, output_tokens: int) -> dict[str, object]:
        return {
            "id": f"msg_mock_{request.number}",
            "type": "message",
            "role": "assistant",
            "model": model_name(request),
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
            "usage": {"input_tokens": asked, "output_tokens": output_tokens},
        }

    if request.fields.get("stream") is not True:
        return text_document(
            lambda text: message({"type": "text", "text": text}, stop_reason="end_turn", output_tokens=len(words)),
            "".join(words),
        )

    def event(kind: str, **data: object) -> bytes:
        return sse_event({"type": kind} | data, kind)

    return EventStream(
        (
            event("message_start", message=message(stop_reason=None, output_tokens=1)),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            event("ping"),
        ),
        lambda word: event("content_block_delta", index=0, delta={"type": "text_delta", "text": word}),
        words,
        (
            event("content_block_stop", index=0),
            event(
                "message_delta",
                delta={"stop_reason": "end_turn", "stop_sequence": None},
                usage={"output_tokens": len(words)},
            ),
            event("message_stop"),
        ),
    )
