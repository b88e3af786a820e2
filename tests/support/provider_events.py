"""Events as the realtime providers send them, shortened where only their length would differ."""

from __future__ import annotations

import base64
import json
from typing import Any

from aigw_proto.gateway._observer import Observer, Turn
from aigw_proto.providers import Dialect
from aigw_proto.ws import MessagePiece, Opcode

JSON = dict[str, Any]

AUDIO = base64.b64encode(bytes(range(256)) * 28).decode()

SESSION_CREATED: JSON = {
    "type": "session.created",
    "event_id": "event_C9G5",
    "session": {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_C9G5",
        "model": "gpt-realtime-2025-08-28",
        "instructions": "Be brief.",
    },
}
AUDIO_DELTA: JSON = {
    "type": "response.output_audio.delta",
    "event_id": "event_D1",
    "response_id": "resp_C9G8",
    "item_id": "item_1",
    "output_index": 0,
    "content_index": 0,
    "delta": AUDIO,
}
RESPONSE_DONE: JSON = {
    "type": "response.done",
    "event_id": "event_E1",
    "response": {
        "object": "realtime.response",
        "id": "resp_C9G8",
        "status": "completed",
        "status_details": None,
        "output": [
            {
                "id": "item_1",
                "type": "message",
                "status": "completed",
                "role": "assistant",
                "content": [{"type": "output_audio", "transcript": 'Grüezi, 日本語 {"usage":{"total_tokens":9}}'}],
            }
        ],
        "conversation_id": "conv_1",
        "usage": {
            "total_tokens": 275,
            "input_tokens": 127,
            "output_tokens": 148,
            "input_token_details": {
                "text_tokens": 119,
                "audio_tokens": 8,
                "image_tokens": 0,
                "cached_tokens": 64,
                "cached_tokens_details": {"text_tokens": 60, "audio_tokens": 4, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": 30, "audio_tokens": 118},
        },
        "metadata": None,
    },
}
RESPONSE_TOKENS = {
    "total": 275,
    "input": 127,
    "output": 148,
    "input_text": 119,
    "input_audio": 8,
    "input_cached": 64,
    "input_cached_text": 60,
    "input_cached_audio": 4,
    "output_text": 30,
    "output_audio": 118,
}
TRANSCRIBED: JSON = {
    "type": "conversation.item.input_audio_transcription.completed",
    "event_id": "event_T1",
    "item_id": "item_7",
    "content_index": 0,
    "transcript": "Hello",
    "usage": {
        "type": "tokens",
        "total_tokens": 22,
        "input_tokens": 13,
        "input_token_details": {"text_tokens": 0, "audio_tokens": 13},
        "output_tokens": 9,
    },
}
RESPONSE_COMPLETED: JSON = {
    "type": "response.completed",
    "sequence_number": 41,
    "response": {
        "id": "resp_68af",
        "object": "response",
        "created_at": 1756312000,
        "status": "completed",
        "model": "gpt-5-2025-08-07",
        "output": [],
        "tools": [{"type": "function", "parameters": {"properties": {"usage": {"type": "object"}}}}],
        "usage": {
            "input_tokens": 36,
            "input_tokens_details": {"cached_tokens": 12, "cache_write_tokens": 3},
            "output_tokens": 87,
            "output_tokens_details": {"reasoning_tokens": 64},
            "total_tokens": 123,
        },
        "user": None,
        "metadata": {},
    },
    "stream_id": "lane-1",
}
COMPLETED_TOKENS = {
    "input": 36,
    "output": 87,
    "total": 123,
    "input_cached": 12,
    "input_cache_written": 3,
    "output_reasoning": 64,
}
GEMINI_AUDIO: JSON = {
    "serverContent": {
        "modelTurn": {"parts": [{"inlineData": {"mimeType": "audio/pcm;rate=24000", "data": AUDIO}}]},
    }
}
GEMINI_USAGE: JSON = {
    "promptTokenCount": 373,
    "responseTokenCount": 23,
    "totalTokenCount": 396,
    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 361}, {"modality": "AUDIO", "tokenCount": 12}],
    "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": 23}],
}
GEMINI_TOKENS = {"input": 373, "output": 23, "total": 396, "input_text": 361, "input_audio": 12, "output_audio": 23}
GEMINI_TURN: JSON = {"serverContent": {"turnComplete": True}, "usageMetadata": GEMINI_USAGE}
DEEPGRAM_RESULTS: JSON = {
    "type": "Results",
    "channel_index": [0, 1],
    "duration": 1.98,
    "start": 5.99,
    "is_final": True,
    "speech_final": True,
    "channel": {"alternatives": [{"transcript": "how are you", "confidence": 0.99, "words": []}]},
    "metadata": {"request_id": "req-9d2", "model_info": {"name": "2-general-nova", "arch": "nova-2"}},
    "from_finalize": False,
}
DEEPGRAM_METADATA: JSON = {
    "type": "Metadata",
    "transaction_key": "deprecated",
    "request_id": "req-9d2",
    "sha256": "a4f3",
    "created": "2026-01-01T00:00:00.000Z",
    "duration": 13.145,
    "channels": 1,
}
FLUX_TURN: JSON = {
    "type": "TurnInfo",
    "request_id": "req-flux",
    "sequence_id": 12,
    "event": "EndOfTurn",
    "turn_index": 0,
    "audio_window_start": 0.0,
    "audio_window_end": 1.6,
    "transcript": "hello",
    "words": [{"word": "hello", "confidence": 0.9}],
    "end_of_turn_confidence": 0.8,
}
FLUSHED: JSON = {"type": "Flushed", "sequence_id": 1}
CARTESIA_CHUNK: JSON = {
    "type": "chunk",
    "data": AUDIO,
    "done": False,
    "status_code": 206,
    "context_id": "happy-monkeys",
}
CARTESIA_DONE: JSON = {"type": "done", "done": True, "status_code": 200, "context_id": "happy-monkeys"}
ELEVENLABS_AUDIO: JSON = {
    "audio": AUDIO,
    "isFinal": None,
    "normalizedAlignment": {"chars": ["H", "i"], "charStartTimesMs": [0, 3], "charDurationsMs": [3, 4]},
}
ELEVENLABS_FINAL: JSON = {"audio": None, "isFinal": True, "contextId": "ctx-1"}
COMMITTED: JSON = {"message_type": "committed_transcript", "text": "Hello"}
AGENT_STARTED: JSON = {
    "conversation_initiation_metadata_event": {
        "conversation_id": "conv_123",
        "agent_output_audio_format": "pcm_16000",
        "user_input_audio_format": "pcm_16000",
    },
    "type": "conversation_initiation_metadata",
}
AGENT_AUDIO: JSON = {"audio_event": {"audio_base_64": AUDIO, "event_id": 1}, "type": "audio"}
AGENT_RESPONSE: JSON = {"agent_response_event": {"agent_response": "Hello", "event_id": 1}, "type": "agent_response"}
FAL_START: JSON = {"type": "start", "request_id": "5d76", "status": 200, "headers": {"Content-Type": "image/png"}}
FAL_END: JSON = {"type": "end", "request_id": "5d76", "status": 200, "time_to_first_byte_seconds": 0.577}

