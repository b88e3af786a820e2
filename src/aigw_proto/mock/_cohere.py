"""Cohere's dialects: `v1/chat`, which streams a JSON object on each line, and `v2/chat`, which streams named events."""

from __future__ import annotations

from ._replies import Document, EventStream, Reply, json_bytes, json_document, sse_event, text_document
from ._request import MockRequest, as_text, last_user_text, reply_words

__all__ = ["answer_v1", "answer_v2", "print_error"]


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as Cohere prints it."""
    return json_document({"id": f"mock-{request.number}", "message": message}, status)


def _meta(prompt: str, words: tuple[str, ...]) -> dict[str, object]:
    return {"tokens": {"input_tokens": len(prompt.split()), "output_tokens": len(words)}}


def answer_v1(request: MockRequest) -> Reply:
    """Answer `v1/chat`: an object, or `stream-start`, `text-generation` and `stream-end` on lines of their own."""
    prompt = as_text(request.fields.get("message"))
    words = reply_words(prompt, request.chunks)
    number = request.number

    def whole(text: object) -> dict[str, object]:
        return {
            "response_id": f"mock-{number}",
            "generation_id": f"mock-generation-{number}",
            "text": text,
            "chat_history": [{"role": "USER", "message": prompt}],
            "finish_reason": "COMPLETE",
            "meta": _meta(prompt, words),
        }

    if request.fields.get("stream") is not True:
        return text_document(whole, "".join(words))

    def line(kind: str, finished: bool = False, **data: object) -> bytes:
        return json_bytes({"is_finished": finished, "event_type": kind} | data) + b"\n"

    return EventStream(
        (line("stream-start", generation_id=f"mock-generation-{number}"),),
        lambda word: line("text-generation", text=word),
        words,
        (line("stream-end", finished=True, finish_reason="COMPLETE", response=whole("".join(words))),),
        content_type=b"application/stream+json",
    )


def answer_v2(request: MockRequest) -> Reply:
    """Answer `v2/chat`: an object, or the events from `message-start` to `message-end`."""
    prompt = last_user_text(request.fields.get("messages"))
    words = reply_words(prompt, request.chunks)
    usage = _meta(prompt, words)
    if request.fields.get("stream") is not True:
        return text_document(
            lambda text: {
                "id": f"mock-{request.number}",
                "finish_reason": "COMPLETE",
                "message": {"role": "assistant", "content": [{"type": "text", "text": text}]},
                "usage": usage,
            },
            "".join(words),
        )

    def event(kind: str, **data: object) -> bytes:
        return sse_event({"type": kind} | data, kind)

    def content(**data: object) -> dict[str, object]:
        return {"message": {"content": data}}

    return EventStream(
        (
            event("message-start", id=f"mock-{request.number}", delta={"message": {"role": "assistant"}}),
            event("content-start", index=0, delta=content(type="text", text="")),
        ),
        lambda word: event("content-delta", index=0, delta=content(text=word)),
        words,
        (event("content-end", index=0), event("message-end", delta={"finish_reason": "COMPLETE", "usage": usage})),
    )
