"""The events of the speech providers that end a turn, and what some of them count: seconds of audio, or characters."""

from __future__ import annotations

from typing import Final

import msgspec

from ._usage import Report, Slice, as_count, as_name, as_object, as_seconds, decode, plain

__all__ = [
    "AGENT_EVENTS",
    "CARTESIA_EVENTS",
    "DEEPGRAM_EVENTS",
    "DEEPGRAM_MARKS",
    "ELEVENLABS_MARKS",
    "FAL_EVENTS",
    "read_agent",
    "read_cartesia",
    "read_deepgram",
    "read_elevenlabs",
    "read_fal",
]

_MILLISECONDS = 1000

DEEPGRAM_EVENTS: Final = frozenset(
    {
        "Results",
        "UtteranceEnd",
        "Metadata",
        "Connected",
        "TurnInfo",
        "Flushed",
        "Cleared",
        "SpeechMetadata",
        "SpeechInterrupted",
        "Welcome",
        "AgentAudioDone",
    }
)
DEEPGRAM_MARKS: Final = (b'"EndOfTurn"', b'"is_final":true', b'"is_final": true')  # Workers AI leaves the names out
CARTESIA_EVENTS: Final = frozenset({"done", "error", "flush_done", "transcript", "turn.end"})
AGENT_EVENTS: Final = frozenset({"conversation_initiation_metadata", "agent_response"})
FAL_EVENTS: Final = frozenset({"end", "x-fal-error"})
ELEVENLABS_MARKS: Final = (b'"isFinal":true', b'"isFinal": true', b'"committed_transcript"', b'"session_started"')


class _Event(msgspec.Struct):
    """All members that are looked at in any of these dialects."""

    type: Slice = msgspec.UNSET
    message_type: Slice = msgspec.UNSET
    request_id: Slice = msgspec.UNSET
    metadata: Slice = msgspec.UNSET
    model_name: Slice = msgspec.UNSET
    start: Slice = msgspec.UNSET
    duration: Slice = msgspec.UNSET
    is_final: Slice = msgspec.UNSET
    speech_final: Slice = msgspec.UNSET
    from_finalize: Slice = msgspec.UNSET
    event: Slice = msgspec.UNSET
    audio_window_end: Slice = msgspec.UNSET
    speech_id: Slice = msgspec.UNSET
    audio_duration_ms: Slice = msgspec.UNSET
    billable_character_count: Slice = msgspec.UNSET
    context_id: Slice = msgspec.UNSET
    done: Slice = msgspec.UNSET
    status_code: Slice = msgspec.UNSET
    status: Slice = msgspec.UNSET
    error: Slice = msgspec.UNSET
    isFinal: Slice = msgspec.UNSET  # noqa: N815 - the key's name on the wire
    contextId: Slice = msgspec.UNSET  # noqa: N815 - the key's name on the wire
    session_id: Slice = msgspec.UNSET
    config: Slice = msgspec.UNSET
    conversation_initiation_metadata_event: Slice = msgspec.UNSET


_EVENT: Final = msgspec.json.Decoder(_Event)


def read_deepgram(data: bytes) -> Report | None:
    """Read an event of Deepgram: of either version of listen and speak, or of its agent."""
    event = decode(_EVENT, data)
    name = None if event is None else _deepgram_name(event)
    if event is None or not isinstance(name, str) or name not in DEEPGRAM_EVENTS:
        return None
    match name:
        case "Results":
            return _read_results(event)
        case "Metadata" if (duration := as_seconds(plain(event.duration))) is not None:
            return Report(event=name, ends_turn=True, response_id=_id(event.request_id), audio_until=duration)
        case "Metadata" | "Connected" | "Welcome":
            return Report(event=name, response_id=_id(event.request_id), model=as_name(plain(event.model_name)))
        case "TurnInfo":
            return Report(
                event=name,
                ends_turn=plain(event.event) == "EndOfTurn",
                response_id=_id(event.request_id),
                audio_until=as_seconds(plain(event.audio_window_end)),
            )
        case "SpeechMetadata":
            return _read_speech(name, event)
        case "SpeechInterrupted":
            return _read_speech(name, decode(_EVENT, event.metadata) or _Event(), status="interrupted")
        case "Flushed":
            # with a speech_id it only confirms the flush; SpeechMetadata ends the turn
            return Report(event=name, ends_turn=isinstance(event.speech_id, msgspec.UnsetType))
        case "Cleared":
            return Report(event=name, ends_turn=True, status="cleared")
        case _:
            return Report(event=name, ends_turn=True, if_counted=name == "UtteranceEnd")