ENDINGS: list[tuple[Dialect, JSON, str]] = [
    (Dialect.OPENAI_REALTIME, RESPONSE_DONE, "response.done"),
    (Dialect.OPENAI_REALTIME, TRANSCRIBED, "conversation.item.input_audio_transcription.completed"),
    (Dialect.OPENAI_RESPONSES, RESPONSE_COMPLETED, "response.completed"),
    (Dialect.GEMINI_LIVE, GEMINI_TURN, "turnComplete"),
    (Dialect.DEEPGRAM, DEEPGRAM_RESULTS, "Results"),
    (Dialect.DEEPGRAM, DEEPGRAM_METADATA, "Metadata"),
    (Dialect.DEEPGRAM, FLUX_TURN, "TurnInfo"),
    (Dialect.DEEPGRAM, {key: value for key, value in FLUX_TURN.items() if key != "type"}, "TurnInfo"),
    (Dialect.DEEPGRAM, FLUSHED, "Flushed"),
    (Dialect.CARTESIA, CARTESIA_DONE, "done"),
    (Dialect.ELEVENLABS_SPEECH, ELEVENLABS_FINAL, "isFinal"),
    (Dialect.ELEVENLABS_SPEECH, COMMITTED, "committed_transcript"),
    (Dialect.ELEVENLABS_AGENT, AGENT_RESPONSE, "agent_response"),
    (Dialect.FAL, FAL_END, "end"),
]
"""An event of each kind that ends a turn by itself, and the name under which it does."""

