"""ElevenLabs' agents (`convai/conversation`) and its transcription (`speech-to-text/realtime`)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final
from urllib.parse import parse_qs

from .._errors import CloseCode
from ..ws import UpgradeOffer
from ._elevenlabs import audio_rate
from ._request import MockRequest, as_text, decode_object, reply_words
from ._speech import Ear, Sound, decode_base64, encode_base64, sound_of_a_word
from ._talk import Act, Hang, Say, Talk, say_json

__all__ = ["AgentTalk", "ScribeTalk"]

_FORMAT: Final = "pcm_16000"
_SECONDS_OF_A_PARTIAL: Final = 0.5
_QUIET: Final = frozenset(
    {"pong", "user_activity", "contextual_update", "client_tool_result", "conversation_initiation_client_data"}
)


class AgentTalk(Talk):
    """A conversation with an agent, in text or audio."""

    subprotocols = ("convai",)

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin a conversation."""
        del offer
        self._name = f"conv_mock_{request.number}"
        self._chunks = request.chunks
        self._ear = Ear(audio_rate(_FORMAT))
        self._events = count(1)
        self._interrupted = 0

    def greet(self) -> Iterable[Act]:
        """Return the metadata of the conversation, and a ping."""
        metadata = {
            "conversation_id": self._name,
            "agent_output_audio_format": _FORMAT,
            "user_input_audio_format": _FORMAT,
        }
        kind = "conversation_initiation_metadata"
        ping = {"event_id": next(self._events), "ping_ms": 20}
        return (
            say_json({"type": kind, "conversation_initiation_metadata_event": metadata}),
            say_json({"type": "ping", "ping_event": ping}),
        )

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take a message of the user, or a piece of audio."""
        event = decode_object(message)
        if event is None:
            return _refuse("Invalid message received: expected a JSON object")
        kind = event.get("type")
        if "user_audio_chunk" in event:
            audio = decode_base64(event["user_audio_chunk"])
            return _refuse("Invalid audio chunk: expected base64") if audio is None else self._hear_audio(audio)
        if kind == "user_message" and isinstance(event.get("text"), str):
            return self._respond(as_text(event["text"]), heard=False)
        return () if kind in _QUIET else _refuse(f"Invalid message received: {as_text(kind)[:60]!r}")

    def _hear_audio(self, audio: bytes) -> Iterable[Act]:
        heard = self._ear.hear(audio)
        if heard is Sound.BEGINNING:
            self._interrupted += 1
        return self._respond(self._ear.take(), heard=True) if heard is Sound.END else ()

    def _respond(self, prompt: str, *, heard: bool) -> Iterator[Act]:
        words, turn = reply_words(prompt, self._chunks), self._interrupted
        if heard:
            yield say_json({"type": "user_transcript", "user_transcription_event": {"user_transcript": prompt}})
        event_id = next(self._events)
        answer = {"agent_response": "".join(words), "event_id": event_id}
        yield say_json({"type": "agent_response", "agent_response_event": answer})
        for _ in words:
            if turn != self._interrupted:
                yield say_json({"type": "interruption", "interruption_event": {"event_id": event_id}})
                return
            audio = encode_base64(sound_of_a_word(audio_rate(_FORMAT)))
            yield say_json({"type": "audio", "audio_event": {"audio_base_64": audio, "event_id": event_id}})


class ScribeTalk(Talk):
    """Transcription of what the client says, committed by it or at silence."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Begin with the settings of the query."""
        del offer
        query = {name: values[0] for name, values in parse_qs(request.query).items()}
        self._format = query.get("audio_format", _FORMAT)
        self._model = query.get("model_id", "scribe_v2_realtime")
        self._detects_turns = query.get("commit_strategy") == "vad"
        self._timestamps = query.get("include_timestamps") == "true"
        self._name = f"sess_mock_{request.number}"
        self._ear = Ear(audio_rate(self._format))
        self._reported = 0.0

    def greet(self) -> Iterable[Act]:
        """Return `session_started`."""
        config = {
            "sample_rate": audio_rate(self._format) // 2,
            "audio_format": self._format,
            "model_id": self._model,
            "commit_strategy": "vad" if self._detects_turns else "manual",
            "include_timestamps": self._timestamps,
        }
        return (_print("session_started", session_id=self._name, config=config),)

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take a chunk of audio."""
        event = decode_object(message) or {}
        if event.get("message_type") != "input_audio_chunk":
            return (_print("input_error", error="Invalid message: expected message_type input_audio_chunk"),)
        audio = decode_base64(event.get("audio_base_64"))
        if audio is None:
            return (_print("input_error", error="Invalid audio_base_64: expected base64"),)
        heard = self._ear.hear(audio) if audio else Sound.NOTHING
        if event.get("commit") is True or (self._detects_turns and heard is Sound.END):
            return self._commit()
        if self._ear.speaking and self._ear.seconds - self._reported >= _SECONDS_OF_A_PARTIAL:
            self._reported = self._ear.seconds
            return (_print("partial_transcript", text=f"{self._ear.turn_bytes} bytes"),)
        return ()

    def _commit(self) -> Iterable[Act]:
        length = self._ear.turn_seconds
        text = self._ear.take()
        self._reported = self._ear.seconds
        acts = [_print("committed_transcript", text=text)]
        if self._timestamps:
            words = [{"text": text, "start": 0.0, "end": round(length, 3), "type": "word"}]
            acts.append(_print("committed_transcript_with_timestamps", text=text, language_code="en", words=words))
        return acts


def _print(kind: str, **fields: object) -> Say:
    return say_json({"message_type": kind, **fields})


def _refuse(reason: str) -> Iterable[Act]:
    return (Hang(int(CloseCode.POLICY_VIOLATION), reason),)