def _deepgram_name(event: _Event) -> object:
    if not isinstance(event.type, msgspec.UnsetType):
        return plain(event.type)
    return "Results" if isinstance(event.event, msgspec.UnsetType) else "TurnInfo"


def _read_results(event: _Event) -> Report | None:
    if plain(event.is_final) is not True:
        return None  # counted again when it is final
    start, duration = as_seconds(plain(event.start)), as_seconds(plain(event.duration))
    return Report(
        event="Results",
        ends_turn=plain(event.speech_final) is True or plain(event.from_finalize) is True,
        response_id=as_name(as_object(plain(event.metadata)).get("request_id")),
        audio_until=None if start is None or duration is None else start + duration,
    )


def _read_speech(name: str, counted: _Event, *, status: str | None = None) -> Report:
    milliseconds = as_seconds(plain(counted.audio_duration_ms))
    characters = as_count(plain(counted.billable_character_count))
    return Report(
        event=name,
        ends_turn=True,
        status=status,
        response_id=_id(counted.speech_id),
        tokens={} if characters is None else {"characters": characters},
        audio_seconds=None if milliseconds is None else milliseconds / _MILLISECONDS,
    )


def read_cartesia(data: bytes) -> Report | None:
    """Read an event of Cartesia: of its speech, or of either form of its transcription."""
    event = decode(_EVENT, data)
    name = None if event is None else plain(event.type)
    if event is None or not isinstance(name, str) or name not in CARTESIA_EVENTS:
        return None
    context = _id(event.context_id)
    if name == "transcript":
        seconds = as_seconds(plain(event.duration)) if plain(event.is_final) is True else None
        return Report(event=name, response_id=_id(event.request_id), audio_seconds=seconds)
    goes_on = {
        "flush_done": context is not None,  # more speech may follow in a context; a transcription has none
        "error": plain(event.done) is not True,
    }
    return Report(
        event=name,
        ends_turn=not goes_on.get(name, False),
        status=_status(event.status_code),
        response_id=context or _id(event.request_id),
    )


def read_elevenlabs(data: bytes) -> Report | None:
    """Read a message of ElevenLabs' speech, which has no name, or of its transcription."""
    event = decode(_EVENT, data)
    if event is None:
        return None
    if plain(event.isFinal) is True:
        return Report(event="isFinal", ends_turn=True, response_id=_id(event.contextId))
    name = plain(event.message_type)
    if name == "committed_transcript":
        return Report(event="committed_transcript", ends_turn=True)
    if name == "session_started":
        model = as_object(plain(event.config)).get("model_id")
        return Report(event="session_started", response_id=_id(event.session_id), model=as_name(model))
    return None


def read_agent(data: bytes) -> Report | None:
    """Read an event of ElevenLabs' agents."""
    event = decode(_EVENT, data)
    name = None if event is None else plain(event.type)
    if event is None or not isinstance(name, str):
        return None
    if name == "agent_response":
        return Report(event=name, ends_turn=True)
    if name == "conversation_initiation_metadata":
        metadata = as_object(plain(event.conversation_initiation_metadata_event))
        return Report(event=name, response_id=as_name(metadata.get("conversation_id")))
    return None


def read_fal(data: bytes) -> Report | None:
    """Read an event of fal: the end of an answer, or an error."""
    event = decode(_EVENT, data)
    name = None if event is None else plain(event.type)
    if event is None or not isinstance(name, str) or name not in FAL_EVENTS:
        return None
    status = _status(event.status) if name == "end" else as_name(plain(event.error))
    return Report(event=name, ends_turn=True, status=status, response_id=_id(event.request_id))


def _id(value: Slice) -> str | None:
    return as_name(plain(value))


def _status(value: Slice) -> str | None:
    number = as_count(plain(value))
    return None if number is None else str(number)