QUIET: list[tuple[Dialect, JSON]] = [
    (Dialect.OPENAI_REALTIME, AUDIO_DELTA),
    (Dialect.OPENAI_REALTIME, {"type": "response.created", "response": {"id": "resp_1", "usage": None}}),
    (Dialect.OPENAI_REALTIME, {"type": "error", "error": {"type": "invalid_request_error", "code": "x"}}),
    (Dialect.OPENAI_RESPONSES, {"type": "response.output_text.delta", "delta": '"response.completed"'}),
    (Dialect.GEMINI_LIVE, GEMINI_AUDIO),
    (Dialect.GEMINI_LIVE, {"setupComplete": {}}),
    (Dialect.GEMINI_LIVE, {"serverContent": {"outputTranscription": {"text": '"usageMetadata": {"turnComplete"'}}}),
    (Dialect.DEEPGRAM, {**DEEPGRAM_RESULTS, "is_final": False, "speech_final": False}),
    (Dialect.DEEPGRAM, {"type": "SpeechStarted", "channel": [0], "timestamp": 9.54}),
    (Dialect.CARTESIA, CARTESIA_CHUNK),
    (Dialect.ELEVENLABS_SPEECH, ELEVENLABS_AUDIO),
    (Dialect.ELEVENLABS_AGENT, AGENT_AUDIO),
    (Dialect.FAL, FAL_START),
    (Dialect.UNKNOWN, RESPONSE_DONE),
]
"""Events that end no turn and count nothing."""


def compact(event: JSON) -> bytes:
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode()


def printed_in_all_ways(event: JSON) -> list[bytes]:
    """Return the same event with and without white space, indented, escaped, and with its members in other orders."""
    backwards = dict(reversed(event.items()))
    return [
        compact(event),
        compact(backwards),
        json.dumps(event).encode(),
        json.dumps(backwards, indent=2).encode() + b"\n",
        json.dumps(event, sort_keys=True, indent=1).encode(),
    ]


def observe(dialect: Dialect, *, max_bytes: int = 256 * 1024, model: str | None = None) -> Observer:
    return Observer(dialect, now=0.0, max_bytes=max_bytes, model=model)


def piece(data: bytes, *, text: bool = True, started: bool, finished: bool) -> MessagePiece:
    return MessagePiece(Opcode.TEXT if text else Opcode.BINARY, data, started, finished)


def send(observer: Observer, *pieces: bytes, text: bool = True, now: float = 1.0) -> Turn | None:
    """Feed one message of the provider; only its last piece may end a turn."""
    for index, data in enumerate(pieces):
        last = index == len(pieces) - 1
        turn = observer.provider_piece(piece(data, text=text, started=index == 0, finished=last), now)
        if last:
            return turn
        assert turn is None
    return None


def ask(observer: Observer, *pieces: bytes, now: float = 0.0) -> None:
    """Feed one message of the client."""
    for index, data in enumerate(pieces):
        observer.client_piece(piece(data, started=index == 0, finished=index == len(pieces) - 1), now)
