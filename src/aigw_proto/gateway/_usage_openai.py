"""The events of OpenAI's two WebSocket APIs that carry usage, and of those who speak their language."""

from __future__ import annotations

from typing import Final

import msgspec

from ._usage import Report, Slice, as_name, as_object, as_seconds, decode, plain, take_counts

__all__ = ["REALTIME_EVENTS", "RESPONSES_EVENTS", "read_openai"]

_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_STARTED = frozenset({"session.created", "session.updated", "transcription_session.created"})
_ENDED = frozenset(
    {"response.done", "response.completed", "response.failed", "response.incomplete", "response.cancelled"}
)

REALTIME_EVENTS: Final = frozenset({"response.done", _TRANSCRIBED, *_STARTED})
RESPONSES_EVENTS: Final = _ENDED - {"response.done"}

_TOTALS: Final = {"input_tokens": "input", "output_tokens": "output", "total_tokens": "total"}
_CACHED: Final = {
    "text_tokens": "input_cached_text",
    "audio_tokens": "input_cached_audio",
    "image_tokens": "input_cached_image",
}
_INPUT: Final = {
    "text_tokens": "input_text",
    "audio_tokens": "input_audio",
    "image_tokens": "input_image",
    "cached_tokens": "input_cached",
    "cache_write_tokens": "input_cache_written",
}
_OUTPUT: Final = {
    "text_tokens": "output_text",
    "audio_tokens": "output_audio",
    "image_tokens": "output_image",
    "reasoning_tokens": "output_reasoning",
}


class _Event(msgspec.Struct):
    type: Slice = msgspec.UNSET
    response: Slice = msgspec.UNSET
    session: Slice = msgspec.UNSET
    usage: Slice = msgspec.UNSET
    item_id: Slice = msgspec.UNSET


class _Body(msgspec.Struct):
    id: Slice = msgspec.UNSET
    status: Slice = msgspec.UNSET
    model: Slice = msgspec.UNSET
    usage: Slice = msgspec.UNSET


_EVENT: Final = msgspec.json.Decoder(_Event)
_BODY: Final = msgspec.json.Decoder(_Body)


def read_openai(data: bytes) -> Report | None:
    """Read an event of the Realtime or the Responses API."""
    event = decode(_EVENT, data)
    if event is None:
        return None
    name = plain(event.type)
    if not isinstance(name, str):
        return None
    if name in _ENDED:
        body = decode(_BODY, event.response) or _Body()
        return Report(
            event=name,
            ends_turn=True,
            status=as_name(plain(body.status)),
            response_id=as_name(plain(body.id)),
            model=as_name(plain(body.model)),
            tokens=_tokens(plain(body.usage)),
        )
    if name == _TRANSCRIBED:
        usage = as_object(plain(event.usage))
        return Report(
            event=name,
            ends_turn=True,
            response_id=as_name(plain(event.item_id)),
            tokens={f"transcription_{kind}": count for kind, count in _tokens(usage).items()},
            audio_seconds=as_seconds(usage.get("seconds")),
        )
    if name in _STARTED:
        body = decode(_BODY, event.session) or _Body()
        return Report(event=name, model=as_name(plain(body.model)))
    return None


def _tokens(usage: object) -> dict[str, int]:
    # the Realtime API says input_token_details, the Responses API input_tokens_details
    counts = as_object(usage)
    tokens: dict[str, int] = {}
    take_counts(counts, _TOTALS, tokens)
    for details in ("input_token_details", "input_tokens_details"):
        take_counts(counts.get(details), _INPUT, tokens)
        take_counts(as_object(counts.get(details)).get("cached_tokens_details"), _CACHED, tokens)
    for details in ("output_token_details", "output_tokens_details"):
        take_counts(counts.get(details), _OUTPUT, tokens)
    return tokens
