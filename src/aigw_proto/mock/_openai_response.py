"""One response of an OpenAI Realtime session, as the events that build it up."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from .._kinds import record
from ._openai_session import Settings, Wording
from ._speech import encode_base64, sound_of_a_word
from ._talk import Say

__all__ = ["Asked", "Response", "Usage"]

_AUDIO_TOKENS_OF_A_WORD: Final = 2  # a token for each twentieth of a second


@record
class Asked:
    """What a response answers: the words of the reply, and what the question counted in tokens."""

    words: tuple[str, ...]
    text_tokens: int
    audio_tokens: int


@record
class Usage:
    """Tokens of a response so far."""

    asked: Asked
    text_tokens: int
    audio_tokens: int

    def describe(self) -> dict[str, object]:
        """Return the usage as the API prints it."""
        asked = self.asked.text_tokens + self.asked.audio_tokens
        answered = self.text_tokens + self.audio_tokens
        return {
            "total_tokens": asked + answered,
            "input_tokens": asked,
            "output_tokens": answered,
            "input_token_details": {
                "text_tokens": self.asked.text_tokens,
                "audio_tokens": self.asked.audio_tokens,
                "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": self.text_tokens, "audio_tokens": self.audio_tokens},
        }


class Response:
    """A response that was asked for; `events()` is lazy, so `cancel()` ends it early."""

    def __init__(
        self,
        response_id: str,
        asked: Asked,
        *,
        event: Callable[..., Say],
        wording: Wording,
        settings: Settings,
        fields: Mapping[str, object],
    ) -> None:
        """Answer `asked`. `event(type, **fields)` prints an event; `fields` are those of the client's request."""
        self.response_id = response_id
        self.item_id = f"item_{response_id}"
        self.over = False
        """Whether its last event was made, or it was cancelled."""
        self._cancelled: str | None = None
        self._asked = asked
        self._event = event
        self._wording = wording
        self._settings = settings
        self._fields = fields
        self._speaks = settings.speaks(fields)
        self._said: list[str] = []

    def cancel(self, reason: str) -> None:
        """End the response with its next event; `reason` is the API's word for why."""
        self._cancelled = reason
        self.over = True

    def events(self, previous_item_id: str | None) -> Iterator[Say]:
        """Return the events from `response.created` to `response.done`."""
        event, place = self._event, {"response_id": self.response_id, "output_index": 0}
        yield event("response.created", response=self._describe("in_progress"))
        yield event(
            "rate_limits.updated",
            rate_limits=[{"name": "tokens", "limit": 40000, "remaining": 39000, "reset_seconds": 1.5}],
        )
        yield event("response.output_item.added", **place, item=self._item("in_progress"))
        added, *done = self._wording.item_added
        yield event(added, previous_item_id=previous_item_id, item=self._item("in_progress"))
        yield event("response.content_part.added", **place, item_id=self.item_id, content_index=0, part=self._part(""))
        for word in self._asked.words:
            if self._cancelled is not None:
                break
            self._said.append(word)
            yield from self._deltas(word)
        yield from self._end(place, done)

    def _deltas(self, word: str) -> Iterator[Say]:
        wording = self._wording
        if not self._speaks:
            yield self._content(wording.text + ".delta", delta=word)
            return
        audio = sound_of_a_word(self._settings.output_bytes_per_second)
        yield self._content(wording.transcript + ".delta", delta=word)
        yield self._content(wording.audio + ".delta", delta=encode_base64(audio))

    def _end(self, place: Mapping[str, object], done: list[str]) -> Iterator[Say]:
        wording, event, text = self._wording, self._event, "".join(self._said)
        status = "completed" if self._cancelled is None else "cancelled"
        if self._speaks:
            yield self._content(wording.audio + ".done")
            yield self._content(wording.transcript + ".done", transcript=text)
        else:
            yield self._content(wording.text + ".done", text=text)
        part = self._part(text)
        yield event("response.content_part.done", **place, item_id=self.item_id, content_index=0, part=part)
        item = self._item("completed" if self._cancelled is None else "incomplete", text)
        yield event("response.output_item.done", **place, item=item)
        for name in done:
            yield event(name, previous_item_id=None, item=item)
        self.over = True
        yield event("response.done", response=self._describe(status, item))

    def _content(self, kind: str, **fields: object) -> Say:
        return self._event(
            "response." + kind,
            response_id=self.response_id,
            item_id=self.item_id,
            output_index=0,
            content_index=0,
            **fields,
        )

    def _part(self, text: str) -> dict[str, object]:
        return {"type": "audio", "transcript": text} if self._speaks else {"type": "text", "text": text}

    def _item(self, status: str, text: str | None = None) -> dict[str, object]:
        wording = self._wording
        content = (
            {"type": wording.audio_content, "transcript": text}
            if self._speaks
            else {"type": wording.text_content, "text": text}
        )
        return {
            "id": self.item_id,
            "object": "realtime.item",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": [] if text is None else [content],
        }

    def _describe(self, status: str, *output: dict[str, object]) -> dict[str, object]:
        details = None
        if self._cancelled is not None:
            details = {"type": "cancelled", "reason": self._cancelled}
        said = len(self._said)
        spoken = said * _AUDIO_TOKENS_OF_A_WORD if self._speaks else 0
        finished = status != "in_progress"
        return {
            "object": "realtime.response",
            "id": self.response_id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": None if self._fields.get("conversation") == "none" else "conv_mock",
            self._wording.modalities: ["audio"] if self._speaks else ["text"],
            "max_output_tokens": "inf",
            "metadata": self._fields.get("metadata"),
            "usage": Usage(self._asked, said, spoken).describe() if finished else None,
        }
