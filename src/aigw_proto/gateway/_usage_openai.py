"""The events of OpenAI's two WebSocket APIs that carry usage; several providers speak their language."""

from __future__ import annotations

import re
from typing import Final

import msgspec

from ._usage import NESTED, Report, Slice, as_name, as_object, as_seconds, decode, plain, take_counts

__all__ = ["REALTIME_EVENTS", "RESPONSES_EVENTS", "read_openai", "read_openai_ends"]

_TRANSCRIBED = "conversation.item.input_audio_transcription.completed"
_CONFIGURED = frozenset({"session.created", "session.updated", "transcription_session.created"})
_ENDED = frozenset(
    {"response.done", "response.completed", "response.failed", "response.incomplete", "response.cancelled"}
)

REALTIME_EVENTS: Final = frozenset({"response.done", _TRANSCRIBED, *_CONFIGURED})
RESPONSES_EVENTS: Final = _ENDED - {"response.done"}

_TOTALS: Final = {"input_tokens": "input", "output_tokens": "output", "total_tokens": "total"}
_INPUT: Final = {
    "text_tokens": "input_text",
    "audio_tokens": "input_audio",
    "image_tokens": "input_image",
    "cached_tokens": "input_cached",
    "cache_write_tokens": "input_cache_written",
}
_CACHED: Final = {
    "text_tokens": "input_cached_text",
    "audio_tokens": "input_cached_audio",
    "image_tokens": "input_cached_image",
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

_NAME: Final = re.compile(rb'"type"\s*:\s*"(response\.[a-z]+)"')
_ID: Final = re.compile(rb'"id"\s*:\s*("[^"\\]*")')
_STATUS: Final = re.compile(rb'"status"\s*:\s*("[^"\\]*")')
_USAGE: Final = re.compile(rb'"usage"\s*:\s*(\{%b\})' % NESTED)


def read_openai(data: bytes) -> Report | None:
    """Read an event of the Realtime or the Responses API."""
    event = decode(_EVENT, data)
    name = None if event is None else plain(event.type)
    if event is None or not isinstance(name, str):
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
        # counted and priced by another model than that of the conversation, so not to be added to its tokens
        return Report(
            event=name,
            ends_turn=True,
            response_id=as_name(plain(event.item_id)),
            tokens={f"transcription_{kind}": count for kind, count in _tokens(usage).items()},
            audio_seconds=as_seconds(usage.get("seconds")),
        )
    if name in _CONFIGURED:
        body = decode(_BODY, event.session) or _Body()
        return Report(event=name, model=as_name(plain(body.model)))
    return None


def read_openai_ends(head: bytes, tail: bytes) -> Report | None:
    """Read what the two ends say of an event too large to be kept: a response with images in it.

    A response begins with its id and status; its usage follows everything that can be large.
    """
    name = _NAME.search(head) or _NAME.search(tail)
    if name is None or (event := name[1].decode()) not in _ENDED:
        return None
    found_id, found_status = _ID.search(head), _STATUS.search(head)
    usages = _USAGE.findall(tail)
    return Report(
        event=event,
        ends_turn=True,
        status=None if found_status is None else as_name(plain(found_status[1])),
        response_id=None if found_id is None else as_name(plain(found_id[1])),
        tokens=_tokens(plain(usages[-1])) if usages else {},
    )


def _tokens(usage: object) -> dict[str, int]:
    counts = as_object(usage)
    tokens: dict[str, int] = {}
    take_counts(counts.items(), _TOTALS, tokens)
    # the Realtime API says input_token_details, the Responses API input_tokens_details
    for key in ("input_token_details", "input_tokens_details"):
        details = as_object(counts.get(key))
        take_counts(details.items(), _INPUT, tokens)
        take_counts(as_object(details.get("cached_tokens_details")).items(), _CACHED, tokens)
    for key in ("output_token_details", "output_tokens_details"):
        take_counts(as_object(counts.get(key)).items(), _OUTPUT, tokens)
    return tokens
