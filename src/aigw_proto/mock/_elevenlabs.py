"""ElevenLabs' speech from text that comes piece by piece: `stream-input`, and `multi-stream-input` with contexts.

Text waits until the client wants audio for it (`flush`, `try_trigger_generation`, `auto_mode`) or ends its input.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qs

from .._errors import CloseCode
from ..ws import UpgradeOffer
from ._replies import Document, json_document
from ._request import MockRequest, as_text, decode_object
from ._speech import SECONDS_OF_A_WORD, encode_base64, sound_of_a_word
from ._talk import Act, Hang, Say, Talk, say_json

__all__ = ["MultiSpeechTalk", "SpeechTalk", "audio_rate", "print_error"]

_MOST_CHARACTERS: Final = 64 * 1024  # of text that waits to be spoken
_MOST_CONTEXTS: Final = 64
_MOST_SAMPLES: Final = 192_000
_MP3_BYTES_PER_SECOND: Final = 16_000
_STATUSES: Final = {401: "invalid_api_key", 403: "missing_permissions", 404: "not_found", 429: "too_many_requests"}
_UNREADABLE: Final = (
    "Could not parse input message, make sure it is a json and follows the schema outlined in protocol."
)


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as ElevenLabs prints it."""
    del request
    kind = _STATUSES.get(status, "invalid_request" if status < 500 else "internal_error")
    return json_document({"detail": {"status": kind, "message": message}}, status)


def audio_rate(name: str) -> int:
    """Return the bytes per second of a format such as `pcm_16000`, `ulaw_8000` or `mp3_44100_128`."""
    match = re.match(r"(pcm|ulaw|alaw)_([0-9]{4,6})\Z", name)
    if match is None:
        return _MP3_BYTES_PER_SECOND
    return min(int(match[2]), _MOST_SAMPLES) * (2 if match[1] == "pcm" else 1)


class SpeechTalk(Talk):
    """`stream-input`: one text, one stream of audio, and then the end of the session."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin with the settings of the query."""
        del offer
        query = parse_qs(request.query)
        self._rate = audio_rate(query.get("output_format", ["mp3_44100_128"])[0])
        self._eager = query.get("auto_mode") == ["true"]
        self._chunks = request.chunks
        self._text = ""

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take a piece of text."""
        event = _read(message)
        if event is None:
            return _refuse()
        text = as_text(event["text"])
        if not text:
            return self._finish()
        self._text = (self._text + text)[:_MOST_CHARACTERS]
        wanted = self._eager or event.get("flush") is True or event.get("try_trigger_generation") is True
        return self._speak() if wanted else ()

    def _speak(self) -> Iterator[Act]:
        text, self._text = self._text, ""
        return (_audio(word, self._rate) for word in text.split()[: self._chunks])

    def _finish(self) -> Iterable[Act]:
        final = {"audio": None, "isFinal": True, "normalizedAlignment": None, "alignment": None}
        return (*self._speak(), say_json(final), Hang(int(CloseCode.NORMAL_CLOSURE)))


class MultiSpeechTalk(Talk):
    """`multi-stream-input`: texts in contexts, which are spoken one after the other."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin with the settings of the query."""
        del offer
        query = parse_qs(request.query)
        self._rate = audio_rate(query.get("output_format", ["mp3_44100_128"])[0])
        self._eager = query.get("auto_mode") == ["true"]
        self._chunks = request.chunks
        self._texts: dict[str, str] = {}

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take a piece of text for a context, or the end of one or of all."""
        event = _read(message, needs_text=False)
        if event is None:
            return _refuse()
        if event.get("close_socket") is True:
            return self._close_all()
        context = (as_text(event.get("context_id")) or "default")[:100]
        if event.get("close_context") is True:
            return self._close(context)
        if context not in self._texts and len(self._texts) >= _MOST_CONTEXTS:
            return _refuse("Maximum simultaneous contexts exceeded.", "max_active_conversations")
        text = self._texts.get(context, "") + as_text(event.get("text"))
        self._texts[context] = text[:_MOST_CHARACTERS]
        return self._speak(context) if self._eager or event.get("flush") is True else ()

    def _speak(self, context: str) -> Iterator[Act]:
        text = self._texts.get(context, "")
        self._texts[context] = ""
        return (_audio(word, self._rate, context) for word in text.split()[: self._chunks])

    def _close(self, context: str) -> Iterable[Act]:
        acts = [*self._speak(context), say_json({"isFinal": True, "contextId": context})]
        del self._texts[context]
        return acts

    def _close_all(self) -> Iterable[Act]:
        acts = [act for context in tuple(self._texts) for act in self._close(context)]
        return [*acts, Hang(int(CloseCode.NORMAL_CLOSURE))]


def _read(message: str | bytes, *, needs_text: bool = True) -> Mapping[str, object] | None:
    event = decode_object(message)
    if event is None or not isinstance(event.get("text", None if needs_text else ""), str):
        return None
    return event


def _refuse(reason: str = _UNREADABLE, kind: str = "invalid_input_message") -> Iterable[Act]:
    code = int(CloseCode.POLICY_VIOLATION)
    return (say_json({"message": reason, "error": kind, "code": code}), Hang(code, reason))


def _audio(word: str, rate: int, context: str | None = None) -> Say:
    characters = [*word, " "]
    length = int(SECONDS_OF_A_WORD * 1000) / len(characters)
    alignment = {
        "chars": characters,
        "charStartTimesMs": [int(index * length) for index in range(len(characters))],
        "charDurationsMs": [int(length)] * len(characters),
    }
    audio = encode_base64(sound_of_a_word(rate))
    event: dict[str, object] = {"audio": audio, "normalizedAlignment": alignment, "alignment": alignment}
    return say_json(event | ({"isFinal": None} if context is None else {"contextId": context}))
