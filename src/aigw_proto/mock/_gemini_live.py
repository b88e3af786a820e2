"""Google's Live API: a setup, turns in text or audio, and answers as JSON in binary frames.

Both spellings of a field are understood (`clientContent`, `client_content`), as the real API does. It has no event for
errors: what it cannot understand makes it close with 1007 and say why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from .._errors import CloseCode
from .._kinds import record
from ..ws import UpgradeOffer
from ._request import MockRequest, as_list, as_mapping, as_text, decode_object, last_user_text, reply_words
from ._speech import Ear, Sound, decode_base64, encode_base64, sound_of_a_word
from ._talk import Act, Hang, Say, Talk, say_json

__all__ = ["LiveTalk"]

_INPUT_BYTES_PER_SECOND: Final = 32_000
_OUTPUT_BYTES_PER_SECOND: Final = 48_000
_TOKENS_OF_A_SECOND: Final = 25
_TOKENS_OF_A_SPOKEN_WORD: Final = 3
_CLIENT_MESSAGES: Final = ("setup", "clientContent", "realtimeInput", "toolResponse")

_Fields = Mapping[str, object]


def _field(fields: _Fields, name: str) -> object:
    """Return a field by its name in camel case or in snake case."""
    if name in fields:
        return fields[name]
    return fields.get("".join("_" + letter.lower() if letter.isupper() else letter for letter in name))


@record
class _Setup:
    """What the setup says that makes a difference here."""

    speaks: bool
    detects_turns: bool
    transcribes_input: bool
    transcribes_output: bool


def _read_setup(fields: _Fields) -> _Setup:
    generation = as_mapping(_field(fields, "generationConfig"))
    modalities = as_list(_field(generation, "responseModalities")) or as_list(_field(fields, "responseModalities"))
    detection = _field(as_mapping(_field(fields, "realtimeInputConfig")), "automaticActivityDetection")
    return _Setup(
        speaks="TEXT" not in modalities,
        detects_turns=as_mapping(detection).get("disabled") is not True,
        transcribes_input=_field(fields, "inputAudioTranscription") is not None,
        transcribes_output=_field(fields, "outputAudioTranscription") is not None,
    )


class _Turn:
    """One answer under way."""

    def __init__(self, prompt: str, audio_tokens: int = 0, heard: str | None = None) -> None:
        """Answer `prompt`; `heard` is the transcript that the client wants of what it said."""
        self.interrupted = False
        self.prompt = prompt
        self.audio_tokens = audio_tokens
        self.heard = heard


class LiveTalk(Talk):
    """One session of the Live API."""

    def __init__(self, request: MockRequest, offer: UpgradeOffer) -> None:
        """Wait for the setup."""
        del offer
        self._chunks = request.chunks
        self._setup: _Setup | None = None
        self._ear = Ear(_INPUT_BYTES_PER_SECOND)
        self._prompt = ""
        self._turn = _Turn("")

    def hear(self, message: str | bytes) -> Iterable[Act]:
        """Take one client message."""
        fields = decode_object(message)
        if fields is None:
            return _refuse("Invalid JSON payload received. Expected an object")
        kind = next((name for name in _CLIENT_MESSAGES if isinstance(_field(fields, name), dict)), None)
        if kind is None:
            name = next(iter(fields), "")
            return _refuse(f'Invalid JSON payload received. Unknown name "{name[:60]}": Cannot find field.')
        content = as_mapping(_field(fields, kind))
        if kind == "setup" and self._setup is None:
            self._setup = _read_setup(content)
            return [_say({"setupComplete": {}})]
        if kind == "setup" or self._setup is None:
            return _refuse("setup must be the first message and only the first")
        if kind == "clientContent":
            return self._on_client_content(content, self._setup)
        if kind == "realtimeInput":
            return self._on_realtime_input(content, self._setup)
        return self._respond(_Turn("a tool's response"), self._setup)

    # --- what the client says ----------------------------------------------------------------------------------------

    def _on_client_content(self, content: _Fields, setup: _Setup) -> Iterable[Act]:
        self._turn.interrupted = True
        turns = as_list(content.get("turns"))
        if turns:
            self._prompt = last_user_text(turns)
        return self._respond(_Turn(self._prompt), setup) if _field(content, "turnComplete") is True else ()

    def _on_realtime_input(self, content: _Fields, setup: _Setup) -> Iterable[Act]:
        text = content.get("text")
        if isinstance(text, str):
            return self._respond(_Turn(text), setup)
        if _field(content, "audioStreamEnd") is True or _field(content, "activityEnd") is not None:
            return self._end_speech(setup) if self._ear.turn_bytes else ()
        for blob in (content.get("audio"), *as_list(_field(content, "mediaChunks"))):
            kind = as_text(_field(as_mapping(blob), "mimeType"))
            if not kind.startswith("audio/"):
                continue
            audio = decode_base64(as_mapping(blob).get("data"))
            if audio is None:
                return _refuse("Invalid value at 'realtime_input.audio.data' (TYPE_BYTES), Base64 decoding failed")
            heard = self._ear.hear(audio)
            if heard is Sound.BEGINNING:
                self._turn.interrupted = True
            elif heard is Sound.END and setup.detects_turns:
                return self._end_speech(setup)
        return ()

    def _end_speech(self, setup: _Setup) -> Iterator[Act]:
        tokens = max(1, int(self._ear.turn_seconds * _TOKENS_OF_A_SECOND))
        transcript = self._ear.take()
        return self._respond(_Turn(transcript, tokens, transcript if setup.transcribes_input else None), setup)

    # --- what the model answers --------------------------------------------------------------------------------------

    def _respond(self, turn: _Turn, setup: _Setup) -> Iterator[Act]:
        self._turn = turn
        return self._say_turn(turn, setup)

    def _say_turn(self, turn: _Turn, setup: _Setup) -> Iterator[Act]:
        said = 0
        if turn.heard is not None:
            yield _say({"serverContent": {"inputTranscription": {"text": turn.heard}}})
        for word in reply_words(turn.prompt, self._chunks):
            if turn.interrupted:
                yield _say({"serverContent": {"interrupted": True}})
                break
            said += 1
            yield from _say_word(word, setup)
        else:
            yield _say({"serverContent": {"generationComplete": True}})
        written = 0 if turn.audio_tokens else len(turn.prompt.split())
        usage = _usage(written, turn.audio_tokens, said, speaks=setup.speaks)
        yield _say({"serverContent": {"turnComplete": True}, "usageMetadata": usage})


def _say_word(word: str, setup: _Setup) -> Iterator[Act]:
    part: dict[str, object] = {"text": word}
    if setup.speaks:
        data = encode_base64(sound_of_a_word(_OUTPUT_BYTES_PER_SECOND))
        part = {"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": data}}
    yield _say({"serverContent": {"modelTurn": {"parts": [part]}}})
    if setup.speaks and setup.transcribes_output:
        yield _say({"serverContent": {"outputTranscription": {"text": word}}})


def _usage(text: int, audio: int, said: int, *, speaks: bool) -> dict[str, object]:
    answered = said * _TOKENS_OF_A_SPOKEN_WORD if speaks else said
    asked = {"modality": "AUDIO", "tokenCount": audio} if audio else {"modality": "TEXT", "tokenCount": text}
    return {
        "promptTokenCount": text + audio,
        "responseTokenCount": answered,
        "totalTokenCount": text + audio + answered,
        "promptTokensDetails": [asked],
        "responseTokensDetails": [{"modality": "AUDIO" if speaks else "TEXT", "tokenCount": answered}],
    }


def _say(value: _Fields) -> Say:
    return say_json(value, text=False)


def _refuse(reason: str) -> Iterable[Act]:
    return (Hang(int(CloseCode.INVALID_PAYLOAD_DATA), reason),)
