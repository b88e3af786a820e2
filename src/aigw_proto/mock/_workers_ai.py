"""Workers AI's dialect: `ai/run/@cf/…`, where the envelope of Cloudflare's API is around every document."""

from __future__ import annotations

from typing import Final

from ._replies import Document, EventStream, Reply, json_document, sse_event, text_document
from ._request import MockRequest, as_text, last_user_text, reply_words

__all__ = ["answer_run", "print_error"]

_CODES: Final = {400: 5006, 401: 10000, 403: 10000, 404: 7000, 429: 3036}


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as Cloudflare's API prints it."""
    del request
    errors = [{"code": _CODES.get(status, 3000), "message": message}]
    return json_document({"result": None, "success": False, "errors": errors, "messages": []}, status)


def answer_run(request: MockRequest) -> Reply:
    """Answer a text model: the envelope, or `{"response": word}` events, one with the usage, and `[DONE]`."""
    fields = request.fields
    prompt = as_text(fields.get("prompt")) or last_user_text(fields.get("messages"))
    words = reply_words(prompt, request.chunks)
    asked = len(prompt.split())
    usage = {"prompt_tokens": asked, "completion_tokens": len(words), "total_tokens": asked + len(words)}
    if fields.get("stream") is not True:
        return text_document(
            lambda text: {
                "result": {"response": text, "usage": usage},
                "success": True,
                "errors": [],
                "messages": [],
            },
            "".join(words),
        )
    return EventStream(
        (),
        lambda word: sse_event({"response": word}),
        words,
        (sse_event({"response": "", "usage": usage}), b"data: [DONE]\n\n"),
    )
