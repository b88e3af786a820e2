"""The message dialects that realtime providers speak on their WebSockets.

A relay does not need to know one. Who looks at messages on their way (for usage), or has to say something in the
provider's stead (that the session ends), does.
"""

from __future__ import annotations

import enum

__all__ = ["Dialect"]


class Dialect(enum.Enum):
    """What the messages of a realtime session look like."""

    OPENAI_REALTIME = "openai-realtime"
    OPENAI_RESPONSES = "openai-responses"
    GEMINI_LIVE = "gemini-live"
    ELEVENLABS_AGENT = "elevenlabs-agent"
    ELEVENLABS_SPEECH = "elevenlabs-speech"
    CARTESIA = "cartesia"
    DEEPGRAM = "deepgram"
    FAL = "fal"
    UNKNOWN = "unknown"
