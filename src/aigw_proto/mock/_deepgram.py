"""Deepgram: transcription (`/v1/listen`), transcription by turns (`/v2/listen`, Flux) and speech (`/v1/speak`).

Workers AI offers the same models in the same language.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final
from urllib.parse import parse_qs

from .._errors import CloseCode
from ..ws import UpgradeOffer
from ._replies import Document, json_document
from ._request import MockRequest, as_text, decode_object
from ._speech import Ear, Sound, sound_of_a_word
from ._talk import Act, Hang, Say, Talk, say_json

__all__ = ["FluxTalk", "ListenTalk", "SpeakTalk", "print_error"]

_SAMPLE_BYTES: Final = {"linear32": 4, "mulaw": 1, "alaw": 1}
_DEFAULT_SAMPLE_BYTES: Final = 2
_LISTEN_RATE: Final = 16_000
_SPEAK_RATE: Final = 24_000
_MOST_SAMPLES: Final = 192_000
_MOST_CHANNELS: Final = 16
_SECONDS_OF_AN_INTERIM: Final = 0.5
_SECONDS_OF_AN_UPDATE: Final = 0.25
_MOST_CHARACTERS: Final = 64 * 1024  # of text that waits to be spoken
_ERROR_CODES: Final = {401: "INVALID_AUTH", 402: "ASR_PAYMENT_REQUIRED", 429: "TOO_MANY_REQUESTS"}
_CONFIDENCE: Final = 0.99


def print_error(status: int, message: str, request: MockRequest) -> Document:
    """Return an error body as Deepgram prints it."""
    code = _ERROR_CODES.get(status, "Bad Request" if status < 500 else "INTERNAL_SERVER_ERROR")
    return json_document({"err_code": code, "err_msg": message, "request_id": _request_id(request)}, status)


def _request_id(request: MockRequest) -> str:
    return f"00000000-0000-4000-8000-{request.number:012d}"


class _Query:
    """The query of an upgrade, which holds all settings."""

    def __init__(self, request: MockRequest) -> None:
        self._values = parse_qs(request.query, keep_blank_values=True)

    def text(self, name: str, default: str = "") -> str:
        return self._values.get(name, [default])[0]

    def number(self, name: str, default: int) -> int:
        text = self.text(name)
        return min(int(text), _MOST_SAMPLES) if re.fullmatch(r"[0-9]{1,6}", text) else default

    def bytes_per_second(self, rate: int) -> int:
        size = _SAMPLE_BYTES.get(self.text("encoding"), _DEFAULT_SAMPLE_BYTES)
        return self.number("sample_rate", rate) * size * min(max(1, self.number("channels", 1)), _MOST_CHANNELS)


def _words(transcript: str, start: float, duration: float) -> list[dict[str, object]]:
    found = transcript.split()
    length = duration / max(1, len(found))
    return [
        {
            "word": word,
            "punctuated_word": word,
            "start": round(start + index * length, 3),
            "end": round(start + (index + 1) * length, 3),
            "confidence": _CONFIDENCE,
        }
        for index, word in enumerate(found)
    ]


class ListenTalk(Talk):
    """Transcription of a stream of audio."""

    subprotocols = ("token", "bearer")

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin with the settings of the query."""
        del offer
        self._query = _Query(request)
        self._request_id = _request_id(request)
        self._created = dt.datetime.fromtimestamp(request.created, dt.UTC)
        self._ear = Ear(self._query.bytes_per_second(_LISTEN_RATE))
        self._start = 0.0
        self._reported = 0.0

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take audio, or a control message."""
        if isinstance(message, bytes):
            return self._hear_audio(message) if message else self._close()
        kind = (decode_object(message) or {}).get("type")
        match kind:
            case "KeepAlive":
                return ()
            case "Finalize":
                return self._results(final=True, from_finalize=True)
            case "CloseStream":
                return self._close()
            case "Configure":
                return (say_json({"type": "ConfigureSuccess", "request_id": self._request_id}),)
            case _:
                description = "Could not deserialize last text message: expected KeepAlive, Finalize or CloseStream"
                fields = {"variant": "UNPARSABLE_CLIENT_MESSAGE", "description": description}
                return (say_json({"type": "Error", **fields, "message": as_text(kind)[:100]}),)

    def _hear_audio(self, audio: bytes) -> Iterable[Act]:
        match self._ear.hear(audio):
            case Sound.END:
                return self._results(final=True)
            case Sound.BEGINNING if self._query.text("vad_events") == "true":
                return (say_json({"type": "SpeechStarted", "channel": [0], "timestamp": round(self._start, 3)}),)
            case _:
                return self._interim()

    def _interim(self) -> Iterable[Act]:
        wanted = self._query.text("interim_results") == "true"
        if not wanted or not self._ear.speaking or self._ear.seconds - self._reported < _SECONDS_OF_AN_INTERIM:
            return ()
        self._reported = self._ear.seconds
        return (self._print(f"{self._ear.turn_bytes} bytes", final=False, from_finalize=False),)

    def _results(self, *, final: bool, from_finalize: bool = False) -> Iterable[Act]:
        transcript = f"{self._ear.turn_bytes} bytes of audio" if self._ear.turn_bytes else ""
        acts: list[Act] = [self._print(transcript, final=final, from_finalize=from_finalize)]
        self._ear.forget()
        self._start = self._reported = self._ear.seconds
        if self._query.text("utterance_end_ms") and not from_finalize:
            acts.append(say_json({"type": "UtteranceEnd", "channel": [0, 1], "last_word_end": round(self._start, 3)}))
        return acts

    def _print(self, transcript: str, *, final: bool, from_finalize: bool) -> Say:
        duration = self._ear.seconds - self._start
        words = _words(transcript, self._start, duration)
        alternative = {"transcript": transcript, "confidence": _CONFIDENCE if transcript else 0.0, "words": words}
        return say_json(
            {
                "type": "Results",
                "channel_index": [0, 1],
                "duration": round(duration, 3),
                "start": round(self._start, 3),
                "is_final": final,
                "speech_final": final and not from_finalize,
                "from_finalize": from_finalize,
                "channel": {"alternatives": [alternative]},
                "metadata": {
                    "request_id": self._request_id,
                    "model_info": self._model(),
                    "model_uuid": self._request_id,
                },
            }
        )

    def _model(self) -> dict[str, object]:
        model = self._query.text("model", "nova-3").rpartition("/")[2]
        return {"name": model, "version": "2026-01-01.0", "arch": model}

    def _close(self) -> Iterable[Act]:
        acts = [*(self._results(final=True) if self._ear.turn_bytes else ())]
        metadata: dict[str, object] = {
            "type": "Metadata",
            "transaction_key": "deprecated",
            "request_id": self._request_id,
            "sha256": "0" * 64,
            "created": self._created.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "duration": round(self._ear.seconds, 3),
            "channels": 1,
            "models": [self._request_id],
            "model_info": {self._request_id: self._model()},
        }
        return [*acts, say_json(metadata), Hang(int(CloseCode.NORMAL_CLOSURE))]


class FluxTalk(Talk):
    """Transcription by turns."""

    subprotocols = ("token", "bearer")

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin with the settings of the query."""
        del offer
        self._query = _Query(request)
        self._request_id = _request_id(request)
        self._ear = Ear(self._query.bytes_per_second(_LISTEN_RATE))
        self._sequence = 0
        self._turn = 0
        self._start = 0.0
        self._reported = 0.0

    def greet(self) -> Iterable[Act]:
        """Return `Connected`."""
        return (self._print("Connected"),)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take audio, or a control message."""
        if isinstance(message, bytes):
            return self._hear_audio(message)
        kind = (decode_object(message) or {}).get("type")
        match kind:
            case "CloseStream":
                return [*self._end_turn(), Hang(int(CloseCode.NORMAL_CLOSURE))]
            case "ForceEndTurn":
                return self._end_turn()
            case "KeepAlive":
                return ()
            case "Configure":
                return (self._print("ConfigureSuccess", thresholds={}, keyterms=[]),)
            case _:
                description = "Could not deserialize last text message"
                error = self._print("Error", code="UNPARSABLE_CLIENT_MESSAGE", description=description)
                return (error, Hang(int(CloseCode.POLICY_VIOLATION), description))

    def _hear_audio(self, audio: bytes) -> Iterable[Act]:
        match self._ear.hear(audio):
            case Sound.BEGINNING:
                self._reported = self._ear.seconds
                return (self._info("StartOfTurn"),)
            case Sound.END:
                return self._end_turn()
            case Sound.SPEECH if self._ear.seconds - self._reported >= _SECONDS_OF_AN_UPDATE:
                self._reported = self._ear.seconds
                return (self._info("Update"),)
            case _:
                return ()

    def _end_turn(self) -> list[Act]:
        if not self._ear.turn_bytes:
            return []
        acts: list[Act] = [self._info("EagerEndOfTurn")] if self._query.text("eager_eot_threshold") else []
        acts.append(self._info("EndOfTurn"))
        self._ear.forget()
        self._turn += 1
        self._start = self._ear.seconds
        return acts

    def _info(self, event: str) -> Say:
        transcript = f"{self._ear.turn_bytes} bytes of audio"
        return self._print(
            "TurnInfo",
            event=event,
            turn_index=self._turn,
            audio_window_start=round(self._start, 3),
            audio_window_end=round(self._ear.seconds, 3),
            transcript=transcript,
            words=[{"word": word, "confidence": _CONFIDENCE} for word in transcript.split()],
            end_of_turn_confidence=_CONFIDENCE if event == "EndOfTurn" else 0.1,
        )

    def _print(self, kind: str, **fields: object) -> Say:
        sequence, self._sequence = self._sequence, self._sequence + 1
        return say_json({"type": kind, "request_id": self._request_id, "sequence_id": sequence, **fields})


class SpeakTalk(Talk):
    """Speech from text that comes piece by piece."""

    subprotocols = ("token", "bearer")

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin with the settings of the query."""
        del offer
        query = _Query(request)
        self._bytes_per_second = query.bytes_per_second(_SPEAK_RATE)
        self._model = query.text("model", "aura-2-thalia-en").rpartition("/")[2]
        self._request_id = _request_id(request)
        self._chunks = request.chunks
        self._text = ""
        self._sequence = 0
        self._cleared = 0

    def greet(self) -> Iterable[Act]:
        """Return `Metadata`."""
        names = {"model_name": self._model, "model_version": "2026-01-01.0", "model_uuid": self._request_id}
        return (say_json({"type": "Metadata", "request_id": self._request_id, **names}),)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take text to speak, or a control message."""
        event: Mapping[str, object] = (decode_object(message) if isinstance(message, str) else None) or {}
        match event.get("type"):
            case "Speak" if isinstance(event.get("text"), str):
                self._text = (self._text + as_text(event["text"]))[:_MOST_CHARACTERS]
                return ()
            case "Flush":
                return self._flush()
            case "Clear":
                self._text = ""
                self._cleared += 1
                return (self._count("Cleared"),)
            case "Close":
                return self._close()
            case _:
                description = "Could not deserialize last text message: expected Speak, Flush, Clear or Close"
                code = "UNPARSABLE_CLIENT_MESSAGE"
                return (say_json({"type": "Warning", "description": description, "code": code}),)

    def _flush(self) -> Iterator[Act]:
        text, self._text = self._text, ""
        return self._speak(text, self._cleared)

    def _speak(self, text: str, cleared: int) -> Iterator[Act]:
        audio = sound_of_a_word(self._bytes_per_second)
        for _ in range(self._chunks or len(text.split())):
            if cleared != self._cleared:
                return
            yield Say(audio, text=False)
        yield self._count("Flushed")

    def _close(self) -> Iterator[Act]:
        if self._text:
            yield from self._flush()
        yield Hang(int(CloseCode.NORMAL_CLOSURE))

    def _count(self, kind: str) -> Say:
        sequence, self._sequence = self._sequence, self._sequence + 1
        return say_json({"type": kind, "sequence_id": sequence})
