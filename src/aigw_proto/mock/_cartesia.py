"""Cartesia: speech in contexts (`tts/websocket`), and transcription by command or by turns (`stt/...`)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qs

from .._errors import CloseCode
from ..ws import UpgradeOffer
from ._replies import Document, json_document
from ._request import MockRequest, as_mapping, as_text, decode_object
from ._speech import SECONDS_OF_A_WORD, Ear, Sound, encode_base64, sound_of_a_word
from ._talk import Act, Hang, Say, Talk, say_json

__all__ = ["ManualTalk", "SpeechTalk", "TurnsTalk", "print_error"]

_SAMPLE_BYTES: Final = {"pcm_f32le": 4, "pcm_s32le": 4, "pcm_s16le": 2, "pcm_mulaw": 1, "pcm_alaw": 1}
_DEFAULT_RATE: Final = 16_000
_MOST_SAMPLES: Final = 192_000
_MOST_CONTEXTS: Final = 64
_SECONDS_OF_AN_UPDATE: Final = 0.5
_TITLES: Final = {401: "Unauthorized", 402: "Payment required", 404: "Not found", 429: "Too many requests"}
_PARTIAL: Final = 206
_BAD_REQUEST: Final = 400


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as Cartesia prints it."""
    return json_document(_error(status, message, request.number), status)


def _error(status: int, message: str, number: int) -> dict[str, object]:
    title = _TITLES.get(status, "Bad request" if status < 500 else "Internal server error")
    code = title.lower().replace(" ", "_")
    fields = {"message": message, "error_code": code, "status_code": status, "request_id": f"req_mock_{number}"}
    return {"type": "error", "done": True, "title": title, **fields}


def _rate(encoding: object, samples: object) -> int:
    if isinstance(samples, str) and re.fullmatch(r"[0-9]{1,6}", samples):
        samples = int(samples)
    rate = samples if isinstance(samples, int) and 0 < samples <= _MOST_SAMPLES else _DEFAULT_RATE
    return rate * _SAMPLE_BYTES.get(as_text(encoding), 2)


class _Context:
    """One stretch of speech: its inputs are spoken in order, with one clock and one count of flushes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cancelled = False
        self.spoken = 0
        self.flush = 1


class SpeechTalk(Talk):
    """Speech in contexts."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin without a context."""
        del offer
        self._number = request.number
        self._chunks = request.chunks
        self._contexts: dict[str, _Context] = {}

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take the input of a context, or its end."""
        event = decode_object(message)
        if event is None:
            return (say_json(_error(_BAD_REQUEST, "The message is not a JSON object.", self._number)),)
        name = as_text(event.get("context_id"))[:100]
        if event.get("cancel") is True:
            return self._cancel(name)
        if not isinstance(event.get("transcript"), str):
            return self._refuse(name, "The transcript is missing.")
        context = self._contexts.get(name)
        if context is None:
            if len(self._contexts) >= _MOST_CONTEXTS:
                return self._refuse(name, "There are too many contexts.")
            context = self._contexts[name] = _Context(name)
        goes_on = event.get("continue") is True
        if not goes_on:
            del self._contexts[name]
        return self._speak(context, event, goes_on=goes_on)

    def _refuse(self, name: str, reason: str) -> Iterable[Act]:
        return (say_json(_error(_BAD_REQUEST, reason, self._number) | {"context_id": name}),)

    def _cancel(self, name: str) -> Iterable[Act]:
        context = self._contexts.pop(name, None)
        if context is not None:
            context.cancelled = True
        return (_print(_Context(name), "done", done=True),)

    def _speak(self, context: _Context, event: Mapping[str, object], *, goes_on: bool) -> Iterator[Act]:
        form = as_mapping(event.get("output_format"))
        audio = encode_base64(sound_of_a_word(_rate(form.get("encoding"), form.get("sample_rate"))))
        words = as_text(event["transcript"]).split()[: self._chunks]
        timed, flushes = event.get("add_timestamps") is True, event.get("flush") is True
        return _speak(context, words, audio, timed=timed, flushes=flushes, goes_on=goes_on)


def _speak(
    context: _Context, words: list[str], audio: str, *, timed: bool, flushes: bool, goes_on: bool
) -> Iterator[Act]:
    for word in words:
        if context.cancelled:
            return
        start = context.spoken * SECONDS_OF_A_WORD
        context.spoken += 1
        yield _print(context, "chunk", data=audio, step_time=1.0, flush_id=context.flush)
        if timed:
            times = {"words": [word], "start": [round(start, 3)], "end": [round(start + SECONDS_OF_A_WORD, 3)]}
            yield _print(context, "timestamps", word_timestamps=times, flush_id=context.flush)
    if flushes:
        yield _print(context, "flush_done", flush_done=True, flush_id=context.flush)
        context.flush += 1
    if not goes_on:
        yield _print(context, "done", done=True)


def _print(context: _Context, kind: str, *, done: bool = False, **fields: object) -> Say:
    head: dict[str, object] = {"type": kind, "done": done, "status_code": _PARTIAL, "context_id": context.name}
    return say_json(head | fields)


class _Transcription(Talk):
    """What both kinds of transcription share."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        del offer
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        self._name = f"req_mock_{request.number}"
        self._number = request.number
        self._ear = Ear(_rate(query.get("encoding"), query.get("sample_rate")))

    def _print(self, kind: str, **fields: object) -> Say:
        return say_json({"type": kind, "request_id": self._name, **fields})

    def _refuse(self, message: str) -> Iterable[Act]:
        reason = f"Unknown command: {message[:60]!r}."
        return (say_json(_error(_BAD_REQUEST, reason, self._number)),)


