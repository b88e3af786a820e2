"""OpenAI's dialect and its many speakers: chat completions, embeddings, models, speech.

Groq, Mistral, DeepSeek, Perplexity, Grok, Cerebras and OpenRouter speak the chat part under their own path prefixes;
OpenRouter sends comments while it waits for a model.
"""

from __future__ import annotations

from typing import Final

from ._replies import Document, EventStream, Reply, json_document, sse_event, text_document
from ._request import MockRequest, as_list, as_mapping, as_text, last_user_text, reply_words

__all__ = ["answer_chat", "answer_embeddings", "answer_models", "answer_speech", "print_error"]

_DONE: Final = b"data: [DONE]\n\n"
_OPENROUTER_WAITS: Final = b": OPENROUTER PROCESSING\n\n" * 2
_EMBEDDING: Final = (0.125, -0.25, 0.5, -1.0)
_ERROR_TYPES: Final = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_SPEECH: Final = b"\xff\xfb\x90\x00" + bytes(range(256)) * 15 + b"\xff" * 252


def model_name(request: MockRequest) -> str:
    """Return the model that the request names."""
    return as_text(request.fields.get("model")) or "mock-model"


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as OpenAI prints it."""
    del request
    fallback = "invalid_request_error" if status < 500 else "server_error"
    kind = _ERROR_TYPES.get(status, fallback)
    return json_document({"error": {"message": message, "type": kind, "param": None, "code": None}}, status)


def answer_chat(request: MockRequest) -> Reply:
    """Answer `chat/completions`: a completion, or its chunks, the usage when asked for, and `[DONE]`."""
    fields, model = request.fields, model_name(request)
    prompt = last_user_text(fields.get("messages"))
    words = reply_words(prompt, request.chunks)
    head: dict[str, object] = {"id": f"chatcmpl-mock-{request.number}", "created": request.created, "model": model}
    asked = len(prompt.split())
    usage = {"prompt_tokens": asked, "completion_tokens": len(words), "total_tokens": asked + len(words)}
    if fields.get("stream") is not True:
        return text_document(
            lambda text: (
                head
                | {
                    "object": "chat.completion",
                    "choices": [
                        {
                            "index": 0,
                            "message": {"role": "assistant", "content": text, "refusal": None},
                            "logprobs": None,
                            "finish_reason": "stop",
                        }
                    ],
                    "usage": usage,
                }
            ),
            "".join(words),
        )
    head["object"] = "chat.completion.chunk"
    with_usage = as_mapping(fields.get("stream_options")).get("include_usage") is True
    pending: dict[str, object] = {"usage": None} if with_usage else {}

    def chunk(delta: dict[str, object], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return sse_event(head | {"choices": [choice]} | pending)

    opening = chunk({"role": "assistant", "content": ""})
    host = request.header(b"host") or b""
    if b"openrouter" in host.lower() or request.path.startswith("/api/v1/"):
        opening = _OPENROUTER_WAITS + opening
    no_choices: dict[str, object] = {"choices": [], "usage": usage}
    last = (sse_event(head | no_choices),) if with_usage else ()
    return EventStream(
        (opening,), lambda word: chunk({"content": word}), words, (chunk({}, finish_reason="stop"), *last, _DONE)
    )


def answer_embeddings(request: MockRequest) -> Reply:
    """Answer `embeddings` with one small vector for each input."""
    asked = request.fields.get("input")
    inputs = as_list(asked) or (asked,)
    tokens = sum(len(as_text(text).split()) for text in inputs)
    vectors = [{"object": "embedding", "index": index, "embedding": _EMBEDDING} for index in range(len(inputs))]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return json_document({"object": "list", "data": vectors, "model": model_name(request), "usage": usage})


def answer_models(request: MockRequest) -> Reply:
    """Answer `models` with a list of one, and `models/ID` with that model."""
    _, found, name = request.path.rpartition("/models/")
    model = {"id": name if found else "mock-model", "object": "model", "created": request.created, "owned_by": "aigw"}
    return json_document(model if found else {"object": "list", "data": [model]})


def answer_speech(request: MockRequest) -> Reply:
    """Answer `audio/speech` with bytes that are no text in any encoding."""
    del request
    return Document(_SPEECH, filler=b"\xff", content_type=b"audio/mpeg")
