"""The settings of an OpenAI Realtime session, as the current API words them and as its beta did.

Settings are the JSON object itself: an update is laid over it, so a client gets back what it set, known here or not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

from .._kinds import record
from ..ws import UpgradeOffer
from ._replies import json_bytes
from ._request import MockRequest, as_list, as_mapping, as_text

__all__ = ["BETA", "CURRENT", "Settings", "Wording", "find_wording"]

_BYTES_PER_SECOND: Final = {"audio/pcm": 48_000, "pcm16": 48_000}  # at 24 kHz; G.711 has 8000
_G711_BYTES_PER_SECOND: Final = 8_000
_SESSION_SECONDS: Final = 3600
_MOST_BYTES: Final = 256 * 1024  # of all settings: beyond it an update changes nothing, and no session grows for ever
_VAD: Final[dict[str, object]] = {
    "type": "server_vad",
    "threshold": 0.5,
    "prefix_padding_ms": 300,
    "silence_duration_ms": 200,
    "create_response": True,
    "interrupt_response": True,
}


@record
class Wording:
    """What the two versions of the API call the same things. `delta` names are put between `response.` and `.delta`."""

    is_beta: bool
    modalities: str
    item_added: tuple[str, ...]
    text: str
    audio: str
    transcript: str
    text_content: str
    audio_content: str


CURRENT: Final = Wording(
    is_beta=False,
    modalities="output_modalities",
    item_added=("conversation.item.added", "conversation.item.done"),
    text="output_text",
    audio="output_audio",
    transcript="output_audio_transcript",
    text_content="output_text",
    audio_content="output_audio",
)
BETA: Final = Wording(
    is_beta=True,
    modalities="modalities",
    item_added=("conversation.item.created",),
    text="text",
    audio="audio",
    transcript="audio_transcript",
    text_content="text",
    audio_content="audio",
)


def find_wording(request: MockRequest, offer: UpgradeOffer) -> Wording:
    """Return the version of the API that an upgrade asks for, by header or by subprotocol."""
    beta = b"realtime=v1" in (request.header(b"openai-beta") or b"")
    return BETA if beta or "openai-beta.realtime-v1" in offer.subprotocols else CURRENT


class Settings:
    """The settings of one session."""

    def __init__(self, wording: Wording, request: MockRequest) -> None:
        """Begin with the API's defaults and what the query of the request says."""
        query = parse_qs(request.query)
        self.model = next(iter(query.get("model", query.get("deployment", ()))), "gpt-realtime")
        self._wording = wording
        transcribes = "transcription" in query.get("intent", ())
        head: dict[str, object] = {
            "id": f"sess_mock_{request.number}",
            "object": "realtime.transcription_session" if transcribes else "realtime.session",
            "type": "transcription" if transcribes else "realtime",
            "model": self.model,
            "expires_at": request.created + _SESSION_SECONDS,
        }
        self._fields = head | (_BETA_DEFAULTS if wording.is_beta else _DEFAULTS)
        if wording.is_beta:
            del self._fields["type"]
        self.transcribes = transcribes

    def describe(self) -> Mapping[str, object]:
        """Return the settings as the API prints them."""
        return self._fields

    def update(self, changes: Mapping[str, object]) -> None:
        """Lay changes over the settings; objects within are laid over likewise."""
        if len(json_bytes(self._fields)) + len(json_bytes(changes)) <= _MOST_BYTES:
            _lay_over(self._fields, changes)

    def speaks(self, response: Mapping[str, object]) -> bool:
        """Whether a response with these fields of its own is spoken: else it is text."""
        for fields in (response, self._fields):
            for name in ("output_modalities", "modalities"):
                if modalities := as_list(fields.get(name)):
                    return "audio" in modalities
        return True

    @property
    def instructions(self) -> str:
        """What the client told the model to be."""
        return as_text(self._fields.get("instructions"))

    @property
    def turn_detection(self) -> Mapping[str, object] | None:
        """The settings of turn detection, None when the client commits its turns itself."""
        found = self._input("turn_detection", "turn_detection")
        return as_mapping(found) if found is not None else None

    @property
    def transcription(self) -> Mapping[str, object] | None:
        """The settings of the transcription of what the client says, None when it wants none."""
        found = self._input("transcription", "input_audio_transcription")
        return as_mapping(found) if found is not None else None

    @property
    def input_bytes_per_second(self) -> int:
        """How long a byte of the client's audio is."""
        return _rate(self._input("format", "input_audio_format"))

    @property
    def output_bytes_per_second(self) -> int:
        """How long a byte of the provider's audio is."""
        if self._wording.is_beta:
            return _rate(self._fields.get("output_audio_format"))
        return _rate(as_mapping(as_mapping(self._fields.get("audio")).get("output")).get("format"))

    def _input(self, name: str, beta_name: str) -> object:
        if self._wording.is_beta:
            return self._fields.get(beta_name)
        return as_mapping(as_mapping(self._fields.get("audio")).get("input")).get(name)


_DEFAULTS: Final[dict[str, object]] = {
    "output_modalities": ["audio"],
    "instructions": "",
    "tools": [],
    "tool_choice": "auto",
    "max_output_tokens": "inf",
    "tracing": None,
    "truncation": "auto",
    "prompt": None,
    "audio": {
        "input": {
            "format": {"type": "audio/pcm", "rate": 24000},
            "transcription": None,
            "noise_reduction": None,
            "turn_detection": _VAD | {"idle_timeout_ms": None},
        },
        "output": {"format": {"type": "audio/pcm", "rate": 24000}, "voice": "marin", "speed": 1.0},
    },
    "include": None,
}
_BETA_DEFAULTS: Final[dict[str, object]] = {
    "modalities": ["audio", "text"],
    "instructions": "",
    "voice": "alloy",
    "input_audio_format": "pcm16",
    "output_audio_format": "pcm16",
    "input_audio_transcription": None,
    "input_audio_noise_reduction": None,
    "turn_detection": _VAD,
    "tools": [],
    "tool_choice": "auto",
    "temperature": 0.8,
    "max_response_output_tokens": "inf",
    "speed": 1.0,
    "tracing": None,
    "client_secret": None,
    "include": None,
}


def _rate(form: object) -> int:
    name = form if isinstance(form, str) else as_text(as_mapping(form).get("type"))
    return _BYTES_PER_SECOND.get(name, _G711_BYTES_PER_SECOND)


def _lay_over(fields: dict[str, object], changes: Mapping[str, object]) -> None:
    for name, value in changes.items():
        inner = dict(as_mapping(fields.get(name)))
        if inner and isinstance(value, dict):
            _lay_over(inner, as_mapping(changes[name]))
            fields[name] = inner
        else:
            fields[name] = value