class ManualTalk(_Transcription):
    """Transcription when the client says so: the commands are bare words."""

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take audio, or a command."""
        if isinstance(message, bytes):
            self._ear.hear(message)
            return ()
        match message.strip().strip('"'):
            case "finalize":
                return [*self._transcript(), self._print("flush_done")]
            case "close" | "done":
                return [*self._transcript(), self._print("done"), Hang(int(CloseCode.NORMAL_CLOSURE))]
            case command:
                return self._refuse(command)

    def _transcript(self) -> Iterable[Act]:
        if not self._ear.turn_bytes:
            return ()
        length = self._ear.turn_seconds
        text = self._ear.take()
        found = text.split()
        each = length / len(found)
        words = [
            {"word": word, "start": round(index * each, 3), "end": round((index + 1) * each, 3)}
            for index, word in enumerate(found)
        ]
        return (
            self._print("transcript", is_final=True, text=text, duration=round(length, 3), language="en", words=words),
        )


class TurnsTalk(_Transcription):
    """Transcription by turns."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin with the settings of the query."""
        super().__init__(request, offer)
        self._reported = 0.0

    def greet(self) -> Iterable[Act]:
        """Return `connected`."""
        return (self._print("connected"),)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take audio, or a command."""
        if isinstance(message, bytes):
            return self._hear_audio(message)
        match (decode_object(message) or {}).get("type"):
            case "close":
                return [*self._end(), Hang(int(CloseCode.NORMAL_CLOSURE))]
            case "config":
                return ()
            case _:
                return self._refuse(message)

    def _hear_audio(self, audio: bytes) -> Iterable[Act]:
        match self._ear.hear(audio):
            case Sound.BEGINNING:
                self._reported = self._ear.seconds
                return (self._print("turn.start"),)
            case Sound.END:
                return self._end()
            case Sound.SPEECH if self._ear.seconds - self._reported >= _SECONDS_OF_AN_UPDATE:
                self._reported = self._ear.seconds
                return (self._print("turn.update", transcript=f"{self._ear.turn_bytes} bytes"),)
            case _:
                return ()

    def _end(self) -> Iterable[Act]:
        return (self._print("turn.end", transcript=self._ear.take()),) if self._ear.turn_bytes else ()
