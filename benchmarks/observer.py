"""What it costs to watch a realtime session: microseconds for each message that a provider sends in one piece.

python benchmarks/observer.py
"""

from __future__ import annotations

import base64
import json
import os
import timeit

from aigw_proto.gateway._observer import Observer
from aigw_proto.providers import Dialect
from aigw_proto.ws import MessagePiece, Opcode

AUDIO = base64.b64encode(os.urandom(7200)).decode()
MESSAGES: list[tuple[str, Dialect, object]] = [
    ("OpenAI audio", Dialect.OPENAI_REALTIME, {"type": "response.output_audio.delta", "event_id": "e", "delta": AUDIO}),
    ("OpenAI text", Dialect.OPENAI_RESPONSES, {"type": "response.output_text.delta", "item_id": "i", "delta": "hi"}),
    ("Cartesia audio", Dialect.CARTESIA, {"type": "chunk", "data": AUDIO, "done": False, "context_id": "c"}),
    (
        "Gemini audio",
        Dialect.GEMINI_LIVE,
        {"serverContent": {"modelTurn": {"parts": [{"inlineData": {"data": AUDIO}}]}}},
    ),
    ("Gemini text", Dialect.GEMINI_LIVE, {"serverContent": {"outputTranscription": {"text": "hi"}}}),
    ("ElevenLabs audio", Dialect.ELEVENLABS_SPEECH, {"audio": AUDIO, "isFinal": None, "alignment": None}),
    ("ElevenLabs agent audio", Dialect.ELEVENLABS_AGENT, {"audio_event": {"audio_base_64": AUDIO}, "type": "audio"}),
    ("Deepgram audio", Dialect.DEEPGRAM, None),
    ("unknown", Dialect.UNKNOWN, {"audio": AUDIO}),
    (
        "OpenAI usage",
        Dialect.OPENAI_REALTIME,
        {"type": "response.done", "response": {"id": "r", "usage": {"input_tokens": 7, "output_tokens": 8}}},
    ),
]
ROUNDS, REPEATS = 20_000, 7


def main() -> None:
    for name, dialect, event in MESSAGES:
        data = os.urandom(9600) if event is None else json.dumps(event, separators=(",", ":")).encode()
        observer = Observer(dialect, now=0.0, max_bytes=256 * 1024, model=None)
        piece = MessagePiece(Opcode.BINARY if event is None else Opcode.TEXT, data, True, True)
        best = min(
            timeit.repeat(
                "look(piece, 1.0)",
                globals={"look": observer.provider_piece, "piece": piece},
                number=ROUNDS,
                repeat=REPEATS,
            )
        )
        print(f"{best / ROUNDS * 1e6:7.2f} us  {name} ({len(data)} bytes)")


if __name__ == "__main__":
    main()
