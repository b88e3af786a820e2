"""Google's dialect: `models/M:generateContent`, and `:streamGenerateContent` as events or as a growing JSON array."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs

from ._replies import JSON, Document, EventStream, Reply, json_bytes, json_document, sse_event, text_document
from ._request import MockRequest, last_user_text, reply_words

__all__ = ["answer_generate", "print_error"]

_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _streams(request: MockRequest) -> bool:
    return request.path.endswith(":streamGenerateContent")


def _as_events(request: MockRequest) -> bool:
    return "sse" in parse_qs(request.query).get("alt", ())


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as Google prints it: inside an array where a stream of one was asked for."""
    error = {"error": {"code": status, "message": message, "status": _STATUSES.get(status, "UNKNOWN")}}
    return json_document([error] if _streams(request) and not _as_events(request) else error, status)


def answer_generate(request: MockRequest) -> Reply:
    """Answer both methods; the last item of a stream carries finish reason and usage."""
    prompt = last_user_text(request.fields.get("contents"))
    words = reply_words(prompt, request.chunks)
    asked = len(prompt.split())
    model = request.path.rpartition("/")[2].partition(":")[0]

    def item(text: object, finish_reason: str | None = None) -> dict[str, object]:
        candidate: dict[str, object] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": 0}
        body: dict[str, object] = {"candidates": [candidate]}
        if finish_reason is not None:
            candidate["finishReason"] = finish_reason
            body["usageMetadata"] = {
                "promptTokenCount": asked,
                "candidatesTokenCount": len(words),
                "totalTokenCount": asked + len(words),
            }
        return body | {"modelVersion": model, "responseId": f"mock-{request.number}"}

    if not _streams(request):
        return text_document(lambda text: item(text, "STOP"), "".join(words))
    if _as_events(request):
        return EventStream((), lambda word: sse_event(item(word)), words, (sse_event(item("", "STOP")),))
    return EventStream(
        (b"[" + json_bytes(item("")),),
        lambda word: b",\r\n" + json_bytes(item(word)),
        words,
        (b",\r\n" + json_bytes(item("", "STOP")) + b"]",),
        content_type=JSON,
    )
