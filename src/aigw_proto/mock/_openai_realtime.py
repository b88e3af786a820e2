"""OpenAI's Realtime API: the session, what the client says in text or audio, and responses that repeat it.

The mock hears as little as it needs. Audio is measured, not kept; turn detection takes a chunk of digital silence for
the end of a turn, so that a test decides when one ends. What a client says while a response is under way is answered
behind it; the real API would refuse a second response.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Final

from ..ws import UpgradeOffer
from ._openai_response import Asked, Response
from ._openai_session import Settings, find_wording
from ._request import MockRequest, as_list, as_mapping, as_text, decode_object, reply_words
from ._speech import Ear, Sound, decode_base64
from ._talk import Act, Say, Talk, say_json

__all__ = ["RealtimeTalk"]

_MOST_ITEMS: Final = 32  # that are remembered for `conversation.item.retrieve`
_MOST_CHARACTERS: Final = 64 * 1024  # of a text that is repeated
_LEAST_COMMITTED_MS: Final = 100
_TOKENS_OF_A_SECOND: Final = 10

_Event = Mapping[str, object]


class RealtimeTalk(Talk):
    """One session of OpenAI Realtime, the current API or its beta."""

    subprotocols = ("realtime",)

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin a session with what the query and the headers of the upgrade say."""
        self._wording = find_wording(request, offer)
        self._settings = Settings(self._wording, request)
        self._number = request.number
        self._chunks = request.chunks
        self._events = count(1)
        self._ids = count(1)
        self._items: OrderedDict[str, Mapping[str, object]] = OrderedDict()
        self._responses: deque[Response] = deque()
        self._prompt = ""
        self._ear = Ear(self._settings.input_bytes_per_second)
        self._audio_tokens = 0  # since the last response
        self._speech_item: str | None = None
        self._handlers: dict[str, Callable[[_Event], Iterable[Act]]] = {
            "session.update": self._on_session_update,
            "transcription_session.update": self._on_session_update,
            "input_audio_buffer.append": self._on_append,
            "input_audio_buffer.commit": self._on_commit,
            "input_audio_buffer.clear": self._on_clear,
            "conversation.item.create": self._on_item_create,
            "conversation.item.retrieve": self._on_item_retrieve,
            "conversation.item.truncate": self._on_item_truncate,
            "conversation.item.delete": self._on_item_delete,
            "response.create": self._on_response_create,
            "response.cancel": self._on_response_cancel,
        }

    def greet(self) -> Iterable[Act]:
        """Return `session.created`."""
        kind = "transcription_session" if self._settings.transcribes and self._wording.is_beta else "session"
        return (self._event(kind + ".created", session=self._settings.describe()),)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take one client event."""
        event = decode_object(message)
        if event is None:
            return self._error("The event could not be parsed: expected a JSON object.", code="invalid_json")
        kind = event.get("type")
        if not isinstance(kind, str):
            return self._error("The event is missing its type.", event, code="missing_required_parameter", param="type")
        handler = self._handlers.get(kind)
        if handler is None:
            known = ", ".join(f"'{name}'" for name in self._handlers)
            reason = f"Invalid value: '{kind[:100]}'. Supported values are: {known}."
            return self._error(reason, event, code="invalid_value", param="type")
        return handler(event)

    # --- printing ----------------------------------------------------------------------------------------------------

    def _event(self, kind: str, **fields: object) -> Say:
        return say_json({"type": kind, "event_id": f"event_mock_{self._number}_{next(self._events)}"} | fields)

    def _error(self, message: str, event: _Event | None = None, *, code: str, param: str | None = None) -> list[Act]:
        event_id = None if event is None else event.get("event_id")
        error = {
            "type": "invalid_request_error",
            "code": code,
            "message": message,
            "param": param,
            "event_id": event_id if isinstance(event_id, str) else None,
        }
        return [self._event("error", error=error)]

    def _missing(self, param: str, event: _Event) -> list[Act]:
        message = f"Missing required parameter: '{param}'."
        return self._error(message, event, code="missing_required_parameter", param=param)

    # --- the session -------------------------------------------------------------------------------------------------

    def _on_session_update(self, event: _Event) -> Iterable[Act]:
        if not isinstance(event.get("session"), dict):
            return self._missing("session", event)
        self._settings.update(as_mapping(event.get("session")))
        kind = as_text(event["type"]).replace(".update", ".updated")
        return [self._event(kind, session=self._settings.describe())]

    # --- audio -------------------------------------------------------------------------------------------------------

    def _on_append(self, event: _Event) -> Iterable[Act]:
        audio = decode_base64(event.get("audio"))
        if audio is None:
            message = "Invalid 'audio'. Expected base64-encoded audio bytes."
            return self._error(message, event, code="invalid_value", param="audio")
        self._ear.bytes_per_second = self._settings.input_bytes_per_second
        heard = self._ear.hear(audio)
        detection = self._settings.turn_detection
        if detection is None:
            return ()
        if heard is Sound.BEGINNING:
            return self._start_speech(detection)
        return self._stop_speech(detection) if heard is Sound.END else ()

    def _start_speech(self, detection: Mapping[str, object]) -> Iterable[Act]:
        if detection.get("interrupt_response") is not False:
            for response in self._responses:
                response.cancel("turn_detected")
        self._speech_item = self._new_item_id()
        at = int(self._ear.seconds * 1000)
        return [self._event("input_audio_buffer.speech_started", audio_start_ms=at, item_id=self._speech_item)]

    def _stop_speech(self, detection: Mapping[str, object]) -> Iterable[Act]:
        at, item_id = int(self._ear.seconds * 1000), self._speech_item
        acts = [self._event("input_audio_buffer.speech_stopped", audio_end_ms=at, item_id=item_id), *self._commit()]
        if detection.get("create_response") is False or self._settings.transcribes:
            return acts
        return chain(acts, self._respond({}))

    def _on_commit(self, event: _Event) -> Iterable[Act]:
        heard_ms = self._ear.turn_seconds * 1000
        if heard_ms < _LEAST_COMMITTED_MS:
            message = (
                "Error committing input audio buffer: buffer too small. "
                f"Expected at least {_LEAST_COMMITTED_MS}ms of audio, but buffer only has {heard_ms:.2f}ms of audio."
            )
            return self._error(message, event, code="input_audio_buffer_commit_empty")
        return self._commit()

    def _commit(self) -> list[Act]:
        """Make an item of what was heard, and its transcript when one is wanted."""
        item_id = self._speech_item or self._new_item_id()
        tokens = max(1, int(self._ear.turn_seconds * _TOKENS_OF_A_SECOND))
        transcript = self._prompt = self._ear.take()
        self._speech_item = None
        self._audio_tokens += tokens
        content = [{"type": "input_audio", "transcript": None}]
        acts: list[Act] = [
            self._event("input_audio_buffer.committed", previous_item_id=self._last_item_id(), item_id=item_id),
            *self._add_item({"id": item_id, "type": "message", "role": "user", "content": content}),
        ]
        if self._settings.transcription is not None:
            acts += self._transcribe(item_id, transcript, tokens)
        return acts

    def _transcribe(self, item_id: str, transcript: str, tokens: int) -> Iterator[Act]:
        kind = "conversation.item.input_audio_transcription"
        usage = {
            "type": "tokens",
            "total_tokens": tokens + len(transcript.split()),
            "input_tokens": tokens,
            "input_token_details": {"text_tokens": 0, "audio_tokens": tokens},
            "output_tokens": len(transcript.split()),
        }
        yield self._event(kind + ".delta", item_id=item_id, content_index=0, delta=transcript)
        yield self._event(kind + ".completed", item_id=item_id, content_index=0, transcript=transcript, usage=usage)

    def _on_clear(self, event: _Event) -> Iterable[Act]:
        del event
        self._ear.forget()
        self._speech_item = None
        return [self._event("input_audio_buffer.cleared")]

    # --- the conversation --------------------------------------------------------------------------------------------

    def _new_item_id(self) -> str:
        return f"item_mock_{self._number}_{next(self._ids)}"

    def _last_item_id(self) -> str | None:
        return next(reversed(self._items), None)

    def _add_item(self, fields: Mapping[str, object]) -> list[Act]:
        previous = self._last_item_id()
        item: dict[str, object] = {"object": "realtime.item", "status": "completed", **fields}
        self._items[as_text(item["id"])] = item
        if len(self._items) > _MOST_ITEMS:
            self._items.popitem(last=False)
        return [self._event(kind, previous_item_id=previous, item=item) for kind in self._wording.item_added]

    def _on_item_create(self, event: _Event) -> Iterable[Act]:
        if not isinstance(event.get("item"), dict):
            return self._missing("item", event)
        item = dict(as_mapping(event.get("item")))
        if not isinstance(item.get("type"), str):
            return self._missing("item.type", event)
        item["id"] = as_text(item.get("id")) or self._new_item_id()
        for name in ("content", "output"):
            if name in item:
                item[name] = _brief(item[name])
        if item.get("role", "user") == "user":
            self._prompt = as_text(item.get("content")) or as_text(item.get("output"))
        return self._add_item(item)

    def _find_item(self, event: _Event, doing: str) -> Mapping[str, object] | list[Act]:
        item_id = as_text(event.get("item_id"))
        if not item_id:
            return self._missing("item_id", event)
        item = self._items.get(item_id)
        if item is None:
            verb = as_text(event["type"]).rpartition(".")[2]
            message = f"Error {doing} item: the item with id '{item_id[:100]}' does not exist."
            return self._error(message, event, code=f"item_{verb}_invalid_item_id", param="item_id")
        return item

    def _on_item_retrieve(self, event: _Event) -> Iterable[Act]:
        item = self._find_item(event, "retrieving")
        return item if isinstance(item, list) else [self._event("conversation.item.retrieved", item=item)]

    def _on_item_truncate(self, event: _Event) -> Iterable[Act]:
        """Take any item for one of the assistant's: those are not remembered, and a client truncates no others."""
        item_id, end, index = as_text(event.get("item_id")), event.get("audio_end_ms"), event.get("content_index")
        if not item_id:
            return self._missing("item_id", event)
        place = {"item_id": item_id[:100], "content_index": index if isinstance(index, int) else 0}
        end = end if isinstance(end, int) else 0
        return [self._event("conversation.item.truncated", **place, audio_end_ms=end)]

    def _on_item_delete(self, event: _Event) -> Iterable[Act]:
        item = self._find_item(event, "deleting")
        if isinstance(item, list):
            return item
        del self._items[as_text(item["id"])]
        return [self._event("conversation.item.deleted", item_id=item["id"])]

    # --- responses ---------------------------------------------------------------------------------------------------

    def _on_response_create(self, event: _Event) -> Iterable[Act]:
        fields = as_mapping(event.get("response"))
        inputs = [as_mapping(item) for item in as_list(fields.get("input"))]
        if inputs:
            self._prompt = as_text(inputs[-1].get("content"))[:_MOST_CHARACTERS]
        return self._respond(fields)

    def _respond(self, fields: Mapping[str, object]) -> Iterable[Act]:
        prompt = self._prompt or as_text(fields.get("instructions")) or self._settings.instructions
        written = 0 if self._audio_tokens else len(prompt.split())
        asked = Asked(reply_words(prompt, self._chunks), written, self._audio_tokens)
        self._audio_tokens = 0
        response = Response(
            f"resp_mock_{self._number}_{next(self._ids)}",
            asked,
            event=self._event,
            wording=self._wording,
            settings=self._settings,
            fields=fields,
        )
        while self._responses and self._responses[0].over:
            self._responses.popleft()
        self._responses.append(response)
        return response.events(self._last_item_id())

    def _on_response_cancel(self, event: _Event) -> Iterable[Act]:
        wanted = event.get("response_id")
        for response in self._responses:
            if not response.over and wanted in (None, response.response_id):
                response.cancel("client_cancelled")
                return ()
        return self._error("Cancellation failed: no active response found.", event, code="response_cancel_not_active")


def _brief(value: object) -> object:
    """Return the content of an item as it is repeated: without audio and images, and no longer than need be."""
    if isinstance(value, str):
        return value[:_MOST_CHARACTERS]
    parts = [dict(as_mapping(part)) for part in as_list(value)[:_MOST_ITEMS]]
    for part in parts:
        for name, held in part.items():
            if name in ("audio", "image_url"):
                part[name] = None
            elif isinstance(held, str):
                part[name] = held[:_MOST_CHARACTERS]
    return parts
