"""OpenAI's Responses API: a response object, the events that build one up, and the same events on a WebSocket."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, count
from typing import Final

from .._kinds import record
from ..ws import UpgradeOffer
from ._replies import EventStream, Reply, sse_event, text_document
from ._request import MockRequest, as_text, decode_object, last_user_text, reply_words
from ._talk import Act, Talk, say_json

__all__ = ["ResponsesTalk", "answer_responses"]

_ID: Final = "resp_mock_"


@record
class _Events:
    """The events of one response, `delta(word)` for each of `words`; each is its type and its other fields."""

    opening: tuple[Mapping[str, object], ...]
    delta: Callable[[str], Mapping[str, object]]
    words: tuple[str, ...]
    closing: tuple[Mapping[str, object], ...]


class _Response:
    """One response: what it says, and how it is printed."""

    def __init__(self, name: str, fields: Mapping[str, object], request: MockRequest, *, silent: bool = False) -> None:
        asked = fields.get("input")
        prompt = asked if isinstance(asked, str) else last_user_text(asked)
        self.words = () if silent else reply_words(prompt, request.chunks)
        self.text = "".join(self.words)
        self._name = name
        self._fields = fields
        self._created = request.created
        self._counts = (len(prompt.split()), len(self.words))

    @staticmethod
    def _part(text: object) -> dict[str, object]:
        return {"type": "output_text", "text": text, "annotations": []}

    def _item(self, status: str, *texts: object) -> dict[str, object]:
        content = [self._part(text) for text in texts]
        name = f"msg_mock_{self._name}"
        return {"id": name, "type": "message", "status": status, "role": "assistant", "content": content}

    def _describe(self, status: str, *output: dict[str, object]) -> dict[str, object]:
        asked, answered = self._counts
        usage: dict[str, object] = {
            "input_tokens": asked,
            "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
            "output_tokens": answered,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": asked + answered,
        }
        return {
            "id": _ID + self._name,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "error": None,
            "incomplete_details": None,
            "instructions": self._fields.get("instructions"),
            "metadata": self._fields.get("metadata") or {},
            "model": as_text(self._fields.get("model")) or "mock-model",
            "output": output,
            "parallel_tool_calls": True,
            "previous_response_id": self._fields.get("previous_response_id"),
            "temperature": 1.0,
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "usage": usage if status == "completed" else None,
        }

    def document(self, text: object) -> dict[str, object]:
        """Return the whole response, saying `text`."""
        return self._describe("completed", self._item("completed", text))

    def events(self) -> _Events:
        """Return the events that build the response up."""
        place: dict[str, object] = {"item_id": f"msg_mock_{self._name}", "output_index": 0, "content_index": 0}
        begun: dict[str, object] = {"response": self._describe("in_progress")}
        created: dict[str, object] = {"type": "response.created", **begun}

        def delta(word: str) -> dict[str, object]:
            return {"type": "response.output_text.delta", **place, "delta": word, "logprobs": ()}

        if not self.words:
            return _Events(
                (created,), delta, (), ({"type": "response.completed", "response": self._describe("completed")},)
            )
        item = self._item("completed", self.text)
        return _Events(
            (
                created,
                {"type": "response.in_progress", **begun},
                {"type": "response.output_item.added", "output_index": 0, "item": self._item("in_progress")},
                {"type": "response.content_part.added", **place, "part": self._part("")},
            ),
            delta,
            self.words,
            (
                {"type": "response.output_text.done", **place, "text": self.text, "logprobs": ()},
                {"type": "response.content_part.done", **place, "part": self._part(self.text)},
                {"type": "response.output_item.done", "output_index": 0, "item": item},
                {"type": "response.completed", "response": self._describe("completed", item)},
            ),
        )


def answer_responses(request: MockRequest) -> Reply:
    """Answer `responses`: a response object, or its named events as a stream."""
    response = _Response(str(request.number), request.fields, request)
    if request.fields.get("stream") is not True:
        return text_document(response.document, response.text)
    events = response.events()
    deltas = count(len(events.opening))
    rest = len(events.opening) + len(events.words)  # a stream made longer by a fault has numbers twice: its fault

    def event(number: int, fields: Mapping[str, object]) -> bytes:
        return sse_event({"sequence_number": number, **fields}, as_text(fields["type"]))

    return EventStream(
        tuple(event(number, fields) for number, fields in enumerate(events.opening)),
        lambda word: event(next(deltas), events.delta(word)),
        events.words,
        tuple(event(number, fields) for number, fields in enumerate(events.closing, rest)),
    )


class ResponsesTalk(Talk):
    """The Responses API on a WebSocket: `response.create` has the fields of a request, and each event is a message."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin a session."""
        del offer
        self._request = request
        self._responses = count(1)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take one client event."""
        event = decode_object(message)
        if event is None:
            return self._error("The event could not be parsed: expected a JSON object.", "invalid_json", None, {})
        kind = event.get("type")
        if kind != "response.create":
            reason = f"Invalid value: '{as_text(kind)[:100]}'. Supported values are: 'response.create'."
            return self._error(reason, "invalid_value", "type", event)
        previous = event.get("previous_response_id")
        if previous is not None and not as_text(previous).startswith(_ID):
            reason = f"Previous response with id '{as_text(previous)[:100]}' not found."
            return self._error(reason, "previous_response_not_found", "previous_response_id", event)
        return self._respond(event)

    def _error(self, reason: str, code: str, param: str | None, event: Mapping[str, object]) -> Iterable[Act]:
        error = {"type": "invalid_request_error", "code": code, "message": reason, "param": param}
        return (say_json({"type": "error", "status": 400, "error": error} | _lane(event)),)

    def _respond(self, event: Mapping[str, object]) -> Iterator[Act]:
        name = f"{self._request.number}_{next(self._responses)}"
        response = _Response(name, event, self._request, silent=event.get("generate") is False)
        events, lane = response.events(), _lane(event)
        return (
            say_json({"sequence_number": number, **fields, **lane})
            for number, fields in enumerate(chain(events.opening, map(events.delta, events.words), events.closing))
        )


def _lane(event: Mapping[str, object]) -> dict[str, object]:
    """Return what tells a client's responses on one WebSocket apart, when it wants to."""
    lane = event.get("stream_id")
    return {"stream_id": lane[:100]} if isinstance(lane, str) else {}
